//! What a driver holds, kept from the events and actions alone.

use std::collections::{BTreeMap, BTreeSet};

use nilas_model::{FunctionKey, Version};

use super::{Action, Concurrency, Event, Remains, Slot, Ticket, number};

/// One generation of a version of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) function: usize,
    pub(super) version: Version,
    pub(super) generation: u64,
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
}

#[derive(Default)]
pub(super) struct Driver {
    /// Admitted or asked for, and neither answered nor refused.
    pub(super) open: BTreeMap<Ticket, Kind>,
    /// Invocations handed to an environment.
    pub(super) bound: BTreeMap<Slot, Ticket>,
    pub(super) starting: BTreeSet<Slot>,
    pub(super) initializing: BTreeSet<Slot>,
    pub(super) alive: BTreeMap<Slot, Alive>,
    pub(super) frozen: BTreeSet<Slot>,
    pub(super) stopping: BTreeSet<Slot>,
    pub(super) slots_seen: usize,
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
        waiting.map(|(ticket, kind)| (*ticket, *kind))
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
    pub(super) fn forecast(&mut self, event: &Event) {
        match event {
            Event::Invoke { ticket, function, generation } => {
                let kind = Kind::of(function, *generation);
                assert!(self.open.insert(*ticket, kind).is_none());
            }
            Event::SandboxStarted { slot } if self.starting.remove(slot) => {
                self.initializing.insert(*slot);
            }
            Event::Initialized { slot } => drop(self.initializing.remove(slot)),
            Event::Returned { slot, ticket } if self.bound.get(slot) == Some(ticket) => {
                self.bound.remove(slot);
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
                let kind = *self.open.get(&ticket).expect("the invocation is open");
                self.make(slot, Alive { kind, provisioned: false });
                self.bind(slot, ticket);
            }
            Action::Provision { slot, function } => {
                let settings = &settings[number(&function.function)];
                let wanted = settings.provisioned.get(&function.version);
                let generation = wanted.expect("it is configured").generation;
                self.make(slot, Alive { kind: Kind::of(&function, generation), provisioned: true });
            }
            Action::Dispatch { slot, ticket, thaw } => {
                assert_eq!(self.frozen.remove(&slot), thaw, "thaw exactly what is frozen");
                assert!(!self.stopping.contains(&slot) && !self.is_booting(slot));
                assert_eq!(self.open[&ticket], self.alive[&slot].kind, "of another version");
                self.bind(slot, ticket);
            }
            Action::Freeze { slot } => {
                assert!(!self.bound.contains_key(&slot), "froze a busy environment");
                assert!(self.frozen.insert(slot));
            }
            Action::Stop { slot } => {
                assert!(self.alive.contains_key(&slot) && self.stopping.insert(slot));
            }
            Action::Throttle { ticket, .. } | Action::Refuse { ticket } => {
                assert!(self.open.remove(&ticket).is_some(), "answered twice");
            }
        }
    }

    fn make(&mut self, slot: Slot, alive: Alive) {
        self.slots_seen += 1;
        assert!(self.alive.insert(slot, alive).is_none() && self.starting.insert(slot));
    }

    fn bind(&mut self, slot: Slot, ticket: Ticket) {
        assert!(!self.is_bound(ticket), "leased twice");
        assert!(self.bound.insert(slot, ticket).is_none(), "two invocations in one");
    }
}
