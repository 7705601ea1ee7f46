//! `AWS::ApiGatewayV2::RouteResponse`

use super::Part;
use crate::cloudformation::resource::{Property, ResourceType};

const PART: Part = Part {
    segment: "routeresponses",
    within: Some(("routes", "RouteId")),
    id: "routeResponseId",
    attribute: Some("RouteResponseId"),
    known_by: Some("routeResponseKey"),
    defaults: &[],
};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGatewayV2::RouteResponse",
    properties: &[
        Property::text("ApiId").required().replaces(),
        Property::text("ModelSelectionExpression"),
        Property::json("ResponseModels"),
        Property::json("ResponseParameters"),
        Property::text("RouteId").required().replaces(),
        Property::text("RouteResponseKey").required(),
    ],
    attributes: &["RouteResponseId"],
    create: |cx, properties| Box::pin(super::create(cx, properties, &PART)),
    update: |cx, change| Box::pin(super::update(cx, change, &PART)),
    delete: |cx, resource, properties| Box::pin(super::delete(cx, resource, properties, &PART)),
};
