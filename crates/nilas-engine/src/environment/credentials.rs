//! Credentials for functions with SnapStart, by the container provider that every AWS SDK has.
//!
//! What is taken from variables before a snapshot would be old when it is restored; so such functions have an address to
//! ask instead. See "Activating and managing Lambda SnapStart", "container credentials". Whoever connects is function code.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use nilas_model::{EnvironmentId, SessionCredentials, limits};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::logs::rfc3339_ms;

/// As AWS's own runtime environment serves it.
pub(crate) const PATH: &str = "/2021-04-23/credentials";
/// One answer, from the connection's beginning.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 8;

/// Makes credentials of the function's role.
pub(crate) type Issue = Arc<dyn Fn() -> SessionCredentials + Send + Sync>;

/// Dropping it closes the address.
#[derive(Debug)]
pub(super) struct CredentialServer(JoinHandle<()>);

/// What a request has to name. The same for a template and its forks: what has read it may be part of the snapshot.
pub(super) fn random_token() -> String {
    format!("{}{}", EnvironmentId::random(), EnvironmentId::random())
}

impl CredentialServer {
    pub(super) fn serve(listener: TcpListener, token: String, issue: Issue) -> Self {
        Self(tokio::spawn(accept(listener, Arc::from(token), issue)))
    }
}

impl Drop for CredentialServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, token: Arc<str>, issue: Issue) {
    const ACCEPT_RETRY: Duration = Duration::from_millis(10);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = serve(stream, Arc::clone(&token), Arc::clone(&issue));
                connections.spawn(tokio::time::timeout(CONNECTION_WAIT, serving));
            }
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn serve(stream: TcpStream, token: Arc<str>, issue: Issue) {
    let service = hyper::service::service_fn(|request| {
        let answer = answer(&request, &token, &issue);
        async { Ok::<_, Infallible>(answer) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HEADER_READ_MS_MAX))
        .max_headers(limits::RUNTIME_API_HEADERS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "credentials connection ended");
    }
}

fn answer(request: &Request<Incoming>, token: &str, issue: &Issue) -> Response<Full<Bytes>> {
    let (method, path) = (request.method(), request.uri().path());
    let named = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let (status, body) = if method != Method::GET || path != PATH {
        (StatusCode::NOT_FOUND, json!({"message": "not found"}))
    } else if named != Some(token.as_bytes()) {
        (StatusCode::FORBIDDEN, json!({"message": "the authorization token is missing or wrong"}))
    } else {
        let credentials = issue();
        let body = json!({
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": rfc3339_ms(credentials.expires_epoch_ms),
        });
        (StatusCode::OK, body)
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
