//! One environment's log stream: budget, the tail of the current invocation, and the way to the sink.

use std::sync::Arc;

use bytes::Bytes;
use nilas_model::{
    Clock, LogFormat, LogLevel, LoggingConfig, RequestId, Version, VersionSnapshot, limits,
};

use super::lines::{self, InitReport, PlatformEvent, ReportLine, RestoreReport, RuntimeVersion};
use super::telemetry::{LineReader, TelemetryReader};
use crate::api::{LogEvent, LogSink};
use crate::launch::Start;

/// Where a journal writes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// `ACCOUNT/REGION/NAME`: groups of the same name exist in each region.
    pub(crate) group: String,
    pub(crate) logging: LoggingConfig,
    pub(crate) stream: String,
    pub(crate) sink: Arc<dyn LogSink>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Collects events and hands them to the sink in batches, so that the answer path only appends to a vector.
#[derive(Debug)]
pub(crate) struct Journal {
    place: Place,
    pending: Vec<LogEvent>,
    tail: Option<Vec<u8>>,
    /// Between START and END.
    started: bool,
    output: LineReader,
    telemetry: TelemetryReader,
    budget: Budget,
}

/// A token bucket over the function's own output.
#[derive(Debug)]
struct Budget {
    bytes: u64,
    refilled_us: u64,
    dropped_bytes: u64,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn new(place: Place) -> Self {
        let budget = Budget {
            bytes: limits::LOG_BURST_BYTES_MAX,
            refilled_us: place.clock.monotonic_us(),
            dropped_bytes: 0,
        };
        Self {
            place,
            pending: Vec::new(),
            tail: None,
            started: false,
            output: LineReader::default(),
            telemetry: TelemetryReader::default(),
            budget,
        }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.place.stream
    }

    /// A new process writes from here on: what the last one left unfinished is an event of its own.
    pub(crate) fn new_process(&mut self) {
        self.finish_lines();
        self.telemetry = TelemetryReader::default();
    }

    /// Bytes of stdout or stderr.
    pub(crate) fn take_output(&mut self, bytes: &[u8]) {
        let mut output = std::mem::take(&mut self.output);
        output.push(bytes, &mut |line| self.function_event(line));
        self.output = output;
    }

    /// Bytes of the telemetry pipe.
    pub(crate) fn take_telemetry(&mut self, bytes: &[u8]) {
        let mut telemetry = std::mem::take(&mut self.telemetry);
        telemetry.push(bytes, &mut |event| self.function_event(event));
        self.telemetry = telemetry;
    }

    pub(crate) fn init_start(
        &mut self,
        version: &RuntimeVersion,
        snapshot: &VersionSnapshot,
        start: &Start,
    ) {
        match self.place.logging.format {
            LogFormat::Text => self.push(version.init_start_text()),
            LogFormat::Json => self.platform(&version.init_start_event(snapshot, start)),
        }
    }

    pub(crate) fn restore_start(&mut self, version: &RuntimeVersion, snapshot: &VersionSnapshot) {
        match self.place.logging.format {
            LogFormat::Text => self.push(version.restore_start_text()),
            LogFormat::Json => self.platform(&version.restore_start_event(snapshot)),
        }
    }

    pub(crate) fn restore_report(&mut self, report: &RestoreReport) {
        self.finish_lines();
        match self.place.logging.format {
            LogFormat::Text => self.push(report.text()),
            LogFormat::Json => self.platform(&report.event()),
        }
    }

    pub(crate) fn init_report(&mut self, report: &InitReport) {
        self.finish_lines();
        match self.place.logging.format {
            LogFormat::Text => self.push(report.text()),
            LogFormat::Json => self.platform(&report.event()),
        }
    }

    /// START; the tail begins here.
    pub(crate) fn start(&mut self, id: RequestId, version: Version, want_tail: bool) {
        self.finish_lines();
        self.tail = want_tail.then(Vec::new);
        self.started = true;
        match self.place.logging.format {
            LogFormat::Text => self.push(lines::start_text(id, version)),
            LogFormat::Json => self.platform(&lines::start_event(id, version)),
        }
    }

