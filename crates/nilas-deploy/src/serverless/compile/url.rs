//! Function URLs.

use serde_json::{Map, Value, json};

use super::super::json::{items, truthy, without_nulls};
use super::{Compiler, Function};

pub(super) fn compile(c: &mut Compiler<'_>, function: &Function) {
    let url = &function.config["url"];
    if !truthy(url) {
        return;
    }
    let auth = if url["authorizer"] == "aws_iam" { "AWS_IAM" } else { "NONE" };
    let mut properties = json!({"AuthType": auth, "TargetFunctionArn": function.target()});
    if truthy(&url["cors"]) {
        properties["Cors"] = cors(&url["cors"]).into();
    }
    if url["invokeMode"] == "RESPONSE_STREAM" {
        properties["InvokeMode"] = "RESPONSE_STREAM".into();
    }
    let with_alias = |kind: &str, properties: Value| {
        without_nulls(json!({
            "Type": kind, "Properties": properties, "DependsOn": function.depends(),
        }))
    };
    let id = format!("{}Url", function.logical_id());
    c.add(id.clone(), function, with_alias("AWS::Lambda::Url", properties));
    let address = json!({"Fn::GetAtt": [id, "FunctionUrl"]});
    c.output(id, function, json!({"Description": "Lambda Function URL", "Value": address}));
    if auth == "AWS_IAM" {
        return;
    }
    for (suffix, action, member, value) in [
        ("FnUrl", "lambda:InvokeFunctionUrl", "FunctionUrlAuthType", json!(auth)),
        ("Fn", "lambda:InvokeFunction", "InvokedViaFunctionUrl", json!(true)),
    ] {
        let permission = json!({
            "FunctionName": function.target(), "Action": action, "Principal": "*", member: value,
        });
        let id = format!("{}LambdaPermission{suffix}", function.id);
        c.add(id, function, with_alias("AWS::Lambda::Permission", permission));
    }
}

/// What is not set is open; a list that is set to null is left out.
fn cors(settings: &Value) -> Map<String, Value> {
    let lists: [(&str, &str, &[&str]); 3] = [
        ("allowedOrigins", "AllowOrigins", &["*"]),
        (
            "allowedHeaders",
            "AllowHeaders",
            &[
                "Content-Type",
                "X-Amz-Date",
                "Authorization",
                "X-Api-Key",
                "X-Amz-Security-Token",
                "X-Amzn-Trace-Id",
            ],
        ),
        ("allowedMethods", "AllowMethods", &["*"]),
    ];
    let mut cors = Map::new();
    for (setting, property, default) in lists {
        match settings.get(setting) {
            None => drop(cors.insert(property.into(), json!(default))),
            Some(Value::Null) => {}
            Some(set) => drop(cors.insert(property.into(), unique(set))),
        }
    }
    if truthy(&settings["allowCredentials"]) {
        cors.insert("AllowCredentials".into(), true.into());
    }
    if truthy(&settings["exposedResponseHeaders"]) {
        cors.insert("ExposeHeaders".into(), unique(&settings["exposedResponseHeaders"]));
    }
    if let Some(age) = settings.get("maxAge") {
        cors.insert("MaxAge".into(), age.clone());
    }
    cors
}

fn unique(list: &Value) -> Value {
    let mut unique: Vec<Value> = Vec::new();
    for item in items(list) {
        if !unique.contains(item) {
            unique.push(item.clone());
        }
    }
    unique.into()
}
