//! API Gateway's second version: HTTP and WebSocket APIs. Most types are parts of an API and are made alike.

pub(super) mod api;
pub(super) mod api_mapping;
pub(super) mod authorizer;
pub(super) mod deployment;
pub(super) mod domain_name;
pub(super) mod integration;
pub(super) mod route;
pub(super) mod route_response;
pub(super) mod stage;
pub(super) mod vpc_link;

use http::Method;
use nilas_wire::{Service, percent};
use serde_json::{Map, Value, json};

use crate::calls::Refusal;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Resource};

/// A kind of part of an API.
struct Part {
    /// `routes`
    segment: &'static str,
    /// The part of which it is one: its segment, and the property that names it.
    within: Option<(&'static str, &'static str)>,
    /// The member of answers that `Ref` answers.
    id: &'static str,
    /// The attribute of the same value, if there is one.
    attribute: Option<&'static str>,
    /// The member by which a part that was made before a crash is known again.
    known_by: Option<&'static str>,
    /// What a property is when it is taken away.
    defaults: &'static [(&'static str, &'static str)],
}

async fn call(cx: &Cx, method: Method, path: &str, body: Option<Value>) -> Result<Value, Refusal> {
    cx.calls.rest(Service::ApiGateway, &cx.auth, method, path, body).await
}

/// The member of an answer that always has it.
fn text(answer: &Value, member: &str) -> Result<String, Failure> {
    let text = answer.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Failure::no_member(member))
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Properties as the members of a request. Names of a template's own choosing (variables, parameters) stay as they are.
fn members(properties: &Properties, but: &[&str]) -> Map<String, Value> {
    let own = properties.members().iter().filter(|(name, _)| !but.contains(&name.as_str()));
    own.map(|(name, value)| {
        let value = match (name.as_str(), value) {
            (
                "CorsConfiguration" | "AccessLogSettings" | "JwtConfiguration" | "TlsConfig",
                Value::Object(inner),
            ) => lowered(inner).into(),
            ("ResponseParameters", Value::Object(statuses)) => {
                let flat = |(status, said): (&String, &Value)| (status.clone(), flattened(said));
                Value::Object(statuses.iter().map(flat).collect())
            }
            ("DefaultRouteSettings", Value::Object(inner)) => settings(inner),
            ("RouteSettings", Value::Object(routes)) => {
                let lower = |(key, value): (&String, &Value)| {
                    (key.clone(), value.as_object().map(settings).unwrap_or_default())
                };
                Value::Object(routes.iter().map(lower).collect())
            }
            (_, value) => value.clone(),
        };
        (lower_first(name), value)
    })
    .collect()
}

/// A template lists `{Destination, Source}` where the API has a map; whatever is no such list stays as it is.
fn flattened(said: &Value) -> Value {
    let Some(list) = said["ResponseParameters"].as_array() else { return said.clone() };
    let pair =
        |item: &Value| Some((item["Destination"].as_str()?.to_owned(), item["Source"].clone()));
    Value::Object(list.iter().filter_map(pair).collect())
}

/// The entries of `old` that `new` has not, as what takes them away.
fn taken_away(new: Option<&Value>, old: Option<&Value>, nothing: &Value) -> Map<String, Value> {
    let old = old.and_then(Value::as_object).into_iter().flatten();
    let gone = old.filter(|(key, _)| new.is_none_or(|new| new.get(key.as_str()).is_none()));
    gone.map(|(key, _)| (key.clone(), nothing.clone())).collect()
}

fn lowered(members: &Map<String, Value>) -> Map<String, Value> {
    members.iter().map(|(name, value)| (lower_first(name), value.clone())).collect()
}

/// Settings of routes. Templates' parameters are text, and numbers and flags are meant.
fn settings(members: &Map<String, Value>) -> Value {
    let typed = |(name, value): (String, Value)| {
        let parsed = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let parsed = parsed.filter(|parsed| parsed.is_number() || parsed.is_boolean());
        let is_typed = name.starts_with("throttling") || name.ends_with("Enabled");
        (name, parsed.filter(|_| is_typed).unwrap_or(value))
    };
    Value::Object(lowered(members).into_iter().map(typed).collect())
}

