//! What waits to be written to the logs: bounded in events and bytes, and never blocking those who append.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nilas_model::limits::{
    LOG_BYTES_QUEUED_MAX, LOG_DROP_COUNTERS_MAX, LOG_EVENTS_QUEUED_MAX, LOG_GROUP_QUEUE_PARTS,
    LOG_LINGER_MS,
};
use tokio::sync::oneshot;

use super::LogRow;
use crate::Result;

/// Rows of one stream.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) group: String,
    pub(super) stream: String,
    pub(super) ingestion_ms: u64,
    pub(super) rows: Vec<LogRow>,
}

/// A change that somebody waits for.
#[derive(Debug)]
pub(super) enum Change {
    Put(Append),
    CreateGroup {
        group: String,
        created_ms: u64,
    },
    DeleteGroup {
        group: String,
    },
    SetRetention {
        group: String,
        days: Option<u32>,
    },
    CreateStream {
        group: String,
        stream: String,
        created_ms: u64,
    },
    DeleteStream {
        group: String,
        stream: String,
    },
    /// Nothing but the wait.
    Flush,
}

#[derive(Debug)]
pub(super) enum Work {
    Append(Append),
    Change { change: Change, answer: oneshot::Sender<Result<bool>> },
}

/// Everything queued since the last batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) work: Vec<Work>,
    pub(super) drops: Vec<Drop>,
    load: Load,
    groups: HashMap<String, Load>,
    urgent: bool,
}

/// How much waits.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    events: usize,
    bytes: usize,
}

/// Events that a stream lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drop {
    pub(super) group: String,
    pub(super) stream: String,
    pub(super) events: u64,
}

/// Closes when dropped, so the writer ends with the last handle.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

/// The writer's end. Dropped with the writer, it fails everybody who waits and comes later.
#[derive(Debug)]
pub(super) struct Receiver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    dropped: HashMap<(String, String), u64>,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { shared: Arc::default() })
    }

    pub(super) fn receiver(&self) -> Receiver {
        Receiver { shared: Arc::clone(&self.shared) }
    }

    pub(super) fn push(&self, append: Append) {
        let load = Load {
            events: append.rows.len(),
            bytes: append.rows.iter().map(|row| row.message.len()).sum(),
        };
        let mut state = self.shared.lock();
        if load.events == 0 || state.closed {
            return;
        }
        let batch = &mut state.batch;
        let groups = batch.groups.get(&append.group).copied().unwrap_or_default().and(load);
        let all = batch.load.and(load);
        if !all.fits(1) || !groups.fits(LOG_GROUP_QUEUE_PARTS) {
            state.count_drop(append);
            return;
        }
        batch.load = all;
        match batch.groups.get_mut(&append.group) {
            Some(known) => *known = groups,
            None => drop(batch.groups.insert(append.group.clone(), groups)),
        }
        batch.work.push(Work::Append(append));
        // The writer lingers after the first arrival; more wake it only when the queue fills up.
        let wake = batch.work.len() == 1 || batch.is_pressing();
        drop(state);
        if wake {
            self.shared.arrived.notify_one();
        }
    }

    /// The caller bounds how many of these wait.
    pub(super) fn push_change(&self, work: Work) {
        let mut state = self.shared.lock();
        if state.closed {
            return;
        }
        state.batch.work.push(work);
        state.batch.urgent = true;
        drop(state);
        self.shared.arrived.notify_one();
    }
}

impl std::ops::Drop for Queue {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl std::ops::Drop for Receiver {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.lock().batch = Batch::default();
    }
}

