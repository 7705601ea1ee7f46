//! One request and one response of an AWS API, as the edge hands them to a service and takes them back.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nilas_model::RequestId;

/// A request whose signature the edge has verified.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    pub method: Method,
    /// As sent: still percent-encoded.
    pub path: String,
    /// As sent, without the question mark: still percent-encoded.
    pub query: String,
    pub headers: HeaderMap,
    /// Without the framing of aws-chunked.
    pub body: Bytes,
    pub request_id: RequestId,
    /// Where the request came in.
    pub local: SocketAddr,
    /// Who is at the other end of the connection; this machine, if it is another service of this server.
    pub source_ip: IpAddr,
}

impl ApiRequest {
    /// The header `name`, if it is there and plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `http://HOST:PORT` as the client addressed us, or our own address if its `host` header is none. Links in answers
    /// start with it.
    pub fn base_url(&self) -> String {
        let legal = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        };
        match self.header("host").filter(|host| !host.is_empty() && host.bytes().all(legal)) {
            Some(host) => format!("http://{host}"),
            None => format!("http://{}", self.local),
        }
    }
}

/// What a service answers. The edge adds the request id and the length.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What comes after `body`, if the answer is not whole yet.
    pub rest: Option<Rest>,
}

/// The part of an answer's body that is still being made. Dropped, nobody wants it any more.
pub struct Rest(Box<dyn BodySource>);

/// Makes a body piece by piece.
pub trait BodySource: Send {
    /// The next piece, never an empty one; None at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>>;
}

/// A body that ends before its end. The client must not take it for whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

// === impl Rest ===

impl Rest {
    pub fn new(source: impl BodySource + 'static) -> Self {
        Self(Box::new(source))
    }

    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.0.poll_piece(cx)
    }
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

// === impl ApiResponse ===

impl ApiResponse {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), rest: None }
    }

    pub fn with_body(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut response = Self { body: body.into(), ..Self::empty(status) };
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    /// Sets header `name`; a value that no header can hold (control characters) is left out.
    pub fn set_header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }
}
