//! One request, from HTTP to a service and back.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts as Head;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use nilas_model::{AccountId, AuthContext, Clock, Origin, RequestId, limits};
use nilas_services::aside;
use nilas_wire::sigv4::{Parts, Verified, Verifier};
use nilas_wire::{
    ApiRequest, ApiResponse, Fault, Protocol, Service, SigError, encode_fault, s3_host,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error};

use crate::answer_body::{AnswerBody, hold};
use crate::authenticate::Authenticator;
use crate::backend::Backend;
use crate::body::{self, BodyError, Buffered, Held, Room};
use crate::health;
use crate::identity::Identity;
use crate::route::{is_link_of_topic, is_unsigned_read, route};

mod front;
mod websocket;

/// How much the edge takes in, and whose account it serves.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The account of the root key.
    pub account: AccountId,
    pub connections_max: usize,
    /// Of one environment, and of all together.
    pub environment_connections_max: usize,
    pub all_environments_connections_max: usize,
    /// One body.
    pub body_bytes_max: usize,
    /// All bodies together.
    pub buffered_bytes_max: usize,
    /// All bodies from environments together.
    pub buffered_environment_bytes_max: usize,
    /// All bodies from one environment together.
    pub buffered_one_environment_bytes_max: usize,
    pub header_read_ms_max: u64,
    pub body_read_ms_max: u64,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            account: AccountId::parse("000000000000").expect("twelve digits"),
            connections_max: limits::CONNECTIONS_MAX,
            environment_connections_max: limits::ENVIRONMENT_CONNECTIONS_MAX,
            all_environments_connections_max: limits::ALL_ENVIRONMENTS_CONNECTIONS_MAX,
            body_bytes_max: limits::CONTROL_BODY_BYTES_MAX,
            buffered_bytes_max: limits::BUFFERED_BODY_BYTES_MAX,
            buffered_environment_bytes_max: limits::BUFFERED_ENVIRONMENT_BODY_BYTES_MAX,
            buffered_one_environment_bytes_max: limits::BUFFERED_ONE_ENVIRONMENT_BODY_BYTES_MAX,
            header_read_ms_max: limits::HEADER_READ_MS_MAX,
            body_read_ms_max: limits::BODY_READ_MS_MAX,
        }
    }
}

/// The AWS API over HTTP, in front of `B`.
#[derive(Debug)]
pub struct Edge<B>(Arc<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    config: EdgeConfig,
    backend: Arc<B>,
    identity: Arc<Identity>,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    room: Room,
    environments_room: Room,
    environments_places: Arc<Semaphore>,
}

/// Where a connection came in, and what its requests share.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) origin: Origin,
    pub(crate) local: SocketAddr,
    room: Room,
    body_bytes_max: usize,
}

/// A request that is let in.
struct Admitted {
    service: Service,
    auth: AuthContext,
    verified: Verified,
    held: Held,
}

/// Who is at the other end, and the number that his request got.
#[derive(Debug, Clone, Copy)]
struct Came {
    source_ip: IpAddr,
    request_id: RequestId,
}

/// A request as its service gets it. The body's share of memory is held until the service has answered.
struct Received {
    service: Service,
    auth: AuthContext,
    request: ApiRequest,
    held: Held,
}

/// Why a request ends here, with the protocol to say it in.
struct Refusal {
    protocol: Protocol,
    fault: Fault,
}

// === impl Edge ===

impl<B> Clone for Edge<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Backend> Edge<B> {
    pub fn new(
        config: EdgeConfig,
        backend: B,
        identity: Arc<Identity>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let room = Room::of_bytes(config.buffered_bytes_max);
        let environments_room = Room::of_bytes(config.buffered_environment_bytes_max);
        let environments_places = Arc::new(Semaphore::new(config.all_environments_connections_max));
        Self(Arc::new(Inner {
            config,
            backend: Arc::new(backend),
            identity,
            verifier: Verifier::new(),
            clock,
            room,
            environments_room,
            environments_places,
        }))
    }

    pub(crate) fn entrance(&self, origin: Origin, local: SocketAddr) -> Entrance {
        let inner = &self.0;
        let body_bytes_max = inner.config.body_bytes_max;
        match origin {
            Origin::Environment => {
                let bytes = inner.config.buffered_one_environment_bytes_max;
                let room = inner.environments_room.part(bytes);
                Entrance { origin, local, room, body_bytes_max: body_bytes_max.min(bytes) }
            }
            Origin::Loopback | Origin::Network => {
                Entrance { origin, local, room: inner.room.clone(), body_bytes_max }
            }
        }
    }

