//! When messages of all queues are due and who has them: a pure state machine in memory. Time is passed in.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use nilas_model::limits::QUEUE_BODIES_CACHED_BYTES_MAX;
use tokio::sync::watch;

use super::queue::{Message, Place, Queue};
use super::{Counts, LeaseId, MessageId, NewMessage, Settle, Waiting};

#[derive(Debug, Default)]
pub(super) struct Core {
    queues: HashMap<String, Queue>,
    newest_lease: u64,
    messages: u64,
    cached_bytes: usize,
}

/// A message that has just been leased.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) id: MessageId,
    pub(super) lease: LeaseId,
    pub(super) body: Option<Bytes>,
    pub(super) note: Bytes,
    pub(super) group: Option<Arc<str>>,
    pub(super) receives: u32,
    pub(super) pushed_ms: u64,
    pub(super) first_leased_ms: u64,
}

/// What the disk knows of a message besides what it was pushed with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct History {
    pub(super) receives: u32,
    pub(super) first_leased_ms: u64,
}

impl Core {
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// A message that is on disk. `body_bytes` is its body's length, which is in `message` or only on disk.
    pub(super) fn insert(
        &mut self,
        queue: &str,
        id: MessageId,
        message: &NewMessage,
        body_bytes: usize,
        history: History,
    ) {
        let fits = self.cached_bytes + body_bytes <= QUEUE_BODIES_CACHED_BYTES_MAX;
        let body = (fits && message.body.len() == body_bytes).then(|| message.body.clone());
        if body.is_some() {
            self.cached_bytes += body_bytes;
        }
        self.messages += 1;
        let queue = self.queue(queue);
        let group = message.group.as_deref().map(|group| queue.group(group));
        if let Some(group) = &group {
            queue.groups.entry(Arc::clone(group)).or_default().messages.insert(id);
        }
        queue.bytes += (body_bytes + message.note.len()) as u64;
        queue.expiries.insert((message.expires_ms, id));
        let entry = Message {
            body,
            body_bytes,
            note: message.note.clone(),
            group,
            pushed_ms: message.pushed_ms,
            due_ms: message.due_ms,
            expires_ms: message.expires_ms,
            receives: history.receives,
            first_leased_ms: history.first_leased_ms,
            place: Place::Waiting,
        };
        queue.messages.insert(id, entry);
        queue.line_up(id);
        queue.tell();
    }

    pub(super) fn lease(
        &mut self,
        queue: &str,
        max: usize,
        now_ms: u64,
        until_ms: u64,
    ) -> Vec<Taken> {
        let newest_lease = &mut self.newest_lease;
        let Some(queue) = self.queues.get_mut(queue) else { return Vec::new() };
        queue.end_leases(now_ms);
        let mut taken = Vec::new();
        let mut after = None;
        while taken.len() < max
            && let Some(&(due_ms, id)) = queue.next_due(after, now_ms)
        {
            after = Some((due_ms, id));
            for id in queue.run(id, now_ms, max - taken.len()) {
                *newest_lease += 1;
                taken.extend(queue.take(id, LeaseId(*newest_lease), now_ms, until_ms));
            }
        }
        taken
    }

    pub(super) fn extend(
        &mut self,
        queue: &str,
        id: MessageId,
        lease: LeaseId,
        now_ms: u64,
        until_ms: u64,
    ) -> bool {
        let Some(queue) = self.queues.get_mut(queue) else { return false };
        queue.end_leases(now_ms);
        if !queue.holds(id, Some(lease)) {
            return false;
        }
        queue.let_go(id);
        if until_ms <= now_ms {
            queue.give_back(id, now_ms);
        } else {
            queue.hold(id, lease, until_ms);
        }
        true
    }

    /// Takes the messages that `parts` name out of everybody's reach; or nothing, if one is out of reach already.
    pub(super) fn begin(&mut self, parts: &[Settle]) -> bool {
        for (at, part) in parts.iter().enumerate() {
            let (queue, id, lease) = match part {
                Settle::Ack { queue, id, lease } => (queue, *id, *lease),
                Settle::Retry { queue, id, lease, .. } => (queue, *id, *lease),
                Settle::Push { .. } => continue,
            };
            let leased_too = lease.is_some() || matches!(part, Settle::Ack { .. });
            let reached = self.queues.get_mut(queue).is_some_and(|queue| {
                (leased_too || queue.is_waiting(id)) && queue.begin(id, lease)
            });
            if !reached {
                self.abandon(&parts[..at]);
                return false;
            }
        }
        true
    }

