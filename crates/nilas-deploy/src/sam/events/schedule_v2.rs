//! `ScheduleV2`: a schedule of EventBridge Scheduler.

use super::rule::dead_letter_queue;
use super::{Event, Of, Target};
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::Resource;
use crate::sam::core::value::{Val, map};
use crate::sam::role;

const HANDED_ON: &[&str] = &[
    "Description",
    "StartDate",
    "EndDate",
    "ScheduleExpressionTimezone",
    "GroupName",
    "KmsKeyArn",
];

pub(super) fn expand(event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let source = &event.source;
    let attributes = target.resource.passed_on();
    let mut schedule = Resource::new(&source.id, "AWS::Scheduler::Schedule", &attributes)?;
    schedule.set("ScheduleExpression", source.value("ScheduleExpression"));
    schedule.set("State", source.get("State").filter(|state| state.truthy()));
    let name = source.get("Name").filter(|name| name.truthy());
    if source.truthy("OmitName") {
        if name.is_some() {
            return Err(Problem::event(&source.id, "Name cannot be set when OmitName is True"));
        }
    } else {
        schedule.set("Name", name.cloned().unwrap_or_else(|| Val::from(&source.id)));
    }
    let window = source.get("FlexibleTimeWindow").filter(|window| window.truthy()).cloned();
    schedule.set("FlexibleTimeWindow", window.unwrap_or_else(|| map! { "Mode" => "OFF" }.into()));
    for name in HANDED_ON {
        schedule.set(name, source.value(name));
    }
    let mut made = Vec::new();
    let mut queue = Val::Null;
    if let Some(config) = source.map("DeadLetterConfig") {
        let (arn, resources) = dead_letter_queue(&source.id, config, &attributes, None)?;
        queue = arn;
        made.extend(resources);
    }
    let role = match source.get("RoleArn").filter(|role| role.truthy()) {
        Some(given) => given.clone(),
        None => {
            let role = role(event, target, &queue)?;
            let arn = role.arn();
            made.push(role);
            arn
        }
    };
    let mut schedule_target = map! { "Arn" => target.resource.arn(), "RoleArn" => role };
    schedule_target.insert_some("Input", source.value("Input"));
    if source.get("DeadLetterConfig").is_some() {
        schedule_target.insert("DeadLetterConfig", map! { "Arn" => queue });
    }
    schedule_target.insert_some("RetryPolicy", source.value("RetryPolicy"));
    schedule.set("Target", schedule_target);
    made.insert(0, schedule);
    Ok(made)
}

fn role(event: &Event, target: &Target, queue: &Val) -> Result<Resource> {
    let source = &event.source;
    let attributes = target.resource.passed_on();
    let mut role = Resource::new(format!("{}Role", source.id), "AWS::IAM::Role", &attributes)?;
    role.set("AssumeRolePolicyDocument", role::trust("scheduler.amazonaws.com"));
    let arn = target.resource.arn();
    let mut policies = vec![if event.of == Of::Function {
        role::invoke_policy(arn, &source.id)
    } else {
        role::start_execution_policy(arn, &source.id)
    }];
    if queue.truthy() {
        policies.push(role::send_message_policy(queue.clone(), &source.id));
    }
    role.set("Policies", policies);
    role.set("PermissionsBoundary", source.get("PermissionsBoundary").filter(|b| b.truthy()));
    Ok(role)
}
