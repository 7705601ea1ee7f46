//! GetLogEvents: one stream, in both directions.

use nilas_store::{LogQuery, LogRecord, Position};
use nilas_wire::Fault;
use serde::{Deserialize, Serialize};

use super::constraints::{Constraints, group_named, unsigned};
use super::token::EventToken;
use super::{Cx, fault};

const EVENTS_PER_PAGE: i64 = 10_000;
pub(super) const PAGE_BYTES_MAX: usize = 1_048_576;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    events: Vec<Event>,
    next_forward_token: String,
    next_backward_token: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    timestamp: u64,
    message: String,
    ingestion_time: u64,
}

pub(super) async fn get(cx: &Cx<'_>, input: Input) -> Result<Output, Fault> {
    let mut constraints = Constraints::default();
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.required("logStreamName", input.log_stream_name.as_ref());
    constraints.stream_name("logStreamName", input.log_stream_name.as_deref());
    constraints.time("startTime", input.start_time);
    constraints.time("endTime", input.end_time);
    constraints.range("limit", input.limit, 1, EVENTS_PER_PAGE);
    constraints.finish()?;
    let group = group_named(input.log_group_name, input.log_group_identifier)?;
    let token = input.next_token.as_deref().map(EventToken::decode).transpose()?;
    let descending = match token {
        Some(token) => token.backward,
        None => !input.start_from_head.unwrap_or(false),
    };
    let query = LogQuery {
        group: cx.key(&group),
        streams: vec![input.log_stream_name.unwrap_or_default()],
        start_ms: input.start_time.map(unsigned),
        end_ms: input.end_time.map(unsigned),
        after: token.map(|token| token.from),
        limit: usize::try_from(input.limit.unwrap_or(EVENTS_PER_PAGE)).unwrap_or(1),
        bytes_max: PAGE_BYTES_MAX,
        descending,
        ..LogQuery::default()
    };
    let start_ms = query.start_ms.unwrap_or(0);
    let mut records = cx.logs.range(query).await.map_err(fault::of_store)?;
    if descending {
        records.reverse();
    }
    let (forward, backward) = tokens(&records, token, start_ms);
    let event = |record: LogRecord| Event {
        timestamp: record.timestamp_ms,
        message: record.message,
        ingestion_time: record.ingestion_ms,
    };
    Ok(Output {
        events: records.into_iter().map(event).collect(),
        next_forward_token: forward.encode(),
        next_backward_token: backward.encode(),
    })
}

/// Where to read on in both directions. At an end, the token for that direction is the one that was passed in:
/// this is how callers know.
fn tokens(
    records: &[LogRecord],
    passed: Option<EventToken>,
    start_ms: u64,
) -> (EventToken, EventToken) {
    if let (Some(first), Some(last)) = (records.first(), records.last()) {
        return (EventToken::forward(last.position()), EventToken::backward(first.position()));
    }
    let nowhere = EventToken::forward(Position { timestamp_ms: start_ms, id: 0 });
    match passed.unwrap_or(nowhere) {
        // Turning around at an end must give the event at that end again.
        token @ EventToken { from, backward: false } => {
            (token, EventToken::backward(Position { id: from.id.saturating_add(1), ..from }))
        }
        token @ EventToken { from, backward: true } => {
            (EventToken::forward(Position { id: from.id.saturating_sub(1), ..from }), token)
        }
    }
}
