//! What the layers above see: configuration, the interfaces they provide, requests and answers.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use nilas_model::{EnvironmentId, FunctionKey, RequestId, VersionSnapshot, limits};
use nilas_sandbox::{Outbound, StartError};

pub use crate::pool::{EnvironmentState, ProvisionFailure, ThrottleReason};
use crate::stream::ResponseSink;

/// How the engine runs functions. Every duration is in milliseconds.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Concurrent invocations of all functions; also the most environments kept alive.
    pub account_concurrency: u32,
    /// Idle time after which an environment is stopped.
    pub idle_ms_max: u64,
    /// Age after which an environment is stopped once idle.
    pub age_ms_max: u64,
    /// Idle time before an environment is frozen.
    pub freeze_after_ms: u64,
    /// Init phase; the retry during the first invocation has the function's own timeout.
    pub init_ms_max: u64,
    /// Port of the AWS endpoint on the loopback inside environments.
    pub host_endpoint_port: u16,
    /// Memory granted beyond the function's own, for what the platform runs inside.
    pub memory_overhead_mib: u32,
    /// Memory of the machine for all environments together, bytes.
    pub memory_bytes_max: u64,
    /// Memory sizes of the environments that are busy may be so many hundredths of it together.
    pub memory_overcommit_percent: u32,
    /// Where the bootstraps are written at start; mounted at `/var/runtime`.
    pub runtime_dir: PathBuf,
    /// Fork Node and Python from booted interpreters instead of starting them anew.
    pub zygotes: bool,
    /// What environments reach beyond their own loopback.
    pub outbound: Outbound,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            account_concurrency: limits::CONCURRENT_EXECUTIONS_DEFAULT,
            idle_ms_max: limits::IDLE_MS_MAX_DEFAULT,
            age_ms_max: limits::AGE_MS_MAX_DEFAULT,
            freeze_after_ms: limits::FREEZE_AFTER_MS_DEFAULT,
            init_ms_max: limits::INIT_MS_MAX,
            host_endpoint_port: 4566,
            memory_overhead_mib: 0,
            memory_bytes_max: u64::MAX / 2,
            memory_overcommit_percent: limits::MEMORY_OVERCOMMIT_PERCENT_DEFAULT,
            runtime_dir: std::env::temp_dir().join("nilas-runtime"),
            zygotes: true,
            outbound: Outbound::Internet,
        }
    }
}

/// Where log events of functions go.
pub trait LogSink: Send + Sync + std::fmt::Debug {
    /// Never blocks; what it has no room for it drops and counts. `group` is `ACCOUNT/REGION/NAME`.
    fn append(&self, group: &str, stream: &str, events: Vec<LogEvent>);
}

/// One event of a log stream. In text format the message ends in a line feed, as CloudWatch's own do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    pub timestamp_ms: u64,
    pub message: String,
}

/// Serves the AWS API to the code inside an environment.
pub trait EndpointServer: Send + Sync + std::fmt::Debug {
    /// The task is aborted when the environment ends.
    fn serve(&self, listener: tokio::net::TcpListener) -> tokio::task::JoinHandle<()>;
}

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub request_id: RequestId,
    pub payload: Bytes,
    /// As the caller named it: with a qualifier exactly when one was given.
    pub invoked_arn: String,
    /// Decoded JSON of `X-Amz-Client-Context`.
    pub client_context: Option<String>,
    /// JSON of the Cognito identity.
    pub cognito_identity: Option<String>,
    pub trace_id: Option<String>,
    pub want_log_tail: bool,
    /// Who takes the response as it comes; without, it is in the outcome as a whole.
    pub sink: Option<ResponseSink>,
}

/// What is set for one function; the default is nothing.
#[derive(Debug, Clone, Default)]
pub struct FunctionConcurrency {
    /// Concurrency that only this function has, and beyond which it has none.
    pub reserved: Option<u32>,
    /// Environments to keep initialised of each version.
    pub provisioned: Vec<(Arc<VersionSnapshot>, u32)>,
}

/// What there is of a version's provisioned concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvisionedStatus {
    /// Environments that are initialised, busy ones included.
    pub allocated: u32,
    /// Why the rest is missing, if the last try failed.
    pub failure: Option<ProvisionFailure>,
}

/// Why an invocation never reached the function. What the function does wrong is an `Outcome` with an error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvokeError {
    #[error("Rate Exceeded.")]
    Throttled { reason: ThrottleReason },
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The machine never has so much memory.
    #[error("a memory size of {memory_mib} MB is more than there is for functions")]
    TooLarge { memory_mib: u32 },
    #[error("the environment did not start")]
    StartFailed {
        #[source]
        source: Arc<StartError>,
    },
    #[error("the environment's sockets could not be set up")]
    Wiring {
        #[source]
        source: Arc<std::io::Error>,
    },
    #[error("the afterRestore() runtime hook encountered an error")]
    RestoreFailed,
    #[error("the snapshot could not be restored within the time limit")]
    RestoreTimedOut,
    #[error("the environment ended without an answer")]
    Lost,
}

/// Why the engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot write the bootstrap {}", path.display())]
    Bootstrap {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// One environment, for people to look at.
#[derive(Debug, Clone)]
pub struct EnvironmentStatus {
    pub id: EnvironmentId,
    pub function: FunctionKey,
    pub generation: u64,
    pub state: EnvironmentState,
    pub invocations: u64,
    pub log_stream: String,
    pub idle_ms: u64,
}
