//! From a request whose signature the edge has verified to one that `s3s` understands, and back.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt;
use nilas_model::AuthContext;
use nilas_wire::xml::Element;
use nilas_wire::{
    ApiRequest, ApiResponse, Blame, Fault, Protocol, encode_fault, percent, s3_host, sigv2,
};
use s3s::{Body, HttpResponse};

use super::{Cx, S3Door, packages};
use crate::services::Inner;

/// What a signature brings along in a query; it has served its purpose.
const SIGNATURE_MEMBERS: [&str; 10] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "awsaccesskeyid",
    "signature",
];

/// The same of headers, and those that say how the body was framed.
const SIGNATURE_HEADERS: [&str; 6] = [
    "authorization",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-decoded-content-length",
    "transfer-encoding",
];

const CONDITION_HEADERS: [&str; 4] =
    ["if-match", "if-none-match", "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match"];

pub(super) async fn handle(
    door: &S3Door,
    services: &Inner,
    auth: &AuthContext,
    request: &ApiRequest,
) -> ApiResponse {
    let mut response = match answer(door, services, auth, request).await {
        Ok(response) => response,
        Err(fault) => {
            let mut response = encode_fault(Protocol::RestXml, &fault, &request.request_id);
            if request.method == Method::HEAD || response.status == StatusCode::NOT_MODIFIED {
                response.body = Bytes::new();
                response.headers.remove(header::CONTENT_TYPE);
            }
            response
        }
    };
    response.set_header("x-amz-request-id", &request.request_id.to_string());
    response
}

async fn answer(
    door: &S3Door,
    services: &Inner,
    auth: &AuthContext,
    request: &ApiRequest,
) -> Result<ApiResponse, Fault> {
    let path = match request.header("host").and_then(s3_host::bucket_of) {
        Some(bucket) => format!("/{bucket}{}", request.path),
        None => request.path.clone(),
    };
    if packages::is_of(&auth.region, &path) {
        return packages::get(services.lambda(), &door.s3.blobs, auth, request, &path).await;
    }
    let cx = Arc::new(Cx {
        auth: auth.clone(),
        request_id: request.request_id,
        source_ip: request.source_ip,
        lambda: Arc::clone(services.lambda()),
        sqs: Arc::clone(services.sqs()),
        base_url: request.base_url(),
        refusal: std::sync::Mutex::default(),
    });
    let translated = translate(request, &path, Arc::clone(&cx))?;
    let response = door.service.call(translated).await.map_err(|err| {
        tracing::error!(path, error = ?err, "s3s failed");
        internal()
    })?;
    let refusal = cx.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(refusal) = refusal else { return convert(response).await };
    let fault = refusal.fault();
    if fault.blame == Blame::Platform && fault.status == 500 {
        tracing::error!(path, error = %refusal, cause = std::error::Error::source(&refusal), "s3 operation failed");
    }
    let headers = refusal.headers();
    if headers.is_empty() {
        return Err(fault);
    }
    let mut response = encode_fault(Protocol::RestXml, &fault, &request.request_id);
    for (name, value) in headers {
        response.set_header(name, &value);
    }
    if request.method == Method::HEAD || response.status == StatusCode::NOT_MODIFIED {
        response.body = Bytes::new();
        response.headers.remove(header::CONTENT_TYPE);
    }
    Ok(response)
}

fn translate(request: &ApiRequest, path: &str, cx: Arc<Cx>) -> Result<http::Request<Body>, Fault> {
    let mut headers = request.headers.clone();
    for name in SIGNATURE_HEADERS {
        headers.remove(name);
    }
    let query = take_query(&request.query, &mut headers);
    unframe(&mut headers, request.body.len());
    for name in CONDITION_HEADERS {
        quote(&mut headers, name);
    }
    // AWS answers the whole object where it does not understand the range.
    let range = request.header("range");
    if range.is_some_and(|range| s3s::dto::Range::parse(range).is_err()) {
        headers.remove(header::RANGE);
    }
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let uri: Uri = target.parse().map_err(|_| invalid_uri())?;
    let mut translated = http::Request::new(Body::from(request.body.clone()));
    *translated.method_mut() = request.method.clone();
    *translated.uri_mut() = uri;
    *translated.headers_mut() = headers;
    translated.extensions_mut().insert(cx);
    Ok(translated)
}

/// What is left of the query without its signature; members that stand for headers become headers, as SDKs that presign
/// expect.
fn take_query(query: &str, headers: &mut HeaderMap) -> String {
    let presigned_v2 = sigv2::is_presigned(query);
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let lower = percent::decode_query(name).to_ascii_lowercase();
        if SIGNATURE_MEMBERS.contains(&lower.as_str()) || (presigned_v2 && lower == "expires") {
            continue;
        }
        // The older form of presigning does not sign them.
        if !presigned_v2 && lower.starts_with("x-amz-") {
            let value = HeaderValue::from_str(&percent::decode_query(value));
            if let (Ok(name), Ok(value)) = (lower.parse::<HeaderName>(), value) {
                headers.entry(name).or_insert(value);
            }
            continue;
        }
        kept.push(pair);
    }
    kept.join("&")
}

/// The body is there without its framing, and whole.
fn unframe(headers: &mut HeaderMap, length: usize) {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let Some(encoding) = encoding else { return };
    let kept: Vec<&str> =
        encoding.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    match HeaderValue::from_str(&kept.join(",")) {
        Ok(value) if !value.is_empty() => drop(headers.insert(header::CONTENT_ENCODING, value)),
        _ => drop(headers.remove(header::CONTENT_ENCODING)),
    }
}

/// Clients send ETags without their quotes, too.
fn quote(headers: &mut HeaderMap, name: &'static str) {
    let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else { return };
    if value == "*" || value.starts_with('"') || value.starts_with("W/") {
        return;
    }
    if let Ok(quoted) = HeaderValue::from_str(&format!("\"{value}\"")) {
        headers.insert(name, quoted);
    }
}

async fn convert(response: HttpResponse) -> Result<ApiResponse, Fault> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|err| {
        tracing::error!(error = %err, "an answer of s3s could not be read");
        internal()
    })?;
    let body = body.to_bytes();
    if head.status.as_u16() < 400 {
        return Ok(ApiResponse { status: head.status, headers: head.headers, body, rest: None });
    }
    // What s3s itself refuses: a request that it cannot read, an operation that is not there.
    let error = Element::parse(std::str::from_utf8(&body).unwrap_or_default()).unwrap_or_default();
    let code = error.text_at(&["Code"]).unwrap_or("InternalError").to_owned();
    let message = match error.text_at(&["Message"]) {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => words(&code).to_owned(),
    };
    Err(Fault::plain(code, head.status.as_u16(), message))
}

/// AWS's words for what `s3s` says without any.
fn words(code: &str) -> &'static str {
    match code {
        "MalformedXML" => {
            "The XML you provided was not well-formed or did not validate against our published schema"
        }
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "KeyTooLongError" => "Your key is too long",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingRequestBodyError" => "Request Body is empty",
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        _ => "The request could not be understood.",
    }
}

fn invalid_uri() -> Fault {
    Fault::plain("InvalidURI", 400, words("InvalidURI"))
}

fn internal() -> Fault {
    Fault::service("InternalError", 500, "We encountered an internal error. Please try again.")
}