/// Tags for the API, CloudFormation's among them.
fn tags(cx: &Cx, properties: &Properties) -> Value {
    let tags = cx.tags(properties).into_iter();
    Value::Object(tags.map(|(key, value)| (key, value.into())).collect())
}

/// Puts the stack's and the template's tags on `resource`.
async fn retag(cx: &Cx, resource: &str, properties: &Properties) -> Result<(), Failure> {
    let arn = format!("arn:aws:apigateway:{}::/{resource}", cx.auth.region.as_str());
    let path = format!("/v2/tags/{}", percent::encode(&arn));
    call(cx, Method::POST, &path, Some(json!({ "tags": tags(cx, properties) }))).await?;
    Ok(())
}

fn parts_path(properties: &Properties, part: &Part) -> Result<String, Failure> {
    let api = properties.required("ApiId")?;
    let api = percent::encode(api);
    Ok(match part.within {
        None => format!("/v2/apis/{api}/{}", part.segment),
        Some((segment, property)) => {
            let whole = percent::encode(properties.required(property)?);
            format!("/v2/apis/{api}/{segment}/{whole}/{}", part.segment)
        }
    })
}

fn part_path(properties: &Properties, part: &Part, id: &str) -> Result<String, Failure> {
    Ok(format!("{}/{}", parts_path(properties, part)?, percent::encode(id)))
}

async fn create(cx: &Cx, properties: &Properties, part: &Part) -> Result<Resource, Failure> {
    let path = parts_path(properties, part)?;
    let body = members(properties, &["ApiId", "RouteId", "Tags"]);
    let answer = match call(cx, Method::POST, &path, Some(body.clone().into())).await {
        Err(refusal) if cx.resumed && refusal.status == 409 => {
            let made = call(cx, Method::GET, &path, None).await?;
            let made = made["items"].as_array().cloned().unwrap_or_default();
            let is_it =
                |item: &Value| part.known_by.is_some_and(|name| item.get(name) == body.get(name));
            made.into_iter().find(is_it).ok_or_else(|| Failure::from(refusal))?
        }
        answer => answer?,
    };
    let id = text(&answer, part.id)?;
    let made = Resource::new(&id);
    Ok(match part.attribute {
        Some(name) => made.with(name, id),
        None => made,
    })
}

async fn update(cx: &Cx, change: Change<'_>, part: &Part) -> Result<Resource, Failure> {
    let path = part_path(change.new, part, &change.resource.physical_id)?;
    let mut body = members(change.new, &["ApiId", "RouteId", "Tags", "StageName"]);
    for (name, default) in part.defaults {
        if change.new.get(name).is_none() && change.old.get(name).is_some() {
            body.insert(lower_first(name), (*default).into());
        }
    }
    // Mappings are merged: what a template no longer says must be taken away by name.
    for (name, nothing) in [("RequestParameters", "".into()), ("ResponseParameters", json!({}))] {
        let member = lower_first(name);
        let mut all = taken_away(change.new.get(name), change.old.get(name), &nothing);
        if part.segment != "integrations" || all.is_empty() {
            continue;
        }
        all.extend(body.get(&member).and_then(Value::as_object).cloned().unwrap_or_default());
        body.insert(member, all.into());
    }
    if change.new.get("StageVariables").is_none() && change.old.get("StageVariables").is_some() {
        body.insert("stageVariables".to_owned(), Value::Object(Map::new()));
    }
    call(cx, Method::PATCH, &path, Some(body.into())).await?;
    Ok(change.resource.clone())
}

async fn delete(
    cx: &Cx,
    resource: &Resource,
    properties: &Properties,
    part: &Part,
) -> Result<(), Failure> {
    let path = part_path(properties, part, &resource.physical_id)?;
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}
