//! APIs themselves: created, imported, changed, tagged.

use std::collections::BTreeMap;

use nilas_model::limits;
use nilas_wire::{ApiRequest, Fault, percent};
use serde_json::{Value, json};

use super::fault::bad;
use super::members::{self, API, Members, text};
use super::record::{ApiRecord, Definition, id};
use super::{
    Answer, Cx, created, domain, import, integration, no_content, ok, page, part, sockets, vpc_link,
};

pub(super) async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let mut api = members::take(API, &body)?;
    if text(&api, "name").is_none_or(str::is_empty) {
        return Err(bad("Name must not be empty"));
    }
    match text(&api, "protocolType") {
        Some("HTTP") => {}
        Some("WEBSOCKET") => check_websocket(&api, &body)?,
        _ => return Err(bad("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]")),
    }
    defaults(cx, &mut api);
    let mut record = record(cx, api);
    if let Some(target) = text(&body, "target") {
        quick(cx, &mut record, target, text(&body, "routeKey").unwrap_or("$default"))?;
        if let Some(role) = text(&body, "credentialsArn") {
            for integration in record.definition.integrations.values_mut() {
                integration.insert("credentialsArn".to_owned(), role.into());
            }
        }
    }
    let record = cx.apis.create(record).await?;
    Ok(created(shown(&record, cx.request)))
}

fn check_websocket(api: &Members, body: &Members) -> Result<(), Fault> {
    sockets::check_selection(text(api, "routeSelectionExpression"))?;
    if body.contains_key("target") || body.contains_key("corsConfiguration") {
        return Err(bad("Quick create and CORS are supported for HTTP protocol APIs only"));
    }
    Ok(())
}

fn record(cx: &Cx<'_>, api: Members) -> ApiRecord {
    ApiRecord {
        id: id(10),
        account: cx.auth.account.as_str().to_owned(),
        region: cx.auth.region.as_str().to_owned(),
        definition: Definition { api, ..Definition::default() },
        stages: BTreeMap::new(),
        deployments: BTreeMap::new(),
    }
}

fn defaults(cx: &Cx<'_>, api: &mut Members) {
    api.entry("apiKeySelectionExpression").or_insert(json!("$request.header.x-api-key"));
    api.entry("routeSelectionExpression").or_insert(json!("$request.method $request.path"));
    api.entry("disableExecuteApiEndpoint").or_insert(json!(false));
    api.entry("ipAddressType").or_insert(json!("ipv4"));
    api.entry("tags").or_insert(json!({}));
    api.insert("createdDate".to_owned(), cx.apis.now());
}

/// Quick create: one route, its integration, and a `$default` stage that deploys by itself.
fn quick(cx: &Cx<'_>, record: &mut ApiRecord, target: &str, key: &str) -> Result<(), Fault> {
    let mut integration = members_of(match target.starts_with("arn:") {
        true => json!({
            "apiGatewayManaged": true, "integrationType": "AWS_PROXY", "integrationUri": target,
            "payloadFormatVersion": "2.0",
        }),
        false => json!({
            "apiGatewayManaged": true, "integrationMethod": "ANY", "integrationType": "HTTP_PROXY",
            "integrationUri": target,
        }),
    });
    integration::complete(&mut integration)?;
    let (integration_id, route_id) = (id(7), id(7));
    integration.insert("integrationId".to_owned(), integration_id.as_str().into());
    part::check_route_key(key)?;
    let route = members_of(json!({
        "apiGatewayManaged": true, "apiKeyRequired": false, "authorizationType": "NONE",
        "routeId": route_id, "routeKey": key, "target": format!("integrations/{integration_id}"),
    }));
    record.definition.integrations.insert(integration_id, integration);
    record.definition.routes.insert(route_id, route);
    let stage = members_of(json!({
        "apiGatewayManaged": true, "autoDeploy": true, "createdDate": cx.apis.now(),
        "defaultRouteSettings": { "detailedMetricsEnabled": false },
        "lastUpdatedDate": cx.apis.now(), "routeSettings": {}, "stageName": "$default",
        "stageVariables": {}, "tags": {},
    }));
    record.stages.insert("$default".to_owned(), stage);
    Ok(())
}

