//! Log groups of the functions, and the role that they share.

use serde_json::{Value, json};

use super::super::json::{either, members, truthy};
use super::{Compiler, Function, Problem, ROLE};

/// The role a function or the service brings itself; null if it is the shared one.
pub(super) fn custom_role<'v>(provider: &'v Value, function: &'v Value) -> &'v Value {
    let role = &provider["iam"]["role"];
    if truthy(&function["role"]) {
        &function["role"]
    } else if is_existing(role) {
        role
    } else {
        &provider["role"]
    }
}

/// A name, an ARN or a function of CloudFormation, not the description of a role to be made.
fn is_existing(role: &Value) -> bool {
    role.is_string() || members(role).any(|(key, _)| key.contains("::"))
}

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    if c.functions.is_empty() {
        return Ok(());
    }
    let functions = c.functions.clone();
    let (provider, role) = (c.provider(), &c.provider()["iam"]["role"]);
    for function in functions.iter().filter(|f| !truthy(&f.config["disableLogs"])) {
        log_group(c, function);
    }
    let all_have_own = functions.iter().all(|f| f.config.get("role").is_some());
    if is_existing(role) || provider.get("role").is_some() || all_have_own {
        return Ok(());
    }
    c.resources.insert(ROLE.to_owned(), shared_role(c, role));
    log_statements(c, &functions);
    for statement in list(either(&role["statements"], &provider["iamRoleStatements"])) {
        c.allow(statement);
    }
    let mut policies = list(either(&role["managedPolicies"], &provider["iamManagedPolicies"]));
    if functions.iter().any(|f| f.config.get("vpc").is_some()) || truthy(&provider["vpc"]) {
        policies.push(json!({"Fn::Join": ["", [
            "arn:",
            {"Ref": "AWS::Partition"},
            ":iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
        ]]}));
    }
    if !policies.is_empty() {
        c.resources[ROLE]["Properties"]["ManagedPolicyArns"] = policies.into();
    }
    durable_statement(c, &functions);
    Ok(())
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn log_group(c: &mut Compiler<'_>, function: &Function) {
    let mut group = json!({
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": format!("/aws/lambda/{}", function.name())},
    });
    for (setting, property) in [
        ("logRetentionInDays", "RetentionInDays"),
        ("logDataProtectionPolicy", "DataProtectionPolicy"),
    ] {
        let value = either(&function.config[setting], &c.provider()[setting]);
        if truthy(value) {
            group["Properties"][property] = value.clone();
        }
    }
    c.add(format!("{}LogGroup", function.id), function, group);
}

fn shared_role(c: &Compiler<'_>, settings: &Value) -> Value {
    let (service, stage) = (&c.service.name, &c.service.stage);
    let name = json!({"Fn::Join": ["-", [service, stage, {"Ref": "AWS::Region"}, "lambdaRole"]]});
    let or = |value: &Value, other: Value| if truthy(value) { value.clone() } else { other };
    let mut role = json!({
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Service": ["lambda.amazonaws.com"]},
                    "Action": ["sts:AssumeRole"],
                }],
            },
            "Policies": [{
                "PolicyName": {"Fn::Join": ["-", [service, stage, "lambda"]]},
                "PolicyDocument": {"Version": "2012-10-17", "Statement": []},
            }],
            "Path": or(&settings["path"], json!("/")),
            "RoleName": or(&settings["name"], name),
        },
    });
    if truthy(&settings["tags"]) {
        role["Properties"]["Tags"] = members(&settings["tags"])
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect();
    }
    let boundary = either(&settings["permissionsBoundary"], &settings["permissionBoundary"]);
    let boundary = either(boundary, &c.provider()["rolePermissionsBoundary"]);
    if truthy(boundary) {
        role["Properties"]["PermissionsBoundary"] = boundary.clone();
    }
    role
}

/// What every function may do: write its log. Functions with the usual names share one pattern.
fn log_statements(c: &mut Compiler<'_>, functions: &[Function]) {
    let prefix = format!("{}-{}", c.service.name, c.service.stage);
    let arn = |group: &str| {
        json!({"Fn::Sub": format!(
            "arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:/aws/lambda/{group}"
        )})
    };
    let (mut streams, mut events, mut denied) = (Vec::new(), Vec::new(), Vec::new());
    let mut shares_pattern = false;
    for function in functions {
        let (name, is_silent) = (function.name(), truthy(&function.config["disableLogs"]));
        match (name.starts_with(&prefix), is_silent) {
            (true, true) => denied.push(arn(&format!("{name}:*"))),
            (true, false) => shares_pattern = true,
            (false, true) => {}
            (false, false) => {
                streams.push(arn(&format!("{name}:*")));
                events.push(arn(&format!("{name}:*:*")));
            }
        }
    }
    if shares_pattern {
        streams.push(arn(&format!("{prefix}*:*")));
        events.push(arn(&format!("{prefix}*:*:*")));
    }
    c.allow(json!({
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:CreateLogGroup", "logs:TagResource"],
        "Resource": streams,
    }));
    c.allow(json!({"Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": events}));
    if shares_pattern && !denied.is_empty() {
        c.allow(json!({"Effect": "Deny", "Action": "logs:PutLogEvents", "Resource": denied}));
    }
}

fn durable_statement(c: &mut Compiler<'_>, functions: &[Function]) {
    let provider = c.provider();
    let arns: Vec<Value> = functions
        .iter()
        .filter(|f| truthy(&f.config["durableConfig"]))
        .filter(|f| !truthy(custom_role(provider, &f.config)))
        .map(|f| {
            json!({"Fn::Sub": format!(
                "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{}:*/durable-execution/*/*",
                f.name()
            )})
        })
        .collect();
    if !arns.is_empty() {
        c.allow(json!({
            "Effect": "Allow",
            "Action": ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"],
            "Resource": arns,
        }));
    }
}
