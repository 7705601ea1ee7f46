//! `AWS::ApiGatewayV2::VpcLink`

use http::Method;
use serde_json::{Value, json};

use super::{call, members, tags, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::VpcLink",
    properties: &[
        Property::text("Name").required(),
        Property::list("SecurityGroupIds", &Shape::Text).replaces(),
        Property::list("SubnetIds", &Shape::Text).required().replaces(),
        Property::json("Tags"),
    ],
    attributes: &["VpcLinkId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let made = match found(cx).await? {
        Some(made) => made,
        None => {
            let mut body = members(properties, &["Tags"]);
            body.insert("tags".to_owned(), tags(cx, properties));
            call(cx, Method::POST, "/v2/vpclinks", Some(body.into())).await?
        }
    };
    let id = text(&made, "vpcLinkId")?;
    Ok(Resource::new(&id).with("VpcLinkId", id))
}

/// What an attempt that a crash ended has made.
async fn found(cx: &Cx) -> Result<Option<Value>, Failure> {
    if !cx.resumed {
        return Ok(None);
    }
    let all = call(cx, Method::GET, "/v2/vpclinks", None).await?;
    let ours = |link: &Value| {
        let tags = link["tags"].as_object().into_iter().flatten();
        let tags: Vec<(String, String)> = tags
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        cx.are_ours(&tags)
    };
    Ok(all["items"].as_array().cloned().unwrap_or_default().into_iter().find(ours))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = &change.resource.physical_id;
    let body = json!({ "name": change.new.required("Name")? });
    call(cx, Method::PATCH, &format!("/v2/vpclinks/{id}"), Some(body)).await?;
    super::retag(cx, &format!("vpclinks/{id}"), change.new).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let path = format!("/v2/vpclinks/{}", resource.physical_id);
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}