fn members_of(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

/// An API as callers see it, its endpoint at the port they came to.
fn shown(record: &ApiRecord, request: &ApiRequest) -> Value {
    let mut api = record.definition.api.clone();
    let base = request.base_url();
    let port =
        base.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let scheme = if record.definition.is_websocket() { "ws" } else { "http" };
    let endpoint =
        format!("{scheme}://{}.execute-api.{}.localhost{port}", record.id, record.region);
    api.insert("apiEndpoint".to_owned(), endpoint.into());
    api.insert("apiId".to_owned(), record.id.as_str().into());
    api.into()
}

pub(super) fn list(cx: &Cx<'_>) -> Result<Answer, Fault> {
    page(cx, cx.apis.list(cx.auth).iter().map(|api| shown(api, cx.request)).collect())
}

pub(super) fn get(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    Ok(ok(shown(cx.apis.get(cx.auth, id)?.as_ref(), cx.request)))
}

pub(super) async fn update(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let mut taken = members::take(API, &body)?;
    // Neither changes after an API is made; tags have operations of their own.
    taken.remove("protocolType");
    taken.remove("tags");
    let answer = cx.apis.change(cx.auth, id, |record| {
        if record.definition.is_websocket() && taken.contains_key("routeSelectionExpression") {
            sockets::check_selection(text(&taken, "routeSelectionExpression"))?;
        }
        record.definition.api.extend(taken);
        Ok(shown(record, cx.request))
    });
    Ok(ok(answer.await?))
}

pub(super) async fn delete(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    cx.apis.delete(cx.auth, id).await?;
    Ok(no_content())
}

pub(super) async fn delete_cors(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let remove = |record: &mut ApiRecord| {
        record.definition.api.remove("corsConfiguration");
        Ok(())
    };
    cx.apis.change(cx.auth, id, remove).await?;
    Ok(no_content())
}

pub(super) async fn import(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let mut definition = import::read(&cx.request.body)?;
    defaults(cx, &mut definition.api);
    let record = cx.apis.create(ApiRecord { definition, ..record(cx, Members::new()) }).await?;
    Ok(created(shown(&record, cx.request)))
}

pub(super) async fn reimport(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let definition = import::read(&cx.request.body)?;
    let answer = cx.apis.change(cx.auth, id, |record| {
        let mut api = std::mem::take(&mut record.definition.api);
        // What is in the document goes over what was; a document without CORS means none.
        api.remove("corsConfiguration");
        api.extend(definition.api);
        record.definition = Definition { api, ..definition };
        Ok(shown(record, cx.request))
    });
    Ok(created(answer.await?))
}

/// `arn:aws:apigateway:REGION::/apis/ID[/stages/NAME]`
pub(super) async fn tags(cx: &Cx<'_>, verb: &str, arn: &str) -> Result<Answer, Fault> {
    let resource = arn.split_once("::/").map_or("", |(_, resource)| resource);
    let (id, stage) = match resource.split('/').collect::<Vec<_>>().as_slice() {
        ["domainnames", name] => return domain::tags(cx, verb, name).await,
        ["vpclinks", id] => return vpc_link::tags(cx, verb, id).await,
        ["apis", id] => ((*id).to_owned(), None),
        ["apis", id, "stages", stage] => ((*id).to_owned(), Some((*stage).to_owned())),
        _ => return Err(bad(format!("Invalid resource ARN: {arn}"))),
    };
    let body = members::body(&cx.request.body)?;
    let apply = |record: &mut ApiRecord| {
        let members = match &stage {
            None => &mut record.definition.api,
            Some(name) => record.stages.get_mut(name).ok_or_else(super::stage::no_stage)?,
        };
        retag(cx.request, verb, &body, members)
    };
    match verb {
        "GET" => {
            let mut record = ApiRecord::clone(cx.apis.get(cx.auth, &id)?.as_ref());
            let members = match &stage {
                None => record.definition.api,
                Some(name) => record.stages.remove(name).ok_or_else(super::stage::no_stage)?,
            };
            let tags = members.get("tags").cloned().unwrap_or_else(|| json!({}));
            Ok(ok(json!({ "tags": tags })))
        }
        "POST" => cx.apis.change(cx.auth, &id, apply).await.map(|()| created(json!({}))),
        "DELETE" => cx.apis.change(cx.auth, &id, apply).await.map(|()| no_content()),
        _ => Err(bad("No such operation")),
    }
}

/// Adds the tags that `body` says, or takes away those whose keys are in the query.
pub(super) fn retag(
    request: &ApiRequest,
    verb: &str,
    body: &Members,
    members: &mut Members,
) -> Result<(), Fault> {
    let tags = members.entry("tags").or_insert_with(|| json!({}));
    let Some(tags) = tags.as_object_mut() else { return Err(bad("no tags")) };
    match verb {
        "POST" => {
            let new = body.get("tags").and_then(Value::as_object).cloned();
            tags.extend(new.unwrap_or_default());
        }
        _ => tags.retain(|key, _| {
            !percent::query_pairs(&request.query)
                .any(|(name, value)| name == "tagKeys" && value == *key)
        }),
    }
    if tags.len() > limits::TAGS_MAX {
        return Err(bad("The number of tags exceeds the limit of 50"));
    }
    Ok(())
}
