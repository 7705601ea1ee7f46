//! JSON in and out.

use bytes::Bytes;
use http::StatusCode;
use nilas_wire::ApiResponse;
use serde::{Deserialize, Serialize};

use super::error::LambdaError;

/// Members of a request; an empty body has none.
pub(crate) fn decode<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, LambdaError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|err| match err.classify() {
        serde_json::error::Category::Data => LambdaError::Serialization(err.to_string()),
        _ => LambdaError::RequestContent(err.to_string()),
    })
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
