//! Packages that nothing needs any more: their blob and their directory go while the server runs.
//!
//! A package is needed by the versions that have it, by requests that bring it in or unpack it (they have a `Hold`),
//! and by whatever has a snapshot of it: environments until their end, invocations on their way to one.
//! Invariant: only suspects are ever looked at, so that a sweep costs what has changed, not what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nilas_model::VersionSnapshot;
use nilas_model::limits::GARBAGE_SWEEP_MS;
use nilas_store::BlobHash;
use tokio::sync::Notify;

use super::Lambda;

/// What may have become garbage, and what says it has not.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    state: Mutex<State>,
    /// Locked while a package is judged and taken away: whoever brings the same one in then stores it anew.
    removing: tokio::sync::Mutex<()>,
    suspected: Arc<Notify>,
}

/// Packages by their hash.
#[derive(Debug, Default)]
struct State {
    suspects: BTreeSet<String>,
    holds: BTreeMap<String, usize>,
    snapshots: Vec<Weak<VersionSnapshot>>,
}

/// Keeps a package, whether or not a version has it yet.
#[derive(Debug)]
#[must_use = "the package may be removed once this is dropped"]
pub(crate) struct Hold {
    garbage: Arc<Garbage>,
    sha256: String,
}

impl Garbage {
    pub(crate) async fn hold(self: &Arc<Self>, sha256: &str) -> Hold {
        let _not_while_removing = self.removing.lock().await;
        *self.state().holds.entry(sha256.to_owned()).or_default() += 1;
        Hold { garbage: Arc::clone(self), sha256: sha256.to_owned() }
    }

    /// Keeps the package of `snapshot` for as long as anybody has it.
    pub(crate) fn keep_with(&self, snapshot: &Arc<VersionSnapshot>) {
        self.state().snapshots.push(Arc::downgrade(snapshot));
    }

    /// A version or a request that needed these is gone.
    pub(crate) fn suspect(&self, packages: impl IntoIterator<Item = String>) {
        let mut state = self.state();
        state.suspects.extend(packages);
        if !state.suspects.is_empty() {
            self.suspected.notify_one();
        }
    }

    fn suspects(&self) -> BTreeSet<String> {
        let mut state = self.state();
        state.snapshots.retain(|snapshot| snapshot.strong_count() > 0);
        state.suspects.clone()
    }

    fn is_held(&self, sha256: &str) -> bool {
        self.state().holds.contains_key(sha256)
    }

    fn has_snapshot(&self, sha256: &str) -> bool {
        let of_package = |snapshot: Arc<VersionSnapshot>| {
            let mut dirs = snapshot.layer_dirs.iter().chain([&snapshot.code_dir]);
            dirs.any(|dir| dir.file_name() == Path::new(sha256).file_name())
        };
        self.state().snapshots.iter().filter_map(Weak::upgrade).any(of_package)
    }

    fn acquit(&self, sha256: &str) {
        self.state().suspects.remove(sha256);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.garbage.state();
        if let Some(count) = state.holds.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                state.holds.remove(&self.sha256);
            }
        }
        drop(state);
        self.garbage.suspect([std::mem::take(&mut self.sha256)]);
    }
}

/// Sweeps a moment after something became suspect, and again until nothing is.
pub(crate) fn sweep_in_background(lambda: &Arc<Lambda>) {
    let suspected = Arc::clone(&lambda.garbage.suspected);
    let lambda = Arc::downgrade(lambda);
    tokio::spawn(async move {
        loop {
            suspected.notified().await;
            let mut left = true;
            while left {
                tokio::time::sleep(Duration::from_millis(GARBAGE_SWEEP_MS)).await;
                let Some(lambda) = lambda.upgrade() else { return };
                left = sweep(&lambda).await;
            }
        }
    });
}

/// Removes the suspects that nothing needs; whether some are left that something still does.
async fn sweep(lambda: &Lambda) -> bool {
    let mut left = false;
    for sha256 in lambda.garbage.suspects() {
        let removing = lambda.garbage.removing.lock().await;
        // Holds first: a request lets go only after its version is there to be seen.
        if lambda.garbage.is_held(&sha256) {
            left = true;
            continue;
        }
        if lambda.functions.has_package(&sha256) || lambda.layers.has_package(&sha256) {
            lambda.garbage.acquit(&sha256);
            continue;
        }
        if lambda.garbage.has_snapshot(&sha256) {
            left = true;
            continue;
        }
        lambda.garbage.acquit(&sha256);
        let deleted = match BlobHash::parse(&sha256) {
            Some(blob) => lambda.blobs.delete(&blob).await.map(drop),
            None => Ok(()),
        };
        if let Err(err) = deleted {
            tracing::warn!(package = sha256, error = %err, "unused blob not removed");
        }
        let set_aside = lambda.packages.set_aside(&sha256).await;
        drop(removing);
        if let Some(path) = set_aside {
            lambda.packages.remove(path).await;
        }
        tracing::debug!(package = sha256, "unused package removed");
    }
    left
}
