//! What services with `X-Amz-Target` and JSON bodies have in common.

use http::StatusCode;
use nilas_model::AuthContext;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Protocol, Service, encode_fault};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A tag in a request or an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// The operation that `request` asks for, empty if it names none of this service.
pub(crate) fn operation(service: Service, request: &ApiRequest) -> &str {
    let target = request.header("x-amz-target").unwrap_or_default();
    let prefix = service.target_prefix().unwrap_or_default();
    target.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default()
}

/// An absent body is an empty object.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| match error.to_string() {
        text if text.starts_with("missing field `") => {
            let member = text.split('`').nth(1).unwrap_or_default();
            let name = member[..member.len().min(1)].to_ascii_lowercase()
                + member.get(1..).unwrap_or_default();
            Fault::validation(format!(
                "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ))
        }
        text => Fault::plain("SerializationException", 400, text),
    })
}

/// `result` as `service` writes it; `Null` is an empty body.
pub(crate) fn answer(
    service: Service,
    request: &ApiRequest,
    result: Result<Value, Fault>,
) -> ApiResponse {
    let content = match service.protocol() {
        Protocol::Json10 => "application/x-amz-json-1.0",
        _ => "application/x-amz-json-1.1",
    };
    match result {
        Ok(Value::Null) => ApiResponse::with_body(StatusCode::OK, content, Vec::new()),
        Ok(body) => ApiResponse::with_body(StatusCode::OK, content, body.to_string().into_bytes()),
        Err(fault) => encode_fault(service.protocol(), &fault, &request.request_id),
    }
}

/// The fault for an operation that `service` does not have here.
pub(crate) fn unknown_operation(service: Service, operation: &str) -> Fault {
    let name = service.signing_name();
    let message = format!("nilas does not support the operation {operation} of {name}.");
    Fault::plain("UnknownOperationException", 400, message)
}

/// A fault of a broken constraint of the service's model.
pub(crate) fn constraint(name: &str, value: &str, constraint: &str) -> Fault {
    Fault::validation(format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must {constraint}"
    ))
}

/// `ACCOUNT/REGION/`, which the keys of a caller's records begin with.
pub(crate) fn scope(auth: &AuthContext) -> String {
    format!("{}/{}/", auth.account.as_str(), auth.region.as_str())
}

/// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`
pub(crate) fn arn(auth: &AuthContext, service: Service, resource: &str) -> String {
    let (region, account) = (auth.region.as_str(), auth.account.as_str());
    format!("arn:aws:{}:{region}:{account}:{resource}", service.signing_name())
}

/// A time as these protocols write it: seconds, with a fraction.
pub(crate) fn seconds(epoch_ms: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 285,000 years")]
    let seconds = epoch_ms as f64 / 1_000.0;
    seconds.into()
}

pub(crate) fn tag_list(tags: &[(String, String)]) -> Value {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

/// `new` over `tags`.
pub(crate) fn add_tags(tags: &mut Vec<(String, String)>, new: Vec<Tag>) {
    for Tag { key, value } in new {
        match tags.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => tags.push((key, value)),
        }
    }
}

/// The part of `items` behind the one that `token` names, at most `limit`, and the token of what follows. Items are in
/// the order of their names.
pub(crate) fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    limit: usize,
    name: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let behind = |item: &T| token.is_none_or(|token| name(item).as_str() > token);
    let mut rest = items.into_iter().filter(behind);
    let page: Vec<T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last().map(&name));
    (page, next)
}
