//! The decisions of the pool: `step(now, event)` answers with the actions to perform.
//!
//! Invariant: no clock, no IO, no randomness, no lock. Given the same events, the same actions.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nilas_model::FunctionKey;

use super::state::{EnvironmentState, Transition};

/// Number of an environment in the pool, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u64);

/// Number of an admitted invocation, never used twice; given by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// The limits the pool keeps. Durations in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    /// Most invocations admitted at once, and most environments alive.
    pub(crate) concurrency_max: usize,
    pub(crate) starts_max: usize,
    pub(crate) waiters_max: usize,
    pub(crate) idle_ms_max: u64,
    pub(crate) age_ms_max: u64,
    pub(crate) freeze_after_ms: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Somebody wants this generation of this function run.
    Invoke { ticket: Ticket, function: FunctionKey, generation: u64 },
    /// The sandbox exists; the runtime boots.
    SandboxStarted { slot: Slot },
    /// The runtime waits for its first event and gets the invocation it was started for.
    Initialized { slot: Slot },
    /// The invocation is over and the environment is sound.
    Returned { slot: Slot },
    /// The environment's driver saw it idle for the freeze delay.
    Rested { slot: Slot },
    /// Nothing of the environment is left. `undelivered`: its invocation never reached the runtime and is not over.
    Ended { slot: Slot, undelivered: bool },
    /// Time has passed.
    Tick,
    /// Environments of older generations end, busy ones after their invocation.
    Retire { function: FunctionKey, older_than: u64 },
    /// Admit nothing more; idle environments end now, busy ones after their invocation.
    Shutdown,
    /// End everything that is left.
    StopAll,
}

/// What the driver has to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make an environment and run this invocation in it once it is initialised.
    Start {
        slot: Slot,
        ticket: Ticket,
    },
    /// Run this invocation in this environment, thawing it first if it is frozen.
    Dispatch {
        slot: Slot,
        ticket: Ticket,
        thaw: bool,
    },
    Freeze {
        slot: Slot,
    },
    /// End the environment; `Ended` follows.
    Stop {
        slot: Slot,
    },
    Throttle {
        ticket: Ticket,
        reason: ThrottleReason,
    },
    /// The engine shuts down.
    Refuse {
        ticket: Ticket,
    },
}

/// The `Reason` of AWS's 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleReason {
    ConcurrentInvocationLimitExceeded,
    ReservedFunctionConcurrentInvocationLimitExceeded,
}

/// One environment as the pool knows it.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) state: EnvironmentState,
    pub(crate) function: FunctionKey,
    pub(crate) generation: u64,
    pub(crate) invocations: u64,
    /// The one invocation it is bound to.
    ticket: Option<Ticket>,
    born_ms: u64,
    pub(crate) idle_since_ms: u64,
    retiring: bool,
}

#[derive(Debug, Default)]
struct Group {
    /// Leasable environments, last used on top.
    idle: Vec<Slot>,
    /// Invocations without an environment, oldest first.
    waiting: VecDeque<Ticket>,
}

/// All environments and all admitted invocations.
#[derive(Debug)]
pub(crate) struct Pool {
    config: PoolConfig,
    environments: BTreeMap<Slot, Environment>,
    functions: HashMap<FunctionKey, BTreeMap<u64, Group>>,
    /// Which group waits for a place to start, oldest first; one entry per waiting ticket, possibly outdated.
    queue: VecDeque<(Ticket, FunctionKey, u64)>,
    next_slot: u64,
    /// Invariant: admitted tickets that are waiting or bound; ≤ `concurrency_max`.
    active: usize,
    /// Invariant: tickets in all `waiting` queues; ≤ `waiters_max`.
    waiting: usize,
    /// Invariant: environments that are Starting or Initializing; ≤ `starts_max`.
    starting: usize,
    /// Invariant: environments that are neither Stopping nor Gone; ≤ `concurrency_max`.
    live: usize,
    closing: bool,
}

// === impl Pool ===

