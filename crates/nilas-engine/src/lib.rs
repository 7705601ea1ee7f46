//! Runs functions: admission, pool, Runtime API, logs of invocations.
//!
//! Invariant: nothing of the store, the network edge or any service is known here; the sandbox is an interface.
//! Time comes from the `Clock` that was passed in.
#![forbid(unsafe_code)]

mod api;
mod bootstraps;
mod engine;
mod environment;
mod fault;
mod launch;
mod logs;
mod memory;
mod pool;
mod snapshot;
mod stream;
mod timer;

pub use api::{
    EndpointServer, EngineConfig, EngineError, EnvironmentState, EnvironmentStatus,
    FunctionConcurrency, Invocation, InvokeError, LogEvent, LogSink, ProvisionFailure,
    ProvisionedStatus, ThrottleReason,
};
pub use engine::Engine;
#[cfg(any(test, feature = "simulation"))]
pub use pool::simulation::{Trace, simulate};
pub use snapshot::SnapshotError;
pub use stream::{Piece, ResponsePieces, ResponseSink, response_stream};
