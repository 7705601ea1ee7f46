//! When messages are due and who has them: a pure state machine in memory. Time is passed in.
//!
//! Invariant: a message is in exactly one of three places: `due` (or behind the head of its group), `leased`, or taken
//! out of both by a settlement that is being committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use nilas_model::limits::QUEUE_BODIES_CACHED_BYTES_MAX;
use tokio::sync::watch;

use super::{Counts, LeaseId, MessageId, NewMessage, Settle, Waiting};

#[derive(Debug, Default)]
pub(super) struct Core {
    queues: HashMap<String, Queue>,
    newest_lease: u64,
    messages: u64,
    cached_bytes: usize,
}

#[derive(Debug)]
struct Queue {
    messages: BTreeMap<MessageId, Message>,
    /// What may be leased from its time on. Of a group, its first message, while none of it is leased.
    due: BTreeSet<(u64, MessageId)>,
    /// By the end of the lease.
    leased: BTreeMap<(u64, MessageId), LeaseId>,
    expiries: BTreeSet<(u64, MessageId)>,
    groups: HashMap<Arc<str>, Group>,
    bytes: u64,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Group {
    messages: BTreeSet<MessageId>,
    /// Leased, or being settled.
    busy: usize,
}

#[derive(Debug)]
struct Message {
    /// None if it has to be read from disk.
    body: Option<Bytes>,
    body_bytes: usize,
    note: Bytes,
    group: Option<Arc<str>>,
    pushed_ms: u64,
    due_ms: u64,
    expires_ms: u64,
    receives: u32,
    first_leased_ms: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Leased { lease: LeaseId, until_ms: u64 },
    Settling,
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
                Settle::Retry { queue, id, lease, .. } => (queue, *id, Some(*lease)),
                Settle::Push { .. } => continue,
            };
            let reached = self.queues.get_mut(queue).is_some_and(|queue| queue.begin(id, lease));
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

impl Queue {
    fn new() -> Self {
        Self {
            messages: BTreeMap::new(),
            due: BTreeSet::new(),
            leased: BTreeMap::new(),
            expiries: BTreeSet::new(),
            groups: HashMap::new(),
            bytes: 0,
            changes: watch::Sender::new(0),
        }
    }

