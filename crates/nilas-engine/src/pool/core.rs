//! The decisions of the pool: `step(now, event)` answers with the actions to perform.
//!
//! Invariant: no clock, no IO, no randomness, no lock. Given the same events, the same actions.
//! Invariant: no event costs more for how many environments or functions there are, but for those it is about.

mod closing;
mod configure;
mod memory;
mod starts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nilas_model::{FunctionId, FunctionKey};

use super::budget::Budget;
use super::event::{
    Action, Event, PoolConfig, ProvisionFailure, Remains, Slot, ThrottleReason, Ticket,
};
use super::function::{Function, GroupKey, IdleKey, Waiter};
use super::ledger::Ledger;
use super::state::{EnvironmentState, Transition};

/// One environment as the pool knows it.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) state: EnvironmentState,
    pub(crate) function: FunctionKey,
    pub(crate) generation: u64,
    pub(crate) invocations: u64,
    /// Kept for its version whether or not anybody wants it, and never lent to the account's common concurrency.
    pub(crate) provisioned: bool,
    /// The one invocation it is bound to.
    ticket: Option<Ticket>,
    born_ms: u64,
    pub(crate) idle_since_ms: u64,
    /// Its place in line while it can be leased.
    rest: Option<u64>,
    retiring: bool,
    /// What it is charged with while it is busy, and provisioned ones always.
    memory_bytes: u64,
    /// What it is charged with now: while frozen what it was seen to hold, nothing once it is about to end.
    charge: u64,
}

/// All environments and all admitted invocations.
#[derive(Debug)]
pub(crate) struct Pool {
    config: PoolConfig,
    /// Oldest first.
    environments: BTreeMap<Slot, Environment>,
    functions: BTreeMap<FunctionId, Function>,
    ledger: Ledger,
    budget: Budget,
    /// Functions whose next invocation waits for memory, each once; none of them is in `line`.
    hungry: VecDeque<FunctionId>,
    /// Functions that have something to start, each once, in the order of their turns.
    line: VecDeque<FunctionId>,
    /// Functions with provisions.
    provisioned: BTreeSet<FunctionId>,
    /// Idle environments that are not provisioned, idle longest first.
    idle: BTreeMap<u64, Slot>,
    next_slot: u64,
    next_rest: u64,
    /// Invariant: admitted tickets that are waiting or bound; ≤ `concurrency_max`.
    active: usize,
    /// Invariant: tickets in all `waiting` sets.
    waiting: usize,
    /// Invariant: environments that are Starting or Initializing; ≤ `starts_max`.
    starting: usize,
    /// Invariant: environments that are neither Stopping nor Gone; ≤ `concurrency_max`.
    live: usize,
    closing: bool,
}

// === impl Environment ===

impl Environment {
    fn group(&self) -> GroupKey {
        GroupKey { version: self.function.version, generation: self.generation }
    }
}

// === impl Pool ===

