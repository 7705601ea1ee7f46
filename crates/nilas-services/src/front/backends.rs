//! Calls of other servers: backends of APIs, issuers of tokens.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nilas_model::limits;
use nilas_wire::{BodySource, BrokenOff, Rest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Silence after which an answer that is streamed breaks off.
const IDLE_MAX: Duration = Duration::from_millis(limits::STREAM_IDLE_MS_MAX);

/// A client of HTTP and HTTPS; made when the first call is.
#[derive(Debug)]
pub(super) struct Backends {
    client: OnceLock<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    /// Calls of APIs' backends at once.
    places: Arc<Semaphore>,
}

impl Default for Backends {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(limits::API_BACKEND_CALLS_MAX));
        Self { client: OnceLock::new(), places }
    }
}

/// What a backend answered: all of it in `body`, or what comes of it in `rest`.
#[derive(Debug)]
pub(super) struct BackendAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) rest: Option<Rest>,
}

/// Why a backend did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackendError {
    #[error("as many backends are being called as may be at once")]
    Busy,
    #[error("the backend did not answer in time")]
    Late,
    #[error("the backend was not reached")]
    Unreached { source: hyper_util::client::legacy::Error },
    #[error("the backend's answer was not read")]
    Unread { source: Box<dyn Error + Send + Sync> },
}

impl Backends {
    pub(super) fn client(&self) -> &Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
        self.client.get_or_init(|| {
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_webpki_roots()
                .https_or_http()
                .enable_http1()
                .build();
            Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(limits::API_BACKEND_CONNECTIONS_IDLE_MAX)
                .build(connector)
        })
    }

    /// Calls an API's backend: bounded in time, in what it answers, and in how many are called at once. If it
    /// `streams`, the time is that until the answer begins.
    pub(super) async fn call(
        &self,
        request: Request<Full<Bytes>>,
        time_max: Duration,
        streams: bool,
    ) -> Result<BackendAnswer, BackendError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| BackendError::Busy)?;
        let answered = async {
            let response = self.client().request(request).await;
            let response = response.map_err(|source| BackendError::Unreached { source })?;
            let (head, body) = response.into_parts();
            let (status, headers) = (head.status, head.headers);
            if streams {
                let rest = Some(Rest::new(Streamed::new(body, place)));
                return Ok(BackendAnswer { status, headers, body: Bytes::new(), rest });
            }
            let body = Limited::new(body, limits::API_PAYLOAD_BYTES_MAX).collect().await;
            let body = body.map_err(|source| BackendError::Unread { source })?.to_bytes();
            Ok(BackendAnswer { status, headers, body, rest: None })
        };
        tokio::time::timeout(time_max, answered).await.map_err(|_| BackendError::Late)?
    }
}

/// A backend's answer as it comes. It keeps its place among the calls of backends.
struct Streamed {
    body: Incoming,
    idle: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Streamed {
    fn new(body: Incoming, place: OwnedSemaphorePermit) -> Self {
        let idle = Box::pin(tokio::time::sleep(IDLE_MAX));
        let end = Box::pin(tokio::time::sleep(Duration::from_millis(limits::STREAM_MS_MAX)));
        Self { body, idle, end, _place: place }
    }
}

impl BodySource for Streamed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                let is_silent = self.idle.as_mut().poll(cx).is_ready();
                return if is_silent { Poll::Ready(Some(Err(BrokenOff))) } else { Poll::Pending };
            };
            self.idle.set(tokio::time::sleep(IDLE_MAX));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(BrokenOff))),
                Some(Ok(Ok(data))) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                // Trailers are the connection's own.
                Some(Ok(_)) => {}
            }
        }
    }
}
