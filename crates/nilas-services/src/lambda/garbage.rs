//! Packages that nothing needs any more: their blob and their directory go while the server runs.
//!
//! A package is needed by the versions that have it, and by whatever has a snapshot of it: environments until their
//! end, invocations on their way to one. Requests that bring it in or unpack it have a [`Hold`](crate::blob_use::Hold).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nilas_model::VersionSnapshot;
use nilas_store::BlobHash;

use super::Lambda;
use super::package_dirs::PackageDirs;
use crate::blob_use::{Answer, BlobOwner, Need};

/// The snapshots that somebody may still have.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<Vec<Weak<VersionSnapshot>>>);

impl Snapshots {
    /// Keeps the package of `snapshot` for as long as anybody has it.
    pub(crate) fn keep_with(&self, snapshot: &Arc<VersionSnapshot>) {
        let mut snapshots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.retain(|snapshot| snapshot.strong_count() > 0);
        snapshots.push(Arc::downgrade(snapshot));
    }

    fn has_package(&self, sha256: &str) -> bool {
        let of_package = |snapshot: Arc<VersionSnapshot>| {
            let mut dirs = snapshot.layer_dirs.iter().chain([&snapshot.code_dir]);
            dirs.any(|dir| dir.file_name() == Path::new(sha256).file_name())
        };
        let snapshots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.iter().filter_map(Weak::upgrade).any(of_package)
    }
}

impl BlobOwner for Lambda {
    fn need<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, Need> {
        let sha256 = blob.to_string();
        let need = if self.functions.has_package(&sha256) || self.layers.has_package(&sha256) {
            Need::Named
        } else if self.snapshots.has_package(&sha256) {
            Need::ForNow
        } else {
            Need::None
        };
        Box::pin(std::future::ready(need))
    }

    fn let_go<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, ()> {
        Box::pin(async move {
            if let Some(path) = self.packages.set_aside(&blob.to_string()).await {
                // Apart: a large directory takes its time, and blobs that are brought in wait for the sweep.
                tokio::spawn(PackageDirs::remove(path));
            }
        })
    }
}
