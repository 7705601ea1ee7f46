//! Stages and deployments.

use nilas_wire::Fault;
use serde_json::{Value, json};

use super::fault::{absent, bad, conflict, not_found};
use super::members::{self, Members, STAGE, flag, text};
use super::record::{ApiRecord, id};
use super::{Answer, Cx, created, no_content, ok, page};

pub(super) fn no_stage() -> Fault {
    not_found("Invalid stage identifier specified")
}

fn no_deployment() -> Fault {
    not_found("Invalid deployment identifier specified")
}

/// What follows `/v2/apis/ID/stages`.
pub(super) async fn route(
    cx: &Cx<'_>,
    verb: &str,
    api: &str,
    rest: &[&str],
) -> Result<Answer, Fault> {
    match (verb, rest) {
        ("GET", []) => {
            let record = cx.apis.get(cx.auth, api)?;
            page(cx, record.stages.values().cloned().map(Into::into).collect())
        }
        ("POST", []) => put(cx, api, None).await,
        ("GET", [name]) => {
            let record = cx.apis.get(cx.auth, api)?;
            Ok(ok(record.stages.get(*name).cloned().ok_or_else(no_stage)?))
        }
        ("PATCH", [name]) => put(cx, api, Some(name)).await,
        ("DELETE", [name]) => {
            let remove =
                |record: &mut ApiRecord| record.stages.remove(*name).map(drop).ok_or_else(no_stage);
            cx.apis.change(cx.auth, api, remove).await?;
            Ok(no_content())
        }
        ("DELETE", [name, "accesslogsettings"]) => {
            let remove = |record: &mut ApiRecord| {
                let stage = record.stages.get_mut(*name).ok_or_else(no_stage)?;
                stage.remove("accessLogSettings");
                Ok(())
            };
            cx.apis.change(cx.auth, api, remove).await?;
            Ok(no_content())
        }
        ("DELETE", [name, "routesettings", key @ ..]) => {
            let key = key.join("/");
            let remove = |record: &mut ApiRecord| {
                let stage = record.stages.get_mut(*name).ok_or_else(no_stage)?;
                if let Some(settings) =
                    stage.get_mut("routeSettings").and_then(Value::as_object_mut)
                {
                    settings.remove(&key);
                }
                Ok(())
            };
            cx.apis.change(cx.auth, api, remove).await?;
            Ok(no_content())
        }
        _ => Err(absent(format_args!("{verb} of '{}' of stages", rest.join("/")))),
    }
}

async fn put(cx: &Cx<'_>, api: &str, known: Option<&str>) -> Result<Answer, Fault> {
    let taken = members::take(STAGE, &members::body(&cx.request.body)?)?;
    let name = known.or_else(|| text(&taken, "stageName")).unwrap_or_default().to_owned();
    check_name(&name)?;
    check_throttling(&taken)?;
    cx.apis
        .change(cx.auth, api, |record| {
            let mut stage = match (known, record.stages.get(&name)) {
                (Some(_), found) => found.cloned().ok_or_else(no_stage)?,
                (None, Some(_)) => return Err(conflict("Stage already exists")),
                (None, None) => Members::new(),
            };
            stage.extend(taken);
            stage.insert("stageName".to_owned(), name.as_str().into());
            stage.entry("createdDate").or_insert_with(|| cx.apis.now());
            stage.insert("lastUpdatedDate".to_owned(), cx.apis.now());
            stage
                .entry("defaultRouteSettings")
                .or_insert_with(|| json!({ "detailedMetricsEnabled": false }));
            for empty in ["routeSettings", "stageVariables", "tags"] {
                stage.entry(empty).or_insert_with(|| json!({}));
            }
            stage.entry("autoDeploy").or_insert(json!(false));
            if let Some(id) = text(&stage, "deploymentId")
                && !record.deployments.contains_key(id)
            {
                return Err(no_deployment());
            }
            record.stages.insert(name.clone(), stage);
            Ok(())
        })
        .await?;
    // As it is with the deployment that may have been made of it.
    let record = cx.apis.get(cx.auth, api)?;
    let stage = record.stages.get(&name).cloned().ok_or_else(no_stage)?;
    Ok(if known.is_some() { ok(stage) } else { created(stage) })
}

fn check_throttling(stage: &Members) -> Result<(), Fault> {
    let is_limit = |settings: &Value, name: &str| {
        settings.get(name).is_none_or(|limit| limit.as_f64().is_some_and(|limit| limit >= 0.0))
    };
    let routes = stage.get("routeSettings").and_then(Value::as_object);
    let routes = routes.into_iter().flat_map(serde_json::Map::values);
    for settings in stage.get("defaultRouteSettings").into_iter().chain(routes) {
        if !is_limit(settings, "throttlingRateLimit") {
            return Err(bad("Invalid throttling rate limit"));
        }
        if !is_limit(settings, "throttlingBurstLimit") {
            return Err(bad("Invalid throttling burst limit"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Fault> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name == "$default" || (1..=128).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    Err(bad("Stage name only allows a-zA-Z0-9_- characters, or $default"))
}

/// What follows `/v2/apis/ID/deployments`.
pub(super) async fn deployments(
    cx: &Cx<'_>,
    verb: &str,
    api: &str,
    rest: &[&str],
) -> Result<Answer, Fault> {
    match (verb, rest) {
        ("GET", []) => {
            let record = cx.apis.get(cx.auth, api)?;
            page(cx, record.deployments.values().cloned().map(Into::into).collect())
        }
        ("POST", []) => deploy(cx, api).await,
        ("GET", [id]) => {
            let record = cx.apis.get(cx.auth, api)?;
            Ok(ok(record.deployments.get(*id).cloned().ok_or_else(no_deployment)?))
        }
        ("PATCH", [id]) => {
            let body = members::body(&cx.request.body)?;
            let answer = cx.apis.change(cx.auth, api, |record| {
                let made = record.deployments.get_mut(*id).ok_or_else(no_deployment)?;
                if let Some(text) = text(&body, "description") {
                    made.insert("description".to_owned(), text.into());
                }
                Ok(made.clone())
            });
            Ok(ok(answer.await?))
        }
        ("DELETE", [id]) => {
            let remove = |record: &mut ApiRecord| {
                let used = |stage: &Members| text(stage, "deploymentId") == Some(*id);
                if record.stages.values().any(used) {
                    return Err(bad(
                        "Active stages pointing to this deployment must be moved or deleted",
                    ));
                }
                record.deployments.remove(*id).map(drop).ok_or_else(no_deployment)
            };
            cx.apis.change(cx.auth, api, remove).await?;
            Ok(no_content())
        }
        _ => Err(absent(format_args!("{verb} of '{}' of deployments", rest.join("/")))),
    }
}

async fn deploy(cx: &Cx<'_>, api: &str) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let deployment = id(6);
    let made = cx.apis.deployment(&deployment, false, text(&body, "description"));
    let answer = cx.apis.change(cx.auth, api, |record| {
        if record.definition.routes.is_empty() {
            return Err(bad("At least one route is required before deploying the Api."));
        }
        if let Some(name) = text(&body, "stageName") {
            let stage = record.stages.get_mut(name).ok_or_else(no_stage)?;
            if flag(stage, "autoDeploy") {
                return Err(bad("Deployment ID cannot be set on a stage with AutoDeploy enabled"));
            }
            stage.insert("deploymentId".to_owned(), deployment.as_str().into());
        }
        record.deployments.insert(deployment.clone(), made.clone());
        Ok(made)
    });
    Ok(created(answer.await?))
}
