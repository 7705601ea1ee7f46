//! What request validators check: parameters, and the body with its model.

use serde_json::Value;

use super::exchange::Exchange;
use super::refusal::Refusal;

pub(super) fn validate(exchange: &Exchange) -> Result<(), Refusal> {
    let Some(found) = &exchange.found else { return Err(Refusal::MissingToken) };
    let method = &found.method;
    let missing: Vec<&str> = method
        .required_parameters
        .iter()
        .filter(|name| exchange.mapped(name).is_none_or(|value| value.is_empty()))
        // `X.Y` of `method.request.header.X.Y`
        .map(|name| name.splitn(4, '.').nth(3).unwrap_or(name))
        .collect();
    if !missing.is_empty() {
        let text = format!("Missing required request parameters: [{}]", missing.join(", "));
        return Err(Refusal::BadParameters(text));
    }
    let Some(models) = &method.body_models else { return Ok(()) };
    let content_type = exchange.headers.header_text("content-type").unwrap_or("application/json");
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let model = models.get(content_type).or_else(|| models.get("$default"));
    let Some(model) = model else { return Ok(()) };
    let body: Value = if exchange.body.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(&exchange.body).map_err(|_| Refusal::BadBody)?
    };
    model.validate(&body).map_err(|error| {
        tracing::debug!(api = exchange.api.id, error, "request body refused");
        Refusal::BadBody
    })
}
