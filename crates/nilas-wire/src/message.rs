//! One request and one response of an AWS API, as the edge hands them to a service and takes them back.

use std::net::SocketAddr;

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
#[derive(Debug, Clone)]
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl ApiResponse {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub fn with_body(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut response = Self { status, headers: HeaderMap::new(), body: body.into() };
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
