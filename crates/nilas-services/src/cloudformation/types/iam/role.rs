//! `AWS::IAM::Role`

use nilas_wire::Service;
use nilas_wire::xml::Element;
use serde_json::Value;

use super::{call, document, gone, removed, tag_members, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

const NAME_CHARS_MAX: usize = 64;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::IAM::Role",
    properties: &[
        Property::json("AssumeRolePolicyDocument").required(),
        Property::text("Description"),
        Property::list("ManagedPolicyArns", &Shape::Text),
        Property::integer("MaxSessionDuration"),
        Property::text("Path").replaces(),
        Property::text("PermissionsBoundary"),
        Property::list("Policies", &Shape::Object(POLICY)),
        Property::text("RoleName").replaces(),
        Property::tags(),
    ],
    attributes: &["Arn", "RoleId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, &resource.physical_id)),
};

const POLICY: &[Property] =
    &[Property::json("PolicyDocument").required(), Property::text("PolicyName").required()];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name_or(properties, "RoleName", NAME_CHARS_MAX);
    let trust = properties.get("AssumeRolePolicyDocument").map(document).unwrap_or_default();
    let session = properties.integer("MaxSessionDuration").map(|seconds| seconds.to_string());
    let tags = tag_members(&cx.own_tags(properties));
    let mut members =
        vec![("RoleName", name.as_str()), ("AssumeRolePolicyDocument", trust.as_str())];
    let texts = ["Description", "Path", "PermissionsBoundary"];
    members.extend(texts.iter().filter_map(|text| Some((*text, properties.text(text)?))));
    members.extend(session.as_deref().map(|seconds| ("MaxSessionDuration", seconds)));
    members.extend(tags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let role = match call(cx, "CreateRole", &members).await.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.is_already_exists() => {
            call(cx, "GetRole", &[("RoleName", &name)]).await?
        }
        created => created?,
    };
    let made = Resource::new(&name)
        .with("Arn", text(&role, &["Role", "Arn"])?)
        .with("RoleId", text(&role, &["Role", "RoleId"])?);
    let policies = put_policies(cx, &name, &Properties::default(), properties).await;
    policies.map_err(|failure| failure.after(made.clone()))?;
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let name = resource.physical_id.as_str();
    if new.differs(old, "AssumeRolePolicyDocument") {
        let trust = new.get("AssumeRolePolicyDocument").map(document).unwrap_or_default();
        let members = [("RoleName", name), ("PolicyDocument", trust.as_str())];
        call(cx, "UpdateAssumeRolePolicy", &members).await?;
    }
    if new.differs(old, "Description") || new.differs(old, "MaxSessionDuration") {
        let seconds = new.integer("MaxSessionDuration").unwrap_or(3_600).to_string();
        let description = new.text("Description").unwrap_or_default();
        let members =
            [("RoleName", name), ("Description", description), ("MaxSessionDuration", &seconds)];
        call(cx, "UpdateRole", &members).await?;
    }
    match (old.text("PermissionsBoundary"), new.text("PermissionsBoundary")) {
        (Some(_), None) => {
            let done = call(cx, "DeleteRolePermissionsBoundary", &[("RoleName", name)]).await;
            gone(done)?;
        }
        (before, Some(boundary)) if before != Some(boundary) => {
            let members = [("RoleName", name), ("PermissionsBoundary", boundary)];
            call(cx, "PutRolePermissionsBoundary", &members).await?;
        }
        _ => {}
    }
    put_policies(cx, name, old, new).await?;
    tag(cx, name, &cx.own_tags(new)).await?;
    Ok(resource.clone())
}

/// Attaches and writes what `new` has, detaches and deletes what only `old` has.
async fn put_policies(
    cx: &Cx,
    role: &str,
    old: &Properties,
    new: &Properties,
) -> Result<(), Failure> {
    let (before, after) = (old.texts("ManagedPolicyArns"), new.texts("ManagedPolicyArns"));
    for arn in &after {
        call(cx, "AttachRolePolicy", &[("RoleName", role), ("PolicyArn", arn)]).await?;
    }
    for arn in removed(&before, &after) {
        gone(call(cx, "DetachRolePolicy", &[("RoleName", role), ("PolicyArn", arn)]).await)?;
    }
    for policy in new.list("Policies") {
        let text = policy.get("PolicyDocument").map(document).unwrap_or_default();
        let members =
            [("RoleName", role), ("PolicyName", policy_name(policy)), ("PolicyDocument", &text)];
        call(cx, "PutRolePolicy", &members).await?;
    }
    let names = |properties: &'_ Properties| -> Vec<String> {
        properties.list("Policies").iter().map(|policy| policy_name(policy).to_owned()).collect()
    };
    let kept = names(new);
    for name in names(old).iter().filter(|name| !kept.contains(name)) {
        gone(call(cx, "DeleteRolePolicy", &[("RoleName", role), ("PolicyName", name)]).await)?;
    }
    Ok(())
}

fn policy_name(policy: &Value) -> &str {
    policy.get("PolicyName").and_then(Value::as_str).unwrap_or_default()
}

/// The role's tags become those of the stack and the template. The stack's may have changed, too: what there was is
/// asked for.
async fn tag(cx: &Cx, role: &str, wanted: &[(String, String)]) -> Result<(), Failure> {
    let answer = call(cx, "ListRoleTags", &[("RoleName", role)]).await?;
    let had = listed(&answer, "Tags", Some("Key"));
    let unneeded = had.iter().filter(|key| wanted.iter().all(|(known, _)| known != *key));
    let mut members = vec![("RoleName".to_owned(), role.to_owned())];
    members.extend(
        unneeded.enumerate().map(|(at, key)| (format!("TagKeys.member.{}", at + 1), key.clone())),
    );
    if members.len() > 1 {
        cx.calls.query(Service::Iam, &cx.auth, "UntagRole", &members).await?;
    }
    if !wanted.is_empty() {
        let mut members = tag_members(wanted);
        members.push(("RoleName".to_owned(), role.to_owned()));
        cx.calls.query(Service::Iam, &cx.auth, "TagRole", &members).await?;
    }
    Ok(())
}

/// A role goes with its inline policies, and with whatever is attached to it.
async fn delete(cx: &Cx, name: &str) -> Result<(), Failure> {
    let role = [("RoleName", name)];
    let attached = call(cx, "ListAttachedRolePolicies", &role).await?;
    for arn in listed(&attached, "AttachedPolicies", Some("PolicyArn")) {
        gone(call(cx, "DetachRolePolicy", &[("RoleName", name), ("PolicyArn", &arn)]).await)?;
    }
    let inline = call(cx, "ListRolePolicies", &role).await?;
    for policy in listed(&inline, "PolicyNames", None) {
        gone(call(cx, "DeleteRolePolicy", &[("RoleName", name), ("PolicyName", &policy)]).await)?;
    }
    call(cx, "DeleteRole", &role).await?;
    Ok(())
}

/// The members of a list in an answer, or one text of each.
fn listed(answer: &Element, list: &str, member: Option<&str>) -> Vec<String> {
    let list = answer.children.first().and_then(|result| result.find(&[list]));
    let members = list.map(|list| list.children.as_slice()).unwrap_or_default();
    let text = |element: &Element| match member {
        Some(name) => element.text_at(&[name]).map(str::to_owned),
        None => Some(element.text.clone()),
    };
    members.iter().filter_map(text).collect()
}
