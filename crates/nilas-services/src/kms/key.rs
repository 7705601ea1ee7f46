//! Keys: made, read, switched off, deleted after a while.

use nilas_model::limits::{KMS_KEYS_MAX, KMS_POLICY_BYTES_MAX, RESOURCE_TAGS_MAX};
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::record::Key;
use super::{Cx, fault};
use crate::json_api::{constraint, seconds};

const DAYS_DEFAULT: u64 = 30;
const DAYS: std::ops::RangeInclusive<u64> = 7..=30;
const DAY_MS: u64 = 86_400_000;
const DESCRIPTION_CHARS_MAX: usize = 8_192;
const SPEC: &str = "SYMMETRIC_DEFAULT";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    policy: Option<String>,
    #[serde(default)]
    description: String,
    key_usage: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    multi_region: bool,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    tag_key: String,
    #[serde(default)]
    tag_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    key_id: String,
    description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deletion {
    key_id: String,
    pending_window_in_days: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    key_id: String,
    policy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tagged {
    key_id: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Untagged {
    key_id: String,
    tag_keys: Vec<String>,
}

pub(super) async fn create(cx: Cx<'_>, input: Create) -> Result<Value, Fault> {
    let spec = input.key_spec.as_deref().or(input.customer_master_key_spec.as_deref());
    if let Some(spec) = spec.filter(|spec| *spec != SPEC) {
        return Err(fault::not_supported(spec));
    }
    if let Some(usage) = input.key_usage.as_deref().filter(|usage| *usage != "ENCRYPT_DECRYPT") {
        return Err(fault::not_supported(usage));
    }
    if let Some(origin) = input.origin.as_deref().filter(|origin| *origin != "AWS_KMS") {
        return Err(fault::not_supported(&format!("keys of the origin {origin}")));
    }
    if input.multi_region {
        return Err(fault::not_supported("keys of several regions"));
    }
    check_description(&input.description)?;
    let policy = match input.policy {
        Some(policy) => checked_policy(policy)?,
        None => default_policy(cx),
    };
    let mut tags = Vec::new();
    add_tags(&mut tags, input.tags)?;
    let _writing = cx.shelf.writing().await;
    if cx.keys().await?.len() >= KMS_KEYS_MAX {
        let message = format!("There are {KMS_KEYS_MAX} keys already.");
        return Err(Fault::plain("LimitExceededException", 400, message));
    }
    let id = Uuid::new_v4().to_string();
    let key = Key {
        material: cx.new_material(&id),
        id,
        description: input.description,
        created_epoch_ms: cx.now_ms,
        is_enabled: true,
        deletion_epoch_ms: None,
        policy,
        tags,
    };
    cx.store_key(&key).await?;
    Ok(json!({ "KeyMetadata": metadata(cx, &key) }))
}

pub(super) async fn describe(cx: Cx<'_>, input: Named) -> Result<Value, Fault> {
    let key = cx.key(&input.key_id).await?;
    Ok(json!({ "KeyMetadata": metadata(cx, &key) }))
}

/// All of them at once: `Truncated` is never true.
pub(super) async fn list(cx: Cx<'_>) -> Result<Value, Fault> {
    let keys = cx.keys().await?;
    let shown = keys.iter().map(|key| json!({ "KeyId": key.id, "KeyArn": cx.arn(&key.id) }));
    Ok(json!({ "Keys": shown.collect::<Value>(), "Truncated": false }))
}

pub(super) async fn enable(cx: Cx<'_>, input: Named, is_enabled: bool) -> Result<Value, Fault> {
    change(cx, &input.key_id, |key| {
        key.is_enabled = is_enabled;
        Ok(())
    })
    .await
}

pub(super) async fn update_description(cx: Cx<'_>, input: Describe) -> Result<Value, Fault> {
    check_description(&input.description)?;
    change(cx, &input.key_id, |key| {
        key.description = input.description;
        Ok(())
    })
    .await
}

pub(super) async fn schedule_deletion(cx: Cx<'_>, input: Deletion) -> Result<Value, Fault> {
    let days = input.pending_window_in_days.unwrap_or(DAYS_DEFAULT);
    if !DAYS.contains(&days) {
        let bound =
            if days < 7 { "greater than or equal to 7" } else { "less than or equal to 30" };
        let limit = format!("have value {bound}");
        return Err(constraint("pendingWindowInDays", &days.to_string(), &limit));
    }
    let due = cx.now_ms + days * DAY_MS;
    change(cx, &input.key_id, |key| {
        key.deletion_epoch_ms = Some(due);
        Ok(())
    })
    .await?;
    let key = cx.key(&input.key_id).await?;
    Ok(json!({
        "KeyId": cx.arn(&key.id),
        "DeletionDate": seconds(due),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

/// The key stays switched off, as on AWS.
pub(super) async fn cancel_deletion(cx: Cx<'_>, input: Named) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut key = cx.key(&input.key_id).await?;
    let arn = cx.arn(&key.id);
    if key.deletion_epoch_ms.is_none() {
        return Err(fault::invalid_state(format!("{arn} is not pending deletion.")));
    }
    key.deletion_epoch_ms = None;
    key.is_enabled = false;
    cx.store_key(&key).await?;
    Ok(json!({ "KeyId": arn }))
}

pub(super) async fn policy(cx: Cx<'_>, input: Named) -> Result<Value, Fault> {
    let key = cx.key(&input.key_id).await?;
    Ok(json!({ "Policy": key.policy, "PolicyName": "default" }))
}

pub(super) async fn put_policy(cx: Cx<'_>, input: Policy) -> Result<Value, Fault> {
    let policy = checked_policy(input.policy)?;
    change(cx, &input.key_id, |key| {
        key.policy = policy;
        Ok(())
    })
    .await
}

pub(super) async fn tag(cx: Cx<'_>, input: Tagged) -> Result<Value, Fault> {
    change(cx, &input.key_id, |key| add_tags(&mut key.tags, input.tags)).await
}

pub(super) async fn untag(cx: Cx<'_>, input: Untagged) -> Result<Value, Fault> {
    change(cx, &input.key_id, |key| {
        key.tags.retain(|(key, _)| !input.tag_keys.contains(key));
        Ok(())
    })
    .await
}

pub(super) async fn tags(cx: Cx<'_>, input: Named) -> Result<Value, Fault> {
    let key = cx.key(&input.key_id).await?;
    let tags = key.tags.iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value }));
    Ok(json!({ "Tags": tags.collect::<Value>(), "Truncated": false }))
}

/// A key that waits for its deletion is not changed.
async fn change(
    cx: Cx<'_>,
    id: &str,
    change: impl FnOnce(&mut Key) -> Result<(), Fault>,
) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut key = cx.key(id).await?;
    if key.deletion_epoch_ms.is_some() {
        let arn = cx.arn(&key.id);
        return Err(fault::invalid_state(format!("{arn} is pending deletion.")));
    }
    change(&mut key)?;
    cx.store_key(&key).await?;
    Ok(Value::Null)
}

fn metadata(cx: Cx<'_>, key: &Key) -> Value {
    let state = match key {
        Key { deletion_epoch_ms: Some(_), .. } => "PendingDeletion",
        Key { is_enabled: true, .. } => "Enabled",
        _ => "Disabled",
    };
    let mut metadata = json!({
        "AWSAccountId": cx.auth.account.as_str(),
        "KeyId": key.id,
        "Arn": cx.arn(&key.id),
        "CreationDate": seconds(key.created_epoch_ms),
        "Enabled": state == "Enabled",
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": state,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": SPEC,
        "KeySpec": SPEC,
        "EncryptionAlgorithms": [SPEC],
        "MultiRegion": false,
    });
    if let Some(due) = key.deletion_epoch_ms {
        metadata["DeletionDate"] = seconds(due);
    }
    metadata
}

// === members ===

fn default_policy(cx: Cx<'_>) -> String {
    let root = format!("arn:aws:iam::{}:root", cx.auth.account.as_str());
    let statement = json!({
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": { "AWS": root },
        "Action": "kms:*",
        "Resource": "*",
    });
    json!({ "Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement] }).to_string()
}

fn checked_policy(policy: String) -> Result<String, Fault> {
    let is_document = serde_json::from_str::<serde_json::Map<_, _>>(&policy).is_ok();
    if !is_document || policy.len() > KMS_POLICY_BYTES_MAX {
        let message = "The policy is not a JSON document of at most 32768 bytes.";
        return Err(Fault::plain("MalformedPolicyDocumentException", 400, message));
    }
    Ok(policy)
}

fn check_description(description: &str) -> Result<(), Fault> {
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        let limit = "have length less than or equal to 8192";
        return Err(constraint("description", description, limit));
    }
    Ok(())
}

fn add_tags(tags: &mut Vec<(String, String)>, new: Vec<Tag>) -> Result<(), Fault> {
    for Tag { tag_key, tag_value } in new {
        if tag_key.is_empty() || tag_key.chars().count() > 128 || tag_value.chars().count() > 256 {
            let message = "A tag has a key of 1 to 128 and a value of up to 256 characters.";
            return Err(Fault::plain("TagException", 400, message));
        }
        tags.retain(|(known, _)| *known != tag_key);
        tags.push((tag_key, tag_value));
    }
    if tags.len() > RESOURCE_TAGS_MAX {
        let message = format!("A key has {RESOURCE_TAGS_MAX} tags at most.");
        return Err(Fault::plain("LimitExceededException", 400, message));
    }
    Ok(())
}
