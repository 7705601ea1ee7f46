//! Which environment is started next: functions take turns, and none takes all places.

use nilas_model::FunctionId;

use super::{Environment, Pool};
use crate::pool::event::{Action, Slot, Ticket};
use crate::pool::function::{Due, GroupKey};
use crate::pool::state::EnvironmentState;

/// What came of a function's turn.
enum Turn {
    Started,
    /// It has enough starts under way.
    Passed,
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
        let mut passed = 0;
        while self.starting < self.config.starts_max && passed < self.line.len() {
            let Some(id) = self.line.pop_front() else { return };
            match self.take_turn(now_ms, &id, actions) {
                Turn::Started => passed = 0,
                Turn::Passed => passed += 1,
                Turn::Nothing => {
                    self.leave_line(&id);
                    continue;
                }
            }
            self.line.push_back(id);
        }
    }

    fn take_turn(&mut self, now_ms: u64, id: &FunctionId, actions: &mut Vec<Action>) -> Turn {
        let Some(function) = self.functions.get_mut(id) else { return Turn::Nothing };
        let Some(due) = function.due(now_ms) else { return Turn::Nothing };
        // As many places stay free as the function holds: one alone gets half of them, and each that comes later
        // finds some, however slow the inits of those before it are.
        if function.starting >= self.config.starts_max - self.starting {
            return Turn::Passed;
        }
        match due {
            Due::Waiter(ticket, at) => {
                function.stop_waiting(ticket, at);
                self.waiting -= 1;
                self.make_room(actions);
                let slot = self.start(now_ms, id, at, Some(ticket));
                actions.push(Action::Start { slot, ticket });
            }
            Due::Provision(at) => {
                if self.ledger.check(function).is_err() {
                    // Looked at again with the next tick.
                    return Turn::Nothing;
                }
                self.ledger.take(function);
                self.make_room(actions);
                let slot = self.start(now_ms, id, at, None);
                actions.push(Action::Provision { slot, function: id.key(at.version) });
            }
        }
        Turn::Started
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
        let longest = self.idle.first_key_value().map(|(_, slot)| *slot);
        debug_assert!(longest.is_some(), "live environments that nobody pays for are idle");
        if let Some(slot) = longest {
            self.stop(slot, actions);
        }
    }

    /// For an invocation, or to be provisioned.
    fn start(
        &mut self,
        now_ms: u64,
        id: &FunctionId,
        at: GroupKey,
        ticket: Option<Ticket>,
    ) -> Slot {
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
        };
        self.environments.insert(slot, environment);
        slot
    }
}
