//! Lambda.

pub(super) mod alias;
pub(super) mod event_invoke_config;
pub(super) mod event_source_mapping;
pub(super) mod function;
mod inline_code;
pub(super) mod layer_version;
pub(super) mod layer_version_permission;
pub(super) mod permission;
pub(super) mod url;
pub(super) mod version;

use std::time::Duration;

use http::Method;
use nilas_model::limits::{FUNCTION_POLL_MS, FUNCTION_STABLE_MS_MAX};
use nilas_wire::{Service, percent};
use serde_json::{Map, Value, json};

use crate::calls::Refusal;
use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property};

/// `ProvisionedConcurrencyConfig` of versions and aliases.
const PROVISIONED: &[Property] = &[Property::integer("ProvisionedConcurrentExecutions").required()];

async fn call(cx: &Cx, method: Method, path: &str, body: Option<Value>) -> Result<Value, Refusal> {
    cx.calls.rest(Service::Lambda, &cx.auth, method, path, body).await
}

/// `/2015-03-31/functions/NAME` and what follows. `name` may be an ARN.
fn function_path(name: &str, rest: &str) -> String {
    format!("/2015-03-31/functions/{}{rest}", percent::encode(name))
}

/// The member of an answer that always has it.
fn text(answer: &Value, member: &str) -> Result<String, Failure> {
    let text = answer.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Failure::no_member(member))
}

/// Name and qualifier of a function's name or ARN, each as it is sent.
fn split_qualifier(function: &str) -> (&str, Option<&str>) {
    let parts = function.split(':').count();
    let has_qualifier = if function.starts_with("arn:") { parts > 7 } else { parts == 2 };
    match function.rsplit_once(':').filter(|_| has_qualifier) {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (function, None),
    }
}

/// Waits until a function or version is Active and no update of it is going on; its configuration then.
async fn stable(cx: &Cx, name: &str, qualifier: Option<&str>) -> Result<Value, Failure> {
    let query = qualifier.map(|qualifier| format!("?Qualifier={}", percent::encode(qualifier)));
    let path = function_path(name, &format!("/configuration{}", query.unwrap_or_default()));
    let until = cx.clock.epoch_ms() + FUNCTION_STABLE_MS_MAX;
    loop {
        let found = call(cx, Method::GET, &path, None).await?;
        let member = |member: &str| found.get(member).and_then(Value::as_str);
        let failed = |reason: &str| {
            let reason = member(reason).unwrap_or("The function could not be made ready.");
            Failure::handler(HandlerErrorCode::NotStabilized, reason)
        };
        match (member("State"), member("LastUpdateStatus")) {
            (Some("Failed"), _) => return Err(failed("StateReason")),
            (_, Some("Failed")) => return Err(failed("LastUpdateStatusReason")),
            (Some("Active"), Some("Successful")) => return Ok(found),
            _ if cx.clock.epoch_ms() > until => return Err(failed("StateReason")),
            _ => tokio::time::sleep(Duration::from_millis(FUNCTION_POLL_MS)).await,
        }
    }
}

/// Sets, changes or ends the provisioned concurrency of an alias or a version, and waits until it is there.
async fn provision(
    cx: &Cx,
    name: &str,
    qualifier: &str,
    properties: &Properties,
) -> Result<(), Failure> {
    let path = format!(
        "/2019-09-30/functions/{}/provisioned-concurrency?Qualifier={}",
        percent::encode(name),
        percent::encode(qualifier)
    );
    let Some(config) = properties.get("ProvisionedConcurrencyConfig") else {
        call(cx, Method::DELETE, &path, None).await?;
        return Ok(());
    };
    call(cx, Method::PUT, &path, Some(config.clone())).await?;
    let until = cx.clock.epoch_ms() + FUNCTION_STABLE_MS_MAX;
    loop {
        let found = call(cx, Method::GET, &path, None).await?;
        match found.get("Status").and_then(Value::as_str) {
            Some("READY") => return Ok(()),
            Some("IN_PROGRESS") if cx.clock.epoch_ms() < until => {
                tokio::time::sleep(Duration::from_millis(FUNCTION_POLL_MS)).await;
            }
            _ => {
                let reason = found.get("StatusReason").and_then(Value::as_str);
                let reason = reason.unwrap_or("The provisioned concurrency did not get ready.");
                return Err(Failure::handler(HandlerErrorCode::NotStabilized, reason));
            }
        }
    }
}

fn object(members: Map<String, Value>) -> Option<Value> {
    Some(json!(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_with_and_without_qualifier() {
        for (function, name, qualifier) in [
            ("f", "f", None),
            ("f:live", "f", Some("live")),
            ("arn:aws:lambda:r:0:function:f", "arn:aws:lambda:r:0:function:f", None),
            ("arn:aws:lambda:r:0:function:f:1", "arn:aws:lambda:r:0:function:f", Some("1")),
        ] {
            assert_eq!(split_qualifier(function), (name, qualifier));
        }
    }
}
