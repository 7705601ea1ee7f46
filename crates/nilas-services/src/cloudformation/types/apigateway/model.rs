//! `AWS::ApiGateway::Model`

use serde_json::Value;

use super::{body, delete, operation, patch, post};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Model",
    properties: &[
        Property::text("ContentType").replaces(),
        Property::text("Description"),
        Property::text("Name").replaces(),
        Property::text("RestApiId").required().replaces(),
        Property::json("Schema"),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| {
        Box::pin(async move { delete(cx, &target(properties, &resource.physical_id)?).await })
    },
};

fn target(properties: &Properties, name: &str) -> Result<String, Failure> {
    Ok(format!("/restapis/{}/models/{name}", properties.required("RestApiId")?))
}

/// A schema is text to the API; templates may have it as an object.
fn schema(properties: &Properties) -> Value {
    match properties.get("Schema") {
        Some(Value::String(text)) => text.as_str().into(),
        Some(schema) => schema.to_string().into(),
        None => "{}".into(),
    }
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    // Names of models are letters and digits only.
    let made: String = cx.name(128).chars().filter(char::is_ascii_alphanumeric).collect();
    let name = properties.text("Name").unwrap_or(&made);
    let mut body = body(properties, &["ContentType", "Description"]);
    body.entry("contentType").or_insert_with(|| "application/json".into());
    body.insert("name".to_owned(), name.into());
    body.insert("schema".to_owned(), schema(properties));
    let target_of_all = format!("/restapis/{}/models", properties.required("RestApiId")?);
    match post(cx, &target_of_all, body).await {
        Err(_) if cx.resumed && super::get(cx, &target(properties, name)?).await.is_ok() => {}
        made => drop(made?),
    }
    Ok(Resource::new(name))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let mut changed = super::operations(change, &["Description"]);
    if change.new.differs(change.old, "Schema") {
        changed.push(operation("/schema", Some(&schema(change.new))));
    }
    patch(cx, &target(change.new, &change.resource.physical_id)?, changed).await?;
    Ok(change.resource.clone())
}
