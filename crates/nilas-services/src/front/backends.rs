//! Calls of other servers: backends of APIs, issuers of tokens.

use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nilas_model::limits;

/// A client of HTTP and HTTPS; made when the first call is.
#[derive(Debug, Default)]
pub(super) struct Backends(OnceLock<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>);

impl Backends {
    pub(super) fn client(&self) -> &Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
        self.0.get_or_init(|| {
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
}
