//! `AWS::ApiGateway::Authorizer`

use super::{body, delete, list, lower, member, operation, operations, patch, post};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

const TTL: &str = "AuthorizerResultTtlInSeconds";
const TTL_S_BY_DEFAULT: u32 = 300;
const MEMBERS: [&str; 9] = [
    "AuthType",
    "AuthorizerCredentials",
    "AuthorizerResultTtlInSeconds",
    "AuthorizerUri",
    "IdentitySource",
    "IdentityValidationExpression",
    "Name",
    "ProviderARNs",
    "Type",
];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Authorizer",
    properties: &[
        Property::text("AuthType"),
        Property::text("AuthorizerCredentials"),
        Property::integer("AuthorizerResultTtlInSeconds"),
        Property::text("AuthorizerUri"),
        Property::text("IdentitySource"),
        Property::text("IdentityValidationExpression"),
        Property::text("Name").required(),
        Property::list("ProviderARNs", &Shape::Text),
        Property::text("RestApiId").required().replaces(),
        Property::text("Type").required(),
    ],
    attributes: &["AuthorizerId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| {
        Box::pin(async move {
            let target = target(properties)?;
            delete(cx, &format!("{target}/{}", resource.physical_id)).await
        })
    },
};

fn target(properties: &Properties) -> Result<String, Failure> {
    Ok(format!("/restapis/{}/authorizers", properties.required("RestApiId")?))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let target = target(properties)?;
    let name = properties.required("Name")?;
    let found = match cx.resumed {
        true => list(cx, &target).await?.into_iter().find(|known| known["name"] == name),
        false => None,
    };
    let made = match found {
        Some(made) => made,
        None => post(cx, &target, body(properties, &MEMBERS)).await?,
    };
    let id = member(&made, "id")?;
    Ok(Resource::new(&id).with("AuthorizerId", id.as_str()))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let target = format!("{}/{}", target(change.new)?, change.resource.physical_id);
    let mut changed = operations(change, &MEMBERS);
    // It cannot be without.
    if change.old.get(TTL).is_some() && change.new.get(TTL).is_none() {
        let path = format!("/{}", lower(TTL));
        changed.retain(|operation| operation["path"] != path.as_str());
        changed.push(operation(&path, Some(&TTL_S_BY_DEFAULT.into())));
    }
    patch(cx, &target, changed).await?;
    Ok(change.resource.clone())
}
