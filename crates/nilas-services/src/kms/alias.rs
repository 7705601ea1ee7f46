//! Aliases of keys.

use nilas_model::limits::KMS_KEYS_MAX;
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::Alias;
use super::{Cx, fault};
use crate::json_api::{constraint, seconds};

const NAME_CHARS_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Target {
    alias_name: String,
    target_key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Name {
    alias_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    key_id: Option<String>,
}

pub(super) async fn create(cx: Cx<'_>, input: Target) -> Result<Value, Fault> {
    check_name(&input.alias_name)?;
    let _writing = cx.shelf.writing().await;
    if cx.find_alias(&input.alias_name).await?.is_some() {
        let arn = cx.arn(&input.alias_name);
        let message = format!("An alias with the name {arn} already exists");
        return Err(Fault::plain("AlreadyExistsException", 400, message));
    }
    if cx.aliases().await?.len() >= KMS_KEYS_MAX {
        let message = format!("There are {KMS_KEYS_MAX} aliases already.");
        return Err(Fault::plain("LimitExceededException", 400, message));
    }
    store(cx, input, cx.now_ms).await
}

pub(super) async fn update(cx: Cx<'_>, input: Target) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let known = cx.find_alias(&input.alias_name).await?;
    let known = known.ok_or_else(|| fault::no_alias(&cx.arn(&input.alias_name)))?;
    store(cx, input, known.created_epoch_ms).await
}

async fn store(cx: Cx<'_>, input: Target, created_epoch_ms: u64) -> Result<Value, Fault> {
    if input.target_key_id.contains("alias/") {
        return Err(Fault::validation("Aliases must refer to keys, not aliases"));
    }
    let key = cx.key(&input.target_key_id).await?;
    let alias = Alias {
        name: input.alias_name,
        key_id: key.id,
        created_epoch_ms,
        updated_epoch_ms: cx.now_ms,
    };
    cx.store_alias(&alias).await?;
    Ok(Value::Null)
}

pub(super) async fn delete(cx: Cx<'_>, input: Name) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    match cx.remove_alias(&input.alias_name).await? {
        true => Ok(Value::Null),
        false => Err(fault::no_alias(&cx.arn(&input.alias_name))),
    }
}

/// All of them at once: `Truncated` is never true.
pub(super) async fn list(cx: Cx<'_>, input: List) -> Result<Value, Fault> {
    let mut aliases = cx.aliases().await?;
    if let Some(id) = &input.key_id {
        let key = cx.key(id).await?;
        aliases.retain(|alias| alias.key_id == key.id);
    }
    let shown = aliases.iter().map(|alias| {
        json!({
            "AliasName": alias.name,
            "AliasArn": cx.arn(&alias.name),
            "TargetKeyId": alias.key_id,
            "CreationDate": seconds(alias.created_epoch_ms),
            "LastUpdatedDate": seconds(alias.updated_epoch_ms),
        })
    });
    Ok(json!({ "Aliases": shown.collect::<Value>(), "Truncated": false }))
}

fn check_name(name: &str) -> Result<(), Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
    let Some(rest) = name.strip_prefix("alias/") else {
        return Err(Fault::validation("Invalid identifier: an alias must start with alias/."));
    };
    if rest.starts_with("aws/") {
        let message = "Aliases that begin with alias/aws/ are reserved.";
        return Err(Fault::plain("NotAuthorizedException", 400, message));
    }
    if rest.is_empty() || name.len() > NAME_CHARS_MAX || !rest.chars().all(legal) {
        let pattern = "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$";
        return Err(constraint("aliasName", name, pattern));
    }
    Ok(())
}
