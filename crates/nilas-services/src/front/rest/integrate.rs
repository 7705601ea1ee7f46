//! Integrations: from a request that was let in to the answer of what is behind the method.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nilas_model::Outcome;
use nilas_wire::ApiResponse;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::exchange::{Exchange, is_binary};
use super::refusal::Refusal;
use super::snapshot::{Integration, Kind};
use super::{Doors, event, http_call, mapping, proxy_answer};
use crate::lambda::{CallError, Lambda, OpenError, Prelude};

/// The service that functions' policies let in.
const PRINCIPAL: &str = "apigateway.amazonaws.com";

pub(super) async fn integrate(
    doors: &Doors,
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
) -> Result<ApiResponse, Refusal> {
    let Some(found) = &exchange.found else { return Err(Refusal::MissingToken) };
    let integration = &found.method.integration;
    match integration.kind {
        Kind::LambdaProxy => lambda_proxy(lambda, exchange, integration).await,
        Kind::Mock => mapping::mock(exchange, integration),
        Kind::Lambda => Box::pin(lambda_mapped(lambda, exchange, integration)).await,
        Kind::Http | Kind::HttpProxy => {
            Box::pin(http_call::integrate(doors, exchange, integration)).await
        }
        Kind::Service => {
            tracing::warn!(
                api = exchange.api.id,
                uri = integration.uri,
                "only Lambda is there to integrate with"
            );
            Err(Refusal::Configuration)
        }
    }
}

async fn lambda_proxy(
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
    integration: &Integration,
) -> Result<ApiResponse, Refusal> {
    let payload = Bytes::from(event::proxy_event(exchange));
    if integration.streams {
        return Box::pin(lambda_streamed(lambda, exchange, integration, payload)).await;
    }
    let outcome = invoke(lambda, exchange, integration, payload).await?;
    if outcome.error.is_some() {
        return Err(Refusal::BadGateway);
    }
    proxy_answer::response(&outcome.payload, wants_binary(exchange)).ok_or_else(|| {
        tracing::info!(
            api = exchange.api.id,
            request = exchange.request_id,
            "malformed Lambda proxy response"
        );
        Refusal::BadGateway
    })
}

/// Answers once the function's status and headers are there, and goes on as the function does. Of one that fails then, the
/// answer breaks off.
async fn lambda_streamed(
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
    integration: &Integration,
    payload: Bytes,
) -> Result<ApiResponse, Refusal> {
    let arn = callable(lambda, exchange, integration)?;
    let (lambda, trace) = (Arc::clone(lambda), exchange.trace.clone());
    let opening = tokio::spawn(async move {
        lambda.call_streaming(&arn, payload, Some(&trace), Prelude::Required).await
    });
    let opened = within(exchange, integration, opening).await?.map_err(|error| match error {
        OpenError::Call(error) => refused(exchange, &error),
        OpenError::Failed => Refusal::BadGateway,
        OpenError::NoPrelude => {
            tracing::info!(
                api = exchange.api.id,
                request = exchange.request_id,
                "no status and headers"
            );
            Refusal::BadGateway
        }
    })?;
    let prelude = opened.prelude.unwrap_or_default();
    let mut response = proxy_answer::head(&prelude).ok_or(Refusal::BadGateway)?;
    response.body = opened.start;
    response.rest = opened.rest;
    Ok(response)
}

/// Whether the client takes bytes: the first type it accepts is one of the API's binary types.
pub(super) fn wants_binary(exchange: &Exchange) -> bool {
    let accept = exchange.headers.header_text("accept").unwrap_or_default();
    let first = accept.split(',').next().unwrap_or_default();
    is_binary(&exchange.stage.routes.binary_types, first)
}

