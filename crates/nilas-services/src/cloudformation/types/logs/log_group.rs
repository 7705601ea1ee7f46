//! `AWS::Logs::LogGroup`

use nilas_wire::Service;
use serde_json::{Value, json};

use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

/// Characters of a log group's name.
const NAME_CHARS_MAX: usize = 512;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Logs::LogGroup",
    properties: &[
        Property::text("LogGroupName").replaces(),
        Property::text("LogGroupClass"),
        Property::integer("RetentionInDays"),
        Property::tags().inert(),
    ],
    attributes: &["Arn"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name_or(properties, "LogGroupName", NAME_CHARS_MAX);
    let mut body = properties.pick(&["LogGroupClass"]);
    if let Some(class) = body.remove("LogGroupClass") {
        body.insert("logGroupClass".to_owned(), class);
    }
    body.insert("logGroupName".to_owned(), name.as_str().into());
    let created = call(cx, "CreateLogGroup", body.into()).await;
    match created {
        Err(failure) if cx.resumed && failure.is_already_exists() => {}
        created => created?,
    }
    let arn = cx.arn("logs", &format!("log-group:{name}:*"));
    let made = Resource::new(name).with("Arn", arn);
    if let Some(days) = properties.integer("RetentionInDays") {
        let retained = retain(cx, &made.physical_id, Some(days)).await;
        retained.map_err(|failure| failure.after(made.clone()))?;
    }
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    if change.new.differs(change.old, "LogGroupClass") {
        return Err(Failure::invalid("The class of a log group cannot be changed."));
    }
    if change.new.differs(change.old, "RetentionInDays") {
        let name = &change.resource.physical_id;
        retain(cx, name, change.new.integer("RetentionInDays")).await?;
    }
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, "DeleteLogGroup", json!({ "logGroupName": resource.physical_id })).await
}

async fn retain(cx: &Cx, name: &str, days: Option<i64>) -> Result<(), Failure> {
    match days {
        Some(days) => {
            let body = json!({ "logGroupName": name, "retentionInDays": days });
            call(cx, "PutRetentionPolicy", body).await
        }
        None => call(cx, "DeleteRetentionPolicy", json!({ "logGroupName": name })).await,
    }
}

async fn call(cx: &Cx, operation: &str, body: Value) -> Result<(), Failure> {
    cx.calls.json(Service::Logs, &cx.auth, operation, body).await?;
    Ok(())
}
