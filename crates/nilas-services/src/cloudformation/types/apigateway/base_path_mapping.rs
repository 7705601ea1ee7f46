//! `AWS::ApiGateway::BasePathMapping`

use nilas_wire::percent;

use super::{body, delete, operation, patch, post};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::BasePathMapping",
    properties: &[
        Property::text("BasePath").replaces(),
        Property::text("DomainName").required().replaces(),
        Property::text("Id").inert(),
        Property::text("RestApiId"),
        Property::text("Stage"),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(async move { delete(cx, &target(properties)?).await }),
};

fn base(properties: &Properties) -> &str {
    properties.text("BasePath").filter(|base| !base.is_empty()).unwrap_or("(none)")
}

fn target(properties: &Properties) -> Result<String, Failure> {
    let domain = properties.required("DomainName")?;
    Ok(format!("/domainnames/{domain}/basepathmappings/{}", percent::encode(base(properties))))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let domain = properties.required("DomainName")?;
    let body = body(properties, &["BasePath", "RestApiId", "Stage"]);
    match post(cx, &format!("/domainnames/{domain}/basepathmappings"), body).await {
        Err(_) if cx.resumed && super::get(cx, &target(properties)?).await.is_ok() => {}
        made => drop(made?),
    }
    Ok(Resource::new(format!("{domain}|{}", base(properties))))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let changed = [("RestApiId", "/restapiId"), ("Stage", "/stage")];
    let changed = changed.into_iter().filter(|(name, _)| change.new.differs(change.old, name));
    let changed = changed.map(|(name, path)| operation(path, change.new.get(name))).collect();
    patch(cx, &target(change.new)?, changed).await?;
    Ok(change.resource.clone())
}
