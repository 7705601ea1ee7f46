//! `AWS::Lambda::LayerVersion`

use http::Method;
use nilas_wire::percent;

use super::{call, object, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType, Shape};

/// Characters of a layer's name.
const NAME_CHARS_MAX: usize = 140;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::LayerVersion",
    properties: &[
        Property::list("CompatibleArchitectures", &Shape::Text).replaces(),
        Property::list("CompatibleRuntimes", &Shape::Text).replaces(),
        Property::object("Content", CONTENT).required().replaces(),
        Property::text("Description").replaces(),
        Property::text("LayerName").replaces(),
        Property::text("LicenseInfo").replaces(),
    ],
    attributes: &["LayerVersionArn"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |_, change| Box::pin(std::future::ready(Ok(change.resource.clone()))),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

const CONTENT: &[Property] = &[
    Property::text("S3Bucket").required(),
    Property::text("S3Key").required(),
    Property::text("S3ObjectVersion"),
];

/// One that is resumed makes another version, as AWS's does: a version has nothing to know it by.
async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name_or(properties, "LayerName", NAME_CHARS_MAX);
    let mut body = properties.members().clone();
    body.remove("LayerName");
    let path = format!("/2018-10-31/layers/{}/versions", percent::encode(&name));
    let published = call(cx, Method::POST, &path, object(body)).await?;
    let arn = text(&published, "LayerVersionArn")?;
    Ok(Resource::new(&arn).with("LayerVersionArn", arn))
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let Some((layer, version)) = resource.physical_id.rsplit_once(':') else { return Ok(()) };
    let path = format!("/2018-10-31/layers/{}/versions/{version}", percent::encode(layer));
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}
