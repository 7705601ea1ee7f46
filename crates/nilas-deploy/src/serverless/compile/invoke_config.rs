//! `AWS::Lambda::EventInvokeConfig`: destinations and retries of asynchronous invocations.

use serde_json::{Map, Value, json};

use super::super::json::{text, truthy};
use super::{Compiler, Function, Problem, iam};

pub(super) fn compile(c: &mut Compiler<'_>, function: &Function) -> Result<(), Problem> {
    let config = &function.config;
    let (age, attempts) = (&config["maximumEventAge"], &config["maximumRetryAttempts"]);
    if !truthy(&config["destinations"]) && !truthy(age) && attempts.is_null() {
        return Ok(());
    }
    let shares_role = !truthy(iam::custom_role(c.provider(), config));
    let mut destinations = Map::new();
    let mut depends: Vec<Value> = function.alias_id().map(Value::from).into_iter().collect();
    for (setting, property) in [("onSuccess", "OnSuccess"), ("onFailure", "OnFailure")] {
        let target = &config["destinations"][setting];
        if !truthy(target) {
            continue;
        }
        let (arn, alias) = arn(c, function, setting, target)?;
        if let Some(alias) = alias.map(Value::from)
            && !depends.contains(&alias)
        {
            depends.push(alias);
        }
        if shares_role {
            let statement = statement(c, function, target)?;
            c.allow_once(statement);
        }
        destinations.insert(property.into(), json!({"Destination": arn}));
    }
    let qualifier = function.alias.map_or("$LATEST", |alias| alias.name);
    let mut resource = json!({
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": function.logical_id()},
            "DestinationConfig": destinations,
            "Qualifier": qualifier,
        },
    });
    if truthy(age) {
        resource["Properties"]["MaximumEventAgeInSeconds"] = age.clone();
    }
    if !attempts.is_null() {
        resource["Properties"]["MaximumRetryAttempts"] = attempts.clone();
    }
    match depends.len() {
        0 => {}
        1 => resource["DependsOn"] = depends.remove(0),
        _ => resource["DependsOn"] = depends.into(),
    }
    c.add(format!("{}LambdaEvConf", function.id), function, resource);
    Ok(())
}

/// A function of the service by its key.
fn own<'c>(c: &'c Compiler<'_>, from: &Function, key: &str) -> Result<&'c Function, Problem> {
    c.function(key).ok_or_else(|| {
        c.problem(
            &["functions", &from.key, "destinations"],
            format!("Function \"{key}\" doesn't exist in this Service"),
        )
    })
}

/// The target's ARN, and the alias that has to be there first.
fn arn(
    c: &Compiler<'_>,
    from: &Function,
    setting: &str,
    target: &Value,
) -> Result<(Value, Option<String>), Problem> {
    match target.as_str() {
        None => Ok((target["arn"].clone(), None)),
        Some(arn) if arn.starts_with("arn:") => Ok((target.clone(), None)),
        Some(key) => {
            let to = own(c, from, key)?;
            let condition = &to.config["condition"];
            if truthy(condition) && *condition != from.config["condition"] {
                return Err(c.problem(
                    &["functions", &from.key, "destinations", setting],
                    format!(
                        "Function \"{}\" routes async destinations to conditional function \"{key}\". Apply condition \
                         \"{}\" to \"{}\" or remove the destination.",
                        from.key,
                        text(condition),
                        from.key
                    ),
                ));
            }
            Ok((to.target(), to.alias_id()))
        }
    }
}

fn statement(c: &Compiler<'_>, from: &Function, target: &Value) -> Result<Value, Problem> {
    let address = target.as_str().unwrap_or_default();
    let kind = match target["type"].as_str() {
        Some(kind) => kind,
        None if address.contains(":function:") || !address.starts_with("arn:") => "function",
        None if address.contains(":sqs:") => "sqs",
        None if address.contains(":sns:") => "sns",
        None if address.contains(":event-bus/") => "eventBus",
        None => "",
    };
    let action = match kind {
        "function" => "lambda:InvokeFunction",
        "sqs" => "sqs:SendMessage",
        "sns" => "sns:Publish",
        "eventBus" => "events:PutEvents",
        _ => {
            return Err(c.problem(
                &["functions", &from.key, "destinations"],
                format!("Unsupported destination target {}", text(target)),
            ));
        }
    };
    let resource = match target.as_str() {
        None => target["arn"].clone(),
        Some(arn) if arn.starts_with("arn:") => target.clone(),
        Some(key) => {
            // Not by Fn::GetAtt: the role would wait for the function that waits for the role.
            let to = own(c, from, key)?;
            let alias = to.alias.map(|alias| format!(":{}", alias.name)).unwrap_or_default();
            json!({"Fn::Sub": format!(
                "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{}{alias}",
                to.name()
            )})
        }
    };
    Ok(json!({"Effect": "Allow", "Action": action, "Resource": resource}))
}
