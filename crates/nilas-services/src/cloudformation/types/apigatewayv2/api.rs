//! `AWS::ApiGatewayV2::Api`

use http::Method;
use nilas_wire::percent;
use serde_json::{Value, json};

use super::{call, members, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::Api",
    properties: &[
        Property::text("ApiKeySelectionExpression"),
        Property::json("Body"),
        Property::json("CorsConfiguration"),
        Property::text("CredentialsArn").replaces(),
        Property::text("Description"),
        Property::boolean("DisableExecuteApiEndpoint"),
        Property::boolean("DisableSchemaValidation"),
        Property::boolean("FailOnWarnings"),
        Property::text("IpAddressType"),
        Property::text("Name"),
        Property::text("ProtocolType").replaces(),
        Property::text("RouteKey").replaces(),
        Property::text("RouteSelectionExpression"),
        Property::json("Tags"),
        Property::text("Target").replaces(),
        Property::text("Version"),
    ],
    attributes: &["ApiEndpoint", "ApiId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

/// Properties that are not members of requests.
const NOT_MEMBERS: &[&str] = &["Body", "FailOnWarnings", "Tags"];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let (is_imported, tags) = (properties.get("Body").is_some(), super::tags(cx, properties));
    let made = match found(cx).await? {
        Some(made) => resource(&made)?,
        None if is_imported => {
            let body = with_tags(properties.get("Body"), &tags);
            let body = json!({ "body": body.to_string() });
            resource(&call(cx, Method::PUT, "/v2/apis", Some(body)).await?)?
        }
        None => {
            let mut body = members(properties, NOT_MEMBERS);
            body.insert("tags".to_owned(), tags);
            resource(&call(cx, Method::POST, "/v2/apis", Some(body.into())).await?)?
        }
    };
    if is_imported {
        // Properties go over what the document says.
        let patched = patch(cx, &made, properties).await;
        patched.map_err(|failure| failure.after(made.clone()))?;
    }
    Ok(made)
}

/// The document with `tags` among its own, so that the API is known to be the stack's from the start.
fn with_tags(document: Option<&Value>, tags: &Value) -> Value {
    let mut document = document.cloned().unwrap_or_default();
    let mut all = document["tags"].as_array().cloned().unwrap_or_default();
    for (key, value) in tags.as_object().into_iter().flatten() {
        all.push(json!({ "name": key, "x-amazon-apigateway-tag-value": value }));
    }
    if document.is_object() {
        document["tags"] = all.into();
    }
    document
}

/// What an attempt that a crash ended has made.
async fn found(cx: &Cx) -> Result<Option<Value>, Failure> {
    if !cx.resumed {
        return Ok(None);
    }
    let all = call(cx, Method::GET, "/v2/apis", None).await?;
    let ours = |api: &Value| {
        let tags = api["tags"].as_object().into_iter().flatten();
        let tags: Vec<(String, String)> = tags
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        cx.are_ours(&tags)
    };
    let all = all["items"].as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().find(ours))
}

fn resource(answer: &Value) -> Result<Resource, Failure> {
    let id = text(answer, "apiId")?;
    let endpoint = text(answer, "apiEndpoint")?;
    Ok(Resource::new(&id).with("ApiEndpoint", endpoint).with("ApiId", id))
}

fn path(resource: &Resource) -> String {
    format!("/v2/apis/{}", percent::encode(&resource.physical_id))
}

async fn patch(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let body = members(properties, NOT_MEMBERS);
    if !body.is_empty() {
        call(cx, Method::PATCH, &path(resource), Some(body.into())).await?;
    }
    Ok(())
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let tags = super::tags(cx, new);
    match new.get("Body") {
        Some(_) if new.differs(old, "Body") || new.differs(old, "CorsConfiguration") => {
            let document = with_tags(new.get("Body"), &tags);
            let body = json!({ "body": document.to_string() });
            call(cx, Method::PUT, &path(resource), Some(body)).await?;
        }
        None if new.get("CorsConfiguration").is_none()
            && old.get("CorsConfiguration").is_some() =>
        {
            call(cx, Method::DELETE, &format!("{}/cors", path(resource)), None).await?;
        }
        _ => {}
    }
    patch(cx, resource, new).await?;
    super::retag(cx, &format!("apis/{}", resource.physical_id), new).await?;
    Ok(resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, Method::DELETE, &path(resource), None).await?;
    Ok(())
}
