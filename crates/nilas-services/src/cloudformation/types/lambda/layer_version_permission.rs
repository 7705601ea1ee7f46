//! `AWS::Lambda::LayerVersionPermission`

use http::Method;
use nilas_wire::percent;

use super::{call, object};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

/// Characters of a statement's id.
const STATEMENT_CHARS_MAX: usize = 100;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::LayerVersionPermission",
    properties: &[
        Property::text("Action").required().replaces(),
        Property::text("LayerVersionArn").required().replaces(),
        Property::text("OrganizationId").replaces(),
        Property::text("Principal").required().replaces(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |_, change| Box::pin(std::future::ready(Ok(change.resource.clone()))),
    delete: |cx, resource, properties| Box::pin(delete(cx, resource, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let statement = cx.name(STATEMENT_CHARS_MAX);
    let mut body = properties.members().clone();
    body.remove("LayerVersionArn");
    body.insert("StatementId".to_owned(), statement.as_str().into());
    let added = call(cx, Method::POST, &path(properties)?, object(body)).await;
    match added.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.is_already_exists() => {}
        added => drop(added?),
    }
    let id = format!("{}#{statement}", properties.required("LayerVersionArn")?);
    Ok(Resource::new(&id).with("Id", id))
}

async fn delete(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let Some((_, statement)) = resource.physical_id.rsplit_once('#') else { return Ok(()) };
    let path = format!("{}/{}", path(properties)?, percent::encode(statement));
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}

fn path(properties: &Properties) -> Result<String, Failure> {
    let arn = properties.required("LayerVersionArn")?;
    let (layer, version) = arn
        .rsplit_once(':')
        .ok_or_else(|| Failure::invalid(format!("{arn} is not the ARN of a layer version.")))?;
    Ok(format!("/2018-10-31/layers/{}/versions/{version}/policy", percent::encode(layer)))
}
