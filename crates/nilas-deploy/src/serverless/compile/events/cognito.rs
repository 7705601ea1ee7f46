//! `cognitoUserPool`: user pools whose triggers are functions.

use serde_json::{Map, Value, json};

use super::super::{Compiler, Event, Problem, events};
use super::permission;
use crate::serverless::json::{self, items, text, truthy};
use crate::serverless::naming;

const SENDERS: [&str; 2] = ["CustomSMSSender", "CustomEmailSender"];

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut pools: Vec<(String, Vec<Event<'_>>)> = Vec::new();
    for event in events(&functions, "cognitoUserPool") {
        let settings = event.value;
        if !truthy(settings) {
            continue;
        }
        if truthy(&settings["existing"]) {
            let message = "A user pool that exists cannot be given triggers by a template";
            return Err(c
                .event_problem(&event, message)
                .hint("set its LambdaConfig with the AWS CLI"));
        }
        if !truthy(&settings["pool"]) || !truthy(&settings["trigger"]) {
            return Err(
                c.event_problem(&event, "A cognitoUserPool event needs `pool` and `trigger`")
            );
        }
        check_version(c, &event)?;
        let name = text(&settings["pool"]);
        match pools.iter_mut().find(|(known, _)| *known == name) {
            Some((_, events)) => events.push(event),
            None => pools.push((name, vec![event])),
        }
    }
    for (name, events) in &pools {
        pool(c, name, events)?;
    }
    Ok(())
}

fn check_version(c: &Compiler<'_>, event: &Event<'_>) -> Result<(), Problem> {
    let (trigger, version) = (text(&event.value["trigger"]), &event.value["lambdaVersion"]);
    let known: &[&str] = match trigger.as_str() {
        "PreTokenGeneration" => &["V1_0", "V2_0", "V3_0"],
        sender if SENDERS.contains(&sender) => &["V1_0"],
        _ => &[],
    };
    if !truthy(version) || known.contains(&text(version).as_str()) {
        return Ok(());
    }
    let message = format!("Invalid lambdaVersion \"{}\" for trigger \"{trigger}\"", text(version));
    Err(c.event_problem(event, message))
}

fn pool(c: &mut Compiler<'_>, name: &str, events: &[Event<'_>]) -> Result<(), Problem> {
    let normal = naming::alphanumeric(name);
    let id = format!("CognitoUserPool{normal}");
    let mut triggers = Map::new();
    let mut depends: Vec<Value> = Vec::new();
    for event in events {
        let (function, settings) = (event.function, event.value);
        let (trigger, version) = (text(&settings["trigger"]), &settings["lambdaVersion"]);
        depends.push(function.alias_id().unwrap_or_else(|| function.logical_id()).into());
        if SENDERS.contains(&trigger.as_str()) {
            let key = &settings["kmsKeyId"];
            if !truthy(key) || triggers.get("KMSKeyID").is_some_and(|known| known != key) {
                let message = format!(
                    "One KMS Key must be set when using a Custom Sender Source Trigger (CustomSMSSender and/or \
                     CustomEmailSender). Affected Cognito User Pool: \"{name}\"."
                );
                return Err(c.event_problem(event, message));
            }
            triggers.insert("KMSKeyID".into(), key.clone());
            let target = json!({"LambdaArn": function.target(), "LambdaVersion": "V1_0"});
            triggers.insert(trigger.clone(), target);
        } else if trigger == "PreTokenGeneration" && truthy(version) {
            let target = json!({"LambdaArn": function.target(), "LambdaVersion": version});
            triggers.insert("PreTokenGenerationConfig".into(), target);
        } else {
            triggers.insert(trigger.clone(), function.target());
        }
        let source = json!({"Fn::GetAtt": [id, "Arn"]});
        let allowed =
            permission(function.target(), "cognito-idp.amazonaws.com", source, function.depends());
        let permission_id = format!(
            "{}LambdaPermissionCognitoUserPool{normal}TriggerSource{}",
            function.id,
            naming::alphanumeric(&trigger)
        );
        c.resources.insert(permission_id, allowed);
    }
    let mut resource = json!({
        "Type": "AWS::Cognito::UserPool",
        "Properties": {"UserPoolName": name, "LambdaConfig": triggers},
    });
    // The pool may be written under `resources` too; it then waits for both.
    let own = &c.service.document["resources"]["Resources"][&id];
    depends.extend(items(&own["DependsOn"]).iter().cloned());
    if own.is_object() {
        json::merge(&mut resource, own);
    }
    resource["DependsOn"] = depends.into();
    c.resources.insert(id, resource);
    Ok(())
}
