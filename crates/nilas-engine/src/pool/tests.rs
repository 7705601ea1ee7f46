//! Single decisions by hand, and the simulation over many seeds.

use nilas_model::{AccountId, FunctionId, FunctionKey, FunctionName, Region, Version};

use super::core::Pool;
use super::event::{
    Action, Concurrency, Event, Eviction, PoolConfig, ProvisionFailure, Remains, Slot,
    ThrottleReason, Ticket, Wanted,
};
use super::simulation::simulate;

const SEEDS: u64 = 3_000;
const STEPS: u32 = 150;
const THREADS: u64 = 4;

#[test]
fn keeps_its_invariants_under_random_faults() {
    let run = |first: u64| {
        for seed in (first..=SEEDS).step_by(THREADS as usize) {
            let run = std::panic::catch_unwind(|| simulate(seed, STEPS, None));
            assert!(run.is_ok(), "replay with: cargo xtask sim {seed} {STEPS}");
        }
    };
    std::thread::scope(|scope| {
        for first in 1..=THREADS {
            scope.spawn(move || run(first));
        }
    });
}

fn config() -> PoolConfig {
    PoolConfig {
        concurrency_max: 8,
        starts_max: 3,
        waiters_max: 4,
        function_waiters_max: 3,
        idle_ms_max: 300,
        age_ms_max: 5_000,
        freeze_after_ms: 5,
        provision_retry_ms: 1_000,
        memory_bytes_max: 1_000,
        memory_wait_ms_max: 2_000,
    }
}

fn id(number: usize) -> FunctionId {
    FunctionId {
        account: AccountId::parse("000000000000").unwrap(),
        region: Region::parse("us-east-1").unwrap(),
        name: FunctionName::parse(&format!("f{number}")).unwrap(),
    }
}

fn function(number: usize) -> FunctionKey {
    id(number).key(Version::Latest)
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
    Event::Invoke { ticket: Ticket(ticket), function: function(0), generation: 1, memory_bytes: 10 }
}

fn returned(slot: u64, ticket: u64) -> Event {
    Event::Returned { slot: Slot(slot), ticket: Ticket(ticket) }
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
    events.push((5, returned(1, 2)));
    events.push((6, returned(0, 1)));
    events.push((7, invoke(3)));
    let dispatch = Action::Dispatch { slot: Slot(0), ticket: Ticket(3), thaw: false };
    assert_eq!(last_actions(events), [dispatch]);
}

#[test]
fn freezes_only_after_the_delay_and_thaws_on_lease() {
    let mut events = vec![(0, invoke(1))];
    events.extend(warm(0));
    events.push((5, returned(0, 1)));
    events.push((9, Event::Rested { slot: Slot(0), memory_bytes: 2 }));
    assert_eq!(last_actions(events.clone()), []);
    events.push((10, Event::Rested { slot: Slot(0), memory_bytes: 2 }));
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
    events.push((2, returned(0, 1)));
    assert_eq!(last_actions(events), [Action::Stop { slot: Slot(0) }]);
}

#[test]
fn an_undelivered_invocation_gets_another_environment() {
    let mut events = vec![(0, invoke(1))];
    events.extend(warm(0));
    events.push((1, Event::Ended { slot: Slot(0), remains: Remains::Undelivered }));
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
    events.push((5, returned(0, 1)));
    events.push((304, Event::Tick));
    assert_eq!(last_actions(events.clone()), []);
    events.push((305, Event::Tick));
    assert_eq!(last_actions(events), [Action::Stop { slot: Slot(0) }]);
}

/// A pool that has been through `events`, all at once.
fn pool_after(config: PoolConfig, events: Vec<Event>) -> Pool {
    let mut pool = Pool::new(config);
    for event in events {
        pool.step(0, event);
    }
    pool
}

fn invoke_of(function: usize, ticket: u64) -> Event {
    let function = self::function(function);
    Event::Invoke { ticket: Ticket(ticket), function, generation: 1, memory_bytes: 10 }
}

