//! The front doors of functions: users' APIs and function URLs, which anybody may call.
//!
//! Invariant: what a door needs to know is in memory, immutable and replaced whole: nothing here reads the store, and no
//! lock is held while something is waited for, but that of the issuer whose keys are being fetched.

mod backends;
mod function_url;
pub(crate) mod http;
pub(crate) mod rest;
mod throttle;
mod websocket;

use std::sync::Arc;

use ::http::StatusCode;
use nilas_model::{AuthContext, Origin};
use nilas_wire::{ApiRequest, ApiResponse, Fault};

use crate::services::Inner;
pub(crate) use websocket::{Connections, body_path};
pub use websocket::{Outgoing, Session};

/// A request as it came to a door.
#[derive(Debug, Clone)]
pub struct FrontRequest {
    pub door: Door,
    /// As sent, path and all.
    pub request: ApiRequest,
    /// `HTTP/1.1`
    pub protocol: &'static str,
    /// Who signed it; or why nobody did as AWS says it, should the API demand a signature.
    pub caller: Result<AuthContext, Fault>,
    pub origin: Origin,
}

/// What was knocked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// REST, HTTP and WebSocket APIs.
    Api {
        id: String,
        place: Place,
    },
    /// A custom domain, in lower case.
    Domain {
        host: String,
        path: String,
    },
    FunctionUrl {
        url_id: String,
        path: String,
    },
    /// Where a function answers that makes a resource of a stack.
    StackCallback {
        token: String,
    },
}

/// What of an API is meant. Paths begin with a slash and are as sent, percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `/STAGE/…`, or all of it a path of the stage `$default`.
    Path(String),
    Stage {
        stage: String,
        path: String,
    },
    /// Below a base path of a custom domain; `sent` is the whole path.
    Mapped {
        stage: String,
        path: String,
        host: String,
        sent: String,
    },
}

impl Door {
    /// The service that callers sign for.
    pub fn signing_name(&self) -> &'static str {
        match self {
            Self::Api { .. } | Self::Domain { .. } => "execute-api",
            Self::FunctionUrl { .. } => "lambda",
            Self::StackCallback { .. } => "cloudformation",
        }
    }
}

/// Answers a request at whatever door. Names that nobody has are refused alike.
pub(crate) async fn handle(services: &Inner, request: FrontRequest) -> ApiResponse {
    if let Some((api, place)) = second_version(services, &request.door) {
        if websocket::is_websocket(&api, &place) {
            let managed = websocket::manage(services.connections(), &api, &place, &request);
            return managed.unwrap_or_else(websocket::upgrade_required);
        }
        let cx = http::Cx {
            lambda: services.lambda(),
            doors: services.http_apis().doors(),
            now_ms: services.now_ms(),
        };
        return Box::pin(http::handle(&cx, api, place, request)).await;
    }
    match &request.door {
        Door::Api { .. } | Door::Domain { .. } => {
            rest::answer(services.rest_apis().doors(), services.lambda(), request).await
        }
        Door::FunctionUrl { url_id, path } => {
            function_url::answer(services.lambda(), &request, url_id, path).await
        }
        Door::StackCallback { token } => {
            services.cloudformation().callback(token, &request.request)
        }
    }
}

/// The HTTP or WebSocket API at `door`, if it is one.
fn second_version(services: &Inner, door: &Door) -> Option<(Arc<http::ApiSnapshot>, Place)> {
    let apis = services.http_apis().doors();
    match door {
        Door::Api { id, place } => Some((apis.get(id)?, place.clone())),
        Door::Domain { host, path } => {
            let (mapping, below) = services.rest_apis().doors().mapped(host, path)?;
            let stage = mapping.stage.unwrap_or_else(|| "$default".to_owned());
            let (host, sent) = (host.clone(), path.clone());
            Some((apis.get(&mapping.api)?, Place::Mapped { stage, path: below, host, sent }))
        }
        Door::FunctionUrl { .. } | Door::StackCallback { .. } => None,
    }
}

/// Answers a request to speak WebSockets; to what speaks no such thing, it is a request like others.
pub(crate) async fn connect(
    services: &Arc<Inner>,
    request: FrontRequest,
) -> Result<Session, ApiResponse> {
    if let Some((api, place)) = second_version(services, &request.door)
        && websocket::is_websocket(&api, &place)
    {
        return Box::pin(websocket::connect(services, api, &place, request)).await;
    }
    Err(handle(services, request).await)
}

/// What AWS answers below a name that no API has.
pub(crate) fn unknown_api() -> ApiResponse {
    let mut response = message(StatusCode::FORBIDDEN, "Forbidden");
    response.set_header("x-amzn-errortype", "ForbiddenException");
    response
}

/// `{"message":"…"}`
pub(crate) fn message(status: StatusCode, text: &str) -> ApiResponse {
    let body = serde_json::json!({ "message": text }).to_string();
    ApiResponse::with_body(status, "application/json", body)
}
