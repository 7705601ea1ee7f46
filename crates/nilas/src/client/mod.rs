//! The command line as a client: signed requests to AWS's API of the server.

mod credentials;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use nilas_load::Load;
use nilas_model::{Clock, SystemClock};
use nilas_wire::percent;
use nilas_wire::sigv4::{ClientKey, Signer};
use nilas_wire::xml::Element;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::config::{Config, REGION};
use crate::env_vars::{self, EnvVars};
use crate::failure::Failure;

pub(crate) use credentials::{Credentials, root_key};

/// Largest answer that is read: a synchronous response, or a page of log events, with room to spare.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Talks to one server with one key.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// `http://HOST:PORT`.
    endpoint: String,
    /// `HOST:PORT`.
    authority: String,
    region: String,
    credentials: Credentials,
    clock: Arc<SystemClock>,
}

/// A call of one operation.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Signing name, such as `lambda`.
    pub(crate) service: &'a str,
    pub(crate) method: Method,
    /// Percent-encoded path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

/// An answer with a status of success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("`{url}` is no endpoint")]
    Endpoint { url: String },
    #[error("no key to sign requests with for {endpoint}")]
    NoCredentials { endpoint: String },
    #[error("cannot reach a server at {endpoint}")]
    Connect { endpoint: String, source: std::io::Error },
    #[error("the connection to {endpoint} broke")]
    Exchange { endpoint: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot sign the request: {reason}")]
    Sign { reason: String },
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    #[error("the answer is not understood")]
    Answer { source: serde_json::Error },
    #[error("the answer is no XML")]
    Xml,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::Endpoint { .. } => Some("an endpoint looks like http://127.0.0.1:4566"),
            ClientError::NoCredentials { .. } => Some(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name the server's --data-dir",
            ),
            ClientError::Connect { .. } => {
                Some("start a server with `nilas serve`, or name a running one with --endpoint")
            }
            ClientError::Refused { code, .. } => hint_for(code),
            ClientError::Exchange { .. }
            | ClientError::Sign { .. }
            | ClientError::Answer { .. }
            | ClientError::Xml => None,
        };
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn hint_for(code: &str) -> Option<&'static str> {
    match code {
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidSignatureException" => {
            Some(
                "the key is not this server's: name its --data-dir, or take the key from `nilas env` there",
            )
        }
        "ResourceNotFoundException" => Some("`nilas function list` shows the functions there are"),
        "ResourceConflictException" => {
            Some("`nilas function update` changes a function that exists")
        }
        _ => None,
    }
}

impl Client {
    /// Finds the server and the key; `flag` is what `--endpoint` gave.
    pub(crate) fn new(config: &Config, env: &EnvVars, flag: Option<&str>) -> Result<Self, Failure> {
        let chosen = chosen_endpoint(env, flag);
        let endpoint = chosen.clone().unwrap_or_else(|| config.endpoint());
        let authority = authority_of(&endpoint)?;
        let credentials = credentials::find(config, env, chosen.is_some(), &authority)
            .ok_or_else(|| ClientError::NoCredentials { endpoint: endpoint.clone() })?;
        let region = region(config, env);
        Ok(Self { endpoint, authority, region, credentials, clock: Arc::new(SystemClock::new()) })
    }

    /// The same server and key, in `region` if one is named.
    pub(crate) fn in_region(mut self, region: Option<&str>) -> Self {
        if let Some(region) = region {
            region.clone_into(&mut self.region);
        }
        self
    }

    /// Calls a Lambda operation with a JSON body.
    pub(crate) async fn lambda(
        &self,
        method: Method,
        target: String,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let headers = vec![("content-type", "application/json".to_owned())];
        let answer = self.call(Call { service: "lambda", method, target, headers, body }).await?;
        parse(&answer.body)
    }

