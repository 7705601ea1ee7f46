//! `AWS::Lambda::Function` and what belongs to one function alone.

use serde_json::{Map, Value, json};

use super::super::json::{either, items, members, text, truthy};
use super::{Compiler, Function, Problem, ROLE, iam, invoke_config, url, versions};

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    for function in functions.iter() {
        let resource = resource(c, function)?;
        c.add(function.logical_id(), function, resource);
    }
    for function in functions.iter() {
        versions::compile(c, function)?;
        logging(c, function);
        url::compile(c, function);
        invoke_config::compile(c, function)?;
    }
    Ok(())
}

fn resource(c: &mut Compiler<'_>, function: &Function) -> Result<Value, Problem> {
    let config = &function.config;
    let mut resource = json!({"Type": "AWS::Lambda::Function", "Properties": {}});
    let mut depends: Vec<Value> = items(&config["dependsOn"]).to_vec();
    let mut properties = code(c, function)?;
    sizes(c.provider(), config, &mut properties);
    dead_letters(c, config, &mut properties);
    encryption(c, config, &mut properties);
    tracing(c, config, &mut properties);
    if truthy(&config["environment"]) || truthy(&c.provider()["environment"]) {
        let mut variables = joined(&c.provider()["environment"], &config["environment"]);
        // Lambda knows texts only.
        for value in variables.values_mut().filter(|value| value.is_number() || value.is_boolean())
        {
            *value = text(value).into();
        }
        properties.insert("Environment".into(), json!({"Variables": variables}));
    }
    role(c, config, &mut properties, &mut depends);
    vpc(c.provider(), config, &mut properties);
    file_system(c, function, &mut properties)?;
    let reserved = &config["reservedConcurrency"];
    if truthy(reserved) || reserved.as_i64() == Some(0) {
        properties.insert("ReservedConcurrentExecutions".into(), reserved.clone());
    }
    if !truthy(&config["disableLogs"]) {
        depends.insert(0, format!("{}LogGroup", function.id).into());
    }
    let layers = either(&config["layers"], &c.provider()["layers"]);
    if truthy(layers) {
        properties.insert("Layers".into(), layers.clone());
    }
    let durable = &config["durableConfig"];
    if truthy(durable) {
        let mut settings = json!({"ExecutionTimeout": durable["executionTimeout"]});
        if let Some(days) = durable.get("retentionPeriodInDays") {
            settings["RetentionPeriodInDays"] = days.clone();
        }
        properties.insert("DurableConfig".into(), settings);
    }
    resource["Properties"] = properties.into();
    if !depends.is_empty() {
        resource["DependsOn"] = depends.into();
    }
    Ok(resource)
}

/// What runs: an archive with a handler and a runtime.
fn code(c: &Compiler<'_>, function: &Function) -> Result<Map<String, Value>, Problem> {
    let known = c.service.functions.iter().find(|known| known.key == function.key);
    let known = known.ok_or_else(|| {
        c.problem(
            &["functions", &function.key],
            format!("Function \"{}\" is unknown", function.key),
        )
    })?;
    let mut properties = Map::new();
    let (Some(package), Some(handler)) = (&known.package, &known.handler) else {
        return Err(c
            .problem(
                &["functions", &function.key, "image"],
                format!(
                    "Function \"{}\" is a container image, which nilas does not run",
                    function.key
                ),
            )
            .hint("package its code as a ZIP archive: give it a `handler` and a `runtime`"));
    };
    let key = &c.artifact(package)?.key;
    properties.insert("Code".into(), json!({"S3Bucket": c.bucket(), "S3Key": key}));
    let management =
        either(&function.config["runtimeManagement"], &c.provider()["runtimeManagement"]);
    let mode = management.as_str().or_else(|| management["mode"].as_str()).unwrap_or("auto");
    if let Some(update_on) =
        [("onFunctionUpdate", "FunctionUpdate"), ("manual", "Manual")].iter().find(|m| m.0 == mode)
    {
        let mut config = json!({"UpdateRuntimeOn": update_on.1});
        if mode == "manual" {
            config["RuntimeVersionArn"] = management["arn"].clone();
        }
        properties.insert("RuntimeManagementConfig".into(), config);
    }
    properties.insert("Handler".into(), handler.as_str().into());
    properties.insert("Runtime".into(), known.runtime.as_str().into());
    properties.insert("FunctionName".into(), known.name.as_str().into());
    Ok(properties)
}

fn sizes(provider: &Value, config: &Value, properties: &mut Map<String, Value>) {
    let memory = either(&config["memorySize"], &provider["memorySize"]);
    let timeout = either(&config["timeout"], &provider["timeout"]);
    let or =
        |value: &Value, default: u64| if truthy(value) { value.clone() } else { default.into() };
    properties.insert("MemorySize".into(), or(memory, 1024));
    properties.insert("Timeout".into(), or(timeout, 6));
    let architecture = either(&config["architecture"], &provider["architecture"]);
    if truthy(architecture) {
        properties.insert("Architectures".into(), json!([architecture]));
    }
    if truthy(&config["description"]) {
        properties.insert("Description".into(), config["description"].clone());
    }
    if truthy(&config["snapStart"]) {
        properties.insert("SnapStart".into(), json!({"ApplyOn": "PublishedVersions"}));
    }
    if truthy(&config["tags"]) || truthy(&provider["tags"]) {
        let tags = joined(&provider["tags"], &config["tags"]);
        let tags = tags.into_iter().map(|(key, value)| json!({"Key": key, "Value": value}));
        properties.insert("Tags".into(), tags.collect());
    }
    if truthy(&config["ephemeralStorageSize"]) {
        let storage = json!({"Size": config["ephemeralStorageSize"]});
        properties.insert("EphemeralStorage".into(), storage);
    }
    if truthy(&config["recursiveLoop"]) {
        properties.insert("RecursiveLoop".into(), config["recursiveLoop"].clone());
    }
}

