//! The end of the pool: nothing starts, who waits is refused, environments end.

use super::Pool;
use crate::pool::event::{Action, Slot};

impl Pool {
    pub(super) fn shutdown(&mut self, actions: &mut Vec<Action>) {
        self.close(actions);
        let free = self.environments.iter().filter(|(_, e)| e.ticket.is_none());
        let free: Vec<Slot> = free.map(|(slot, _)| *slot).collect();
        for slot in free {
            self.stop(slot, actions);
        }
    }

    pub(super) fn stop_all(&mut self, actions: &mut Vec<Action>) {
        self.close(actions);
        let all: Vec<Slot> = self.environments.keys().copied().collect();
        for slot in all {
            self.stop(slot, actions);
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Nothing starts any more, and who waits is refused.
    fn close(&mut self, actions: &mut Vec<Action>) {
        self.closing = true;
        self.line.clear();
        self.hungry.clear();
        self.provisioned.clear();
        for function in self.functions.values_mut() {
            function.in_line = false;
            function.provisions.clear();
            for (ticket, waiter) in std::mem::take(&mut function.waiting) {
                function.stop_waiting(ticket, waiter.at);
                self.ledger.give_back(function);
                self.active -= 1;
                self.waiting -= 1;
                actions.push(Action::Refuse { ticket });
            }
        }
    }
}
