//! InvokeWithResponseStream, and responses that front doors send on as they come.
//!
//! See "Response streaming for Lambda functions". AWS slows a response down to 2 MB a second after its first 6 MB; here
//! nothing is slowed but by who takes it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use nilas_engine::{Invocation, Piece, ResponsePieces, response_stream};
use nilas_model::{AuthContext, Outcome, limits};
use nilas_wire::{ApiRequest, ApiResponse, BodySource, BrokenOff, Rest, event_stream};
use serde::Serialize;

use super::Lambda;
use super::call::{CallError, callee, invocation_for};
use super::error::LambdaError;
use super::invoke::{Input, Kind, dry_run, invocation_of, missed, run};
use super::lifecycle::ready_snapshot;
use super::target::Target;

/// What a runtime calls a response with status and headers in front of its body.
const HTTP_INTEGRATION_TYPE: &str = "application/vnd.awslambda.http-integration-response";
/// What ends the status and headers.
const PRELUDE_END: [u8; 8] = [0; 8];

/// An invocation whose response is taken as it comes. Dropping it does not stop the function.
pub(crate) struct StreamedCall {
    pieces: ResponsePieces,
    running: Option<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    ended: Option<Ended>,
}

type Ended = Result<Outcome, LambdaError>;

/// What comes of an invocation next.
enum Step {
    Piece(Piece),
    /// The last step.
    Ended(Box<Ended>),
}

/// A response that has begun.
#[derive(Debug)]
pub(crate) struct Opened {
    /// As the runtime names it.
    pub content_type: Option<String>,
    /// JSON of status and headers, if they came.
    pub prelude: Option<Bytes>,
    /// What has come of the body.
    pub start: Bytes,
    pub rest: Option<Rest>,
}

/// Why a response has not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the function failed")]
    Failed,
    #[error("the response does not begin with status and headers")]
    NoPrelude,
}

/// Whether a response begins with status and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prelude {
    /// If its content type says so.
    IfAnnounced,
    Required,
}

pub(super) async fn invoke(
    lambda: &Arc<Lambda>,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input = Input::decode(auth, request, name, &["RequestResponse", "DryRun"])?;
    if input.kind == Kind::DryRun {
        return dry_run(lambda, &input.target);
    }
    let (target, invocation) = invocation_of(lambda, request, input);
    let draw = request.request_id.fraction();
    let snapshot = ready_snapshot(lambda, &target, draw, &|| missed(&target)).await?;
    let mut source = EventSource(StreamedCall::start(Arc::clone(lambda), target, invocation));
    // The status is sent with the first piece: what never reached the function is an error of the operation.
    let (start, rest) = match source.0.step().await {
        Step::Piece(Piece::Data(data)) => (chunk(&data), Some(Rest::new(source))),
        Step::Piece(Piece::ContentType(_)) => (Bytes::new(), Some(Rest::new(source))),
        Step::Ended(ended) => (complete(&(*ended)?), None),
    };
    let mut response = ApiResponse::with_body(StatusCode::OK, event_stream::CONTENT_TYPE, start);
    response.set_header("x-amz-executed-version", &snapshot.version.to_string());
    response.rest = rest;
    Ok(response)
}

impl Lambda {
    /// Invokes `arn`, a function, version or alias, and waits until its response begins. `payload` must be JSON; it is
    /// not looked at. `trace_id` is a caller's `X-Amzn-Trace-Id`.
    pub(crate) async fn call_streaming(
        self: &Arc<Self>,
        arn: &str,
        payload: Bytes,
        trace_id: Option<&str>,
        prelude: Prelude,
    ) -> Result<Opened, OpenError> {
        let target = callee(arn, &payload, limits::SYNC_PAYLOAD_BYTES_MAX)?;
        let invocation = invocation_for(self, &target, payload, trace_id);
        begin(StreamedCall::start(Arc::clone(self), target, invocation), prelude).await
    }
}

/// Waits for the first piece, and for status and headers where they are to come.
async fn begin(mut call: StreamedCall, prelude: Prelude) -> Result<Opened, OpenError> {
    let mut content_type = None;
    let mut held = Vec::new();
    loop {
        let awaits_prelude =
            prelude == Prelude::Required || content_type.as_deref().is_some_and(announces_prelude);
        match call.step().await {
            Step::Piece(Piece::ContentType(named)) => content_type = Some(named),
            Step::Piece(Piece::Data(data)) if !awaits_prelude => {
                let rest = Some(Rest::new(DataSource(call)));
                return Ok(Opened { content_type, prelude: None, start: data, rest });
            }
            Step::Piece(Piece::Data(data)) => {
                held.extend_from_slice(&data);
                if let Some((prelude, start)) = split_prelude(&held) {
                    let rest = Some(Rest::new(DataSource(call)));
                    return Ok(Opened { content_type, prelude: Some(prelude), start, rest });
                }
                if held.len() > limits::STREAM_PRELUDE_BYTES_MAX {
                    return Err(OpenError::NoPrelude);
                }
            }
            Step::Ended(ended) => {
                let outcome = (*ended).map_err(CallError::from)?;
                if outcome.error.is_some() {
                    return Err(OpenError::Failed);
                }
                if awaits_prelude {
                    return Err(OpenError::NoPrelude);
                }
                return Ok(Opened { content_type, prelude: None, start: Bytes::new(), rest: None });
            }
        }
    }
}

