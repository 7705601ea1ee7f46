//! `alb`: rules of an Application Load Balancer's listener, and the target groups they forward to.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::super::{Compiler, Event, Problem, events};
use crate::serverless::json::{either, items, members, text, truthy, without_nulls};

/// Of a target group's name, in characters.
const NAME_LENGTH_MAX: usize = 32;

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut seen: Vec<(String, String, &str)> = Vec::new();
    for event in events(&functions, "alb") {
        if !event.value.is_object() {
            continue;
        }
        let balancer = balancer(c, &event)?;
        let priority = text(&event.value["priority"]);
        let function = event.function.key.as_str();
        let listener = text(&event.value["listenerArn"]);
        let taken = seen
            .iter()
            .any(|(known, of, by)| *known == priority && ((*of == listener) != (*by == function)));
        if taken {
            let message = format!(
                "ALB event in function \"{function}\" cannot use priority \"{priority}\" because it is already in use."
            );
            return Err(c.event_problem(&event, message));
        }
        seen.push((priority, listener, function));
        target_group(c, &event, &balancer)?;
        listener_rule(c, &event, &balancer)?;
        permissions(c, &event, &balancer);
    }
    Ok(())
}

/// The balancer's id in the listener's ARN, or the logical id of the listener.
fn balancer(c: &Compiler<'_>, event: &Event<'_>) -> Result<String, Problem> {
    let arn = &event.value["listenerArn"];
    if let Some(id) = arn["Ref"].as_str() {
        return Ok(id.to_owned());
    }
    let parts: Vec<&str> = arn.as_str().unwrap_or_default().split('/').collect();
    match parts[..] {
        [start, "app", _, id, _] if start.contains(":elasticloadbalancing:") => Ok(id.to_owned()),
        _ => {
            let message =
                format!("Invalid ALB listenerArn in function \"{}\".", event.function.key);
            Err(c.event_problem(event, message))
        }
    }
}

fn group_id(event: &Event<'_>, balancer: &str) -> String {
    let multi = if truthy(&event.value["multiValueHeaders"]) { "MultiValue" } else { "" };
    format!("{}Alb{multi}TargetGroup{balancer}", event.function.id)
}

fn target_group(c: &mut Compiler<'_>, event: &Event<'_>, balancer: &str) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let (service, stage) = (&c.service.name, &c.service.stage);
    let multi = truthy(&settings["multiValueHeaders"]);
    let tag = format!("{service}-{}-{balancer}-{stage}", function.key);
    let prefix = text(&c.provider()["alb"]["targetGroupPrefix"]);
    let name = match &settings["targetGroupName"] {
        name if truthy(name) && !prefix.is_empty() => {
            let message = format!(
                "ALB \"targetGroupName\" setting is exclusive with \"provider.alb.targetGroupPrefix\": Please specify only \
                 one. ({})",
                text(name)
            );
            return Err(c.event_problem(event, message));
        }
        name if truthy(name) => text(name),
        _ => {
            let kind = if multi { "multi-value-" } else { "" };
            let hash =
                Sha256::digest(format!("{service}-{}-{balancer}-{kind}{stage}", function.key));
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            (prefix + &hash).chars().take(NAME_LENGTH_MAX).collect()
        }
    };
    let mut properties = json!({
        "TargetType": "lambda",
        "Targets": [{"Id": function.target()}],
        "Name": name,
        "Tags": [{"Key": "Name", "Value": tag}],
        "TargetGroupAttributes": [{"Key": "lambda.multi_value_headers.enabled", "Value": multi}],
    });
    for (name, value) in health(&settings["healthCheck"]) {
        properties[name] = value;
    }
    let mut depends = vec![format!("{}LambdaPermissionRegisterTarget", function.id)];
    depends.extend(function.alias_id());
    let resource = json!({
        "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
        "Properties": properties,
        "DependsOn": depends,
    });
    c.resources.insert(group_id(event, balancer), resource);
    Ok(())
}

fn health(settings: &Value) -> Map<String, Value> {
    let mut check = Map::new();
    check.insert("HealthCheckEnabled".into(), truthy(settings).into());
    if !truthy(settings) {
        return check;
    }
    for (setting, property, default) in [
        ("path", "HealthCheckPath", json!("/")),
        ("intervalSeconds", "HealthCheckIntervalSeconds", json!(35)),
        ("timeoutSeconds", "HealthCheckTimeoutSeconds", json!(30)),
        ("healthyThresholdCount", "HealthyThresholdCount", json!(5)),
        ("unhealthyThresholdCount", "UnhealthyThresholdCount", json!(5)),
    ] {
        let own = &settings[setting];
        check.insert(property.into(), if own.is_null() { default } else { own.clone() });
    }
    let code = either(&settings["matcher"]["httpCode"], &json!("200")).clone();
    check.insert("Matcher".into(), json!({"HttpCode": code}));
    check
}

