//! An environment that nobody invokes: it is initialised, and then forked for each environment that is restored.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nilas_model::{EnvironmentId, RequestId, VersionSnapshot, limits};
use nilas_sandbox::Control;
use tokio::sync::Notify;

use super::Stop;
use super::process::{How, InitFailure, Process};
use crate::api::InvokeError;
use crate::engine::Inner;
use crate::fault::FunctionFault;
use crate::launch::{Credentials, LaunchContext, Start, sandbox_spec};
use crate::logs::{InitPhase, InitReport, Journal, Place, RuntimeVersion, lock, stream_name};
use crate::snapshot::SnapshotError;

/// How long a zygote may take to boot, on which a template waits.
const ZYGOTE_WAIT: Duration = Duration::from_secs(10);
const ZYGOTE_LOOK: Duration = Duration::from_millis(20);

/// A version's process after init. Dropping it ends it, and with it whatever was forked from it; so each of those holds it.
#[derive(Debug)]
pub(crate) struct Template {
    control: Arc<dyn Control>,
    /// Keeps what the sandbox is connected to. Nobody takes it out again; its futures may not be shared otherwise.
    _process: Mutex<Process>,
    sandbox_id: String,
    token: String,
    made_ms: u64,
}

/// What came of the init.
#[derive(Debug)]
pub(crate) enum Made {
    Template(Arc<Template>),
    /// The init went well, but the process cannot be forked: environments are initialised each for itself.
    Plain {
        reason: String,
    },
}

/// Its log is in a stream of its own, as any environment's. It is not the pool's, and ends when the engine shuts down.
pub(crate) async fn make(
    engine: &Inner,
    snapshot: &VersionSnapshot,
) -> Result<Made, SnapshotError> {
    let id = EnvironmentId::random();
    let (account, region) = (snapshot.account.as_str(), snapshot.region.as_str());
    let journal = Arc::new(Mutex::new(Journal::new(Place {
        group: format!("{account}/{region}/{}", snapshot.logging.group),
        logging: snapshot.logging.clone(),
        stream: stream_name(engine.clock.epoch_ms(), snapshot.version, id),
        sink: Arc::clone(&engine.logs),
        clock: Arc::clone(&engine.clock),
    })));
    let start = Start::Template;
    lock(&journal).init_start(&RuntimeVersion::of(snapshot), snapshot, &start);
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
        let (phase, initialization) = (InitPhase::Init, "snap-start");
        let report = InitReport { phase, initialization, duration_us, status, error_type };
        let mut journal = lock(&journal);
        journal.init_report(&report);
        journal.flush();
    };
    let fault = match initialised {
        Ok(process) => {
            report(elapsed_us, "success", None);
            let made_ms = engine.clock.monotonic_us() / 1_000;
            let template = Template {
                control: Arc::clone(&process.control),
                sandbox_id: id.to_string(),
                token: process.token.clone(),
                made_ms,
                _process: Mutex::new(process),
            };
            template.expect_forks(engine, snapshot);
            return Ok(Made::Template(Arc::new(template)));
        }
        Err(InitFailure::Fork(reason)) => {
            // For who looks why nothing is restored; AWS has no such line, since it restores whatever there is.
            lock(&journal).plain(format!("No snapshot is kept of this version: {reason}.\n"));
            report(elapsed_us, "success", None);
            return Ok(Made::Plain { reason });
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
) -> Result<Process, InitFailure> {
    let mut never = Stop::on(Arc::new(Notify::new()));
    let Some(zygote) = crate::launch::zygote(&engine.config, snapshot) else {
        // Nothing of it can be forked, but whether its init goes well is asked all the same.
        let how = How::Fresh(Start::OnDemand);
        let mut process = Process::start(engine, snapshot, id, 0, how, journal).await?;
        let initialised = process.initialize(limit, &mut never).await;
        process.end().await;
        let reason = "its interpreter cannot be forked".to_owned();
        return initialised.and(Err(InitFailure::Fork(reason)));
    };
    engine.sandbox.warm(&zygote);
    let until = tokio::time::Instant::now() + ZYGOTE_WAIT;
    let mut process = loop {
        let how = How::Fresh(Start::Template);
        match Process::start(engine, snapshot, id, 0, how, journal).await {
            // The zygote may still be booting.
            Err(InitFailure::Fork(reason)) if tokio::time::Instant::now() < until => {
                tracing::debug!(reason, "template waits for its zygote");
                tokio::time::sleep(ZYGOTE_LOOK).await;
            }
            started => break started?,
        }
    };
    let initialised = process.initialize_template(limit, &mut never).await;
    process.control.watch_memory(false);
    if let Err(error) = process.control.share_cpu() {
        tracing::warn!(%error, "cpu share of a template not set");
    }
    match initialised {
        Ok(()) => Ok(process),
        Err(failure) => {
            process.end().await;
            Err(failure)
        }
    }
}

// === impl Template ===

impl Drop for Template {
    fn drop(&mut self) {
        // Whoever waits for its end has a handle on it, too.
        self.control.kill();
    }
}

impl Template {
    pub(crate) fn sandbox_id(&self) -> &str {
        &self.sandbox_id
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// When it was made, by the engine's clock.
    pub(crate) fn made_ms(&self) -> u64 {
        self.made_ms
    }

    pub(crate) fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.control)
    }

    /// Has a few forks made ahead.
    fn expect_forks(&self, engine: &Inner, snapshot: &VersionSnapshot) {
        let spec = sandbox_spec(&LaunchContext {
            config: &engine.config,
            snapshot,
            environment: EnvironmentId::random(),
            attempt: 0,
            start: Start::Restored { template: self.sandbox_id.clone() },
            log_stream: "",
            credentials: &Credentials::Asked { token: self.token().to_owned() },
        });
        if let Ok(spec) = spec {
            engine.sandbox.expect_forks(&self.sandbox_id, spec);
        }
    }
}
