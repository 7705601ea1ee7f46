//! `AWS::ApiGatewayV2::Stage`

use super::Part;
use crate::cloudformation::resource::{Property, ResourceType};

const PART: Part = Part {
    segment: "stages",
    within: None,
    id: "stageName",
    attribute: None,
    known_by: Some("stageName"),
    defaults: &[],
};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::Stage",
    properties: &[
        Property::text("ApiId").required().replaces(),
        Property::json("AccessLogSettings"),
        Property::boolean("AutoDeploy"),
        Property::text("ClientCertificateId"),
        Property::json("DefaultRouteSettings"),
        Property::text("DeploymentId"),
        Property::text("Description"),
        Property::json("RouteSettings"),
        Property::text("StageName").required().replaces(),
        Property::json("StageVariables"),
        Property::json("Tags").inert(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(super::create(cx, properties, &PART)),
    update: |cx, change| Box::pin(super::update(cx, change, &PART)),
    delete: |cx, resource, properties| Box::pin(super::delete(cx, resource, properties, &PART)),
};
