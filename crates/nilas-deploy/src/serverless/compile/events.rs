//! Entries of `events`: what invokes a function.

mod alb;
mod alexa;
mod brokers;
mod cloudwatch;
mod cognito;
mod event_bridge;
mod http_api;
mod iot;
mod rest;
mod s3;
mod schedule;
mod sns;
mod sources;
mod websocket;

use serde_json::{Value, json};

use super::super::json::{items, members, truthy, without_nulls};
use super::{Compiler, Problem};

const KINDS: [&str; 22] = [
    "activemq",
    "alb",
    "alexaSkill",
    "alexaSmartHome",
    "cloudwatchEvent",
    "cloudwatchLog",
    "cognitoUserPool",
    "eventBridge",
    "http",
    "httpApi",
    "iot",
    "iotFleetProvisioning",
    "kafka",
    "msk",
    "rabbitmq",
    "s3",
    "schedule",
    "sns",
    "sqs",
    "stream",
    "url",
    "websocket",
];

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    known(c)?;
    rest::compile(c)?;
    websocket::compile(c)?;
    http_api::compile(c)?;
    schedule::compile(c)?;
    s3::compile(c)?;
    sns::compile(c)?;
    sources::compile(c)?;
    event_bridge::compile(c)?;
    cloudwatch::compile(c)?;
    brokers::compile(c)?;
    cognito::compile(c)?;
    iot::compile(c)?;
    alb::compile(c)?;
    alexa::compile(c);
    Ok(())
}

fn known(c: &Compiler<'_>) -> Result<(), Problem> {
    for function in c.functions.iter() {
        for (index, event) in items(&function.config["events"]).iter().enumerate() {
            let mut names = event.as_str().into_iter().chain(members(event).map(|(name, _)| name));
            let unknown = match names.find(|name| !KINDS.contains(name)) {
                Some(unknown) => unknown,
                None => continue,
            };
            return Err(c.problem(
                &["functions", &function.key, "events", &index.to_string(), unknown],
                format!(
                    "Function \"{}\" has an event \"{unknown}\", which is not read here",
                    function.key
                ),
            ));
        }
    }
    Ok(())
}

/// Texts and references, put together.
fn join(parts: Vec<Value>) -> Value {
    json!({"Fn::Join": ["", parts]})
}

/// The ARN of what may call through an API.
fn execute_api_arn(api: Value, rest: &str) -> Value {
    join(vec![
        "arn:".into(),
        json!({"Ref": "AWS::Partition"}),
        ":execute-api:".into(),
        json!({"Ref": "AWS::Region"}),
        ":".into(),
        json!({"Ref": "AWS::AccountId"}),
        ":".into(),
        api,
        rest.into(),
    ])
}

/// Lets a service invoke a function. `depends` is a logical id or null.
fn permission(target: Value, principal: &str, source: Value, depends: Value) -> Value {
    without_nulls(json!({
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "FunctionName": target,
            "Action": "lambda:InvokeFunction",
            "Principal": principal,
            "SourceArn": source,
        },
        "DependsOn": depends,
    }))
}

fn log_group(provider: &Value, name: String) -> Value {
    let mut group = json!({"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}});
    for (setting, property) in [
        ("logRetentionInDays", "RetentionInDays"),
        ("logDataProtectionPolicy", "DataProtectionPolicy"),
    ] {
        if truthy(&provider[setting]) {
            group["Properties"][property] = provider[setting].clone();
        }
    }
    group
}
