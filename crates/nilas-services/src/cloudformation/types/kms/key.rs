//! `AWS::KMS::Key`

use serde_json::{Value, json};

use super::call;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::KMS::Key",
    properties: &[
        Property::boolean("BypassPolicyLockoutSafetyCheck").inert(),
        Property::text("Description"),
        Property::boolean("EnableKeyRotation").inert(),
        Property::boolean("Enabled"),
        Property::json("KeyPolicy"),
        Property::text("KeySpec").replaces(),
        Property::text("KeyUsage").replaces(),
        Property::boolean("MultiRegion").replaces(),
        Property::text("Origin").replaces(),
        Property::integer("PendingWindowInDays"),
        Property::integer("RotationPeriodInDays").inert(),
        Property::tags(),
    ],
    attributes: &["Arn", "KeyId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| Box::pin(delete(cx, resource, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let names = ["Description", "KeySpec", "KeyUsage", "MultiRegion", "Origin"];
    let mut body = Value::Object(properties.pick(&names));
    if let Some(policy) = properties.get("KeyPolicy") {
        body["Policy"] = document(policy).into();
    }
    body["Tags"] = tag_list(cx.tags(properties));
    let known = if cx.resumed { ours(cx).await? } else { None };
    let id = match known {
        Some(id) => id,
        None => {
            let made = call(cx, "CreateKey", body).await?;
            let id = made["KeyMetadata"]["KeyId"].as_str();
            id.ok_or_else(|| Failure::no_member("KeyMetadata.KeyId"))?.to_owned()
        }
    };
    let arn = cx.arn("kms", &format!("key/{id}"));
    let made = Resource::new(&id).with("Arn", arn).with("KeyId", id.as_str());
    if properties.boolean("Enabled") == Some(false) {
        let disabled = call(cx, "DisableKey", json!({ "KeyId": id })).await;
        disabled.map_err(|failure| failure.after(made.clone()))?;
    }
    Ok(made)
}

/// The key that this very resource made before the server stopped.
async fn ours(cx: &Cx) -> Result<Option<String>, Failure> {
    let keys = call(cx, "ListKeys", json!({})).await?;
    for key in keys["Keys"].as_array().into_iter().flatten() {
        let Some(id) = key["KeyId"].as_str() else { continue };
        let found = call(cx, "ListResourceTags", json!({ "KeyId": id })).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tags = found["Tags"].as_array().into_iter().flatten();
        let tags: Vec<(String, String)> =
            tags.map(|tag| (text(&tag["TagKey"]), text(&tag["TagValue"]))).collect();
        if cx.are_ours(&tags) {
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = &change.resource.physical_id;
    let changed = |name| change.new.differs(change.old, name);
    // A key that is switched off can be changed, too.
    if changed("Description") {
        let description = change.new.text("Description").unwrap_or_default();
        call(cx, "UpdateKeyDescription", json!({ "KeyId": id, "Description": description }))
            .await?;
    }
    if changed("KeyPolicy")
        && let Some(policy) = change.new.get("KeyPolicy")
    {
        call(cx, "PutKeyPolicy", json!({ "KeyId": id, "Policy": document(policy) })).await?;
    }
    if changed("Enabled") {
        let is_enabled = change.new.boolean("Enabled").unwrap_or(true);
        let operation = if is_enabled { "EnableKey" } else { "DisableKey" };
        call(cx, operation, json!({ "KeyId": id })).await?;
    }
    let tags = cx.tags(change.new);
    let is_gone = |key: &String| !tags.iter().any(|(known, _)| known == key);
    let gone: Vec<String> =
        change.old.tags().into_iter().map(|(key, _)| key).filter(is_gone).collect();
    if !gone.is_empty() {
        call(cx, "UntagResource", json!({ "KeyId": id, "TagKeys": gone })).await?;
    }
    call(cx, "TagResource", json!({ "KeyId": id, "Tags": tag_list(tags) })).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let days = properties.integer("PendingWindowInDays").unwrap_or(30);
    let body = json!({ "KeyId": resource.physical_id, "PendingWindowInDays": days });
    match call(cx, "ScheduleKeyDeletion", body).await {
        // It was asked for before the server stopped.
        Err(_) if cx.resumed => Ok(()),
        deleted => deleted.map(drop),
    }
}

fn document(policy: &Value) -> String {
    policy.as_str().map_or_else(|| policy.to_string(), str::to_owned)
}

fn tag_list(tags: Vec<(String, String)>) -> Value {
    tags.into_iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect()
}
