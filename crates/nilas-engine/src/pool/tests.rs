//! Single decisions by hand, and the simulation over many seeds.

use nilas_model::{AccountId, FunctionId, FunctionKey, FunctionName, Region, Version};

use super::core::Pool;
use super::event::{
    Action, Concurrency, Event, PoolConfig, ProvisionFailure, Remains, Slot, ThrottleReason,
    Ticket, Wanted,
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
