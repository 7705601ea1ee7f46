//! `sqs` and `stream`: event source mappings, which poll queues and streams for a function.

use serde_json::{Map, Value, json};

use super::super::{Compiler, Event, Function, Problem, ROLE, events, iam};
use crate::serverless::json::{either, items, text, truthy, without_nulls};
use crate::serverless::naming;

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    for function in functions.iter() {
        streams(c, function)?;
    }
    let mut queues = Vec::new();
    for event in events(&functions, "sqs") {
        if truthy(event.value) {
            queues.push(queue(c, &event)?);
        }
    }
    allow(c, &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queues);
    Ok(())
}

fn allow(c: &mut Compiler<'_>, actions: &[&str], resources: Vec<Value>) {
    if !resources.is_empty() {
        c.allow(json!({"Effect": "Allow", "Action": actions, "Resource": resources}));
    }
}

/// The role that must be there before the mapping, if it is one of this template, and the alias.
pub(super) fn depends(c: &Compiler<'_>, function: &Function) -> Vec<Value> {
    let role = iam::custom_role(c.provider(), &function.config);
    let role: Option<String> = match role {
        Value::String(name) if !name.is_empty() => (!name.contains(':')).then(|| name.clone()),
        Value::Object(role) => match role.get("Fn::GetAtt") {
            Some(get) if get[1] == "Arn" => get[0].as_str().map(str::to_owned),
            _ if ["Fn::ImportValue", "Ref", "Fn::Sub"].iter().any(|f| role.contains_key(*f)) => {
                None
            }
            _ => Some(ROLE.to_owned()),
        },
        _ => Some(ROLE.to_owned()),
    };
    role.into_iter().chain(function.alias_id()).map(Value::from).collect()
}

pub(super) fn filters(settings: &Value) -> Value {
    if !truthy(&settings["filterPatterns"]) {
        return Value::Null;
    }
    let filters: Vec<Value> = items(&settings["filterPatterns"])
        .iter()
        .map(|pattern| json!({"Pattern": pattern.to_string()}))
        .collect();
    json!({"Filters": filters})
}

fn response_types(settings: &Value) -> Value {
    match &settings["functionResponseType"] {
        Value::Null => Value::Null,
        kind => json!([kind]),
    }
}

fn enabled(settings: &Value) -> Value {
    settings.get("enabled").cloned().unwrap_or_else(|| true.into())
}

fn arn(c: &Compiler<'_>, event: &Event<'_>) -> Result<Value, Problem> {
    let arn = if event.value.is_string() { event.value } else { &event.value["arn"] };
    if truthy(arn) {
        Ok(arn.clone())
    } else {
        Err(c.event_problem(event, format!("The event \"{}\" needs an `arn`", event.kind)))
    }
}

/// The name in a source's ARN, or of what computes it.
fn source_name(arn: &Value, separator: char) -> String {
    if let Some(text) = arn.as_str() {
        return match separator {
            ':' => text.rsplit(':').next().unwrap_or_default().to_owned(),
            _ => text.split('/').nth(1).unwrap_or_default().to_owned(),
        };
    }
    if let Some(id) = arn["Fn::GetAtt"].get(0) {
        return text(id);
    }
    for function in ["Fn::ImportValue", "Ref"] {
        if truthy(&arn[function]) {
            return text(&arn[function]);
        }
    }
    let last = arn["Fn::Join"][1].as_array().and_then(|parts| parts.last()).map(text);
    let last = last.unwrap_or_default();
    match separator {
        '/' => last.rsplit('/').next().unwrap_or_default().to_owned(),
        _ => last,
    }
}

/// Gives the queue's ARN.
fn queue(c: &mut Compiler<'_>, event: &Event<'_>) -> Result<Value, Problem> {
    let (function, settings) = (event.function, event.value);
    let arn = arn(c, event)?;
    let concurrency = &settings["maximumConcurrency"];
    let scaling = truthy(concurrency).then(|| json!({"MaximumConcurrency": concurrency}));
    let properties = without_nulls(json!({
        "BatchSize": either(&settings["batchSize"], &json!(10)),
        "MaximumBatchingWindowInSeconds": settings["maximumBatchingWindow"],
        "EventSourceArn": arn,
        "FunctionName": function.target(),
        "Enabled": enabled(settings),
        "FunctionResponseTypes": response_types(settings),
        "FilterCriteria": filters(settings),
        "ScalingConfig": scaling,
    }));
    let name = naming::alphanumeric(&source_name(&arn, ':'));
    let resource = json!({
        "Type": "AWS::Lambda::EventSourceMapping",
        "DependsOn": depends(c, function),
        "Properties": properties,
    });
    c.resources.insert(format!("{}EventSourceMappingSQS{name}", function.id), resource);
    Ok(arn)
}

/// What a function's streams need to be allowed, by action.
#[derive(Default)]
struct Needs {
    dynamodb: Vec<Value>,
    kinesis: Vec<Value>,
    kinesis_by_consumer: Vec<Value>,
    consumers: Vec<Value>,
    topics: Vec<Value>,
    queues: Vec<Value>,
}

