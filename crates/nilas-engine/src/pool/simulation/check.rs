//! What holds after every step.

use std::collections::BTreeMap;

use nilas_model::FunctionId;

use super::driver::Kind;
use super::{BTreeSet, Simulation, Slot, Ticket};
use crate::pool::event::ThrottleReason;
use crate::pool::state::EnvironmentState;

/// Concurrency in use, by function, as the driver sees it.
pub(super) type Usage = BTreeMap<FunctionId, usize>;

impl Simulation<'_> {
    /// Provisioned environments, and invocations outside of them.
    pub(super) fn usage(&self) -> Usage {
        let driver = &self.driver;
        let mut usage = Usage::new();
        let provisioned = driver.live().filter(|(_, alive)| alive.provisioned);
        for (_, alive) in provisioned {
            *usage.entry(alive.kind.0.function.clone()).or_default() += 1;
        }
        let inside: BTreeSet<Ticket> = driver
            .bound
            .iter()
            .filter_map(|(slot, ticket)| {
                driver.alive.get(slot).is_some_and(|alive| alive.provisioned).then_some(*ticket)
            })
            .collect();
        for (_, (key, _)) in driver.open.iter().filter(|(ticket, _)| !inside.contains(ticket)) {
            *usage.entry(key.function.clone()).or_default() += 1;
        }
        usage
    }

    /// `configured`: settings changed with the step.
    pub(super) fn check(&mut self, configured: bool) {
        let usage = self.usage();
        let before = std::mem::replace(&mut self.usage, usage);
        let used: usize = self.usage.values().sum();
        assert_eq!(self.pool.active(), self.driver.open.len(), "an invocation was lost or kept");
        assert_eq!(self.pool.used(), used, "concurrency was lost or kept");
        self.check_limits(used);
        if !configured {
            self.check_reservations(&before);
        }
        self.check_environments();
        self.check_waiters();
    }

    fn check_limits(&self, used: usize) {
        assert!(used <= self.config.concurrency_max);
        assert!(self.driver.live().count() <= self.config.concurrency_max);
        let starting = self.driver.live().filter(|(slot, _)| self.driver.is_booting(*slot));
        assert!(starting.count() <= self.config.starts_max);
    }

    /// What is over a limit that was lowered never grows; everything else stays below its own.
    fn check_reservations(&self, before: &Usage) {
        let used = |usage: &Usage, id: &FunctionId| usage.get(id).copied().unwrap_or_default();
        let (mut shared_before, mut shared_after, mut reserved) = (0, 0, 0);
        for (id, settings) in &self.settings {
            let (before, after) = (used(before, id), used(&self.usage, id));
            match settings.reserved {
                Some(most) => {
                    reserved += most;
                    assert!(after <= most.max(before), "beyond its reservation");
                }
                None => {
                    shared_before += before;
                    shared_after += after;
                }
            }
        }
        let most = self.config.concurrency_max - reserved;
        assert!(shared_after <= most.max(shared_before), "into what others have reserved");
    }

    fn check_environments(&self) {
        let driver = &self.driver;
        let known: BTreeSet<Slot> = self.pool.environments().map(|(slot, _)| slot).collect();
        assert!(known.iter().eq(driver.alive.keys()), "an environment leaked");
        for (slot, environment) in self.pool.environments() {
            let idle = environment.state.is_idle();
            assert!(!(idle && driver.bound.contains_key(&slot)), "a lease was lost");
            assert_eq!(environment.provisioned, driver.alive[&slot].provisioned);
            assert_eq!(environment.state == EnvironmentState::Frozen, {
                driver.frozen.contains(&slot) && !driver.stopping.contains(&slot)
            });
        }
    }

    /// Nobody waits beside an idle environment, and nobody waits for a start that could be made.
    fn check_waiters(&self) {
        let driver = &self.driver;
        let idle = driver
            .live()
            .filter(|(slot, _)| !driver.bound.contains_key(slot) && !driver.is_booting(*slot));
        let idle: BTreeSet<&Kind> = idle.map(|(_, alive)| &alive.kind).collect();
        let booting = driver.live().filter(|(slot, _)| driver.is_booting(*slot));
        let booting: Vec<&FunctionId> = booting.map(|(_, alive)| &alive.kind.0.function).collect();
        for (ticket, kind) in driver.waiting() {
            assert!(!idle.contains(kind), "{ticket:?} waits beside an idle environment");
            let own = booting.iter().filter(|id| ***id == kind.0.function).count();
            let free = self.config.starts_max - booting.len();
            assert!(own >= free, "{ticket:?} waits though it could start");
        }
    }

    /// Every throttle has its reason.
    pub(super) fn check_throttle(&self, ticket: Ticket, reason: ThrottleReason) {
        let (key, _) = &self.driver.open[&ticket];
        let settings = &self.settings[&key.function];
        // The throttled invocation itself is still open.
        let mut usage = self.usage();
        *usage.entry(key.function.clone()).or_default() -= 1;
        let others = self.driver.waiting().filter(|(other, _)| *other != ticket);
        let own = others.filter(|(_, kind)| kind.0.function == key.function).count();
        let waiting = self.driver.waiting().count() - 1;
        let reserved: usize = self.settings.values().filter_map(|s| s.reserved).sum();
        let shared = self.settings.iter().filter(|(_, s)| s.reserved.is_none());
        let shared: usize = shared.filter_map(|(id, _)| usage.get(id)).sum();
        let max = self.config.concurrency_max;
        let holds = match reason {
            ThrottleReason::ConcurrentInvocationLimitExceeded => {
                let full = settings.reserved.is_none() && shared >= max - reserved;
                let all = usage.values().sum::<usize>() >= max;
                full || all || waiting >= self.config.waiters_max
            }
            ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded => {
                settings.reserved.is_some_and(|most| usage[&key.function] >= most)
            }
            ThrottleReason::FunctionInvocationRateLimitExceeded => {
                settings.reserved.is_none() && own >= self.config.function_waiters_max
            }
            ThrottleReason::ReservedFunctionInvocationRateLimitExceeded => {
                settings.reserved.is_some() && own >= self.config.function_waiters_max
            }
        };
        assert!(holds, "{ticket:?} was throttled without a reason");
    }

    /// As many as are wanted are initialised, of each version.
    pub(super) fn is_provisioned(&self) -> bool {
        self.settings.iter().all(|(id, settings)| {
            settings.provisioned.iter().all(|(version, wanted)| {
                let status = self.pool.provision_status(&id.key(*version));
                status.is_some_and(|status| status.allocated == wanted.count)
            })
        })
    }
}
