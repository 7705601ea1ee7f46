//! What may be asked without a key: whether the server is there.

use http::{Method, StatusCode};
use nilas_wire::ApiResponse;
use serde_json::json;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The answer to a request that needs no signature; `None` for all others.
pub(crate) fn answer(method: &Method, path: &str, query: &str) -> Option<ApiResponse> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    match path {
        "/health" => Some(json_response(&json!({ "status": "ok", "version": VERSION }))),
        // LocalStack's clients (its Testcontainers module, `localstack wait`, samlocal) read `services`.
        "/_localstack/health" => Some(json_response(&json!({
            "services": {
                "apigateway": "running",
                "lambda": "running",
                "logs": "running",
                "s3": "running",
                "sts": "running",
            },
            "edition": "community",
            "version": VERSION,
        }))),
        "/" if query.is_empty() => {
            let text = format!(
                "nilas {VERSION} speaks AWS's API here. Try: aws lambda list-functions --endpoint-url URL\n"
            );
            Some(ApiResponse::with_body(StatusCode::OK, "text/plain; charset=utf-8", text))
        }
        _ => None,
    }
}

fn json_response(value: &serde_json::Value) -> ApiResponse {
    ApiResponse::with_body(StatusCode::OK, "application/json", value.to_string())
}
