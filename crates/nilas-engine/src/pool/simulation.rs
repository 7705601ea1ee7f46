//! Drives the pool with a seed: callers of several functions, slow and failing starts, deaths at any moment, answers
//! that come late or twice, changes of settings, clocks that jump, memory that others need, all environments lost at
//! once, shutdown.
//! After every step what the pool holds is compared with what a driver would hold.
//!
//! One seed is one run, on every machine: `cargo xtask sim SEED [STEPS]` replays it with a trace.

mod check;
mod driver;
mod trace;

use std::collections::BTreeMap;

use nilas_model::{AccountId, FunctionId, FunctionName, Region, Version};

use self::check::Usage;
use self::driver::{Driver, Evicted};
use super::core::Pool;
use super::event::{Action, Concurrency, Event, PoolConfig, Remains, Slot, Ticket, Wanted};

const FUNCTIONS: usize = 4;
const VERSIONS: [Version; 2] = [Version::Latest, Version::Published(1)];
/// Memory of an environment of each function; not all of them fit at once.
const MEMORY_BYTES: [u64; FUNCTIONS] = [10, 20, 35, 8];
/// Most of what a frozen one holds.
const HELD_BYTES_MAX: usize = 25;
/// What provisions together may take, which leaves room for the largest.
const PROVISIONED_BYTES_MAX: u64 = 60;
/// Part of the concurrency that no setting takes, as the API's 100.
const UNRESERVED_MIN: usize = 2;

/// Takes one line of the run.
pub type Trace<'a> = Option<&'a mut dyn FnMut(&str)>;

/// Runs one seed; panics where an invariant does not hold.
pub fn simulate(seed: u64, steps: u32, trace: Trace<'_>) {
    let mut simulation = Simulation::new(seed, trace);
    for _ in 0..steps {
        simulation.random_step();
    }
    simulation.settle();
    for _ in 0..steps / 10 {
        simulation.random_step();
    }
    simulation.finish();
}

/// xorshift64*: enough to shuffle events, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap_or_default() % bound.max(1)
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: impl ExactSizeIterator<Item = T>) -> Option<T> {
        let at = self.below(from.len());
        from.into_iter().nth(at)
    }
}

struct Simulation<'a> {
    dice: Dice,
    pool: Pool,
    config: PoolConfig,
    driver: Driver,
    functions: Vec<FunctionId>,
    /// By the functions' numbers.
    settings: Vec<Concurrency>,
    generations: BTreeMap<(usize, Version), u64>,
    now_ms: u64,
    tickets: u64,
    closing: bool,
    /// After the last step.
    usage: Usage,
    /// Of that step.
    evicted: Vec<Evicted>,
    /// Answers that were given once, to be given again.
    answered: Vec<(Slot, Ticket)>,
    trace: Trace<'a>,
}

fn config() -> PoolConfig {
    PoolConfig {
        concurrency_max: 12,
        starts_max: 4,
        waiters_max: 7,
        function_waiters_max: 4,
        idle_ms_max: 300,
        age_ms_max: 5_000,
        freeze_after_ms: 5,
        provision_retry_ms: 400,
        memory_bytes_max: 100,
        memory_wait_ms_max: 500,
    }
}

fn function(number: usize) -> FunctionId {
    let name = format!("f{number}");
    FunctionId {
        account: AccountId::parse("000000000000").expect("twelve digits"),
        region: Region::parse("us-east-1").expect("a region"),
        name: FunctionName::parse(&name).expect("letters and digits"),
    }
}

/// The number in the name.
fn number(id: &FunctionId) -> usize {
    id.name.as_str()[1..].parse().expect("named by `function`")
}

impl<'a> Simulation<'a> {
    fn new(seed: u64, trace: Trace<'a>) -> Self {
        let kinds = (0..FUNCTIONS).flat_map(|number| VERSIONS.map(|version| (number, version)));
        Self {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            pool: Pool::new(config()),
            config: config(),
            driver: Driver::default(),
            functions: (0..FUNCTIONS).map(function).collect(),
            settings: vec![Concurrency::default(); FUNCTIONS],
            generations: kinds.map(|kind| (kind, 1)).collect(),
            now_ms: 1_000,
            tickets: 0,
            closing: false,
            usage: Usage::default(),
            evicted: Vec::new(),
            answered: Vec::new(),
            trace,
        }
    }

    fn step(&mut self, event: Event) {
        let shown = self.trace.is_some().then(|| trace::event(&event));
        let configured = matches!(event, Event::Configure { .. });
        self.driver.forecast(self.now_ms, &event);
        self.evicted.clear();
        let relieve = match &event {
            Event::Relieve { bytes } => *bytes,
            _ => 0,
        };
        if let (Some(trace), Some(shown)) = (&mut self.trace, shown) {
            trace(&format!("{:>8} ms  {shown}", self.now_ms));
        }
        let actions = self.pool.step(self.now_ms, event);
        if let Some(trace) = &mut self.trace {
            actions
                .iter()
                .for_each(|action| trace(&format!("{:>14} {}", "->", trace::action(action))));
        }
        for action in actions {
            self.perform(action);
        }
        self.check(configured, relieve);
    }

