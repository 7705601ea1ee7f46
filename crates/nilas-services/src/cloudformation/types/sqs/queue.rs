//! `AWS::SQS::Queue`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

/// Characters of a queue's name.
const NAME_CHARS_MAX: usize = 80;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SQS::Queue",
    properties: &[
        Property::boolean("ContentBasedDeduplication"),
        Property::text("DeduplicationScope"),
        Property::integer("DelaySeconds"),
        Property::boolean("FifoQueue").replaces(),
        Property::text("FifoThroughputLimit"),
        Property::integer("KmsDataKeyReusePeriodSeconds"),
        Property::text("KmsMasterKeyId"),
        Property::integer("MaximumMessageSize"),
        Property::integer("MessageRetentionPeriod"),
        Property::text("QueueName").replaces(),
        Property::integer("ReceiveMessageWaitTimeSeconds"),
        Property::json("RedriveAllowPolicy"),
        Property::json("RedrivePolicy"),
        Property::boolean("SqsManagedSseEnabled"),
        Property::tags(),
        Property::integer("VisibilityTimeout"),
    ],
    attributes: &["Arn", "QueueName", "QueueUrl"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

/// Properties that are attributes of the same name, and what they are when a template does not have them any more.
const ATTRIBUTES: [(&str, &str); 12] = [
    ("ContentBasedDeduplication", "false"),
    ("DeduplicationScope", "queue"),
    ("DelaySeconds", "0"),
    ("FifoThroughputLimit", "perQueue"),
    ("KmsDataKeyReusePeriodSeconds", "300"),
    ("KmsMasterKeyId", ""),
    ("MaximumMessageSize", "1048576"),
    ("MessageRetentionPeriod", "345600"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
    ("RedriveAllowPolicy", ""),
    ("RedrivePolicy", ""),
    ("VisibilityTimeout", "30"),
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let is_fifo = properties.boolean("FifoQueue") == Some(true);
    let name = match properties.text("QueueName") {
        Some(name) => name.to_owned(),
        None if is_fifo => format!("{}.fifo", cx.name(NAME_CHARS_MAX - ".fifo".len())),
        None => cx.name(NAME_CHARS_MAX),
    };
    if !cx.resumed && call(cx, "GetQueueUrl", json!({ "QueueName": name })).await.is_ok() {
        return Err(Failure::already_exists(&name));
    }
    let mut attributes = attributes_of(properties);
    if is_fifo {
        attributes.insert("FifoQueue", "true".to_owned());
    }
    let tags: BTreeMap<String, String> = cx.own_tags(properties).into_iter().collect();
    let body = json!({ "QueueName": name, "Attributes": attributes, "tags": tags });
    let made = call(cx, "CreateQueue", body).await?;
    let url = made["QueueUrl"].as_str().unwrap_or_default();
    Ok(Resource::new(url)
        .with("Arn", cx.arn("sqs", &name))
        .with("QueueName", name)
        .with("QueueUrl", url))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let url = &resource.physical_id;
    let (mut attributes, before) = (attributes_of(new), attributes_of(old));
    for (name, default) in ATTRIBUTES {
        if before.contains_key(name) && !attributes.contains_key(name) {
            attributes.insert(name, default.to_owned());
        }
    }
    attributes.retain(|name, value| before.get(name) != Some(value));
    if !attributes.is_empty() {
        let body = json!({ "QueueUrl": url, "Attributes": attributes });
        call(cx, "SetQueueAttributes", body).await?;
    }
    let tags: BTreeMap<String, String> = cx.own_tags(new).into_iter().collect();
    let gone: Vec<String> = old.tags().into_iter().map(|(key, _)| key).collect();
    let gone: Vec<&String> = gone.iter().filter(|key| !tags.contains_key(*key)).collect();
    if !gone.is_empty() {
        call(cx, "UntagQueue", json!({ "QueueUrl": url, "TagKeys": gone })).await?;
    }
    if !tags.is_empty() {
        call(cx, "TagQueue", json!({ "QueueUrl": url, "Tags": tags })).await?;
    }
    Ok(resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, "DeleteQueue", json!({ "QueueUrl": resource.physical_id })).await.map(drop)
}

/// Attributes are texts, policies among them.
fn attributes_of(properties: &Properties) -> BTreeMap<&'static str, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let known = ATTRIBUTES.into_iter();
    known.filter_map(|(name, _)| Some((name, text(properties.get(name)?)))).collect()
}
