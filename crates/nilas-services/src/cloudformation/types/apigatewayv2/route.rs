//! `AWS::ApiGatewayV2::Route`

use super::Part;
use crate::cloudformation::resource::{Property, ResourceType, Shape};

const PART: Part = Part {
    segment: "routes",
    within: None,
    id: "routeId",
    attribute: Some("RouteId"),
    known_by: Some("routeKey"),
    defaults: &[("AuthorizationType", "NONE")],
};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::Route",
    properties: &[
        Property::text("ApiId").required().replaces(),
        Property::boolean("ApiKeyRequired"),
        Property::list("AuthorizationScopes", &Shape::Text),
        Property::text("AuthorizationType"),
        Property::text("AuthorizerId"),
        Property::text("ModelSelectionExpression"),
        Property::text("OperationName"),
        Property::json("RequestModels"),
        Property::json("RequestParameters"),
        Property::text("RouteKey").required(),
        Property::text("RouteResponseSelectionExpression"),
        Property::text("Target"),
    ],
    attributes: &["RouteId"],
    create: |cx, properties| Box::pin(super::create(cx, properties, &PART)),
    update: |cx, change| Box::pin(super::update(cx, change, &PART)),
    delete: |cx, resource, properties| Box::pin(super::delete(cx, resource, properties, &PART)),
};
