//! JSON in and out.

use bytes::Bytes;
use http::StatusCode;
use nilas_wire::ApiResponse;
use serde::{Deserialize, Serialize};

use super::error::LambdaError;

/// Members of a request; an empty body has none.
pub(crate) fn decode<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, LambdaError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|err| refuse(&err))
}

/// A body that is no JSON, or a member of the wrong type.
pub(crate) fn refuse(err: &serde_json::Error) -> LambdaError {
    match err.classify() {
        serde_json::error::Category::Data => LambdaError::Serialization(conversion(err)),
        _ => LambdaError::RequestContent(err.to_string()),
    }
}

/// What AWS says of a value of the wrong type, as far as its words are known.
fn conversion(err: &serde_json::Error) -> String {
    let text = err.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let types =
        text.strip_prefix("invalid type: ").and_then(|types| types.split_once(", expected "));
    let Some((found, expected)) = types else { return text.to_owned() };
    let token = match found.split([' ', ',']).next() {
        Some("string") => "STRING_VALUE",
        Some("integer" | "floating") => "NUMBER_VALUE",
        Some("boolean") if found.contains("true") => "TRUE_VALUE",
        Some("boolean") => "FALSE_VALUE",
        Some("map") => return "Start of structure or map found where not expected.".to_owned(),
        Some("sequence") => return "Start of list found where not expected.".to_owned(),
        _ => return text.to_owned(),
    };
    let wanted = match expected {
        "a string" | "a borrowed string" => "a String",
        "a boolean" => "a Boolean",
        "i64" | "u64" | "u32" | "i32" => "an Integer",
        "f64" => "a Double",
        "a sequence" => "a List",
        _ => "a Map",
    };
    format!("{token} can not be converted to {wanted}")
}

pub(crate) fn answer<T: Serialize>(
    status: StatusCode,
    value: &T,
) -> Result<ApiResponse, LambdaError> {
    let body = serde_json::to_vec(value);
    let body = body.map_err(|source| LambdaError::Internal {
        step: "encoding an answer",
        source: source.into(),
    })?;
    Ok(ApiResponse::with_body(status, "application/json", body))
}
