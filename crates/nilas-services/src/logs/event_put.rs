//! PutLogEvents: what the log drivers of functions and of other programs send.

use nilas_store::LogRow;
use nilas_wire::Fault;
use serde::{Deserialize, Serialize};

use super::constraints::{Constraints, unsigned};
use super::{Cx, fault, token};

const EVENTS_MAX: usize = 10_000;
const BATCH_BYTES_MAX: usize = 1_048_576;
const EVENT_OVERHEAD_BYTES: usize = 26;
const DAY_MS: u64 = 86_400_000;
const AGE_MS_MAX: u64 = 14 * DAY_MS;
const AHEAD_MS_MAX: u64 = 2 * 3_600_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input {
    log_group_name: Option<String>,
    log_stream_name: Option<String>,
    log_events: Option<Vec<InputEvent>>,
}

#[derive(Debug, Deserialize)]
struct InputEvent {
    timestamp: Option<i64>,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    next_sequence_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_log_events_info: Option<Rejected>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    #[serde(skip_serializing_if = "Option::is_none")]
    too_new_log_event_start_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_old_log_event_end_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expired_log_event_end_index: Option<usize>,
}

pub(super) async fn put(cx: &Cx<'_>, input: Input) -> Result<Output, Fault> {
    let mut constraints = Constraints::default();
    constraints.required("logGroupName", input.log_group_name.as_ref());
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.required("logStreamName", input.log_stream_name.as_ref());
    constraints.stream_name("logStreamName", input.log_stream_name.as_deref());
    constraints.required("logEvents", input.log_events.as_ref());
    constraints.count("logEvents", input.log_events.as_ref().map(Vec::len), 1, EVENTS_MAX);
    for (index, event) in (1..).zip(input.log_events.iter().flatten()) {
        event.check(index, &mut constraints);
    }
    constraints.finish()?;
    let mut rows: Vec<LogRow> =
        input.log_events.into_iter().flatten().map(InputEvent::into_row).collect();
    check_batch(&rows)?;

    let key = cx.key(&input.log_group_name.unwrap_or_default());
    let group = cx.logs.group(&key).await.map_err(fault::of_store)?.ok_or_else(fault::no_group)?;
    let now_ms = cx.clock.epoch_ms();
    let rejected = take_rejected(&mut rows, now_ms, group.retention_days);
    let stream = input.log_stream_name.unwrap_or_default();
    // Also when nothing is left, so that a missing stream is told.
    cx.logs.put(&key, &stream, rows).await.map_err(fault::of_store)?;
    let rejected_log_events_info =
        Some(rejected).filter(|rejected| *rejected != Rejected::default());
    Ok(Output { next_sequence_token: token::sequence(now_ms), rejected_log_events_info })
}

impl InputEvent {
    fn check(&self, index: usize, constraints: &mut Constraints) {
        let timestamp = format!("logEvents.{index}.member.timestamp");
        let message = format!("logEvents.{index}.member.message");
        constraints.required(&timestamp, self.timestamp.as_ref());
        constraints.time(&timestamp, self.timestamp);
        constraints.required(&message, self.message.as_ref());
        if let Some(text) = &self.message {
            constraints.length(&message, text, 1, usize::MAX);
        }
    }

    fn into_row(self) -> LogRow {
        LogRow {
            timestamp_ms: unsigned(self.timestamp.unwrap_or(0)),
            message: self.message.unwrap_or_default(),
        }
    }
}

fn check_batch(rows: &[LogRow]) -> Result<(), Fault> {
    let size = |row: &LogRow| row.message.len() + EVENT_OVERHEAD_BYTES;
    let bytes: usize = rows.iter().map(size).sum();
    if bytes > BATCH_BYTES_MAX {
        let text = format!("Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}");
        return Err(fault::invalid_parameter(text));
    }
    if !rows.is_sorted_by_key(|row| row.timestamp_ms) {
        let text = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(fault::invalid_parameter(text));
    }
    if let (Some(first), Some(last)) = (rows.first(), rows.last())
        && last.timestamp_ms - first.timestamp_ms > DAY_MS
    {
        let text = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
        return Err(fault::invalid_parameter(text));
    }
    Ok(())
}

/// Takes events out that are too old, past their retention or too far ahead, and says which; `rows` are in order.
fn take_rejected(rows: &mut Vec<LogRow>, now_ms: u64, retention_days: Option<u32>) -> Rejected {
    let before = |limit_ms: u64| rows.partition_point(|row| row.timestamp_ms < limit_ms);
    let too_old = before(now_ms.saturating_sub(AGE_MS_MAX));
    let expired =
        retention_days.map_or(0, |days| before(now_ms.saturating_sub(u64::from(days) * DAY_MS)));
    let too_new = before(now_ms.saturating_add(AHEAD_MS_MAX).saturating_add(1));
    let rejected = Rejected {
        too_new_log_event_start_index: (too_new < rows.len()).then_some(too_new),
        too_old_log_event_end_index: (too_old > 0).then_some(too_old),
        expired_log_event_end_index: (expired > too_old).then_some(expired),
    };
    rows.truncate(too_new);
    rows.drain(..too_old.max(expired).min(too_new));
    rejected
}
