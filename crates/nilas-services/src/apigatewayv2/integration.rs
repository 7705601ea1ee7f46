//! What integrations of HTTP APIs must be, and how they change.

use nilas_wire::Fault;
use serde_json::{Value, json};

use super::fault::{absent, bad};
use super::members::{Members, text};
use crate::front::http::parameters::{Change, Flaw, Side};

const PARAMETERS: [&str; 2] = ["requestParameters", "responseParameters"];
const VERBS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Puts `taken` over what there is. Mappings are merged: an empty text, or an empty object for a status, takes one away.
pub(super) fn merge(integration: &mut Members, mut taken: Members) {
    for name in PARAMETERS {
        let Some(Value::Object(new)) = taken.remove(name) else { continue };
        let known = integration.entry(name).or_insert_with(|| json!({}));
        let Some(known) = known.as_object_mut() else { continue };
        for (key, value) in new {
            match value {
                Value::String(text) if text.is_empty() => drop(known.remove(&key)),
                Value::Object(inner) if inner.is_empty() => drop(known.remove(&key)),
                Value::Object(inner) => {
                    let of_status = known.entry(key).or_insert_with(|| json!({}));
                    if let Some(of_status) = of_status.as_object_mut() {
                        of_status.extend(inner);
                        of_status.retain(|_, value| value != "");
                    }
                }
                value => drop(known.insert(key, value)),
            }
        }
        if known.is_empty() {
            integration.remove(name);
        }
    }
    integration.extend(taken);
}

/// What is here is what the data plane does; all else is refused rather than kept without effect.
pub(super) fn complete(integration: &mut Members) -> Result<(), Fault> {
    match text(integration, "integrationType") {
        Some("AWS_PROXY") => complete_function(integration)?,
        Some("HTTP_PROXY") => complete_backend(integration)?,
        Some(kind @ ("AWS" | "HTTP" | "MOCK")) => {
            let text = format!("Integration type {kind} is not supported for HTTP protocol APIs");
            return Err(bad(text));
        }
        _ => return Err(bad("Invalid integration type specified")),
    }
    check_mappings(integration)?;
    integration.entry("connectionType").or_insert(json!("INTERNET"));
    integration.entry("timeoutInMillis").or_insert(json!(30_000));
    match integration["timeoutInMillis"].as_i64() {
        Some(50..=30_000) => Ok(()),
        _ => Err(bad("Timeout should be between 50 ms and 30000 ms")),
    }
}

fn complete_function(integration: &mut Members) -> Result<(), Fault> {
    if let Some(subtype) = text(integration, "integrationSubtype") {
        return Err(absent(format_args!("integrations of HTTP APIs with {subtype}")));
    }
    if text(integration, "connectionType") == Some("VPC_LINK") {
        return Err(bad("VPC links are supported for HTTP_PROXY integrations only"));
    }
    if text(integration, "integrationUri").is_none_or(|uri| !uri.starts_with("arn:")) {
        return Err(bad("Invalid Integration URI specified"));
    }
    match text(integration, "payloadFormatVersion") {
        Some("1.0" | "2.0") => {}
        _ => {
            return Err(bad(
                "PayloadFormatVersion is a required parameter for an AWS_PROXY integration and must be one of [1.0, 2.0]",
            ));
        }
    }
    integration.entry("integrationMethod").or_insert(json!("POST"));
    Ok(())
}

fn complete_backend(integration: &mut Members) -> Result<(), Fault> {
    let uri = text(integration, "integrationUri").unwrap_or_default();
    match text(integration, "connectionType") {
        Some("VPC_LINK") => {
            if text(integration, "connectionId").is_none_or(str::is_empty) {
                return Err(bad("ConnectionId must be specified for connection type VPC_LINK"));
            }
            if !uri.starts_with("arn:") {
                return Err(bad(
                    "For VpcLink, the integration URI should be a valid ELB listener ARN or a valid Cloud Map service ARN.",
                ));
            }
        }
        None | Some("INTERNET") => {
            let host = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
                return Err(bad("Invalid HTTP endpoint specified for URI"));
            }
        }
        Some(_) => return Err(bad("Invalid connection type specified")),
    }
    match text(integration, "integrationMethod") {
        Some(verb) if VERBS.contains(&verb) => {}
        Some(_) => return Err(bad("Invalid HTTP method specified")),
        None => return Err(bad("HttpMethod must be specified for an HTTP_PROXY integration")),
    }
    match integration.entry("payloadFormatVersion").or_insert(json!("1.0")).as_str() {
        Some("1.0") => Ok(()),
        _ => Err(bad("PayloadFormatVersion must be 1.0 for an HTTP_PROXY integration")),
    }
}

fn check_mappings(integration: &Members) -> Result<(), Fault> {
    if let Some(mapping) = integration.get("requestParameters") {
        check_mapping(Side::Request, mapping)?;
    }
    let responses = integration.get("responseParameters").and_then(Value::as_object);
    for (status, mapping) in responses.into_iter().flatten() {
        if !status.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)) {
            return Err(bad(format!("Invalid response status code specified: {status}")));
        }
        check_mapping(Side::Response, mapping)?;
    }
    Ok(())
}

fn check_mapping(side: Side, mapping: &Value) -> Result<(), Fault> {
    let invalid = |flaw: Flaw| {
        bad(format!(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : [{flaw}]"
        ))
    };
    for (destination, expression) in mapping.as_object().into_iter().flatten() {
        let expression = expression.as_str().unwrap_or_default();
        Change::parse(side, destination, expression).map_err(invalid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_merged() {
        let mut integration = Members::new();
        let object = |value: Value| value.as_object().cloned().unwrap();
        merge(
            &mut integration,
            object(json!({
                "requestParameters": { "append:header.a": "x", "append:header.b": "y" },
                "responseParameters": { "200": { "append:header.a": "x" }, "404": { "append:header.b": "y" } },
            })),
        );
        merge(
            &mut integration,
            object(json!({
                "requestParameters": { "append:header.a": "", "append:header.c": "z" },
                "responseParameters": { "200": {}, "404": { "overwrite:statuscode": "403" } },
            })),
        );
        assert_eq!(
            Value::from(integration),
            json!({
                "requestParameters": { "append:header.b": "y", "append:header.c": "z" },
                "responseParameters": { "404": { "append:header.b": "y", "overwrite:statuscode": "403" } },
            })
        );
    }
}