fn reserve(function: usize, count: usize) -> Event {
    let concurrency = Concurrency { reserved: Some(count), ..Concurrency::default() };
    Event::Configure { function: id(function), concurrency }
}

fn provision(count: usize, generation: u64) -> Event {
    let wanted = Wanted { generation, count, memory_bytes: 10 };
    let provisioned = [(Version::Latest, wanted)].into();
    Event::Configure { function: id(0), concurrency: Concurrency { reserved: None, provisioned } }
}

fn throttled(actions: &[Action]) -> Option<ThrottleReason> {
    actions.iter().find_map(|action| match action {
        Action::Throttle { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn a_reservation_is_a_limit_and_a_guarantee() {
    use ThrottleReason::{
        ConcurrentInvocationLimitExceeded as Shared,
        ReservedFunctionConcurrentInvocationLimitExceeded as Reserved,
    };
    let config = PoolConfig { concurrency_max: 4, starts_max: 9, ..config() };
    // Whose invocation comes, and why it is refused. Function 0 has 2 of 4 reserved, function 1 none, 3 has 0.
    let rows = [
        (1, None),
        (1, None),
        (1, Some(Shared)),
        (2, Some(Shared)),
        (0, None),
        (0, None),
        (0, Some(Reserved)),
        (3, Some(Reserved)),
    ];
    let mut pool = pool_after(config, vec![reserve(0, 2), reserve(3, 0)]);
    for (ticket, (function, expected)) in (0..).zip(rows) {
        let actions = pool.step(0, invoke_of(function, ticket));
        assert_eq!(throttled(&actions), expected, "#{ticket}");
    }
}

#[test]
fn what_is_reserved_now_waits_for_those_who_use_it() {
    let config = PoolConfig { concurrency_max: 2, ..config() };
    let mut pool = pool_after(config, vec![invoke_of(1, 1), invoke_of(1, 2), reserve(0, 1)]);
    let full = ThrottleReason::ConcurrentInvocationLimitExceeded;
    assert_eq!(throttled(&pool.step(0, invoke_of(0, 3))), Some(full));
    pool.step(0, Event::Ended { slot: Slot(0), remains: Remains::Nothing });
    assert_eq!(throttled(&pool.step(0, invoke_of(1, 4))), Some(full), "it is the other's now");
    assert_eq!(throttled(&pool.step(0, invoke_of(0, 5))), None);
}

#[test]
fn a_flood_of_one_function_leaves_places_to_start_for_others() {
    let config = PoolConfig {
        concurrency_max: 100,
        starts_max: 8,
        waiters_max: 100,
        function_waiters_max: 50,
        ..config()
    };
    let mut pool = Pool::new(config);
    let mut starts = 0;
    for ticket in 0..50 {
        starts += pool.step(0, invoke_of(0, ticket)).len();
    }
    assert_eq!(starts, 4, "half of the places");
    let start = |slot, ticket| vec![Action::Start { slot: Slot(slot), ticket: Ticket(ticket) }];
    assert_eq!(pool.step(0, invoke_of(1, 50)), start(4, 50));
    assert_eq!(pool.step(0, invoke_of(1, 51)), start(5, 51));
    // Two floods: each gets the place the other one gives up, in turns.
    assert_eq!(pool.step(0, invoke_of(1, 52)), []);
    let initialized = |pool: &mut Pool, slot| pool.step(0, Event::Initialized { slot: Slot(slot) });
    for slot in 0..6 {
        pool.step(0, Event::SandboxStarted { slot: Slot(slot) });
    }
    assert_eq!(initialized(&mut pool, 4), start(6, 52));
    assert_eq!(initialized(&mut pool, 0), []);
    assert_eq!(initialized(&mut pool, 5), start(7, 4));
}

#[test]
fn the_waiters_of_one_function_are_bounded() {
    let config = PoolConfig { concurrency_max: 100, starts_max: 1, waiters_max: 5, ..config() };
    let mut pool = pool_after(config, (0..4).map(|ticket| invoke_of(0, ticket)).collect());
    let flood = ThrottleReason::FunctionInvocationRateLimitExceeded;
    assert_eq!(throttled(&pool.step(0, invoke_of(0, 5))), Some(flood));
    assert_eq!(throttled(&pool.step(0, invoke_of(1, 6))), None);
    pool.step(0, reserve(0, 50));
    let flood = ThrottleReason::ReservedFunctionInvocationRateLimitExceeded;
    assert_eq!(throttled(&pool.step(0, invoke_of(0, 7))), Some(flood));
}

#[test]
fn provisioned_environments_are_used_first_and_spill_over() {
    let mut pool = Pool::new(PoolConfig { starts_max: 9, ..config() });
    let provisioned = |slot| Action::Provision { slot: Slot(slot), function: function(0) };
    assert_eq!(pool.step(0, provision(2, 1)), [provisioned(0), provisioned(1)]);
    for (now_ms, event) in warm(0).into_iter().chain(warm(1)) {
        pool.step(now_ms, event);
    }
    let dispatch =
        |slot, ticket| Action::Dispatch { slot: Slot(slot), ticket: Ticket(ticket), thaw: false };
    assert_eq!(pool.step(1, invoke(1)), [dispatch(1, 1)]);
    assert_eq!(pool.step(1, invoke(2)), [dispatch(0, 2)]);
    assert_eq!(pool.step(1, invoke(3)), [Action::Start { slot: Slot(2), ticket: Ticket(3) }]);
    // Never idle for too long, but recycled when it is old.
    for (slot, ticket) in [(1, 1), (0, 2)] {
        pool.step(2, returned(slot, ticket));
    }
    assert_eq!(pool.step(4_000, Event::Tick), []);
    let recycled = [
        Action::Stop { slot: Slot(0) },
        Action::Stop { slot: Slot(1) },
        provisioned(3),
        provisioned(4),
    ];
    assert_eq!(pool.step(5_001, Event::Tick), recycled);
}

#[test]
fn a_failed_init_is_tried_again_later() {
    let mut pool = pool_after(config(), vec![provision(1, 1)]);
    let status =
        |pool: &Pool| pool.provision_status(&function(0)).map(|s| (s.allocated, s.failure));
    assert_eq!(status(&pool), Some((0, None)));
    let ended = Event::Ended { slot: Slot(0), remains: Remains::FailedInit };
    assert_eq!(pool.step(10, ended), []);
    assert_eq!(status(&pool), Some((0, Some(ProvisionFailure::Init))));
    assert_eq!(pool.step(1_009, Event::Tick), []);
    let again = Action::Provision { slot: Slot(1), function: function(0) };
    assert_eq!(pool.step(1_010, Event::Tick), [again]);
    for (now_ms, event) in warm(1) {
        pool.step(now_ms, event);
    }
    assert_eq!(status(&pool), Some((1, None)));
}

#[test]
fn a_new_generation_replaces_what_is_provisioned() {
    let mut events = vec![provision(1, 1)];
    events.extend(warm(0).into_iter().map(|(_, event)| event));
    let mut pool = pool_after(config(), events);
    let stop = Action::Stop { slot: Slot(0) };
    let start = Action::Provision { slot: Slot(1), function: function(0) };
    assert_eq!(pool.step(0, provision(1, 2)), [stop, start]);
    let nothing = Event::Configure { function: id(0), concurrency: Concurrency::default() };
    assert_eq!(pool.step(0, nothing), [Action::Stop { slot: Slot(1) }]);
}

/// A pool with so much memory and two frozen environments, of functions 0 and 1, that hold 30 and 45.
fn with_two_frozen(memory_bytes_max: u64) -> Pool {
    let mut pool = Pool::new(PoolConfig { memory_bytes_max, ..config() });
    for number in 0..2 {
        pool.step(0, needs(number as u64, number, 60));
        for (now_ms, event) in warm(number as u64) {
            pool.step(now_ms, event);
        }
        pool.step(number as u64, returned(number as u64, number as u64));
        let slot = Slot(number as u64);
        let memory_bytes = [30, 45][number];
        let frozen = pool.step(100, Event::Rested { slot, memory_bytes });
        assert_eq!(frozen, [Action::Freeze { slot }]);
    }
    pool
}

/// An invocation that needs so much memory.
fn needs(ticket: u64, function: usize, memory_bytes: u64) -> Event {
    let function = self::function(function);
    Event::Invoke { ticket: Ticket(ticket), function, generation: 1, memory_bytes }
}

fn evict(slot: u64, cause: Eviction) -> Action {
    Action::Evict { slot: Slot(slot), cause }
}

#[test]
fn a_frozen_environment_costs_what_it_holds_and_a_busy_one_its_size() {
    let mut pool = with_two_frozen(140);
    assert_eq!(pool.charged(), 75);
    let start = Action::Start { slot: Slot(2), ticket: Ticket(9) };
    assert_eq!(pool.step(200, needs(9, 2, 60)), [start]);
    assert_eq!(pool.charged(), 135);
}

#[test]
fn the_longest_idle_makes_room_for_a_start_and_for_a_lease() {
    let mut pool = with_two_frozen(119);
    let start = Action::Start { slot: Slot(2), ticket: Ticket(9) };
    assert_eq!(pool.step(200, needs(9, 2, 60)), [evict(0, Eviction::Budget), start]);

    let mut pool = with_two_frozen(100);
    let lease = Action::Dispatch { slot: Slot(0), ticket: Ticket(9), thaw: true };
    assert_eq!(pool.step(200, needs(9, 0, 60)), [evict(1, Eviction::Budget), lease]);
}

#[test]
fn who_does_not_fit_waits_until_memory_is_free_or_its_time_is_up() {
    let mut pool = with_two_frozen(110);
    pool.step(200, needs(8, 2, 60));
    assert_eq!(pool.step(300, needs(9, 1, 60)), [], "it fits only if nobody else is busy");
    let lease = Action::Dispatch { slot: Slot(1), ticket: Ticket(9), thaw: true };
    let ended = Event::Ended { slot: Slot(2), remains: Remains::Nothing };
    assert_eq!(pool.step(400, ended), [lease]);

    let mut pool = with_two_frozen(110);
    pool.step(200, needs(8, 2, 60));
    assert_eq!(pool.step(300, needs(9, 3, 90)), []);
    let reason = ThrottleReason::ConcurrentInvocationLimitExceeded;
    let throttle = Action::Throttle { ticket: Ticket(9), reason };
    assert!(!pool.step(2_299, Event::Tick).contains(&throttle));
    assert_eq!(pool.step(2_300, Event::Tick), [throttle]);
    assert_eq!(pool.active(), 1);
}

#[test]
fn what_never_fits_is_said_at_once() {
    let mut pool = with_two_frozen(100);
    assert_eq!(pool.step(200, needs(9, 2, 101)), [Action::TooLarge { ticket: Ticket(9) }]);
}

#[test]
fn one_that_holds_too_much_goes_itself() {
    let mut pool = Pool::new(PoolConfig { memory_bytes_max: 100, ..config() });
    pool.step(0, needs(0, 0, 60));
    for (now_ms, event) in warm(0) {
        pool.step(now_ms, event);
    }
    pool.step(0, returned(0, 0));
    let rested = Event::Rested { slot: Slot(0), memory_bytes: 101 };
    let freeze = Action::Freeze { slot: Slot(0) };
    assert_eq!(pool.step(100, rested), [freeze, evict(0, Eviction::Budget)]);
    assert_eq!(pool.charged(), 0);
}

#[test]
fn a_machine_short_of_memory_has_back_what_it_asks_for() {
    let mut pool = with_two_frozen(200);
    let one = pool.step(200, Event::Relieve { bytes: 30 });
    assert_eq!(one, [evict(0, Eviction::Pressure)]);
    let rest = pool.step(200, Event::Relieve { bytes: 1_000 });
    assert_eq!(rest, [evict(1, Eviction::Pressure)]);
}
