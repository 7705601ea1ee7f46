//! `AWS::ApiGateway::ApiKey`

use super::{body, delete, member, operations, ours, patch, post, retag, tags};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::ApiKey",
    properties: &[
        Property::text("CustomerId"),
        Property::text("Description"),
        Property::boolean("Enabled"),
        Property::boolean("GenerateDistinctId").replaces(),
        Property::text("Name").replaces(),
        Property::json("StageKeys"),
        Property::text("Value").replaces(),
        Property::tags(),
    ],
    attributes: &["APIKeyId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| {
        Box::pin(async move { delete(cx, &format!("/apikeys/{}", resource.physical_id)).await })
    },
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let names =
        ["CustomerId", "Description", "Enabled", "GenerateDistinctId", "StageKeys", "Value"];
    let mut body = body(properties, &names);
    body.insert("name".to_owned(), cx.name_or(properties, "Name", 128).into());
    body.insert("tags".to_owned(), tags(cx, properties));
    let made = match ours(cx, "/apikeys").await? {
        Some(made) => made,
        None => post(cx, "/apikeys", body).await?,
    };
    let id = member(&made, "id")?;
    Ok(Resource::new(&id).with("APIKeyId", id.as_str()))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = &change.resource.physical_id;
    let changed = operations(change, &["CustomerId", "Description", "Enabled"]);
    patch(cx, &format!("/apikeys/{id}"), changed).await?;
    retag(cx, &format!("apikeys/{id}"), change.new).await?;
    Ok(change.resource.clone())
}
