//! `AWS::KMS::Alias`

use serde_json::json;

use super::call;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::KMS::Alias",
    properties: &[
        Property::text("AliasName").required().replaces(),
        Property::text("TargetKeyId").required(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let (name, key) = (properties.required("AliasName")?, properties.required("TargetKeyId")?);
    match call(cx, "CreateAlias", json!({ "AliasName": name, "TargetKeyId": key })).await {
        Err(failure) if cx.resumed && failure.is_already_exists() => {}
        created => drop(created?),
    }
    Ok(Resource::new(name))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let (name, key) = (&change.resource.physical_id, change.new.required("TargetKeyId")?);
    call(cx, "UpdateAlias", json!({ "AliasName": name, "TargetKeyId": key })).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, "DeleteAlias", json!({ "AliasName": resource.physical_id })).await.map(drop)
}