    /// Waits for one of the places that all environments share; everybody else has them of his listener alone.
    pub(crate) async fn shared_place(&self, origin: Origin) -> Option<OwnedSemaphorePermit> {
        if origin != Origin::Environment {
            return None;
        }
        let places = Arc::clone(&self.0.environments_places);
        Some(places.acquire_owned().await.expect("the semaphore is never closed"))
    }

    pub(crate) fn config(&self) -> &EdgeConfig {
        &self.0.config
    }

    /// Answers one request, whatever it is.
    pub(crate) async fn answer(
        &self,
        entrance: &Entrance,
        source_ip: IpAddr,
        request: http::Request<Incoming>,
    ) -> Response<AnswerBody> {
        let inner = &self.0;
        let began_us = inner.clock.monotonic_us();
        let request_id = RequestId::random();
        let came = Came { source_ip, request_id };
        let mut request = request;
        let upgrade = websocket::upgrade(&mut request);
        let (mut head, mut body) = request.into_parts();
        adopt_authority(&mut head);
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        if let Some(door) = inner.door(&head) {
            let visit = front::Visit { door, came, upgrade };
            let response = inner.front(entrance, visit, head, path, &mut body).await;
            return into_http(response, &method, &request_id);
        }
        let query = head.uri.query().unwrap_or("");
        let signed = head.headers.contains_key(header::AUTHORIZATION);
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let at_bucket = host.and_then(s3_host::bucket_of).is_some();
        let open = if signed || at_bucket { None } else { health::answer(&method, &path, query) };
        let response = match open {
            Some(response) => response,
            None => match inner.receive(entrance, came, head, path, &mut body).await {
                Ok(received) => inner.call(received).await,
                Err(refusal) => encode_fault(refusal.protocol, &refusal.fault, &request_id),
            },
        };
        let duration_us = inner.clock.monotonic_us().saturating_sub(began_us);
        debug!(request = %request_id, %method, status = response.status.as_u16(), duration_us, "answered");
        into_http(response, &method, &request_id)
    }
}

impl<B: Backend> Inner<B> {
    /// Takes the request in: routes it, reads it, verifies it.
    async fn receive(
        &self,
        entrance: &Entrance,
        came: Came,
        mut head: Head,
        path: String,
        body: &mut Incoming,
    ) -> Result<Received, Refusal> {
        let query = head.uri.query().unwrap_or("").to_owned();
        let parts =
            Parts { method: &head.method, path: &path, query: &query, headers: &head.headers };
        let admitted = match self.admit(entrance, &parts, body).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                body::drain(body, &head.headers, self.silence_max()).await;
                return Err(refusal);
            }
        };
        let Admitted { service, auth, verified, held } = admitted;
        for (name, value) in verified.trailers {
            // Trailers of an unsigned body are unsigned: they may say what the body's checksum is, and no more.
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_str(&value))
                && name.as_str().starts_with("x-amz-checksum-")
            {
                head.headers.insert(name, value);
            }
        }
        let (Head { method, headers, .. }, body) = (head, verified.body);
        let local = entrance.local;
        let Came { source_ip, request_id } = came;
        let request =
            ApiRequest { method, path, query, headers, body, request_id, local, source_ip };
        Ok(Received { service, auth, request, held })
    }

    /// Finds the service and checks the signature, as far as possible before the body is read.
    async fn admit(
        &self,
        entrance: &Entrance,
        parts: &Parts<'_>,
        body: &mut Incoming,
    ) -> Result<Admitted, Refusal> {
        let service = route(parts)
            .map_err(|unrouted| Refusal { protocol: unrouted.protocol, fault: unrouted.fault })?;
        let protocol = service.protocol();
        let refuse = |error: SigError| {
            debug!(%error, service = service.signing_name(), "signature refused");
            Refusal { protocol, fault: error.fault(protocol) }
        };
        let authenticator = Authenticator {
            identity: &self.identity,
            verifier: &self.verifier,
            origin: entrance.origin,
            account: &self.config.account,
            now_ms: self.clock.epoch_ms(),
        };
        let is_link = service == Service::Sns && is_link_of_topic(parts);
        if is_link || service == Service::S3 && is_unsigned_read(parts) {
            return Ok(Admitted {
                service,
                auth: authenticator.nobody(),
                verified: Verified { body: Bytes::new(), trailers: Vec::new() },
                held: Held::default(),
            });
        }
        let pending = authenticator.begin(parts, service).map_err(refuse)?;
        let (limit, room) = (entrance.body_bytes_max, &entrance.room);
        let read = body::read(body, parts.headers, limit, self.silence_max(), room).await;
        let Buffered { bytes, held } =
            read.map_err(|error| Refusal { protocol, fault: body_fault(&error, service, parts) })?;
        let verified = aside(bytes.len(), || authenticator.finish(pending, parts, bytes));
        let (auth, verified) = verified.map_err(refuse)?;
        Ok(Admitted { service, auth, verified, held })
    }

    fn silence_max(&self) -> Duration {
        Duration::from_millis(self.config.body_read_ms_max)
    }

    /// Runs the operation to its end even if the client goes away, as AWS does, and survives its panics.
    async fn call(&self, received: Received) -> ApiResponse {
        let Received { service, auth, request, held } = received;
        let request_id = request.request_id;
        let backend = Arc::clone(&self.backend);
        let operation = tokio::spawn(async move {
            let mut response = backend.handle(service, &auth, request).await;
            hold(&mut response, held);
            response
        });
        match operation.await {
            Ok(response) => response,
            Err(failure) => {
                error!(request = %request_id, service = service.signing_name(), error = %failure, "operation panicked");
                encode_fault(service.protocol(), &internal_fault(service), &request_id)
            }
        }
    }
}

