//! SnapStart: which versions have it, what it does not go with, and the snapshot of a version that is published.
//!
//! See "Improving startup performance with Lambda SnapStart" in AWS's guide.

use std::sync::Arc;

use nilas_engine::{InvokeError, SnapshotError};
use nilas_model::{Version, VersionSnapshot, limits};

use super::Lambda;
use super::error::LambdaError;
use super::functions::{Function, Unusable};
use super::record::{Settings, State, VersionRecord};

/// Whether a version is restored from a snapshot.
pub(crate) fn is_restored(version: Version, settings: &Settings) -> bool {
    matches!(version, Version::Published(_)) && settings.snap_start && is_restorable(settings)
}

/// Where only AWS restores a runtime, its versions show what was asked for and that there is no snapshot.
fn is_restorable(settings: &Settings) -> bool {
    settings.runtime.starts_with("nodejs") || settings.runtime.starts_with("python")
}

/// Whether the snapshot of a version that was published is yet to be made.
pub(crate) fn is_pending(function: &Function, version: Version) -> bool {
    function.version(version).is_some_and(|record| {
        record.state == State::Pending && is_restored(version, &record.settings)
    })
}

/// `OptimizationStatus`.
pub(crate) fn optimization_status(version: Version, record: &VersionRecord) -> &'static str {
    let made = is_restored(version, &record.settings) && record.state == State::Active;
    if made { "On" } else { "Off" }
}

/// What a new version of `$LATEST`, which is settled as `latest`, begins as.
pub(crate) fn first_state(settings: &Settings, latest: State) -> State {
    let snapshot_first = settings.snap_start && is_restorable(settings);
    if latest == State::Active && snapshot_first { State::Pending } else { latest }
}

/// Refuses settings that SnapStart does not go with.
pub(crate) fn check(settings: &Settings) -> Result<(), LambdaError> {
    if !settings.snap_start {
        return Ok(());
    }
    if !is_supported(&settings.runtime) {
        return Err(LambdaError::invalid(format!(
            "{} is not supported for SnapStart enabled functions.",
            settings.runtime
        )));
    }
    // AWS documents this condition, but its words for it are not known.
    if settings.ephemeral_mib > limits::EPHEMERAL_MIB_MIN {
        return Err(LambdaError::invalid(format!(
            "EphemeralStorage greater than {} MB is not supported for SnapStart enabled functions.",
            limits::EPHEMERAL_MIB_MIN
        )));
    }
    Ok(())
}

/// AWS's are Java from 11, Python from 3.12 and .NET from 8. Node and the older Pythons are this server's own.
fn is_supported(runtime: &str) -> bool {
    let families = ["nodejs", "python", "java", "dotnet"];
    let not_yet = ["java8", "dotnetcore", "dotnet6"];
    let starts = |names: &[&str]| names.iter().any(|name| runtime.starts_with(name));
    starts(&families) && !starts(&not_yet)
}

/// Refuses provisioned concurrency on a version that has SnapStart: a version has one of them.
pub(crate) fn check_provisioned(function: &Function, number: u64) -> Result<(), LambdaError> {
    let version = function.version(Version::Published(number));
    if version.is_some_and(|version| version.settings.snap_start) {
        // AWS documents this condition, but its words for it are not known.
        return Err(LambdaError::invalid(
            "Provisioned Concurrency is not supported for SnapStart enabled functions.",
        ));
    }
    Ok(())
}

/// Refuses an alias of a version that has failed: AWS answers UpdateAlias so.
pub(crate) fn check_alias(function: &Function, version: Version) -> Result<(), LambdaError> {
    let state = function.version(version).map(|record| record.state);
    if state == Some(State::InitFailed) {
        // Of AWS's words only the state and its code are known.
        return Err(LambdaError::Conflict(
            "The operation cannot be performed at this time. The function is currently in the following state: \
             'Failed', StateReasonCode: 'FunctionError'"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Makes the snapshot of a version that is being published. None: the server shuts down, and the next one makes it.
pub(crate) async fn optimise(
    lambda: &Lambda,
    snapshot: &Arc<VersionSnapshot>,
) -> Option<Result<(), Unusable>> {
    let Err(err) = lambda.engine.make_snapshot(snapshot).await else { return Some(Ok(())) };
    let (function, version) = (snapshot.name.as_str(), snapshot.version);
    match err {
        SnapshotError::Platform(InvokeError::ShuttingDown) => None,
        // The function's own log has more.
        SnapshotError::Init { error_type, .. } => {
            tracing::info!(function, version = %version, error_type, "init failed before the snapshot");
            Some(Err(Unusable::Init))
        }
        SnapshotError::Platform(source) => {
            let cause = std::error::Error::source(&source);
            tracing::error!(function, version = %version, error = %source, cause, "no snapshot made");
            Some(Err(Unusable::Snapshot))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_supported;

    #[test]
    fn runtimes_with_snap_start() {
        for runtime in ["java11", "java17.al2023", "java21", "java25", "dotnet8", "dotnet10"] {
            assert!(is_supported(runtime), "{runtime}");
        }
        for runtime in ["python3.8", "python3.12", "python3.14", "nodejs8.10", "nodejs24.x"] {
            assert!(is_supported(runtime), "{runtime}");
        }
        for runtime in [
            "java8.al2",
            "java8",
            "dotnet6",
            "dotnetcore3.1",
            "ruby3.4",
            "provided",
            "provided.al2",
            "provided.al2023",
        ] {
            assert!(!is_supported(runtime), "{runtime}");
        }
    }
}
