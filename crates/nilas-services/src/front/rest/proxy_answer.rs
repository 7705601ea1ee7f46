//! What a function with proxy integration answers.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use nilas_wire::ApiResponse;
use serde::Deserialize;
use serde_json::{Map, Value};

/// No member is required, and no other is taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Answer {
    status_code: Option<Value>,
    headers: Option<Map<String, Value>>,
    multi_value_headers: Option<Map<String, Value>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// Headers that are API Gateway's own; a backend's are shown under another name.
const REMAPPED: [&str; 6] =
    ["connection", "content-length", "date", "host", "server", "www-authenticate"];

/// The response that `payload` describes; none if it is malformed. `wants_binary` says that what is base64 is for a
/// client that takes bytes.
pub(super) fn response(payload: &[u8], wants_binary: bool) -> Option<ApiResponse> {
    let answer: Answer = serde_json::from_slice(payload).ok()?;
    let mut response = ApiResponse::empty(status(answer.status_code.as_ref())?);
    response.headers.insert("content-type", HeaderValue::from_static("application/json"));
    let single = answer.headers.unwrap_or_default();
    set_all(&mut response, single, answer.multi_value_headers.unwrap_or_default())?;
    let body = answer.body.unwrap_or_default();
    response.body = if answer.is_base64_encoded == Some(true) && wants_binary {
        BASE64.decode(&body).map_or_else(|_| Bytes::from(body), Bytes::from)
    } else {
        Bytes::from(body)
    };
    Some(response)
}

/// Sets the headers of both members; None if one of them is malformed.
fn set_all(
    response: &mut ApiResponse,
    single: Map<String, Value>,
    multi: Map<String, Value>,
) -> Option<()> {
    let mut seen: Vec<(String, Vec<String>)> = Vec::new();
    for (name, values) in &multi {
        let values = values.as_array()?.iter().map(scalar).collect::<Option<Vec<_>>>()?;
        seen.push((name.to_ascii_lowercase(), values));
    }
    for (name, value) in &single {
        // Neither given nor missing: AWS leaves it out.
        if value.is_null() {
            continue;
        }
        let (name, value) = (name.to_ascii_lowercase(), scalar(value)?);
        match seen.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => values.push(value),
            None => seen.push((name, vec![value])),
        }
    }
    for (name, values) in seen {
        set(response, &name, &values);
    }
    Some(())
}

/// Status and headers that a function streams in front of its body; none if they are malformed.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html>
pub(super) fn head(prelude: &[u8]) -> Option<ApiResponse> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Prelude {
        status_code: Option<Value>,
        headers: Option<Map<String, Value>>,
        multi_value_headers: Option<Map<String, Value>>,
        cookies: Option<Vec<String>>,
    }
    let Prelude { status_code, headers, multi_value_headers, cookies } =
        serde_json::from_slice(prelude).ok()?;
    let mut response = ApiResponse::empty(status(status_code.as_ref())?);
    response.headers.insert("content-type", HeaderValue::from_static("application/json"));
    set_all(&mut response, headers.unwrap_or_default(), multi_value_headers.unwrap_or_default())?;
    for cookie in cookies.into_iter().flatten() {
        response.headers.append("set-cookie", HeaderValue::from_str(&cookie).ok()?);
    }
    Some(response)
}

fn status(code: Option<&Value>) -> Option<StatusCode> {
    let code = match code {
        None | Some(Value::Null) => 200,
        Some(Value::Number(number)) => u16::try_from(number.as_u64()?).ok()?,
        Some(Value::String(text)) => text.parse().ok()?,
        Some(_) => return None,
    };
    StatusCode::from_u16(code).ok().filter(|_| (200..=599).contains(&code))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Sets a header of a backend's, under its own name or the one it is remapped to.
pub(super) fn set(response: &mut ApiResponse, name: &str, values: &[String]) {
    let name = name.to_ascii_lowercase();
    if name == "transfer-encoding" {
        return;
    }
    let name =
        if REMAPPED.contains(&name.as_str()) { format!("x-amzn-remapped-{name}") } else { name };
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
    response.headers.remove(&name);
    for value in values {
        // As bytes: a function may write UTF-8.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            response.headers.append(&name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(payload: &str, expected: Expect) {
        let shown = match response(payload.as_bytes(), true) {
            None => "malformed".to_owned(),
            Some(response) => {
                let mut shown = response.status.as_u16().to_string();
                let value = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                let mut headers: Vec<_> =
                    response.headers.iter().map(|(name, v)| (name.to_string(), value(v))).collect();
                // Of one name they stay in their order.
                headers.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (name, value) in headers {
                    shown += &format!(" {name}={value}");
                }
                format!("{shown} {}", String::from_utf8_lossy(&response.body))
            }
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn answers_are_taken_as_aws_takes_them() {
        check("{}", expect!["200 content-type=application/json "]);
        check(r#"{"statusCode":201,"body":"x"}"#, expect!["201 content-type=application/json x"]);
        check(r#"{"statusCode":"404"}"#, expect!["404 content-type=application/json "]);
        check(
            r#"{"headers":{"Content-Type":"text/html","X-A":true,"Date":"d"},"multiValueHeaders":{"x-a":["1","true"],"Set-Cookie":["a=1","b=2"]}}"#,
            expect![
                "200 content-type=text/html set-cookie=a=1 set-cookie=b=2 x-a=1 x-a=true x-amzn-remapped-date=d "
            ],
        );
        check(
            r#"{"body":"aGk=","isBase64Encoded":true}"#,
            expect!["200 content-type=application/json hi"],
        );
    }

    #[test]
    fn anything_else_is_malformed() {
        for payload in [
            "null",
            "\"text\"",
            "[]",
            "{",
            r#"{"body":{}}"#,
            r#"{"statusCode":"x"}"#,
            r#"{"statusCode":99}"#,
            r#"{"headers":[]}"#,
            r#"{"cookies":[]}"#,
            r#"{"errorMessage":"boom"}"#,
        ] {
            check(payload, expect!["malformed"]);
        }
    }
}
