//! Stages: names under which deployments are reached, with variables and settings of their own.

use nilas_model::limits;
use nilas_wire::Fault;
use serde_json::{Value, json};

use super::fault::{self, bad, conflict, limit, not_found};
use super::record::ApiRecord;
use super::shape::{self, Member, Members, Patch, Shape, TEXT_MAP, member, text};
use super::{Answer, Cx, tables};

/// Members of a method setting by their name in a patch path, `/RESOURCE/METHOD/` before it.
const SETTINGS: [(&str, &str); 10] = [
    ("metrics/enabled", "metricsEnabled"),
    ("logging/loglevel", "loggingLevel"),
    ("logging/dataTrace", "dataTraceEnabled"),
    ("throttling/burstLimit", "throttlingBurstLimit"),
    ("throttling/rateLimit", "throttlingRateLimit"),
    ("caching/enabled", "cachingEnabled"),
    ("caching/ttlInSeconds", "cacheTtlInSeconds"),
    ("caching/dataEncrypted", "cacheDataEncrypted"),
    ("caching/requireAuthorizationForCacheControl", "requireAuthorizationForCacheControl"),
    ("caching/unauthorizedCacheControlHeaderStrategy", "unauthorizedCacheControlHeaderStrategy"),
];

fn no_stage() -> Fault {
    not_found("Invalid stage identifier specified")
}

pub(super) async fn create(cx: &Cx<'_>, api: &str) -> Result<Answer, Fault> {
    let body = shape::body(cx.request)?;
    let name = text(&body, "stageName").unwrap_or_default().to_owned();
    let mut members = shape::take(tables::STAGE, &body)?;
    let tags = shape::take(&[member("tags", TEXT_MAP)], &body)?.remove("tags");
    members.extend(tags.map(|tags| ("tags".to_owned(), tags)));
    let now = cx.apis.now();
    let change = |record: &mut ApiRecord| {
        check_name(&name)?;
        if record.stages.contains_key(&name) {
            return Err(conflict("Stage already exists"));
        }
        check(record, &members)?;
        let stage = new(&name, members, now);
        add(record, &name, stage.clone())?;
        Ok(stage)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, api, change).await?))
}

/// Points the stage `name` to a deployment that has just been made, and makes the stage if there is none.
pub(super) fn point(
    record: &mut ApiRecord,
    name: &str,
    deployment: &str,
    input: &Members,
    now: Value,
) -> Result<(), Fault> {
    check_name(name)?;
    let mut given = input.clone();
    for name in ["stageName", "description"] {
        given.remove(name);
    }
    if let Some(description) = given.remove("stageDescription") {
        given.insert("description".to_owned(), description);
    }
    given.insert("deploymentId".to_owned(), deployment.into());
    check(record, &given)?;
    match record.stages.get_mut(name) {
        Some(stage) => {
            stage.extend(given);
            stage.insert("lastUpdatedDate".to_owned(), now);
            Ok(())
        }
        None => add(record, name, new(name, given, now)),
    }
}

fn add(record: &mut ApiRecord, name: &str, stage: Members) -> Result<(), Fault> {
    if record.stages.len() >= limits::API_STAGES_MAX {
        return Err(limit("Maximum number of stages for this API has been reached"));
    }
    record.stages.insert(name.to_owned(), stage);
    Ok(())
}

fn new(name: &str, mut members: Members, now: Value) -> Members {
    members.insert("stageName".to_owned(), name.into());
    for (name, default) in [
        ("cacheClusterEnabled", json!(false)),
        ("cacheClusterStatus", json!("NOT_AVAILABLE")),
        ("methodSettings", json!({})),
        ("tracingEnabled", json!(false)),
    ] {
        members.entry(name).or_insert(default);
    }
    members.insert("createdDate".to_owned(), now.clone());
    members.insert("lastUpdatedDate".to_owned(), now);
    members
}

fn check_name(name: &str) -> Result<(), Fault> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if (1..=128).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    Err(bad("Stage name only allows a-zA-Z0-9_-"))
}

fn check(record: &ApiRecord, members: &Members) -> Result<(), Fault> {
    let deployment = text(members, "deploymentId").unwrap_or_default();
    if !record.deployments.contains_key(deployment) {
        return Err(bad("Deployment id does not exist"));
    }
    for (name, value) in shape::pairs(members, "variables") {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(bad(format!("Stage variable name '{name}' may only have a-zA-Z0-9_")));
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#&=, %+@*$!".contains(&b);
        if !value.bytes().all(legal) {
            return Err(bad(format!("Stage variable value contains invalid characters: {name}")));
        }
    }
    Ok(())
}

pub(super) fn list(cx: &Cx<'_>, api: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    let deployment = nilas_wire::percent::query_value(&cx.request.query, "deploymentId");
    let wanted = |stage: &&Members| {
        deployment.as_deref().is_none_or(|id| text(stage, "deploymentId") == Some(id))
    };
    let stages: Vec<Value> =
        record.stages.values().filter(wanted).cloned().map(Value::from).collect();
    // The only list that is no page.
    Ok(Answer::ok(json!({ "item": stages })))
}

