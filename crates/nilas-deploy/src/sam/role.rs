//! The execution roles of functions and state machines, and the policy documents that come with them.

use super::context::Context;
use super::core::intrinsic::{if_items, is_if, is_no_value};
use super::core::problem::{Problem, Result};
use super::core::resource::Resource;
use super::core::value::{Map, Val, list, map};
use super::policies::{self, Kind};

/// What a role is made of.
#[derive(Debug)]
pub(super) struct Role<'a> {
    /// The resource that the role is for.
    pub(super) of: &'a str,
    pub(super) attributes: Map,
    pub(super) trust: Val,
    pub(super) policies: Option<&'a Val>,
    pub(super) managed: Vec<Val>,
    pub(super) documents: Vec<Val>,
    pub(super) path: Val,
    pub(super) boundary: Val,
    pub(super) tags: Vec<Val>,
}

impl Role<'_> {
    pub(super) fn build(self, cx: &Context, id: super::core::value::Text) -> Result<Resource> {
        let mut role = Resource::new(id, "AWS::IAM::Role", &self.attributes)?;
        let (mut managed, mut documents) = (self.managed, self.documents);
        for (index, (policy, kind)) in
            policies::classify(self.policies, false)?.into_iter().enumerate()
        {
            match kind {
                Kind::Statement => {
                    let name = format!("{}Policy{index}", role.id);
                    let document = |value: &Val| {
                        map! { "PolicyName" => name.as_str(), "PolicyDocument" => value.clone() }
                            .into()
                    };
                    documents.push(each_branch(&policy, |value| !is_no_value(value), document)?);
                }
                Kind::Managed => {
                    let arn = each_branch(
                        &policy,
                        |value| value.as_str().is_some(),
                        |value| {
                            policies::managed_policy_arn(
                                cx.partition,
                                value.as_str().unwrap_or_default(),
                            )
                            .into()
                        },
                    )?;
                    if !managed.contains(&arn) {
                        managed.push(arn);
                    }
                }
                Kind::Template | Kind::Unknown => {
                    let message =
                        format!("Policy at index {index} in the 'Policies' property is not valid");
                    return Err(Problem::resource(self.of, message));
                }
            }
        }
        role.set("AssumeRolePolicyDocument", self.trust);
        role.set("ManagedPolicyArns", managed);
        if !documents.is_empty() {
            role.set("Policies", documents);
        }
        role.set("Path", self.path);
        role.set("PermissionsBoundary", self.boundary);
        role.set("Tags", self.tags);
        Ok(role)
    }
}

/// Converts a value, or those branches of an `Fn::If` that can be.
fn each_branch(
    value: &Val,
    convertible: impl Fn(&Val) -> bool,
    convert: impl Fn(&Val) -> Val,
) -> Result<Val> {
    if !is_if(value) {
        return Ok(if convertible(value) { convert(value) } else { value.clone() });
    }
    let (condition, yes, no) =
        if_items(value).map_err(|message| Problem::Template(message.to_owned()))?;
    let branch = |value: &Val| if convertible(value) { convert(value) } else { value.clone() };
    Ok(map! { "Fn::If" => list![condition, branch(yes), branch(no)] }.into())
}

/// The document that lets a service assume a role.
pub(super) fn trust(service: &str) -> Val {
    map! {
        "Version" => "2012-10-17",
        "Statement" => list![map! {
            "Action" => list!["sts:AssumeRole"],
            "Effect" => "Allow",
            "Principal" => map! { "Service" => list![service] },
        }],
    }
    .into()
}

fn allow(name: String, statements: Val) -> Val {
    map! { "PolicyName" => name, "PolicyDocument" => map! { "Statement" => statements } }.into()
}

pub(super) fn allow_statement(action: impl Into<Val>, resource: impl Into<Val>) -> Map {
    map! { "Action" => action, "Effect" => "Allow", "Resource" => resource }
}

pub(super) fn dead_letter_policy(action: &str, resource: Val) -> Val {
    map! {
        "PolicyName" => "DeadLetterQueuePolicy",
        "PolicyDocument" => map! {
            "Version" => "2012-10-17",
            "Statement" => list![allow_statement(action, resource)],
        },
    }
    .into()
}

pub(super) fn send_message_policy(queue: Val, id: &str) -> Val {
    allow(format!("{id}SQSPolicy"), list![allow_statement("sqs:SendMessage", queue)])
}

pub(super) fn publish_policy(topic: Val, id: &str) -> Val {
    allow(format!("{id}SNSPolicy"), list![allow_statement("sns:publish", topic)])
}

pub(super) fn put_object_policy(bucket: Val, id: &str) -> Val {
    let objects: Val = map! { "Fn::Join" => list!["/", list![bucket.clone(), "*"]] }.into();
    let statements =
        list![allow_statement("s3:PutObject", objects), allow_statement("s3:ListBucket", bucket)];
    allow(format!("{id}S3Policy"), statements)
}

pub(super) fn put_events_policy(bus: Val, id: &str) -> Val {
    allow(format!("{id}EventBridgePolicy"), list![allow_statement("events:PutEvents", bus)])
}

pub(super) fn invoke_policy(function: Val, id: &str) -> Val {
    allow(format!("{id}LambdaPolicy"), list![allow_statement("lambda:InvokeFunction", function)])
}

pub(super) fn start_execution_policy(state_machine: Val, id: &str) -> Val {
    allow(
        format!("{id}StartExecutionPolicy"),
        list![allow_statement("states:StartExecution", state_machine)],
    )
}
