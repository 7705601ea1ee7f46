//! Drives the pool with a seed: random callers, slow and failing starts, crashes, late events, shutdown.
//! After every step the invariants are checked against a model of what the driver holds.

use std::collections::{BTreeMap, BTreeSet};

use nilas_model::{AccountId, FunctionKey, FunctionName, Region, Version};

use super::core::{Action, Event, Pool, PoolConfig, Slot, ThrottleReason, Ticket};
use super::state::EnvironmentState;

const SEEDS: u64 = 400;
const STEPS: u32 = 300;

/// xorshift64*: enough to shuffle events, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, from: &BTreeSet<T>) -> Option<T> {
        let at = usize::try_from(self.below(from.len().max(1) as u64)).unwrap();
        from.iter().nth(at).copied()
    }
}

/// What the driver would hold, kept from the actions alone.
#[derive(Default)]
struct Model {
    /// Admitted or asked for, and neither answered nor refused.
    open: BTreeSet<Ticket>,
    /// Invocations handed to an environment.
    bound: BTreeMap<Slot, Ticket>,
    starting: BTreeSet<Slot>,
    initializing: BTreeSet<Slot>,
    alive: BTreeSet<Slot>,
    frozen: BTreeSet<Slot>,
    stopping: BTreeSet<Slot>,
}

struct Simulation {
    dice: Dice,
    pool: Pool,
    model: Model,
    now_ms: u64,
    tickets: u64,
    generations: [u64; 3],
    closing: bool,
    config: PoolConfig,
}

fn function(number: usize) -> FunctionKey {
    FunctionKey {
        account: AccountId::parse("000000000000").unwrap(),
        region: Region::parse("us-east-1").unwrap(),
        name: FunctionName::parse(&format!("f{number}")).unwrap(),
        version: Version::Latest,
    }
}