impl Pool {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self {
            config,
            environments: BTreeMap::new(),
            functions: HashMap::new(),
            queue: VecDeque::new(),
            next_slot: 0,
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
            Event::Invoke { ticket, function, generation } => {
                self.admit(now_ms, ticket, function, generation, &mut actions);
            }
            Event::SandboxStarted { slot } => {
                self.transition(slot, Transition::SandboxStarted);
            }
            Event::Initialized { slot } => self.initialized(slot),
            Event::Returned { slot } => self.returned(now_ms, slot, &mut actions),
            Event::Rested { slot } => self.rested(now_ms, slot, &mut actions),
            Event::Ended { slot, undelivered } => self.ended(slot, undelivered, &mut actions),
            Event::Tick => self.expire(now_ms, &mut actions),
            Event::Retire { function, older_than } => {
                self.retire(&function, older_than, &mut actions);
            }
            Event::Shutdown => self.shutdown(&mut actions),
            Event::StopAll => self.stop_all(&mut actions),
        }
        self.start_waiting(now_ms, &mut actions);
        actions
    }

    pub(crate) fn environments(&self) -> impl Iterator<Item = (Slot, &Environment)> {
        self.environments.iter().map(|(slot, environment)| (*slot, environment))
    }

    /// Invocations admitted and not over.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// No environment is left, ended ones included.
    pub(crate) fn is_empty(&self) -> bool {
        self.environments.is_empty()
    }

    fn admit(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        function: FunctionKey,
        generation: u64,
        actions: &mut Vec<Action>,
    ) {
        if self.closing {
            actions.push(Action::Refuse { ticket });
            return;
        }
        let over =
            self.active >= self.config.concurrency_max || self.waiting >= self.config.waiters_max;
        if over {
            let reason = ThrottleReason::ConcurrentInvocationLimitExceeded;
            actions.push(Action::Throttle { ticket, reason });
            return;
        }
        self.active += 1;
        self.retire(&function, generation, actions);
        let generations = self.functions.entry(function.clone()).or_default();
        let group = generations.entry(generation).or_default();
        if let Some(slot) = group.idle.pop() {
            self.lease(now_ms, slot, ticket, actions);
            return;
        }
        group.waiting.push_back(ticket);
        self.waiting += 1;
        self.queue.push_back((ticket, function, generation));
    }

    /// `slot` is idle and no longer in its group's idle list.
    fn lease(&mut self, now_ms: u64, slot: Slot, ticket: Ticket, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&slot) else {
            debug_assert!(false, "idle lists name only known environments");
            return;
        };
        let thaw = environment.state == EnvironmentState::Frozen;
        environment.ticket = Some(ticket);
        environment.invocations += 1;
        environment.idle_since_ms = now_ms;
        self.transition(slot, Transition::Lease);
        actions.push(Action::Dispatch { slot, ticket, thaw });
    }

    /// The bound invocation was given with `Start`, so there is nothing to dispatch.
    fn initialized(&mut self, slot: Slot) {
        if self.transition(slot, Transition::Initialized) {
            self.transition(slot, Transition::Lease);
            if let Some(environment) = self.environments.get_mut(&slot) {
                environment.invocations += 1;
            }
        }
    }

    fn returned(&mut self, now_ms: u64, slot: Slot, actions: &mut Vec<Action>) {
        let Some(environment) = self.environments.get_mut(&slot) else { return };
        if environment.ticket.take().is_some() {
            self.active -= 1;
        }
        environment.idle_since_ms = now_ms;
        let worn = environment.retiring
            || now_ms.saturating_sub(environment.born_ms) >= self.config.age_ms_max;
        let (function, generation) = (environment.function.clone(), environment.generation);
        if !self.transition(slot, Transition::Release) {
            return;
        }
        if worn || self.closing {
            self.stop(slot, actions);
            return;
        }
        let generations = self.functions.entry(function).or_default();
        let group = generations.entry(generation).or_default();
        match group.waiting.pop_front() {
            Some(ticket) => {
                self.waiting -= 1;
                self.lease(now_ms, slot, ticket, actions);
            }
            None => group.idle.push(slot),
        }
    }

    fn rested(&mut self, now_ms: u64, slot: Slot, actions: &mut Vec<Action>) {
        let due = self.environments.get(&slot).is_some_and(|environment| {
            environment.state == EnvironmentState::Ready
                && now_ms.saturating_sub(environment.idle_since_ms) >= self.config.freeze_after_ms
        });
        if due {
            self.transition(slot, Transition::Freeze);
            actions.push(Action::Freeze { slot });
        }
    }

    fn ended(&mut self, slot: Slot, undelivered: bool, actions: &mut Vec<Action>) {
        self.forget_idle(slot);
        if !self.transition(slot, Transition::Ended) {
            return;
        }
        let Some(environment) = self.environments.remove(&slot) else { return };
        let (function, generation) = (environment.function, environment.generation);
        match environment.ticket {
            Some(ticket) if undelivered && self.closing => {
                self.active -= 1;
                actions.push(Action::Refuse { ticket });
            }
            Some(ticket) if undelivered => {
                let generations = self.functions.entry(function.clone()).or_default();
                generations.entry(generation).or_default().waiting.push_front(ticket);
                self.waiting += 1;
                self.queue.push_front((ticket, function, generation));
            }
            Some(_) => {
                self.active -= 1;
                self.forget_group(&function, generation);
            }
            None => self.forget_group(&function, generation),
        }
    }

    fn expire(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let config = &self.config;
        let due = self.idle_slots(|environment| {
            now_ms.saturating_sub(environment.idle_since_ms) >= config.idle_ms_max
                || now_ms.saturating_sub(environment.born_ms) >= config.age_ms_max
        });
        for slot in due {
            self.stop(slot, actions);
        }
    }

    fn retire(&mut self, function: &FunctionKey, older_than: u64, actions: &mut Vec<Action>) {
        let Some(generations) = self.functions.get(function) else { return };
        if generations.keys().next().is_none_or(|oldest| *oldest >= older_than) {
            return;
        }
        let old: Vec<Slot> = self
            .environments
            .iter()
            .filter(|(_, e)| e.function == *function && e.generation < older_than && !e.retiring)
            .map(|(slot, _)| *slot)
            .collect();
        for slot in old {
            let Some(environment) = self.environments.get_mut(&slot) else { continue };
            environment.retiring = true;
            if environment.state.is_idle() {
                self.stop(slot, actions);
            }
        }
    }

    fn shutdown(&mut self, actions: &mut Vec<Action>) {
        self.closing = true;
        self.refuse_waiting(actions);
        for slot in self.idle_slots(|_| true) {
            self.stop(slot, actions);
        }
    }

    fn stop_all(&mut self, actions: &mut Vec<Action>) {
        self.closing = true;
        self.refuse_waiting(actions);
        let live: Vec<Slot> =
            self.environments.iter().filter(|(_, e)| e.state.is_live()).map(|(s, _)| *s).collect();
        for slot in live {
            self.stop(slot, actions);
        }
    }

    fn refuse_waiting(&mut self, actions: &mut Vec<Action>) {
        let groups = self.functions.values_mut().flat_map(BTreeMap::values_mut);
        for ticket in groups.flat_map(|group| group.waiting.drain(..)) {
            self.active -= 1;
            self.waiting -= 1;
            actions.push(Action::Refuse { ticket });
        }
        self.queue.clear();
    }

    /// Starts environments for those who wait, oldest first, as far as there are places.
    fn start_waiting(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        while self.starting < self.config.starts_max {
            let Some((ticket, function, generation)) = self.queue.pop_front() else { return };
            let group = self.functions.get_mut(&function).and_then(|g| g.get_mut(&generation));
            let Some(group) = group else { continue };
            let Some(at) = group.waiting.iter().position(|waiting| *waiting == ticket) else {
                continue;
            };
            group.waiting.remove(at);
            self.waiting -= 1;
            if self.live >= self.config.concurrency_max {
                self.evict(actions);
            }
            self.start(now_ms, ticket, function, generation, actions);
        }
    }

    fn start(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        function: FunctionKey,
        generation: u64,
        actions: &mut Vec<Action>,
    ) {
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        self.starting += 1;
        self.live += 1;
        let newest = self.functions.get(&function).and_then(|g| g.keys().next_back().copied());
        let environment = Environment {
            state: EnvironmentState::Starting,
            function,
            generation,
            invocations: 0,
            ticket: Some(ticket),
            born_ms: now_ms,
            idle_since_ms: now_ms,
            // A late caller may still hold an older snapshot: its environment serves it alone.
            retiring: newest.is_some_and(|newest| generation < newest),
        };
        self.environments.insert(slot, environment);
        actions.push(Action::Start { slot, ticket });
    }

    /// Ends the environment that has been idle longest. There is one: every live environment beyond the idle
    /// ones is bound to an active invocation, and the invocation to start is active without one.
    fn evict(&mut self, actions: &mut Vec<Action>) {
        let idle = self.environments.iter().filter(|(_, e)| e.state.is_idle());
        let longest = idle.min_by_key(|(_, e)| e.idle_since_ms).map(|(slot, _)| *slot);
        debug_assert!(longest.is_some(), "live environments beyond the active are idle");
        if let Some(slot) = longest {
            self.stop(slot, actions);
        }
    }

    fn stop(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        self.forget_idle(slot);
        if self.transition(slot, Transition::Stop) {
            actions.push(Action::Stop { slot });
        }
    }

    fn idle_slots(&self, due: impl Fn(&Environment) -> bool) -> Vec<Slot> {
        let idle = self.environments.iter().filter(|(_, e)| e.state.is_idle() && due(e));
        idle.map(|(slot, _)| *slot).collect()
    }

    fn forget_idle(&mut self, slot: Slot) {
        let Some(environment) = self.environments.get(&slot) else { return };
        let group = self.functions.get_mut(&environment.function);
        if let Some(group) = group.and_then(|g| g.get_mut(&environment.generation)) {
            group.idle.retain(|idle| *idle != slot);
        }
    }

    /// Drops a group that has neither environments nor waiters, so that functions long gone cost nothing.
    fn forget_group(&mut self, function: &FunctionKey, generation: u64) {
        let used = self
            .environments
            .values()
            .any(|e| e.generation == generation && e.function == *function);
        let Some(generations) = self.functions.get_mut(function) else { return };
        if !used && generations.get(&generation).is_some_and(|group| group.waiting.is_empty()) {
            generations.remove(&generation);
            if generations.is_empty() {
                self.functions.remove(function);
            }
        }
    }

    /// Moves one environment and keeps the counts. A late event of an environment already on its way out
    /// changes nothing.
    fn transition(&mut self, slot: Slot, transition: Transition) -> bool {
        let Some(environment) = self.environments.get_mut(&slot) else { return false };
        let before = environment.state;
        let Ok(after) = before.next(transition) else { return false };
        environment.state = after;
        let starting =
            |state| matches!(state, EnvironmentState::Starting | EnvironmentState::Initializing);
        if starting(before) && !starting(after) {
            self.starting -= 1;
        }
        if before.is_live() && !after.is_live() {
            self.live -= 1;
        }
        true
    }
}
