//! API keys.

use nilas_model::limits;
use nilas_wire::{Fault, percent};
use serde_json::{Value, json};

use super::apis::without;
use super::fault::{bad, conflict, limit, not_found};
use super::list::page;
use super::record::{api_id, random_id};
use super::shape::{self, Members, Shape, TEXT_MAP, member, text};
use super::{Answer, Cx, tables};

pub(super) fn no_key() -> Fault {
    not_found("Invalid API Key identifier specified")
}

pub(super) async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let body = shape::body(cx.request)?;
    let mut key = shape::take(tables::API_KEY, &body)?;
    let more = [member("generateDistinctId", Shape::Flag), member("tags", TEXT_MAP)];
    let more = shape::take(&more, &body)?;
    if body.get("stageKeys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty()) {
        return Err(bad("Stage keys are not supported: use usage plans."));
    }
    if let Some(value) = text(&key, "value")
        && !(20..=128).contains(&value.len())
    {
        return Err(bad("API Key value should be at least 20 characters"));
    }
    let _writing = cx.apis.write().await;
    let known = cx.apis.keys.list(cx.auth);
    if known.len() >= limits::API_KEYS_MAX {
        return Err(limit("Maximum number of API keys for this account has been reached"));
    }
    if let Some(value) = text(&key, "value")
        && known.iter().any(|other| text(other, "value") == Some(value))
    {
        return Err(conflict("API Key already exists"));
    }
    let (id, now) = (api_id(), cx.apis.now());
    key.insert("id".to_owned(), id.as_str().into());
    key.entry("value").or_insert_with(|| random_id(40).into());
    key.entry("enabled").or_insert_with(|| false.into());
    key.insert("createdDate".to_owned(), now.clone());
    key.insert("lastUpdatedDate".to_owned(), now);
    key.insert("stageKeys".to_owned(), json!([]));
    key.extend(more.get("tags").map(|tags| ("tags".to_owned(), tags.clone())));
    cx.apis.keys.put(cx.auth, &id, key.clone()).await?;
    cx.apis.refresh_keys();
    Ok(Answer::created(key))
}

pub(super) fn get(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let key = cx.apis.keys.get(cx.auth, id).ok_or_else(no_key)?;
    let include = percent::query_value(&cx.request.query, "includeValue");
    Ok(Answer::ok(shown(key, include.as_deref())))
}

/// Values are shown to those who ask for them.
fn shown(key: Members, include_value: Option<&str>) -> Members {
    if include_value == Some("true") { key } else { without(key, &["value"]) }
}

pub(super) fn list(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let query = |name| percent::query_value(&cx.request.query, name);
    let (name, customer, include) = (query("name"), query("customerId"), query("includeValues"));
    let wanted = |key: &Members| {
        name.as_deref()
            .is_none_or(|name| text(key, "name").is_some_and(|known| known.starts_with(name)))
            && customer.as_deref().is_none_or(|id| text(key, "customerId") == Some(id))
    };
    let mut keys = cx.apis.keys.list(cx.auth);
    keys.retain(wanted);
    page(cx, keys.into_iter().map(|key| shown(key, include.as_deref()).into()).collect())
}

pub(super) async fn update(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let _writing = cx.apis.write().await;
    let mut key = cx.apis.keys.get(cx.auth, id).ok_or_else(no_key)?;
    let known: Vec<_> =
        tables::API_KEY.iter().filter(|member| member.name != "value").copied().collect();
    shape::patch(&known, &mut key, &patches)?;
    key.insert("lastUpdatedDate".to_owned(), cx.apis.now());
    cx.apis.keys.put(cx.auth, id, key.clone()).await?;
    cx.apis.refresh_keys();
    Ok(Answer::ok(shown(key, None)))
}

pub(super) async fn delete(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let _writing = cx.apis.write().await;
    cx.apis.keys.get(cx.auth, id).ok_or_else(no_key)?;
    for mut plan in cx.apis.plans.list(cx.auth) {
        let Some(keys) = plan.get_mut("keys").and_then(Value::as_array_mut) else { continue };
        let before = keys.len();
        keys.retain(|known| known != id);
        if keys.len() < before
            && let Some(plan_id) = text(&plan, "id").map(str::to_owned)
        {
            cx.apis.plans.put(cx.auth, &plan_id, plan).await?;
        }
    }
    cx.apis.keys.delete(cx.auth, id).await?;
    cx.apis.refresh_keys();
    Ok(Answer::accepted())
}
