//! What a client gets of what a function answered.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use nilas_wire::ApiResponse;
use serde_json::{Map, Value};

/// The answer that `payload` says; none if it says none, which is an error of the function's.
pub(super) fn of(payload: &[u8], is_v2: bool) -> Option<ApiResponse> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    match value {
        Value::Object(said) if said.contains_key("statusCode") => structured(&said, is_v2),
        value if is_v2 => Some(inferred(value, payload)),
        _ => None,
    }
}

/// Format 2.0: whatever is no answer is the body of one.
fn inferred(value: Value, payload: &[u8]) -> ApiResponse {
    let body = match value {
        Value::String(text) => Bytes::from(text),
        _ => Bytes::copy_from_slice(payload),
    };
    ApiResponse::with_body(StatusCode::OK, "application/json", body)
}

fn structured(said: &Map<String, Value>, is_v2: bool) -> Option<ApiResponse> {
    let status = match said.get("statusCode")? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    let is_base64 = said.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or_default();
    let body = match said.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) if is_base64 => BASE64.decode(text).ok()?.into(),
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(_) => return None,
    };
    let mut response = ApiResponse { body, ..ApiResponse::empty(status) };
    let members = |name: &str| said.get(name).and_then(Value::as_object).into_iter().flatten();
    for (name, value) in members("headers") {
        response.headers.remove(name.as_str());
        append(&mut response, name, value);
    }
    if !is_v2 {
        for (name, values) in members("multiValueHeaders") {
            response.headers.remove(name.as_str());
            for value in values.as_array().into_iter().flatten() {
                append(&mut response, name, value);
            }
        }
    }
    if is_v2 {
        let cookies = said.get("cookies").and_then(Value::as_array).into_iter().flatten();
        for cookie in cookies {
            append(&mut response, "set-cookie", cookie);
        }
    }
    if !response.headers.contains_key(header::CONTENT_TYPE) && !response.body.is_empty() {
        let plain = HeaderValue::from_static("text/plain;charset=UTF-8");
        response.headers.insert(header::CONTENT_TYPE, plain);
    }
    Some(response)
}

/// The connection's headers are the server's own.
fn append(response: &mut ApiResponse, name: &str, value: &Value) {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return,
    };
    let lower = name.to_ascii_lowercase();
    if ["connection", "content-length", "transfer-encoding", "keep-alive", "upgrade"]
        .contains(&lower.as_str())
    {
        return;
    }
    if let (Ok(name), Ok(value)) = (lower.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
        response.headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &str, is_v2: bool) -> String {
        let Some(response) = of(payload.as_bytes(), is_v2) else { return "error".to_owned() };
        let mut shown = response.status.as_u16().to_string();
        for (name, value) in &response.headers {
            shown += &format!(" {name}={}", value.to_str().unwrap());
        }
        format!("{shown} {}", String::from_utf8_lossy(&response.body))
    }

    #[test]
    fn answers_are_as_the_payload_format_says() {
        for (payload, v2, v1) in [
            (r#""Hello""#, "200 content-type=application/json Hello", "error"),
            (r#"{"a":1}"#, r#"200 content-type=application/json {"a":1}"#, "error"),
            (
                r#"{"statusCode":201,"body":"x","cookies":["a=1","b=2"]}"#,
                "201 set-cookie=a=1 set-cookie=b=2 content-type=text/plain;charset=UTF-8 x",
                "201 content-type=text/plain;charset=UTF-8 x",
            ),
            (
                r#"{"statusCode":200,"headers":{"Content-Type":"a/b"},"body":"eA==","isBase64Encoded":true}"#,
                "200 content-type=a/b x",
                "200 content-type=a/b x",
            ),
            (r#"{"statusCode":"x"}"#, "error", "error"),
            (r#"{"statusCode":200,"body":{}}"#, "error", "error"),
        ] {
            assert_eq!(shown(payload, true), v2, "{payload}");
            assert_eq!(shown(payload, false), v1, "{payload}");
        }
    }
}
