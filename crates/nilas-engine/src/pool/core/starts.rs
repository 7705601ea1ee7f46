//! Which environment is started next: functions take turns, and none takes all places.

use nilas_model::FunctionId;

use super::{Environment, Pool};
use crate::pool::event::{Action, Eviction, Slot, Ticket, Wanted};
use crate::pool::function::{Due, GroupKey, Waiter};
use crate::pool::state::EnvironmentState;

/// What came of a function's turn.
enum Turn {
    /// Something was started or leased.
    Served,
    /// It has enough starts under way.
    Passed,
    /// There is no memory for it.
    Short,
    Nothing,
}

impl Pool {
    /// The function has, or may have, something to start.
    pub(super) fn join_line(&mut self, id: &FunctionId) {
        if let Some(function) = self.functions.get_mut(id)
            && !self.closing
            && !std::mem::replace(&mut function.in_line, true)
        {
            self.line.push_back(id.clone());
        }
    }

    /// Starts environments, one a turn, as far as there are places. A function that must pass has a start under
    /// way, so that at most `starts_max` of them are passed over.
    pub(super) fn start_due(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        self.feed(now_ms, actions);
        let mut passed = 0;
        while self.starting < self.config.starts_max && passed < self.line.len() {
            let Some(id) = self.line.pop_front() else { return };
            match self.take_turn(now_ms, &id, actions) {
                Turn::Served => passed = 0,
                Turn::Passed => passed += 1,
                Turn::Short => {
                    self.hungry.push_back(id);
                    continue;
                }
                Turn::Nothing => {
                    self.leave_line(&id);
                    continue;
                }
            }
            self.line.push_back(id);
        }
    }

    /// Functions that wait for memory take turns when there is more of it, before all others. Of many, some are looked at
    /// now and others with the next event.
    fn feed(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if !self.budget.has_grown() {
            return;
        }
        let mut short = 0;
        while short < self.hungry.len().min(self.config.starts_max) {
            let Some(id) = self.hungry.pop_front() else { break };
            match self.take_turn(now_ms, &id, actions) {
                Turn::Served => {
                    short = 0;
                    self.hungry.push_back(id);
                }
                Turn::Short => {
                    short += 1;
                    self.hungry.push_back(id);
                }
                Turn::Passed => self.line.push_back(id),
                Turn::Nothing => self.leave_line(&id),
            }
        }
        self.budget.looked(short >= self.hungry.len());
    }

    fn take_turn(&mut self, now_ms: u64, id: &FunctionId, actions: &mut Vec<Action>) -> Turn {
        let Some(function) = self.functions.get(id) else { return Turn::Nothing };
        match function.due(now_ms) {
            Some(Due::Waiter(ticket, waiter)) => self.serve(now_ms, id, ticket, waiter, actions),
            Some(Due::Provision(at, wanted)) => self.provide(now_ms, id, at, wanted, actions),
            None => Turn::Nothing,
        }
    }

    /// For who waits: the environment that only lacked memory, or a new one.
    fn serve(
        &mut self,
        now_ms: u64,
        id: &FunctionId,
        ticket: Ticket,
        waiter: Waiter,
        actions: &mut Vec<Action>,
    ) -> Turn {
        let Some(function) = self.functions.get_mut(id) else { return Turn::Nothing };
        let at = waiter.at;
        let idle = function.groups.get(&at).and_then(|group| group.idle.last_key_value());
        if let Some(slot) = idle.map(|(_, slot)| *slot) {
            if !self.can_be_busy(slot) {
                return Turn::Short;
            }
            self.stop_waiting(id, ticket, at);
            self.forget_idle(slot);
            self.lease(now_ms, slot, ticket, actions);
            return Turn::Served;
        }
        if !self.budget.can_hold(waiter.memory_bytes, 0) {
            return Turn::Short;
        }
        if self.has_enough_starts(id) {
            return Turn::Passed;
        }
        self.stop_waiting(id, ticket, at);
        let slot = self.start(now_ms, id, at, Some(ticket), waiter.memory_bytes, actions);
        actions.push(Action::Start { slot, ticket });
        Turn::Served
    }

    fn provide(
        &mut self,
        now_ms: u64,
        id: &FunctionId,
        at: GroupKey,
        wanted: Wanted,
        actions: &mut Vec<Action>,
    ) -> Turn {
        if self.has_enough_starts(id) {
            return Turn::Passed;
        }
        let Some(function) = self.functions.get_mut(id) else { return Turn::Nothing };
        if self.ledger.check(function).is_err() || !self.budget.can_hold(wanted.memory_bytes, 0) {
            // Looked at again with the next tick.
            return Turn::Nothing;
        }
        self.ledger.take(function);
        let slot = self.start(now_ms, id, at, None, wanted.memory_bytes, actions);
        actions.push(Action::Provision { slot, function: id.key(at.version) });
        Turn::Served
    }

    fn stop_waiting(&mut self, id: &FunctionId, ticket: Ticket, at: GroupKey) {
        if let Some(function) = self.functions.get_mut(id) {
            function.stop_waiting(ticket, at);
            self.waiting -= 1;
        }
    }

    /// As many places stay free as the function holds: one alone gets half of them, and each that comes later finds
    /// some, however slow the inits of those before it are.
    fn has_enough_starts(&self, id: &FunctionId) -> bool {
        let starting = self.functions.get(id).map_or(0, |function| function.starting);
        starting >= self.config.starts_max - self.starting
    }

    fn leave_line(&mut self, id: &FunctionId) {
        if let Some(function) = self.functions.get_mut(id) {
            function.in_line = false;
            if function.is_unused() {
                self.functions.remove(id);
            }
        }
    }

    /// Ends the environment that has been idle longest if there are as many as there may be. There is one: every
    /// live environment is idle or counted by the ledger, and so is what is to be started, which is not live yet.
    fn make_room(&mut self, actions: &mut Vec<Action>) {
        if self.live < self.config.concurrency_max {
            return;
        }
        let evicted = self.evict(Eviction::Concurrency, actions);
        debug_assert!(evicted.is_some(), "live environments that nobody pays for are idle");
    }

    /// For an invocation, or to be provisioned.
    fn start(
        &mut self,
        now_ms: u64,
        id: &FunctionId,
        at: GroupKey,
        ticket: Option<Ticket>,
        memory_bytes: u64,
        actions: &mut Vec<Action>,
    ) -> Slot {
        self.make_room(actions);
        self.evict_for(memory_bytes, actions);
        self.budget.charge(memory_bytes);
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        self.starting += 1;
        self.live += 1;
        let mut retiring = false;
        if let Some(function) = self.functions.get_mut(id) {
            function.starting += 1;
            retiring = function.is_outdated(at);
            function.groups.entry(at).or_default().environments.insert(slot);
            if ticket.is_none()
                && let Some(provision) = function.provisions.get_mut(&at.version)
            {
                provision.slots.insert(slot);
            }
        }
        let environment = Environment {
            state: EnvironmentState::Starting,
            function: id.key(at.version),
            generation: at.generation,
            invocations: 0,
            provisioned: ticket.is_none(),
            ticket,
            born_ms: now_ms,
            idle_since_ms: now_ms,
            rest: None,
            retiring,
            memory_bytes,
            charge: memory_bytes,
        };
        self.environments.insert(slot, environment);
        slot
    }
}
