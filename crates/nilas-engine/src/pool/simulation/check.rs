//! What holds after every step.

use super::driver::Kind;
use super::{FUNCTIONS, MEMORY_BYTES, Simulation, Slot, Ticket};
use crate::pool::event::{Eviction, ThrottleReason};
use crate::pool::state::EnvironmentState;

/// Concurrency in use, by function, as the driver sees it.
pub(super) type Usage = [usize; FUNCTIONS];

impl Simulation<'_> {
    /// Provisioned environments, and invocations outside of them.
    pub(super) fn usage(&self) -> Usage {
        let driver = &self.driver;
        let mut usage = [0; FUNCTIONS];
        for open in driver.open.values() {
            usage[open.kind.function] += 1;
        }
        for (slot, alive) in driver.alive.iter().filter(|(_, alive)| alive.provisioned) {
            // With the invocation that is on it, it takes one and not two, and none once it is about to end.
            usage[alive.kind.function] += usize::from(!driver.stopping.contains(slot));
            usage[alive.kind.function] -= usize::from(driver.bound.contains_key(slot));
        }
        usage
    }

    /// `configured`: settings changed with the step. `relieve`: it was to free so much memory.
    pub(super) fn check(&mut self, configured: bool, relieve: u64) {
        let usage = self.usage();
        let before = std::mem::replace(&mut self.usage, usage);
        let used: usize = self.usage.iter().sum();
        assert_eq!(self.pool.active(), self.driver.open.len(), "an invocation was lost or kept");
        assert_eq!(self.pool.used(), used, "concurrency was lost or kept");
        self.check_limits(used);
        if !configured {
            self.check_reservations(&before);
        }
        self.check_environments();
        self.check_memory(relieve);
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
        let (mut shared_before, mut shared_after, mut reserved) = (0, 0, 0);
        for (settings, (before, after)) in self.settings.iter().zip(before.iter().zip(&self.usage))
        {
            match settings.reserved {
                Some(most) => {
                    reserved += most;
                    assert!(*after <= most.max(*before), "beyond its reservation");
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
        let known = self.pool.environments().map(|(slot, _)| slot);
        assert!(known.eq(driver.alive.keys().copied()), "an environment leaked");
        for (slot, environment) in self.pool.environments() {
            let idle = environment.state.is_idle();
            assert!(!(idle && driver.bound.contains_key(&slot)), "a lease was lost");
            assert_eq!(environment.provisioned, driver.alive[&slot].provisioned);
            assert_eq!(environment.state == EnvironmentState::Frozen, {
                driver.frozen.contains(&slot) && !driver.stopping.contains(&slot)
            });
        }
    }

    /// Never more than there is; who was idle longest goes first, as many as have to.
    fn check_memory(&self, relieve: u64) {
        let charged: u64 = self.driver.live().map(|(_, alive)| alive.charge).sum();
        assert_eq!(self.pool.charged(), charged, "memory was lost or kept");
        assert!(charged <= self.config.memory_bytes_max, "more memory than there is");
        let idle = self.driver.idle().filter(|(_, alive)| !alive.provisioned);
        let longest = idle.map(|(_, alive)| alive.returned).min();
        for evicted in &self.evicted {
            let before = longest.is_none_or(|longest| evicted.returned < longest);
            assert!(before, "another was idle longer");
        }
        let pressed = self.evicted.iter().filter(|evicted| evicted.cause == Eviction::Pressure);
        let relieved: u64 = pressed.map(|evicted| evicted.charge).sum();
        assert!(relieved >= relieve || longest.is_none(), "idle environments were kept");
    }

    /// Whether an environment of the function could be made or leased, if all were evicted that can be.
    fn has_memory(&self, function: usize, idle: Option<Slot>) -> bool {
        let driver = &self.driver;
        let evictable = |slot: Slot| {
            Some(slot) != idle
                && driver.idle().any(|(other, alive)| other == slot && !alive.provisioned)
        };
        let stays = driver.live().filter(|(slot, _)| Some(*slot) != idle && !evictable(*slot));
        let stays: u64 = stays.map(|(_, alive)| alive.charge).sum();
        let charge = idle.map_or(0, |slot| driver.alive[&slot].charge);
        stays + charge.max(MEMORY_BYTES[function]) <= self.config.memory_bytes_max
    }

    /// Nobody waits beside an idle environment, and nobody waits for a start that could be made, unless it is for
    /// memory. Those of one function wait for it one behind the other.
    fn check_waiters(&self) {
        let driver = &self.driver;
        let mut booting = [0; FUNCTIONS];
        for (_, alive) in driver.live().filter(|(slot, _)| driver.is_booting(*slot)) {
            booting[alive.kind.function] += 1;
        }
        let idle = |kind: Kind| {
            let mut idle: Vec<_> = driver.idle().filter(|(_, alive)| alive.kind == kind).collect();
            idle.sort_by_key(|(_, alive)| (alive.provisioned, alive.returned));
            idle.last().map(|(slot, alive)| (*slot, alive.provisioned))
        };
        let free = self.config.starts_max - booting.iter().sum::<usize>();
        let mut hungry = [false; FUNCTIONS];
        for (ticket, kind) in driver.waiting() {
            let idle = idle(kind);
            assert!(!idle.is_some_and(|(_, provisioned)| provisioned), "{ticket:?} needs nothing");
            hungry[kind.function] |= !self.has_memory(kind.function, idle.map(|(slot, _)| slot));
            if !hungry[kind.function] {
                assert!(booting[kind.function] >= free, "{ticket:?} waits though it could start");
            }
        }
    }

    /// Every throttle has its reason.
    pub(super) fn check_throttle(&self, ticket: Ticket, reason: ThrottleReason) {
        let number = self.driver.open[&ticket].kind.function;
        let settings = &self.settings[number];
        // The throttled invocation itself is still open.
        let mut usage = self.usage();
        usage[number] -= 1;
        let others = self.driver.waiting().filter(|(other, _)| *other != ticket);
        let own = others.filter(|(_, kind)| kind.function == number).count();
        let waiting = self.driver.waiting().count() - 1;
        let reserved: usize = self.settings.iter().filter_map(|s| s.reserved).sum();
        let shared = self.settings.iter().zip(&usage).filter(|(s, _)| s.reserved.is_none());
        let shared: usize = shared.map(|(_, used)| used).sum();
        let max = self.config.concurrency_max;
        let holds = match reason {
            ThrottleReason::ConcurrentInvocationLimitExceeded => {
                let full = settings.reserved.is_none() && shared >= max - reserved;
                let all = usage.iter().sum::<usize>() >= max;
                let since_ms = self.driver.open[&ticket].since_ms;
                let waited = self.now_ms - since_ms >= self.config.memory_wait_ms_max;
                full || all || waited || waiting >= self.config.waiters_max
            }
            ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded => {
                settings.reserved.is_some_and(|most| usage[number] >= most)
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
        self.functions.iter().zip(&self.settings).all(|(id, settings)| {
            settings.provisioned.iter().all(|(version, wanted)| {
                let status = self.pool.provision_status(&id.key(*version));
                status.is_some_and(|status| status.allocated == wanted.count)
            })
        })
    }
}
