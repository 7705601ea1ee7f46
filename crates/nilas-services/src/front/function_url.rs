//! Function URLs: a request becomes an event, what the function returns becomes the answer.
//!
//! See "Invoking Lambda function URLs" and "Control access to Lambda function URLs".

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nilas_model::limits::SYNC_PAYLOAD_BYTES_MAX;
use nilas_model::{AuthContext, Outcome};
use nilas_wire::{ApiRequest, ApiResponse, percent, time};
use serde::Serialize;
use serde_json::{Map, Value};

use super::FrontRequest;
use crate::lambda::{
    CallError, Caller, CallerPrincipal, FunctionUrl, Lambda, OpenError, Opened, Prelude, UrlAuth,
    UrlCors,
};
use crate::sts;

/// Answers a request at the URL with this id; `path` is as sent.
pub(super) async fn answer(
    lambda: &Arc<Lambda>,
    front: &FrontRequest,
    url_id: &str,
    path: &str,
) -> ApiResponse {
    let Some(url) = lambda.function_url(url_id) else { return unknown() };
    let request = &front.request;
    let origin = request.header("origin");
    if let (Some(cors), Some(origin)) = (&url.record.cors, origin)
        && request.method == Method::OPTIONS
        && request.header("access-control-request-method").is_some()
    {
        let mut response = ApiResponse::empty(StatusCode::OK);
        allow_origin(&mut response, cors, origin);
        allow_request(&mut response, cors);
        return response;
    }
    let mut response = match admit(lambda, front, &url) {
        Ok(caller) => invoke(lambda, front, &url, caller, path).await,
        Err(Forbidden) => forbidden(),
    };
    if let (Some(cors), Some(origin)) = (&url.record.cors, origin) {
        allow_origin(&mut response, cors, origin);
    }
    response
}

/// Nobody may come in so.
struct Forbidden;

/// Who calls, if he may: None is anybody.
///
/// For anybody a statement for `lambda:InvokeFunctionUrl` is enough, as it is for URLs made before October 2025: tools
/// that know only that one go on working.
fn admit<'a>(
    lambda: &Lambda,
    front: &'a FrontRequest,
    url: &FunctionUrl,
) -> Result<Option<&'a AuthContext>, Forbidden> {
    if !url.is_alive {
        return Err(Forbidden);
    }
    match (url.record.auth, &front.caller) {
        (UrlAuth::None, _) => {
            let context = [("lambda:functionurlauthtype", "NONE")];
            let caller = Caller { principal: CallerPrincipal::Anonymous, context: &context };
            let allowed = lambda.policy_allows(&url.target, &caller, "lambda:InvokeFunctionUrl");
            if allowed { Ok(None) } else { Err(Forbidden) }
        }
        (UrlAuth::Iam, Ok(caller)) if caller.account == url.target.id.account => Ok(Some(caller)),
        (UrlAuth::Iam, Ok(_) | Err(_)) => Err(Forbidden),
    }
}

async fn invoke(
    lambda: &Arc<Lambda>,
    front: &FrontRequest,
    url: &FunctionUrl,
    caller: Option<&AuthContext>,
    path: &str,
) -> ApiResponse {
    let event = Event::of(lambda.now_ms(), front, url, caller, path);
    let Ok(payload) = serde_json::to_vec(&event) else { return bad_gateway() };
    let trace = front.request.header("x-amzn-trace-id");
    let arn = url.target.arn().to_string();
    let payload = Bytes::from(payload);
    if url.record.streams {
        return Box::pin(stream(lambda, url, &arn, payload, trace)).await;
    }
    match lambda.call(&arn, payload, trace).await {
        Ok(outcome) => respond(&outcome).unwrap_or_else(bad_gateway),
        Err(error) => refuse(url, &error),
    }
}

/// Answers as soon as the function has begun to, and goes on as it does. Of a function that fails then, the answer breaks
/// off.
async fn stream(
    lambda: &Arc<Lambda>,
    url: &FunctionUrl,
    arn: &str,
    payload: Bytes,
    trace: Option<&str>,
) -> ApiResponse {
    match lambda.call_streaming(arn, payload, trace, Prelude::IfAnnounced).await {
        Ok(opened) => respond_streaming(opened).unwrap_or_else(bad_gateway),
        Err(OpenError::Call(error)) => refuse(url, &error),
        Err(OpenError::Failed | OpenError::NoPrelude) => bad_gateway(),
    }
}

