//! Tags of parameters.

use nilas_model::limits::RESOURCE_TAGS_MAX;
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::Parameter;
use super::{Cx, fault};
use crate::json_api::{Tag, add_tags, tag_list};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    resource_type: String,
    resource_id: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    resource_type: String,
    resource_id: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    resource_type: String,
    resource_id: String,
}

pub(super) async fn add(cx: Cx<'_>, input: Add) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut parameter = find(cx, &input.resource_type, &input.resource_id).await?;
    add_tags(&mut parameter.tags, input.tags);
    check_count(&parameter.tags)?;
    cx.store(&parameter).await?;
    Ok(json!({}))
}

pub(super) async fn remove(cx: Cx<'_>, input: Remove) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut parameter = find(cx, &input.resource_type, &input.resource_id).await?;
    parameter.tags.retain(|(key, _)| !input.tag_keys.contains(key));
    cx.store(&parameter).await?;
    Ok(json!({}))
}

pub(super) async fn list(cx: Cx<'_>, input: List) -> Result<Value, Fault> {
    let parameter = find(cx, &input.resource_type, &input.resource_id).await?;
    Ok(json!({ "TagList": tag_list(&parameter.tags) }))
}

pub(super) fn check_count(tags: &[(String, String)]) -> Result<(), Fault> {
    if tags.len() > RESOURCE_TAGS_MAX {
        let message = format!("The number of tags is over the limit of {RESOURCE_TAGS_MAX}.");
        return Err(fault::plain("TooManyTagsError", message));
    }
    if let Some((key, _)) = tags.iter().find(|(key, value)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256
    }) {
        return Err(Fault::validation(format!(
            "The tag '{key}' is invalid: a key has 1 to 128 characters, a value up to 256."
        )));
    }
    Ok(())
}

async fn find(cx: Cx<'_>, kind: &str, id: &str) -> Result<Parameter, Fault> {
    if kind != "Parameter" {
        let message = format!("nilas keeps no resources of the type {kind}.");
        return Err(fault::plain("InvalidResourceType", message));
    }
    let found = cx.find(id).await?;
    found.ok_or_else(|| {
        let message =
            format!("The resource ID \"{id}\" is not valid. Verify the ID and try again.");
        fault::plain("InvalidResourceId", message)
    })
}
