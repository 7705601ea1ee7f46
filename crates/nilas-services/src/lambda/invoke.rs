//! Invoke: RequestResponse, Event and DryRun.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use nilas_engine::{Invocation, InvokeError};
use nilas_model::{AuthContext, Outcome, Qualifier, RequestId, VersionSnapshot, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::de::IgnoredAny;

use super::asynchronous::Event;
use super::error::LambdaError;
use super::lifecycle::{is_repaired, ready_snapshot};
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, payload, trace};
use crate::aside;

pub(crate) async fn invoke(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input = Input::decode(auth, request, name, &["Event", "RequestResponse", "DryRun"])?;
    let target = &input.target;
    match input.kind {
        Kind::RequestResponse => {}
        Kind::DryRun => return dry_run(lambda, target),
        // Boxed: it waits for the disk, which a synchronous invocation shall not make room for.
        Kind::Event => return Box::pin(accept(lambda, request, input)).await,
    }
    let (target, invocation) = invocation_of(lambda, request, input);
    let (snapshot, outcome) = run(lambda, &target, invocation).await?;
    Ok(encode(&snapshot, outcome))
}

/// Whether there is what would be invoked.
pub(super) fn dry_run(lambda: &Lambda, target: &Target) -> Result<ApiResponse, LambdaError> {
    let function = lambda.functions.get(&target.id).ok_or_else(|| missed(target))?;
    target.version(&function)?;
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

/// What to run, and what on.
pub(super) fn invocation_of(
    lambda: &Lambda,
    request: &ApiRequest,
    input: Input,
) -> (Target, Invocation) {
    let invocation = Invocation {
        request_id: request.request_id,
        payload: input.payload,
        invoked_arn: input.target.arn().to_string(),
        client_context: input.client_context,
        cognito_identity: None,
        trace_id: Some(trace_of(lambda, request)),
        want_log_tail: input.want_log_tail,
        sink: None,
    };
    (input.target, invocation)
}

fn trace_of(lambda: &Lambda, request: &ApiRequest) -> String {
    let caller = request.header("x-amzn-trace-id");
    trace::header(caller, request.request_id, lambda.clock.epoch_ms())
}

/// Keeps the event for later; the answer says that it is on disk, not that the function can run.
async fn accept(
    lambda: &Lambda,
    request: &ApiRequest,
    input: Input,
) -> Result<ApiResponse, LambdaError> {
    let Input { target, payload, .. } = input;
    keep(lambda, &target, request.request_id, trace_of(lambda, request), payload).await?;
    Ok(ApiResponse::empty(StatusCode::ACCEPTED))
}

/// Keeps an event for a function, version or alias that is there.
pub(super) async fn keep(
    lambda: &Lambda,
    target: &Target,
    request_id: RequestId,
    trace_id: String,
    payload: Bytes,
) -> Result<(), LambdaError> {
    let function = lambda.functions.get(&target.id).ok_or_else(|| missed(target))?;
    target.version(&function)?;
    let event = Event::new(request_id, target.qualifier.as_ref(), trace_id);
    let now_ms = lambda.clock.epoch_ms();
    Ok(lambda.asynchronous.accept(target, &event, payload, now_ms).await?)
}

/// Runs `invocation` on the version that `target` means; the request id decides between two of an alias.
pub(super) async fn run(
    lambda: &Lambda,
    target: &Target,
    invocation: Invocation,
) -> Result<(Arc<VersionSnapshot>, Outcome), LambdaError> {
    let not_found = || missed(target);
    let draw = invocation.request_id.fraction();
    let snapshot = ready_snapshot(lambda, target, draw, &not_found).await?;
    match lambda.engine.invoke(&snapshot, invocation.clone()).await {
        // Boxed: what hardly ever happens shall not make every invocation's future larger.
        Err(InvokeError::StartFailed { .. })
            if Box::pin(is_repaired(lambda, &snapshot)).await? =>
        {
            let snapshot = Box::pin(ready_snapshot(lambda, target, draw, &not_found)).await?;
            let outcome = Box::pin(lambda.engine.invoke(&snapshot, invocation)).await?;
            Ok((snapshot, outcome))
        }
        outcome => Ok((snapshot, outcome?)),
    }
}

/// Unqualified, AWS misses `$LATEST`.
pub(super) fn missed(target: &Target) -> LambdaError {
    let qualifier = target.qualifier.clone().unwrap_or(Qualifier::Latest);
    LambdaError::FunctionNotFound(target.id.arn(Some(qualifier)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

pub(super) struct Input {
    pub(super) target: Target,
    pub(super) kind: Kind,
    payload: Bytes,
    client_context: Option<String>,
    want_log_tail: bool,
}

impl Input {
    /// `kinds` are the invocation types that the operation has.
    pub(super) fn decode(
        auth: &AuthContext,
        request: &ApiRequest,
        name: &str,
        kinds: &[&str],
    ) -> Result<Self, LambdaError> {
        let qualifier = percent::query_value(&request.query, "Qualifier");
        let kind = request.header("x-amz-invocation-type");
        let log_type = request.header("x-amz-log-type");
        let mut v = Violations::default();
        target::check_reference(&mut v, name, qualifier.as_deref());
        v.one_of("invocationType", kind, kinds);
        v.one_of("logType", log_type, &["None", "Tail"]);
        v.finish()?;
        let target = target::resolve(auth, "InvokeFunction", name, qualifier.as_deref())?;
        let bytes = request.body.len();
        let (kind_name, bytes_max) = match kind {
            Some("Event") => ("Event", limits::ASYNC_PAYLOAD_BYTES_MAX),
            _ => ("RequestResponse", limits::SYNC_PAYLOAD_BYTES_MAX),
        };
        if bytes > bytes_max {
            return Err(LambdaError::PayloadTooLarge { kind: kind_name, bytes, bytes_max });
        }
        Ok(Self {
            target,
            kind: match kind {
                Some("Event") => Kind::Event,
                Some("DryRun") => Kind::DryRun,
                _ => Kind::RequestResponse,
            },
            payload: aside(bytes, || check_payload(&request.body))?,
            client_context: client_context(request)?,
            want_log_tail: log_type == Some("Tail"),
        })
    }
}

/// A payload must be one JSON value; without one the function gets an empty object.
fn check_payload(body: &Bytes) -> Result<Bytes, LambdaError> {
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(IgnoredAny) => payload::check_utf8(body)?,
        Err(err) => return Err(payload::refuse(body, &err)),
    }
    Ok(body.clone())
}

fn client_context(request: &ApiRequest) -> Result<Option<String>, LambdaError> {
    let Some(encoded) =
        request.header("x-amz-client-context").filter(|encoded| !encoded.is_empty())
    else {
        return Ok(None);
    };
    let refused = || {
        LambdaError::InvalidRequestContent(
            "Client context must be a valid Base64-encoded JSON object.".to_owned(),
        )
    };
    let bytes = BASE64.decode(encoded).map_err(|_| refused())?;
    if bytes.len() > limits::CLIENT_CONTEXT_BYTES_MAX {
        return Err(LambdaError::InvalidRequestContent(format!(
            "Client context must be no more than {} bytes when decoded",
            limits::CLIENT_CONTEXT_BYTES_MAX
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused())?;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(_)) => Ok(Some(text)),
        _ => Err(refused()),
    }
}

fn encode(snapshot: &Arc<VersionSnapshot>, outcome: Outcome) -> ApiResponse {
    let mut response = ApiResponse::with_body(StatusCode::OK, "application/json", outcome.payload);
    response.set_header("x-amz-executed-version", &snapshot.version.to_string());
    if let Some(error) = outcome.error {
        response.set_header("x-amz-function-error", error.as_str());
    }
    if let Some(tail) = outcome.log_tail {
        response.set_header("x-amz-log-result", &BASE64.encode(tail));
    }
    response
}