fn listener_rule(c: &mut Compiler<'_>, event: &Event<'_>, balancer: &str) -> Result<(), Problem> {
    let settings = event.value;
    let conditions = conditions(&settings["conditions"]);
    if conditions.is_empty() {
        let message = format!(
            "Cannot setup \"alb\" event in \"{}\" function: At least one condition must be defined",
            event.function.key
        );
        return Err(c.event_problem(event, message));
    }
    let mut actions = Vec::new();
    for name in items(&settings["authorizer"]) {
        let name = text(name);
        let config = &c.provider()["alb"]["authorizers"][&name];
        if !truthy(config) {
            let message = format!(
                "No match for \"{name}\" in function \"{}\" found in registered ALB authorizers",
                event.function.key
            );
            return Err(c.event_problem(event, message));
        }
        actions.push(authenticate(config, actions.len() + 1));
    }
    let mut forward =
        json!({"Type": "forward", "TargetGroupArn": {"Ref": group_id(event, balancer)}});
    if !actions.is_empty() {
        forward["Order"] = (actions.len() + 1).into();
    }
    actions.push(forward);
    let priority = &settings["priority"];
    let resource = json!({
        "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
        "Properties": {
            "Actions": actions,
            "Conditions": conditions,
            "ListenerArn": settings["listenerArn"],
            "Priority": priority,
        },
    });
    let id = format!("{}AlbListenerRule{}", event.function.id, text(priority));
    c.resources.insert(id, resource);
    Ok(())
}

fn conditions(settings: &Value) -> Vec<Value> {
    let mut conditions = Vec::new();
    let mut add = |condition: Value| conditions.push(condition);
    if truthy(&settings["path"]) {
        add(json!({"Field": "path-pattern", "Values": items(&settings["path"])}));
    }
    if truthy(&settings["host"]) {
        let values = items(&settings["host"]);
        add(json!({"Field": "host-header", "HostHeaderConfig": {"Values": values}}));
    }
    if truthy(&settings["method"]) {
        let values = items(&settings["method"]);
        add(json!({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": values}}));
    }
    for header in items(&settings["header"]) {
        let config = json!({"HttpHeaderName": header["name"], "Values": header["values"]});
        add(json!({"Field": "http-header", "HttpHeaderConfig": config}));
    }
    if truthy(&settings["query"]) {
        let values: Vec<Value> = members(&settings["query"])
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
        add(json!({"Field": "query-string", "QueryStringConfig": {"Values": values}}));
    }
    if truthy(&settings["ip"]) {
        let values = items(&settings["ip"]);
        add(json!({"Field": "source-ip", "SourceIpConfig": {"Values": values}}));
    }
    conditions
}

fn authenticate(config: &Value, order: usize) -> Value {
    let common = json!({
        "OnUnauthenticatedRequest": either(&config["onUnauthenticatedRequest"], &json!("deny")),
        "AuthenticationRequestExtraParams": config["requestExtraParams"],
        "Scope": config["scope"],
        "SessionCookieName": config["sessionCookieName"],
        "SessionTimeout": config["sessionTimeout"],
    });
    let (kind, name, own) = if config["type"] == "cognito" {
        let own = json!({
            "UserPoolArn": config["userPoolArn"],
            "UserPoolClientId": config["userPoolClientId"],
            "UserPoolDomain": config["userPoolDomain"],
        });
        ("authenticate-cognito", "AuthenticateCognitoConfig", own)
    } else {
        let secret = &config["clientSecret"];
        let own = json!({
            "AuthorizationEndpoint": config["authorizationEndpoint"],
            "ClientId": config["clientId"],
            "Issuer": config["issuer"],
            "TokenEndpoint": config["tokenEndpoint"],
            "UserInfoEndpoint": config["userInfoEndpoint"],
            "ClientSecret": truthy(secret).then(|| secret.clone()),
            "UseExistingClientSecret": (!truthy(secret)).then_some(true),
        });
        ("authenticate-oidc", "AuthenticateOidcConfig", own)
    };
    let all: Map<String, Value> = members(&own)
        .chain(members(&common))
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    json!({"Type": kind, "Order": order, name: all})
}

fn permissions(c: &mut Compiler<'_>, event: &Event<'_>, balancer: &str) {
    let function = event.function;
    let depends = function.alias_id().map(|alias| json!([alias]));
    for (suffix, source) in
        [("Alb", json!({"Ref": group_id(event, balancer)})), ("RegisterTarget", Value::Null)]
    {
        let properties = without_nulls(json!({
            "FunctionName": function.target(),
            "Action": "lambda:InvokeFunction",
            "Principal": "elasticloadbalancing.amazonaws.com",
            "SourceArn": source,
        }));
        let resource = without_nulls(json!({
            "Type": "AWS::Lambda::Permission", "Properties": properties, "DependsOn": depends,
        }));
        c.resources.insert(format!("{}LambdaPermission{suffix}", function.id), resource);
    }
}
