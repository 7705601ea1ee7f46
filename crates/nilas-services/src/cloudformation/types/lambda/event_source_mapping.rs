//! `AWS::Lambda::EventSourceMapping`

use std::time::Duration;

use http::Method;
use nilas_model::limits::{FUNCTION_POLL_MS, FUNCTION_STABLE_MS_MAX};
use nilas_wire::percent;
use serde_json::{Map, Value, json};

use super::{call, object, text};
use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::EventSourceMapping",
    properties: &[
        Property::json("AmazonManagedKafkaEventSourceConfig").replaces(),
        Property::integer("BatchSize"),
        Property::boolean("BisectBatchOnFunctionError"),
        Property::object(
            "DestinationConfig",
            &[Property::object("OnFailure", &[Property::text("Destination")])],
        ),
        Property::json("DocumentDBEventSourceConfig"),
        Property::boolean("Enabled"),
        Property::text("EventSourceArn").replaces(),
        Property::object("FilterCriteria", &[Property::list("Filters", &Shape::Object(FILTER))]),
        Property::text("FunctionName").required(),
        Property::list("FunctionResponseTypes", &Shape::Text),
        Property::text("KmsKeyArn"),
        Property::object("LoggingConfig", &[Property::text("SystemLogLevel")]),
        Property::integer("MaximumBatchingWindowInSeconds"),
        Property::integer("MaximumRecordAgeInSeconds"),
        Property::integer("MaximumRetryAttempts"),
        Property::object("MetricsConfig", &[Property::list("Metrics", &Shape::Text)]),
        Property::integer("ParallelizationFactor"),
        Property::object("ProvisionedPollerConfig", POLLERS),
        Property::list("Queues", &Shape::Text),
        Property::object("ScalingConfig", &[Property::integer("MaximumConcurrency")]),
        Property::json("SelfManagedEventSource").replaces(),
        Property::json("SelfManagedKafkaEventSourceConfig").replaces(),
        Property::json("SourceAccessConfigurations"),
        Property::text("StartingPosition").replaces(),
        Property::new("StartingPositionTimestamp", Shape::Number).replaces(),
        Property::tags(),
        Property::list("Topics", &Shape::Text),
        Property::integer("TumblingWindowInSeconds"),
    ],
    attributes: &["EventSourceMappingArn", "Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

const FILTER: &[Property] = &[Property::text("Pattern")];
const POLLERS: &[Property] = &[
    Property::integer("MaximumPollers"),
    Property::integer("MinimumPollers"),
    Property::text("PollerGroupName"),
];

/// Properties that may be changed, and what is sent for one that a template does not have any more.
fn updatable() -> [(&'static str, Value); 17] {
    [
        ("BatchSize", json!(10)),
        ("BisectBatchOnFunctionError", json!(false)),
        ("DestinationConfig", json!({})),
        ("Enabled", json!(true)),
        ("FilterCriteria", json!({})),
        ("FunctionName", Value::Null),
        ("FunctionResponseTypes", json!([])),
        ("LoggingConfig", json!({})),
        ("MaximumBatchingWindowInSeconds", json!(0)),
        ("MaximumRecordAgeInSeconds", json!(-1)),
        ("MaximumRetryAttempts", json!(-1)),
        ("MetricsConfig", json!({})),
        ("ParallelizationFactor", json!(1)),
        ("ProvisionedPollerConfig", json!({})),
        ("ScalingConfig", json!({})),
        ("SourceAccessConfigurations", json!([])),
        ("TumblingWindowInSeconds", json!(0)),
    ]
}

const FIXED: [&str; 9] = [
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "EventSourceArn",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Topics",
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    if cx.resumed
        && let Some(made) = find(cx, properties).await?
    {
        return Ok(made);
    }
    let mut body = properties.pick(&updatable().map(|(name, _)| name));
    body.extend(properties.pick(&FIXED));
    add_key(&mut body, properties);
    let tags: Map<String, Value> =
        cx.own_tags(properties).into_iter().map(|(key, value)| (key, value.into())).collect();
    if !tags.is_empty() {
        body.insert("Tags".to_owned(), tags.into());
    }
    let made = call(cx, Method::POST, BASE, object(body)).await?;
    let made = resource_of(&made)?;
    match settled(cx, &made.physical_id).await {
        Ok(_) => Ok(made),
        Err(failure) => Err(failure.after(made)),
    }
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let mut body = Map::new();
    for (name, default) in updatable() {
        match (old.get(name), new.get(name)) {
            (_, Some(value)) => drop(body.insert(name.to_owned(), value.clone())),
            (Some(_), None) => drop(body.insert(name.to_owned(), default)),
            (None, None) => {}
        }
    }
    add_key(&mut body, new);
    if old.get("KmsKeyArn").is_some() && new.get("KmsKeyArn").is_none() {
        body.insert("KMSKeyArn".to_owned(), "".into());
    }
    let uuid = &resource.physical_id;
    settled(cx, uuid).await?;
    call(cx, Method::PUT, &path(uuid), object(body)).await?;
    settled(cx, uuid).await?;
    retag(cx, change).await?;
    Ok(resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let uuid = &resource.physical_id;
    if settled(cx, uuid).await?.is_none() {
        return Ok(());
    }
    call(cx, Method::DELETE, &path(uuid), None).await?;
    settled(cx, uuid).await?;
    Ok(())
}

const BASE: &str = "/2015-03-31/event-source-mappings";

fn path(uuid: &str) -> String {
    format!("{BASE}/{}", percent::encode(uuid))
}

/// CloudFormation writes the name otherwise than Lambda does.
fn add_key(body: &mut Map<String, Value>, properties: &Properties) {
    if let Some(arn) = properties.get("KmsKeyArn") {
        body.insert("KMSKeyArn".to_owned(), arn.clone());
    }
}

fn resource_of(mapping: &Value) -> Result<Resource, Failure> {
    let uuid = text(mapping, "UUID")?;
    let arn = text(mapping, "EventSourceMappingArn")?;
    Ok(Resource::new(&uuid).with("Id", uuid).with("EventSourceMappingArn", arn))
}

/// The mapping that a creation made before the server stopped: there is one for a source and a function.
async fn find(cx: &Cx, properties: &Properties) -> Result<Option<Resource>, Failure> {
    let function = percent::encode(properties.required("FunctionName")?);
    let source = percent::encode(properties.text("EventSourceArn").unwrap_or_default());
    let listed = format!("{BASE}?EventSourceArn={source}&FunctionName={function}");
    let listed = call(cx, Method::GET, &listed, None).await?;
    let first = listed.get("EventSourceMappings").and_then(|mappings| mappings.get(0));
    first.map(resource_of).transpose()
}

/// Waits until the mapping is on its way nowhere; None when it is gone.
async fn settled(cx: &Cx, uuid: &str) -> Result<Option<Value>, Failure> {
    let until = cx.clock.epoch_ms() + FUNCTION_STABLE_MS_MAX;
    loop {
        let found = match call(cx, Method::GET, &path(uuid), None).await.map_err(Failure::from) {
            Err(failure) if failure.is_not_found() => return Ok(None),
            found => found?,
        };
        match found.get("State").and_then(Value::as_str) {
            Some("Enabled" | "Disabled") => return Ok(Some(found)),
            _ if cx.clock.epoch_ms() > until => {
                let reason = "The event source mapping did not get ready.";
                return Err(Failure::handler(HandlerErrorCode::NotStabilized, reason));
            }
            _ => tokio::time::sleep(Duration::from_millis(FUNCTION_POLL_MS)).await,
        }
    }
}

async fn retag(cx: &Cx, change: Change<'_>) -> Result<(), Failure> {
    let arn = change.resource.text("EventSourceMappingArn").unwrap_or_default();
    let path = format!("/2017-03-31/tags/{}", percent::encode(arn));
    let tags: Map<String, Value> =
        cx.own_tags(change.new).into_iter().map(|(key, value)| (key, value.into())).collect();
    let gone = change.old.tags().into_iter().map(|(key, _)| key);
    let gone: Vec<String> = gone
        .filter(|key| !tags.contains_key(key))
        .map(|key| format!("tagKeys={}", percent::encode(&key)))
        .collect();
    if !gone.is_empty() {
        call(cx, Method::DELETE, &format!("{path}?{}", gone.join("&")), None).await?;
    }
    if !tags.is_empty() {
        call(cx, Method::POST, &path, Some(json!({ "Tags": tags }))).await?;
    }
    Ok(())
}
