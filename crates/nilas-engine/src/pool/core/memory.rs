//! Memory: what environments are charged with, and who has to go or to wait for it.

use super::{Environment, Pool};
use crate::pool::event::{Action, Eviction, Slot, ThrottleReason};
use crate::pool::function::{Function, GroupKey, IdleKey};
use crate::pool::state::Transition;

impl Environment {
    /// What it is charged with more once it is busy. Provisioned ones are charged for it all the time, so that they
    /// never wait.
    fn busy_bytes_more(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.charge)
    }
}

impl Pool {
    /// The idle environment that an invocation would get, if there is memory for it to be busy and nobody waits for that
    /// already.
    pub(super) fn leasable(&self, function: &Function, at: GroupKey) -> Option<(IdleKey, Slot)> {
        let group = function.groups.get(&at)?;
        let (key, slot) = group.idle.last_key_value().map(|(key, slot)| (*key, *slot))?;
        let free = key.provisioned || (group.waiting.is_empty() && self.can_be_busy(slot));
        free.then_some((key, slot))
    }

    /// Whether there is memory for an idle environment to be busy.
    pub(super) fn can_be_busy(&self, slot: Slot) -> bool {
        self.environments.get(&slot).is_some_and(|environment| {
            let kept = if environment.provisioned { 0 } else { environment.charge };
            self.budget.can_hold(environment.busy_bytes_more(), kept)
        })
    }

    /// Charges an environment that is about to be leased, and makes room for that.
    pub(super) fn charge_busy(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        let more = self.environments.get(&slot).map_or(0, Environment::busy_bytes_more);
        self.evict_for(more, actions);
        if let Some(environment) = self.environments.get_mut(&slot) {
            environment.charge += more;
            self.budget.charge(more);
        }
    }

    /// Charges an environment that has been frozen with what it holds. If that is more than before, others may have to
    /// go, or itself.
    pub(super) fn charge_idle(&mut self, slot: Slot, held_bytes: u64, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        if environment.provisioned {
            return;
        }
        let before = std::mem::replace(&mut environment.charge, held_bytes);
        self.budget.withdraw(before);
        self.budget.release(before);
        self.budget.charge(held_bytes);
        self.budget.offer(held_bytes);
        self.evict_for(0, actions);
    }

    /// Ends what has been idle longest until there is room.
    pub(super) fn evict_for(&mut self, bytes: u64, actions: &mut Vec<Action>) {
        while self.budget.lacks(bytes) && self.evict(Eviction::Budget, actions).is_some() {}
        debug_assert!(!self.budget.lacks(bytes), "it was looked whether there can be room");
    }

    pub(super) fn relieve(&mut self, bytes: u64, actions: &mut Vec<Action>) {
        let mut relieved = 0;
        while relieved < bytes
            && let Some(charge) = self.evict(Eviction::Pressure, actions)
        {
            relieved += charge;
        }
    }

    /// Ends the environment that has been idle longest; answers with what it was charged with.
    pub(super) fn evict(&mut self, cause: Eviction, actions: &mut Vec<Action>) -> Option<u64> {
        let slot = self.idle.first_key_value().map(|(_, slot)| *slot)?;
        let charge = self.environments.get(&slot)?.charge;
        self.forget_idle(slot);
        self.transition(slot, Transition::Stop);
        actions.push(Action::Evict { slot, cause });
        Some(charge)
    }

    /// Throttles who has waited for memory too long: those that hold it are busy.
    pub(super) fn give_up_waiting(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let wait_ms_max = self.config.memory_wait_ms_max;
        let Self { hungry, functions, ledger, active, waiting, .. } = self;
        for id in hungry.iter() {
            let Some(function) = functions.get_mut(id) else { continue };
            while let Some((ticket, waiter)) = function.waiting.first_key_value()
                && now_ms.saturating_sub(waiter.since_ms) >= wait_ms_max
            {
                let (ticket, at) = (*ticket, waiter.at);
                function.stop_waiting(ticket, at);
                ledger.give_back(function);
                *active -= 1;
                *waiting -= 1;
                function.forget_group(at);
                let reason = ThrottleReason::ConcurrentInvocationLimitExceeded;
                actions.push(Action::Throttle { ticket, reason });
            }
        }
        // What is next of theirs may need less, and whoever has nothing left leaves.
        self.budget.looked(false);
    }
}