    /// Whether the invocation has no START yet: its init failed before.
    pub(crate) fn needs_start(&self) -> bool {
        !self.started
    }

    /// A line of the platform that is plain text in either format, such as that of a timeout.
    pub(crate) fn plain(&mut self, text: String) {
        self.finish_lines();
        self.push(text);
    }

    /// END and REPORT.
    pub(crate) fn end(&mut self, line: &ReportLine<'_>) {
        self.finish_lines();
        self.report_drops();
        self.started = false;
        match self.place.logging.format {
            LogFormat::Text => {
                self.push(lines::end_text(line.request_id));
                self.push(line.text());
            }
            LogFormat::Json => self.platform(&line.event()),
        }
    }

    /// The last 4 KiB since START, when asked for.
    pub(crate) fn take_tail(&mut self) -> Option<Bytes> {
        let tail = self.tail.take()?;
        let from = tail.len().saturating_sub(limits::LOG_TAIL_BYTES_MAX);
        Some(Bytes::from(tail).slice(from..))
    }

    /// Hands everything collected to the sink.
    pub(crate) fn flush(&mut self) {
        if !self.pending.is_empty() {
            let events = std::mem::take(&mut self.pending);
            self.place.sink.append(&self.place.group, &self.place.stream, events);
        }
    }

    fn function_event(&mut self, bytes: &[u8]) {
        // An empty line costs an event too.
        const EVENT_OVERHEAD_BYTES: usize = 26;
        let cost = bytes.len() + EVENT_OVERHEAD_BYTES;
        if !self.budget.spend(cost, self.place.clock.monotonic_us()) {
            return;
        }
        let mut message = String::from_utf8_lossy(bytes).into_owned();
        if self.place.logging.format == LogFormat::Text && !message.ends_with('\n') {
            message.push('\n');
        }
        self.push(message);
    }

    fn finish_lines(&mut self) {
        let mut output = std::mem::take(&mut self.output);
        let mut telemetry = std::mem::take(&mut self.telemetry);
        output.flush(&mut |line| self.function_event(line));
        telemetry.flush(&mut |line| self.function_event(line));
        self.output = output;
        self.telemetry = telemetry;
    }

    fn report_drops(&mut self) {
        let bytes = std::mem::take(&mut self.budget.dropped_bytes);
        if bytes > 0 {
            tracing::warn!(stream = %self.place.stream, bytes, "dropped function output over the budget");
            let record = serde_json::json!({
                "reason": "Log output is over the budget of the environment",
                "droppedBytes": bytes,
            });
            let event =
                PlatformEvent { level: LogLevel::Warn, kind: "platform.logsDropped", record };
            self.platform(&event);
        }
    }

    /// With text format only what has no text form comes here, so the level matters to JSON alone.
    fn platform(&mut self, event: &PlatformEvent) {
        let least = self.place.logging.system_level.unwrap_or(LogLevel::Info);
        if event.level >= least {
            self.push(event.json(self.place.clock.epoch_ms()));
        }
    }

    fn push(&mut self, message: String) {
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(message.as_bytes());
            if !message.ends_with('\n') {
                tail.push(b'\n');
            }
            if tail.len() > 4 * limits::LOG_TAIL_BYTES_MAX {
                tail.drain(..tail.len() - limits::LOG_TAIL_BYTES_MAX);
            }
        }
        self.pending.push(LogEvent { timestamp_ms: self.place.clock.epoch_ms(), message });
    }
}

// === impl Budget ===

impl Budget {
    fn spend(&mut self, bytes: usize, now_us: u64) -> bool {
        let elapsed_us = now_us.saturating_sub(self.refilled_us);
        let refill = elapsed_us.saturating_mul(limits::LOG_BYTES_PER_S_MAX) / 1_000_000;
        if refill > 0 {
            self.bytes = self.bytes.saturating_add(refill).min(limits::LOG_BURST_BYTES_MAX);
            self.refilled_us = now_us;
        }
        let bytes = bytes as u64;
        let affordable = bytes <= self.bytes;
        if affordable {
            self.bytes -= bytes;
        } else {
            self.dropped_bytes += bytes;
        }
        affordable
    }
}
