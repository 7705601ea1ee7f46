//! Requests to users' APIs and function URLs: told by host or path, read within their limits, and handed on whoever sent
//! them.
//!
//! These addresses are public by design: a browser may call them for any page, and what an API demands of its callers is
//! the API's business. So nothing is refused for its signature here. A signature is verified if there is one, and the
//! front door is told what came of it.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts as Head;
use http::{StatusCode, Version, header};
use hyper::body::Incoming;
use nilas_model::limits;
use nilas_services::aside;
use nilas_services::front::{Door, FrontRequest, Place};
use nilas_wire::sigv4::{self, Parts};
use nilas_wire::{ApiRequest, ApiResponse, Fault, Protocol, Service, SigError};
use tracing::error;

use super::websocket::Upgrade;
use super::{Came, Entrance, Inner, websocket};
use crate::answer_body::hold;
use crate::authenticate::{Authenticator, Pending};
use crate::backend::Backend;
use crate::body::{self, BodyError, Buffered};

/// Who came to which door.
pub(super) struct Visit {
    pub(super) door: Door,
    pub(super) came: Came,
    /// If the client asks to speak WebSockets.
    pub(super) upgrade: Option<Upgrade>,
}

impl<B: Backend> Inner<B> {
    /// The door that a request is at; none if it is for AWS's own API.
    pub(super) fn door(&self, head: &Head) -> Option<Door> {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default();
        if let Some(door) = door_of_host(host, head.uri.path()) {
            return Some(door);
        }
        let door = door_of_path(head.uri.path()).or_else(|| self.door_of_domain(host, head))?;
        // Whatever signs for another service means that one: S3 has such paths, too.
        let query = head.uri.query().unwrap_or("");
        let path = head.uri.path();
        let parts = Parts { method: &head.method, path, query, headers: &head.headers };
        let hint = sigv4::service_hint(&parts);
        hint.is_none_or(|name| name == door.signing_name()).then_some(door)
    }

    fn door_of_domain(&self, host: &str, head: &Head) -> Option<Door> {
        let name = host_name(host);
        // The names of this server are nobody's custom domain; most requests come by them.
        if name.is_empty() || name == "localhost" || name.parse::<IpAddr>().is_ok() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        self.backend
            .is_custom_domain(&name)
            .then(|| Door::Domain { host: name, path: head.uri.path().to_owned() })
    }

    /// Reads the body, verifies what is signed, and asks the front door.
    pub(super) async fn front(
        &self,
        entrance: &Entrance,
        visit: Visit,
        head: Head,
        path: String,
        body: &mut Incoming,
    ) -> ApiResponse {
        let query = head.uri.query().unwrap_or("").to_owned();
        let parts =
            Parts { method: &head.method, path: &path, query: &query, headers: &head.headers };
        let authenticator = Authenticator {
            identity: &self.identity,
            verifier: &self.verifier,
            origin: entrance.origin,
            account: &self.config.account,
            now_ms: self.clock.epoch_ms(),
        };
        let pending = begin(&authenticator, &parts, &visit.door);
        let limit = entrance.body_bytes_max.min(limits::API_PAYLOAD_BYTES_MAX);
        let read = body::read(body, parts.headers, limit, self.silence_max(), &entrance.room).await;
        let Buffered { bytes, held } = match read {
            Ok(buffered) => buffered,
            Err(error) => {
                body::drain(body, &head.headers, self.silence_max()).await;
                return refuse(&error);
            }
        };
        let caller = pending.and_then(|pending| {
            aside(bytes.len(), || authenticator.finish(pending, &parts, bytes.clone()))
                .map(|(auth, _)| auth)
                .map_err(|error| error.fault(Protocol::RestJson))
        });
        let Visit { door, came: Came { source_ip, request_id }, upgrade } = visit;
        let protocol = protocol(head.version);
        let Head { method, headers, .. } = head;
        let local = entrance.local;
        let request =
            ApiRequest { method, path, query, headers, body: bytes, request_id, local, source_ip };
        let origin = entrance.origin;
        let request = FrontRequest { door, request, protocol, caller, origin };
        let backend = Arc::clone(&self.backend);
        // Runs to its end even if the client goes away, as AWS does, and survives its panics.
        let answering = tokio::spawn(async move {
            let mut response = match upgrade {
                None => backend.front(request).await,
                Some(upgrade) => websocket::open(backend.as_ref(), request, upgrade).await,
            };
            hold(&mut response, held);
            response
        });
        answering.await.unwrap_or_else(|failure| {
            error!(request = %request_id, error = %failure, "front door panicked");
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
        })
    }
}

