//! API Gateway's control plane: REST APIs, their deployments and stages, keys, usage plans, domain names.
//!
//! One file a kind of resource; `tables.rs` says which members each has, `router.rs` which operations there are. What the
//! data plane reads is made of it in `front/rest`.

mod account;
mod api;
mod apis;
mod deployment;
mod domain;
mod fault;
mod import;
mod key;
mod list;
mod method;
mod part;
mod record;
mod resource;
mod router;
mod shape;
mod shelf;
mod stage;
mod tables;
mod tags;
mod usage_plan;

use http::StatusCode;
use nilas_model::AuthContext;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Protocol, encode_fault};
use serde_json::Value;

pub(crate) use apis::RestApis;
pub(crate) use domain::{MAPPING_ID, MAPPINGS, NO_BASE_PATH};
pub(crate) use part::validates;
pub(crate) use record::{ApiRecord, Definition, DeploymentRecord};
pub(crate) use shape::{Members, flag, pairs, text, texts};
pub(crate) use shelf::Shelf;

/// What an operation gets besides what its path names.
struct Cx<'a> {
    apis: &'a RestApis,
    auth: &'a AuthContext,
    request: &'a ApiRequest,
}

/// What an operation answers.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// Null for no body.
    body: Value,
}

impl Answer {
    fn ok(body: impl Into<Value>) -> Self {
        Self { status: StatusCode::OK, body: body.into() }
    }

    fn created(body: impl Into<Value>) -> Self {
        Self { status: StatusCode::CREATED, body: body.into() }
    }

    fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, body: Value::Null }
    }

    fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Value::Null }
    }
}

/// Answers one request, errors included.
pub(crate) async fn handle(
    apis: &RestApis,
    auth: &AuthContext,
    request: &ApiRequest,
) -> ApiResponse {
    let answer: Result<Answer, Fault> = router::route(&Cx { apis, auth, request }).await;
    match answer {
        Ok(Answer { status, body: Value::Null }) => ApiResponse::empty(status),
        Ok(Answer { status, body }) => {
            ApiResponse::with_body(status, "application/json", body.to_string())
        }
        Err(fault) => encode_fault(Protocol::RestJson, &fault, &request.request_id),
    }
}
