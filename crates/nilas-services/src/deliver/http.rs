//! Posts to endpoints of users', in a lane of their own: those that are slow keep nobody else waiting.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::arrive::Failed;

/// AWS waits as long for the head of an answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const CONNECTIONS_IDLE_MAX: usize = 4;

/// Opens connections when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(OnceLock<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>);

impl Endpoints {
    fn client(&self) -> &Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
        self.0.get_or_init(|| {
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_webpki_roots()
                .https_or_http()
                .enable_http1()
                .build();
            Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(CONNECTIONS_IDLE_MAX)
                .build(connector)
        })
    }

    /// Arrived, if the endpoint answers with a status of 200 to 299. What it says besides is not read.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<(), Failed> {
        let mut request = Request::builder().method(Method::POST).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|_| Failed::for_good("InvalidEndpoint", url))?;
        let failed = |message: String| Failed {
            code: "EndpointFailed".to_owned(),
            message,
            for_good: false,
        };
        let answer = tokio::time::timeout(ANSWER_MAX, self.client().request(request)).await;
        let answer =
            answer.map_err(|_| failed("the endpoint did not answer in time".to_owned()))?;
        let status = answer
            .map_err(|error| failed(format!("the endpoint was not reached: {error}")))?
            .status();
        if status.is_success() {
            return Ok(());
        }
        let (status, message) = (status.as_u16(), format!("the endpoint answered {status}"));
        Err(Failed::answered(status, "EndpointFailed", message))
    }
}