/// Checks all of a signature that can be checked before the body is there.
fn begin<'a>(
    authenticator: &Authenticator<'a>,
    parts: &Parts<'a>,
    door: &Door,
) -> Result<Pending<'a>, Fault> {
    // All of them but S3 verify alike.
    let pending = authenticator
        .begin(parts, Service::Lambda)
        .map_err(|error: SigError| error.fault(Protocol::RestJson))?;
    let service = door.signing_name();
    if sigv4::service_hint(parts).is_some_and(|hint| hint == service) {
        return Ok(pending);
    }
    let text = format!("Credential should be scoped to correct service: '{service}'. ");
    Err(Fault::plain("InvalidSignatureException", 403, text))
}

fn refuse(error: &BodyError) -> ApiResponse {
    match error {
        BodyError::TooLarge { .. } => message(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long"),
        BodyError::NoRoom => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        BodyError::Silent | BodyError::Broken { .. } => {
            message(StatusCode::REQUEST_TIMEOUT, "Request Timeout")
        }
    }
}

fn message(status: StatusCode, text: &str) -> ApiResponse {
    let body = serde_json::json!({ "message": text }).to_string();
    ApiResponse::with_body(status, "application/json", body)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn host_name(host: &str) -> &str {
    host.split(':').next().unwrap_or(host)
}

/// `ID.execute-api.…` and `URLID.lambda-url.…`, whatever comes after.
fn door_of_host(host: &str, path: &str) -> Option<Door> {
    let (id, rest) = host_name(host).split_once('.')?;
    let kind = rest.split('.').next().unwrap_or(rest);
    let id = id.to_ascii_lowercase();
    if !is_id(&id) {
        return None;
    }
    if kind.eq_ignore_ascii_case("execute-api") {
        return Some(Door::Api { id, place: Place::Path(path.to_owned()) });
    }
    kind.eq_ignore_ascii_case("lambda-url")
        .then(|| Door::FunctionUrl { url_id: id, path: path.to_owned() })
}

/// `/_aws/execute-api/ID/STAGE/…` and `/restapis/ID/STAGE/_user_request_/…`
fn door_of_path(path: &str) -> Option<Door> {
    if let Some(rest) = path.strip_prefix("/_aws/execute-api/") {
        let (id, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let place = Place::Path(format!("/{rest}"));
        return is_id(id).then(|| Door::Api { id: id.to_owned(), place });
    }
    if let Some(token) = path.strip_prefix("/_aws/cloudformation/callback/") {
        return is_id(token).then(|| Door::StackCallback { token: token.to_owned() });
    }
    let mut parts = path.strip_prefix("/restapis/")?.splitn(4, '/');
    let (id, stage, mark) = (parts.next()?, parts.next()?, parts.next()?);
    if mark != "_user_request_" || !is_id(id) || stage.is_empty() {
        return None;
    }
    let path = format!("/{}", parts.next().unwrap_or_default());
    Some(Door::Api { id: id.to_owned(), place: Place::Stage { stage: stage.to_owned(), path } })
}

/// API ids are ten characters, URL ids 32; those of clients' own choosing (`_custom_id_`) are not served.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(id: &str, path: &str) -> Option<Door> {
        Some(Door::Api { id: id.to_owned(), place: Place::Path(path.to_owned()) })
    }

    #[test]
    fn tells_doors_by_host() {
        for host in [
            "abc123.execute-api.us-east-1.localhost:4566",
            "ABC123.execute-api.localhost.localstack.cloud",
            "abc123.execute-api.eu-west-1.amazonaws.com",
        ] {
            assert_eq!(door_of_host(host, "/dev/a"), api("abc123", "/dev/a"), "{host}");
        }
        let url = Door::FunctionUrl { url_id: "u1".to_owned(), path: "/".to_owned() };
        assert_eq!(door_of_host("u1.lambda-url.us-east-1.localhost:1", "/"), Some(url));
        for host in ["localhost", "127.0.0.1:80", "b.s3.localhost", "a-b.execute-api.x", ""] {
            assert_eq!(door_of_host(host, "/"), None, "{host}");
        }
    }

    #[test]
    fn tells_doors_by_path() {
        assert_eq!(door_of_path("/_aws/execute-api/abc/dev/a/b"), api("abc", "/dev/a/b"));
        assert_eq!(door_of_path("/_aws/execute-api/abc"), api("abc", "/"));
        let stage = |path: &str| {
            let place = Place::Stage { stage: "dev".to_owned(), path: path.to_owned() };
            Some(Door::Api { id: "abc".to_owned(), place })
        };
        assert_eq!(door_of_path("/restapis/abc/dev/_user_request_/x/y"), stage("/x/y"));
        assert_eq!(door_of_path("/restapis/abc/dev/_user_request_"), stage("/"));
        for path in ["/restapis/abc/stages/dev", "/restapis/abc", "/", "/_aws/other/x"] {
            assert_eq!(door_of_path(path), None, "{path}");
        }
    }
}
