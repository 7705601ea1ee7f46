//! What happens to the pool, and what it wants done.

use std::collections::BTreeMap;

use nilas_model::{FunctionId, FunctionKey, Version};

/// Number of an environment in the pool, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u64);

/// Number of an admitted invocation, never used twice; given by the driver, which counts up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// The limits the pool keeps. Durations in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    /// Most concurrency handed out, which is also the most environments alive.
    pub(crate) concurrency_max: usize,
    pub(crate) starts_max: usize,
    /// Invocations without an environment: of all functions, and of one.
    pub(crate) waiters_max: usize,
    pub(crate) function_waiters_max: usize,
    pub(crate) idle_ms_max: u64,
    pub(crate) age_ms_max: u64,
    pub(crate) freeze_after_ms: u64,
    /// Between a failed start of a provisioned environment and the next try.
    pub(crate) provision_retry_ms: u64,
    /// Bytes of all environments together.
    pub(crate) memory_bytes_max: u64,
    /// How long an invocation waits for memory.
    pub(crate) memory_wait_ms_max: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Somebody wants this generation of this function run, in an environment that takes so much memory while it runs.
    Invoke { ticket: Ticket, function: FunctionKey, generation: u64, memory_bytes: u64 },
    /// The sandbox exists; the runtime boots.
    SandboxStarted { slot: Slot },
    /// The runtime waits for its first event. If it was started for an invocation, it gets that one.
    Initialized { slot: Slot },
    /// The invocation is over and the environment is sound.
    Returned { slot: Slot, ticket: Ticket },
    /// The environment's driver saw it idle for the freeze delay, and holding so much memory.
    Rested { slot: Slot, memory_bytes: u64 },
    /// Nothing of the environment is left.
    Ended { slot: Slot, remains: Remains },
    /// Time has passed.
    Tick,
    /// The machine is short of memory: idle environments that hold so much of it together are to end.
    Relieve { bytes: u64 },
    /// Environments of older generations end, busy ones after their invocation.
    Retire { function: FunctionKey, older_than: u64 },
    /// Replaces whatever was set for the function.
    Configure { function: FunctionId, concurrency: Concurrency },
    /// Admit nothing more; idle environments end now, busy ones after their invocation.
    Shutdown,
    /// End everything that is left.
    StopAll,
}

/// What an environment leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    Nothing,
    /// Its invocation never reached the runtime and is not over.
    Undelivered,
    /// It was to be provisioned, and the function's own init failed.
    FailedInit,
}

/// What is set for a function. The default is what functions have for which nothing is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Concurrency {
    /// Concurrency that only this function has, and beyond which it has none.
    pub(crate) reserved: Option<usize>,
    /// Environments to keep initialised.
    pub(crate) provisioned: BTreeMap<Version, Wanted>,
}

/// So many environments of this generation of a version, each of so much memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) generation: u64,
    pub(crate) count: usize,
    pub(crate) memory_bytes: u64,
}

/// What the driver has to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make an environment and run this invocation in it once it is initialised.
    Start {
        slot: Slot,
        ticket: Ticket,
    },
    /// Make an environment of the version that was configured last, and keep it.
    Provision {
        slot: Slot,
        function: FunctionKey,
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
    /// The same, of an idle environment whose place or memory is needed.
    Evict {
        slot: Slot,
        cause: Eviction,
    },
    Throttle {
        ticket: Ticket,
        reason: ThrottleReason,
    },
    /// The engine shuts down.
    Refuse {
        ticket: Ticket,
    },
    /// The machine has less memory for environments than this one would take.
    TooLarge {
        ticket: Ticket,
    },
}

/// Why an idle environment had to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// There are as many environments as there may be.
    Concurrency,
    /// Others need the memory.
    Budget,
    /// The machine is short of memory.
    Pressure,
}

/// The `Reason` of AWS's 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleReason {
    /// All concurrency that is not reserved is in use.
    ConcurrentInvocationLimitExceeded,
    /// All that is reserved for the function is in use.
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// The function is invoked faster than environments can be started for it.
    FunctionInvocationRateLimitExceeded,
    ReservedFunctionInvocationRateLimitExceeded,
}

/// Why provisioned environments are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisionFailure {
    /// The function's init failed.
    Init,
    /// The environment could not be made.
    Start,
}
