//! CreateRestApi, GetRestApi, GetRestApis, UpdateRestApi, DeleteRestApi.

use std::collections::BTreeMap;

use nilas_wire::Fault;
use serde_json::{Value, json};

use super::apis::RestApis;
use super::fault::bad;
use super::list::page;
use super::record::{ApiRecord, Definition, Resource, api_id, resource_id};
use super::shape::{self, Members, Shape, TEXT_MAP, member, text};
use super::{Answer, Cx, tables};

pub(super) async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let body = shape::body(cx.request)?;
    let members = shape::take(tables::REST_API, &body)?;
    if text(&members, "name").is_none_or(str::is_empty) {
        return Err(bad("Name must be specified for an API"));
    }
    check(&members)?;
    let tags = shape::take(&[member("tags", TEXT_MAP)], &body)?.remove("tags");
    let clone_from = shape::take(&[member("cloneFrom", Shape::Text)], &body)?;
    let mut record = new(cx, members, tags);
    if let Some(origin) = text(&clone_from, "cloneFrom") {
        record.definition = cx.apis.get(cx.auth, origin)?.definition.clone();
    }
    let answer = shown(&record);
    cx.apis.create(record).await?;
    Ok(Answer::created(answer))
}

/// A new API with its root resource and the two models that AWS gives every API.
pub(super) fn new(cx: &Cx<'_>, mut members: Members, tags: Option<Value>) -> ApiRecord {
    let id = api_id();
    members.insert("id".to_owned(), id.as_str().into());
    members.insert("createdDate".to_owned(), cx.apis.now());
    fill(&mut members);
    if let Some(tags) = tags {
        members.insert("tags".to_owned(), tags);
    }
    let root = Resource::root();
    let mut definition = Definition {
        resources: BTreeMap::from([(root.id.clone(), root)]),
        ..Definition::default()
    };
    for (name, title, description) in [
        ("Empty", "Empty Schema", "This is a default empty schema model"),
        ("Error", "Error Schema", "This is a default error schema model"),
    ] {
        let mut schema = json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "title": title,
            "type": "object",
        });
        if name == "Error" {
            schema["properties"] = json!({ "message": { "type": "string" } });
        }
        let model = json!({
            "id": resource_id(),
            "name": name,
            "description": description,
            "schema": schema.to_string(),
            "contentType": "application/json",
        });
        if let Value::Object(model) = model {
            definition.models.insert(name.to_owned(), model);
        }
    }
    ApiRecord {
        id,
        account: cx.auth.account.as_str().to_owned(),
        region: cx.auth.region.as_str().to_owned(),
        api: members,
        definition,
        stages: BTreeMap::new(),
        deployments: BTreeMap::new(),
    }
}

fn fill(members: &mut Members) {
    members.entry("apiKeySource").or_insert_with(|| "HEADER".into());
    members
        .entry("endpointConfiguration")
        .or_insert_with(|| json!({ "types": ["EDGE"], "ipAddressType": "ipv4" }));
    members.entry("disableExecuteApiEndpoint").or_insert_with(|| false.into());
}

pub(super) fn check(members: &Members) -> Result<(), Fault> {
    if let Some(source) = text(members, "apiKeySource")
        && !matches!(source, "HEADER" | "AUTHORIZER")
    {
        return Err(bad("Invalid API key source specified"));
    }
    if let Some(size) = members.get("minimumCompressionSize").and_then(Value::as_i64)
        && !(0..=10_485_760).contains(&size)
    {
        return Err(bad("Invalid minimum compression size, must be between 0 and 10485760"));
    }
    if let Some(policy) = text(members, "policy")
        && !policy.is_empty()
        && !serde_json::from_str::<Value>(policy).is_ok_and(|policy| policy.is_object())
    {
        return Err(bad(
            "Invalid policy document. Please check the policy syntax and ensure that Principals are valid.",
        ));
    }
    Ok(())
}

/// The API as it is answered.
pub(super) fn shown(record: &ApiRecord) -> Members {
    let mut shown = record.api.clone();
    if let Some(root) = record.definition.root() {
        shown.insert("rootResourceId".to_owned(), root.id.as_str().into());
    }
    shown.entry("tags").or_insert_with(|| json!({}));
    shown
}

pub(super) fn get(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    Ok(Answer::ok(shown(cx.apis.get(cx.auth, id)?.as_ref())))
}

pub(super) fn list(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let own = cx.apis.list(cx.auth);
    page(cx, own.iter().map(|record| shown(record).into()).collect())
}

pub(super) async fn update(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let change = |record: &mut ApiRecord| {
        for patch in &patches {
            // Types are exchanged one by one: `replace /endpointConfiguration/types/EDGE` with REGIONAL.
            shape::apply(tables::REST_API, &mut record.api, patch)?;
        }
        if text(&record.api, "name").is_none_or(str::is_empty) {
            return Err(bad("Name must be specified for an API"));
        }
        check(&record.api)?;
        fill(&mut record.api);
        Ok(shown(record))
    };
    Ok(Answer::ok(cx.apis.change(cx.auth, id, change).await?))
}

pub(super) async fn delete(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let mapped = |apis: &RestApis| apis.domains.list(cx.auth).into_iter();
    let used = mapped(cx.apis).any(|domain| super::domain::maps_to(&domain, id));
    if used {
        return Err(bad(
            "Please remove all base path mappings related to the API in your account before deleting the API.",
        ));
    }
    cx.apis.delete(cx.auth, id).await?;
    Ok(Answer::accepted())
}