/// HTTP/2 and absolute URLs name the host elsewhere; signatures and links look for it in `host`.
fn adopt_authority(head: &mut Head) {
    if let Some(authority) = head.uri.authority()
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, value);
    }
}

fn body_fault(error: &BodyError, service: Service, parts: &Parts<'_>) -> Fault {
    let (code, status, message): (_, _, Cow<'_, str>) = match (error, service) {
        (BodyError::TooLarge { .. }, Service::S3) => {
            ("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size".into())
        }
        (BodyError::TooLarge { limit, length }, _) => {
            ("RequestEntityTooLargeException", 413, too_large_text(parts, *limit, *length).into())
        }
        (BodyError::NoRoom, Service::S3) => ("SlowDown", 503, "Please reduce your request rate.".into()),
        (BodyError::NoRoom, _) => ("ServiceUnavailable", 503, "The server holds too many request bodies already.".into()),
        (BodyError::Silent | BodyError::Broken { .. }, Service::S3) => (
            "RequestTimeout",
            400,
            "Your socket connection to the server was not read from or written to within the timeout period. Idle \
             connections will be closed."
                .into(),
        ),
        (BodyError::Silent | BodyError::Broken { .. }, _) => ("RequestTimeout", 408, "The request's body did not come.".into()),
    };
    Fault::plain(code, status, message)
}

/// Lambda's texts, which are the only ones that clients of ours can get: other services' bodies are small.
fn too_large_text(parts: &Parts<'_>, limit: usize, length: Option<u64>) -> String {
    let operation = match *parts.method {
        // Of Invoke and InvokeWithResponseStream.
        _ if parts.path.ends_with("invocations") => {
            let invoke_limit = limits::SYNC_PAYLOAD_BYTES_MAX;
            let length = length.unwrap_or(limit as u64 + 1);
            return format!(
                "{length} byte payload is too large for the RequestResponse invocation type (limit {invoke_limit} bytes)"
            );
        }
        Method::POST if parts.path.trim_end_matches('/').ends_with("/functions") => {
            "CreateFunction"
        }
        Method::PUT if parts.path.ends_with("/code") => "UpdateFunctionCode",
        _ => return format!("Request must be smaller than {limit} bytes"),
    };
    format!("Request must be smaller than {limit} bytes for the {operation} operation")
}

fn internal_fault(service: Service) -> Fault {
    let (code, message) = match service {
        Service::Lambda => {
            ("ServiceException", "An error occurred and the request cannot be processed.")
        }
        Service::Logs => {
            ("ServiceUnavailableException", "The service cannot complete the request.")
        }
        Service::S3 => ("InternalError", "We encountered an internal error. Please try again."),
        _ => ("InternalFailure", "The request processing has failed because of an internal error."),
    };
    Fault::service(code, 500, message)
}

fn into_http(
    response: ApiResponse,
    method: &Method,
    request_id: &RequestId,
) -> Response<AnswerBody> {
    let ApiResponse { status, mut headers, mut body, mut rest } = response;
    if !headers.contains_key("x-amzn-requestid") {
        let id = HeaderValue::from_str(&request_id.to_string()).expect("a UUID is plain text");
        headers.insert("x-amzn-requestid", id);
    }
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if *method == Method::HEAD && !bodiless {
        if rest.take().is_none() {
            headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(body.len()));
        }
        body = Bytes::new();
    }
    let mut out = Response::new(AnswerBody::new(body, rest));
    *out.status_mut() = status;
    *out.headers_mut() = headers;
    out
}
