//! One queue in memory. Invariant: a message is in exactly one of three places: `due` (or behind the head of its
//! group), `leased`, or taken out of both by a settlement that is being committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::core::Taken;
use super::{LeaseId, MessageId};

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) messages: BTreeMap<MessageId, Message>,
    /// What may be leased from its time on. Of a group, its first message, while none of it is leased.
    pub(super) due: BTreeSet<(u64, MessageId)>,
    /// By the end of the lease.
    pub(super) leased: BTreeMap<(u64, MessageId), LeaseId>,
    pub(super) expiries: BTreeSet<(u64, MessageId)>,
    pub(super) groups: HashMap<Arc<str>, Group>,
    pub(super) bytes: u64,
    pub(super) changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) messages: BTreeSet<MessageId>,
    /// Leased, or being settled.
    pub(super) busy: usize,
}

#[derive(Debug)]
pub(super) struct Message {
    /// None if it has to be read from disk.
    pub(super) body: Option<Bytes>,
    pub(super) body_bytes: usize,
    pub(super) note: Bytes,
    pub(super) group: Option<Arc<str>>,
    pub(super) pushed_ms: u64,
    pub(super) due_ms: u64,
    pub(super) expires_ms: u64,
    pub(super) receives: u32,
    pub(super) first_leased_ms: u64,
    pub(super) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Leased { lease: LeaseId, until_ms: u64 },
    Settling,
}

impl Queue {
    pub(super) fn new() -> Self {
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

    pub(super) fn tell(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// One allocation for all messages of a group.
    pub(super) fn group(&self, name: &str) -> Arc<str> {
        self.groups
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    /// A waiting message takes its place among what may be leased, if no other of its group is before it.
    pub(super) fn line_up(&mut self, id: MessageId) {
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

    pub(super) fn next_due(
        &self,
        after: Option<(u64, MessageId)>,
        now_ms: u64,
    ) -> Option<&(u64, MessageId)> {
        let mut rest = match after {
            None => self.due.range(..),
            Some(after) => self.due.range((Bound::Excluded(after), Bound::Unbounded)),
        };
        rest.find(|(due_ms, id)| *due_ms > now_ms || self.messages[id].expires_ms > now_ms)
            .filter(|(due_ms, _)| *due_ms <= now_ms)
    }

    /// The message, and those of its group behind it that are due as well.
    pub(super) fn run(&self, head: MessageId, now_ms: u64, max: usize) -> Vec<MessageId> {
        let group = self.messages[&head].group.as_ref().and_then(|group| self.groups.get(group));
        let Some(group) = group else { return vec![head] };
        let fits = |id: &&MessageId| {
            let message = &self.messages[id];
            message.due_ms <= now_ms && message.expires_ms > now_ms
        };
        group.messages.iter().take_while(fits).take(max).copied().collect()
    }

    pub(super) fn take(
        &mut self,
        id: MessageId,
        lease: LeaseId,
        now_ms: u64,
        until_ms: u64,
    ) -> Option<Taken> {
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

    pub(super) fn hold(&mut self, id: MessageId, lease: LeaseId, until_ms: u64) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.place = Place::Leased { lease, until_ms };
        self.leased.insert((until_ms, id), lease);
        self.add_busy(id);
    }

    pub(super) fn holds(&self, id: MessageId, lease: Option<LeaseId>) -> bool {
        match (self.messages.get(&id).map(|message| message.place), lease) {
            (Some(Place::Leased { lease, .. }), Some(wanted)) => lease == wanted,
            (Some(Place::Leased { .. } | Place::Waiting), None) => true,
            _ => false,
        }
    }

    /// Ends a lease; the message is nowhere then.
    pub(super) fn let_go(&mut self, id: MessageId) {
        let place = self.messages.get(&id).map(|message| message.place);
        if let Some(Place::Leased { until_ms, .. }) = place {
            self.leased.remove(&(until_ms, id));
            self.release(id);
        }
    }

    pub(super) fn add_busy(&mut self, id: MessageId) {
        if let Some(group) = self.messages[&id].group.as_ref()
            && let Some(group) = self.groups.get_mut(group)
        {
            group.busy += 1;
        }
    }

    pub(super) fn release(&mut self, id: MessageId) {
        if let Some(group) = self.messages[&id].group.as_ref()
            && let Some(group) = self.groups.get_mut(group)
        {
            group.busy -= 1;
        }
    }

    pub(super) fn give_back(&mut self, id: MessageId, due_ms: u64) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.place = Place::Waiting;
            message.due_ms = due_ms;
        }
        self.line_up(id);
        self.tell();
    }

    /// Leases that ended before `now_ms` or at it.
    pub(super) fn end_leases(&mut self, now_ms: u64) {
        while let Some((&(until_ms, id), _)) = self.leased.first_key_value()
            && until_ms <= now_ms
        {
            self.let_go(id);
            self.give_back(id, until_ms);
        }
    }

    pub(super) fn begin(&mut self, id: MessageId, lease: Option<LeaseId>) -> bool {
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

    pub(super) fn put_off(&mut self, id: MessageId, due_ms: u64, note: Bytes) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        self.bytes = self.bytes - message.note.len() as u64 + note.len() as u64;
        message.note = note;
        self.release(id);
        self.give_back(id, due_ms);
    }

    pub(super) fn remove(&mut self, id: MessageId) -> Option<Message> {
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

    pub(super) fn is_waiting(&self, id: MessageId) -> bool {
        self.messages.get(&id).is_some_and(|message| message.place == Place::Waiting)
    }

    pub(super) fn is_leased(&self, id: MessageId, now_ms: u64) -> bool {
        match self.messages.get(&id).map(|message| message.place) {
            Some(Place::Leased { until_ms, .. }) => until_ms > now_ms,
            Some(Place::Settling) => true,
            _ => false,
        }
    }
}
