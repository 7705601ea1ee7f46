//! Usage plans, and the keys they let in.

use nilas_model::limits;
use nilas_wire::Fault;
use serde_json::{Value, json};

use super::apis::without;
use super::fault::{bad, conflict, limit, not_found};
use super::key::no_key;
use super::list::page;
use super::record::resource_id;
use super::shape::{self, Member, Members, Patch, Shape, TEXT_MAP, member, text};
use super::{Answer, Cx, tables};

const API_STAGE: &[Member] = &[
    member("apiId", Shape::Text),
    member("stage", Shape::Text),
    member("throttle", Shape::Map(&tables::THROTTLE)),
];

fn no_plan() -> Fault {
    not_found("Invalid Usage Plan ID specified")
}

fn no_plan_key() -> Fault {
    not_found("Invalid Usage Plan Key identifier specified")
}

pub(super) async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let body = shape::body(cx.request)?;
    let mut plan = shape::take(tables::USAGE_PLAN, &body)?;
    let tags = shape::take(&[member("tags", TEXT_MAP)], &body)?.remove("tags");
    plan.extend(tags.map(|tags| ("tags".to_owned(), tags)));
    if text(&plan, "name").is_none_or(str::is_empty) {
        return Err(bad("Usage Plan name cannot be blank"));
    }
    let mut stages = Vec::new();
    for stage in body.get("apiStages").and_then(Value::as_array).into_iter().flatten() {
        let Some(stage) = stage.as_object() else { return Err(bad("Invalid API stage")) };
        let stage = shape::take(API_STAGE, stage)?;
        check_stage(cx, &stage)?;
        stages.push(Value::from(stage));
    }
    plan.insert("apiStages".to_owned(), stages.into());
    check(&mut plan)?;
    let _writing = cx.apis.write().await;
    if cx.apis.plans.list(cx.auth).len() >= limits::USAGE_PLANS_MAX {
        return Err(limit("Usage Plans limit exceeded"));
    }
    let id = resource_id();
    plan.insert("id".to_owned(), id.as_str().into());
    plan.insert("keys".to_owned(), json!([]));
    cx.apis.plans.put(cx.auth, &id, plan.clone()).await?;
    cx.apis.refresh_keys();
    Ok(Answer::created(shown(plan)))
}

fn shown(plan: Members) -> Members {
    without(plan, &["keys"])
}

fn check_stage(cx: &Cx<'_>, stage: &Members) -> Result<(), Fault> {
    let (api, name) =
        (text(stage, "apiId").unwrap_or_default(), text(stage, "stage").unwrap_or_default());
    let known = cx.apis.get(cx.auth, api).is_ok_and(|record| record.stages.contains_key(name));
    if known { Ok(()) } else { Err(not_found(format!("Invalid stage: {name} for API: {api}"))) }
}

/// Checks the quota, which begins without delay if nothing else is said.
fn check(plan: &mut Members) -> Result<(), Fault> {
    let Some(quota) = plan.get_mut("quota") else { return Ok(()) };
    let limit = quota.get("limit").and_then(Value::as_i64).unwrap_or(0);
    let offset = quota.get("offset").and_then(Value::as_i64).unwrap_or(0);
    let longest = match quota.get("period").and_then(Value::as_str) {
        Some("DAY") => 0,
        Some("WEEK") => 6,
        Some("MONTH") => 27,
        _ => return Err(bad("Usage Plan quota must specify a period: DAY, WEEK or MONTH")),
    };
    if limit <= 0 {
        return Err(bad("Usage Plan quota must have a valid limit value"));
    }
    if !(0..=longest).contains(&offset) {
        return Err(bad("Usage Plan quota must have a valid offset"));
    }
    if let Some(quota) = quota.as_object_mut() {
        quota.insert("offset".to_owned(), offset.into());
    }
    Ok(())
}

pub(super) fn get(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    Ok(Answer::ok(shown(cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?)))
}

pub(super) fn list(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let key = nilas_wire::percent::query_value(&cx.request.query, "keyId");
    let mut plans = cx.apis.plans.list(cx.auth);
    plans.retain(|plan| key.as_deref().is_none_or(|key| keys_of(plan).iter().any(|id| id == key)));
    page(cx, plans.into_iter().map(|plan| shown(plan).into()).collect())
}

pub(super) async fn update(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let _writing = cx.apis.write().await;
    let mut plan = cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?;
    for patch in &patches {
        if patch.path == "/apiStages" || patch.path.starts_with("/apiStages/") {
            patch_stages(cx, &mut plan, patch)?;
        } else {
            shape::apply(tables::USAGE_PLAN, &mut plan, patch)?;
        }
    }
    check(&mut plan)?;
    cx.apis.plans.put(cx.auth, id, plan.clone()).await?;
    cx.apis.refresh_keys();
    Ok(Answer::ok(shown(plan)))
}

