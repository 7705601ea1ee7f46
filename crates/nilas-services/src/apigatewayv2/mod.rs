//! API Gateway's second version, control plane: HTTP and WebSocket APIs with their routes, integrations, authorizers, stages
//! and deployments.
//!
//! `members.rs` says which members a resource has, `router.rs` which operations there are. What the data plane reads is
//! made of them in `front/http`.

mod api;
mod apis;
mod domain;
mod fault;
mod import;
mod integration;
mod members;
mod part;
mod record;
mod responses;
mod router;
mod sockets;
mod stage;
mod vpc_link;

use http::StatusCode;
use nilas_model::AuthContext;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Protocol, encode_fault, percent};
use serde_json::{Value, json};

use crate::apigateway::RestApis;

pub(crate) use apis::HttpApis;
pub(crate) use members::{Members, flag, text, texts};
pub(crate) use record::{ApiRecord, Definition};

/// What an operation gets besides what its path names.
struct Cx<'a> {
    apis: &'a HttpApis,
    /// Who keeps the domains of both versions.
    rest: &'a RestApis,
    auth: &'a AuthContext,
    request: &'a ApiRequest,
}

/// Status and body; null for no body.
type Answer = (StatusCode, Value);

/// Answers one request, errors included.
pub(crate) async fn handle(
    (apis, rest): (&HttpApis, &RestApis),
    auth: &AuthContext,
    request: &ApiRequest,
) -> ApiResponse {
    match router::route(&Cx { apis, rest, auth, request }).await {
        Ok((status, Value::Null)) => ApiResponse::empty(status),
        Ok((status, body)) => ApiResponse::with_body(status, "application/json", body.to_string()),
        Err(fault) => encode_fault(Protocol::RestJson, &fault, &request.request_id),
    }
}

fn ok(body: impl Into<Value>) -> Answer {
    (StatusCode::OK, body.into())
}

fn created(body: impl Into<Value>) -> Answer {
    (StatusCode::CREATED, body.into())
}

fn no_content() -> Answer {
    (StatusCode::NO_CONTENT, Value::Null)
}

/// One page of `items`: `maxResults` and `nextToken`, which is the number of items before it.
fn page(cx: &Cx<'_>, items: Vec<Value>) -> Result<Answer, Fault> {
    let number = |name: &str| match percent::query_value(&cx.request.query, name) {
        None => Ok(None),
        Some(value) => match value.parse::<usize>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(fault::bad(format!("Invalid value for {name}"))),
        },
    };
    let from = number("nextToken")?.unwrap_or(0);
    let count = number("maxResults")?.unwrap_or(usize::MAX).max(1);
    let next = from.saturating_add(count);
    let more = items.len() > next;
    let mut body = json!({ "items": items.into_iter().skip(from).take(count).collect::<Vec<_>>() });
    if more {
        body["nextToken"] = next.to_string().into();
    }
    Ok(ok(body))
}
