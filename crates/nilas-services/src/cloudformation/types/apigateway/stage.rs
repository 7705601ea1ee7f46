//! `AWS::ApiGateway::Stage`, and what a deployment says of the stage it makes.

use serde_json::{Map, Value, json};

use super::{body, delete, get, lowered, operation, operations, patch, post, retag, tags};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

const METHOD_SETTING: Shape = Shape::Object(&[
    Property::boolean("CacheDataEncrypted"),
    Property::integer("CacheTtlInSeconds"),
    Property::boolean("CachingEnabled"),
    Property::boolean("DataTraceEnabled"),
    Property::text("HttpMethod"),
    Property::text("LoggingLevel"),
    Property::boolean("MetricsEnabled"),
    Property::text("ResourcePath"),
    Property::integer("ThrottlingBurstLimit"),
    Property::new("ThrottlingRateLimit", Shape::Number),
]);

const ACCESS_LOG: &[Property] = &[Property::text("DestinationArn"), Property::text("Format")];

/// `StageDescription` of a deployment.
pub(super) const DESCRIPTION: &[Property] = &[
    Property::object("AccessLogSetting", ACCESS_LOG),
    Property::boolean("CacheClusterEnabled"),
    Property::text("CacheClusterSize"),
    Property::boolean("CacheDataEncrypted"),
    Property::integer("CacheTtlInSeconds"),
    Property::boolean("CachingEnabled"),
    Property::json("CanarySetting"),
    Property::text("ClientCertificateId"),
    Property::boolean("DataTraceEnabled"),
    Property::text("Description"),
    Property::text("DocumentationVersion"),
    Property::text("LoggingLevel"),
    Property::list("MethodSettings", &METHOD_SETTING),
    Property::boolean("MetricsEnabled"),
    Property::tags().inert(),
    Property::integer("ThrottlingBurstLimit"),
    Property::new("ThrottlingRateLimit", Shape::Number),
    Property::boolean("TracingEnabled"),
    Property::map("Variables", &Shape::Text),
];

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::Stage",
    properties: &[
        Property::object("AccessLogSetting", ACCESS_LOG),
        Property::boolean("CacheClusterEnabled"),
        Property::text("CacheClusterSize"),
        Property::json("CanarySetting"),
        Property::text("ClientCertificateId"),
        Property::text("DeploymentId"),
        Property::text("Description"),
        Property::text("DocumentationVersion"),
        Property::list("MethodSettings", &METHOD_SETTING),
        Property::text("RestApiId").required().replaces(),
        Property::text("StageName").replaces(),
        Property::boolean("TracingEnabled"),
        Property::map("Variables", &Shape::Text),
        Property::tags(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| {
        Box::pin(async move { delete(cx, &target(properties, &resource.physical_id)?).await })
    },
};

/// Members that are changed by patches of their own name.
const MEMBERS: [&str; 7] = [
    "CacheClusterEnabled",
    "CacheClusterSize",
    "ClientCertificateId",
    "DeploymentId",
    "Description",
    "DocumentationVersion",
    "TracingEnabled",
];

fn target(properties: &Properties, name: &str) -> Result<String, Failure> {
    Ok(format!("/restapis/{}/stages/{name}", properties.required("RestApiId")?))
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = properties.text("StageName").map_or_else(|| "default".to_owned(), str::to_owned);
    let mut body = body(properties, &MEMBERS);
    body.extend(super::body(properties, &["Variables"]));
    body.insert("stageName".to_owned(), name.as_str().into());
    body.insert("tags".to_owned(), tags(cx, properties));
    let target = target(properties, &name)?;
    let all = format!("/restapis/{}/stages", properties.required("RestApiId")?);
    match post(cx, &all, body).await {
        Err(_) if cx.resumed && get(cx, &target).await.is_ok() => {}
        made => drop(made?),
    }
    let resource = Resource::new(name);
    let settings = settings(properties.members());
    let set = patch(cx, &target, settings).await;
    set.map_err(|failure| failure.after(resource.clone()))?;
    Ok(resource)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let name = &change.resource.physical_id;
    let target = target(change.new, name)?;
    let mut changed = operations(change, &MEMBERS);
    if change.new.differs(change.old, "Variables") {
        let empty = json!({});
        let variables = change.new.get("Variables").unwrap_or(&empty);
        changed.push(operation("/variables", Some(variables)));
    }
    for (property, path) in
        [("AccessLogSetting", "/accessLogSettings"), ("CanarySetting", "/canarySettings")]
    {
        if change.old.get(property).is_some() && change.new.get(property).is_none() {
            changed.push(operation(path, None));
        }
    }
    let known = get(cx, &target).await?;
    if change.new.differs(change.old, "MethodSettings") {
        for setting in change.old.list("MethodSettings") {
            let (key, path) = method(setting);
            if known["methodSettings"].get(&key).is_some() {
                changed.push(operation(&path, None));
            }
        }
    }
    changed.extend(settings(change.new.members()));
    patch(cx, &target, changed).await?;
    retag(cx, &format!("restapis/{}/stages/{name}", change.new.required("RestApiId")?), change.new)
        .await?;
    Ok(change.resource.clone())
}

/// What of a stage's settings only patches can set.
pub(super) fn settings(members: &Map<String, Value>) -> Vec<Value> {
    let mut set = Vec::new();
    if let Some(log) = members.get("AccessLogSetting") {
        set.push(operation("/accessLogSettings", Some(&lowered(log))));
    }
    if let Some(canary) = members.get("CanarySetting") {
        set.push(operation("/canarySettings", Some(&lowered(canary))));
    }
    // A deployment has the settings of all methods among those of the stage.
    push_settings(&mut set, "/*/*", members);
    for setting in members.get("MethodSettings").and_then(Value::as_array).into_iter().flatten() {
        if let Some(members) = setting.as_object() {
            push_settings(&mut set, &method(setting).1, members);
        }
    }
    set
}

fn push_settings(set: &mut Vec<Value>, method: &str, members: &Map<String, Value>) {
    for (property, path) in [
        ("MetricsEnabled", "metrics/enabled"),
        ("LoggingLevel", "logging/loglevel"),
        ("DataTraceEnabled", "logging/dataTrace"),
        ("ThrottlingBurstLimit", "throttling/burstLimit"),
        ("ThrottlingRateLimit", "throttling/rateLimit"),
        ("CachingEnabled", "caching/enabled"),
        ("CacheTtlInSeconds", "caching/ttlInSeconds"),
        ("CacheDataEncrypted", "caching/dataEncrypted"),
    ] {
        if let Some(value) = members.get(property) {
            set.push(operation(&format!("{method}/{path}"), Some(value)));
        }
    }
}

/// The API's key of a method's settings, and their patch path: `pets/GET` and `/~1pets/GET`.
fn method(setting: &Value) -> (String, String) {
    let part = |name: &str| setting[name].as_str().unwrap_or("*");
    let (resource, verb) = (part("ResourcePath"), part("HttpMethod"));
    let resource = if resource == "/*" { "*" } else { resource };
    let key = format!("{}/{verb}", resource.trim_start_matches('/'));
    // Written escaped or not.
    let escaped = resource.replace("~1", "/").replace('/', "~1");
    (key.replace("~1", "/"), format!("/{escaped}/{verb}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_methods_are_patches() {
        let members = json!({
            "LoggingLevel": "INFO",
            "MethodSettings": [
                { "ResourcePath": "/*", "HttpMethod": "*", "MetricsEnabled": true },
                { "ResourcePath": "/pets/{id}", "HttpMethod": "GET", "ThrottlingRateLimit": 1.5 },
            ],
        });
        let paths: Vec<Value> = settings(members.as_object().unwrap());
        let paths: Vec<&str> = paths.iter().map(|patch| patch["path"].as_str().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "/*/*/logging/loglevel",
                "/*/*/metrics/enabled",
                "/~1pets~1{id}/GET/throttling/rateLimit"
            ]
        );
    }
}