    /// The settlement that began was not committed.
    pub(super) fn abandon(&mut self, parts: &[Settle]) {
        for part in parts {
            if let Settle::Ack { queue, id, .. } | Settle::Retry { queue, id, .. } = part
                && let Some(queue) = self.queues.get_mut(queue)
                && let Some(due_ms) = queue.messages.get(id).map(|message| message.due_ms)
            {
                queue.release(*id);
                queue.give_back(*id, due_ms);
            }
        }
    }

    /// The settlement that began is on disk; `pushed` are the numbers of its pushes, in their order.
    pub(super) fn finish(&mut self, parts: Vec<Settle>, pushed: &[MessageId]) {
        let mut pushed = pushed.iter();
        for part in parts {
            match part {
                Settle::Ack { queue, id, .. } => self.end(&queue, id),
                Settle::Retry { queue, id, due_ms, note, .. } => {
                    if let Some(queue) = self.queues.get_mut(&queue) {
                        queue.put_off(id, due_ms, note);
                    }
                }
                Settle::Push { queue, message } => {
                    if let Some(id) = pushed.next() {
                        self.insert(&queue, *id, &message, message.body.len(), History::default());
                    }
                }
            }
        }
    }

    pub(super) fn expired(&self, queue: &str, now_ms: u64) -> Vec<MessageId> {
        let Some(queue) = self.queues.get(queue) else { return Vec::new() };
        let until = (now_ms, MessageId(u64::MAX));
        let ids = queue.expiries.range(..=until).map(|(_, id)| *id);
        ids.filter(|id| !queue.is_leased(*id, now_ms)).collect()
    }

    pub(super) fn ids(&self, queue: &str) -> Vec<MessageId> {
        self.queues
            .get(queue)
            .map_or_else(Vec::new, |queue| queue.messages.keys().copied().collect())
    }

    pub(super) fn forget(&mut self, queue: &str) {
        let is_unused = |queue: &Queue| queue.messages.is_empty() && queue.changes.is_closed();
        if self.queues.get(queue).is_some_and(is_unused) {
            self.queues.remove(queue);
        }
    }

    pub(super) fn counts(&mut self, queue: &str, now_ms: u64) -> Counts {
        let Some(queue) = self.queues.get_mut(queue) else { return Counts::default() };
        queue.end_leases(now_ms);
        let mut counts = Counts { bytes: queue.bytes, ..Counts::default() };
        for message in queue.messages.values() {
            match message.place {
                Place::Waiting if message.due_ms > now_ms => counts.delayed += 1,
                Place::Waiting => counts.due += 1,
                Place::Leased { .. } | Place::Settling => counts.leased += 1,
            }
        }
        counts.oldest_pushed_ms = queue.messages.values().next().map(|message| message.pushed_ms);
        counts
    }

    pub(super) fn leased(&self, queue: &str) -> usize {
        self.queues.get(queue).map_or(0, |queue| queue.leased.len())
    }

    pub(super) fn next_due_ms(&self, queue: &str, now_ms: u64) -> Option<u64> {
        let queue = self.queues.get(queue)?;
        let mut due = queue.due.iter();
        let due = due.find(|(_, id)| queue.messages[id].expires_ms > now_ms);
        let due = due.map(|(due_ms, _)| *due_ms);
        let lease = queue.leased.first_key_value().map(|((until_ms, _), _)| *until_ms);
        due.into_iter().chain(lease).min()
    }

    pub(super) fn watch(&mut self, queue: &str) -> watch::Receiver<u64> {
        self.queue(queue).changes.subscribe()
    }

    pub(super) fn list(&self, queue: &str, after: Option<MessageId>, limit: usize) -> Vec<Waiting> {
        let Some(queue) = self.queues.get(queue) else { return Vec::new() };
        let from = MessageId(after.map_or(0, |id| id.0.saturating_add(1)));
        let waiting = |(id, message): (&MessageId, &Message)| Waiting {
            id: *id,
            note: message.note.clone(),
            group: message.group.clone(),
            pushed_ms: message.pushed_ms,
            due_ms: message.due_ms,
            receives: message.receives,
            leased: message.place != Place::Waiting,
        };
        queue.messages.range(from..).take(limit).map(waiting).collect()
    }

    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let full = self.queues.iter().filter(|(_, queue)| !queue.messages.is_empty());
        let mut names: Vec<String> =
            full.map(|(name, _)| name.clone()).filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        names
    }

    fn end(&mut self, queue: &str, id: MessageId) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        let Some(message) = queue.remove(id) else { return };
        self.messages -= 1;
        if message.body.is_some() {
            self.cached_bytes -= message.body_bytes;
        }
    }

    fn queue(&mut self, name: &str) -> &mut Queue {
        // Looked up twice rather than copying the name of a queue that is there.
        if !self.queues.contains_key(name) {
            self.queues.insert(name.to_owned(), Queue::new());
        }
        self.queues.get_mut(name).expect("just inserted")
    }
}
