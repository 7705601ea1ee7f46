//! `AWS::ApiGateway::GatewayResponse`

use super::{body, delete, put};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::GatewayResponse",
    properties: &[
        Property::map("ResponseParameters", &Shape::Text),
        Property::map("ResponseTemplates", &Shape::Text),
        Property::text("ResponseType").required().replaces(),
        Property::text("RestApiId").required().replaces(),
        Property::text("StatusCode"),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(set(cx, properties)),
    update: |cx, change| Box::pin(set(cx, change.new)),
    delete: |cx, _, properties| Box::pin(async move { delete(cx, &target(properties)?).await }),
};

fn target(properties: &Properties) -> Result<String, Failure> {
    let api = properties.required("RestApiId")?;
    Ok(format!("/restapis/{api}/gatewayresponses/{}", properties.required("ResponseType")?))
}

async fn set(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let names = ["ResponseParameters", "ResponseTemplates", "StatusCode"];
    put(cx, &target(properties)?, body(properties, &names)).await?;
    let (api, kind) = (properties.required("RestApiId")?, properties.required("ResponseType")?);
    let id = format!("{api}|{kind}");
    Ok(Resource::new(&id).with("Id", id.as_str()))
}
