//! `AWS::ApiGateway::UsagePlanKey`

use super::{body, delete, get, post};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::UsagePlanKey",
    properties: &[
        Property::text("KeyId").required().replaces(),
        Property::text("KeyType").required().replaces(),
        Property::text("UsagePlanId").required().replaces(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    // Every property means a replacement.
    update: |_, change| Box::pin(async move { Ok(change.resource.clone()) }),
    delete: |cx, _, properties| Box::pin(async move { delete(cx, &target(properties)?).await }),
};

fn target(properties: &Properties) -> Result<String, Failure> {
    let (plan, key) = (properties.required("UsagePlanId")?, properties.required("KeyId")?);
    Ok(format!("/usageplans/{plan}/keys/{key}"))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let (plan, key) = (properties.required("UsagePlanId")?, properties.required("KeyId")?);
    let all = format!("/usageplans/{plan}/keys");
    match post(cx, &all, body(properties, &["KeyId", "KeyType"])).await {
        Err(_) if cx.resumed && get(cx, &target(properties)?).await.is_ok() => {}
        added => drop(added?),
    }
    let id = format!("{key}:{plan}");
    Ok(Resource::new(&id).with("Id", id.as_str()))
}
