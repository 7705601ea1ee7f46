//! `AWS::ApiGateway::Account`

use super::{operation, patch};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Account",
    properties: &[Property::text("CloudWatchRoleArn")],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| {
        Box::pin(async move {
            set(cx, change.new).await?;
            Ok(change.resource.clone())
        })
    },
    // The setting outlives the resource, as on AWS.
    delete: |_, _, _| Box::pin(async { Ok(()) }),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    set(cx, properties).await?;
    let id = cx.name(64);
    Ok(Resource::new(&id).with("Id", id.as_str()))
}

async fn set(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    let role = properties.get("CloudWatchRoleArn");
    patch(cx, "/account", vec![operation("/cloudwatchRoleArn", role)]).await
}
