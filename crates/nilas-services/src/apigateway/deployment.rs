//! Deployments: copies of an API that stages show.

use nilas_model::limits;
use nilas_wire::{Fault, percent};
use serde_json::{Map, Value, json};

use super::fault::{self, bad, limit, not_found};
use super::list::page;
use super::record::{ApiRecord, Definition, resource_id};
use super::shape::{self, Members, Shape, TEXT_MAP, flag, member, text};
use super::{Answer, Cx, stage, tables};

const INPUT: &[shape::Member] = &[
    member("stageName", Shape::Text),
    member("stageDescription", Shape::Text),
    member("description", Shape::Text),
    member("cacheClusterEnabled", Shape::Flag),
    member("cacheClusterSize", Shape::Text),
    member("variables", TEXT_MAP),
    member("tracingEnabled", Shape::Flag),
];

fn no_deployment() -> Fault {
    not_found("Invalid Deployment identifier specified")
}

pub(super) async fn create(cx: &Cx<'_>, api: &str) -> Result<Answer, Fault> {
    let body = shape::body(cx.request)?;
    if body.get("canarySettings").is_some_and(|settings| !settings.is_null()) {
        return Err(fault::absent("canary deployments"));
    }
    let input = shape::take(INPUT, &body)?;
    let id = resource_id();
    let now = cx.apis.now();
    let change = |record: &mut ApiRecord| {
        check(&record.definition)?;
        if record.deployments.len() >= limits::API_DEPLOYMENTS_MAX {
            return Err(limit("Maximum number of deployments for this API has been reached"));
        }
        let mut made = Members::new();
        made.insert("id".to_owned(), id.as_str().into());
        if let Some(text) = input.get("description") {
            made.insert("description".to_owned(), text.clone());
        }
        made.insert("createdDate".to_owned(), now.clone());
        record.deployments.insert(id.clone(), made.clone());
        if let Some(name) = text(&input, "stageName") {
            stage::point(record, name, &id, &input, now)?;
        }
        Ok(made)
    };
    Ok(Answer::created(cx.apis.deploy(cx.auth, api, &id, change).await?))
}

/// What can be deployed has a method, and an integration for each.
fn check(definition: &Definition) -> Result<(), Fault> {
    let mut methods =
        definition.resources.values().flat_map(|resource| resource.methods.values()).peekable();
    if methods.peek().is_none() {
        return Err(bad("The REST API doesn't contain any methods"));
    }
    if methods.any(|method| !method.contains_key("methodIntegration")) {
        return Err(bad("No integration defined for method"));
    }
    Ok(())
}

pub(super) fn list(cx: &Cx<'_>, api: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    page(cx, record.deployments.values().cloned().map(Value::from).collect())
}

pub(super) async fn get(cx: &Cx<'_>, api: &str, id: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    let mut shown = record.deployments.get(id).cloned().ok_or_else(no_deployment)?;
    let embed = percent::query_pairs(&cx.request.query)
        .any(|(name, value)| name == "embed" && value.split(',').any(|part| part == "apisummary"));
    if embed {
        let deployment = cx.apis.deployment(api, id).await.map_err(fault::of_store)?;
        let deployment = deployment.ok_or_else(no_deployment)?;
        shown.insert("apiSummary".to_owned(), summary(&deployment.definition));
    }
    Ok(Answer::ok(shown))
}

fn summary(definition: &Definition) -> Value {
    let paths = definition.resources.values().filter(|resource| !resource.methods.is_empty());
    let paths = paths.map(|resource| {
        let methods = resource.methods.iter().map(|(verb, method)| {
            let shown = json!({
                "authorizationType": text(method, "authorizationType"),
                "apiKeyRequired": flag(method, "apiKeyRequired"),
            });
            (verb.clone(), shown)
        });
        (resource.path.clone(), Value::Object(methods.collect()))
    });
    Value::Object(paths.collect::<Map<_, _>>())
}

pub(super) async fn update(cx: &Cx<'_>, api: &str, id: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let change = |record: &mut ApiRecord| {
        let deployment = record.deployments.get_mut(id).ok_or_else(no_deployment)?;
        shape::patch(tables::DEPLOYMENT, deployment, &patches)?;
        Ok(deployment.clone())
    };
    Ok(Answer::ok(cx.apis.change(cx.auth, api, change).await?))
}

pub(super) async fn delete(cx: &Cx<'_>, api: &str, id: &str) -> Result<Answer, Fault> {
    let change = |record: &mut ApiRecord| {
        if record.stages.values().any(|stage| text(stage, "deploymentId") == Some(id)) {
            return Err(bad("Active stages pointing to this deployment must be moved or deleted"));
        }
        record.deployments.remove(id).map(drop).ok_or_else(no_deployment)
    };
    cx.apis.undeploy(cx.auth, api, id, change).await?;
    Ok(Answer::accepted())
}
