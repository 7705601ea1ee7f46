//! `AWS::ApiGateway::RestApi`, of properties, of an OpenAPI document, or of both.

use bytes::Bytes;
use http::{HeaderMap, Method};
use nilas_wire::{Service, percent};
use serde_json::{Map, Value};

use super::{
    ENDPOINT, body, delete, get, lowered, member, operation, ours, patch, post, retag, tags,
};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

/// Properties under the names of the API's members.
const MEMBERS: [(&str, &str); 8] = [
    ("ApiKeySourceType", "apiKeySource"),
    ("BinaryMediaTypes", "binaryMediaTypes"),
    ("Description", "description"),
    ("DisableExecuteApiEndpoint", "disableExecuteApiEndpoint"),
    ("EndpointConfiguration", "endpointConfiguration"),
    ("MinimumCompressionSize", "minimumCompressionSize"),
    ("Name", "name"),
    ("Policy", "policy"),
];

const LOCATION: &[Property] = &[
    Property::text("Bucket"),
    Property::text("ETag"),
    Property::text("Key"),
    Property::text("Version"),
];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::RestApi",
    properties: &[
        Property::text("ApiKeySourceType"),
        Property::list("BinaryMediaTypes", &Shape::Text),
        Property::json("Body"),
        Property::object("BodyS3Location", LOCATION),
        Property::text("CloneFrom"),
        Property::text("Description"),
        Property::boolean("DisableExecuteApiEndpoint"),
        Property::text("EndpointAccessMode").inert(),
        Property::object("EndpointConfiguration", ENDPOINT),
        Property::boolean("FailOnWarnings").inert(),
        Property::integer("MinimumCompressionSize"),
        Property::text("Mode"),
        Property::text("Name"),
        Property::map("Parameters", &Shape::Text),
        Property::json("Policy"),
        Property::text("SecurityPolicy").inert(),
        Property::tags(),
    ],
    attributes: &["RestApiId", "RootResourceId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| {
        Box::pin(async move { delete(cx, &format!("/restapis/{}", resource.physical_id)).await })
    },
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let document = document(cx, properties).await?;
    let mut members = members(properties);
    if !members.contains_key("name") {
        // The document brings the name; until it is read, the API has one of its own.
        members.insert("name".to_owned(), cx.name(255).into());
        if document.is_none() {
            return Err(Failure::invalid("Either Name or Body must be specified for an API"));
        }
    }
    members.extend(body(properties, &["CloneFrom"]));
    members.insert("tags".to_owned(), tags(cx, properties));
    let made = match ours(cx, "/restapis").await? {
        Some(made) => made,
        None => post(cx, "/restapis", members).await?,
    };
    let id = member(&made, "id")?;
    let resource = Resource::new(&id)
        .with("RestApiId", id.as_str())
        .with("RootResourceId", member(&made, "rootResourceId")?);
    if let Some(document) = document {
        let put = put_document(cx, properties, &id, document).await;
        put.map_err(|failure| failure.after(resource.clone()))?;
        // What the template says goes over what the document says.
        let given = members_as_operations(properties);
        let patched = patch(cx, &format!("/restapis/{id}"), given).await;
        patched.map_err(|failure| failure.after(resource.clone()))?;
    }
    Ok(resource)
}

fn members(properties: &Properties) -> Map<String, Value> {
    let given = MEMBERS.into_iter().filter_map(|(property, member)| {
        Some((member.to_owned(), value(property, properties.get(property)?)))
    });
    given.collect()
}

fn value(property: &str, value: &Value) -> Value {
    match (property, value) {
        ("Policy", Value::Object(_)) => value.to_string().into(),
        ("EndpointConfiguration", _) => lowered(value),
        _ => value.clone(),
    }
}

fn members_as_operations(properties: &Properties) -> Vec<Value> {
    members(properties)
        .iter()
        .map(|(member, value)| operation(&format!("/{member}"), Some(value)))
        .collect()
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = &change.resource.physical_id;
    let target = format!("/restapis/{id}");
    let has_new_document = ["Body", "BodyS3Location", "Parameters"]
        .iter()
        .any(|name| change.new.differs(change.old, name));
    if has_new_document && let Some(document) = document(cx, change.new).await? {
        put_document(cx, change.new, id, document).await?;
        patch(cx, &target, members_as_operations(change.new)).await?;
    }
    let known = get(cx, &target).await?;
    let changed = MEMBERS.into_iter().filter(|(name, _)| change.new.differs(change.old, name));
    let changed = changed.filter_map(|(property, member)| {
        let new = change.new.get(property).map(|given| value(property, given));
        // A name stays when the template has none any more, and what is not there need not go.
        let gone = new.is_none() && (member == "name" || known.get(member).is_none());
        (!gone).then(|| operation(&format!("/{member}"), new.as_ref()))
    });
    patch(cx, &target, changed.collect()).await?;
    retag(cx, &format!("restapis/{id}"), change.new).await?;
    Ok(change.resource.clone())
}

async fn put_document(
    cx: &Cx,
    properties: &Properties,
    id: &str,
    document: Bytes,
) -> Result<(), Failure> {
    let mode = properties.text("Mode").unwrap_or("overwrite");
    let mut target = format!("/restapis/{id}?mode={}", percent::encode(mode));
    for (name, value) in properties.object("Parameters").into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        target += &format!("&{}={}", percent::encode(name), percent::encode(value));
    }
    let headers = HeaderMap::new();
    cx.calls.raw(Service::ApiGateway, &cx.auth, Method::PUT, &target, headers, document).await?;
    Ok(())
}

/// The OpenAPI document of the template, or of the object it names.
async fn document(cx: &Cx, properties: &Properties) -> Result<Option<Bytes>, Failure> {
    match properties.get("Body") {
        Some(Value::String(text)) => return Ok(Some(Bytes::from(text.clone()))),
        Some(body) => return Ok(Some(Bytes::from(body.to_string()))),
        None => {}
    }
    let Some(location) = properties.get("BodyS3Location") else { return Ok(None) };
    let part = |name: &str| location[name].as_str().unwrap_or_default();
    let mut target = format!("/{}/{}", part("Bucket"), percent::encode_path(part("Key")));
    if !part("Version").is_empty() {
        target += &format!("?versionId={}", percent::encode(part("Version")));
    }
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    let object = cx.calls.raw(Service::S3, &cx.auth, Method::GET, &target, headers, body).await?;
    Ok(Some(object.body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_have_other_names_in_the_api() {
        let given = json!({
            "Name": "n", "ApiKeySourceType": "HEADER", "Policy": { "Statement": [] },
            "EndpointConfiguration": { "Types": ["REGIONAL"] },
        });
        let properties = Properties::from(given.as_object().unwrap().clone());
        let expected = json!({
            "apiKeySource": "HEADER", "endpointConfiguration": { "types": ["REGIONAL"] }, "name": "n",
            "policy": "{\"Statement\":[]}",
        });
        assert_eq!(Value::from(members(&properties)), expected);
    }
}
