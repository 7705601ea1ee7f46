//! API Gateway, REST APIs.

pub(super) mod account;
pub(super) mod api_key;
pub(super) mod authorizer;
pub(super) mod base_path_mapping;
pub(super) mod deployment;
pub(super) mod domain_name;
pub(super) mod gateway_response;
pub(super) mod method;
pub(super) mod model;
pub(super) mod request_validator;
pub(super) mod resource;
pub(super) mod rest_api;
pub(super) mod stage;
pub(super) mod usage_plan;
pub(super) mod usage_plan_key;

use http::Method;
use nilas_wire::{Service, percent};
use serde_json::{Map, Value, json};

use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property};

const ENDPOINT: &[Property] = &[
    Property::list("Types", &crate::cloudformation::resource::Shape::Text),
    Property::text("IpAddressType"),
    Property::list("VpcEndpointIds", &crate::cloudformation::resource::Shape::Text),
];

async fn call(
    cx: &Cx,
    method: Method,
    target: &str,
    body: Option<Value>,
) -> Result<Value, Failure> {
    Ok(cx.calls.rest(Service::ApiGateway, &cx.auth, method, target, body).await?)
}

async fn get(cx: &Cx, target: &str) -> Result<Value, Failure> {
    call(cx, Method::GET, target, None).await
}

async fn post(cx: &Cx, target: &str, body: impl Into<Value>) -> Result<Value, Failure> {
    call(cx, Method::POST, target, Some(body.into())).await
}

async fn put(cx: &Cx, target: &str, body: impl Into<Value>) -> Result<Value, Failure> {
    call(cx, Method::PUT, target, Some(body.into())).await
}

async fn delete(cx: &Cx, target: &str) -> Result<(), Failure> {
    call(cx, Method::DELETE, target, None).await.map(drop)
}

/// Applies `operations`; nothing is asked if there are none.
async fn patch(cx: &Cx, target: &str, operations: Vec<Value>) -> Result<(), Failure> {
    if operations.is_empty() {
        return Ok(());
    }
    let body = json!({ "patchOperations": operations });
    call(cx, Method::PATCH, target, Some(body)).await.map(drop)
}

/// The text `name` of an answer.
fn member(answer: &Value, name: &'static str) -> Result<String, Failure> {
    answer[name].as_str().map(str::to_owned).ok_or_else(|| Failure::no_member(name))
}

/// What CloudFormation writes as `PathPart` the API has as `pathPart`.
fn lower(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// The properties `names` under the API's names.
fn body(properties: &Properties, names: &[&str]) -> Map<String, Value> {
    let picked = properties.pick(names);
    picked.into_iter().map(|(name, value)| (lower(&name), value)).collect()
}

/// An object's members under the API's names; their values as they are.
fn lowered(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (lower(name), value.clone())).collect()
        }
        other => other.clone(),
    }
}

/// A patch of one place: to `value`, or away with it.
fn operation(path: &str, value: Option<&Value>) -> Value {
    match value {
        None => json!({ "op": "remove", "path": path }),
        Some(value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({ "op": "replace", "path": path, "value": text })
        }
    }
}

/// Patches for those of the properties `names` that `change` changes.
fn operations(change: Change<'_>, names: &[&str]) -> Vec<Value> {
    let changed = names.iter().filter(|name| change.new.differs(change.old, name));
    changed
        .map(|name| {
            let value = change.new.get(name).map(lowered);
            operation(&format!("/{}", lower(name)), value.as_ref())
        })
        .collect()
}

/// The items of a list, all its pages.
async fn list(cx: &Cx, target: &str) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let mut position = String::new();
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let page = get(cx, &format!("{target}{mark}limit=500{position}")).await?;
        items.extend(page["item"].as_array().into_iter().flatten().cloned());
        match page["position"].as_str() {
            Some(next) => position = format!("&position={}", percent::encode(next)),
            None => return Ok(items),
        }
    }
}

/// Tags for the API, CloudFormation's among them.
fn tags(cx: &Cx, properties: &Properties) -> Value {
    let tags = cx.tags(properties).into_iter();
    Value::Object(tags.map(|(key, value)| (key, value.into())).collect())
}

/// What a creation that was cut short had made, told by its tags.
async fn ours(cx: &Cx, target: &str) -> Result<Option<Value>, Failure> {
    if !cx.resumed {
        return Ok(None);
    }
    let is_ours = |item: &Value| {
        let tags = item["tags"].as_object().into_iter().flatten();
        let tags: Vec<(String, String)> = tags
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        cx.are_ours(&tags)
    };
    Ok(list(cx, target).await?.into_iter().find(is_ours))
}

/// The tags of `resource` become those of the stack and the template. The stack's may have changed, too: what there was
/// is asked for.
async fn retag(cx: &Cx, resource: &str, properties: &Properties) -> Result<(), Failure> {
    let region = cx.auth.region.as_str();
    let arn = format!("arn:aws:apigateway:{region}::/{resource}");
    let target = format!("/tags/{}", percent::encode(&arn));
    let had = get(cx, &target).await?;
    let had = had["tags"].as_object().cloned().unwrap_or_default();
    let wanted = cx.tags(properties);
    let is_wanted = |key: &String| wanted.iter().any(|(wanted, _)| wanted == key);
    let gone: Vec<String> = had
        .keys()
        .filter(|key| !is_wanted(key))
        .map(|key| format!("tagKeys={}", percent::encode(key)))
        .collect();
    if !gone.is_empty() {
        delete(cx, &format!("{target}?{}", gone.join("&"))).await?;
    }
    if wanted.iter().any(|(key, value)| had.get(key).and_then(Value::as_str) != Some(value)) {
        put(cx, &target, json!({ "tags": tags(cx, properties) })).await?;
    }
    Ok(())
}
