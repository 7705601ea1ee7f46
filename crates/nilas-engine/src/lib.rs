//! Runs functions: admission, pool, Runtime API, logs of invocations.
//!
//! Invariant: nothing of the store, the network edge or any service is known here; the sandbox is an interface.
//! Time comes from the `Clock` that was passed in.
#![forbid(unsafe_code)]

mod api;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the driver lands next"))]
mod pool;

pub use api::{
    EndpointServer, EngineConfig, EngineError, EnvironmentState, EnvironmentStatus, Invocation,
    InvokeError, LogEvent, LogSink, ThrottleReason,
};