fn announces_prelude(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or(content_type);
    kind.trim().eq_ignore_ascii_case(HTTP_INTEGRATION_TYPE)
}

/// Status and headers, and what of the body came with them.
fn split_prelude(held: &[u8]) -> Option<(Bytes, Bytes)> {
    let at = held.windows(PRELUDE_END.len()).position(|window| window == PRELUDE_END)?;
    let rest = &held[at + PRELUDE_END.len()..];
    let fits = at <= limits::STREAM_PRELUDE_BYTES_MAX;
    fits.then(|| (Bytes::copy_from_slice(&held[..at]), Bytes::copy_from_slice(rest)))
}

// === impl StreamedCall ===

impl StreamedCall {
    fn start(lambda: Arc<Lambda>, target: Target, mut invocation: Invocation) -> Self {
        let (sink, pieces) = response_stream();
        invocation.sink = Some(sink);
        let running = Box::pin(async move { Ok(run(&lambda, &target, invocation).await?.1) });
        Self { pieces, running: Some(running), ended: None }
    }

    async fn step(&mut self) -> Step {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Not to be polled after the last step.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(running) = &mut self.running
            && let Poll::Ready(ended) = running.as_mut().poll(cx)
        {
            self.running = None;
            self.ended = Some(ended);
        }
        match self.pieces.poll_recv(cx) {
            Poll::Ready(Some(piece)) => Poll::Ready(Step::Piece(piece)),
            // Every piece was sent before the outcome was.
            Poll::Ready(None) | Poll::Pending => match self.ended.take() {
                Some(ended) => Poll::Ready(Step::Ended(Box::new(ended))),
                None => Poll::Pending,
            },
        }
    }
}

/// The body as the function makes it.
struct DataSource(StreamedCall);

impl BodySource for DataSource {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            match ready!(self.0.poll_step(cx)) {
                Step::Piece(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Step::Piece(Piece::ContentType(_)) => {}
                Step::Ended(ended) => {
                    let failed = !matches!(*ended, Ok(Outcome { error: None, .. }));
                    return Poll::Ready(failed.then_some(Err(BrokenOff)));
                }
            }
        }
    }
}

/// The messages of InvokeWithResponseStream.
struct EventSource(StreamedCall);

impl BodySource for EventSource {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            // The event that says how the invocation ended was the last one.
            if self.0.running.is_none() && self.0.ended.is_none() && self.0.pieces.is_empty() {
                return Poll::Ready(None);
            }
            match ready!(self.0.poll_step(cx)) {
                Step::Piece(Piece::Data(data)) => return Poll::Ready(Some(Ok(chunk(&data)))),
                Step::Piece(Piece::ContentType(_)) => {}
                Step::Ended(ended) => {
                    let last = ended.map(|outcome| complete(&outcome)).map_err(|_| BrokenOff);
                    return Poll::Ready(Some(last));
                }
            }
        }
    }
}

fn chunk(data: &[u8]) -> Bytes {
    event_stream::encode_event("PayloadChunk", "application/octet-stream", data)
}

/// How the invocation ended; an empty object if it went well.
fn complete(outcome: &Outcome) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct InvokeComplete<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        error_code: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_details: Option<std::borrow::Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        log_result: Option<String>,
    }
    let event = InvokeComplete {
        error_code: outcome.error.map(|error| error.as_str()),
        error_details: outcome.error.map(|_| String::from_utf8_lossy(&outcome.payload)),
        log_result: outcome.log_tail.as_ref().map(|tail| BASE64.encode(tail)),
    };
    let json = serde_json::to_vec(&event).expect("a struct of strings serialises");
    event_stream::encode_event("InvokeComplete", "application/json", &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_status_and_headers_from_the_body() {
        let check = |held: &[u8], expected: Option<(&str, &str)>| {
            let expected = expected.map(|(prelude, start)| {
                (Bytes::from(prelude.to_owned()), Bytes::from(start.to_owned()))
            });
            assert_eq!(split_prelude(held), expected);
        };
        check(b"{}\0\0\0\0\0\0\0\0body", Some(("{}", "body")));
        check(b"{}\0\0\0\0\0\0\0\0", Some(("{}", "")));
        check(b"{}\0\0\0\0\0\0\0", None);
        check(b"{}", None);
    }

    #[test]
    fn knows_who_announces_them() {
        assert!(announces_prelude("application/vnd.awslambda.http-integration-response"));
        assert!(announces_prelude("Application/vnd.awslambda.HTTP-integration-response; a=b"));
        assert!(!announces_prelude("application/json"));
    }
}
