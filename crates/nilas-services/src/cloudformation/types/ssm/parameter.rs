//! `AWS::SSM::Parameter`

use nilas_wire::Service;
use serde_json::{Value, json};

use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

/// Characters of a parameter's name.
const NAME_CHARS_MAX: usize = 1_011;
const VALUES: [&str; 7] =
    ["AllowedPattern", "DataType", "Description", "Policies", "Tier", "Type", "Value"];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SSM::Parameter",
    properties: &[
        Property::text("AllowedPattern"),
        Property::text("DataType"),
        Property::text("Description"),
        Property::text("Name").replaces(),
        Property::text("Policies"),
        Property::map("Tags", &Shape::Text),
        Property::text("Tier"),
        Property::text("Type").required(),
        Property::text("Value").required(),
    ],
    attributes: &["Type", "Value"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    if properties.text("Type") == Some("SecureString") {
        return Err(Failure::invalid(
            "AWS::SSM::Parameter makes no SecureString: its value would be in the template.",
        ));
    }
    let name = cx.name_or(properties, "Name", NAME_CHARS_MAX);
    let mut body = Value::Object(properties.pick(&VALUES));
    body["Name"] = name.as_str().into();
    body["Tags"] = tag_list(cx.own_tags(properties));
    let created = call(cx, "PutParameter", body).await;
    match created {
        Err(failure) if cx.resumed && failure.is_already_exists() => {}
        created => drop(created?),
    }
    Ok(made(&name, properties))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let name = &change.resource.physical_id;
    if VALUES.iter().any(|value| change.new.differs(change.old, value)) {
        let mut body = Value::Object(change.new.pick(&VALUES));
        body["Name"] = name.as_str().into();
        body["Overwrite"] = true.into();
        call(cx, "PutParameter", body).await?;
    }
    retag(cx, name, change).await?;
    Ok(made(name, change.new))
}

async fn retag(cx: &Cx, name: &str, change: Change<'_>) -> Result<(), Failure> {
    let resource = json!({ "ResourceType": "Parameter", "ResourceId": name });
    let tags = cx.own_tags(change.new);
    let gone: Vec<String> = change.old.tags().into_iter().map(|(key, _)| key).collect();
    let gone: Vec<&String> =
        gone.iter().filter(|key| !tags.iter().any(|(known, _)| known == *key)).collect();
    if !gone.is_empty() {
        let mut body = resource.clone();
        body["TagKeys"] = json!(gone);
        call(cx, "RemoveTagsFromResource", body).await?;
    }
    if !tags.is_empty() {
        let mut body = resource;
        body["Tags"] = tag_list(tags);
        call(cx, "AddTagsToResource", body).await?;
    }
    Ok(())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, "DeleteParameter", json!({ "Name": resource.physical_id })).await.map(drop)
}

fn made(name: &str, properties: &Properties) -> Resource {
    Resource::new(name)
        .with("Type", properties.text("Type").unwrap_or_default())
        .with("Value", properties.text("Value").unwrap_or_default())
}

fn tag_list(tags: Vec<(String, String)>) -> Value {
    tags.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

async fn call(cx: &Cx, operation: &str, body: Value) -> Result<Value, Failure> {
    Ok(cx.calls.json(Service::Ssm, &cx.auth, operation, body).await?)
}
