//! `AWS::ApiGatewayV2::ApiMapping`

use http::Method;
use nilas_wire::percent;

use super::{call, members, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::ApiMapping",
    properties: &[
        Property::text("ApiId").required(),
        Property::text("ApiMappingKey"),
        Property::text("DomainName").required().replaces(),
        Property::text("Stage").required(),
    ],
    attributes: &["ApiMappingId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| Box::pin(delete(cx, resource, properties)),
};

fn path(properties: &Properties) -> Result<String, Failure> {
    let domain = percent::encode(properties.required("DomainName")?);
    Ok(format!("/v2/domainnames/{domain}/apimappings"))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let path = path(properties)?;
    let body = members(properties, &["DomainName"]);
    let key = properties.text("ApiMappingKey").unwrap_or_default();
    let made = match call(cx, Method::POST, &path, Some(body.into())).await {
        Err(refusal) if cx.resumed && refusal.status == 409 => {
            let all = call(cx, Method::GET, &path, None).await?;
            let all = all["items"].as_array().cloned().unwrap_or_default();
            let found = all.into_iter().find(|mapping| mapping["apiMappingKey"] == key);
            found.ok_or_else(|| Failure::from(refusal))?
        }
        made => made?,
    };
    let id = text(&made, "apiMappingId")?;
    Ok(Resource::new(&id).with("ApiMappingId", id))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let path = format!("{}/{}", path(change.new)?, change.resource.physical_id);
    let mut body = members(change.new, &["DomainName"]);
    body.entry("apiMappingKey").or_insert_with(|| "".into());
    call(cx, Method::PATCH, &path, Some(body.into())).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let path = format!("{}/{}", path(properties)?, resource.physical_id);
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}
