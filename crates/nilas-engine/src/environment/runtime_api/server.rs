//! The HTTP side: connections, routes, bodies.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use nilas_model::limits;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::NextEvent;
use super::state::{AnswerGuard, AnswerRefusal, Call, Forbidden, Machine};
use crate::fault::FunctionFault;
use crate::stream::{Intake, ResponseSink};

const PREFIX: &str = "/2018-06-01/";
const FUNCTION_ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const FUNCTION_ERROR_BODY: &str = "lambda-runtime-function-error-body";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

type Answer = Response<Full<Bytes>>;

/// A body that arrived whole.
struct Collected {
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

enum BodyError {
    TooLarge,
    Truncated,
}

/// One connection's place among those that are open.
struct Place {
    task: AbortHandle,
    activity: Arc<Activity>,
}

/// What a connection does, for who has to choose one to give up.
#[derive(Default)]
struct Activity {
    /// A request is being answered.
    busy: AtomicBool,
    /// When its last request began or ended, in requests of all connections; 0 before the first.
    last: AtomicU64,
}

/// Accepts for ever. Dropping the future closes every connection.
///
/// Where all places are taken, the connection that has been idle longest makes room: a function that leaves
/// connections open must not lock its own runtime out.
pub(super) async fn accept(listener: TcpListener, machine: Arc<Machine>) {
    const ACCEPT_RETRY_MS: u64 = 10;
    let requests = Arc::new(AtomicU64::new(0));
    let mut places: Vec<Place> = Vec::new();
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        places.retain(|place| !place.task.is_finished());
        while places.len() >= limits::RUNTIME_API_CONNECTIONS_MAX {
            if !give_up_idlest(&mut places) {
                connections.join_next().await;
                places.retain(|place| !place.task.is_finished());
            }
        }
        let activity = Arc::new(Activity::default());
        let serving =
            serve(stream, Arc::clone(&machine), Arc::clone(&activity), Arc::clone(&requests));
        places.push(Place { task: connections.spawn(serving), activity });
    }
}

/// False if every connection is being answered.
fn give_up_idlest(places: &mut Vec<Place>) -> bool {
    let idle = places.iter().enumerate().filter(|(_, p)| !p.activity.busy.load(Ordering::Relaxed));
    let idlest = idle.min_by_key(|(_, place)| place.activity.last.load(Ordering::Relaxed));
    let Some(at) = idlest.map(|(at, _)| at) else { return false };
    places.remove(at).task.abort();
    true
}

async fn serve(
    stream: TcpStream,
    machine: Arc<Machine>,
    activity: Arc<Activity>,
    requests: Arc<AtomicU64>,
) {
    let service = hyper::service::service_fn(|request| {
        let (machine, activity) = (Arc::clone(&machine), Arc::clone(&activity));
        let requests = Arc::clone(&requests);
        let touch = move |busy: bool, activity: &Activity| {
            activity.last.store(requests.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            activity.busy.store(busy, Ordering::Relaxed);
        };
        async move {
            touch(true, &activity);
            let answer = route(&machine, request).await;
            touch(false, &activity);
            Ok::<_, Infallible>(answer)
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HEADER_READ_MS_MAX))
        .max_headers(limits::RUNTIME_API_HEADERS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "runtime API connection ended");
    }
}

async fn route(machine: &Arc<Machine>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix(PREFIX) else { return not_found() };
    let segments: Vec<&str> = path.split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["ping"]) => text(StatusCode::OK, "pong"),
        (&Method::GET, ["runtime", "invocation", "next"]) => next(machine).await,
        (&Method::POST, ["runtime", "invocation", id, "response"]) => {
            response(machine, id, request).await
        }
        (&Method::POST, ["runtime", "invocation", id, "error"]) => {
            error(machine, id, request).await
        }
        (&Method::POST, ["runtime", "init", "error"]) => init_error(machine, request).await,
        (
            _,
            ["ping"]
            | ["runtime", "invocation", "next"]
            | ["runtime", "invocation", _, "response" | "error"]
            | ["runtime", "init", "error"],
        ) => text(StatusCode::METHOD_NOT_ALLOWED, ""),
        // `restore/*` exists only with SnapStart: AWS's own router does not know it otherwise.
        _ => not_found(),
    }
}