/// `/apiStages` with `API:STAGE`, or `/apiStages/API:STAGE/throttle/RESOURCE/METHOD[/rateLimit]`.
fn patch_stages(cx: &Cx<'_>, plan: &mut Members, patch: &Patch) -> Result<(), Fault> {
    let keys = patch.keys();
    let named = match keys.get(1) {
        Some(name) => name.as_str(),
        None => patch.value()?,
    };
    let (api, name) =
        named.split_once(':').ok_or_else(|| bad(format!("Invalid API stage: {named}")))?;
    let stages = plan.entry("apiStages").or_insert_with(|| json!([]));
    let Some(stages) = stages.as_array_mut() else { return Ok(()) };
    let is_it = |stage: &Value| stage["apiId"] == api && stage["stage"] == name;
    if keys.len() <= 2 {
        if patch.removes() {
            let before = stages.len();
            stages.retain(|stage| !is_it(stage));
            return if stages.len() < before {
                Ok(())
            } else {
                Err(not_found("Invalid API stage"))
            };
        }
        let added = json!({ "apiId": api, "stage": name });
        if let Some(added) = added.as_object() {
            check_stage(cx, added)?;
        }
        if stages.iter().any(is_it) {
            return Err(conflict("API stage is already in the usage plan"));
        }
        stages.push(added);
        return Ok(());
    }
    let stage = stages.iter_mut().find(|stage| is_it(stage)).and_then(Value::as_object_mut);
    let stage = stage.ok_or_else(|| not_found("Invalid API stage"))?;
    let throttle = stage.entry("throttle").or_insert_with(|| json!({}));
    let (Some(throttle), ["throttle", rest @ ..]) =
        (throttle.as_object_mut(), &keys[2..].iter().map(String::as_str).collect::<Vec<_>>()[..])
    else {
        return Err(patch.refused(API_STAGE));
    };
    // The resource's slashes come escaped, so that it is one key.
    let (method, limit) = match rest {
        [resource, verb] => (format!("{resource}/{verb}"), None),
        [resource, verb, limit] => (format!("{resource}/{verb}"), Some(*limit)),
        _ => return Err(patch.refused(API_STAGE)),
    };
    match limit {
        None if patch.removes() => drop(throttle.remove(&method)),
        None => return Err(patch.refused(API_STAGE)),
        Some(limit) => {
            let entry = throttle.entry(method).or_insert_with(|| json!({}));
            let Some(entry) = entry.as_object_mut() else { return Ok(()) };
            let known = [member("burstLimit", Shape::Integer), member("rateLimit", Shape::Number)];
            let inner = Patch { path: format!("/{limit}"), ..patch.clone() };
            shape::apply(&known, entry, &inner)?;
        }
    }
    Ok(())
}

pub(super) async fn delete(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let _writing = cx.apis.write().await;
    let plan = cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?;
    if plan.get("apiStages").and_then(Value::as_array).is_some_and(|stages| !stages.is_empty()) {
        return Err(bad(format!(
            "Cannot delete Usage Plan {id} because it has API stages associated with it"
        )));
    }
    cx.apis.plans.delete(cx.auth, id).await?;
    cx.apis.refresh_keys();
    Ok(Answer::accepted())
}

fn keys_of(plan: &Members) -> Vec<String> {
    shape::texts(plan, "keys")
}

fn key_shown(cx: &Cx<'_>, id: &str) -> Result<Value, Fault> {
    let key = cx.apis.keys.get(cx.auth, id).ok_or_else(no_plan_key)?;
    let mut shown = Members::new();
    shown.insert("id".to_owned(), id.into());
    shown.insert("type".to_owned(), "API_KEY".into());
    for name in ["value", "name"] {
        shown.extend(key.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    Ok(shown.into())
}

pub(super) async fn key_add(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let known = [member("keyId", Shape::Text), member("keyType", Shape::Text)];
    let body = shape::take(&known, &shape::body(cx.request)?)?;
    if text(&body, "keyType") != Some("API_KEY") {
        return Err(bad("Usage Plan Key Type must be API_KEY"));
    }
    let key = text(&body, "keyId").unwrap_or_default();
    let _writing = cx.apis.write().await;
    let mut plan = cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?;
    cx.apis.keys.get(cx.auth, key).ok_or_else(no_key)?;
    if keys_of(&plan).iter().any(|known| known == key) {
        return Err(conflict("Usage Plan Key already exists"));
    }
    if let Some(keys) = plan.entry("keys").or_insert_with(|| json!([])).as_array_mut() {
        keys.push(key.into());
    }
    cx.apis.plans.put(cx.auth, id, plan).await?;
    cx.apis.refresh_keys();
    Ok(Answer::created(key_shown(cx, key)?))
}

pub(super) fn key_list(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let plan = cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?;
    page(cx, keys_of(&plan).iter().filter_map(|key| key_shown(cx, key).ok()).collect())
}

pub(super) fn key_get(cx: &Cx<'_>, id: &str, key: &str) -> Result<Answer, Fault> {
    let plan = cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?;
    if !keys_of(&plan).iter().any(|known| known == key) {
        return Err(no_plan_key());
    }
    Ok(Answer::ok(key_shown(cx, key)?))
}

pub(super) async fn key_remove(cx: &Cx<'_>, id: &str, key: &str) -> Result<Answer, Fault> {
    let _writing = cx.apis.write().await;
    let mut plan = cx.apis.plans.get(cx.auth, id).ok_or_else(no_plan)?;
    let Some(keys) = plan.get_mut("keys").and_then(Value::as_array_mut) else {
        return Err(no_plan_key());
    };
    let before = keys.len();
    keys.retain(|known| known != key);
    if keys.len() == before {
        return Err(no_plan_key());
    }
    cx.apis.plans.put(cx.auth, id, plan).await?;
    cx.apis.refresh_keys();
    Ok(Answer::accepted())
}
