//! `alexaSkill` and `alexaSmartHome`: permissions only; Alexa is told of the function on its own pages.

use serde_json::{Value, json};

use super::super::{Compiler, events};
use crate::serverless::json::{text, truthy, without_nulls};

pub(super) fn compile(c: &mut Compiler<'_>) {
    let functions = c.functions.clone();
    for (kind, name, principal) in [
        ("alexaSkill", "AlexaSkill", "alexa-appkit.amazon.com"),
        ("alexaSmartHome", "AlexaSmartHome", "alexa-connectedhome.amazon.com"),
    ] {
        for function in functions.iter() {
            let all = events(std::slice::from_ref(function), kind);
            for (n, event) in all.iter().filter(|event| truthy(event.value)).enumerate() {
                let settings = event.value;
                let id = match settings {
                    Value::String(short) if short == kind => None,
                    Value::String(id) => Some(id.clone()),
                    settings => Some(text(&settings["appId"])).filter(|id| !id.is_empty()),
                };
                let action = match settings["enabled"] == false {
                    true => "lambda:DisableInvokeFunction",
                    false => "lambda:InvokeFunction",
                };
                let properties = without_nulls(json!({
                    "FunctionName": function.target(),
                    "Action": action,
                    "Principal": principal,
                    "EventSourceToken": id,
                }));
                let resource = without_nulls(json!({
                    "Type": "AWS::Lambda::Permission",
                    "DependsOn": function.depends(),
                    "Properties": properties,
                }));
                let id = format!("{}LambdaPermission{name}{}", function.id, n + 1);
                c.resources.insert(id, resource);
            }
        }
    }
}
