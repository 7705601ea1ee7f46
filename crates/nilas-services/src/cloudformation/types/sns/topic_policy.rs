//! `AWS::SNS::TopicPolicy`

use super::{as_text, set_of_topic};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SNS::TopicPolicy",
    properties: &[
        Property::json("PolicyDocument").required(),
        Property::list("Topics", &Shape::Text).required(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name(80);
    set(cx, &properties.texts("Topics"), &document(properties)).await?;
    Ok(Resource::new(&name).with("Id", name))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let (topics, before) = (change.new.texts("Topics"), change.old.texts("Topics"));
    let gone: Vec<&str> = before.into_iter().filter(|arn| !topics.contains(arn)).collect();
    set(cx, &gone, "").await?;
    set(cx, &topics, &document(change.new)).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    set(cx, &properties.texts("Topics"), "").await
}

/// An empty policy is the one that a topic begins with.
async fn set(cx: &Cx, topics: &[&str], policy: &str) -> Result<(), Failure> {
    for topic in topics {
        set_of_topic(cx, topic, "Policy", policy).await?;
    }
    Ok(())
}

fn document(properties: &Properties) -> String {
    properties.get("PolicyDocument").map(as_text).unwrap_or_default()
}
