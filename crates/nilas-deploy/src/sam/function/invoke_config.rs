//! `EventInvokeConfig`: where the outcome of asynchronous invocations goes.

use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{
    and, conditional_else, if_items, is_if, is_no_value, not, reference,
};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result, listed};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, map};
use crate::sam::role;

const DESTINATIONS: &[&str] = &["SQS", "SNS", "EventBridge", "Lambda", "S3Bucket"];

/// The configuration with the queues and topics made for it, and the policies it takes.
pub(super) fn expand(
    cx: &mut Context,
    source: &mut Source,
    alias: Option<&Resource>,
) -> Result<(Vec<Resource>, Vec<Val>)> {
    let (mut made, mut documents) = (Vec::new(), Vec::new());
    if !source.truthy("EventInvokeConfig") {
        return Ok((made, documents));
    }
    let config = cx.parameters.resolve(source.value("EventInvokeConfig"))?;
    let id = format!("{}EventInvokeConfig", source.id);
    let mut destinations = Map::new();
    let given = config.get("DestinationConfig").filter(|given| given.truthy());
    if let Some(given) = given {
        let path = "EventInvokeConfig.DestinationConfig";
        let given = At::Resource(&source.id, path).map(Some(given))?;
        for outcome in ["OnSuccess", "OnFailure"] {
            let Some(destination) = given.get(outcome) else { continue };
            let path = format!("{path}.{outcome}");
            let destination = At::Resource(&source.id, &path).map(Some(destination))?;
            let injected = inject(cx, source, destination, outcome, &id)?;
            destinations.insert(outcome, map! { "Destination" => injected.arn });
            made.extend(injected.resource);
            documents.extend(injected.policy);
        }
    }
    let mut resource = Resource::new(id, "AWS::Lambda::EventInvokeConfig", &source.attributes)?;
    if let Some(alias) = alias {
        resource = resource.depending_on(vec![Val::from(&alias.id)]);
    }
    let qualifier = alias.and_then(|alias| alias.get("Name")).cloned();
    resource.set("FunctionName", reference(source.id.as_str()));
    resource.set("Qualifier", qualifier.unwrap_or_else(|| "$LATEST".into()));
    resource.set("DestinationConfig", destinations);
    for name in ["MaximumEventAgeInSeconds", "MaximumRetryAttempts"] {
        resource.set(name, config.get(name));
    }
    made.push(resource);
    Ok((made, documents))
}

#[derive(Debug, Default)]
struct Injected {
    resource: Option<Resource>,
    arn: Val,
    policy: Option<Val>,
}

fn inject(
    cx: &mut Context,
    source: &Source,
    config: &Map,
    outcome: &str,
    config_id: &str,
) -> Result<Injected> {
    let kind = config.text("Type").filter(|kind| DESTINATIONS.contains(kind));
    let Some(kind) = kind else {
        let kind = config.get("Type").map_or_else(|| "None".to_owned(), print::text);
        return Err(
            source.problem(format!("'Type: {kind}' must be one of {}", listed(DESTINATIONS)))
        );
    };
    let id = format!("{config_id}{outcome}");
    let (condition, arn) = condition_of(cx, config.get("Destination"), config_id)?;
    if let (Some(arn), None) = (config.get("Destination"), &condition) {
        let policy = Some(policy(kind, arn.clone(), &id));
        return Ok(Injected { resource: None, arn: arn.clone(), policy });
    }
    let attributes = source.passed_on();
    let mut resource = match kind {
        "SQS" => Resource::new(format!("{id}Queue"), "AWS::SQS::Queue", &attributes)?,
        "SNS" => Resource::new(format!("{id}Topic"), "AWS::SNS::Topic", &attributes)?,
        _ => {
            return Err(source.problem("Destination is required if Type is not ['SQS', 'SNS']"));
        }
    };
    if let Some(combined) = both(cx, source, attributes.get("Condition"), condition.as_ref()) {
        resource.attributes.insert("Condition", combined);
    }
    let made = resource.arn();
    let arn = match condition {
        Some(condition) => conditional_else(condition, made, arn),
        None => made,
    };
    let policy = Some(policy(kind, arn.clone(), &id));
    Ok(Injected { resource: Some(resource), arn, policy })
}

fn policy(kind: &str, arn: Val, id: &str) -> Val {
    match kind {
        "SQS" => role::send_message_policy(arn, id),
        "SNS" => role::publish_policy(arn, id),
        "EventBridge" => role::put_events_policy(arn, id),
        "Lambda" => role::invoke_policy(arn, id),
        _ => role::put_object_policy(arn, id),
    }
}

/// Under which condition a destination has to be made, and what it is otherwise.
fn condition_of(
    cx: &mut Context,
    destination: Option<&Val>,
    id: &str,
) -> Result<(Option<Val>, Val)> {
    let Some(destination) = destination.filter(|destination| is_if(destination)) else {
        return Ok((None, Val::Null));
    };
    let (condition, yes, no) = if_items(destination).map_err(|message| {
        Problem::resource(id, format!("Malformed 'Destination' property: {message}."))
    })?;
    match (is_no_value(yes), is_no_value(no)) {
        (true, false) => Ok((Some(condition.clone()), no.clone())),
        (false, true) => {
            let name = format!("NOT{}", condition.as_str().unwrap_or_default());
            let inverse = print::hashed_id(&name, &id.into());
            cx.conditions.insert(inverse.as_str(), not(condition));
            Ok((Some(inverse.into()), yes.clone()))
        }
        _ => Ok((None, Val::Null)),
    }
}

/// The condition that both hold.
fn both(
    cx: &mut Context,
    source: &Source,
    resource: Option<&Val>,
    property: Option<&Val>,
) -> Option<Val> {
    let (Some(one), Some(other)) = (resource, property) else {
        return resource.or(property).cloned();
    };
    let name =
        format!("{}AND{}", one.as_str().unwrap_or_default(), other.as_str().unwrap_or_default());
    let name = print::hashed_id(&name, &Val::from(&source.id));
    let condition = |name: &Val| Val::from(map! { "Condition" => name });
    cx.conditions.insert(name.as_str(), and(&[condition(one), condition(other)]));
    Some(name.into())
}
