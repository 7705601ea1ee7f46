//! What is sent, to whom, and how that fails.

use std::io;
use std::net::SocketAddr;

use http::{HeaderMap, Method};

/// One request to repeat, complete with its headers, and where to send it.
#[derive(Debug, Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub request: Vec<u8>,
    /// What every right answer holds: a fast error is no answer.
    pub answer_has: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("the connection to {address} broke")]
    Exchange { address: SocketAddr, source: io::Error },
    #[error("{address} closed the connection")]
    Closed { address: SocketAddr },
    #[error("the answer is no HTTP: {line}")]
    NoHttp { line: String },
    #[error("status {status}: {body}")]
    Status { status: String, body: String },
    #[error("unexpected answer: {body}")]
    Answer { body: String },
    #[error("it does not keep up with {rate_per_s:.0} requests/s")]
    FellBehind { rate_per_s: f64 },
    #[error("{program} does not run")]
    Program { program: String, source: io::Error },
    #[error("{program} failed")]
    ProgramFailed { program: String },
}

/// A request as it goes over the wire, but for `content-length`, which is added.
pub fn http1(method: &Method, target: &str, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}
