//! `HTTP_PROXY` integrations: the request goes to another server, and its answer back.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-http.html>

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use nilas_wire::{ApiResponse, percent};

use super::Cx;
use super::call::with_variables;
use super::exchange::Exchange;
use crate::front::message;

/// Where a request is sent on to.
#[derive(Debug)]
pub(in crate::front) struct Url {
    /// Path variables in braces and stage variables are not yet replaced.
    pub(super) uri: String,
    /// `ANY` for the verb of the request.
    pub(super) verb: String,
}

/// What the backend at `url` answers, or that there is none.
pub(super) async fn answer(
    cx: &Cx<'_>,
    exchange: &Exchange,
    url: &Url,
    time_max: Duration,
) -> ApiResponse {
    let unavailable = || message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let Some(request) = request(exchange, url) else {
        tracing::warn!(api = exchange.api.id, uri = url.uri, "the integration's URI is none");
        return super::internal_error();
    };
    let answered = match cx.doors.backends.call(request, time_max, false).await {
        Ok(answered) => answered,
        Err(error) => {
            let (api, uri) = (&exchange.api.id, &url.uri);
            tracing::info!(
                api,
                uri,
                error = &error as &dyn std::error::Error,
                "no backend's answer"
            );
            return unavailable();
        }
    };
    let mut response = ApiResponse { body: answered.body, ..ApiResponse::empty(answered.status) };
    for (name, value) in &answered.headers {
        if !is_of_connection(name.as_str()) {
            response.headers.append(name, value.clone());
        }
    }
    response
}

fn is_of_connection(header: &str) -> bool {
    ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"]
        .contains(&header)
}

fn request(exchange: &Exchange, url: &Url) -> Option<Request<Full<Bytes>>> {
    let verb = match url.verb.as_str() {
        "ANY" => exchange.request.method.clone(),
        verb => Method::from_bytes(verb.as_bytes()).ok()?,
    };
    let mut request = Request::new(Full::new(exchange.request.body.clone()));
    *request.method_mut() = verb;
    *request.uri_mut() = uri(exchange, &url.uri)?;
    let headers = request.headers_mut();
    for (name, value) in &exchange.headers {
        // What the API puts in for functions is said in `forwarded` to servers.
        let is_own = name.starts_with("x-forwarded-") && exchange.request.header(name).is_none();
        let host_is_mapped = exchange.request.header("host") != Some(value);
        if is_own || is_of_connection(name) || name == "host" && !host_is_mapped {
            continue;
        }
        let value = match name.as_str() {
            "x-forwarded-for" => exchange.request.header(name).unwrap_or(value),
            _ => value,
        };
        if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.insert(name, value);
        }
    }
    let forwarded = format!(
        "by={};for={};host={};proto=http",
        exchange.request.local.ip(),
        exchange.source_ip,
        exchange.domain_name()
    );
    headers.insert("forwarded", HeaderValue::from_str(&forwarded).ok()?);
    headers.insert("via", HeaderValue::from_static("HTTP/1.1 AmazonAPIGateway"));
    Some(request)
}

/// The URI with variables put in, and the query of the request after its own.
fn uri(exchange: &Exchange, uri: &str) -> Option<Uri> {
    let mut uri = with_variables(uri, &exchange.variables).into_owned();
    for (name, value) in &exchange.found.variables {
        // Slashes stay what they are in greedy variables, and cannot be in others.
        let value = percent::encode_path(value);
        uri = uri.replace(&format!("{{{name}}}"), &value).replace(&format!("{{{name}+}}"), &value);
    }
    let is_default = exchange.found.route.key == "$default";
    let path = match &exchange.mapped_path {
        Some(path) => Some(path.as_str()),
        None if is_default => Some(exchange.path_below_stage()),
        None => None,
    };
    if let Some(path) = path {
        let (address, query) = match uri.split_once('?') {
            Some((address, query)) => (address.to_owned(), Some(query.to_owned())),
            None => (uri, None),
        };
        let host_at = address.find("://").map_or(0, |at| at + 3);
        let host_end = address[host_at..].find('/').map_or(address.len(), |at| host_at + at);
        // A mapped path is the whole path; that of the route for all is one below the integration's.
        let base = match exchange.mapped_path {
            Some(_) => &address[..host_end],
            None => address.trim_end_matches('/'),
        };
        let path = percent::encode_path(path.trim_start_matches('/'));
        uri = format!("{base}/{path}");
        if let Some(query) = query {
            uri = format!("{uri}?{query}");
        }
    }
    if !exchange.request.query.is_empty() {
        uri.push(if uri.contains('?') { '&' } else { '?' });
        uri += &exchange.request.query;
    }
    uri.parse().ok()
}
