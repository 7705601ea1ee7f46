//! From an accepted version to one that runs: unpack its package, find its runtime, make its snapshot.
//!
//! Nothing here is on the path of an invocation of a version that is ready.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nilas_model::limits::{INVOKE_PENDING_MS_MAX, SETTLE_BEFORE_ANSWER_MS_MAX};
use nilas_model::{FunctionId, Interpreter, RuntimeKind, Version, VersionSnapshot};
use tokio::task::JoinHandle;

use super::error::LambdaError;
use super::functions::{Function, Slot, Unusable};
use super::record::{State, VersionRecord};
use super::target::Target;
use super::{Lambda, concurrency, snap_start};

/// What a version needs of this machine.
struct Ready {
    code_dir: PathBuf,
    layer_dirs: Vec<PathBuf>,
    kind: RuntimeKind,
    interpreter: Option<Interpreter>,
}

/// Finishes versions that were accepted as pending; goes on whether or not somebody waits for it.
pub(crate) fn settle_in_background(
    lambda: &Arc<Lambda>,
    id: FunctionId,
    versions: Vec<Version>,
) -> JoinHandle<()> {
    let lambda = lambda.clone();
    tokio::spawn(async move {
        for version in versions {
            settle(&lambda, &id, version).await;
        }
    })
}

/// Finishes the versions that a change from `before` has left unfinished, and holds the answer back for the moment that
/// most take.
///
/// The answer still says `Pending` or `InProgress`, as AWS's does. But waiters sleep up to five seconds after a first
/// look that comes too early, so that a deployment's speed hangs on this moment.
pub(crate) async fn settle_before_first_look(
    lambda: &Arc<Lambda>,
    before: Option<&Function>,
    function: &Function,
) {
    // What was unfinished before has a task of its own.
    let has_task = |version, record: &VersionRecord| {
        let before = before.and_then(|before| before.version(version));
        before.is_some_and(|before| before.revision_id == record.revision_id)
    };
    let unsettled = function
        .versions()
        .filter(|(version, record)| !record.state.is_settled() && !has_task(*version, record));
    let unsettled: Vec<Version> = unsettled.map(|(version, _)| version).collect();
    let settled = settle_in_background(lambda, function.id.clone(), unsettled);
    match tokio::time::timeout(Duration::from_millis(SETTLE_BEFORE_ANSWER_MS_MAX), settled).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => tracing::error!(error = %err, "settling a version panicked"),
        Err(_) => tracing::debug!(
            function = function.id.name.as_str(),
            "version settles after the answer"
        ),
    }
}

/// Makes `version` ready, or marks it failed.
async fn settle(lambda: &Lambda, id: &FunctionId, version: Version) {
    let Some(function) = lambda.functions.get(id) else { return };
    let Some(record) = function.version(version).cloned() else { return };
    // Until the snapshot is there, which then keeps the package.
    let mut holds = Vec::new();
    for code in record.packages() {
        holds.extend(lambda.hold_package(code).await);
    }
    let Some(made) = make(lambda, id, version, &record).await else { return };
    let writer = lambda.functions.write().await;
    let made_generation = made.as_ref().map(|snapshot| snapshot.generation).ok();
    let Some(function) = lambda.functions.get(id).filter(|now| is_due(now, version, &record))
    else {
        // Deleted or updated meanwhile; whoever updated it has its own task.
        if let Some(generation) = made_generation {
            lambda.engine.retire(&id.key(version), generation + 1);
        }
        return;
    };
    if let Some(Slot::Ready(now)) = function.slots.get(&version)
        && made_generation.is_some_and(|generation| generation < now.generation)
    {
        return; // Two have seen that something was missing.
    }
    let mut next = Function::clone(&function);
    let generation = made_generation.unwrap_or_else(|| lambda.functions.next_generation());
    let (slot, state) = match made {
        Ok(snapshot) => {
            lambda.snapshots.keep_with(&snapshot);
            lambda.engine.expect(&snapshot);
            (Slot::Ready(snapshot), State::Active)
        }
        Err(unusable) => {
            let state = unusable.state();
            (Slot::Failed(unusable), state)
        }
    };
    next.slots.insert(version, slot);
    // What was active before a restart stays so on disk, even if its runtime is not installed now; what had failed
    // gets another try.
    let unchanged = record.state == state || record.state == State::Active;
    let function = if unchanged {
        writer.replace_slots(next)
    } else {
        let settled = VersionRecord { state, revision_id: new_revision_id(), ..record };
        match version {
            Version::Latest => next.record.latest = settled,
            Version::Published(number) => drop(next.published.insert(number, Arc::new(settled))),
        }
        match writer.save(next).await {
            Ok(function) => function,
            Err(err) => {
                tracing::error!(function = id.name.as_str(), error = %err, "state of a version not saved");
                return;
            }
        }
    };
    concurrency::apply(lambda, &function);
    lambda.engine.retire(&id.key(version), generation);
}

/// Whether the version is still the one that is being settled.
fn is_due(function: &Function, version: Version, record: &VersionRecord) -> bool {
    function.version(version).is_some_and(|now| now.revision_id == record.revision_id)
}

