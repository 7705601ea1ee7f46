//! Tags of secrets.

use nilas_model::limits::RESOURCE_TAGS_MAX;
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::Value;

use super::{Cx, fault};
use crate::json_api::{Tag as Given, add_tags};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    secret_id: String,
    tags: Vec<Given>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Untag {
    secret_id: String,
    tag_keys: Vec<String>,
}

pub(super) async fn tag(cx: Cx<'_>, input: Tag) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut secret = cx.secret(&input.secret_id).await?;
    add_tags(&mut secret.tags, input.tags);
    check(&secret.tags)?;
    cx.store(&secret).await?;
    Ok(Value::Null)
}

pub(super) async fn untag(cx: Cx<'_>, input: Untag) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut secret = cx.secret(&input.secret_id).await?;
    secret.tags.retain(|(key, _)| !input.tag_keys.contains(key));
    cx.store(&secret).await?;
    Ok(Value::Null)
}

/// The tags of a new secret.
pub(super) fn checked(given: Vec<Given>) -> Result<Vec<(String, String)>, Fault> {
    let mut tags = Vec::new();
    add_tags(&mut tags, given);
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &[(String, String)]) -> Result<(), Fault> {
    let is_long = |(key, value): &(String, String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256
    };
    if tags.len() > RESOURCE_TAGS_MAX || tags.iter().any(is_long) {
        let message = "A secret has 50 tags at most, with keys of 1 to 128 and values of up to 256 characters.";
        return Err(fault::invalid_parameter(message));
    }
    Ok(())
}