/// Without status and headers of the function's own, it is 200 and bytes.
fn respond_streaming(opened: Opened) -> Option<ApiResponse> {
    let mut response = match &opened.prelude {
        Some(prelude) => {
            let prelude: Value = serde_json::from_slice(prelude).ok()?;
            let status = prelude.get("statusCode").map_or(Some(StatusCode::OK), status_code)?;
            let mut response = ApiResponse::empty(status);
            let untyped = HeaderValue::from_static("application/octet-stream");
            response.headers.insert(header::CONTENT_TYPE, untyped);
            set_headers(&mut response, &prelude)?;
            response
        }
        None => {
            let mut response = ApiResponse::empty(StatusCode::OK);
            let named = opened.content_type.as_deref().and_then(|t| HeaderValue::from_str(t).ok());
            let untyped = HeaderValue::from_static("application/octet-stream");
            response.headers.insert(header::CONTENT_TYPE, named.unwrap_or(untyped));
            response
        }
    };
    response.body = opened.start;
    response.rest = opened.rest;
    Some(response)
}

fn refuse(url: &FunctionUrl, error: &CallError) -> ApiResponse {
    match error {
        CallError::Throttled => fault(StatusCode::TOO_MANY_REQUESTS, "Rate Exceeded."),
        CallError::TooLarge { .. } => fault(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "Request payload size exceeded maximum allowed payload size ({SYNC_PAYLOAD_BYTES_MAX} bytes)."
            ),
        ),
        CallError::NotFound(_) | CallError::Arn(_) => forbidden(),
        CallError::Refused(error) => {
            tracing::info!(url = url.record.id, code = %error.code, "function url could not invoke");
            bad_gateway()
        }
    }
}

/// Payload format 2.0, in the order of AWS's documentation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    query_string_parameters: Map<String, Value>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'a str,
    api_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Authorizer<'a>>,
    domain_name: String,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: String,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
struct Authorizer<'a> {
    iam: Iam<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Iam<'a> {
    access_key: &'a str,
    account_id: &'a str,
    caller_id: String,
    cognito_identity: Option<()>,
    principal_org_id: Option<()>,
    user_arn: String,
    user_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: String,
    user_agent: &'a str,
}

impl<'a> Event<'a> {
    fn of(
        now_ms: u64,
        front: &'a FrontRequest,
        url: &'a FunctionUrl,
        caller: Option<&'a AuthContext>,
        path: &'a str,
    ) -> Self {
        let request = &front.request;
        let (body, is_base64_encoded) = body(request);
        let host = request.header("host").unwrap_or_default();
        Self {
            version: "2.0",
            route_key: "$default",
            raw_path: path,
            raw_query_string: &request.query,
            cookies: cookies(&request.headers),
            headers: headers(front),
            query_string_parameters: query(&request.query),
            request_context: RequestContext {
                account_id: caller.map_or("anonymous", |caller| caller.account.as_str()),
                api_id: &url.record.id,
                authorizer: caller.map(|caller| Authorizer { iam: Iam::of(caller) }),
                domain_name: host.split(':').next().unwrap_or(host).to_owned(),
                domain_prefix: &url.record.id,
                http: Http {
                    method: request.method.as_str(),
                    path,
                    protocol: front.protocol,
                    source_ip: front.request.source_ip.to_string(),
                    user_agent: request.header("user-agent").unwrap_or_default(),
                },
                request_id: request.request_id.to_string(),
                route_key: "$default",
                stage: "$default",
                time: time::access_log(now_ms),
                time_epoch: now_ms,
            },
            body,
            is_base64_encoded,
        }
    }
}

impl<'a> Iam<'a> {
    fn of(caller: &'a AuthContext) -> Self {
        let id = sts::caller_id(caller);
        Self {
            access_key: &caller.access_key_id,
            account_id: caller.account.as_str(),
            caller_id: id.clone(),
            cognito_identity: None,
            principal_org_id: None,
            user_arn: sts::caller_arn(caller),
            user_id: id,
        }
    }
}

