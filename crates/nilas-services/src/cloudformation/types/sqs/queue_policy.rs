//! `AWS::SQS::QueuePolicy`

use serde_json::{Value, json};

use super::call;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SQS::QueuePolicy",
    properties: &[
        Property::json("PolicyDocument").required(),
        Property::list("Queues", &Shape::Text).required(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name(80);
    set(cx, &properties.texts("Queues"), &document(properties)).await?;
    Ok(Resource::new(&name).with("Id", name))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let (queues, before) = (change.new.texts("Queues"), change.old.texts("Queues"));
    let gone: Vec<&str> = before.into_iter().filter(|url| !queues.contains(url)).collect();
    set(cx, &gone, "").await?;
    set(cx, &queues, &document(change.new)).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    set(cx, &properties.texts("Queues"), "").await
}

/// An empty policy takes it away.
async fn set(cx: &Cx, urls: &[&str], policy: &str) -> Result<(), Failure> {
    for url in urls {
        let body = json!({ "QueueUrl": url, "Attributes": { "Policy": policy } });
        call(cx, "SetQueueAttributes", body).await?;
    }
    Ok(())
}

fn document(properties: &Properties) -> String {
    match properties.get("PolicyDocument") {
        Some(Value::String(text)) => text.clone(),
        Some(document) => document.to_string(),
        None => String::new(),
    }
}
