//! An environment that nobody invokes: it is initialised, and ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nilas_model::{EnvironmentId, RequestId, VersionSnapshot, limits};
use tokio::sync::Notify;

use super::process::{InitFailure, Process};
use crate::api::InvokeError;
use crate::engine::Inner;
use crate::fault::FunctionFault;
use crate::logs::{InitPhase, InitReport, Journal, Place, RuntimeVersion, lock, stream_name};
use crate::snapshot::SnapshotError;

/// Its log is in a stream of its own, as any environment's. It is not the pool's, and dies with the future
/// or when the engine shuts down.
pub(crate) async fn initialise(
    engine: &Inner,
    snapshot: &VersionSnapshot,
) -> Result<(), SnapshotError> {
    let id = EnvironmentId::random();
    let (account, region) = (snapshot.account.as_str(), snapshot.region.as_str());
    let journal = Arc::new(Mutex::new(Journal::new(Place {
        group: format!("{account}/{region}/{}", snapshot.logging.group),
        logging: snapshot.logging.clone(),
        stream: stream_name(engine.clock.epoch_ms(), snapshot.version, id),
        sink: Arc::clone(&engine.logs),
        clock: Arc::clone(&engine.clock),
    })));
    lock(&journal).init_start(&RuntimeVersion::of(snapshot), snapshot);
    // As provisioned environments; see "Lambda execution environment lifecycle", "Init phase".
    let limit_ms = limits::PROVISIONED_INIT_MS_MAX.max(snapshot.timeout_ms);
    let started_us = engine.clock.monotonic_us();
    let initialised = tokio::select! {
        biased;
        () = engine.closes() => Err(InitFailure::Platform(InvokeError::ShuttingDown)),
        initialised = run(engine, snapshot, id, &journal, Duration::from_millis(limit_ms)) => initialised,
    };
    let elapsed_us = engine.clock.monotonic_us() - started_us;
    let report = |duration_us, status, error_type| {
        let phase = InitPhase::Init;
        lock(&journal).init_report(&InitReport { phase, duration_us, status, error_type });
    };
    let fault = match initialised {
        Ok(()) => {
            lock(&journal).flush();
            return Ok(());
        }
        Err(InitFailure::Platform(error)) => return Err(error.into()),
        Err(InitFailure::TimedOut) => {
            report(limit_ms * 1_000, "timeout", None);
            FunctionFault::Timeout { timeout_ms: limit_ms }
        }
        Err(InitFailure::Fault(fault)) => {
            report(elapsed_us, "error", Some(fault.error_type().to_owned()));
            fault
        }
    };
    lock(&journal).flush();
    let payload = fault.payload(RequestId::random());
    Err(SnapshotError::Init {
        error_type: fault.error_type().to_owned(),
        message: String::from_utf8_lossy(&payload).into_owned(),
    })
}

async fn run(
    engine: &Inner,
    snapshot: &VersionSnapshot,
    id: EnvironmentId,
    journal: &Arc<Mutex<Journal>>,
    limit: Duration,
) -> Result<(), InitFailure> {
    let mut process = Process::start(engine, snapshot, id, 0, false, journal).await?;
    let initialised = process.initialize(limit, &Notify::new()).await;
    process.end().await;
    initialised
}
