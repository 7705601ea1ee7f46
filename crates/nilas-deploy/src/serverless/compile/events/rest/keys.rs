//! API keys and usage plans.

use serde_json::{Value, json};

use super::{Compiler, Problem, api_id};
use crate::serverless::json::{items, members, text, truthy, without_nulls};
use crate::serverless::naming;

pub(super) fn compile(c: &mut Compiler<'_>, deployment: &str) -> Result<(), Problem> {
    let settings = &c.provider()["apiGateway"];
    let (keys, plans) = (&settings["apiKeys"], &settings["usagePlan"]);
    if !truthy(keys) && !truthy(plans) {
        return Ok(());
    }
    let mut names = Vec::new();
    match plans {
        Value::Array(list) => {
            for plan in list {
                let Some((name, config)) = members(plan).next() else { continue };
                usage_plan(c, deployment, Some(name), config);
                names.push(name.to_owned());
            }
        }
        single => usage_plan(c, deployment, None, single),
    }
    let mut number = 0;
    for key in items(keys) {
        let group = members(key).next().filter(|(_, value)| value.is_array());
        match group {
            Some((name, of_plan)) if names.iter().any(|known| known == name) => {
                number = 0;
                for key in items(of_plan) {
                    number += 1;
                    api_key(c, deployment, number, Some(name), key);
                }
            }
            Some((name, _)) => {
                let path = ["provider", "apiGateway", "apiKeys"];
                return Err(
                    c.problem(&path, format!("API key \"{name}\" has no usage plan defined"))
                );
            }
            None => {
                number += 1;
                api_key(c, deployment, number, None, key);
            }
        }
    }
    Ok(())
}

fn suffix(name: Option<&str>) -> String {
    name.map(naming::upper_first).unwrap_or_default()
}

fn usage_plan(c: &mut Compiler<'_>, deployment: &str, name: Option<&str>, config: &Value) {
    let (service, stage) = (&c.service.name, &c.service.stage);
    let (title, description) = match name {
        Some(name) => (
            format!("{service}-{name}-{stage}"),
            format!("Usage plan \"{name}\" for {service} {stage} stage"),
        ),
        None => (format!("{service}-{stage}"), format!("Usage plan for {service} {stage} stage")),
    };
    let (quota, throttle) = (&config["quota"], &config["throttle"]);
    let quota = truthy(quota).then(|| {
        without_nulls(json!({
            "Limit": quota["limit"], "Offset": quota["offset"], "Period": quota["period"],
        }))
    });
    let throttle = truthy(throttle).then(|| {
        without_nulls(json!({
            "BurstLimit": throttle["burstLimit"], "RateLimit": throttle["rateLimit"],
        }))
    });
    let properties = without_nulls(json!({
        "ApiStages": [{"ApiId": api_id(c), "Stage": stage}],
        "Description": description,
        "UsagePlanName": title,
        "Quota": quota,
        "Throttle": throttle,
    }));
    let resource = json!({
        "Type": "AWS::ApiGateway::UsagePlan", "DependsOn": deployment, "Properties": properties,
    });
    c.resources.insert(format!("ApiGatewayUsagePlan{}", suffix(name)), resource);
}

fn api_key(c: &mut Compiler<'_>, deployment: &str, number: usize, plan: Option<&str>, key: &Value) {
    let (name, config) = match key {
        Value::String(name) => (name.clone(), &Value::Null),
        config => (text(&config["name"]), config),
    };
    let stage = match &c.provider()["apiGateway"]["stage"] {
        stage if truthy(stage) => text(stage),
        _ => c.service.stage.clone(),
    };
    let enabled = if config["enabled"].is_null() { true.into() } else { config["enabled"].clone() };
    let properties = without_nulls(json!({
        "Enabled": enabled,
        "Name": (!name.is_empty()).then_some(name),
        "Value": truthy(&config["value"]).then(|| config["value"].clone()),
        "Description": config["description"],
        "CustomerId": config["customerId"],
        "StageKeys": [{"RestApiId": api_id(c), "StageName": stage}],
    }));
    let suffix = format!("{}{number}", suffix(plan));
    let id = format!("ApiGatewayApiKey{suffix}");
    let resource = json!({
        "Type": "AWS::ApiGateway::ApiKey", "Properties": properties, "DependsOn": deployment,
    });
    c.resources.insert(id.clone(), resource);
    let plan_id =
        format!("ApiGatewayUsagePlan{}", plan.map(naming::upper_first).unwrap_or_default());
    let resource = json!({
        "Type": "AWS::ApiGateway::UsagePlanKey",
        "Properties": {
            "KeyId": {"Ref": id}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": plan_id},
        },
    });
    c.resources.insert(format!("ApiGatewayUsagePlanKey{suffix}"), resource);
}
