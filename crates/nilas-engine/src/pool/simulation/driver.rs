//! What a driver holds, kept from the events and actions alone.

use std::collections::{BTreeMap, BTreeSet};

use nilas_model::{FunctionKey, Version};

use super::{Action, Concurrency, Event, Remains, Slot, Ticket, number};
use crate::pool::event::Eviction;

/// One generation of a version of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) function: usize,
    pub(super) version: Version,
    pub(super) generation: u64,
}

/// An invocation that is neither answered nor refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) kind: Kind,
    pub(super) memory_bytes: u64,
    pub(super) since_ms: u64,
}

/// What was evicted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evicted {
    pub(super) cause: Eviction,
    pub(super) charge: u64,
    pub(super) returned: u64,
}

impl Kind {
    fn of(key: &FunctionKey, generation: u64) -> Self {
        Self { function: number(&key.function), version: key.version, generation }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Alive {
    pub(super) kind: Kind,
    pub(super) provisioned: bool,
    /// Of the machine's memory.
    pub(super) charge: u64,
    /// Grows with each that becomes idle.
    pub(super) returned: u64,
}

#[derive(Default)]
pub(super) struct Driver {
    /// Admitted or asked for, and neither answered nor refused.
    pub(super) open: BTreeMap<Ticket, Open>,
    /// Invocations handed to an environment.
    pub(super) bound: BTreeMap<Slot, Ticket>,
    pub(super) starting: BTreeSet<Slot>,
    pub(super) initializing: BTreeSet<Slot>,
    pub(super) alive: BTreeMap<Slot, Alive>,
    pub(super) frozen: BTreeSet<Slot>,
    pub(super) stopping: BTreeSet<Slot>,
    pub(super) slots_seen: usize,
    returns: u64,
    /// What the one that is asked to be frozen holds.
    held_bytes: u64,
}

impl Driver {
    pub(super) fn is_booting(&self, slot: Slot) -> bool {
        self.starting.contains(&slot) || self.initializing.contains(&slot)
    }

    /// Environments that run an invocation.
    pub(super) fn serving(&self) -> impl Iterator<Item = (Slot, Ticket)> {
        let serving = self.bound.iter().filter(|(slot, _)| !self.is_booting(**slot));
        serving.map(|(slot, ticket)| (*slot, *ticket))
    }

    /// Invocations that have no environment.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Ticket, Kind)> {
        let waiting = self.open.iter().filter(|(ticket, _)| !self.is_bound(**ticket));
        waiting.map(|(ticket, open)| (*ticket, open.kind))
    }

    /// Alive, of use to somebody, and of use to nobody now.
    pub(super) fn idle(&self) -> impl Iterator<Item = (Slot, &Alive)> {
        self.live().filter(|(slot, _)| !self.is_booting(*slot) && !self.bound.contains_key(slot))
    }

    /// It is about to be.
    pub(super) fn evicted(&self, slot: Slot, cause: Eviction) -> Evicted {
        let Alive { provisioned, charge, returned, .. } = self.alive[&slot];
        assert!(!provisioned, "what is provisioned was evicted");
        assert!(!self.bound.contains_key(&slot) && !self.is_booting(slot), "evicted while busy");
        Evicted { cause, charge, returned }
    }

    fn is_bound(&self, ticket: Ticket) -> bool {
        self.bound.values().any(|bound| *bound == ticket)
    }

    /// Alive and not about to end.
    pub(super) fn live(&self) -> impl Iterator<Item = (Slot, &Alive)> {
        let live = self.alive.iter().filter(|(slot, _)| !self.stopping.contains(slot));
        live.map(|(slot, alive)| (*slot, alive))
    }

    /// What the event itself changes.
    pub(super) fn forecast(&mut self, now_ms: u64, event: &Event) {
        match event {
            Event::Invoke { ticket, function, generation, memory_bytes } => {
                let kind = Kind::of(function, *generation);
                let open = Open { kind, memory_bytes: *memory_bytes, since_ms: now_ms };
                assert!(self.open.insert(*ticket, open).is_none());
            }
            Event::Rested { memory_bytes, .. } => self.held_bytes = *memory_bytes,
            Event::SandboxStarted { slot } if self.starting.remove(slot) => {
                self.initializing.insert(*slot);
            }
            Event::Initialized { slot } => drop(self.initializing.remove(slot)),
            Event::Returned { slot, ticket } if self.bound.get(slot) == Some(ticket) => {
                self.bound.remove(slot);
                self.returns += 1;
                if let Some(alive) = self.alive.get_mut(slot) {
                    alive.returned = self.returns;
                }
                assert!(self.open.remove(ticket).is_some(), "answered twice");
            }
            Event::Ended { slot, remains } => {
                self.alive.remove(slot);
                for set in [
                    &mut self.starting,
                    &mut self.initializing,
                    &mut self.frozen,
                    &mut self.stopping,
                ] {
                    set.remove(slot);
                }
                if let Some(ticket) = self.bound.remove(slot)
                    && *remains != Remains::Undelivered
                {
                    assert!(self.open.remove(&ticket).is_some(), "answered twice");
                }
            }
            _ => {}
        }
    }

    pub(super) fn perform(&mut self, action: Action, settings: &[Concurrency]) {
        match action {
            Action::Start { slot, ticket } => {
                let Open { kind, memory_bytes, .. } = self.open[&ticket];
                self.make(slot, kind, false, memory_bytes);
                self.bind(slot, ticket);
            }
            Action::Provision { slot, function } => {
                let settings = &settings[number(&function.function)];
                let wanted = settings.provisioned.get(&function.version);
                let wanted = wanted.expect("it is configured");
                let kind = Kind::of(&function, wanted.generation);
                self.make(slot, kind, true, wanted.memory_bytes);
            }
            Action::Dispatch { slot, ticket, thaw } => {
                assert_eq!(self.frozen.remove(&slot), thaw, "thaw exactly what is frozen");
                assert!(!self.stopping.contains(&slot) && !self.is_booting(slot));
                let Open { kind, memory_bytes, .. } = self.open[&ticket];
                let alive = self.alive.get_mut(&slot).expect("it is alive");
                assert_eq!(kind, alive.kind, "of another version");
                alive.charge = alive.charge.max(memory_bytes);
                self.bind(slot, ticket);
            }
            Action::Freeze { slot } => {
                assert!(!self.bound.contains_key(&slot), "froze a busy environment");
                assert!(self.frozen.insert(slot));
                let alive = self.alive.get_mut(&slot).expect("it is alive");
                if !alive.provisioned {
                    alive.charge = self.held_bytes;
                }
            }
            Action::Stop { slot } | Action::Evict { slot, .. } => {
                assert!(self.alive.contains_key(&slot) && self.stopping.insert(slot));
            }
            Action::Throttle { ticket, .. }
            | Action::Refuse { ticket }
            | Action::TooLarge { ticket } => {
                assert!(self.open.remove(&ticket).is_some(), "answered twice");
            }
        }
    }

    fn make(&mut self, slot: Slot, kind: Kind, provisioned: bool, charge: u64) {
        self.slots_seen += 1;
        let alive = Alive { kind, provisioned, charge, returned: 0 };
        assert!(self.alive.insert(slot, alive).is_none() && self.starting.insert(slot));
    }

    fn bind(&mut self, slot: Slot, ticket: Ticket) {
        assert!(!self.is_bound(ticket), "leased twice");
        assert!(self.bound.insert(slot, ticket).is_none(), "two invocations in one");
    }
}
