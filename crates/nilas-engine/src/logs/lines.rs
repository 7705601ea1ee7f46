//! The platform's own log lines, as text and as JSON.
//!
//! Forms: "Lambda function logs" and "Configuring JSON and plain text log formats" in AWS's developer guide.

use std::fmt::Write as _;

use jiff::Timestamp;
use nilas_model::{EnvironmentId, LogLevel, Report, RequestId, Restore, Version, VersionSnapshot};
use serde_json::{Value, json};

use crate::launch::{Start, initialization_type};

/// Which attempt at init: before the first invocation, or again within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitPhase {
    Init,
    Invoke,
}

/// An init that did not succeed, or that no invocation reports: that before a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InitReport {
    pub(crate) phase: InitPhase,
    /// As `launch::initialization_type` has it.
    pub(crate) initialization: &'static str,
    pub(crate) duration_us: u64,
    /// `success`, `error` with a type, or `timeout`.
    pub(crate) status: &'static str,
    pub(crate) error_type: Option<String>,
}

/// The restore of an environment from a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RestoreReport {
    pub(crate) duration_us: u64,
    /// As that of an init.
    pub(crate) status: &'static str,
    pub(crate) error_type: Option<String>,
}

/// The end of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReportLine<'a> {
    pub(crate) request_id: RequestId,
    pub(crate) report: &'a Report,
    /// Status and error type; text shows them only when `visible`.
    pub(crate) fault: Option<(&'static str, &'a str)>,
    pub(crate) visible: bool,
}

/// What runs the function, as INIT_START names it: `nodejs:20.v20.20.2`.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeVersion {
    name: String,
    arn: String,
}

/// A platform event with its level, for the filter on JSON logs.
pub(crate) struct PlatformEvent {
    pub(crate) level: LogLevel,
    pub(crate) kind: &'static str,
    pub(crate) record: Value,
}