/// Lower case, several values joined by commas, and what AWS's front end adds.
fn headers(front: &FrontRequest) -> BTreeMap<String, String> {
    let request = &front.request;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &request.headers {
        if name == header::COOKIE {
            continue; // In `cookies`.
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        match headers.get_mut(name.as_str()) {
            Some(values) => *values = format!("{values},{value}"),
            None => drop(headers.insert(name.as_str().to_owned(), value.into_owned())),
        }
    }
    let host = request.header("host").unwrap_or_default();
    let port = host
        .rsplit_once(':')
        .map_or_else(|| request.local.port().to_string(), |(_, port)| port.to_owned());
    let source_ip = front.request.source_ip.to_string();
    let forwarded = match headers.get("x-forwarded-for") {
        Some(before) => format!("{before}, {source_ip}"),
        None => source_ip,
    };
    headers.insert("x-forwarded-for".to_owned(), forwarded);
    headers.insert("x-forwarded-port".to_owned(), port);
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    headers
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let sent = headers.get_all(header::COOKIE).iter();
    let sent = sent.filter_map(|value| value.to_str().ok());
    let each = sent.flat_map(|value| value.split(';')).map(str::trim);
    each.filter(|cookie| !cookie.is_empty()).map(str::to_owned).collect()
}

/// Several values of one name are joined by commas.
fn query(query: &str) -> Map<String, Value> {
    let mut parameters: Map<String, Value> = Map::new();
    for (name, value) in percent::query_pairs(query) {
        match parameters.get_mut(name.as_ref()) {
            Some(Value::String(values)) => {
                values.push(',');
                values.push_str(&value);
            }
            _ => drop(parameters.insert(name.into_owned(), value.into_owned().into())),
        }
    }
    parameters
}

/// The body as it is if it is text and said to be, else in base64.
fn body(request: &ApiRequest) -> (Option<String>, bool) {
    const TEXT: [&str; 4] = ["text", "json", "xml", "javascript"];
    if request.body.is_empty() {
        return (None, false);
    }
    let content_type = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let is_text = TEXT.iter().any(|kind| content_type.contains(kind));
    match std::str::from_utf8(&request.body) {
        Ok(text) if is_text => (Some(text.to_owned()), false),
        _ => (Some(BASE64.encode(&request.body)), true),
    }
}

/// The answer that the function means; None if it means none, or failed.
fn respond(outcome: &Outcome) -> Option<ApiResponse> {
    if outcome.error.is_some() {
        return None;
    }
    let result: Value = serde_json::from_slice(&outcome.payload).ok()?;
    let Some(status) = result.get("statusCode") else {
        let body = match result {
            Value::String(text) => Bytes::from(text),
            _ => outcome.payload.clone(),
        };
        return Some(ApiResponse::with_body(StatusCode::OK, "application/json", body));
    };
    let mut response =
        ApiResponse::with_body(status_code(status)?, "application/json", body_of(&result)?);
    set_headers(&mut response, &result)?;
    Some(response)
}

/// `headers` and `cookies`; None if one of them is none.
fn set_headers(response: &mut ApiResponse, result: &Value) -> Option<()> {
    for (name, value) in result.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = match value {
            Value::String(text) => HeaderValue::from_str(text).ok()?,
            Value::Number(_) | Value::Bool(_) => HeaderValue::from_str(&value.to_string()).ok()?,
            _ => continue,
        };
        if !is_ours(&name) {
            response.headers.insert(name, value);
        }
    }
    for cookie in result.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        let cookie = HeaderValue::from_str(cookie.as_str()?).ok()?;
        response.headers.append(header::SET_COOKIE, cookie);
    }
    Some(())
}

fn status_code(status: &Value) -> Option<StatusCode> {
    let number = match status {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let status = StatusCode::from_u16(u16::try_from(number).ok()?).ok()?;
    // 1xx announce another answer.
    (!status.is_informational() && number < 600).then_some(status)
}

fn body_of(result: &Value) -> Option<Bytes> {
    let text = match result.get("body") {
        None | Some(Value::Null) => return Some(Bytes::new()),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match result.get("isBase64Encoded").and_then(Value::as_bool) {
        Some(true) => BASE64.decode(text).ok().map(Bytes::from),
        _ => Some(Bytes::from(text)),
    }
}

/// What only the server can say of its own connection and message.
fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 5] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::DATE,
    ];
    OURS.contains(name)
}

/// The headers of `Cors` that go with every answer; they take the place of the function's own.
fn allow_origin(response: &mut ApiResponse, cors: &UrlCors, origin: &str) {
    let mut origins = cors.allow_origins.iter().flatten();
    let Some(allowed) =
        origins.find(|allowed| matches!(allowed.as_str(), "*") || *allowed == origin)
    else {
        return;
    };
    response.set_header("access-control-allow-origin", allowed);
    if allowed != "*" {
        response.set_header("vary", "Origin");
    }
    if cors.allow_credentials == Some(true) {
        response.set_header("access-control-allow-credentials", "true");
    }
    if let Some(headers) = &cors.expose_headers {
        response.set_header("access-control-expose-headers", &headers.join(","));
    }
}

