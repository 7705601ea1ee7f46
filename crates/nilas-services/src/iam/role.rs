//! Roles: made, read, changed, deleted.

use nilas_model::limits::{IAM_ROLES_MAX, IAM_TRUST_POLICY_CHARS_MAX};
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::page::Page;
use super::record::{Role, role_key, unique_id};
use super::{Answer, Cx, answer, document, fault, tags};

const NAME_CHARS_MAX: usize = 64;
const PATH_CHARS_MAX: usize = 512;
const DESCRIPTION_CHARS_MAX: usize = 1_000;
const SESSION_SECONDS_DEFAULT: u32 = 3_600;
const SESSION_SECONDS_MAX: u32 = 43_200;

pub(super) async fn create(cx: Cx<'_>, form: &Form) -> Answer {
    let name = name(form, "RoleName", NAME_CHARS_MAX)?.to_owned();
    let trust_policy = trust(form, "AssumeRolePolicyDocument")?;
    let new = Role {
        path: path(form)?,
        id: unique_id("AROA"),
        created_epoch_ms: cx.now_ms,
        trust_policy,
        description: description(form)?,
        session_seconds_max: session_seconds(form)?.unwrap_or(SESSION_SECONDS_DEFAULT),
        boundary: boundary(cx, form).await?,
        tags: tags::given(form)?,
        inline_policies: Default::default(),
        attached_policies: Vec::new(),
        name,
    };
    add(cx, new).await
}

/// Services that tools make such roles for keep nothing here; the role is as any other.
pub(super) async fn create_service_linked(cx: Cx<'_>, form: &Form) -> Answer {
    let service = required(form, "AWSServiceName")?;
    let stem = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if stem.is_empty() || stem.len() > NAME_CHARS_MAX / 2 || !stem.chars().all(legal) {
        return Err(Fault::plain(
            "InvalidInput",
            400,
            format!("{service} is not a valid service name."),
        ));
    }
    let principal = serde_json::json!({ "Service": [service] });
    let statement = serde_json::json!([{ "Action": ["sts:AssumeRole"], "Effect": "Allow", "Principal": principal }]);
    let trust_policy =
        serde_json::json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
    let words = stem
        .split(['.', '-'])
        .map(|word| word[..word.len().min(1)].to_ascii_uppercase() + &word[word.len().min(1)..]);
    let new = Role {
        name: format!("AWSServiceRoleFor{}", words.collect::<String>()),
        path: format!("/aws-service-role/{service}/"),
        id: unique_id("AROA"),
        created_epoch_ms: cx.now_ms,
        trust_policy,
        description: description(form)?,
        session_seconds_max: SESSION_SECONDS_DEFAULT,
        boundary: None,
        tags: Vec::new(),
        inline_policies: Default::default(),
        attached_policies: Vec::new(),
    };
    add(cx, new).await
}

async fn add(cx: Cx<'_>, new: Role) -> Answer {
    let _writing = cx.shelf.writing().await;
    if cx.shelf.get::<Role>(&role_key(cx.account, &new.name)).await?.is_some() {
        let message = format!("Role with name {} already exists.", new.name);
        return Err(fault::already_exists(message));
    }
    if cx.roles().await?.len() >= IAM_ROLES_MAX {
        let message = format!("Cannot exceed quota for RolesPerAccount: {IAM_ROLES_MAX}");
        return Err(fault::limit_exceeded(message));
    }
    cx.put_role(&new).await?;
    Ok(Some(in_full(cx, &new)))
}

pub(super) async fn get(cx: Cx<'_>, form: &Form) -> Answer {
    let role = cx.role(required(form, "RoleName")?).await?;
    Ok(Some(in_full(cx, &role)))
}

pub(super) async fn list(cx: Cx<'_>, form: &Form) -> Answer {
    let prefix = form.get("PathPrefix").unwrap_or("/");
    let mut roles = cx.roles().await?;
    roles.retain(|role| role.path.starts_with(prefix));
    let page = Page::of(form, roles, |role| role.name.to_ascii_lowercase())?;
    let mut xml = Xml::new();
    xml.members("Roles", &page.items, |xml, role| answer::role(xml, cx.account, role, false));
    page.write_end(&mut xml);
    Ok(Some(xml))
}

pub(super) async fn update(cx: Cx<'_>, form: &Form) -> Answer {
    let (description, seconds) = (description(form)?, session_seconds(form)?);
    change(cx, form, |role| {
        // As AWS: without a duration it is an hour again.
        role.session_seconds_max = seconds.unwrap_or(SESSION_SECONDS_DEFAULT);
        if let Some(description) = description {
            role.description = Some(description);
        }
        Ok(())
    })
    .await?;
    Ok(Some(Xml::new()))
}

pub(super) async fn update_description(cx: Cx<'_>, form: &Form) -> Answer {
    let description = description(form)?;
    let role = change(cx, form, |role| {
        role.description = description;
        Ok(())
    })
    .await?;
    Ok(Some(in_full(cx, &role)))
}

pub(super) async fn update_trust(cx: Cx<'_>, form: &Form) -> Answer {
    let policy = trust(form, "PolicyDocument")?;
    change(cx, form, |role| {
        role.trust_policy = policy;
        Ok(())
    })
    .await?;
    Ok(None)
}