/// A Lambda integration that is no proxy: mapped on the way in and on the way out.
async fn lambda_mapped(
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
    integration: &Integration,
) -> Result<ApiResponse, Refusal> {
    let request = mapping::request(exchange, integration)?;
    let is_event =
        |name: &str, value| name.eq_ignore_ascii_case("x-amz-invocation-type") && value == "Event";
    let is_event = request.headers.iter().any(|(name, value)| is_event(name, value));
    let payload = if request.body.is_empty() { Bytes::from_static(b"{}") } else { request.body };
    if serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_err() {
        // Lambda refuses it as no JSON; API Gateway passes that on as its own failure.
        return Err(Refusal::Configuration);
    }
    if is_event {
        let arn = callable(lambda, exchange, integration)?;
        let kept = lambda.call_later(&arn, payload, Some(&exchange.trace)).await;
        kept.map_err(|error| refused(exchange, &error))?;
        return mapping::response(exchange, integration, mapping::Answered::default());
    }
    let outcome = invoke(lambda, exchange, integration, payload).await?;
    let error: Option<Value> =
        outcome.error.map(|_| serde_json::from_slice(&outcome.payload).unwrap_or_default());
    let message = error.as_ref().map(|error| error["errorMessage"].as_str().unwrap_or_default());
    let answered = mapping::Answered {
        selector: message.unwrap_or_default().to_owned(),
        headers: Vec::new(),
        body: outcome.payload,
    };
    mapping::response(exchange, integration, answered)
}

/// The ARN of the integration's function, if API Gateway may invoke it.
fn callable(
    lambda: &Lambda,
    exchange: &Exchange,
    integration: &Integration,
) -> Result<String, Refusal> {
    let Some(arn) = function_arn(exchange, &integration.uri) else {
        tracing::warn!(api = exchange.api.id, uri = integration.uri, "the URI names no function");
        return Err(Refusal::Configuration);
    };
    if !integration.has_credentials
        && !lambda.service_may_invoke(PRINCIPAL, &exchange.source_arn(), &arn)
    {
        tracing::warn!(
            api = exchange.api.id,
            function = arn,
            source = exchange.source_arn(),
            "the function's policy does not let API Gateway invoke it"
        );
        return Err(Refusal::Configuration);
    }
    Ok(arn)
}

/// Invokes the integration's function, which goes on even if its time here is up.
async fn invoke(
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
    integration: &Integration,
    payload: Bytes,
) -> Result<Outcome, Refusal> {
    let arn = callable(lambda, exchange, integration)?;
    let (lambda, trace) = (Arc::clone(lambda), exchange.trace.clone());
    let call = tokio::spawn(async move { lambda.call(&arn, payload, Some(&trace)).await });
    within(exchange, integration, call).await?.map_err(|error| refused(exchange, &error))
}

/// What comes of a call within the integration's time.
async fn within<T>(
    exchange: &Exchange,
    integration: &Integration,
    call: JoinHandle<T>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(Duration::from_millis(integration.timeout_ms), call).await {
        Err(_) => Err(Refusal::Timeout),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failure)) => {
            tracing::error!(api = exchange.api.id, error = %failure, "invocation panicked");
            Err(Refusal::Configuration)
        }
    }
}

fn refused(exchange: &Exchange, error: &CallError) -> Refusal {
    tracing::warn!(api = exchange.api.id, request = exchange.request_id, error = %error, "function not invoked");
    match error {
        CallError::Arn(_) | CallError::NotFound(_) | CallError::Throttled => Refusal::Configuration,
        CallError::TooLarge { .. } | CallError::Refused(_) => Refusal::BadGateway,
    }
}

/// The function's ARN in `arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/ARN/invocations`, or before
/// `/response-streaming-invocations`, stage variables put in.
pub(super) fn function_arn(exchange: &Exchange, uri: &str) -> Option<String> {
    let uri = with_stage_variables(exchange, uri);
    let (_, rest) = uri.split_once("/functions/")?;
    // A function's name has no slash.
    let arn = rest.split('/').next()?;
    if arn.starts_with("arn:") {
        return Some(arn.to_owned());
    }
    // A stage variable may be the name alone, where a template wrote the ARN round it; without that, it is of this API's.
    let (region, account) = (exchange.api.region.as_str(), exchange.api.account.as_str());
    Some(format!("arn:aws:lambda:{region}:{account}:function:{arn}"))
}

/// `text` with `${stageVariables.x}` replaced; one that is not there is empty.
pub(super) fn with_stage_variables(exchange: &Exchange, text: &str) -> String {
    const OPEN: &str = "${stageVariables.";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        out.push_str(&rest[..at]);
        let after = &rest[at + OPEN.len()..];
        let Some(end) = after.find('}') else {
            rest = &rest[at..];
            break;
        };
        out.push_str(exchange.stage_variable(&after[..end]).unwrap_or_default());
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    out
}
