//! What an environment writes into its log stream: the platform's lines and the function's output.

mod journal;
mod lines;
mod output;
mod telemetry;

pub(crate) use self::journal::{Journal, Place};
pub(crate) use self::lines::{
    InitPhase, InitReport, ReportLine, RestoreReport, RuntimeVersion, rfc3339_ms, stream_name,
};
pub(crate) use self::output::{Output, lock};
