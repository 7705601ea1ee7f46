//! `cloudwatchEvent`, the older name of EventBridge's rules, and `cloudwatchLog`, subscriptions to log groups.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{Compiler, Event, Problem, events};
use super::{join, permission};
use crate::serverless::json::{text, truthy, without_nulls};

/// Subscriptions to one log group.
const FILTERS_MAX: usize = 2;

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut filters = BTreeMap::new();
    for function in functions.iter() {
        let all = events(std::slice::from_ref(function), "cloudwatchEvent");
        for (n, event) in all.iter().filter(|event| truthy(event.value)).enumerate() {
            rule(c, event, n + 1)?;
        }
        let mut groups = Vec::new();
        for event in events(std::slice::from_ref(function), "cloudwatchLog") {
            if truthy(event.value) {
                subscription(c, &event, &mut groups, &mut filters)?;
            }
        }
    }
    Ok(())
}

fn rule(c: &mut Compiler<'_>, event: &Event<'_>, number: usize) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let inputs = ["input", "inputPath", "inputTransformer"].map(|name| &settings[name]);
    if inputs.iter().filter(|input| truthy(input)).count() > 1 {
        let message = "You can only set one of input, inputPath, or inputTransformer properties at the same time for \
                       cloudwatch events. Please check the AWS docs for more info";
        return Err(c.event_problem(event, message));
    }
    let [input, path, transformer] = inputs;
    let input = match input {
        Value::Object(_) | Value::Array(_) => input.to_string().into(),
        short if truthy(short) => text(short).into(),
        _ => Value::Null,
    };
    let transformer = truthy(transformer).then(|| {
        without_nulls(json!({
            "InputTemplate": transformer["inputTemplate"],
            "InputPathsMap": transformer["inputPathsMap"],
        }))
    });
    let or_none = |value: &Value| truthy(value).then(|| value.clone());
    let target = without_nulls(json!({
        "Input": input,
        "InputPath": or_none(path),
        "InputTransformer": transformer,
        "Arn": function.target(),
        "Id": format!("{}CloudWatchEvent", function.key),
    }));
    let properties = without_nulls(json!({
        "EventPattern": settings["event"],
        "State": if settings["enabled"] == false { "DISABLED" } else { "ENABLED" },
        "Description": or_none(&settings["description"]),
        "Name": or_none(&settings["name"]),
        "Targets": [target],
    }));
    let id = format!("{}EventsRuleCloudWatchEvent{number}", function.id);
    let resource = without_nulls(json!({
        "Type": "AWS::Events::Rule", "DependsOn": function.depends(), "Properties": properties,
    }));
    c.resources.insert(id.clone(), resource);
    let source = json!({"Fn::GetAtt": [id, "Arn"]});
    let allowed = permission(function.target(), "events.amazonaws.com", source, function.depends());
    let id = format!("{}LambdaPermissionEventsRuleCloudWatchEvent{number}", function.id);
    c.resources.insert(id, allowed);
    Ok(())
}

/// `groups` are those of the function so far, `filters` counts those of each group.
fn subscription(
    c: &mut Compiler<'_>,
    event: &Event<'_>,
    groups: &mut Vec<String>,
    filters: &mut BTreeMap<String, usize>,
) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let line = |value: &Value| text(value).replace("\r\n", "").replace('\n', "");
    let (group, pattern) = match settings {
        Value::String(_) => (line(settings), String::new()),
        settings => (line(&settings["logGroup"]), unescaped(&line(&settings["filter"]))),
    };
    let count = filters.entry(group.clone()).or_default();
    *count += 1;
    if *count > FILTERS_MAX {
        let message = format!(
            "Only {FILTERS_MAX} subscription filters can be configured per log group. You're attempting to configure more \
             subscription filters than allowed for \"{group}\"."
        );
        return Err(c.event_problem(event, message));
    }
    groups.push(group.clone());
    let permission_id =
        format!("{}LambdaPermissionLogsSubscriptionFilterCloudWatchLog", function.id);
    let mut depends = vec![permission_id.clone()];
    depends.extend(function.alias_id());
    let resource = json!({
        "Type": "AWS::Logs::SubscriptionFilter",
        "DependsOn": depends,
        "Properties": {
            "LogGroupName": group, "FilterPattern": pattern, "DestinationArn": function.target(),
        },
    });
    let id = format!("{}LogsSubscriptionFilterCloudWatchLog{}", function.id, groups.len());
    c.resources.insert(id, resource);
    let source = join(vec![
        "arn:".into(),
        json!({"Ref": "AWS::Partition"}),
        ":logs:".into(),
        json!({"Ref": "AWS::Region"}),
        ":".into(),
        json!({"Ref": "AWS::AccountId"}),
        ":log-group:".into(),
        shared_start(groups).into(),
        ":*".into(),
    ]);
    let depends = function.alias_id().map_or(Value::Null, |alias| json!([alias]));
    let mut allowed = permission(function.target(), "", source, depends);
    allowed["Properties"]["Principal"] =
        join(vec!["logs.".into(), json!({"Ref": "AWS::Region"}), ".amazonaws.com".into()]);
    c.resources.insert(permission_id, allowed);
    Ok(())
}

/// Takes one level of backslashes from quotes, if the first quote has one.
fn unescaped(pattern: &str) -> String {
    match (pattern.find('\\'), pattern.find('"')) {
        (Some(slash), Some(quote)) if quote > slash => {
            pattern.replace("\\\"", "\"").replace("\\\\'", "\\'")
        }
        _ => pattern.to_owned(),
    }
}

/// What all names begin with, and a star if there are several.
fn shared_start(names: &[String]) -> String {
    let mut shared = names.first().cloned().unwrap_or_default();
    for name in names {
        let length = shared.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
        if length < shared.chars().count() {
            shared = shared.chars().take(length).collect();
        }
    }
    if names.len() > 1 && !shared.ends_with('*') {
        shared.push('*');
    }
    shared
}