    fn perform(&mut self, action: Action) {
        if let Action::Throttle { ticket, reason } = action {
            self.check_throttle(ticket, reason);
        }
        if matches!(action, Action::Refuse { .. }) {
            assert!(self.closing, "refused without a reason");
        }
        if let Action::TooLarge { ticket } = action {
            let asked = self.driver.open[&ticket].memory_bytes;
            assert!(asked > self.config.memory_bytes_max, "said to be too large");
        }
        if let Action::Evict { slot, cause } = action {
            self.evicted.push(self.driver.evicted(slot, cause));
        }
        self.driver.perform(action, &self.settings);
    }

    fn random_step(&mut self) {
        self.now_ms += self.dice.below(20) as u64;
        match self.dice.below(100) {
            0..30 => self.invoke(),
            30..57 => self.boot(),
            57..72 => self.answer(),
            72..78 => {
                let slot = self.dice.pick(self.driver.alive.keys().copied());
                let memory_bytes = self.dice.below(HELD_BYTES_MAX) as u64;
                self.send(slot.map(|slot| Event::Rested { slot, memory_bytes }));
            }
            78..82 => self.die(),
            82..86 => self.finish_stopping(),
            86..89 => self.step(Event::Tick),
            89..91 => self.update(),
            91..95 => self.configure(),
            95..98 => self.say_again(),
            98 => {
                self.now_ms += [400, 6_000, 100_000][self.dice.below(3)];
                self.step(Event::Tick);
            }
            _ if self.dice.one_in(4) => self.lose_everything(),
            _ => {
                let bytes = self.dice.below(60) as u64;
                self.step(Event::Relieve { bytes });
            }
        }
    }

