//! What routes, integrations and authorizers of WebSocket APIs must be.

use nilas_wire::Fault;
use serde_json::json;

use super::fault::{absent, bad};
use super::members::{self, Members, text};
use crate::front::body_path;

/// The expression that selects a message's route.
pub(super) fn check_selection(expression: Option<&str>) -> Result<(), Fault> {
    match expression {
        None => Err(bad("RouteSelectionExpression is a required parameter for WEBSOCKET APIs")),
        Some(expression) if body_path(expression).is_none() => Err(absent(
            "route selection expressions of WebSocket APIs other than $request.body.NAME",
        )),
        Some(_) => Ok(()),
    }
}

pub(super) fn check_route(route: &Members) -> Result<(), Fault> {
    let key = text(route, "routeKey").unwrap_or_default();
    let is_own = ["$connect", "$disconnect", "$default"].contains(&key);
    if key.is_empty() || key.len() > 512 || key.starts_with('$') && !is_own {
        return Err(bad("The provided route key is not formatted properly for WEBSOCKET protocol"));
    }
    match text(route, "authorizationType") {
        Some("NONE") => Ok(()),
        Some("JWT") => Err(bad("JWT authorizers are supported for HTTP APIs only")),
        _ if key != "$connect" => {
            Err(bad("Currently, authorization is restricted to the $connect route only"))
        }
        _ => Ok(()),
    }
}

pub(super) fn complete_integration(integration: &mut Members) -> Result<(), Fault> {
    match text(integration, "integrationType") {
        Some("AWS_PROXY") => {}
        Some(kind @ ("HTTP_PROXY" | "AWS" | "HTTP" | "MOCK")) => {
            return Err(absent(format_args!("{kind} integrations of WebSocket APIs")));
        }
        _ => return Err(bad("Invalid integration type specified")),
    }
    if text(integration, "integrationUri").is_none_or(|uri| !uri.starts_with("arn:")) {
        return Err(bad("Invalid Integration URI specified"));
    }
    integration.entry("connectionType").or_insert(json!("INTERNET"));
    integration.entry("integrationMethod").or_insert(json!("POST"));
    integration.entry("passthroughBehavior").or_insert(json!("WHEN_NO_MATCH"));
    integration.entry("payloadFormatVersion").or_insert(json!("1.0"));
    integration.entry("timeoutInMillis").or_insert(json!(29_000));
    match integration["timeoutInMillis"].as_i64() {
        Some(50..=29_000) => Ok(()),
        _ => Err(bad("Timeout should be between 50 ms and 29000 ms")),
    }
}

pub(super) fn complete_authorizer(authorizer: &Members) -> Result<(), Fault> {
    if text(authorizer, "name").is_none_or(str::is_empty) {
        return Err(bad("Authorizer name must not be empty"));
    }
    if text(authorizer, "authorizerType") != Some("REQUEST") {
        return Err(bad("WebSocket APIs only support REQUEST authorizers"));
    }
    if text(authorizer, "authorizerUri").is_none_or(|uri| !uri.starts_with("arn:")) {
        return Err(bad("Invalid Authorizer URI"));
    }
    let known =
        ["route.request.header.", "route.request.querystring.", "stageVariables.", "context."];
    let is_known = |source: &String| known.iter().any(|known| source.starts_with(known));
    if !members::texts(authorizer, "identitySource").iter().all(is_known) {
        return Err(bad("Invalid identity source of a WebSocket API's authorizer"));
    }
    Ok(())
}
