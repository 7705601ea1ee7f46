//! Which blobs are in use: what no service needs any more is removed while the server runs.
//!
//! Blobs are named by their content, so that a deployment package and an object of S3 with the same bytes are one
//! file. A blob is needed as long as any [`BlobOwner`] says so, and by requests that bring it in (they have a
//! [`Hold`]). Invariant: only suspects are ever looked at, so that a sweep costs what has changed, not what there is.
//! After a crash every blob is a suspect once: what a killed process brought in and never named goes then.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nilas_model::limits::GARBAGE_SWEEP_MS;
use nilas_store::{BlobHash, Blobs};
use tokio::sync::Notify;

/// A service that stores blobs and names them in its records.
pub(crate) trait BlobOwner: std::fmt::Debug + Send + Sync {
    /// Whether anything of this service needs `blob` now.
    fn need<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, Need>;

    /// This service does not need `blob`: whatever it derived from it can go.
    fn let_go<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, ()>;
}

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A record names it; whoever drops that record makes it a suspect again.
    Named,
    /// Something that ends by itself uses it, or the answer could not be had: ask again later.
    ForNow,
    None,
}

/// What may be out of use, and what says it is not. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BlobUse(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    blobs: Blobs,
    state: Mutex<State>,
    /// Locked while a blob is judged and taken away: whoever brings the same one in then stores it anew.
    removing: tokio::sync::Mutex<()>,
    suspected: Notify,
}

#[derive(Debug, Default)]
struct State {
    suspects: BTreeSet<BlobHash>,
    holds: BTreeMap<BlobHash, usize>,
}

/// Keeps a blob, whether or not a record names it yet.
#[derive(Debug)]
#[must_use = "the blob may be removed once this is dropped"]
pub(crate) struct Hold {
    blob_use: BlobUse,
    blob: BlobHash,
}

// === impl BlobUse ===

impl BlobUse {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self(Arc::new(Shared {
            blobs,
            state: Mutex::default(),
            removing: tokio::sync::Mutex::default(),
            suspected: Notify::new(),
        }))
    }

    pub(crate) async fn hold(&self, blob: BlobHash) -> Hold {
        let _not_while_removing = self.0.removing.lock().await;
        *self.state().holds.entry(blob).or_default() += 1;
        Hold { blob_use: self.clone(), blob }
    }

    /// Something that needed these is gone.
    pub(crate) fn suspect(&self, blobs: impl IntoIterator<Item = BlobHash>) {
        let mut state = self.state();
        state.suspects.extend(blobs);
        if !state.suspects.is_empty() {
            self.0.suspected.notify_one();
        }
    }

    /// Suspects every blob there is: a crash may have kept the sweeps from any.
    pub(crate) async fn suspect_all(&self) {
        match self.0.blobs.list().await {
            Ok(blobs) => self.suspect(blobs),
            Err(err) => tracing::warn!(error = %err, "blobs not listed; unused ones stay"),
        }
    }

    /// Sweeps a moment after something became suspect, and again until nothing is; ends with the first of `owners`.
    pub(crate) fn sweep_in_background(&self, owners: Vec<Weak<dyn BlobOwner>>) {
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                this.0.suspected.notified().await;
                let mut left = true;
                while left {
                    tokio::time::sleep(Duration::from_millis(GARBAGE_SWEEP_MS)).await;
                    let alive: Option<Vec<_>> = owners.iter().map(Weak::upgrade).collect();
                    let Some(owners) = alive else { return };
                    left = this.sweep(&owners).await;
                }
            }
        });
    }

    /// Removes the suspects that nothing needs; whether some are left that something still does.
    async fn sweep(&self, owners: &[Arc<dyn BlobOwner>]) -> bool {
        let suspects = self.state().suspects.clone();
        let mut left = false;
        for blob in suspects {
            left |= !self.judge(&blob, owners).await;
        }
        left
    }

    /// Whether `blob` need not be looked at again.
    async fn judge(&self, blob: &BlobHash, owners: &[Arc<dyn BlobOwner>]) -> bool {
        let _removing = self.0.removing.lock().await;
        // Holds first: a request lets go only after its record is there to be seen.
        if self.state().holds.contains_key(blob) {
            return false;
        }
        // Before the owners are asked: what becomes suspect meanwhile stays so.
        self.state().suspects.remove(blob);
        let mut needed = Need::None;
        for owner in owners {
            match owner.need(blob).await {
                Need::None => owner.let_go(blob).await,
                Need::Named => needed = Need::Named,
                Need::ForNow => {
                    self.state().suspects.insert(*blob);
                    return false;
                }
            }
        }
        if needed == Need::None {
            match self.0.blobs.delete(blob).await {
                Ok(_) => tracing::debug!(%blob, "unused blob removed"),
                Err(err) => tracing::warn!(%blob, error = %err, "unused blob not removed"),
            }
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.blob_use.state();
        if let Some(count) = state.holds.get_mut(&self.blob) {
            *count -= 1;
            if *count == 0 {
                state.holds.remove(&self.blob);
            }
        }
        drop(state);
        self.blob_use.suspect([self.blob]);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nilas_store::Store;

    use super::*;

    /// Needs what it is told to.
    #[derive(Debug, Default)]
    struct Owner {
        needs: Mutex<BTreeMap<BlobHash, Need>>,
        let_go: Mutex<Vec<BlobHash>>,
    }

    impl BlobOwner for Owner {
        fn need<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, Need> {
            let need = self.needs.lock().unwrap().get(blob).copied().unwrap_or(Need::None);
            Box::pin(std::future::ready(need))
        }

        fn let_go<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, ()> {
            self.let_go.lock().unwrap().push(*blob);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn a_blob_goes_when_nobody_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blobs = store.blobs();
        let blob_use = BlobUse::new(blobs.clone());
        let (first, second) = (Arc::new(Owner::default()), Arc::new(Owner::default()));
        let owners: Vec<Arc<dyn BlobOwner>> = vec![first.clone(), second.clone()];
        let blob = blobs.put(Bytes::from_static(b"code")).await.unwrap();
        let needs = |owner: &Owner, need: Need| owner.needs.lock().unwrap().insert(blob, need);
        let there = || blobs.path(&blob).exists();

        let hold = blob_use.hold(blob).await;
        blob_use.suspect([blob]);
        assert!(blob_use.sweep(&owners).await && there(), "a request brings it in");
        needs(&first, Need::Named);
        drop(hold);
        assert!(!blob_use.sweep(&owners).await && there(), "the first names it");
        assert_eq!(*second.let_go.lock().unwrap(), [blob], "the second has nothing to keep it for");

        needs(&first, Need::None);
        assert!(!blob_use.sweep(&owners).await && there(), "nobody suspects it");
        needs(&second, Need::ForNow);
        blob_use.suspect([blob]);
        assert!(blob_use.sweep(&owners).await && there(), "the second still uses it");
        needs(&second, Need::None);
        assert!(!blob_use.sweep(&owners).await && !there());
    }

    #[tokio::test]
    async fn what_a_crash_left_goes_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blobs = store.blobs();
        let kept = blobs.put(Bytes::from_static(b"kept")).await.unwrap();
        let left = blobs.put(Bytes::from_static(b"left")).await.unwrap();
        let owner = Arc::new(Owner::default());
        owner.needs.lock().unwrap().insert(kept, Need::Named);
        let blob_use = BlobUse::new(blobs.clone());
        blob_use.suspect_all().await;
        blob_use.sweep(&[owner as Arc<dyn BlobOwner>]).await;
        assert!(blobs.path(&kept).exists());
        assert!(!blobs.path(&left).exists());
    }
}
