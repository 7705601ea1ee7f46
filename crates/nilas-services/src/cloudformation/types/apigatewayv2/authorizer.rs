//! `AWS::ApiGatewayV2::Authorizer`

use super::Part;
use crate::cloudformation::resource::{Property, ResourceType, Shape};

const PART: Part = Part {
    segment: "authorizers",
    within: None,
    id: "authorizerId",
    attribute: Some("AuthorizerId"),
    known_by: None,
    defaults: &[],
};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::Authorizer",
    properties: &[
        Property::text("ApiId").required().replaces(),
        Property::text("AuthorizerCredentialsArn"),
        Property::text("AuthorizerPayloadFormatVersion"),
        Property::integer("AuthorizerResultTtlInSeconds"),
        Property::text("AuthorizerType").required(),
        Property::text("AuthorizerUri"),
        Property::boolean("EnableSimpleResponses"),
        Property::list("IdentitySource", &Shape::Text),
        Property::text("IdentityValidationExpression"),
        Property::json("JwtConfiguration"),
        Property::text("Name").required(),
    ],
    attributes: &["AuthorizerId"],
    create: |cx, properties| Box::pin(super::create(cx, properties, &PART)),
    update: |cx, change| Box::pin(super::update(cx, change, &PART)),
    delete: |cx, resource, properties| Box::pin(super::delete(cx, resource, properties, &PART)),
};
