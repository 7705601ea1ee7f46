//! `iot` and `iotFleetProvisioning`: rules on messages of devices, and hooks before a device is set up.

use serde_json::{Value, json};

use super::super::{Compiler, Event, Problem, events};
use super::{join, permission};
use crate::serverless::json::{text, truthy, without_nulls};

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    for function in functions.iter() {
        let all = events(std::slice::from_ref(function), "iot");
        for (n, event) in all.iter().filter(|event| truthy(event.value)).enumerate() {
            rule(c, event, n + 1)?;
        }
        let hooks = events(std::slice::from_ref(function), "iotFleetProvisioning");
        if let Some(second) = hooks.get(1) {
            let message = format!(
                "Lambda functions can only be associated with a single provisioning hook: \"{}\" has several",
                function.key
            );
            return Err(c.event_problem(second, message));
        }
        hooks.iter().for_each(|event| hook(c, event));
    }
    Ok(())
}

fn rule(c: &mut Compiler<'_>, event: &Event<'_>, number: usize) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    if !truthy(&settings["sql"]) {
        return Err(c.event_problem(event, "An iot event needs `sql`"));
    }
    let line = |name: &str| {
        let value = &settings[name];
        truthy(value).then(|| text(value).replace("\r\n", "").replace('\n', ""))
    };
    let payload = without_nulls(json!({
        "RuleDisabled": settings["enabled"] == false,
        "Sql": line("sql"),
        "Actions": [{"Lambda": {"FunctionArn": function.target()}}],
        "Description": line("description"),
        "AwsIotSqlVersion": line("sqlVersion"),
    }));
    let properties = without_nulls(json!({"TopicRulePayload": payload, "RuleName": line("name")}));
    let id = format!("{}IotTopicRule{number}", function.id);
    let resource = without_nulls(json!({
        "Type": "AWS::IoT::TopicRule", "DependsOn": function.depends(), "Properties": properties,
    }));
    c.resources.insert(id.clone(), resource);
    let source = join(vec![
        "arn:".into(),
        json!({"Ref": "AWS::Partition"}),
        ":iot:".into(),
        json!({"Ref": "AWS::Region"}),
        ":".into(),
        json!({"Ref": "AWS::AccountId"}),
        ":rule/".into(),
        json!({"Ref": id}),
    ]);
    let allowed = permission(function.target(), "iot.amazonaws.com", source, function.depends());
    c.resources.insert(format!("{}LambdaPermissionIotTopicRule{number}", function.id), allowed);
    Ok(())
}

fn hook(c: &mut Compiler<'_>, event: &Event<'_>) {
    let (function, settings) = (event.function, event.value);
    let permission_id = format!("{}LambdaPermissionIotProvisioningTemplate", function.id);
    let mut depends = vec![permission_id.clone()];
    depends.extend(function.alias_id());
    let properties = without_nulls(json!({
        "Enabled": settings.get("enabled").cloned().unwrap_or(Value::Bool(true)),
        "PreProvisioningHook": {"TargetArn": function.target()},
        "ProvisioningRoleArn": settings["provisioningRoleArn"],
        "TemplateBody": settings["templateBody"].to_string(),
        "TemplateName": settings["templateName"],
    }));
    let resource = json!({
        "Type": "AWS::IoT::ProvisioningTemplate", "DependsOn": depends, "Properties": properties,
    });
    c.resources.insert(format!("{}IotProvisioningTemplate", function.id), resource);
    let mut allowed =
        permission(function.target(), "iot.amazonaws.com", Value::Null, function.depends());
    allowed["Properties"] = without_nulls(allowed["Properties"].take());
    c.resources.insert(permission_id, allowed);
}