    fn tell(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// One allocation for all messages of a group.
    fn group(&self, name: &str) -> Arc<str> {
        self.groups
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    /// A waiting message takes its place among what may be leased, if no other of its group is before it.
    fn line_up(&mut self, id: MessageId) {
        let Some(message) = self.messages.get(&id) else { return };
        match message.group.as_ref().and_then(|group| self.groups.get(group)) {
            None => {
                self.due.insert((message.due_ms, id));
            }
            Some(group) if group.busy > 0 => {}
            Some(group) => {
                // Whoever was the head may not be it any more.
                for other in group.messages.iter().take(2) {
                    self.due.remove(&(self.messages[other].due_ms, *other));
                }
                if let Some(head) = group.messages.first() {
                    self.due.insert((self.messages[head].due_ms, *head));
                }
            }
        }
    }

    fn next_due(&self, after: Option<(u64, MessageId)>, now_ms: u64) -> Option<&(u64, MessageId)> {
        let mut rest = match after {
            None => self.due.range(..),
            Some(after) => {
                self.due.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
            }
        };
        rest.find(|(due_ms, id)| *due_ms > now_ms || self.messages[id].expires_ms > now_ms)
            .filter(|(due_ms, _)| *due_ms <= now_ms)
    }

    /// The message, and those of its group behind it that are due as well.
    fn run(&self, head: MessageId, now_ms: u64, max: usize) -> Vec<MessageId> {
        let group = self.messages[&head].group.as_ref().and_then(|group| self.groups.get(group));
        let Some(group) = group else { return vec![head] };
        let fits = |id: &&MessageId| {
            let message = &self.messages[id];
            message.due_ms <= now_ms && message.expires_ms > now_ms
        };
        group.messages.iter().take_while(fits).take(max).copied().collect()
    }

    fn take(&mut self, id: MessageId, lease: LeaseId, now_ms: u64, until_ms: u64) -> Option<Taken> {
        let message = self.messages.get_mut(&id)?;
        message.receives = message.receives.saturating_add(1);
        if message.receives == 1 {
            message.first_leased_ms = now_ms;
        }
        self.due.remove(&(message.due_ms, id));
        let taken = Taken {
            id,
            lease,
            body: message.body.clone(),
            note: message.note.clone(),
            group: message.group.clone(),
            receives: message.receives,
            pushed_ms: message.pushed_ms,
            first_leased_ms: message.first_leased_ms,
        };
        self.hold(id, lease, until_ms);
        Some(taken)
    }

    fn hold(&mut self, id: MessageId, lease: LeaseId, until_ms: u64) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.place = Place::Leased { lease, until_ms };
        self.leased.insert((until_ms, id), lease);
        self.add_busy(id);
    }

    fn holds(&self, id: MessageId, lease: Option<LeaseId>) -> bool {
        match (self.messages.get(&id).map(|message| message.place), lease) {
            (Some(Place::Leased { lease, .. }), Some(wanted)) => lease == wanted,
            (Some(Place::Leased { .. } | Place::Waiting), None) => true,
            _ => false,
        }
    }

    /// Ends a lease; the message is nowhere then.
    fn let_go(&mut self, id: MessageId) {
        let place = self.messages.get(&id).map(|message| message.place);
        if let Some(Place::Leased { until_ms, .. }) = place {
            self.leased.remove(&(until_ms, id));
            self.release(id);
        }
    }

    fn add_busy(&mut self, id: MessageId) {
        if let Some(group) = self.messages[&id].group.as_ref()
            && let Some(group) = self.groups.get_mut(group)
        {
            group.busy += 1;
        }
    }

    fn release(&mut self, id: MessageId) {
        if let Some(group) = self.messages[&id].group.as_ref()
            && let Some(group) = self.groups.get_mut(group)
        {
            group.busy -= 1;
        }
    }

    fn give_back(&mut self, id: MessageId, due_ms: u64) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.place = Place::Waiting;
            message.due_ms = due_ms;
        }
        self.line_up(id);
        self.tell();
    }

    /// Leases that ended before `now_ms` or at it.
    fn end_leases(&mut self, now_ms: u64) {
        while let Some((&(until_ms, id), _)) = self.leased.first_key_value()
            && until_ms <= now_ms
        {
            self.let_go(id);
            self.give_back(id, until_ms);
        }
    }

    fn begin(&mut self, id: MessageId, lease: Option<LeaseId>) -> bool {
        if !self.holds(id, lease) {
            return false;
        }
        self.let_go(id);
        let Some(message) = self.messages.get_mut(&id) else { return false };
        message.place = Place::Settling;
        self.due.remove(&(message.due_ms, id));
        self.add_busy(id);
        true
    }

    fn put_off(&mut self, id: MessageId, due_ms: u64, note: Bytes) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        self.bytes = self.bytes - message.note.len() as u64 + note.len() as u64;
        message.note = note;
        self.release(id);
        self.give_back(id, due_ms);
    }

    fn remove(&mut self, id: MessageId) -> Option<Message> {
        self.release(id);
        let message = self.messages.remove(&id)?;
        self.bytes -= (message.body_bytes + message.note.len()) as u64;
        self.expiries.remove(&(message.expires_ms, id));
        if let Some(name) = &message.group
            && let Some(group) = self.groups.get_mut(name)
        {
            group.messages.remove(&id);
            match group.messages.first().copied() {
                None => {
                    self.groups.remove(name);
                }
                Some(head) => {
                    self.line_up(head);
                    self.tell();
                }
            }
        }
        Some(message)
    }

    fn is_leased(&self, id: MessageId, now_ms: u64) -> bool {
        match self.messages.get(&id).map(|message| message.place) {
            Some(Place::Leased { until_ms, .. }) => until_ms > now_ms,
            Some(Place::Settling) => true,
            _ => false,
        }
    }
}
