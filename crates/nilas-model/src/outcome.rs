//! What came of one invocation.

use bytes::Bytes;

/// Whose fault an error is; a `Function` error never counts against the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    Caller,
    Function,
    Platform,
}

/// The value of `X-Amz-Function-Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionErrorKind {
    /// The function, its runtime or its environment failed; AWS reports every error of current runtimes so.
    Unhandled,
}

impl FunctionErrorKind {
    pub fn as_str(self) -> &'static str {
        "Unhandled"
    }
}

/// The answer to one synchronous invocation, function errors included.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The function's response, or its error object as JSON.
    pub payload: Bytes,
    pub error: Option<FunctionErrorKind>,
    /// Last 4 KiB of this invocation's log, when asked for.
    pub log_tail: Option<Bytes>,
    pub report: Report,
}

/// The figures of the REPORT line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub duration_us: u64,
    pub billed_ms: u64,
    pub memory_mib: u32,
    pub memory_used_mib: u32,
    /// Present on the first invocation of an environment that was initialised for it.
    pub init_us: Option<u64>,
    /// Likewise of one that was restored from a snapshot.
    pub restore: Option<Restore>,
}

/// The figures of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    pub duration_us: u64,
    /// Of the function's own hooks.
    pub billed_ms: u64,
}
