//! `AWS::ApiGateway::RequestValidator`

use serde_json::Value;

use super::{body, delete, list, lower, member, operation, patch, post};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

const CHECKS: [&str; 2] = ["ValidateRequestBody", "ValidateRequestParameters"];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::RequestValidator",
    properties: &[
        Property::text("Name").replaces(),
        Property::text("RestApiId").required().replaces(),
        Property::boolean("ValidateRequestBody"),
        Property::boolean("ValidateRequestParameters"),
    ],
    attributes: &["RequestValidatorId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| {
        Box::pin(async move {
            delete(cx, &format!("{}/{}", target(properties)?, resource.physical_id)).await
        })
    },
};

fn target(properties: &Properties) -> Result<String, Failure> {
    Ok(format!("/restapis/{}/requestvalidators", properties.required("RestApiId")?))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let target = target(properties)?;
    let name = cx.name_or(properties, "Name", 128);
    let found = match cx.resumed {
        true => list(cx, &target).await?.into_iter().find(|known| known["name"] == name.as_str()),
        false => None,
    };
    let made = match found {
        Some(made) => made,
        None => {
            let mut body = body(properties, &CHECKS);
            body.insert("name".to_owned(), name.into());
            post(cx, &target, body).await?
        }
    };
    let id = member(&made, "id")?;
    Ok(Resource::new(&id).with("RequestValidatorId", id.as_str()))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let target = format!("{}/{}", target(change.new)?, change.resource.physical_id);
    let changed = CHECKS.iter().filter(|check| change.new.differs(change.old, check));
    let changed = changed
        .map(|check| operation(&format!("/{}", lower(check)), Some(&is_on(change.new, check))))
        .collect();
    patch(cx, &target, changed).await?;
    Ok(change.resource.clone())
}

/// A check that the template does not mention is off; the API cannot remove it.
fn is_on(properties: &Properties, check: &str) -> Value {
    properties.get(check).cloned().unwrap_or_else(|| false.into())
}
