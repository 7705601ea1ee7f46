//! `AWS::IAM::ManagedPolicy`

use super::{call, document, gone, removed, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

const NAME_CHARS_MAX: usize = 128;
/// Versions a policy may have; AWS's limit. A new one takes the place of the oldest.
const VERSIONS_MAX: usize = 5;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::IAM::ManagedPolicy",
    properties: &[
        Property::text("Description").replaces(),
        // There are no users and no groups here.
        Property::list("Groups", &Shape::Text),
        Property::text("ManagedPolicyName").replaces(),
        Property::text("Path").replaces(),
        Property::json("PolicyDocument").required(),
        Property::list("Roles", &Shape::Text),
        Property::list("Users", &Shape::Text),
    ],
    attributes: &["PolicyArn", "PolicyId"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| Box::pin(delete(cx, resource, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    refuse_others(properties)?;
    let name = cx.name_or(properties, "ManagedPolicyName", NAME_CHARS_MAX);
    let policy_text = properties.get("PolicyDocument").map(document).unwrap_or_default();
    let mut members = vec![("PolicyName", name.as_str()), ("PolicyDocument", &policy_text)];
    members.extend(
        ["Description", "Path"].iter().filter_map(|text| Some((*text, properties.text(text)?))),
    );
    let path = properties.text("Path").unwrap_or("/");
    let policy = match call(cx, "CreatePolicy", &members).await.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.is_already_exists() => {
            let arn = format!("arn:aws:iam::{}:policy{path}{name}", cx.auth.account.as_str());
            call(cx, "GetPolicy", &[("PolicyArn", &arn)]).await?
        }
        created => created?,
    };
    let arn = text(&policy, &["Policy", "Arn"])?;
    let made = Resource::new(&arn)
        .with("PolicyArn", arn.as_str())
        .with("PolicyId", text(&policy, &["Policy", "PolicyId"])?);
    for role in properties.texts("Roles") {
        let members = [("RoleName", role), ("PolicyArn", arn.as_str())];
        let attached = call(cx, "AttachRolePolicy", &members).await;
        attached.map_err(|refusal| Failure::from(refusal).after(made.clone()))?;
    }
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    refuse_others(new)?;
    let arn = resource.physical_id.as_str();
    if new.differs(old, "PolicyDocument") {
        make_room(cx, arn).await?;
        let text = new.get("PolicyDocument").map(document).unwrap_or_default();
        let members =
            [("PolicyArn", arn), ("PolicyDocument", text.as_str()), ("SetAsDefault", "true")];
        call(cx, "CreatePolicyVersion", &members).await?;
    }
    let (before, after) = (old.texts("Roles"), new.texts("Roles"));
    for role in &after {
        call(cx, "AttachRolePolicy", &[("RoleName", role), ("PolicyArn", arn)]).await?;
    }
    for role in removed(&before, &after) {
        gone(call(cx, "DetachRolePolicy", &[("RoleName", role), ("PolicyArn", arn)]).await)?;
    }
    Ok(resource.clone())
}

/// Versions of a policy that are no default, oldest first.
async fn versions(cx: &Cx, arn: &str) -> Result<Vec<String>, Failure> {
    let answer = call(cx, "ListPolicyVersions", &[("PolicyArn", arn)]).await?;
    let list = answer.children.first().and_then(|result| result.find(&["Versions"]));
    let members = list.map(|list| list.children.as_slice()).unwrap_or_default();
    let others =
        members.iter().filter(|member| member.text_at(&["IsDefaultVersion"]) != Some("true"));
    let ids = others.filter_map(|member| member.text_at(&["VersionId"]).map(str::to_owned));
    let mut ids: Vec<String> = ids.collect();
    ids.sort_by_key(|id| id.trim_start_matches('v').parse::<u64>().unwrap_or_default());
    Ok(ids)
}

async fn make_room(cx: &Cx, arn: &str) -> Result<(), Failure> {
    let versions = versions(cx, arn).await?;
    if versions.len() + 1 < VERSIONS_MAX {
        return Ok(());
    }
    let Some(oldest) = versions.first() else { return Ok(()) };
    gone(call(cx, "DeletePolicyVersion", &[("PolicyArn", arn), ("VersionId", oldest)]).await)
}

async fn delete(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let arn = resource.physical_id.as_str();
    for role in properties.texts("Roles") {
        gone(call(cx, "DetachRolePolicy", &[("RoleName", role), ("PolicyArn", arn)]).await)?;
    }
    for version in versions(cx, arn).await? {
        let members = [("PolicyArn", arn), ("VersionId", version.as_str())];
        gone(call(cx, "DeletePolicyVersion", &members).await)?;
    }
    call(cx, "DeletePolicy", &[("PolicyArn", arn)]).await?;
    Ok(())
}

fn refuse_others(properties: &Properties) -> Result<(), Failure> {
    for (list, what) in [("Groups", "groups"), ("Users", "users")] {
        if !properties.list(list).is_empty() {
            return Err(Failure::invalid(format!(
                "nilas has no {what}; attach the policy to roles"
            )));
        }
    }
    Ok(())
}
