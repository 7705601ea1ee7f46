//! `sns`: topics that are made or exist, and subscriptions to them.

use serde_json::{Value, json};

use super::super::{Compiler, Event, Problem, events};
use super::{join, permission};
use crate::serverless::json::{items, text, truthy, without_nulls};
use crate::serverless::naming;

/// The topic an entry names.
struct Topic {
    /// Null for one that is made.
    arn: Value,
    name: String,
    /// Where it is, if not where the service is.
    region: Value,
}

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    for event in events(&functions, "sns") {
        if truthy(event.value) {
            subscribe(c, &event)?;
        }
    }
    Ok(())
}

/// An ARN's parts; `AWS::Region` within is one.
fn parts(arn: &str) -> Vec<String> {
    arn.replace("::", "\0").split(':').map(|part| part.replace('\0', "::")).collect()
}

fn topic(c: &Compiler<'_>, event: &Event<'_>) -> Result<Topic, Problem> {
    let settings = event.value;
    let arn = match settings.as_str() {
        Some(arn) if arn.starts_with("arn:") => settings.clone(),
        Some(name) => {
            return Ok(Topic { arn: Value::Null, name: name.to_owned(), region: Value::Null });
        }
        None => settings["arn"].clone(),
    };
    let mut name = text(&settings["topicName"]);
    let mut region = Value::Null;
    if let Some(arn) = arn.as_str() {
        let parts = parts(arn);
        if name.is_empty() {
            name = parts.last().cloned().unwrap_or_default();
        }
        let elsewhere = parts.get(3).filter(|region| **region != c.service.region);
        if settings.is_object() {
            region = elsewhere.map(String::as_str).into();
        }
    }
    if name.is_empty() {
        let message = "Missing \"sns.topicName\" setting (it needs to be provided if \"sns.arn\" is not provided as \
                       plain ARN string)";
        return Err(c.event_problem(event, message));
    }
    Ok(Topic { arn, name, region })
}

fn subscribe(c: &mut Compiler<'_>, event: &Event<'_>) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let topic = topic(c, event)?;
    let normal = naming::alphanumeric(&topic.name);
    let redrive = redrive(c, event, &topic, &normal);
    let topic_id = format!("SNSTopic{normal}");
    let is_made = topic.arn.is_null();
    if is_made {
        let resource = c.resources.entry(topic_id.clone()).or_insert_with(|| {
            let name = settings["displayName"].as_str();
            let properties = json!({"TopicName": topic.name, "DisplayName": name});
            json!({"Type": "AWS::SNS::Topic", "Properties": without_nulls(properties)})
        });
        if let Some(alias) = function.alias_id() {
            depend(resource, &alias);
        }
    }
    let mut subscription = json!({"Protocol": "lambda", "Endpoint": function.target()});
    if is_made && !truthy(&settings["filterPolicy"]) && redrive.is_null() {
        let subscriptions = &mut c.resources[&topic_id]["Properties"]["Subscription"];
        match subscriptions.as_array_mut() {
            Some(known) => known.push(subscription),
            None => *subscriptions = json!([subscription]),
        }
    } else {
        subscription["TopicArn"] =
            if is_made { json!({"Ref": topic_id}) } else { topic.arn.clone() };
        subscription["FilterPolicy"] = settings["filterPolicy"].clone();
        subscription["FilterPolicyScope"] = settings["filterPolicyScope"].clone();
        subscription["RedrivePolicy"] = redrive;
        subscription["Region"] = topic.region;
        let resource = json!({
            "Type": "AWS::SNS::Subscription",
            "DependsOn": function.depends(),
            "Properties": without_nulls(subscription),
        });
        c.resources
            .insert(format!("{}SnsSubscription{normal}", function.id), without_nulls(resource));
    }
    let source = if is_made { made_arn(&topic.name) } else { topic.arn };
    let allowed = permission(function.target(), "sns.amazonaws.com", source, function.depends());
    c.resources.insert(format!("{}LambdaPermission{normal}SNS", function.id), allowed);
    Ok(())
}

fn made_arn(name: &str) -> Value {
    join(vec![
        "arn:".into(),
        json!({"Ref": "AWS::Partition"}),
        ":sns:".into(),
        json!({"Ref": "AWS::Region"}),
        ":".into(),
        json!({"Ref": "AWS::AccountId"}),
        ":".into(),
        name.into(),
    ])
}

/// Adds to `DependsOn`, which is one id or a list of them.
fn depend(resource: &mut Value, on: &str) {
    let mut all: Vec<Value> = items(&resource["DependsOn"]).to_vec();
    if !all.iter().any(|known| known == on) {
        all.push(on.into());
    }
    resource["DependsOn"] = if all.len() == 1 { all.remove(0) } else { all.into() };
}

/// Where messages go that the function did not take, and the policy that lets the topic send there.
fn redrive(c: &mut Compiler<'_>, event: &Event<'_>, topic: &Topic, normal: &str) -> Value {
    let settings = &event.value["redrivePolicy"];
    if !truthy(settings) {
        return Value::Null;
    }
    let (arn, url) = if let Some(arn) = settings["deadLetterTargetArn"].as_str() {
        let parts = parts(arn);
        let part = |n: usize| parts.get(n).map(String::as_str).unwrap_or_default();
        let url = join(vec![
            format!("https://sqs.{}.", part(3)).into(),
            json!({"Ref": "AWS::URLSuffix"}),
            format!("/{}/{}", part(4), part(5)).into(),
        ]);
        (Value::from(arn), url)
    } else if truthy(&settings["deadLetterTargetRef"]) {
        let id = &settings["deadLetterTargetRef"];
        (json!({"Fn::GetAtt": [id, "Arn"]}), json!({"Ref": id}))
    } else {
        let import = &settings["deadLetterTargetImport"];
        (json!({"Fn::ImportValue": import["arn"]}), json!({"Fn::ImportValue": import["url"]}))
    };
    let id = format!("{normal}To{}DLQPolicy", event.function.id);
    let source = if topic.arn.is_null() { made_arn(&topic.name) } else { topic.arn.clone() };
    let policy = json!({
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Id": id,
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                    "Condition": {"ArnEquals": {"aws:SourceArn": source}},
                }],
            },
            "Queues": [url],
        },
    });
    c.resources.insert(id, policy);
    json!({"deadLetterTargetArn": arn})
}
