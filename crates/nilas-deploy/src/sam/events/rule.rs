//! `Schedule`, `CloudWatchEvent` and `EventBridgeRule`: rules of EventBridge.

use super::{Event, Of, Permission, Target};
use crate::sam::core::intrinsic::reference;
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::Resource;
use crate::sam::core::value::{Map, Text, Val, list, map};
use crate::sam::role;

const TARGET_ID_CHARS_MAX: usize = 64;

pub(super) fn expand(event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let source = &event.source;
    let attributes = target.resource.passed_on();
    let mut rule = Resource::new(&source.id, "AWS::Events::Rule", &attributes)?;
    let schedule = source.kind == "Schedule";
    if schedule {
        rule.set("ScheduleExpression", source.value("Schedule"));
        rule.set("Name", source.value("Name"));
        rule.set("Description", source.value("Description"));
    } else {
        rule.set("EventBusName", source.value("EventBusName"));
        rule.set("EventPattern", source.value("Pattern"));
        rule.set("Name", source.value("RuleName"));
    }
    if source.truthy("State") && source.get("Enabled").is_some() {
        return Err(event.problem("State and Enabled Properties cannot both be specified."));
    }
    if source.truthy("State") {
        rule.set("State", source.value("State"));
    }
    if let Some(enabled) = source.get("Enabled") {
        rule.set("State", if enabled.truthy() { "ENABLED" } else { "DISABLED" });
    }
    let mut made = Vec::new();
    let role = role_arn(event, target, &mut made)?;
    let mut queue = Val::Null;
    if let Some(config) = source.map("DeadLetterConfig") {
        let (arn, resources) =
            dead_letter_queue(&source.id, config, &attributes, Some(rule.arn()))?;
        queue = arn;
        made.extend(resources);
    }
    rule.set("Targets", list![rule_target(event, target, role, queue)]);
    if event.of == Of::Function {
        let permission = Permission {
            service: "events.amazonaws.com",
            source_arn: rule.arn(),
            ..Permission::default()
        };
        made.push(permission.build(&source.id, &target.resource)?);
    }
    made.insert(0, rule);
    Ok(made)
}

/// The role with which a rule starts a state machine; functions let the rule invoke them instead.
fn role_arn(event: &Event, target: &Target, made: &mut Vec<Resource>) -> Result<Val> {
    if event.of == Of::Function {
        return Ok(Val::Null);
    }
    if let Some(given) = event.source.get("RoleArn") {
        return Ok(given.clone());
    }
    let role = start_role("events.amazonaws.com", event, target)?;
    let arn = role.arn();
    made.push(role);
    Ok(arn)
}

/// A role that a service starts a state machine with.
pub(super) fn start_role(service: &str, event: &Event, target: &Target) -> Result<Resource> {
    let id: Text = print::hashed_id(&event.source.id.plus("Role"), &"".into()).into();
    let mut role = Resource::new(&id, "AWS::IAM::Role", &target.resource.passed_on())?;
    role.set("AssumeRolePolicyDocument", role::trust(service));
    role.set("Policies", list![role::start_execution_policy(target.resource.arn(), &id)]);
    if target.boundary.truthy() {
        role.set("PermissionsBoundary", target.boundary.clone());
    }
    Ok(role)
}

fn rule_target(event: &Event, target: &Target, role: Val, queue: Val) -> Map {
    let source = &event.source;
    let suffix = if event.of == Of::Function { "LambdaTarget" } else { "StepFunctionsTarget" };
    let given = source.map("Target").and_then(|given| given.get("Id"));
    let mut rule_target = map! {
        "Arn" => target.resource.arn(),
        "Id" => given.cloned().unwrap_or_else(|| target_id(&source.id, suffix).into()),
    };
    rule_target.insert_some("RoleArn", role);
    rule_target.insert_some("Input", source.value("Input"));
    rule_target.insert_some("InputPath", source.value("InputPath"));
    if source.get("DeadLetterConfig").is_some() {
        rule_target.insert("DeadLetterConfig", map! { "Arn" => queue });
    }
    rule_target.insert_some("RetryPolicy", source.value("RetryPolicy"));
    rule_target.insert_some("InputTransformer", source.value("InputTransformer"));
    rule_target
}

fn target_id(id: &str, suffix: &str) -> String {
    let kept = TARGET_ID_CHARS_MAX - suffix.len();
    let id = id.get(..kept).unwrap_or(id);
    format!("{id}{suffix}")
}

/// The ARN of the queue that undelivered events go to, and the queue, where it has to be made; with a policy for the
/// rule, where a rule sends them.
pub(super) fn dead_letter_queue(
    id: &str,
    config: &Map,
    attributes: &Map,
    rule_arn: Option<Val>,
) -> Result<(Val, Vec<Resource>)> {
    let (arn, kind) = (config.has("Arn"), config.has("Type"));
    let fault = if arn && kind {
        "You can either define 'Arn' or 'Type' property of DeadLetterConfig."
    } else if kind && config.text("Type") != Some("SQS") {
        "The only valid value for 'Type' property of DeadLetterConfig is 'SQS'."
    } else if !arn && !kind {
        "No 'Arn' or 'Type' property provided for DeadLetterConfig."
    } else if config.get("QueueLogicalId").is_some_and(|id| id.as_str().is_none()) {
        "QueueLogicalId must be a string"
    } else {
        ""
    };
    if !fault.is_empty() {
        return Err(Problem::event(id, fault));
    }
    if let Some(arn) = config.get("Arn") {
        return Ok((arn.clone(), Vec::new()));
    }
    let queue_id = config.text("QueueLogicalId").filter(|id| !id.is_empty());
    let queue_id = queue_id.map_or_else(|| format!("{id}Queue"), str::to_owned);
    let queue = Resource::new(queue_id, "AWS::SQS::Queue", attributes)?;
    let arn = queue.arn();
    let mut made = vec![queue];
    if let Some(rule_arn) = rule_arn {
        let mut policy =
            Resource::new(format!("{id}QueuePolicy"), "AWS::SQS::QueuePolicy", attributes)?;
        let principal = map! { "Service" => "events.amazonaws.com" };
        policy.set("PolicyDocument", send_document(principal.into(), arn.clone(), rule_arn));
        policy.set("Queues", list![reference(&made[0].id)]);
        made.push(policy);
    }
    Ok((arn, made))
}

/// The document that lets a principal send to a queue on behalf of one source.
pub(super) fn send_document(principal: Val, queue: Val, source: Val) -> Map {
    map! {
        "Version" => "2012-10-17",
        "Statement" => list![map! {
            "Action" => "sqs:SendMessage",
            "Effect" => "Allow",
            "Principal" => principal,
            "Resource" => queue,
            "Condition" => map! { "ArnEquals" => map! { "aws:SourceArn" => source } },
        }],
    }
}