/// `2026-01-31T23:59:59.000Z`
pub(crate) fn rfc3339_ms(epoch_ms: u64) -> String {
    timestamp(epoch_ms).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `2026/01/31/[$LATEST]0123…`
pub(crate) fn stream_name(epoch_ms: u64, version: Version, id: EnvironmentId) -> String {
    format!("{}/[{version}]{id}", timestamp(epoch_ms).strftime("%Y/%m/%d"))
}

pub(crate) fn start_text(id: RequestId, version: Version) -> String {
    line(format_args!("START RequestId: {id} Version: {version}\n"))
}

pub(crate) fn start_event(id: RequestId, version: Version) -> PlatformEvent {
    let record = json!({"requestId": id.to_string(), "version": version.to_string()});
    PlatformEvent { level: LogLevel::Info, kind: "platform.start", record }
}

pub(crate) fn end_text(id: RequestId) -> String {
    line(format_args!("END RequestId: {id}\n"))
}

/// Text of a line of ordinary length, which then grows no more.
fn line(text: std::fmt::Arguments<'_>) -> String {
    const LINE_BYTES: usize = 176;
    let mut line = String::with_capacity(LINE_BYTES);
    line.write_fmt(text).expect("a string takes everything");
    line
}

// === impl RuntimeVersion ===

impl RuntimeVersion {
    pub(crate) fn of(snapshot: &VersionSnapshot) -> Self {
        let runtime = snapshot.runtime.trim_end_matches(".x");
        let split = runtime.find(|c: char| c.is_ascii_digit()).unwrap_or(runtime.len());
        let (family, number) = match runtime.strip_prefix("provided.") {
            Some(base) => ("provided", base),
            None => runtime.split_at(split),
        };
        let version = snapshot.interpreter.as_ref().map_or("1", |found| found.version.as_str());
        let name = format!("{family}:{number}.v{version}");
        // AWS's ARN ends in a digest of the runtime image: any text that stands for exactly this version will do.
        let digest: String = (0u64..4).map(|part| format!("{:016x}", fnv1a(&name, part))).collect();
        let arn = format!("arn:aws:lambda:{}::runtime:{digest}", snapshot.region.as_str());
        Self { name, arn }
    }

    pub(crate) fn init_start_text(&self) -> String {
        format!("INIT_START Runtime Version: {}\tRuntime Version ARN: {}\n", self.name, self.arn)
    }

    pub(crate) fn init_start_event(
        &self,
        snapshot: &VersionSnapshot,
        start: &Start,
    ) -> PlatformEvent {
        let record = json!({
            "initializationType": initialization_type(snapshot, start),
            "phase": "init",
            "runtimeVersion": self.name,
            "runtimeVersionArn": self.arn,
            "functionName": snapshot.name.as_str(),
            "functionVersion": snapshot.version.to_string(),
        });
        PlatformEvent { level: LogLevel::Info, kind: "platform.initStart", record }
    }

    pub(crate) fn restore_start_text(&self) -> String {
        format!("RESTORE_START Runtime Version: {}\tRuntime Version ARN: {}\n", self.name, self.arn)
    }

    pub(crate) fn restore_start_event(&self, snapshot: &VersionSnapshot) -> PlatformEvent {
        let record = json!({
            "runtimeVersion": self.name,
            "runtimeVersionArn": self.arn,
            "functionName": snapshot.name.as_str(),
            "functionVersion": snapshot.version.to_string(),
        });
        PlatformEvent { level: LogLevel::Info, kind: "platform.restoreStart", record }
    }
}

// === impl InitReport ===

impl InitReport {
    pub(crate) fn text(&self) -> String {
        let phase = self.phase.as_str();
        let duration = millis(self.duration_us);
        let error = self.error_type.as_ref().map(|text| format!("\tError Type: {text}"));
        format!(
            "INIT_REPORT Init Duration: {duration} ms\tPhase: {phase}\tStatus: {}{}\n",
            self.status,
            error.unwrap_or_default()
        )
    }

    pub(crate) fn event(&self) -> PlatformEvent {
        let mut record = json!({
            "initializationType": self.initialization,
            "phase": self.phase.as_str(),
            "status": self.status,
            "metrics": {"durationMs": millis_number(self.duration_us)},
        });
        if let Some(error_type) = &self.error_type {
            record["errorType"] = json!(error_type);
        }
        let level = level_of(self.status);
        PlatformEvent { level, kind: "platform.initReport", record }
    }
}

// === impl RestoreReport ===

impl RestoreReport {
    /// AWS names the status of what has failed only.
    pub(crate) fn text(&self) -> String {
        let status = (self.status != "success").then(|| format!("\tStatus: {}", self.status));
        let error = self.error_type.as_ref().map(|text| format!("\tError Type: {text}"));
        format!(
            "RESTORE_REPORT Restore Duration: {} ms{}{}\n",
            millis(self.duration_us),
            status.unwrap_or_default(),
            error.unwrap_or_default()
        )
    }

    pub(crate) fn event(&self) -> PlatformEvent {
        let mut record = json!({
            "status": self.status,
            "metrics": {"durationMs": millis_number(self.duration_us)},
        });
        if let Some(error_type) = &self.error_type {
            record["errorType"] = json!(error_type);
        }
        let level = level_of(self.status);
        PlatformEvent { level, kind: "platform.restoreReport", record }
    }
}

fn level_of(status: &str) -> LogLevel {
    if status == "success" { LogLevel::Info } else { LogLevel::Error }
}

impl InitPhase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

// === impl ReportLine ===

impl ReportLine<'_> {
    pub(crate) fn text(&self) -> String {
        let Report { duration_us, billed_ms, memory_mib, memory_used_mib, init_us, restore } =
            self.report;
        let init = init_us.map(|us| format!("Init Duration: {} ms\t", millis(us)));
        let restore = restore.map(|Restore { duration_us, billed_ms }| {
            let duration = millis(duration_us);
            format!("Restore Duration: {duration} ms\tBilled Restore Duration: {billed_ms} ms\t")
        });
        let status = self.fault.filter(|_| self.visible).map(|(status, error_type)| match status {
            "timeout" => "Status: timeout".to_owned(),
            _ => format!("Status: {status}\tError Type: {error_type}"),
        });
        line(format_args!(
            "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {billed_ms} ms\tMemory Size: {memory_mib} MB\t\
             Max Memory Used: {memory_used_mib} MB\t{}{}{}\n",
            self.request_id,
            millis(*duration_us),
            init.unwrap_or_default(),
            restore.unwrap_or_default(),
            status.unwrap_or_default(),
        ))
    }

    pub(crate) fn event(&self) -> PlatformEvent {
        let mut metrics = json!({
            "durationMs": millis_number(self.report.duration_us),
            "billedDurationMs": self.report.billed_ms,
            "memorySizeMB": self.report.memory_mib,
            "maxMemoryUsedMB": self.report.memory_used_mib,
        });
        if let Some(init_us) = self.report.init_us {
            metrics["initDurationMs"] = json!(millis_number(init_us));
        }
        if let Some(restore) = self.report.restore {
            metrics["restoreDurationMs"] = json!(millis_number(restore.duration_us));
            metrics["billedRestoreDurationMs"] = json!(restore.billed_ms);
        }
        let mut record = json!({"requestId": self.request_id.to_string(), "metrics": metrics});
        match self.fault {
            None => record["status"] = json!("success"),
            Some((status, error_type)) => {
                record["status"] = json!(status);
                if status != "timeout" {
                    record["errorType"] = json!(error_type);
                }
            }
        }
        let level = if self.fault.is_none() { LogLevel::Info } else { LogLevel::Error };
        PlatformEvent { level, kind: "platform.report", record }
    }
}

