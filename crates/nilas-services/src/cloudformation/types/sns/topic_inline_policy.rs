//! `AWS::SNS::TopicInlinePolicy`: the policy of one topic.

use super::{as_text, set_of_topic};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SNS::TopicInlinePolicy",
    properties: &[
        Property::json("PolicyDocument").required(),
        Property::text("TopicArn").required().replaces(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(put(cx, properties)),
    update: |cx, change| Box::pin(put(cx, change.new)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

async fn put(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let topic = properties.required("TopicArn")?;
    let document = properties.get("PolicyDocument").map(as_text).unwrap_or_default();
    set_of_topic(cx, topic, "Policy", &document).await?;
    Ok(Resource::new(topic))
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    set_of_topic(cx, properties.required("TopicArn")?, "Policy", "").await
}