impl Pool {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self {
            ledger: Ledger::new(config.concurrency_max),
            budget: Budget::new(config.memory_bytes_max),
            config,
            hungry: VecDeque::new(),
            environments: BTreeMap::new(),
            functions: BTreeMap::new(),
            line: VecDeque::new(),
            provisioned: BTreeSet::new(),
            idle: BTreeMap::new(),
            next_slot: 0,
            next_rest: 0,
            active: 0,
            waiting: 0,
            starting: 0,
            live: 0,
            closing: false,
        }
    }

    pub(crate) fn step(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Invoke { ticket, function, generation, memory_bytes } => {
                let at = GroupKey { version: function.version, generation };
                let waiter = Waiter { at, memory_bytes, since_ms: now_ms };
                self.admit(now_ms, ticket, &function, waiter, &mut actions);
            }
            Event::SandboxStarted { slot } => {
                self.transition(slot, Transition::SandboxStarted);
            }
            Event::Initialized { slot } => self.initialized(now_ms, slot, &mut actions),
            Event::Returned { slot, ticket } => self.returned(now_ms, slot, ticket, &mut actions),
            Event::Rested { slot, memory_bytes } => {
                self.rested(now_ms, slot, memory_bytes, &mut actions);
            }
            Event::Ended { slot, remains } => self.ended(now_ms, slot, remains, &mut actions),
            Event::Tick => {
                self.expire(now_ms, &mut actions);
                self.look_after_provisions();
                self.give_up_waiting(now_ms, &mut actions);
            }
            Event::Relieve { bytes } => self.relieve(bytes, &mut actions),
            Event::Retire { function, older_than } => {
                self.retire(&function, older_than, &mut actions);
            }
            Event::Configure { function, concurrency } => {
                self.configure(&function, concurrency, &mut actions);
            }
            Event::Shutdown => self.shutdown(&mut actions),
            Event::StopAll => self.stop_all(&mut actions),
        }
        self.start_due(now_ms, &mut actions);
        actions
    }

    pub(crate) fn environments(&self) -> impl Iterator<Item = (Slot, &Environment)> {
        self.environments.iter().map(|(slot, environment)| (*slot, environment))
    }

    /// Invocations admitted and not over.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn used(&self) -> usize {
        self.ledger.used()
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn charged(&self) -> u64 {
        self.budget.charged()
    }

    /// No environment is left, ended ones included.
    pub(crate) fn is_empty(&self) -> bool {
        self.environments.is_empty()
    }

    fn admit(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        key: &FunctionKey,
        waiter: Waiter,
        actions: &mut Vec<Action>,
    ) {
        if self.closing {
            actions.push(Action::Refuse { ticket });
            return;
        }
        self.retire(key, waiter.at.generation, actions);
        if self.budget.is_beyond(waiter.memory_bytes) {
            actions.push(Action::TooLarge { ticket });
            return;
        }
        if let Err(reason) = self.check_admission(&key.function, waiter.at) {
            actions.push(Action::Throttle { ticket, reason });
            return;
        }
        self.active += 1;
        self.place(now_ms, ticket, &key.function, waiter, actions);
    }

    /// An idle provisioned environment is always free to be used; anything else needs concurrency, and a place
    /// among those who wait.
    fn check_admission(&self, id: &FunctionId, at: GroupKey) -> Result<(), ThrottleReason> {
        let nothing = Function::default();
        let function = self.functions.get(id).unwrap_or(&nothing);
        let idle = self.leasable(function, at);
        if idle.is_some_and(|(key, _)| key.provisioned) {
            return Ok(());
        }
        self.ledger.check(function)?;
        if idle.is_some() {
            return Ok(());
        }
        if function.waiting.len() >= self.config.function_waiters_max {
            return Err(match function.reserved {
                Some(_) => ThrottleReason::ReservedFunctionInvocationRateLimitExceeded,
                None => ThrottleReason::FunctionInvocationRateLimitExceeded,
            });
        }
        if self.waiting >= self.config.waiters_max {
            return Err(ThrottleReason::ConcurrentInvocationLimitExceeded);
        }
        Ok(())
    }

    /// Leases an idle environment, or waits for one.
    fn place(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        id: &FunctionId,
        waiter: Waiter,
        actions: &mut Vec<Action>,
    ) {
        let idle = self.functions.get(id).and_then(|function| self.leasable(function, waiter.at));
        let function = match self.functions.get_mut(id) {
            Some(function) => function,
            None => self.functions.entry(id.clone()).or_default(),
        };
        if !idle.is_some_and(|(key, _)| key.provisioned) {
            self.ledger.take(function);
        }
        match idle {
            Some((_, slot)) => {
                self.forget_idle(slot);
                self.lease(now_ms, slot, ticket, actions);
            }
            None => {
                function.wait(ticket, waiter);
                self.waiting += 1;
                self.join_line(id);
            }
        }
    }

    /// `slot` is ready and in no idle list, and there is memory for it to be busy.
    fn lease(&mut self, now_ms: u64, slot: Slot, ticket: Ticket, actions: &mut Vec<Action>) {
        self.charge_busy(slot, actions);
        let Some(environment) = self.environments.get_mut(&slot) else {
            debug_assert!(false, "idle lists name only known environments");
            return;
        };
        let thaw = environment.state == EnvironmentState::Frozen;
        environment.ticket = Some(ticket);
        environment.invocations += 1;
        environment.idle_since_ms = now_ms;
        environment.rest = None;
        self.transition(slot, Transition::Lease);
        actions.push(Action::Dispatch { slot, ticket, thaw });
    }

    /// An invocation it was started for was given with `Start`, so there is nothing to dispatch.
    fn initialized(&mut self, now_ms: u64, slot: Slot, actions: &mut Vec<Action>) {
        if !self.transition(slot, Transition::Initialized) {
            return;
        }
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        if environment.ticket.is_some() {
            environment.invocations += 1;
            self.transition(slot, Transition::Lease);
        } else {
            self.provisioned_one(slot);
            self.rest(now_ms, slot, actions);
        }
    }

    /// What comes late or twice is of an invocation that is over, and changes nothing.
    fn returned(&mut self, now_ms: u64, slot: Slot, ticket: Ticket, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        let serving =
            matches!(environment.state, EnvironmentState::Leased | EnvironmentState::Stopping);
        if !serving || environment.ticket != Some(ticket) {
            return;
        }
        environment.ticket = None;
        let worn = environment.retiring
            || now_ms.saturating_sub(environment.born_ms) >= self.config.age_ms_max;
        self.invocation_over(slot);
        if !self.transition(slot, Transition::Release) {
            return;
        }
        if worn || self.closing {
            self.stop(slot, actions);
        } else {
            self.rest(now_ms, slot, actions);
        }
    }

    /// Gives back what the invocation had that was bound to `slot`.
    fn invocation_over(&mut self, slot: Slot) {
        self.active -= 1;
        let Some(environment) = self.environments.get(&slot) else { return };
        if !environment.provisioned
            && let Some(function) = self.functions.get_mut(&environment.function.function)
        {
            self.ledger.give_back(function);
        }
    }

    /// A ready environment serves the oldest invocation that waits for one like it, or is idle.
    fn rest(&mut self, now_ms: u64, slot: Slot, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        let (at, id) = (environment.group(), &environment.function.function);
        let Some(function) = self.functions.get_mut(id) else { return };
        let group = function.groups.entry(at).or_default();
        match group.waiting.first().copied() {
            Some(ticket) => {
                function.stop_waiting(ticket, at);
                self.waiting -= 1;
                if environment.provisioned {
                    self.ledger.give_back(function);
                }
                self.lease(now_ms, slot, ticket, actions);
            }
            None => {
                let rest = self.next_rest;
                self.next_rest += 1;
                environment.idle_since_ms = now_ms;
                environment.rest = Some(rest);
                group.idle.insert(IdleKey { provisioned: environment.provisioned, rest }, slot);
                if !environment.provisioned {
                    self.idle.insert(rest, slot);
                    self.budget.offer(environment.charge);
                }
            }
        }
    }

    fn rested(&mut self, now_ms: u64, slot: Slot, memory_bytes: u64, actions: &mut Vec<Action>) {
        let due = self.environments.get(&slot).is_some_and(|environment| {
            environment.state == EnvironmentState::Ready
                && now_ms.saturating_sub(environment.idle_since_ms) >= self.config.freeze_after_ms
        });
        if due {
            self.transition(slot, Transition::Freeze);
            actions.push(Action::Freeze { slot });
            self.charge_idle(slot, memory_bytes, actions);
        }
    }

    fn ended(&mut self, now_ms: u64, slot: Slot, remains: Remains, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get(&slot) else { return };
        let (at, id) = (environment.group(), environment.function.function.clone());
        let (ticket, state) = (environment.ticket, environment.state);
        let waiter = Waiter { at, memory_bytes: environment.memory_bytes, since_ms: now_ms };
        if environment.provisioned && state.is_starting() {
            let failure = match remains {
                Remains::FailedInit => ProvisionFailure::Init,
                Remains::Nothing | Remains::Undelivered => ProvisionFailure::Start,
            };
            self.provision_failed(now_ms, slot, failure);
        }
        self.forget_idle(slot);
        self.transition(slot, Transition::Ended);
        if ticket.is_some() {
            self.invocation_over(slot);
        }
        self.environments.remove(&slot);
        if let Some(function) = self.functions.get_mut(&id)
            && let Some(group) = function.groups.get_mut(&at)
        {
            group.environments.remove(&slot);
        }
        match ticket {
            Some(ticket) if remains == Remains::Undelivered && self.closing => {
                actions.push(Action::Refuse { ticket });
            }
            Some(ticket) if remains == Remains::Undelivered => {
                self.active += 1;
                self.place(now_ms, ticket, &id, waiter, actions);
            }
            _ => {}
        }
        self.forget_unused(&id, at);
    }

    /// Ends what has been idle too long, and what is idle and old; what is busy and old ends when it returns.
    fn expire(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Self { config, environments, idle, .. } = self;
        let unused = idle.values().copied().take_while(|slot| {
            environments.get(slot).is_some_and(|environment| {
                now_ms.saturating_sub(environment.idle_since_ms) >= config.idle_ms_max
            })
        });
        let old = environments.iter().take_while(|(_, environment)| {
            now_ms.saturating_sub(environment.born_ms) >= config.age_ms_max
        });
        let old = old.filter(|(_, environment)| environment.state.is_idle()).map(|(slot, _)| *slot);
        let due: BTreeSet<Slot> = unused.chain(old).collect();
        for slot in due {
            self.stop(slot, actions);
        }
    }

    fn retire(&mut self, key: &FunctionKey, older_than: u64, actions: &mut Vec<Action>) {
        let Some(function) = self.functions.get_mut(&key.function) else { return };
        let mut old = Vec::new();
        for (_, group) in function.groups.range_mut(GroupKey::older(key.version, older_than)) {
            if !std::mem::replace(&mut group.retired, true) {
                old.extend(group.environments.iter().copied());
            }
        }
        // Nobody starts more of it; the newer generation is configured in its turn.
        if function.provisions.get(&key.version).is_some_and(|p| p.wanted.generation < older_than) {
            function.provisions.remove(&key.version);
        }
        for slot in old {
            self.retire_environment(slot, actions);
        }
    }

    /// Ends an environment after what it is doing.
    fn retire_environment(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        environment.retiring = true;
        if environment.ticket.is_none() {
            self.stop(slot, actions);
        } else {
            self.leave_provision(slot);
        }
    }

    fn stop(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        self.forget_idle(slot);
        if self.transition(slot, Transition::Stop) {
            actions.push(Action::Stop { slot });
        }
    }

    fn forget_idle(&mut self, slot: Slot) {
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        let Some(rest) = environment.rest.take() else { return };
        let key = IdleKey { provisioned: environment.provisioned, rest };
        let function = self.functions.get_mut(&environment.function.function);
        if let Some(group) = function.and_then(|f| f.groups.get_mut(&environment.group())) {
            group.idle.remove(&key);
        }
        if self.idle.remove(&rest).is_some() {
            self.budget.withdraw(environment.charge);
        }
    }

    /// Functions long gone cost nothing.
    fn forget_unused(&mut self, id: &FunctionId, at: GroupKey) {
        let Some(function) = self.functions.get_mut(id) else { return };
        function.forget_group(at);
        if function.is_unused() {
            self.functions.remove(id);
        }
    }

    /// Moves one environment and keeps the counts. A late event of an environment already on its way out
    /// changes nothing.
    fn transition(&mut self, slot: Slot, transition: Transition) -> bool {
        let Some(environment) = self.environments.get_mut(&slot) else { return false };
        let before = environment.state;
        let Ok(after) = before.next(transition) else { return false };
        environment.state = after;
        let dies = before.is_live() && !after.is_live();
        if before.is_starting() && !after.is_starting() {
            self.starting -= 1;
            if let Some(function) = self.functions.get_mut(&environment.function.function) {
                function.starting -= 1;
            }
        }
        if dies {
            self.live -= 1;
            self.budget.release(std::mem::take(&mut environment.charge));
        }
        if dies && environment.provisioned {
            if let Some(function) = self.functions.get_mut(&environment.function.function) {
                self.ledger.give_back(function);
            }
            self.leave_provision(slot);
        }
        true
    }
}