async fn next(machine: &Machine) -> Answer {
    let mut events = match machine.enter_next() {
        Ok(events) => events,
        Err(order) => return forbidden(order),
    };
    let event = match events.wait_for(Option::is_some).await {
        Ok(event) => event.clone(),
        Err(_) => None,
    };
    match event {
        Some(event) => render(&event),
        None => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Internal Server Error",
        ),
    }
}

fn render(event: &NextEvent) -> Answer {
    let mut answer = Response::new(Full::new(event.payload.clone()));
    let headers = answer.headers_mut();
    let deadline = event.deadline_ms.to_string();
    let fields = [
        ("lambda-runtime-aws-request-id", Some(&event.request_id)),
        ("lambda-runtime-deadline-ms", Some(&deadline)),
        ("lambda-runtime-invoked-function-arn", Some(&event.invoked_arn)),
        ("lambda-runtime-trace-id", event.trace_id.as_ref()),
        ("lambda-runtime-client-context", event.client_context.as_ref()),
        ("lambda-runtime-cognito-identity", event.cognito_identity.as_ref()),
    ];
    for (name, value) in fields {
        // What the caller put into the context may not fit a header at all: then there is none, as with an empty one.
        let value = value.filter(|value| !value.is_empty());
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok())
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

async fn response(machine: &Arc<Machine>, id: &str, request: Request<Incoming>) -> Answer {
    let mode = request.headers().get(RESPONSE_MODE);
    if mode.is_some_and(|mode| !mode.as_bytes().eq_ignore_ascii_case(b"streaming")) {
        let message = "Invalid function response mode";
        return failure(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", message);
    }
    let streams = mode.is_some();
    let guard = match machine.begin_answer(id, Call::Response) {
        Ok(guard) => guard,
        Err(refusal) => return refused(refusal),
    };
    if let (true, Some(sink)) = (streams, guard.sink()) {
        return stream(guard, sink, request).await;
    }
    match collect(request.into_body(), limits::SYNC_RESPONSE_BYTES_MAX).await {
        Ok(Collected { bytes, trailers }) => {
            guard.finish(trailing_fault(trailers.as_ref()).map_or(Ok(bytes), Err));
            accepted()
        }
        Err(BodyError::TooLarge) => {
            let bytes_max = limits::SYNC_RESPONSE_BYTES_MAX;
            guard.finish(Err(FunctionFault::ResponseTooLarge { bytes_max }));
            too_large(bytes_max)
        }
        Err(BodyError::Truncated) => {
            drop(guard);
            truncated()
        }
    }
}

/// Hands a response on as it comes in. While its caller takes nothing, nothing more is read of it.
async fn stream(guard: AnswerGuard, sink: ResponseSink, request: Request<Incoming>) -> Answer {
    let mut intake = Intake::new(Some(sink));
    let bytes_max = intake.bytes_max();
    if let Some(content_type) = header_text(request.headers(), header::CONTENT_TYPE.as_str()) {
        intake.begin(content_type).await;
    }
    let mut body = request.into_body();
    let mut fault = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            drop(guard);
            return truncated();
        };
        match frame.into_data() {
            Ok(data) => intake.take(data).await,
            Err(frame) => fault = trailing_fault(frame.into_trailers().ok().as_ref()),
        }
    }
    let answer = intake.finish();
    let is_too_large = answer.is_err();
    guard.finish(fault.map_or(answer, Err));
    if is_too_large { too_large(bytes_max) } else { accepted() }
}