impl Receiver {
    /// Waits for work, at most `patience`, then a moment for more of it. None: closed, and all is taken.
    pub(super) fn take(&self, patience: Duration) -> Option<Batch> {
        let mut state = self.shared.lock();
        if state.batch.work.is_empty() && !state.closed {
            state = self
                .shared
                .wait(state, patience, |state| state.batch.work.is_empty() && !state.closed);
        }
        if !state.batch.work.is_empty() {
            let linger = Duration::from_millis(LOG_LINGER_MS);
            state = self
                .shared
                .wait(state, linger, |state| !state.batch.is_pressing() && !state.closed);
        }
        if state.closed && state.batch.work.is_empty() && state.dropped.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut state.batch);
        let dropped = std::mem::take(&mut state.dropped);
        batch.drops.extend(dropped.into_iter().map(|((group, stream), events)| Drop {
            group,
            stream,
            events,
        }));
        Some(batch)
    }
}

impl Batch {
    /// How many events were appended, those in changes not counted.
    pub(super) fn events(&self) -> usize {
        self.load.events
    }

    fn is_pressing(&self) -> bool {
        self.urgent || !self.load.fits(4)
    }
}

impl Load {
    fn and(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }

    /// Whether it is within one of so many `parts` of the queue.
    fn fits(self, parts: usize) -> bool {
        self.events <= LOG_EVENTS_QUEUED_MAX / parts && self.bytes <= LOG_BYTES_QUEUED_MAX / parts
    }
}

impl State {
    fn count_drop(&mut self, append: Append) {
        let events = append.rows.len() as u64;
        let key = (append.group, append.stream);
        if let Some(count) = self.dropped.get_mut(&key) {
            *count += events;
        } else if self.dropped.len() < LOG_DROP_COUNTERS_MAX {
            self.dropped.insert(key, events);
        } else {
            tracing::warn!(group = key.0, stream = key.1, events, "log events dropped");
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves the state whole: every change to it is a single step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Duration,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.arrived
            .wait_timeout_while(state, patience, condition)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(stream: &str, rows: usize, bytes: usize) -> Append {
        let row = LogRow { timestamp_ms: 1, message: "x".repeat(bytes) };
        Append {
            group: "g".to_owned(),
            stream: stream.to_owned(),
            ingestion_ms: 1,
            rows: vec![row; rows],
        }
    }

    #[test]
    fn drops_and_counts_what_is_over_the_bounds() {
        let queue = Queue::new();
        queue.push(append("a", LOG_EVENTS_QUEUED_MAX / LOG_GROUP_QUEUE_PARTS, 1));
        queue.push(append("a", 2, 1));
        queue.push(append("a", 3, 1));
        let batch = queue.receiver().take(Duration::ZERO).unwrap();
        assert_eq!(batch.work.len(), 1);
        assert_eq!(
            batch.drops,
            [Drop { group: "g".to_owned(), stream: "a".to_owned(), events: 5 }]
        );
    }

    #[test]
    fn bounds_bytes_too() {
        let queue = Queue::new();
        queue.push(append("a", 16, 1_048_576));
        queue.push(append("b", 1, 1));
        let batch = queue.receiver().take(Duration::ZERO).unwrap();
        assert_eq!((batch.work.len(), batch.drops.len()), (1, 1));
    }

    #[test]
    fn a_flood_of_one_group_leaves_room_for_others() {
        let queue = Queue::new();
        queue.push(append("a", 16, 1_048_576));
        queue.push(append("a", 16, 1_048_576));
        for group in ["h", "i", "j"] {
            queue.push(Append { group: group.to_owned(), ..append("a", 16, 1_048_576) });
        }
        queue.push(Append { group: "k".to_owned(), ..append("a", 1, 1) });
        let batch = queue.receiver().take(Duration::ZERO).unwrap();
        let dropped: Vec<&str> = batch.drops.iter().map(|drop| drop.group.as_str()).collect();
        assert_eq!((batch.work.len(), dropped.len()), (4, 2), "all together are bounded, too");
    }

    #[test]
    fn gives_out_what_was_queued_before_it_ends() {
        let queue = Queue::new();
        let receiver = queue.receiver();
        queue.push(append("a", 1, 1));
        drop(queue);
        assert!(receiver.take(Duration::from_secs(9)).is_some());
        assert!(receiver.take(Duration::from_secs(9)).is_none());
    }
}