fn config() -> PoolConfig {
    PoolConfig {
        concurrency_max: 8,
        starts_max: 3,
        waiters_max: 4,
        idle_ms_max: 300,
        age_ms_max: 5_000,
        freeze_after_ms: 5,
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            pool: Pool::new(config()),
            model: Model::default(),
            now_ms: 1_000,
            tickets: 0,
            generations: [1; 3],
            closing: false,
            config: config(),
        }
    }

    fn step(&mut self, event: Event) {
        self.forecast(&event);
        let actions = self.pool.step(self.now_ms, event);
        for action in actions {
            self.perform(action);
        }
        self.check();
    }

    /// What the event itself changes in the driver's hands.
    fn forecast(&mut self, event: &Event) {
        let model = &mut self.model;
        match event {
            Event::Invoke { ticket, .. } => assert!(model.open.insert(*ticket)),
            Event::SandboxStarted { slot } => {
                model.starting.remove(slot);
                model.initializing.insert(*slot);
            }
            Event::Initialized { slot } => assert!(model.initializing.remove(slot)),
            Event::Returned { slot } => {
                let ticket = model.bound.remove(slot).expect("only a bound environment returns");
                assert!(model.open.remove(&ticket));
            }
            Event::Ended { slot, undelivered } => {
                for set in [
                    &mut model.starting,
                    &mut model.initializing,
                    &mut model.frozen,
                    &mut model.stopping,
                    &mut model.alive,
                ] {
                    set.remove(slot);
                }
                if let Some(ticket) = model.bound.remove(slot)
                    && !undelivered
                {
                    assert!(model.open.remove(&ticket));
                }
            }
            _ => {}
        }
    }

    fn perform(&mut self, action: Action) {
        let model = &mut self.model;
        match action {
            Action::Start { slot, ticket } => {
                assert!(model.alive.insert(slot) && model.starting.insert(slot));
                assert!(model.open.contains(&ticket));
                assert!(model.bound.values().all(|bound| *bound != ticket), "leased twice");
                assert!(model.bound.insert(slot, ticket).is_none());
            }
            Action::Dispatch { slot, ticket, thaw } => {
                assert_eq!(model.frozen.remove(&slot), thaw, "thaw exactly what is frozen");
                assert!(model.alive.contains(&slot) && !model.stopping.contains(&slot));
                assert!(model.open.contains(&ticket));
                assert!(model.bound.values().all(|bound| *bound != ticket), "leased twice");
                assert!(model.bound.insert(slot, ticket).is_none(), "two invocations in one");
            }
            Action::Freeze { slot } => {
                assert!(!model.bound.contains_key(&slot), "froze a busy environment");
                assert!(model.frozen.insert(slot));
            }
            Action::Stop { slot } => assert!(model.stopping.insert(slot), "stopped twice"),
            Action::Throttle { ticket, reason } => {
                assert_eq!(reason, ThrottleReason::ConcurrentInvocationLimitExceeded);
                assert!(model.open.remove(&ticket));
            }
            Action::Refuse { ticket } => {
                assert!(self.closing);
                assert!(model.open.remove(&ticket));
            }
        }
    }

    fn check(&self) {
        let model = &self.model;
        assert_eq!(self.pool.active(), model.open.len(), "an invocation was lost or kept");
        assert!(model.open.len() <= self.config.concurrency_max);
        let waiting = model.open.len() - model.bound.len();
        assert!(waiting <= self.config.waiters_max + model.bound.len());
        let starting = model.starting.union(&model.initializing);
        let starting = starting.filter(|slot| !model.stopping.contains(slot)).count();
        assert!(starting <= self.config.starts_max);
        assert!(model.alive.len() - model.stopping.len() <= self.config.concurrency_max);
        let known: BTreeSet<Slot> = self.pool.environments().map(|(slot, _)| slot).collect();
        assert_eq!(known, model.alive, "an environment leaked");
        for (slot, environment) in self.pool.environments() {
            let idle = environment.state.is_idle();
            assert!(!(idle && model.bound.contains_key(&slot)), "a lease was lost");
            assert_eq!(environment.state == EnvironmentState::Frozen, {
                model.frozen.contains(&slot) && !model.stopping.contains(&slot)
            });
        }
    }

    fn random_step(&mut self) {
        self.now_ms += self.dice.below(20);
        let busy: BTreeSet<Slot> = self.model.bound.keys().copied().collect();
        let booting = self.model.starting.union(&self.model.initializing).copied().collect();
        let busy: BTreeSet<Slot> = busy.difference(&booting).copied().collect();
        match self.dice.below(100) {
            0..30 => self.invoke(),
            30..45 => {
                if let Some(slot) = self.dice.pick(&self.model.starting) {
                    self.step(Event::SandboxStarted { slot });
                }
            }
            45..60 => {
                if let Some(slot) = self.dice.pick(&self.model.initializing) {
                    self.step(Event::Initialized { slot });
                }
            }
            60..80 => {
                if let Some(slot) = self.dice.pick(&busy) {
                    self.step(Event::Returned { slot });
                }
            }
            80..87 => {
                if let Some(slot) = self.dice.pick(&self.model.alive) {
                    self.step(Event::Rested { slot });
                }
            }
            87..91 => {
                // A crash at any moment; sometimes before the invocation was written.
                if let Some(slot) = self.dice.pick(&self.model.alive) {
                    let undelivered = self.dice.below(2) == 0;
                    self.step(Event::Ended { slot, undelivered });
                }
            }
            91..94 => {
                if let Some(slot) = self.dice.pick(&self.model.stopping) {
                    self.step(Event::Ended { slot, undelivered: false });
                }
            }
            94..97 => self.step(Event::Tick),
            97..99 => {
                let which = usize::try_from(self.dice.below(3)).unwrap();
                self.generations[which] += 1;
                let older_than = self.generations[which];
                self.step(Event::Retire { function: function(which), older_than });
            }
            _ => {
                self.now_ms += 400;
                self.step(Event::Tick);
            }
        }
    }

    fn invoke(&mut self) {
        let which = usize::try_from(self.dice.below(3)).unwrap();
        self.tickets += 1;
        // Now and then a caller still holds the snapshot before the last one.
        let late = u64::from(self.dice.below(10) == 0);
        let generation = self.generations[which].saturating_sub(late);
        let ticket = Ticket(self.tickets);
        self.step(Event::Invoke { ticket, function: function(which), generation });
    }

    fn finish(&mut self) {
        self.closing = true;
        self.step(Event::Shutdown);
        for _ in 0..20 {
            self.random_step();
        }
        self.step(Event::StopAll);
        while let Some(slot) = self.dice.pick(&self.model.alive.clone()) {
            let undelivered = self.dice.below(2) == 0;
            self.step(Event::Ended { slot, undelivered });
        }
        assert!(self.pool.is_empty());
        assert!(self.model.open.is_empty(), "an invocation got no answer");
    }
}