pub(super) fn get(cx: &Cx<'_>, api: &str, name: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    Ok(Answer::ok(record.stages.get(name).cloned().ok_or_else(no_stage)?))
}

pub(super) async fn update(cx: &Cx<'_>, api: &str, name: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let now = cx.apis.now();
    let change = |record: &mut ApiRecord| {
        let mut stage = record.stages.get(name).cloned().ok_or_else(no_stage)?;
        for patch in &patches {
            apply(&mut stage, patch)?;
        }
        check(record, &stage)?;
        stage.insert("lastUpdatedDate".to_owned(), now);
        record.stages.insert(name.to_owned(), stage.clone());
        Ok(stage)
    };
    Ok(Answer::ok(cx.apis.change(cx.auth, api, change).await?))
}

fn apply(stage: &mut Members, patch: &Patch) -> Result<(), Fault> {
    if let Some((method, member)) = setting(&patch.path) {
        let settings = stage.entry("methodSettings").or_insert_with(|| json!({}));
        let Some(settings) = settings.as_object_mut() else { return Ok(()) };
        let Some(member) = member else {
            settings.remove(&method);
            return Ok(());
        };
        let entry = settings.entry(method).or_insert_with(defaults);
        let Some(entry) = entry.as_object_mut() else { return Ok(()) };
        let inner = Patch { path: format!("/{member}"), ..patch.clone() };
        return shape::apply(tables::METHOD_SETTING, entry, &inner);
    }
    if patch.op == "copy" {
        return Err(fault::absent("canary deployments"));
    }
    let known: &[Member] = match patch.path.split('/').nth(1) {
        Some("methodSettings") => return Err(patch.refused(tables::STAGE)),
        Some("webAclArn") => &[member("webAclArn", Shape::Text)],
        _ => tables::STAGE,
    };
    shape::apply(known, stage, patch)
}

/// What a method has whose settings are not said.
fn defaults() -> Value {
    json!({
        "metricsEnabled": false,
        "dataTraceEnabled": false,
        "throttlingBurstLimit": 5_000,
        "throttlingRateLimit": 10_000.0,
        "cachingEnabled": false,
        "cacheTtlInSeconds": 300,
        "cacheDataEncrypted": false,
        "requireAuthorizationForCacheControl": true,
        "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
    })
}

/// `RESOURCE/METHOD` and the setting of `/*/*/logging/loglevel` or `/~1pets/GET/…`; no setting means all of them.
fn setting(path: &str) -> Option<(String, Option<&'static str>)> {
    let path = path.strip_prefix('/')?;
    for (suffix, member) in SETTINGS {
        if let Some(method) = path.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('/')) {
            return Some((setting_key(method)?, Some(member)));
        }
    }
    let (resource, verb) = path.rsplit_once('/')?;
    let is_method =
        !verb.is_empty() && (verb == "*" || verb.bytes().all(|b| b.is_ascii_uppercase()));
    let is_resource = resource == "*" || resource.starts_with("~1");
    if is_method && is_resource { Some((setting_key(path)?, None)) } else { None }
}

/// `pets/{id}/GET` of `~1pets~1{id}/GET`; the root's are `/GET`.
fn setting_key(method: &str) -> Option<String> {
    let method = method.replace("~1", "/");
    let (resource, verb) = method.rsplit_once('/')?;
    Some(format!("{}/{verb}", resource.trim_start_matches('/')))
}

pub(super) async fn delete(cx: &Cx<'_>, api: &str, name: &str) -> Result<Answer, Fault> {
    let change = |record: &mut ApiRecord| record.stages.remove(name).map(drop).ok_or_else(no_stage);
    cx.apis.change(cx.auth, api, change).await?;
    Ok(Answer::accepted())
}

/// There is no cache of answers; that of authorizers ends here.
pub(super) fn flush_cache(cx: &Cx<'_>, api: &str, name: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    record.stages.get(name).ok_or_else(no_stage)?;
    cx.apis.doors().flush_authorizers(api);
    Ok(Answer::accepted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_settings_are_named_by_path() {
        let at = |path| setting(path).map(|(method, member)| format!("{method} {member:?}"));
        assert_eq!(at("/*/*/logging/loglevel").as_deref(), Some("*/* Some(\"loggingLevel\")"));
        assert_eq!(
            at("/~1pets~1{id}/GET/throttling/rateLimit").as_deref(),
            Some("pets/{id}/GET Some(\"throttlingRateLimit\")")
        );
        assert_eq!(at("/~1pets/GET").as_deref(), Some("pets/GET None"));
        assert_eq!(at("/~1/GET/metrics/enabled").as_deref(), Some("/GET Some(\"metricsEnabled\")"));
        assert_eq!(at("/variables/x"), None);
        assert_eq!(at("/description"), None);
    }
}
