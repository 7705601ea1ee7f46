//! `AWS::ApiGateway::Resource`

use serde_json::json;

use super::{delete, list, member, post};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Resource",
    properties: &[
        Property::text("ParentId").required().replaces(),
        Property::text("PathPart").required().replaces(),
        Property::text("RestApiId").required().replaces(),
    ],
    attributes: &["ResourceId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    // Every property means a replacement.
    update: |_, change| Box::pin(async move { Ok(change.resource.clone()) }),
    delete: |cx, resource, properties| {
        Box::pin(async move {
            let api = properties.required("RestApiId")?;
            delete(cx, &format!("/restapis/{api}/resources/{}", resource.physical_id)).await
        })
    },
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let api = properties.required("RestApiId")?;
    let (parent, part) = (properties.required("ParentId")?, properties.required("PathPart")?);
    let all = format!("/restapis/{api}/resources");
    let is_it =
        |known: &serde_json::Value| known["parentId"] == parent && known["pathPart"] == part;
    let found = if cx.resumed { list(cx, &all).await?.into_iter().find(is_it) } else { None };
    let made = match found {
        Some(made) => made,
        None => post(cx, &format!("{all}/{parent}"), json!({ "pathPart": part })).await?,
    };
    let id = member(&made, "id")?;
    Ok(Resource::new(&id).with("ResourceId", id.as_str()))
}
