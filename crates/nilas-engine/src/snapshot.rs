//! SnapStart: what a version is initialised for when it is published.

use std::sync::Arc;

use nilas_model::VersionSnapshot;

use crate::api::InvokeError;
use crate::engine::Engine;
use crate::environment::trial;

/// Why a version has no snapshot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// The function's own fault: its init failed, or took too long.
    #[error("the function's init failed: {error_type}")]
    Init {
        /// As in the log's INIT_REPORT line.
        error_type: String,
        /// The error object, as an invocation would be answered with.
        message: String,
    },
    #[error("no environment could be initialised for the snapshot")]
    Platform(#[from] InvokeError),
}

impl Engine {
    /// Initialises a published version. Nothing is kept of the environment: environments of the version are still
    /// initialised each for itself, and what is known afterwards is that they can be.
    pub async fn make_snapshot(&self, version: &Arc<VersionSnapshot>) -> Result<(), SnapshotError> {
        trial::initialise(&self.inner, version).await
    }
}
