//! `AWS::ApiGatewayV2::Integration`

use super::Part;
use crate::cloudformation::resource::{Property, ResourceType};

const PART: Part = Part {
    segment: "integrations",
    within: None,
    id: "integrationId",
    attribute: Some("IntegrationId"),
    known_by: None,
    defaults: &[],
};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::Integration",
    properties: &[
        Property::text("ApiId").required().replaces(),
        Property::text("ConnectionId"),
        Property::text("ConnectionType"),
        Property::text("ContentHandlingStrategy"),
        Property::text("CredentialsArn"),
        Property::text("Description"),
        Property::text("IntegrationMethod"),
        Property::text("IntegrationSubtype"),
        Property::text("IntegrationType").required().replaces(),
        Property::text("IntegrationUri"),
        Property::text("PassthroughBehavior"),
        Property::text("PayloadFormatVersion"),
        Property::json("RequestParameters"),
        Property::json("RequestTemplates"),
        Property::json("ResponseParameters"),
        Property::text("TemplateSelectionExpression"),
        Property::integer("TimeoutInMillis"),
        Property::json("TlsConfig"),
    ],
    attributes: &["IntegrationId"],
    create: |cx, properties| Box::pin(super::create(cx, properties, &PART)),
    update: |cx, change| Box::pin(super::update(cx, change, &PART)),
    delete: |cx, resource, properties| Box::pin(super::delete(cx, resource, properties, &PART)),
};
