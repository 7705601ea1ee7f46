//! HTTP and HTTP_PROXY integrations: calls of other servers, bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use nilas_wire::{ApiResponse, percent};

use super::exchange::Exchange;
use super::integrate::with_stage_variables;
use super::mapping::{self, Answered, Mapped};
use super::refusal::Refusal;
use super::snapshot::{Integration, Kind};
use super::{Doors, proxy_answer};
use crate::front::backends::{BackendAnswer, BackendError};

/// Calls the backend of `integration`.
pub(super) async fn integrate(
    doors: &Doors,
    exchange: &Exchange,
    integration: &Integration,
) -> Result<ApiResponse, Refusal> {
    let is_proxy = integration.kind == Kind::HttpProxy;
    let mut mapped = if is_proxy {
        proxied(exchange, integration)?
    } else {
        mapping::request(exchange, integration)?
    };
    let request = request(exchange, integration, &mut mapped)?;
    let time_max = Duration::from_millis(integration.timeout_ms);
    let streams = is_proxy && integration.streams;
    let answer = doors.backends.call(request, time_max, streams).await.map_err(|error| {
        let (api, uri) = (&exchange.api.id, &integration.uri);
        tracing::info!(api, uri, error = &error as &dyn std::error::Error, "no backend's answer");
        match error {
            BackendError::Late => Refusal::Timeout,
            _ => Refusal::IntegrationFailure,
        }
    })?;
    let BackendAnswer { status, headers, body, rest } = answer;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    if is_proxy {
        let mut response = passed(status, &headers, body);
        response.rest = rest;
        return Ok(response);
    }
    let selector = status.as_u16().to_string();
    mapping::response(exchange, integration, Answered { selector, headers, body })
}

fn passed(status: StatusCode, headers: &[(String, String)], body: Bytes) -> ApiResponse {
    let mut response = ApiResponse::empty(status);
    response.body = body;
    if !headers.iter().any(|(name, _)| name == "content-type") {
        proxy_answer::set(&mut response, "content-type", &["application/json".to_owned()]);
    }
    let own = ["via", "content-length", "connection"];
    let passed: Vec<_> =
        headers.iter().filter(|(name, _)| !own.contains(&name.as_str())).cloned().collect();
    mapping::pass_headers(&mut response, &passed);
    response
}

/// The request as it came, with what the integration's parameters add.
fn proxied(exchange: &Exchange, integration: &Integration) -> Result<Mapped, Refusal> {
    let mut mapped = Mapped { body: exchange.body.clone(), ..Mapped::default() };
    for (name, values) in exchange.headers.iter() {
        if !name.eq_ignore_ascii_case("host") {
            mapped.headers.extend(values.iter().map(|value| (name.to_owned(), value.clone())));
        }
    }
    for (name, values) in exchange.query.iter() {
        mapped.query.extend(values.iter().map(|value| (name.to_owned(), value.clone())));
    }
    for (target, source) in &integration.parameters {
        let named =
            target.strip_prefix("integration.request.").and_then(|rest| rest.split_once('.'));
        let (Some((kind, name)), Some(value)) = (named, exchange.mapped(source)) else { continue };
        let list = match kind {
            "header" => &mut mapped.headers,
            "querystring" => &mut mapped.query,
            "path" => &mut mapped.path,
            _ => continue,
        };
        list.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        list.push((name.to_owned(), value));
    }
    Ok(mapped)
}

fn request(
    exchange: &Exchange,
    integration: &Integration,
    mapped: &mut Mapped,
) -> Result<Request<Full<Bytes>>, Refusal> {
    let mut uri = with_stage_variables(exchange, &integration.uri);
    for (name, value) in &mapped.path {
        let keeps_slashes = exchange
            .found
            .as_ref()
            .is_some_and(|found| found.resource.path.contains(&format!("{{{name}+}}")));
        let value =
            if keeps_slashes { percent::encode_path(value) } else { percent::encode(value) };
        uri = uri.replace(&format!("{{{name}}}"), &value).replace(&format!("{{{name}+}}"), &value);
    }
    for (n, (name, value)) in mapped.query.iter().enumerate() {
        uri.push(if n == 0 && !uri.contains('?') { '?' } else { '&' });
        uri += &format!("{}={}", percent::encode(name), percent::encode(value));
    }
    let verb = match integration.verb.as_str() {
        "" | "ANY" => exchange.verb.as_str(),
        verb => verb,
    };
    let method = Method::from_bytes(verb.as_bytes()).map_err(|_| Refusal::Configuration)?;
    let mut request = Request::new(Full::new(std::mem::take(&mut mapped.body)));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().map_err(|_| {
        tracing::warn!(api = exchange.api.id, uri, "not a URI");
        Refusal::Configuration
    })?;
    for (name, value) in &mapped.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            request.headers_mut().append(name, value);
        }
    }
    let headers = request.headers_mut();
    headers.entry("accept").or_insert(HeaderValue::from_static("application/json"));
    let agent = format!("AmazonAPIGateway_{}", exchange.api.id);
    if let Ok(agent) = HeaderValue::from_str(&agent) {
        headers.entry("user-agent").or_insert(agent);
    }
    Ok(request)
}
