//! HTTP APIs, data plane: stage, CORS, route, throttling, authorization, function, answer.

mod answer;
pub(super) mod authorize;
mod backend;
mod call;
mod cors;
mod decisions;
mod event;
mod exchange;
mod issuers;
mod jwt;
pub(crate) mod parameters;
mod routes;
mod snapshot;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use nilas_wire::{ApiResponse, percent};

use super::{FrontRequest, Place, message};
use crate::lambda::Lambda;
pub(super) use event::{pairs, time as event_time};
use exchange::CustomDomain;
pub(super) use exchange::{Authorized, Exchange};
pub(super) use snapshot::Route;
pub(crate) use snapshot::{ApiSnapshot, Deployed, Doors};
use snapshot::{Integration, Stage, Target};

/// What a request is answered with.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) lambda: &'a Lambda,
    pub(crate) doors: &'a Doors,
    pub(crate) now_ms: u64,
}

/// Answers a request to the HTTP API `api`.
pub(crate) async fn handle(
    cx: &Cx<'_>,
    api: Arc<ApiSnapshot>,
    place: Place,
    front: FrontRequest,
) -> ApiResponse {
    let Some((stage, path)) = locate(&api, &place) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    let deployed = Arc::clone(&stage.deployed);
    if deployed.refuses(&place) {
        return message(StatusCode::NOT_FOUND, "Not Found");
    }
    if let Some(cors) = &deployed.cors
        && let Some(preflight) = cors.preflight(&front.request)
    {
        return preflight;
    }
    let origin = front.request.header("origin").map(str::to_owned);
    let request_id = event::request_id(&front.request);
    let mut response = match deployed.routes.find(front.request.method.as_str(), path) {
        None => message(StatusCode::NOT_FOUND, "Not Found"),
        Some(found) if !cx.doors.admits(&api, stage, &found.route.key, cx.now_ms) => {
            message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
        }
        Some(found) => {
            let full_path = match stage.name.as_str() {
                "$default" => path.to_owned(),
                name => format!("/{name}{path}"),
            };
            let source_ip = front.request.source_ip.to_string();
            let exchange = Exchange {
                stage: stage.name.clone(),
                deployment: stage.deployment.clone(),
                variables: stage.variables.clone(),
                found,
                path: percent::decode(&full_path).into_owned(),
                headers: Exchange::headers(&front.request, &source_ip, cx.now_ms),
                request: front.request,
                source_ip,
                protocol: front.protocol,
                caller: front.caller,
                now_ms: cx.now_ms,
                authorizer: Authorized::Nobody,
                connection_id: None,
                mapped_path: None,
                domain: CustomDomain::of(&place),
                api: Arc::clone(&api),
            };
            integrate(cx, exchange).await
        }
    };
    if let Some(cors) = &deployed.cors {
        cors.apply(origin.as_deref(), &mut response);
    }
    response.set_header("apigw-requestid", &request_id);
    response
}

/// The stage that a path begins with, else `$default`, and the path below it.
pub(super) fn locate<'a>(api: &'a ApiSnapshot, place: &'a Place) -> Option<(&'a Stage, &'a str)> {
    let path = match place {
        Place::Stage { stage, path } | Place::Mapped { stage, path, .. } => {
            return Some((api.stages.get(stage)?, path));
        }
        Place::Path(path) => path,
    };
    let below = path.strip_prefix('/').unwrap_or(path);
    let end = below.find('/').unwrap_or(below.len());
    if let Some(stage) = api.stages.get(&below[..end]) {
        let rest = &below[end..];
        return Some((stage, if rest.is_empty() { "/" } else { rest }));
    }
    Some((api.stages.get("$default")?, path))
}

async fn integrate(cx: &Cx<'_>, mut exchange: Exchange) -> ApiResponse {
    match authorize::check(cx, &exchange).await {
        Ok(authorized) => exchange.authorizer = authorized,
        Err(refusal) => return refusal,
    }
    let route = Arc::clone(&exchange.found.route);
    let Some(integration) = &route.integration else { return internal_error() };
    if !integration.request.is_empty() {
        parameters::map_request(&mut exchange, &integration.request);
    }
    let mut response = match &integration.target {
        Target::Function { .. } => function(cx, &mut exchange, integration).await,
        Target::Url(url) => {
            Box::pin(backend::answer(cx, &exchange, url, integration.timeout)).await
        }
        Target::VpcLink => {
            tracing::warn!(api = exchange.api.id, "there is no network behind VPC links");
            message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
    };
    if let Some(changes) = integration.responses.get(&response.status.as_u16()) {
        parameters::map_answer(&exchange, changes, &mut response);
    }
    response
}

async fn function(cx: &Cx<'_>, exchange: &mut Exchange, integration: &Integration) -> ApiResponse {
    if let Some(path) = exchange.mapped_path.take() {
        exchange.path = path;
    }
    let source = exchange.arn();
    let Some(function) = integration.function(&source) else { return internal_error() };
    let payload = Bytes::from(event::of(exchange, integration.is_v2));
    match call::function(cx.lambda, exchange, &function, payload).await {
        Ok(payload) => answer::of(&payload, integration.is_v2).unwrap_or_else(internal_error),
        Err(call::NoAnswer::Unavailable) => {
            message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
        Err(call::NoAnswer::Failed) => internal_error(),
    }
}

/// What the function of `integration` answers to `payload`; none if it fails.
pub(super) async fn call_function(
    cx: &Cx<'_>,
    exchange: &Exchange,
    integration: &Integration,
    source: &str,
    payload: Bytes,
) -> Option<Bytes> {
    let function = integration.function(source)?;
    call::function(cx.lambda, exchange, &function, payload).await.ok()
}

fn internal_error() -> ApiResponse {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
