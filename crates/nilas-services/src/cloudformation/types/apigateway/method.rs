//! `AWS::ApiGateway::Method`, with its responses and its integration.

use super::{body, delete, lowered, put};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

const INTEGRATION_RESPONSE: Shape = Shape::Object(&[
    Property::text("ContentHandling"),
    Property::map("ResponseParameters", &Shape::Text),
    Property::map("ResponseTemplates", &Shape::Text),
    Property::text("SelectionPattern"),
    Property::text("StatusCode").required(),
]);

const METHOD_RESPONSE: Shape = Shape::Object(&[
    Property::map("ResponseModels", &Shape::Text),
    Property::map("ResponseParameters", &Shape::Boolean),
    Property::text("StatusCode").required(),
]);

const INTEGRATION: &[Property] = &[
    Property::list("CacheKeyParameters", &Shape::Text),
    Property::text("CacheNamespace"),
    Property::text("ConnectionId"),
    Property::text("ConnectionType"),
    Property::text("ContentHandling"),
    Property::text("Credentials"),
    Property::text("IntegrationHttpMethod"),
    Property::list("IntegrationResponses", &INTEGRATION_RESPONSE),
    Property::text("IntegrationTarget"),
    Property::text("PassthroughBehavior"),
    Property::map("RequestParameters", &Shape::Text),
    Property::map("RequestTemplates", &Shape::Text),
    Property::text("ResponseTransferMode"),
    Property::integer("TimeoutInMillis"),
    Property::text("Type").required(),
    Property::text("Uri"),
];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Method",
    properties: &[
        Property::boolean("ApiKeyRequired"),
        Property::list("AuthorizationScopes", &Shape::Text),
        Property::text("AuthorizationType"),
        Property::text("AuthorizerId"),
        Property::text("HttpMethod").required().replaces(),
        Property::object("Integration", INTEGRATION),
        Property::list("MethodResponses", &METHOD_RESPONSE),
        Property::text("OperationName"),
        Property::map("RequestModels", &Shape::Text),
        Property::map("RequestParameters", &Shape::Boolean),
        Property::text("RequestValidatorId"),
        Property::text("ResourceId").required().replaces(),
        Property::text("RestApiId").required().replaces(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(async move { delete(cx, &target(properties)?).await }),
};

fn target(properties: &Properties) -> Result<String, Failure> {
    let (api, resource) = (properties.required("RestApiId")?, properties.required("ResourceId")?);
    let verb = properties.required("HttpMethod")?;
    Ok(format!("/restapis/{api}/resources/{resource}/methods/{verb}"))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let resource = Resource::new(cx.name(64));
    if cx.resumed {
        clear(cx, properties).await?;
    }
    set(cx, properties, &resource).await?;
    Ok(resource)
}

/// Made anew: the API has no call that replaces a method, and deployments do not see it in between.
async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    clear(cx, change.new).await?;
    set(cx, change.new, change.resource).await?;
    Ok(change.resource.clone())
}

async fn clear(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    match delete(cx, &target(properties)?).await {
        Err(failure) if failure.is_not_found() => Ok(()),
        done => done,
    }
}

async fn set(cx: &Cx, properties: &Properties, resource: &Resource) -> Result<(), Failure> {
    let target = target(properties)?;
    let names = [
        "ApiKeyRequired",
        "AuthorizationScopes",
        "AuthorizationType",
        "AuthorizerId",
        "OperationName",
        "RequestModels",
        "RequestParameters",
        "RequestValidatorId",
    ];
    let mut members = body(properties, &names);
    members.entry("authorizationType").or_insert_with(|| "NONE".into());
    put(cx, &target, members).await?;
    let rest = async {
        for response in properties.list("MethodResponses") {
            let status = response["StatusCode"].as_str().unwrap_or_default();
            put(cx, &format!("{target}/responses/{status}"), lowered(response)).await?;
        }
        let Some(integration) = properties.get("Integration") else { return Ok(()) };
        let mut members = lowered(integration);
        let responses = members["integrationResponses"].take();
        if let Some(members) = members.as_object_mut() {
            members.remove("integrationResponses");
        }
        put(cx, &format!("{target}/integration"), members).await?;
        for response in responses.as_array().into_iter().flatten() {
            let status = response["StatusCode"].as_str().unwrap_or_default();
            put(cx, &format!("{target}/integration/responses/{status}"), lowered(response)).await?;
        }
        Ok::<(), Failure>(())
    };
    rest.await.map_err(|failure| failure.after(resource.clone()))
}
