//! `eventBridge`: rules on a bus.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::super::{Compiler, Event, Problem, events};
use super::permission;
use crate::serverless::json::{members, text, truthy, without_nulls};
use crate::serverless::naming;

/// Of rules' names and targets' ids, in characters.
const NAME_LENGTH_MAX: usize = 64;

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    for event in events(&functions, "eventBridge") {
        if truthy(event.value) {
            rule(c, &event)?;
        }
    }
    Ok(())
}

/// A name that is too long is cut and told apart by a hash.
fn short(name: &str, suffix: &str) -> String {
    if name.chars().count() <= NAME_LENGTH_MAX {
        return name.to_owned();
    }
    let hash = Sha256::digest(name);
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let start: String = name.chars().take(31 - suffix.len().min(31)).collect();
    format!("{start}{hash}-{suffix}")
}

fn rule(c: &mut Compiler<'_>, event: &Event<'_>) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let number = event.index + 1;
    let suffix = format!("rule-{number}");
    let full_name = format!("{}-{suffix}", function.name());
    let name = match settings["name"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => short(&full_name, &suffix),
    };
    let bus = &settings["eventBus"];
    let (bus, made) = match bus.as_str() {
        Some("" | "default") => (Value::Null, None),
        Some(arn) if arn.starts_with("arn") => {
            (arn.split_once('/').map(|(_, name)| name).into(), None)
        }
        Some(name) => {
            let id = naming::resource(name) + "EventBridgeEventBus";
            let resource = json!({"Type": "AWS::Events::EventBus", "Properties": {"Name": name}});
            c.resources.insert(id.clone(), resource);
            (name.into(), Some(id))
        }
        None => (bus.clone(), None),
    };
    let target = target(c, event, &name)?;
    let mut depends: Vec<Value> =
        function.alias_id().into_iter().chain(made).map(Value::from).collect();
    let depends = match depends.len() {
        0 => Value::Null,
        1 => depends.remove(0),
        _ => depends.into(),
    };
    let or_none = |value: &Value| truthy(value).then(|| value.clone());
    let properties = without_nulls(json!({
        "Description": settings["description"],
        "EventBusName": bus,
        "EventPattern": or_none(&settings["pattern"]),
        "Name": name,
        "ScheduleExpression": or_none(&settings["schedule"]),
        "State": if settings["enabled"] == false { "DISABLED" } else { "ENABLED" },
        "Targets": [target],
    }));
    let resource = without_nulls(json!({
        "Type": "AWS::Events::Rule", "DependsOn": depends, "Properties": properties,
    }));
    c.resources.insert(format!("{}EventBridgeRule", naming::alphanumeric(&full_name)), resource);
    let mut path = vec![json!("rule")];
    path.extend((!bus.is_null()).then_some(bus));
    path.push(name.into());
    let source = json!({"Fn::Join": [":", [
        "arn",
        {"Ref": "AWS::Partition"},
        "events",
        {"Ref": "AWS::Region"},
        {"Ref": "AWS::AccountId"},
        {"Fn::Join": ["/", path]},
    ]]});
    let allowed = permission(function.target(), "events.amazonaws.com", source, function.depends());
    c.resources.insert(format!("{}EventBridgeLambdaPermission{number}", function.id), allowed);
    Ok(())
}

fn target(c: &Compiler<'_>, event: &Event<'_>, rule: &str) -> Result<Value, Problem> {
    let settings = event.value;
    let inputs = ["input", "inputPath", "inputTransformer"].map(|name| &settings[name]);
    if inputs.iter().filter(|input| truthy(input)).count() > 1 {
        let message = "You can only set one of input, inputPath, or inputTransformer properties for eventBridge events.";
        return Err(c.event_problem(event, message));
    }
    let id = short(&format!("{rule}-target"), "target");
    let mut target = json!({"Arn": event.function.target(), "Id": id});
    let retry = &settings["retryPolicy"];
    if truthy(retry) {
        target["RetryPolicy"] = without_nulls(json!({
            "MaximumEventAgeInSeconds": retry["maximumEventAge"],
            "MaximumRetryAttempts": retry["maximumRetryAttempts"],
        }));
    }
    if truthy(&settings["deadLetterQueueArn"]) {
        target["DeadLetterConfig"] = json!({"Arn": settings["deadLetterQueueArn"]});
    }
    let [input, path, transformer] = inputs;
    if truthy(input) {
        target["Input"] = input.to_string().into();
    } else if truthy(path) {
        target["InputPath"] = text(path).into();
    } else if truthy(transformer) {
        let transformer: Map<String, Value> = members(transformer)
            .map(|(key, value)| (naming::upper_first(key), value.clone()))
            .collect();
        target["InputTransformer"] = transformer.into();
    }
    Ok(target)
}