// === impl PlatformEvent ===

impl PlatformEvent {
    pub(crate) fn json(&self, epoch_ms: u64) -> String {
        json!({"time": rfc3339_ms(epoch_ms), "type": self.kind, "record": self.record}).to_string()
    }
}

fn timestamp(epoch_ms: u64) -> Timestamp {
    let epoch_ms = i64::try_from(epoch_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(epoch_ms).unwrap_or(Timestamp::MAX)
}

fn millis(us: u64) -> String {
    format!("{}.{:02}", us / 1_000, us % 1_000 / 10)
}

/// Milliseconds with microseconds as the fraction.
fn millis_number(us: u64) -> f64 {
    let us = u32::try_from(us).map_or(f64::from(u32::MAX), f64::from);
    us / 1_000.0
}

/// FNV-1a, 64 bits.
fn fnv1a(text: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn check(report: &Report, fault: Option<(&'static str, &str)>, visible: bool, text: &str) {
        let request_id = RequestId::parse(ID).unwrap();
        let line = ReportLine { request_id, report, fault, visible };
        assert_eq!(line.text(), format!("REPORT RequestId: {ID}\t{text}\n"));
    }

    #[test]
    fn reports_as_aws_does() {
        let warm = Report {
            duration_us: 1_234,
            billed_ms: 2,
            memory_mib: 128,
            memory_used_mib: 30,
            init_us: None,
            restore: None,
        };
        let cold = Report { init_us: Some(90_000), ..warm.clone() };
        let body = "Duration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t";
        check(&warm, None, false, body);
        check(&cold, None, false, &format!("{body}Init Duration: 90.00 ms\t"));
        let restore = Some(Restore { duration_us: 4_560, billed_ms: 2 });
        let restored = Report { restore, ..warm.clone() };
        let line = "Restore Duration: 4.56 ms\tBilled Restore Duration: 2 ms\t";
        check(&restored, None, false, &format!("{body}{line}"));
        check(
            &warm,
            Some(("timeout", "Sandbox.Timedout")),
            true,
            &format!("{body}Status: timeout"),
        );
        check(
            &warm,
            Some(("error", "Runtime.OutOfMemory")),
            true,
            &format!("{body}Status: error\tError Type: Runtime.OutOfMemory"),
        );
        check(&warm, Some(("error", "TypeError")), false, body);
    }

    #[test]
    fn reports_failed_inits() {
        let mut report = InitReport {
            phase: InitPhase::Init,
            initialization: "on-demand",
            duration_us: 123_450,
            status: "error",
            error_type: Some("Runtime.ExitError".to_owned()),
        };
        assert_eq!(
            report.text(),
            "INIT_REPORT Init Duration: 123.45 ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n"
        );
        report =
            InitReport { duration_us: 10_000_000, status: "timeout", error_type: None, ..report };
        assert_eq!(
            report.text(),
            "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n"
        );
    }

    #[test]
    fn names_streams_and_times() {
        let id = EnvironmentId::from_number(0xabc);
        let name = stream_name(1_769_903_999_007, Version::Latest, id);
        assert_eq!(name, format!("2026/01/31/[$LATEST]{id}"));
        assert_eq!(rfc3339_ms(1_769_903_999_007), "2026-01-31T23:59:59.007Z");
    }
}