/// What a preflight asks for besides.
fn allow_request(response: &mut ApiResponse, cors: &UrlCors) {
    if let Some(methods) = &cors.allow_methods {
        response.set_header("access-control-allow-methods", &methods.join(","));
    }
    if let Some(headers) = &cors.allow_headers {
        response.set_header("access-control-allow-headers", &headers.join(","));
    }
    if let Some(seconds) = cors.max_age_s {
        response.set_header("access-control-max-age", &seconds.to_string());
    }
}

/// An id that no URL has.
fn unknown() -> ApiResponse {
    let mut response =
        ApiResponse::with_body(StatusCode::FORBIDDEN, "application/json", r#"{"Message":null}"#);
    response.set_header("x-amzn-errortype", "AccessDeniedException");
    response
}

fn forbidden() -> ApiResponse {
    let mut response = fault(
        StatusCode::FORBIDDEN,
        "Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html",
    );
    response.set_header("x-amzn-errortype", "AccessDeniedException");
    response
}

/// The function failed, or what it returned is no answer.
fn bad_gateway() -> ApiResponse {
    ApiResponse::with_body(StatusCode::BAD_GATEWAY, "application/json", "Internal Server Error")
}

/// `{"Message":"…"}`
fn fault(status: StatusCode, message: &str) -> ApiResponse {
    let body = serde_json::json!({ "Message": message }).to_string();
    ApiResponse::with_body(status, "application/json", body)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use nilas_model::{FunctionErrorKind, Report};

    use super::*;

    fn check(payload: &str, error: Option<FunctionErrorKind>, expected: Expect) {
        let payload = Bytes::from(payload.to_owned());
        let outcome = Outcome { payload, error, log_tail: None, report: Report::default() };
        let response = respond(&outcome).unwrap_or_else(bad_gateway);
        let headers = response
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()));
        let headers: Vec<String> = headers.collect();
        let body = String::from_utf8_lossy(&response.body);
        let status = response.status.as_u16();
        expected.assert_eq(&format!("{status} [{}] {body}", headers.join(", ")));
    }

    #[test]
    fn what_a_function_returns_becomes_an_answer() {
        check(
            r#"{"hello":"world"}"#,
            None,
            expect![[r#"200 [content-type: application/json] {"hello":"world"}"#]],
        );
        check(r#""hello""#, None, expect!["200 [content-type: application/json] hello"]);
        check("null", None, expect!["200 [content-type: application/json] null"]);
        check(
            r#"{"statusCode":201,"headers":{"X-A":"1","content-type":"text/plain","Content-Length":"9"},"cookies":["a=1","b=2"],"body":"made"}"#,
            None,
            expect![
                "201 [content-type: text/plain, x-a: 1, set-cookie: a=1, set-cookie: b=2] made"
            ],
        );
        check(
            r#"{"statusCode":200,"body":"aGk=","isBase64Encoded":true}"#,
            None,
            expect!["200 [content-type: application/json] hi"],
        );
        check(
            r#"{"statusCode":200,"body":{"a":1}}"#,
            None,
            expect![[r#"200 [content-type: application/json] {"a":1}"#]],
        );
    }

    #[test]
    fn what_is_no_answer_is_a_bad_gateway() {
        check(
            r#"{"errorMessage":"x"}"#,
            Some(FunctionErrorKind::Unhandled),
            expect!["502 [content-type: application/json] Internal Server Error"],
        );
        check(
            r#"{"statusCode":99}"#,
            None,
            expect!["502 [content-type: application/json] Internal Server Error"],
        );
        check(
            r#"{"statusCode":"x"}"#,
            None,
            expect!["502 [content-type: application/json] Internal Server Error"],
        );
        check(
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            None,
            expect!["502 [content-type: application/json] Internal Server Error"],
        );
        check(
            r#"{"statusCode":200,"body":"?","isBase64Encoded":true}"#,
            None,
            expect!["502 [content-type: application/json] Internal Server Error"],
        );
    }

    #[test]
    fn values_of_one_name_are_joined() {
        let parameters = query("a=1&b=%2F&a=2&c");
        assert_eq!(serde_json::json!({"a": "1,2", "b": "/", "c": ""}), Value::Object(parameters));
        let mut sent = HeaderMap::new();
        sent.append(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
        sent.append(header::COOKIE, HeaderValue::from_static("c=3"));
        assert_eq!(cookies(&sent), ["a=1", "b=2", "c=3"]);
    }
}
