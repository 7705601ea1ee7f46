//! `AWS::ApiGatewayV2::Deployment`

use super::Part;
use crate::cloudformation::resource::{Property, ResourceType};

const PART: Part = Part {
    segment: "deployments",
    within: None,
    id: "deploymentId",
    attribute: Some("DeploymentId"),
    known_by: None,
    defaults: &[],
};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::Deployment",
    properties: &[
        Property::text("ApiId").required().replaces(),
        Property::text("Description"),
        Property::text("StageName").replaces(),
    ],
    attributes: &["DeploymentId"],
    create: |cx, properties| Box::pin(super::create(cx, properties, &PART)),
    update: |cx, change| Box::pin(super::update(cx, change, &PART)),
    delete: |cx, resource, properties| Box::pin(super::delete(cx, resource, properties, &PART)),
};
