//! `AWS::ApiGateway::Deployment`, and the stage it makes if it names one.

use serde_json::Value;

use super::{body, delete, get, lowered, member, operation, operations, patch, post, stage};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Deployment",
    properties: &[
        Property::json("DeploymentCanarySettings").replaces(),
        Property::text("Description"),
        Property::text("RestApiId").required().replaces(),
        Property::object("StageDescription", stage::DESCRIPTION),
        Property::text("StageName"),
    ],
    attributes: &["DeploymentId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| Box::pin(remove(cx, resource, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let api = properties.required("RestApiId")?;
    let mut body = body(properties, &["Description", "StageName"]);
    if let Some(settings) = properties.get("DeploymentCanarySettings") {
        body.insert("canarySettings".to_owned(), lowered(settings));
    }
    let description = properties.object("StageDescription");
    for (from, to) in [
        ("Description", "stageDescription"),
        ("Variables", "variables"),
        ("CacheClusterEnabled", "cacheClusterEnabled"),
        ("CacheClusterSize", "cacheClusterSize"),
        ("TracingEnabled", "tracingEnabled"),
    ] {
        let found = description.and_then(|description| description.get(from));
        body.extend(found.map(|value| (to.to_owned(), value.clone())));
    }
    let made = post(cx, &format!("/restapis/{api}/deployments"), body).await?;
    let id = member(&made, "id")?;
    let resource = Resource::new(&id).with("DeploymentId", id.as_str());
    settle(cx, properties).await.map_err(|failure| failure.after(resource.clone()))?;
    Ok(resource)
}

/// Gives the stage of the deployment the settings that only patches can.
async fn settle(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    let Some(description) = properties.object("StageDescription") else { return Ok(()) };
    let Some(name) = properties.text("StageName") else { return Ok(()) };
    let settings = stage::settings(description);
    let target = format!("/restapis/{}/stages/{name}", properties.required("RestApiId")?);
    patch(cx, &target, settings).await
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let api = change.new.required("RestApiId")?;
    let id = &change.resource.physical_id;
    let target = format!("/restapis/{api}/deployments/{id}");
    patch(cx, &target, operations(change, &["Description"])).await?;
    if let Some(name) = change.new.text("StageName") {
        let target = format!("/restapis/{api}/stages/{name}");
        if get(cx, &target).await.is_ok() {
            let id = Value::from(id.as_str());
            patch(cx, &target, vec![operation("/deploymentId", Some(&id))]).await?;
        } else {
            let body = serde_json::json!({ "stageName": name, "deploymentId": id });
            post(cx, &format!("/restapis/{api}/stages"), body).await?;
        }
    }
    settle(cx, change.new).await?;
    Ok(change.resource.clone())
}

/// Along with the stage that it made, if that still shows it.
async fn remove(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let api = properties.required("RestApiId")?;
    let id = &resource.physical_id;
    if let Some(name) = properties.text("StageName") {
        let stage = format!("/restapis/{api}/stages/{name}");
        if get(cx, &stage).await.is_ok_and(|found| found["deploymentId"] == id.as_str()) {
            delete(cx, &stage).await?;
        }
    }
    delete(cx, &format!("/restapis/{api}/deployments/{id}")).await
}