/// All that takes time. None: the server shuts down, and what is left is the next one's.
async fn make(
    lambda: &Lambda,
    id: &FunctionId,
    version: Version,
    record: &VersionRecord,
) -> Option<Result<Arc<VersionSnapshot>, Unusable>> {
    if record.state == State::InitFailed {
        return Some(Err(Unusable::Init));
    }
    let ready = match make_ready(lambda, record).await {
        Ok(ready) => ready,
        Err(err) => {
            tracing::error!(
                function = id.name.as_str(),
                version = %version,
                error = %err,
                cause = std::error::Error::source(&err),
                "version cannot run"
            );
            return Some(Err(match err {
                LambdaError::InvalidParameter(words) => Unusable::Runtime(words),
                _ => Unusable::Package,
            }));
        }
    };
    let generation = lambda.functions.next_generation();
    let snapshot = Arc::new(snapshot(id, version, record, ready, generation));
    // After a restart the engine makes the snapshots of active versions when it needs them.
    if snapshot.snap_start
        && record.state != State::Active
        && let Err(unusable) = snap_start::optimise(lambda, &snapshot).await?
    {
        return Some(Err(unusable));
    }
    Some(Ok(snapshot))
}

async fn make_ready(lambda: &Lambda, record: &VersionRecord) -> Result<Ready, LambdaError> {
    let code_dir = lambda.packages.ensure(&record.code, &lambda.blobs).await?;
    let mut layer_dirs = Vec::new();
    for layer in &record.settings.layers {
        layer_dirs.push(lambda.packages.ensure(&layer.code, &lambda.blobs).await?);
    }
    let (kind, interpreter) = lambda.resolve_runtime(&record.settings.runtime).await?;
    Ok(Ready { code_dir, layer_dirs, kind, interpreter })
}

fn snapshot(
    id: &FunctionId,
    version: Version,
    record: &VersionRecord,
    ready: Ready,
    generation: u64,
) -> VersionSnapshot {
    let settings = &record.settings;
    VersionSnapshot {
        account: id.account.clone(),
        region: id.region.clone(),
        name: id.name.clone(),
        version,
        generation,
        runtime: settings.runtime.clone(),
        kind: ready.kind,
        interpreter: ready.interpreter,
        handler: settings.handler.clone().unwrap_or_default(),
        role_arn: settings.role.clone(),
        memory_mib: settings.memory_mib,
        timeout_ms: u64::from(settings.timeout_s) * 1_000,
        ephemeral_mib: settings.ephemeral_mib,
        environment: settings.environment.clone().unwrap_or_default(),
        code_dir: ready.code_dir,
        layer_dirs: ready.layer_dirs,
        logging: settings.logging.for_snapshot(),
        snap_start: snap_start::is_restored(version, settings),
    }
}

/// The snapshot to invoke; `draw` is `Target::routed`'s. A version whose package is still being unpacked is waited for,
/// within a limit: AWS would refuse, but its clients poll for seconds where this takes milliseconds.
pub(crate) async fn ready_snapshot(
    lambda: &Lambda,
    target: &Target,
    draw: f64,
    not_found: impl Fn() -> LambdaError,
) -> Result<Arc<VersionSnapshot>, LambdaError> {
    if let Some(snapshot) = look(lambda, target, draw, &not_found)? {
        return Ok(snapshot);
    }
    let mut changes = lambda.functions.changes();
    let wait = Box::pin(async {
        loop {
            if let Some(snapshot) = look(lambda, target, draw, &not_found)? {
                return Ok(snapshot);
            }
            if changes.changed().await.is_err() {
                return Err(LambdaError::WrongState("Pending"));
            }
        }
    });
    let waited = tokio::time::timeout(Duration::from_millis(INVOKE_PENDING_MS_MAX), wait).await;
    waited.unwrap_or(Err(LambdaError::WrongState("Pending")))
}

/// After an environment did not start: whether what it needs of this machine was missing, and is there again.
pub(crate) async fn is_repaired(
    lambda: &Lambda,
    snapshot: &VersionSnapshot,
) -> Result<bool, LambdaError> {
    // Below root's home the server, which is not root any more, sees neither that it is there nor that it is not.
    if let Some(interpreter) = &snapshot.interpreter
        && let Err(error) = tokio::fs::metadata(&interpreter.executable).await
        && error.kind() == std::io::ErrorKind::NotFound
    {
        return Err(LambdaError::InvalidRuntime(format!(
            "The runtime {} cannot run on this server: {} is gone.",
            snapshot.runtime,
            interpreter.executable.display()
        )));
    }
    let mut missing = false;
    for dir in snapshot.layer_dirs.iter().chain([&snapshot.code_dir]) {
        missing |= tokio::fs::metadata(dir).await.is_err();
    }
    if !missing {
        return Ok(false);
    }
    let (account, region) = (snapshot.account.clone(), snapshot.region.clone());
    let id = FunctionId { account, region, name: snapshot.name.clone() };
    settle(lambda, &id, snapshot.version).await;
    Ok(true)
}

fn look(
    lambda: &Lambda,
    target: &Target,
    draw: f64,
    not_found: &impl Fn() -> LambdaError,
) -> Result<Option<Arc<VersionSnapshot>>, LambdaError> {
    let function = lambda.functions.get(&target.id).ok_or_else(not_found)?;
    let version = target.routed(&function, draw)?;
    match function.slots.get(&version) {
        // An init may take minutes.
        None if snap_start::is_pending(&function, version) => {
            Err(LambdaError::WrongState("Pending"))
        }
        None => Ok(None),
        Some(Slot::Ready(snapshot)) => Ok(Some(snapshot.clone())),
        Some(Slot::Failed(unusable)) => Err(unusable.clone().into()),
    }
}

pub(crate) fn new_revision_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