#[test]
fn keeps_its_invariants_under_random_faults() {
    for seed in 1..=SEEDS {
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.random_step();
        }
        simulation.finish();
    }
}

/// Runs events by hand and returns the actions of the last one.
fn last_actions(events: Vec<(u64, Event)>) -> Vec<Action> {
    let mut pool = Pool::new(config());
    let mut last = Vec::new();
    for (now_ms, event) in events {
        last = pool.step(now_ms, event);
    }
    last
}

fn invoke(ticket: u64) -> Event {
    Event::Invoke { ticket: Ticket(ticket), function: function(0), generation: 1 }
}

fn warm(slot: u64) -> Vec<(u64, Event)> {
    let slot = Slot(slot);
    vec![(0, Event::SandboxStarted { slot }), (0, Event::Initialized { slot })]
}

#[test]
fn leases_the_environment_used_last() {
    let mut events = vec![(0, invoke(1)), (0, invoke(2))];
    events.extend(warm(0));
    events.extend(warm(1));
    events.push((5, Event::Returned { slot: Slot(1) }));
    events.push((6, Event::Returned { slot: Slot(0) }));
    events.push((7, invoke(3)));
    let dispatch = Action::Dispatch { slot: Slot(0), ticket: Ticket(3), thaw: false };
    assert_eq!(last_actions(events), [dispatch]);
}

#[test]
fn freezes_only_after_the_delay_and_thaws_on_lease() {
    let mut events = vec![(0, invoke(1))];
    events.extend(warm(0));
    events.push((5, Event::Returned { slot: Slot(0) }));
    events.push((9, Event::Rested { slot: Slot(0) }));
    assert_eq!(last_actions(events.clone()), []);
    events.push((10, Event::Rested { slot: Slot(0) }));
    assert_eq!(last_actions(events.clone()), [Action::Freeze { slot: Slot(0) }]);
    events.push((11, invoke(2)));
    let dispatch = Action::Dispatch { slot: Slot(0), ticket: Ticket(2), thaw: true };
    assert_eq!(last_actions(events), [dispatch]);
}

#[test]
fn a_busy_environment_of_an_old_generation_ends_after_its_invocation() {
    let mut events = vec![(0, invoke(1))];
    events.extend(warm(0));
    events.push((1, Event::Retire { function: function(0), older_than: 2 }));
    assert_eq!(last_actions(events.clone()), []);
    events.push((2, Event::Returned { slot: Slot(0) }));
    assert_eq!(last_actions(events), [Action::Stop { slot: Slot(0) }]);
}

#[test]
fn an_undelivered_invocation_gets_another_environment() {
    let mut events = vec![(0, invoke(1))];
    events.extend(warm(0));
    events.push((1, Event::Ended { slot: Slot(0), undelivered: true }));
    assert_eq!(last_actions(events), [Action::Start { slot: Slot(1), ticket: Ticket(1) }]);
}

#[test]
fn throttles_over_the_account_limit() {
    let mut pool = Pool::new(PoolConfig { concurrency_max: 1, ..config() });
    assert_eq!(pool.step(0, invoke(1)), [Action::Start { slot: Slot(0), ticket: Ticket(1) }]);
    let reason = ThrottleReason::ConcurrentInvocationLimitExceeded;
    assert_eq!(pool.step(0, invoke(2)), [Action::Throttle { ticket: Ticket(2), reason }]);
}

#[test]
fn expires_what_has_been_idle_too_long() {
    let mut events = vec![(0, invoke(1))];
    events.extend(warm(0));
    events.push((5, Event::Returned { slot: Slot(0) }));
    events.push((304, Event::Tick));
    assert_eq!(last_actions(events.clone()), []);
    events.push((305, Event::Tick));
    assert_eq!(last_actions(events), [Action::Stop { slot: Slot(0) }]);
}
