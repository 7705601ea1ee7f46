//! `schedule`: rules of EventBridge, or schedules of EventBridge Scheduler.

use serde_json::{Value, json};

use super::super::{Compiler, Event, Problem, ROLE, events};
use super::permission;
use crate::serverless::json::{items, text, truthy, without_nulls};

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut allowed = Vec::new();
    for function in functions.iter() {
        let mut number = 0;
        let mut uses_scheduler = false;
        for event in events(std::slice::from_ref(function), "schedule") {
            if !truthy(event.value) {
                continue;
            }
            check(c, &event)?;
            let is_scheduler = event.value["method"] == "scheduler";
            uses_scheduler |= is_scheduler;
            let rates = match event.value {
                Value::Object(settings) => items(settings.get("rate").unwrap_or(&Value::Null)),
                short => std::slice::from_ref(short),
            };
            for rate in rates {
                number += 1;
                if is_scheduler {
                    schedule(c, &event, rate, number)
                } else {
                    rule(c, &event, rate, number)
                }
            }
        }
        if uses_scheduler {
            let arn = format!(
                "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{}",
                function.name()
            );
            allowed.push(json!({"Fn::Sub": arn}));
            allowed.push(json!({"Fn::Sub": format!("{arn}:*")}));
        }
    }
    if !allowed.is_empty() && c.resources.contains_key(ROLE) {
        let principals = c.resources[ROLE]
            .pointer_mut("/Properties/AssumeRolePolicyDocument/Statement/0/Principal/Service");
        if let Some(principals) = principals.and_then(Value::as_array_mut) {
            principals.push("scheduler.amazonaws.com".into());
        }
        c.allow(json!({
            "Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": allowed,
        }));
    }
    Ok(())
}

fn check(c: &Compiler<'_>, event: &Event<'_>) -> Result<(), Problem> {
    let settings = event.value;
    if !settings.is_object() {
        return Ok(());
    }
    if items(&settings["rate"]).is_empty() {
        return Err(c.event_problem(event, "A schedule needs a `rate`"));
    }
    if items(&settings["rate"]).len() > 1 && truthy(&settings["name"]) {
        let message = "You cannot specify a name when defining more than one rate expression";
        return Err(c.event_problem(event, message));
    }
    let is_scheduler = settings["method"] == "scheduler";
    let (names, message): (&[&str], _) = if is_scheduler {
        (&["inputTransformer", "inputPath"], "is not supported with \"scheduler\" mode")
    } else {
        (&["timezone", "groupName"], "is only supported with \"scheduler\" mode")
    };
    match names.iter().find(|name| truthy(&settings[**name])) {
        None => Ok(()),
        Some(name) => Err(c.event_problem(
            event,
            format!("Cannot setup \"schedule\" event: \"{name}\" {message}"),
        )),
    }
}

/// The constant event, as text.
fn input(settings: &Value) -> Value {
    match &settings["input"] {
        Value::Object(input) => {
            let mut input = input.clone();
            let body = input.get("body").and_then(Value::as_str);
            if let Some(body) = body.and_then(|body| serde_json::from_str(body).ok()) {
                input.insert("body".into(), body);
            }
            Value::Object(input).to_string().into()
        }
        Value::Array(list) => Value::Array(list.clone()).to_string().into(),
        short if truthy(short) => text(short).into(),
        _ => Value::Null,
    }
}

fn state(settings: &Value) -> &'static str {
    if settings["enabled"] == false { "DISABLED" } else { "ENABLED" }
}

fn schedule(c: &mut Compiler<'_>, event: &Event<'_>, rate: &Value, number: usize) {
    let (function, settings) = (event.function, event.value);
    let role = match &settings["roleArn"] {
        role if truthy(role) => role.clone(),
        _ => c.resources[&function.logical_id()]["Properties"]["Role"].clone(),
    };
    let target = json!({"Arn": function.target(), "RoleArn": role, "Input": input(settings)});
    let properties = json!({
        "ScheduleExpression": rate,
        "State": state(settings),
        "Target": without_nulls(target),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Name": settings["name"],
        "GroupName": settings["groupName"],
        "Description": settings["description"],
        "ScheduleExpressionTimezone": settings["timezone"],
    });
    let resource = json!({
        "Type": "AWS::Scheduler::Schedule",
        "DependsOn": function.depends(),
        "Properties": without_nulls(properties),
    });
    c.resources
        .insert(format!("{}SchedulerSchedule{number}", function.id), without_nulls(resource));
}

fn rule(c: &mut Compiler<'_>, event: &Event<'_>, rate: &Value, number: usize) {
    let (function, settings) = (event.function, event.value);
    let or_none = |name: &str| truthy(&settings[name]).then(|| settings[name].clone());
    let transformer = &settings["inputTransformer"];
    let transformer = truthy(transformer).then(|| {
        without_nulls(json!({
            "InputTemplate": transformer["inputTemplate"],
            "InputPathsMap": transformer["inputPathsMap"],
        }))
    });
    let target = without_nulls(json!({
        "Input": input(settings),
        "InputPath": or_none("inputPath"),
        "InputTransformer": transformer,
        "Arn": function.target(),
        "Id": format!("{}Schedule", function.key),
    }));
    let properties = without_nulls(json!({
        "ScheduleExpression": rate,
        "State": state(settings),
        "Name": or_none("name"),
        "Description": or_none("description"),
        "Targets": [target],
    }));
    let id = format!("{}EventsRuleSchedule{number}", function.id);
    let resource = json!({
        "Type": "AWS::Events::Rule", "DependsOn": function.depends(), "Properties": properties,
    });
    c.resources.insert(id.clone(), without_nulls(resource));
    let source = json!({"Fn::GetAtt": [id, "Arn"]});
    let allowed = permission(function.target(), "events.amazonaws.com", source, function.depends());
    c.resources
        .insert(format!("{}LambdaPermissionEventsRuleSchedule{number}", function.id), allowed);
}
