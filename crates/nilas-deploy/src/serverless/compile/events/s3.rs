//! `s3`: notifications of buckets, which are made, or exist and are told of the function after the deployment.

use serde_json::{Map, Value, json};

use super::super::{Compiler, Event, Function, Problem, events};
use super::{join, permission};
use crate::serverless::json::{items, members, text, truthy, without_nulls};
use crate::serverless::naming;
use crate::serverless::service::{BucketEvent, ExistingBucket};

const EVENT_DEFAULT: &str = "s3:ObjectCreated:*";

/// A bucket of this template.
struct Bucket<'f> {
    name: String,
    /// What events call it: a name under `provider.s3`, or its own.
    reference: String,
    configurations: Vec<Value>,
    functions: Vec<&'f Function>,
}

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut buckets: Vec<Bucket<'_>> = Vec::new();
    for event in events(&functions, "s3") {
        if !truthy(event.value) {
            continue;
        }
        if truthy(&event.value["existing"]) {
            existing(c, &event)?;
        } else {
            made(c, event, &mut buckets)?;
        }
    }
    for bucket in buckets {
        add_bucket(c, bucket);
    }
    Ok(())
}

fn made<'f>(
    c: &Compiler<'_>,
    event: Event<'f>,
    buckets: &mut Vec<Bucket<'f>>,
) -> Result<(), Problem> {
    let settings = event.value;
    let reference = match settings.as_str().or_else(|| settings["bucket"].as_str()) {
        Some(reference) => reference.to_owned(),
        None => {
            let message = "When specifying \"s3.bucket\" with CloudFormation intrinsic function, you need to specify that \
                           the bucket is existing via \"existing: true\" property.";
            return Err(c.event_problem(&event, message));
        }
    };
    let name = match &c.provider()["s3"][&reference]["name"] {
        name if truthy(name) => text(name),
        _ => reference.clone(),
    };
    let is_valid = (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    if !is_valid {
        let message = format!(
            "{name} - Bucket name must be 3 to 63 lower case letters, digits, dots and hyphens. Please check \
             provider.s3.{reference} and/or s3 events of function \"{}\".",
            event.function.key
        );
        return Err(c.event_problem(&event, message));
    }
    let mut configuration = json!({
        "Event": kind(settings), "Function": event.function.target(),
    });
    if truthy(&settings["rules"]) {
        let rules: Vec<Value> = rules(settings)
            .into_iter()
            .map(|(name, value)| json!({"Name": name, "Value": value}))
            .collect();
        configuration["Filter"] = json!({"S3Key": {"Rules": rules}});
    }
    match buckets.iter_mut().find(|known| known.name == name) {
        Some(known) => {
            known.configurations.push(configuration);
            known.functions.push(event.function);
        }
        None => buckets.push(Bucket {
            name,
            reference,
            configurations: vec![configuration],
            functions: vec![event.function],
        }),
    }
    Ok(())
}

fn kind(settings: &Value) -> String {
    settings["event"].as_str().unwrap_or(EVENT_DEFAULT).to_owned()
}

/// Each rule is an object of one member: `prefix` or `suffix`.
fn rules(settings: &Value) -> Vec<(&str, &Value)> {
    items(&settings["rules"]).iter().filter_map(|rule| members(rule).next()).collect()
}

fn add_bucket(c: &mut Compiler<'_>, bucket: Bucket<'_>) {
    let Bucket { name, reference, configurations, functions } = bucket;
    let normal = naming::alphanumeric(&reference);
    let mut depends = Vec::new();
    for function in functions {
        let id = format!("{}LambdaPermission{normal}S3", function.id);
        depends.push(id.clone());
        depends.extend(function.alias_id());
        let source = join(vec![
            "arn:".into(),
            json!({"Ref": "AWS::Partition"}),
            format!(":s3:::{name}").into(),
        ]);
        let mut allowed =
            permission(function.target(), "s3.amazonaws.com", source, function.depends());
        allowed["Properties"]["SourceAccount"] = json!({"Ref": "AWS::AccountId"});
        c.resources.insert(id, allowed);
    }
    let mut properties = Map::new();
    properties.insert("BucketName".into(), name.as_str().into());
    let mut notifications = json!({"LambdaConfigurations": configurations});
    for (key, value) in members(&c.provider()["s3"][&reference]) {
        match naming::upper_first(key).as_str() {
            "Name" => {}
            "NotificationConfiguration" => {
                for (kind, value) in members(value) {
                    notifications[kind] = value.clone();
                }
            }
            property => drop(properties.insert(property.to_owned(), value.clone())),
        }
    }
    properties.insert("NotificationConfiguration".into(), notifications);
    let resource =
        json!({"Type": "AWS::S3::Bucket", "Properties": properties, "DependsOn": depends});
    c.resources.insert(format!("S3Bucket{normal}"), resource);
}

/// CloudFormation does not touch a bucket it has not made. The Framework deploys a function that does; here the caller
/// puts the notification when the stack is there, and the template lets the bucket call.
fn existing(c: &mut Compiler<'_>, event: &Event<'_>) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let bucket = settings["bucket"].clone();
    if !truthy(&bucket) {
        return Err(c.event_problem(event, "An s3 event needs a `bucket`"));
    }
    let rules =
        rules(settings).into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
    let entry = BucketEvent { event: kind(settings), rules };
    match c.existing_buckets.iter_mut().find(|known| known.function == function.key) {
        Some(known) if known.bucket != bucket => {
            let message = format!(
                "Only one S3 Bucket can be configured per function. In \"{}\" you're attempting to configure \"{}\" and \
                 \"{}\" at the same time.",
                function.name(),
                text(&known.bucket),
                text(&bucket)
            );
            return Err(c.event_problem(event, message));
        }
        Some(known) => known.events.push(entry),
        None => c.existing_buckets.push(ExistingBucket {
            bucket: bucket.clone(),
            function: function.key.clone(),
            function_name: function.name().to_owned(),
            qualifier: function.alias.map(|alias| alias.name.to_owned()),
            events: vec![entry],
        }),
    }
    let source =
        json!({"Fn::Join": [":", ["arn", {"Ref": "AWS::Partition"}, "s3", "", "", bucket]]});
    let mut allowed = permission(function.target(), "s3.amazonaws.com", source, function.depends());
    allowed["Properties"]["SourceAccount"] = json!({"Ref": "AWS::AccountId"});
    let id = format!("{}LambdaPermissionExistingS3", function.id);
    c.resources.insert(id, without_nulls(allowed));
    Ok(())
}
