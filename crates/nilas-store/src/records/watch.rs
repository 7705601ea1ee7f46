//! Who wants to know of changed records.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// The keys that one commit changed.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub(crate) changed: Vec<ChangedKey>,
}

#[derive(Debug, Clone)]
pub(crate) struct ChangedKey {
    pub(crate) space: String,
    pub(crate) key: String,
    pub(crate) revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// The record was put or deleted; get it to see which.
    Changed { key: String, revision: u64 },
    /// The watcher was too slow and missed changes: list again.
    Missed,
}

/// A subscription to the changes of some keys.
#[derive(Debug)]
pub struct Watch {
    space: String,
    prefix: String,
    commits: broadcast::Receiver<Arc<Commit>>,
    pending: VecDeque<WatchEvent>,
}

impl Watch {
    pub(crate) fn new(
        space: String,
        prefix: String,
        commits: broadcast::Receiver<Arc<Commit>>,
    ) -> Self {
        Self { space, prefix, commits, pending: VecDeque::new() }
    }

    /// The next change, or None when the store is closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match self.commits.recv().await {
                Ok(commit) => {
                    let ours = |changed: &&ChangedKey| {
                        changed.space == self.space && changed.key.starts_with(&self.prefix)
                    };
                    let events = commit.changed.iter().filter(ours);
                    self.pending.extend(events.map(|changed| WatchEvent::Changed {
                        key: changed.key.clone(),
                        revision: changed.revision,
                    }));
                }
                Err(RecvError::Lagged(_)) => return Some(WatchEvent::Missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