pub(super) async fn put_boundary(cx: Cx<'_>, form: &Form) -> Answer {
    required(form, "PermissionsBoundary")?;
    let boundary = boundary(cx, form).await?;
    change(cx, form, |role| {
        role.boundary = boundary;
        Ok(())
    })
    .await?;
    Ok(None)
}

pub(super) async fn delete_boundary(cx: Cx<'_>, form: &Form) -> Answer {
    change(cx, form, |role| {
        role.boundary = None;
        Ok(())
    })
    .await?;
    Ok(None)
}

pub(super) async fn delete(cx: Cx<'_>, form: &Form) -> Answer {
    let name = required(form, "RoleName")?;
    let _writing = cx.shelf.writing().await;
    let role = cx.role(name).await?;
    if !role.attached_policies.is_empty() {
        return Err(fault::delete_conflict(
            "Cannot delete entity, must detach all policies first.",
        ));
    }
    if !role.inline_policies.is_empty() {
        return Err(fault::delete_conflict("Cannot delete entity, must delete policies first."));
    }
    cx.shelf.delete(&role_key(cx.account, name)).await?;
    Ok(None)
}

/// Applies `how` to the role that `RoleName` names.
pub(super) async fn change(
    cx: Cx<'_>,
    form: &Form,
    how: impl FnOnce(&mut Role) -> Result<(), Fault>,
) -> Result<Role, Fault> {
    let name = required(form, "RoleName")?;
    let _writing = cx.shelf.writing().await;
    let mut role = cx.role(name).await?;
    how(&mut role)?;
    cx.put_role(&role).await?;
    Ok(role)
}

fn in_full(cx: Cx<'_>, role: &Role) -> Xml {
    let mut xml = Xml::new();
    xml.element("Role", |xml| answer::role(xml, cx.account, role, true));
    xml
}

// === members ===

pub(super) fn required<'a>(form: &'a Form, member: &str) -> Result<&'a str, Fault> {
    form.get(member).filter(|value| !value.is_empty()).ok_or_else(|| fault::missing(member))
}

/// `[\w+=,.@-]+`
pub(super) fn name<'a>(form: &'a Form, member: &str, chars_max: usize) -> Result<&'a str, Fault> {
    let name = required(form, member)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !name.chars().all(legal) {
        let message = format!(
            "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
            lower_first(member)
        );
        return Err(fault::validation(message));
    }
    if name.len() > chars_max {
        let constraint = format!("have length less than or equal to {chars_max}");
        return Err(fault::constraint(member, name, &constraint));
    }
    Ok(name)
}

fn lower_first(member: &str) -> String {
    member[..1].to_ascii_lowercase() + &member[1..]
}

pub(super) fn path(form: &Form) -> Result<String, Fault> {
    let path = form.get("Path").unwrap_or("/");
    let legal = path.starts_with('/') && path.ends_with('/') && path.len() <= PATH_CHARS_MAX;
    if !legal || !path.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        let message = "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.";
        return Err(fault::validation(message));
    }
    Ok(path.to_owned())
}

pub(super) fn description(form: &Form) -> Result<Option<String>, Fault> {
    let Some(description) = form.get("Description") else { return Ok(None) };
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        let constraint = "have length less than or equal to 1000";
        return Err(fault::constraint("Description", description, constraint));
    }
    Ok(Some(description.to_owned()))
}

fn session_seconds(form: &Form) -> Result<Option<u32>, Fault> {
    let Some(text) = form.get("MaxSessionDuration") else { return Ok(None) };
    match text.parse() {
        Ok(seconds @ SESSION_SECONDS_DEFAULT..=SESSION_SECONDS_MAX) => Ok(Some(seconds)),
        Ok(seconds) if seconds > SESSION_SECONDS_MAX => {
            let constraint = "have value less than or equal to 43200";
            Err(fault::constraint("MaxSessionDuration", text, constraint))
        }
        _ => {
            let constraint = "have value greater than or equal to 3600";
            Err(fault::constraint("MaxSessionDuration", text, constraint))
        }
    }
}

fn trust(form: &Form, member: &str) -> Result<String, Fault> {
    let policy = required(form, member)?;
    document::check_trust(policy)?;
    if policy.chars().filter(|c| !c.is_whitespace()).count() > IAM_TRUST_POLICY_CHARS_MAX {
        let message =
            format!("Cannot exceed quota for ACLSizePerRole: {IAM_TRUST_POLICY_CHARS_MAX}");
        return Err(fault::limit_exceeded(message));
    }
    Ok(policy.to_owned())
}

async fn boundary(cx: Cx<'_>, form: &Form) -> Result<Option<String>, Fault> {
    let Some(arn) = form.get("PermissionsBoundary").filter(|arn| !arn.is_empty()) else {
        return Ok(None);
    };
    match cx.find_policy(arn).await? {
        Some(policy) => Ok(Some(policy.arn)),
        None => Err(fault::no_such_entity(format!(
            "Scope ARN: {arn} does not exist or is not attachable."
        ))),
    }
}