    /// Calls a CloudWatch Logs operation.
    pub(crate) async fn logs(&self, operation: &str, body: &Value) -> Result<Value, ClientError> {
        self.target("logs", &format!("Logs_20140328.{operation}"), body).await
    }

    /// Calls an operation that `X-Amz-Target` names.
    pub(crate) async fn target(
        &self,
        service: &str,
        target: &str,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target.to_owned()),
        ];
        let body = body.to_string().into();
        let call = Call { service, method: Method::POST, target: "/".to_owned(), headers, body };
        let answer = self.call(call).await?;
        parse(&answer.body)
    }

    /// Calls an operation of the query protocol; answers `<ACTIONResult>`.
    pub(crate) async fn query(
        &self,
        service: &str,
        action: &str,
        members: &[(&str, &str)],
    ) -> Result<Element, ClientError> {
        let mut form = format!("Action={action}");
        for (name, value) in members {
            form += &format!("&{}={}", percent::encode(name), percent::encode(value));
        }
        let content = "application/x-www-form-urlencoded; charset=utf-8".to_owned();
        let call = Call {
            service,
            method: Method::POST,
            target: "/".to_owned(),
            headers: vec![("content-type", content)],
            body: form.into(),
        };
        let answer = self.call(call).await?;
        let root = std::str::from_utf8(&answer.body).ok().and_then(Element::parse);
        let root = root.ok_or(ClientError::Xml)?;
        Ok(root.children.into_iter().next().unwrap_or_default())
    }

    /// Calls S3. `target` is the percent-encoded path with its query.
    pub(crate) async fn s3(
        &self,
        method: Method,
        target: String,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        self.call(Call { service: "s3", method, target, headers: Vec::new(), body }).await
    }

    /// `http://HOST:PORT` of the server.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Signs and sends one request; an answer that is an error in AWS's shape becomes `Refused`.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let request = self.signed(call)?;
        let connecting = TcpStream::connect(&self.authority);
        let timed = tokio::time::timeout(CONNECT_MAX, connecting).await;
        let stream = timed
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|source| ClientError::Connect { endpoint: self.endpoint.clone(), source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broke(error))?;
        // The connection ends with the sender, and its errors come out of `send_request`.
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| self.broke(error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| self.broke(error))?
            .to_bytes();
        driver.abort();
        if parts.status.is_success() {
            return Ok(Answer { headers: parts.headers, body });
        }
        Err(refusal(parts.status, &parts.headers, &body))
    }

    /// The request for the load generator, which repeats it as it is: signed once, for as long as a signature lasts.
    pub(crate) async fn load(
        &self,
        call: Call<'_>,
        answer_has: &'static str,
    ) -> Result<Load, ClientError> {
        let failed = |source| ClientError::Connect { endpoint: self.endpoint.clone(), source };
        let mut found = tokio::net::lookup_host(&self.authority).await.map_err(failed)?;
        let address = found.next().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let body = call.body.clone();
        let (head, _) = self.signed(call)?.into_parts();
        let request = nilas_load::http1(&head.method, &head.uri.to_string(), &head.headers, &body);
        Ok(Load { address, request, answer_has })
    }

    fn signed(&self, call: Call<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
        let failed =
            |error: &dyn std::fmt::Display| ClientError::Sign { reason: error.to_string() };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HOST,
            HeaderValue::from_str(&self.authority).map_err(|error| failed(&error))?,
        );
        for (name, value) in call.headers {
            let value = HeaderValue::from_str(&value).map_err(|error| failed(&error))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let signer = Signer {
            key: ClientKey {
                access_key_id: &self.credentials.access_key_id,
                secret_access_key: &self.credentials.secret_access_key,
                session_token: self.credentials.session_token.as_deref(),
            },
            region: &self.region,
            service: call.service,
            now_ms: self.clock.epoch_ms(),
        };
        signer
            .sign(&call.method, path, query, &mut headers, &call.body)
            .map_err(|error| failed(&error))?;
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = call.target.parse().map_err(|error| failed(&error))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn broke(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Exchange { endpoint: self.endpoint.clone(), source: error.into() }
    }
}

