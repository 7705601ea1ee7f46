//! Vocabulary shared by every crate: names, ARNs, limits, version snapshots, outcomes, clock.
//!
//! Invariant: this crate opens nothing, spawns nothing and derives no wire format.
//! The only clock read is `SystemClock`, which callers receive as `Arc<dyn Clock>`.
#![forbid(unsafe_code)]

mod clock;
mod identity;
pub mod limits;
mod names;
mod outcome;
mod snapshot;

pub use clock::{Clock, SimClock, SystemClock, VirtualClock};
pub use identity::{AuthContext, CredentialIssuer, Origin, Principal, SessionCredentials};
pub use names::{
    AccountId, EnvironmentId, FunctionArn, FunctionId, FunctionKey, FunctionName, FunctionRef,
    NameError, Qualifier, Region, RequestId, Version,
};
pub use outcome::{Blame, FunctionErrorKind, Outcome, Report, Restore};
pub use snapshot::{Interpreter, LogFormat, LogLevel, LoggingConfig, RuntimeKind, VersionSnapshot};