fn dead_letters(c: &mut Compiler<'_>, config: &Value, properties: &mut Map<String, Value>) {
    let target = &config["onError"];
    if !truthy(target) {
        return;
    }
    properties.insert("DeadLetterConfig".into(), json!({"TargetArn": target}));
    if target.is_string() {
        c.allow(json!({"Effect": "Allow", "Action": ["sns:Publish"], "Resource": [target]}));
    }
}

fn encryption(c: &mut Compiler<'_>, config: &Value, properties: &mut Map<String, Value>) {
    let key = either(&config["kmsKeyArn"], &c.provider()["kmsKeyArn"]);
    if !truthy(key) {
        return;
    }
    properties.insert("KmsKeyArn".into(), key.clone());
    if key.is_string() {
        c.allow_once(json!({"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [key]}));
    }
}

fn tracing(c: &mut Compiler<'_>, config: &Value, properties: &mut Map<String, Value>) {
    let tracing = either(&config["tracing"], &c.provider()["tracing"]["lambda"]);
    if !truthy(tracing) {
        return;
    }
    let mode = if tracing.is_boolean() { json!("Active") } else { tracing.clone() };
    properties.insert("TracingConfig".into(), json!({"Mode": mode}));
    c.allow_once(json!({
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": ["*"],
    }));
}

fn role(
    c: &Compiler<'_>,
    config: &Value,
    properties: &mut Map<String, Value>,
    depends: &mut Vec<Value>,
) {
    let role = iam::custom_role(c.provider(), config);
    let value = match role.as_str() {
        Some(arn) if arn.starts_with("arn:") => role.clone(),
        Some(ROLE | "") => json!({"Fn::GetAtt": [ROLE, "Arn"]}),
        Some(id) => {
            depends.push(id.into());
            json!({"Fn::GetAtt": [id, "Arn"]})
        }
        None if !truthy(role) => json!({"Fn::GetAtt": [ROLE, "Arn"]}),
        None => {
            if let Some(id) = role["Fn::GetAtt"].get(0) {
                depends.push(id.clone());
            }
            role.clone()
        }
    };
    properties.insert("Role".into(), value);
}

/// `vpc: ~` at a function takes it out of the service's network.
fn vpc(provider: &Value, config: &Value, properties: &mut Map<String, Value>) {
    let opted_out = config.get("vpc").is_some_and(|vpc| vpc.is_null() || *vpc == json!(false));
    if opted_out {
        return;
    }
    let setting = |name: &str| either(&config["vpc"][name], &provider["vpc"][name]).clone();
    let (groups, subnets) = (setting("securityGroupIds"), setting("subnetIds"));
    if !truthy(&groups) || !truthy(&subnets) {
        return;
    }
    let mut network = json!({"SecurityGroupIds": groups, "SubnetIds": subnets});
    let dual_stack = setting("ipv6AllowedForDualStack");
    if !dual_stack.is_null() {
        network["Ipv6AllowedForDualStack"] = dual_stack;
    }
    properties.insert("VpcConfig".into(), network);
}

fn file_system(
    c: &mut Compiler<'_>,
    function: &Function,
    properties: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let settings = &function.config["fileSystemConfig"];
    if !truthy(settings) {
        return Ok(());
    }
    if !properties.contains_key("VpcConfig") {
        return Err(c.problem(
            &["functions", &function.key, "fileSystemConfig"],
            format!(
                "Function \"{}\": when using fileSystemConfig, ensure that function has vpc configured on function or \
                 provider level",
                function.key
            ),
        ));
    }
    c.allow(json!({
        "Effect": "Allow",
        "Action": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
        "Resource": [settings["arn"]],
    }));
    let mount = json!({"Arn": settings["arn"], "LocalMountPath": settings["localMountPath"]});
    properties.insert("FileSystemConfigs".into(), json!([mount]));
    Ok(())
}

/// After the version: where a function logs to does not make it another version.
fn logging(c: &mut Compiler<'_>, function: &Function) {
    let logs = either(&function.config["logs"], &c.provider()["logs"]["lambda"]);
    let config: Map<String, Value> = [
        ("applicationLogLevel", "ApplicationLogLevel"),
        ("logFormat", "LogFormat"),
        ("logGroup", "LogGroup"),
        ("systemLogLevel", "SystemLogLevel"),
    ]
    .into_iter()
    .filter(|(setting, _)| truthy(&logs[*setting]))
    .map(|(setting, property)| (property.to_owned(), logs[setting].clone()))
    .collect();
    if !config.is_empty() {
        c.resources[&function.logical_id()]["Properties"]["LoggingConfig"] = config.into();
    }
}

/// The service's members with the function's in their place.
pub(super) fn joined(base: &Value, own: &Value) -> Map<String, Value> {
    members(base).chain(members(own)).map(|(key, value)| (key.to_owned(), value.clone())).collect()
}
