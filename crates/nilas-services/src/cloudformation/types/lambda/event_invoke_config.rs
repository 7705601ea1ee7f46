//! `AWS::Lambda::EventInvokeConfig`

use http::Method;
use nilas_wire::percent;

use super::{call, object};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::EventInvokeConfig",
    properties: &[
        Property::object("DestinationConfig", DESTINATIONS),
        Property::text("FunctionName").required().replaces(),
        Property::integer("MaximumEventAgeInSeconds"),
        Property::integer("MaximumRetryAttempts"),
        Property::text("Qualifier").required().replaces(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

const DESTINATIONS: &[Property] =
    &[Property::object("OnFailure", DESTINATION), Property::object("OnSuccess", DESTINATION)];
const DESTINATION: &[Property] = &[Property::text("Destination").required()];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    put(cx, properties).await?;
    let function = properties.required("FunctionName")?;
    Ok(Resource::new(format!("{function}|{}", properties.required("Qualifier")?)))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    // The whole configuration, so that members that are gone are gone.
    put(cx, change.new).await?;
    Ok(change.resource.clone())
}

async fn put(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    let members = ["DestinationConfig", "MaximumEventAgeInSeconds", "MaximumRetryAttempts"];
    call(cx, Method::PUT, &path(properties)?, object(properties.pick(&members))).await?;
    Ok(())
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    call(cx, Method::DELETE, &path(properties)?, None).await?;
    Ok(())
}

fn path(properties: &Properties) -> Result<String, Failure> {
    let function = percent::encode(properties.required("FunctionName")?);
    let qualifier = percent::encode(properties.required("Qualifier")?);
    Ok(format!("/2019-09-25/functions/{function}/event-invoke-config?Qualifier={qualifier}"))
}
