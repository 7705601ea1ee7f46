//! What a peer does for the table, whatever it is made of.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use nilas_load::{Burst, Load};

use crate::bench::lambda::{ANSWER, Hello};

/// A figure, or why there is none: that becomes a footnote.
pub(super) type Outcome<T> = Result<T, String>;

/// A way to run functions locally.
pub(super) trait Peer {
    /// The first answer of a function that nobody has invoked, the so-manieth of its language.
    fn cold(&mut self, hello: &Hello, number: usize) -> Outcome<Duration>;

    /// As many different Node functions, each for the first time, at the same moment.
    fn burst(&mut self, functions: usize, round: usize) -> Outcome<Burst>;

    /// Of one idle Node environment, after the cold starts.
    fn memory_mib(&mut self) -> Outcome<f64>;

    /// Of a function that has been invoked.
    fn warm(&mut self) -> Outcome<Load>;

    /// The same, for several connections at the same time.
    fn warm_concurrent(&mut self) -> Outcome<Load> {
        self.warm()
    }
}

/// `POST {}`, without signature.
pub(super) fn plain(address: SocketAddr, path: &str) -> Outcome<Load> {
    let mut headers = HeaderMap::new();
    let host = HeaderValue::from_str(&address.to_string()).map_err(|e| e.to_string())?;
    headers.insert("host", host);
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let request = nilas_load::http1(&Method::POST, path, &headers, b"{}");
    Ok(Load { address, request, answer_has: ANSWER })
}