    fn send(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.step(event);
        }
    }

    fn invoke(&mut self) {
        // Floods: most calls are of the first function.
        let number = if self.dice.one_in(2) { 0 } else { self.dice.below(FUNCTIONS) };
        let version = VERSIONS[self.dice.below(VERSIONS.len())];
        self.tickets += 1;
        // Now and then a caller still holds the snapshot before the last one.
        let late = u64::from(self.dice.one_in(10));
        let generation = self.generations[&(number, version)].saturating_sub(late);
        let ticket = Ticket(self.tickets);
        let function = self.functions[number].key(version);
        // A function that was set to more than the machine has.
        let beyond = self.dice.one_in(50);
        let memory_bytes =
            if beyond { self.config.memory_bytes_max + 1 } else { MEMORY_BYTES[number] };
        self.step(Event::Invoke { ticket, function, generation, memory_bytes });
    }

    /// The next step of one that starts; sometimes its end.
    fn boot(&mut self) {
        let booting = self.driver.starting.union(&self.driver.initializing);
        let booting: Vec<Slot> = booting.copied().collect();
        let Some(slot) = self.dice.pick(booting.into_iter()) else { return };
        let event = if self.dice.one_in(12) {
            Event::Ended { slot, remains: self.remains(slot) }
        } else if self.driver.starting.contains(&slot) {
            Event::SandboxStarted { slot }
        } else {
            Event::Initialized { slot }
        };
        self.step(event);
    }

    fn answer(&mut self) {
        let serving: Vec<(Slot, Ticket)> = self.driver.serving().collect();
        if let Some((slot, ticket)) = self.dice.pick(serving.into_iter()) {
            self.answered.push((slot, ticket));
            self.step(Event::Returned { slot, ticket });
        }
    }

    /// At any moment, and sometimes before the invocation was written.
    fn die(&mut self) {
        if let Some(slot) = self.dice.pick(self.driver.alive.keys().copied()) {
            let remains = self.remains(slot);
            self.step(Event::Ended { slot, remains });
        }
    }

    fn remains(&mut self, slot: Slot) -> Remains {
        match self.driver.bound.get(&slot) {
            Some(_) if self.dice.one_in(2) => Remains::Undelivered,
            None if self.dice.one_in(2) => Remains::FailedInit,
            _ => Remains::Nothing,
        }
    }

    fn finish_stopping(&mut self) {
        let slot = self.dice.pick(self.driver.stopping.iter().copied());
        self.send(slot.map(|slot| Event::Ended { slot, remains: Remains::Nothing }));
    }

    /// A new generation, as services announce it: the settings first.
    fn update(&mut self) {
        let (number, version) = (self.dice.below(FUNCTIONS), VERSIONS[self.dice.below(2)]);
        let generation = self.generations.entry((number, version)).or_default();
        *generation += 1;
        let older_than = *generation;
        if let Some(wanted) = self.settings[number].provisioned.get_mut(&version) {
            wanted.generation = older_than;
            self.announce(number);
        }
        let function = self.functions[number].key(version);
        self.step(Event::Retire { function, older_than });
    }

    fn announce(&mut self, number: usize) {
        let (function, concurrency) =
            (self.functions[number].clone(), self.settings[number].clone());
        self.step(Event::Configure { function, concurrency });
    }

    /// Settings that the API would take: within the account's limit, provisions within the reservation.
    fn configure(&mut self) {
        let number = self.dice.below(FUNCTIONS);
        let others = self.settings.iter().enumerate().filter(|(other, _)| *other != number);
        let taken: usize = others.map(|(_, settings)| taken(settings)).sum();
        let free = self.config.concurrency_max - UNRESERVED_MIN - taken;
        let reserved = (!self.dice.one_in(3)).then(|| self.dice.below(free.min(6) + 1));
        let mut left = reserved.unwrap_or(free.min(4));
        let memory_bytes = MEMORY_BYTES[number];
        let mut memory_left = self.memory_not_provisioned(number);
        let mut provisioned = BTreeMap::new();
        for version in VERSIONS {
            let count = self.dice.below(left + 1);
            let takes = memory_bytes * count as u64;
            if count > 0 && takes <= memory_left && self.dice.one_in(2) {
                left -= count;
                memory_left -= takes;
                let generation = self.generations[&(number, version)];
                provisioned.insert(version, Wanted { generation, count, memory_bytes });
            }
        }
        self.settings[number] = Concurrency { reserved, provisioned };
        self.announce(number);
    }

    /// What the provisions of functions other than this one leave for its own.
    fn memory_not_provisioned(&self, number: usize) -> u64 {
        let settings = self.settings.iter().enumerate().filter(|(other, _)| *other != number);
        let wanted = settings.flat_map(|(_, settings)| settings.provisioned.values());
        let taken: u64 = wanted.map(|wanted| wanted.memory_bytes * wanted.count as u64).sum();
        PROVISIONED_BYTES_MAX - taken
    }

    /// What was said before, late or twice.
    fn say_again(&mut self) {
        let old = Slot(self.dice.below(self.driver.slots_seen + 1) as u64);
        let gone = !self.driver.alive.contains_key(&old);
        let event = match self.dice.below(5) {
            0 => {
                let answered = self.dice.pick(self.answered.iter().copied());
                answered.map(|(slot, ticket)| Event::Returned { slot, ticket })
            }
            1 => Some(Event::Rested { slot: old, memory_bytes: 1 }),
            2 if !self.driver.starting.contains(&old) => Some(Event::SandboxStarted { slot: old }),
            3 if !self.driver.is_booting(old) => Some(Event::Initialized { slot: old }),
            4 if gone => Some(Event::Ended { slot: old, remains: Remains::Undelivered }),
            _ => None,
        };
        self.send(event);
    }

    /// As after the sandbox's own crash.
    fn lose_everything(&mut self) {
        let all: Vec<Slot> = self.driver.alive.keys().copied().collect();
        for slot in all {
            if self.driver.alive.contains_key(&slot) {
                let remains = self.remains(slot);
                self.step(Event::Ended { slot, remains });
            }
        }
    }

    /// Without faults, everything comes to an end, and what is provisioned is there.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let next =
                self.driver.starting.first().map(|slot| Event::SandboxStarted { slot: *slot });
            let next = next.or_else(|| {
                self.driver.initializing.first().map(|slot| Event::Initialized { slot: *slot })
            });
            let next = next.or_else(|| {
                self.driver.serving().next().map(|(slot, ticket)| Event::Returned { slot, ticket })
            });
            let next = next.or_else(|| {
                let stopping = self.driver.stopping.first();
                stopping.map(|slot| Event::Ended { slot: *slot, remains: Remains::Nothing })
            });
            match next {
                Some(event) => self.step(event),
                None if self.is_provisioned() => break,
                None => {
                    self.now_ms += 200;
                    self.step(Event::Tick);
                }
            }
        }
        assert!(self.driver.open.is_empty(), "an invocation got no answer");
        assert!(self.is_provisioned(), "what is provisioned is not there");
    }

    fn finish(&mut self) {
        self.closing = true;
        self.step(Event::Shutdown);
        for _ in 0..20 {
            self.random_step();
        }
        self.step(Event::StopAll);
        self.lose_everything();
        assert!(self.pool.is_empty());
        assert!(self.driver.open.is_empty(), "an invocation got no answer");
    }
}

/// What a function's settings take from the concurrency that others share.
fn taken(settings: &Concurrency) -> usize {
    let provisioned = settings.provisioned.values().map(|wanted| wanted.count).sum();
    settings.reserved.unwrap_or(provisioned)
}