async fn error(machine: &Arc<Machine>, id: &str, request: Request<Incoming>) -> Answer {
    let guard = match machine.begin_answer(id, Call::Error) {
        Ok(guard) => guard,
        Err(refusal) => return refused(refusal),
    };
    let error_type = header_text(request.headers(), FUNCTION_ERROR_TYPE);
    match collect(request.into_body(), limits::RUNTIME_API_ERROR_BYTES_MAX).await {
        Ok(Collected { bytes, .. }) => {
            guard.finish(Err(FunctionFault::reported(bytes, error_type.as_deref(), false)));
            accepted()
        }
        Err(BodyError::TooLarge) => {
            let bytes_max = limits::SYNC_RESPONSE_BYTES_MAX;
            guard.finish(Err(FunctionFault::ResponseTooLarge { bytes_max }));
            too_large(bytes_max)
        }
        Err(BodyError::Truncated) => {
            drop(guard);
            truncated()
        }
    }
}

async fn init_error(machine: &Arc<Machine>, request: Request<Incoming>) -> Answer {
    if let Err(order) = machine.init_error() {
        return forbidden(order);
    }
    let error_type = header_text(request.headers(), FUNCTION_ERROR_TYPE);
    let body = collect(request.into_body(), limits::RUNTIME_API_ERROR_BYTES_MAX).await;
    let (bytes, answer) = match body {
        Ok(Collected { bytes, .. }) => (bytes, accepted()),
        Err(BodyError::TooLarge) => (Bytes::new(), too_large(limits::SYNC_RESPONSE_BYTES_MAX)),
        Err(BodyError::Truncated) => (Bytes::new(), truncated()),
    };
    machine.init_failed(FunctionFault::reported(bytes, error_type.as_deref(), true));
    answer
}

/// Trailers of a streamed response may turn it into an error.
fn trailing_fault(trailers: Option<&HeaderMap>) -> Option<FunctionFault> {
    let trailers = trailers?;
    let error_type = header_text(trailers, FUNCTION_ERROR_TYPE)?;
    let body = trailers.get(FUNCTION_ERROR_BODY);
    let body =
        body.and_then(|body| BASE64_STANDARD.decode(body.as_bytes()).ok()).unwrap_or_default();
    Some(FunctionFault::reported(Bytes::from(body), Some(&error_type), false))
}

/// Reads a body of at most `bytes_max`; of one that is larger the rest is left to the connection's end.
async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Collected, BodyError> {
    let mut bytes = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| BodyError::Truncated)?.into_data() {
            Ok(data) if bytes.len() + data.len() > bytes_max => {
                drain(body).await;
                return Err(BodyError::TooLarge);
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Collected { bytes: bytes.freeze(), trailers })
}

/// Takes the rest of a body that is too large, within reason, so that the client reads our answer and not a reset.
async fn drain(mut body: Incoming) {
    const DRAIN_BYTES_MAX: usize = 4 * limits::SYNC_RESPONSE_BYTES_MAX;
    let mut drained = 0;
    while let Some(Ok(frame)) = body.frame().await {
        drained += frame.data_ref().map_or(0, Bytes::len);
        if drained > DRAIN_BYTES_MAX {
            return;
        }
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn refused(refusal: AnswerRefusal) -> Answer {
    match refusal {
        AnswerRefusal::InvalidRequestId => {
            failure(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
        }
        AnswerRefusal::Forbidden(order) => forbidden(order),
    }
}

fn forbidden(Forbidden { from, to }: Forbidden) -> Answer {
    let message = format!(
        "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
    );
    failure(StatusCode::FORBIDDEN, "InvalidStateTransition", &message)
}

fn too_large(bytes_max: usize) -> Answer {
    let message = format!("Exceeded maximum allowed payload size ({bytes_max} bytes).");
    failure(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

fn truncated() -> Answer {
    failure(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", "HTTP request detected as truncated")
}

fn accepted() -> Answer {
    json_answer(StatusCode::ACCEPTED, Bytes::from_static(b"{\"status\":\"OK\"}\n"))
}

fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn failure(status: StatusCode, error_type: &str, message: &str) -> Answer {
    let body = json!({"errorMessage": message, "errorType": error_type}).to_string();
    json_answer(status, Bytes::from(body + "\n"))
}

fn json_answer(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let value = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    let value = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}
