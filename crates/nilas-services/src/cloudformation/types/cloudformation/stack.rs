//! `AWS::CloudFormation::Stack`: a stack of its own, whose outputs are the resource's attributes.

use std::time::Duration;

use nilas_wire::Service;
use nilas_wire::xml::Element;

use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

/// What UpdateStack says to a template that is deployed already.
const NO_UPDATES: &str = "No updates are to be performed.";
const NAME_CHARS_MAX: usize = 128;
/// Between two looks at a stack that takes its time.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::CloudFormation::Stack",
    properties: &[
        Property::text("TemplateURL").required(),
        Property::map("Parameters", &Shape::Text),
        Property::list("NotificationARNs", &Shape::Text),
        Property::integer("TimeoutInMinutes"),
        Property::tags(),
    ],
    attributes: &["Outputs.*"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name(NAME_CHARS_MAX);
    let mut members = members(cx, &name, properties);
    // Asked once more after a crash, the same stack is answered.
    members.push(("ClientRequestToken".to_owned(), cx.token.clone()));
    if let Some(minutes) = properties.integer("TimeoutInMinutes") {
        members.push(("TimeoutInMinutes".to_owned(), minutes.to_string()));
    }
    let answer = cx.calls.query(Service::CloudFormation, &cx.auth, "CreateStack", &members).await?;
    let id = answer.text_at(&["CreateStackResult", "StackId"]);
    let id = id.ok_or_else(|| Failure::no_member("StackId"))?;
    let stack = settled(cx, id).await?;
    let made = resource(id, &stack);
    match stack.text_at(&["StackStatus"]) {
        Some("CREATE_COMPLETE") => Ok(made),
        _ => Err(failed(id, &stack, "created").after(made)),
    }
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = change.resource.physical_id.as_str();
    let members = members(cx, id, change.new);
    let answer = cx.calls.query(Service::CloudFormation, &cx.auth, "UpdateStack", &members).await;
    // Such as when it has rolled itself back, and its parent follows.
    let unchanged = matches!(&answer, Err(refusal) if refusal.message == NO_UPDATES);
    if !unchanged {
        answer?;
    }
    let stack = settled(cx, id).await?;
    match stack.text_at(&["StackStatus"]) {
        Some("CREATE_COMPLETE" | "UPDATE_COMPLETE") => Ok(resource(id, &stack)),
        Some("UPDATE_ROLLBACK_COMPLETE") if unchanged => Ok(resource(id, &stack)),
        _ => Err(failed(id, &stack, "updated")),
    }
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let id = resource.physical_id.as_str();
    let members = [("StackName".to_owned(), id.to_owned())];
    cx.calls.query(Service::CloudFormation, &cx.auth, "DeleteStack", &members).await?;
    let stack = settled(cx, id).await?;
    match stack.text_at(&["StackStatus"]) {
        Some("DELETE_COMPLETE") => Ok(()),
        _ => Err(failed(id, &stack, "deleted")),
    }
}

fn members(cx: &Cx, name: &str, properties: &Properties) -> Vec<(String, String)> {
    let mut members = vec![("StackName".to_owned(), name.to_owned())];
    let url = properties.text("TemplateURL").unwrap_or_default();
    members.push(("TemplateURL".to_owned(), url.to_owned()));
    let capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];
    for (n, capability) in capabilities.into_iter().enumerate() {
        members.push((format!("Capabilities.member.{}", n + 1), capability.to_owned()));
    }
    let parameters = properties.object("Parameters").into_iter().flatten();
    for (n, (key, value)) in parameters.enumerate() {
        let value = value.as_str().unwrap_or_default().to_owned();
        members.push((format!("Parameters.member.{}.ParameterKey", n + 1), key.clone()));
        members.push((format!("Parameters.member.{}.ParameterValue", n + 1), value));
    }
    for (n, arn) in properties.texts("NotificationARNs").into_iter().enumerate() {
        members.push((format!("NotificationARNs.member.{}", n + 1), arn.to_owned()));
    }
    for (n, (key, value)) in cx.own_tags(properties).into_iter().enumerate() {
        members.push((format!("Tags.member.{}.Key", n + 1), key));
        members.push((format!("Tags.member.{}.Value", n + 1), value));
    }
    members
}

/// The stack when nothing is under way in it any more.
async fn settled(cx: &Cx, id: &str) -> Result<Element, Failure> {
    let members = [("StackName".to_owned(), id.to_owned())];
    loop {
        let answer =
            cx.calls.query(Service::CloudFormation, &cx.auth, "DescribeStacks", &members).await?;
        let stack = answer.find(&["DescribeStacksResult", "Stacks", "member"]);
        let stack = stack.ok_or_else(|| Failure::no_member("Stacks"))?;
        let status = stack.text_at(&["StackStatus"]).unwrap_or_default();
        if !status.ends_with("_IN_PROGRESS") {
            return Ok(stack.clone());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn resource(id: &str, stack: &Element) -> Resource {
    let outputs = stack.find(&["Outputs"]).map(|outputs| outputs.children.as_slice());
    let mut resource = Resource::new(id);
    for output in outputs.unwrap_or_default() {
        if let (Some(key), Some(value)) =
            (output.text_at(&["OutputKey"]), output.text_at(&["OutputValue"]))
        {
            resource = resource.with(&format!("Outputs.{key}"), value);
        }
    }
    resource
}

fn failed(id: &str, stack: &Element, done: &str) -> Failure {
    let reason = stack.text_at(&["StackStatusReason"]).unwrap_or_default();
    let text = format!("Embedded stack {id} was not successfully {done}: {reason}");
    Failure::plain(HandlerErrorCode::GeneralServiceException, text)
}
