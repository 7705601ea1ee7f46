//! How services call one another: through the door that clients use, so that there is one behaviour and one error.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use nilas_model::{AuthContext, RequestId};
use nilas_wire::xml::Element;
use nilas_wire::{ApiRequest, ApiResponse, Protocol, Service, percent};
use serde_json::Value;

use crate::services::Inner;

/// Calls operations of the other services in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calls {
    services: Arc<OnceLock<Weak<Inner>>>,
    /// Where calls come in, as far as the services can tell: links in their answers start with it.
    local: SocketAddr,
}

impl Default for Calls {
    fn default() -> Self {
        Self { services: Arc::default(), local: ([127, 0, 0, 1], 4566).into() }
    }
}

/// What a service refused, or failed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (Service: {service}, Status Code: {status}, Request ID: {request_id})")]
pub struct Refusal {
    pub service: &'static str,
    pub status: u16,
    /// `ResourceNotFoundException`
    pub code: String,
    pub message: String,
    pub request_id: String,
}

impl Calls {
    /// From now on calls reach `services`.
    pub(crate) fn connect(&self, services: &Arc<Inner>) {
        assert!(self.services.set(Arc::downgrade(services)).is_ok(), "connected once");
    }

    /// The same calls, on behalf of a client that came in at `local`.
    #[must_use]
    pub(crate) fn at(&self, local: SocketAddr) -> Self {
        Self { services: Arc::clone(&self.services), local }
    }

    /// REST with JSON: Lambda, API Gateway. `target` is the path with its query, percent-encoded.
    pub async fn rest(
        &self,
        service: Service,
        auth: &AuthContext,
        method: Method,
        target: &str,
        body: Option<Value>,
    ) -> Result<Value, Refusal> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        let response = self.raw(service, auth, method, target, headers, body).await?;
        Ok(serde_json::from_slice(&response.body).unwrap_or(Value::Null))
    }

    /// `X-Amz-Target`: SSM, Secrets Manager, KMS, Logs, Events. `operation` is without the prefix.
    pub async fn json(
        &self,
        service: Service,
        auth: &AuthContext,
        operation: &str,
        body: Value,
    ) -> Result<Value, Refusal> {
        let prefix = service.target_prefix().unwrap_or_default();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&format!("{prefix}.{operation}")) {
            headers.insert("x-amz-target", value);
        }
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let body = Bytes::from(body.to_string());
        let response = self.raw(service, auth, Method::POST, "/", headers, body).await?;
        Ok(serde_json::from_slice(&response.body).unwrap_or(Value::Null))
    }

    /// The query protocol: IAM, STS, CloudFormation. Answers the root element, `<ACTIONResponse>`.
    pub async fn query(
        &self,
        service: Service,
        auth: &AuthContext,
        action: &str,
        members: &[(String, String)],
    ) -> Result<Element, Refusal> {
        let mut form = format!("Action={action}");
        for (name, value) in members {
            form += &format!("&{}={}", percent::encode(name), percent::encode(value));
        }
        let content = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content)]);
        let body = Bytes::from(form);
        let response = self.raw(service, auth, Method::POST, "/", headers, body).await?;
        let text = std::str::from_utf8(&response.body).unwrap_or_default();
        Ok(Element::parse(text).unwrap_or_default())
    }

    /// Any request; an answer of 400 and above is a refusal. S3, and what the others do not fit.
    pub async fn raw(
        &self,
        service: Service,
        auth: &AuthContext,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<ApiResponse, Refusal> {
        let request_id = RequestId::random();
        let refusal = |status, code: &str, message: &str| Refusal {
            service: service.signing_name(),
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: request_id.to_string(),
        };
        let services = self.services.get().and_then(Weak::upgrade);
        let services = services
            .ok_or_else(|| refusal(503, "ServiceUnavailable", "The server is stopping."))?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = ApiRequest {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
            request_id,
            local: self.local,
            source_ip: Ipv4Addr::LOCALHOST.into(),
        };
        let response = Box::pin(services.handle(service, auth, request)).await;
        if response.status.as_u16() < 400 {
            return Ok(response);
        }
        let (code, message) = fault_of(service.protocol(), &response);
        Err(refusal(response.status.as_u16(), &code, &message))
    }
}

/// Code and message of an error answer.
fn fault_of(protocol: Protocol, response: &ApiResponse) -> (String, String) {
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    let (code, message) = match protocol {
        Protocol::Query { .. } | Protocol::RestXml => {
            let root = Element::parse(text).unwrap_or_default();
            let error = root.find(&["Error"]).unwrap_or(&root);
            let part = |name| error.text_at(&[name]).map(str::to_owned);
            (part("Code"), part("Message"))
        }
        Protocol::RestJson | Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => {
            let body: Value = serde_json::from_str(text).unwrap_or_default();
            let member = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
            let header = response.headers.get("x-amzn-errortype");
            let header = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
            (member("__type").or(header), member("message").or_else(|| member("Message")))
        }
    };
    let status = response.status.to_string();
    (code.unwrap_or(status), message.unwrap_or_default())
}