fn streams(c: &mut Compiler<'_>, function: &Function) -> Result<(), Problem> {
    let mut needs = Needs::default();
    for event in events(std::slice::from_ref(function), "stream") {
        if truthy(event.value) {
            stream(c, &event, &mut needs)?;
        }
    }
    let reads = [
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:DescribeStream",
        "dynamodb:ListStreams",
    ];
    allow(c, &reads, needs.dynamodb);
    let reads = [
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:DescribeStream",
        "kinesis:ListStreams",
    ];
    allow(c, &reads, needs.kinesis);
    let reads = [
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
    ];
    allow(c, &reads, needs.kinesis_by_consumer);
    allow(c, &["kinesis:SubscribeToShard"], needs.consumers);
    allow(c, &["sns:Publish"], needs.topics);
    allow(c, &["sqs:ListQueues", "sqs:SendMessage"], needs.queues);
    Ok(())
}

fn stream(c: &mut Compiler<'_>, event: &Event<'_>, needs: &mut Needs) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let arn = arn(c, event)?;
    let kind = match settings["type"].as_str() {
        Some(kind) => kind.to_owned(),
        None => arn.as_str().and_then(|arn| arn.split(':').nth(2)).unwrap_or_default().to_owned(),
    };
    if !["dynamodb", "kinesis"].contains(&kind.as_str()) {
        let message = "A stream whose `arn` is computed needs a `type`: dynamodb or kinesis";
        return Err(c.event_problem(event, message));
    }
    let name = source_name(&arn, '/');
    let mut properties = common(function, settings, &arn);
    let has_consumer = truthy(&settings["consumer"]);
    match kind.as_str() {
        "dynamodb" => needs.dynamodb.push(arn.clone()),
        _ if has_consumer => needs.kinesis_by_consumer.push(arn.clone()),
        _ => needs.kinesis.push(arn.clone()),
    }
    if truthy(&settings["destinations"]) {
        let target = &settings["destinations"]["onFailure"];
        let destination = if target.is_object() { &target["arn"] } else { target };
        let service = match target["type"].as_str() {
            Some(kind) => kind,
            None => destination.as_str().and_then(|arn| arn.split(':').nth(2)).unwrap_or_default(),
        };
        let list = if service == "sns" { &mut needs.topics } else { &mut needs.queues };
        list.push(destination.clone());
        properties
            .insert("DestinationConfig".into(), json!({"OnFailure": {"Destination": destination}}));
    }
    let mut depends = depends(c, function);
    if has_consumer && kind == "kinesis" {
        consumer(c, event, &arn, &name, &mut properties, &mut depends, needs)?;
    }
    let kind = naming::upper_first(&kind);
    let id = format!("{}EventSourceMapping{kind}{}", function.id, naming::alphanumeric(&name));
    let resource = json!({
        "Type": "AWS::Lambda::EventSourceMapping", "DependsOn": depends, "Properties": properties,
    });
    c.resources.insert(id, resource);
    Ok(())
}

fn common(function: &Function, settings: &Value, arn: &Value) -> Map<String, Value> {
    let or_none = |name: &str| truthy(&settings[name]).then(|| settings[name].clone());
    let properties = without_nulls(json!({
        "BatchSize": either(&settings["batchSize"], &json!(10)),
        "Enabled": enabled(settings),
        "EventSourceArn": arn,
        "FunctionName": function.target(),
        "ParallelizationFactor": or_none("parallelizationFactor"),
        "StartingPosition": either(&settings["startingPosition"], &json!("TRIM_HORIZON")),
        "MaximumBatchingWindowInSeconds": settings["batchWindow"],
        "MaximumRetryAttempts": settings["maximumRetryAttempts"],
        "BisectBatchOnFunctionError": settings["bisectBatchOnFunctionError"],
        "FunctionResponseTypes": response_types(settings),
        "MaximumRecordAgeInSeconds": or_none("maximumRecordAgeInSeconds"),
        "TumblingWindowInSeconds": settings["tumblingWindowInSeconds"],
        "FilterCriteria": filters(settings),
    }));
    match properties {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}

/// A consumer of a stream's own, made or named, with its own share of the throughput.
fn consumer(
    c: &mut Compiler<'_>,
    event: &Event<'_>,
    arn: &Value,
    name: &str,
    properties: &mut Map<String, Value>,
    depends: &mut Vec<Value>,
    needs: &mut Needs,
) -> Result<(), Problem> {
    let (function, settings) = (event.function, event.value);
    let consumer = if settings["consumer"] == true {
        let suffix = match truthy(&c.provider()["kinesis"]["consumerNamingMode"]) {
            true => format!("{}{}Consumer", c.service.name, c.service.stage),
            false => "Consumer".to_owned(),
        };
        let title = format!("{}{name}{suffix}", function.key);
        let id = naming::resource(&title) + "StreamConsumer";
        let resource = json!({
            "Type": "AWS::Kinesis::StreamConsumer",
            "Properties": {"StreamARN": arn, "ConsumerName": title},
        });
        c.resources.insert(id.clone(), resource);
        depends.push(id.as_str().into());
        json!({"Ref": id})
    } else {
        settings["consumer"].clone()
    };
    needs.consumers.push(consumer.clone());
    properties.insert("EventSourceArn".into(), consumer);
    let timestamp = &settings["startingPositionTimestamp"];
    if settings["startingPosition"] == "AT_TIMESTAMP" && !truthy(timestamp) {
        let message = format!(
            "You must specify startingPositionTimestamp for function: {} when startingPosition is AT_TIMESTAMP",
            function.key
        );
        return Err(c.event_problem(event, message));
    }
    if truthy(timestamp) {
        properties.insert("StartingPositionTimestamp".into(), timestamp.clone());
    }
    Ok(())
}
