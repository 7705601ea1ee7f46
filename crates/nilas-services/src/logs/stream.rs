//! CreateLogStream, DeleteLogStream, DescribeLogStreams.

use nilas_store::{StreamCursor, StreamInfo, StreamOrder, StreamQuery};
use nilas_wire::Fault;
use serde::{Deserialize, Serialize};

use super::constraints::{Constraints, ORDERS, group_named};
use super::{Cx, fault, token};

const STREAMS_PER_PAGE: i64 = 50;

/// The input of CreateLogStream and of DeleteLogStream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NameInput {
    log_group_name: Option<String>,
    log_stream_name: Option<String>,
}

impl NameInput {
    fn check(self) -> Result<(String, String), Fault> {
        let mut constraints = Constraints::default();
        constraints.required("logGroupName", self.log_group_name.as_ref());
        constraints.group_name("logGroupName", self.log_group_name.as_deref());
        constraints.required("logStreamName", self.log_stream_name.as_ref());
        constraints.stream_name("logStreamName", self.log_stream_name.as_deref());
        constraints.finish()?;
        Ok((self.log_group_name.unwrap_or_default(), self.log_stream_name.unwrap_or_default()))
    }
}

pub(super) async fn create(cx: &Cx<'_>, input: NameInput) -> Result<(), Fault> {
    let (group, stream) = input.check()?;
    match cx.logs.create_stream(&cx.key(&group), &stream).await.map_err(fault::of_store)? {
        true => Err(fault::stream_exists()),
        false => Ok(()),
    }
}

pub(super) async fn delete(cx: &Cx<'_>, input: NameInput) -> Result<(), Fault> {
    let (group, stream) = input.check()?;
    cx.logs.delete_stream(&cx.key(&group), &stream).await.map_err(fault::of_store)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeInput {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: Option<bool>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOutput {
    log_streams: Vec<LogStream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogStream {
    log_stream_name: String,
    creation_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ingestion_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_sequence_token: Option<String>,
    arn: String,
    /// AWS has reported 0 for streams since 2019.
    stored_bytes: u64,
}

pub(super) async fn describe(cx: &Cx<'_>, input: DescribeInput) -> Result<DescribeOutput, Fault> {
    let mut constraints = Constraints::default();
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.stream_name("logStreamNamePrefix", input.log_stream_name_prefix.as_deref());
    constraints.one_of("orderBy", input.order_by.as_deref(), ORDERS);
    constraints.range("limit", input.limit, 1, STREAMS_PER_PAGE);
    constraints.finish()?;
    let group = group_named(input.log_group_name, input.log_group_identifier)?;
    let order = match input.order_by.as_deref() {
        Some("LastEventTime") => StreamOrder::LastEvent,
        _ => StreamOrder::Name,
    };
    if order == StreamOrder::LastEvent && input.log_stream_name_prefix.is_some() {
        return Err(fault::invalid_parameter(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let limit = usize::try_from(input.limit.unwrap_or(STREAMS_PER_PAGE)).unwrap_or(1);
    let query = StreamQuery {
        group: cx.key(&group),
        prefix: input.log_stream_name_prefix.unwrap_or_default(),
        order,
        descending: input.descending.unwrap_or(false),
        after: input.next_token.as_deref().map(decode_cursor).transpose()?,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let mut found = cx.logs.streams(query).await.map_err(fault::of_store)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_token = found.last().filter(|_| more).map(encode_cursor);
    let log_streams = found.into_iter().map(|info| log_stream(cx, &group, info)).collect();
    Ok(DescribeOutput { log_streams, next_token })
}

fn log_stream(cx: &Cx<'_>, group: &str, info: StreamInfo) -> LogStream {
    LogStream {
        arn: format!("{}:log-stream:{}", cx.group_arn(group), info.name),
        log_stream_name: info.name,
        creation_time: info.created_ms,
        first_event_timestamp: info.first_event_ms,
        last_event_timestamp: info.last_event_ms,
        last_ingestion_time: info.last_ingestion_ms,
        upload_sequence_token: info.last_ingestion_ms.map(token::sequence),
        stored_bytes: 0,
    }
}

fn encode_cursor(last: &StreamInfo) -> String {
    token::encode_text(&format!("{}:{}", last.last_event_ms.unwrap_or(0), last.name))
}

fn decode_cursor(text: &str) -> Result<StreamCursor, Fault> {
    let text = token::decode_text(text)?;
    let (last_event_ms, name) = text.split_once(':').ok_or_else(fault::invalid_token)?;
    let last_event_ms = last_event_ms.parse().map_err(|_| fault::invalid_token())?;
    Ok(StreamCursor { last_event_ms, name: name.to_owned() })
}
