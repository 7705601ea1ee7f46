//! CloudWatch Logs (JSON 1.1): groups, streams, and events written, read and filtered.

mod constraints;
mod event_filter;
mod event_get;
mod event_put;
mod fault;
mod group;
mod pattern;
mod retention;
mod stream;
mod token;

#[cfg(test)]
mod tests;

use http::StatusCode;
use nilas_model::{AuthContext, Clock};
use nilas_store::Logs;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Protocol, encode_fault};
use serde::Serialize;
use serde::de::DeserializeOwned;

const TARGET_PREFIX: &str = "Logs_20140328.";

/// What an operation gets besides its input.
struct Cx<'a> {
    logs: &'a Logs,
    clock: &'a dyn Clock,
    auth: &'a AuthContext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    CreateLogGroup,
    CreateLogStream,
    DeleteLogGroup,
    DeleteLogStream,
    DeleteRetentionPolicy,
    DescribeLogGroups,
    DescribeLogStreams,
    FilterLogEvents,
    GetLogEvents,
    PutLogEvents,
    PutRetentionPolicy,
}

/// Answers one request, errors included.
pub(crate) async fn handle(
    logs: &Logs,
    clock: &dyn Clock,
    auth: &AuthContext,
    request: &ApiRequest,
) -> ApiResponse {
    let target = request.header("x-amz-target").unwrap_or_default();
    let answer = match Operation::parse(target) {
        Some(operation) => operation.run(&Cx { logs, clock, auth }, &request.body).await,
        None => Err(fault::unknown_operation(operation_name(request))),
    };
    match answer {
        Ok(body) => ApiResponse::with_body(StatusCode::OK, "application/x-amz-json-1.1", body),
        Err(fault) => encode_fault(Protocol::Json11, &fault, &request.request_id),
    }
}

/// The operation `request` asks for, existing or not.
pub(crate) fn operation_name(request: &ApiRequest) -> Option<&str> {
    request.header("x-amz-target")?.strip_prefix(TARGET_PREFIX)
}

impl Operation {
    fn parse(target: &str) -> Option<Self> {
        Some(match target.strip_prefix(TARGET_PREFIX)? {
            "CreateLogGroup" => Self::CreateLogGroup,
            "CreateLogStream" => Self::CreateLogStream,
            "DeleteLogGroup" => Self::DeleteLogGroup,
            "DeleteLogStream" => Self::DeleteLogStream,
            "DeleteRetentionPolicy" => Self::DeleteRetentionPolicy,
            "DescribeLogGroups" => Self::DescribeLogGroups,
            "DescribeLogStreams" => Self::DescribeLogStreams,
            "FilterLogEvents" => Self::FilterLogEvents,
            "GetLogEvents" => Self::GetLogEvents,
            "PutLogEvents" => Self::PutLogEvents,
            "PutRetentionPolicy" => Self::PutRetentionPolicy,
            _ => return None,
        })
    }

    async fn run(self, cx: &Cx<'_>, body: &[u8]) -> Result<Vec<u8>, Fault> {
        // What a function logged is there for whoever has seen its answer.
        cx.logs.flush().await.map_err(fault::of_store)?;
        match self {
            Self::CreateLogGroup => empty(group::create(cx, decode(body)?).await),
            Self::CreateLogStream => empty(stream::create(cx, decode(body)?).await),
            Self::DeleteLogGroup => empty(group::delete(cx, decode(body)?).await),
            Self::DeleteLogStream => empty(stream::delete(cx, decode(body)?).await),
            Self::DeleteRetentionPolicy => empty(retention::delete(cx, decode(body)?).await),
            Self::DescribeLogGroups => encode(&group::describe(cx, decode(body)?).await?),
            Self::DescribeLogStreams => encode(&stream::describe(cx, decode(body)?).await?),
            Self::FilterLogEvents => encode(&event_filter::filter(cx, decode(body)?).await?),
            Self::GetLogEvents => encode(&event_get::get(cx, decode(body)?).await?),
            Self::PutLogEvents => encode(&event_put::put(cx, decode(body)?).await?),
            Self::PutRetentionPolicy => empty(retention::put(cx, decode(body)?).await),
        }
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| fault::serialization(&error))
}

fn encode(output: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(output).map_err(|_| fault::internal())
}

/// Operations without an output have an empty body, not `{}`.
fn empty(done: Result<(), Fault>) -> Result<Vec<u8>, Fault> {
    done.map(|()| Vec::new())
}

impl Cx<'_> {
    /// `ACCOUNT/REGION/`, which the store's names of this caller's groups begin with.
    fn scope(&self) -> String {
        format!("{}/{}/", self.auth.account.as_str(), self.auth.region.as_str())
    }

    fn key(&self, group: &str) -> String {
        self.scope() + group
    }

    /// Without the `:*` that DescribeLogGroups appends in one of its two members.
    fn group_arn(&self, group: &str) -> String {
        let Self { auth, .. } = self;
        format!("arn:aws:logs:{}:{}:log-group:{group}", auth.region.as_str(), auth.account.as_str())
    }
}
