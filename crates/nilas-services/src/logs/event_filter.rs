//! FilterLogEvents: a group's events across streams, those that a pattern matches.

use nilas_store::{LogQuery, LogRecord, Position};
use nilas_wire::Fault;
use serde::{Deserialize, Serialize};

use super::constraints::{Constraints, group_named, unsigned};
use super::event_get::PAGE_BYTES_MAX;
use super::pattern::FilterPattern;
use super::token::{EventToken, event_id};
use super::{Cx, fault};

const EVENTS_PER_PAGE: i64 = 10_000;
const STREAMS_MAX: usize = 100;
const PATTERN_CHARS_MAX: usize = 1_024;
/// Events looked at for one answer; a pattern that finds nothing in them gets an empty page and a token.
const EVENTS_SCANNED_MAX: usize = 100_000;
const EVENTS_PER_READ: usize = 5_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    events: Vec<Event>,
    /// Always empty since 2020.
    searched_log_streams: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    log_stream_name: String,
    timestamp: u64,
    message: String,
    ingestion_time: u64,
    event_id: String,
}

pub(super) async fn filter(cx: &Cx<'_>, input: Input) -> Result<Output, Fault> {
    check(&input)?;
    let pattern = FilterPattern::parse(input.filter_pattern.as_deref().unwrap_or_default())
        .map_err(|_| fault::invalid_parameter("Invalid filter pattern"))?;
    let token = input.next_token.as_deref().map(EventToken::decode).transpose()?;
    let group = group_named(input.log_group_name, input.log_group_identifier)?;
    let query = LogQuery {
        group: cx.key(&group),
        streams: input.log_stream_names.unwrap_or_default(),
        stream_prefix: input.log_stream_name_prefix,
        start_ms: input.start_time.map(unsigned),
        // Here, unlike in GetLogEvents, the end belongs to the range.
        end_ms: input.end_time.map(|end_ms| unsigned(end_ms).saturating_add(1)),
        after: token.map(|token| token.from),
        limit: EVENTS_PER_READ,
        bytes_max: PAGE_BYTES_MAX,
        descending: token.map_or(!input.start_from_head.unwrap_or(true), |token| token.backward),
    };
    let limit = usize::try_from(input.limit.unwrap_or(EVENTS_PER_PAGE)).unwrap_or(1);
    scan(cx, query, &pattern, limit).await
}

fn check(input: &Input) -> Result<(), Fault> {
    let mut constraints = Constraints::default();
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.count(
        "logStreamNames",
        input.log_stream_names.as_ref().map(Vec::len),
        1,
        STREAMS_MAX,
    );
    for name in input.log_stream_names.iter().flatten() {
        constraints.stream_name("logStreamNames", Some(name));
    }
    constraints.stream_name("logStreamNamePrefix", input.log_stream_name_prefix.as_deref());
    constraints.time("startTime", input.start_time);
    constraints.time("endTime", input.end_time);
    constraints.length(
        "filterPattern",
        input.filter_pattern.as_deref().unwrap_or_default(),
        0,
        PATTERN_CHARS_MAX,
    );
    constraints.range("limit", input.limit, 1, EVENTS_PER_PAGE);
    constraints.finish()?;
    if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
        let text = "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.";
        return Err(fault::invalid_parameter(text));
    }
    Ok(())
}

/// Reads on until the page is full, the events are at their end, or enough of them were looked at.
async fn scan(
    cx: &Cx<'_>,
    mut query: LogQuery,
    pattern: &FilterPattern,
    limit: usize,
) -> Result<Output, Fault> {
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut scanned = 0;
    while scanned < EVENTS_SCANNED_MAX {
        query.limit = if pattern.matches_everything() {
            limit.saturating_sub(events.len()).min(EVENTS_PER_READ)
        } else {
            EVENTS_PER_READ
        };
        let records = cx.logs.range(query.clone()).await.map_err(fault::of_store)?;
        if records.is_empty() {
            return Ok(Output { events, searched_log_streams: [], next_token: None });
        }
        scanned += records.len();
        for record in records {
            query.after = Some(record.position());
            if pattern.matches(&record.message) {
                bytes += record.message.len();
                events.push(event(record));
            }
            if events.len() == limit || bytes > PAGE_BYTES_MAX {
                return Ok(page(events, &query));
            }
        }
        // Patterns are matched on the runtime's thread: let others have it between reads.
        tokio::task::yield_now().await;
    }
    Ok(page(events, &query))
}

fn page(events: Vec<Event>, query: &LogQuery) -> Output {
    let token = |from: Position| EventToken { from, backward: query.descending }.encode();
    Output { events, searched_log_streams: [], next_token: query.after.map(token) }
}

fn event(record: LogRecord) -> Event {
    Event {
        event_id: event_id(record.position()),
        log_stream_name: record.stream,
        timestamp: record.timestamp_ms,
        message: record.message,
        ingestion_time: record.ingestion_ms,
    }
}