/// What somebody named by flag or variable; None leaves the choice to the configured address.
pub(crate) fn chosen_endpoint(env: &EnvVars, flag: Option<&str>) -> Option<String> {
    flag.or_else(|| env.get(&env_vars::NILAS_ENDPOINT))
        .or_else(|| env.get(&env_vars::AWS_ENDPOINT_URL))
        .map(|url| url.trim_end_matches('/').to_owned())
}

/// The region of flag and configuration; AWS's variables count where neither says anything.
pub(crate) fn region(config: &Config, env: &EnvVars) -> String {
    let aws = || env.get(&env_vars::AWS_REGION).or_else(|| env.get(&env_vars::AWS_DEFAULT_REGION));
    if config.is_chosen(&REGION) {
        return config.region.as_str().to_owned();
    }
    aws().unwrap_or(config.region.as_str()).to_owned()
}

/// `HOST:PORT` of `http://HOST[:PORT]`. The server speaks plain HTTP only.
fn authority_of(endpoint: &str) -> Result<String, ClientError> {
    let refused = || ClientError::Endpoint { url: endpoint.to_owned() };
    let uri: Uri = endpoint.parse().map_err(|_| refused())?;
    let authority = uri.authority().ok_or_else(refused)?;
    let bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
    if uri.scheme_str() != Some("http") || !bare {
        return Err(refused());
    }
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    if body.starts_with(b"<") {
        return refusal_in_xml(status, body);
    }
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let member =
        |names: &[&str]| names.iter().find_map(|name| json.get(name)?.as_str().map(str::to_owned));
    let header =
        headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = header.or_else(|| member(&["__type", "Code"])).unwrap_or_else(|| status.to_string());
    // Some services write `namespace#Code`, some `Code:url`.
    let code = code
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    let message = member(&["message", "Message"])
        .unwrap_or_else(|| "the server refused the request".to_owned());
    ClientError::Refused { code, message }
}

/// S3 and the query protocol.
fn refusal_in_xml(status: StatusCode, body: &[u8]) -> ClientError {
    let root = std::str::from_utf8(body).ok().and_then(Element::parse).unwrap_or_default();
    let error = root.find(&["Error"]).unwrap_or(&root);
    let text = |name: &str| error.text_at(&[name]).map(str::to_owned);
    ClientError::Refused {
        code: text("Code").unwrap_or_else(|| status.to_string()),
        message: text("Message").unwrap_or_else(|| "the server refused the request".to_owned()),
    }
}

fn parse(body: &[u8]) -> Result<Value, ClientError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|source| ClientError::Answer { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_plain_http_addresses() {
        assert_eq!(authority_of("http://127.0.0.1:4566").unwrap(), "127.0.0.1:4566");
        assert_eq!(authority_of("http://nilas.local").unwrap(), "nilas.local:80");
        assert_eq!(authority_of("http://[::1]:4566").unwrap(), "[::1]:4566");
        for url in ["", "127.0.0.1:4566", "https://a:1", "http://a/b", "http://u@a"] {
            assert!(authority_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn refusals_are_read_from_every_protocol() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", "ResourceNotFoundException".parse().unwrap());
        let body = br#"{"Type":"User","Message":"Function not found: f"}"#;
        let text = refusal(StatusCode::NOT_FOUND, &headers, body).to_string();
        assert_eq!(text, "Function not found: f (ResourceNotFoundException)");
        let body = br#"{"__type":"com.amazon#InvalidParameterException","message":"no"}"#;
        assert_eq!(
            refusal(StatusCode::BAD_REQUEST, &HeaderMap::new(), body).to_string(),
            "no (InvalidParameterException)"
        );
        let text = refusal(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>").to_string();
        assert_eq!(text, "the server refused the request (502 Bad Gateway)");
    }
}
