//! An edge on a port of its own, and clients for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use nilas_edge::{Backend, Edge, EdgeConfig, Identity};
use nilas_model::{AuthContext, Clock, Origin, SimClock, SystemClock};
use nilas_services::front::{FrontRequest, Session};
use nilas_wire::sigv4::{ClientKey, Signer};
use nilas_wire::{ApiRequest, ApiResponse, Service};
use tokio::sync::watch;

/// Tells what reached it; `/…/slow` takes a while, `/…/panic` panics.
#[derive(Debug)]
pub(crate) struct Echo;

impl Backend for Echo {
    async fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> ApiResponse {
        if request.path.ends_with("/slow") {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(!request.path.ends_with("/panic"), "asked to");
        let text = format!(
            "{service:?} {:?} {} {} {} {} {} {}",
            auth.principal,
            auth.region.as_str(),
            request.method,
            request.path,
            request.query,
            request.base_url().split(':').next().unwrap(),
            if request.body.len() > 100 {
                request.body.len().to_string()
            } else {
                String::from_utf8_lossy(&request.body).into_owned()
            }
        );
        ApiResponse::with_body(StatusCode::OK, "text/plain", text)
    }

    async fn front(&self, front: FrontRequest) -> ApiResponse {
        let body = front.request.body.len();
        let caller = match &front.caller {
            Ok(auth) => format!("{:?}", auth.principal),
            Err(fault) => fault.message.clone().unwrap_or_default(),
        };
        let text = format!(
            "{:?} {} {} {body} {caller}",
            front.door, front.request.source_ip, front.protocol
        );
        ApiResponse::with_body(StatusCode::OK, "text/plain", text)
    }

    async fn connect(&self, front: FrontRequest) -> Result<Session, ApiResponse> {
        Err(self.front(front).await)
    }

    fn is_custom_domain(&self, host: &str) -> bool {
        host == "api.example.com"
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Arc<Identity>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) serving: tokio::task::JoinHandle<()>,
    pub(crate) now_ms: u64,
    _data_dir: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(EdgeConfig::default(), Origin::Loopback, None).await
    }

    pub(crate) async fn start_at(epoch_ms: u64) -> Self {
        Self::start_with(EdgeConfig::default(), Origin::Loopback, Some(epoch_ms)).await
    }

    pub(crate) async fn start_with(
        config: EdgeConfig,
        origin: Origin,
        epoch_ms: Option<u64>,
    ) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let identity = Arc::new(Identity::load_or_create(data_dir.path()).unwrap());
        let clock: Arc<dyn Clock> = match epoch_ms {
            Some(epoch_ms) => Arc::new(SimClock::at_epoch_ms(epoch_ms)),
            None => Arc::new(SystemClock::new()),
        };
        let now_ms = clock.epoch_ms();
        let edge = Edge::new(config, Echo, Arc::clone(&identity), clock);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(async move { edge.serve(listener, origin, stopping).await });
        Self { address, identity, stop, serving, now_ms, _data_dir: data_dir }
    }

    /// Sends `bytes` on a connection of its own and reads until the server closes it.
    pub(crate) async fn raw(&self, bytes: impl Into<Vec<u8>>) -> String {
        let (address, bytes) = (self.address, bytes.into());
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        })
        .await
        .unwrap()
    }

    /// Sends a request signed with `test`/`test`.
    pub(crate) async fn call(&self, request: Request) -> String {
        self.raw(request.bytes(self.address, self.now_ms)).await
    }
}

/// A request to be signed and sent in one piece.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) service: &'static str,
    pub(crate) key: (String, String, Option<String>),
    /// Seconds that the client's clock is ahead.
    pub(crate) ahead_s: i64,
}

impl Request {
    pub(crate) fn new(service: &'static str, method: Method, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            service,
            key: ("test".to_owned(), "test".to_owned(), None),
            ahead_s: 0,
        }
    }

    pub(crate) fn lambda(target: &str) -> Self {
        Self::new("lambda", Method::POST, target)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn signed_headers(&self, address: SocketAddr, now_ms: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_str(&address.to_string()).unwrap());
        for (name, value) in &self.headers {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let (id, secret, token) = &self.key;
        let key = ClientKey {
            access_key_id: id,
            secret_access_key: secret,
            session_token: token.as_deref(),
        };
        let now_ms = now_ms.checked_add_signed(self.ahead_s * 1_000).unwrap();
        let signer = Signer { key, region: "eu-central-1", service: self.service, now_ms };
        signer.sign(&self.method, &self.path, &self.query, &mut headers, &self.body).unwrap();
        headers
    }

    pub(crate) fn head(&self, address: SocketAddr, now_ms: u64) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut head = format!("{} {}{mark}{} HTTP/1.1\r\n", self.method, self.path, self.query);
        for (name, value) in &self.signed_headers(address, now_ms) {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        head
    }

    fn bytes(&self, address: SocketAddr, now_ms: u64) -> Vec<u8> {
        let mut bytes = self.head(address, now_ms).into_bytes();
        bytes.extend_from_slice(
            format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()).as_bytes(),
        );
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Status and body of an answer.
pub(crate) fn status_and_body(answer: &str) -> (u16, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (head.split(' ').nth(1).unwrap_or("0").parse().unwrap(), body)
}
