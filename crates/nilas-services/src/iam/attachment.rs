//! Managed policies on roles.

use nilas_model::limits::IAM_ATTACHED_POLICIES_MAX;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::page::Page;
use super::role::{change, required};
use super::{Answer, Cx, fault};

pub(super) async fn attach(cx: Cx<'_>, form: &Form) -> Answer {
    let arn = required(form, "PolicyArn")?;
    if !arn.starts_with("arn:aws") {
        return Err(fault::validation(format!("ARN {arn} is not valid.")));
    }
    let name = required(form, "RoleName")?;
    let _writing = cx.shelf.writing().await;
    let mut role = cx.role(name).await?;
    if cx.find_policy(arn).await?.is_none() {
        let message = format!("Policy {arn} does not exist or is not attachable.");
        return Err(fault::no_such_entity(message));
    }
    if role.attached_policies.iter().any(|known| known == arn) {
        return Ok(None);
    }
    if role.attached_policies.len() >= IAM_ATTACHED_POLICIES_MAX {
        let message =
            format!("Cannot exceed quota for PoliciesPerRole: {IAM_ATTACHED_POLICIES_MAX}");
        return Err(fault::limit_exceeded(message));
    }
    role.attached_policies.push(arn.to_owned());
    cx.put_role(&role).await?;
    Ok(None)
}

pub(super) async fn detach(cx: Cx<'_>, form: &Form) -> Answer {
    let arn = required(form, "PolicyArn")?;
    change(cx, form, |role| {
        let before = role.attached_policies.len();
        role.attached_policies.retain(|known| known != arn);
        if role.attached_policies.len() == before {
            return Err(fault::no_such_policy(arn));
        }
        Ok(())
    })
    .await?;
    Ok(None)
}

pub(super) async fn list(cx: Cx<'_>, form: &Form) -> Answer {
    let role = cx.role(required(form, "RoleName")?).await?;
    let prefix = form.get("PathPrefix").unwrap_or("/");
    let mut attached = role.attached_policies;
    attached.retain(|arn| arn.split_once(":policy").is_some_and(|(_, p)| p.starts_with(prefix)));
    attached.sort();
    let page = Page::of(form, attached, Clone::clone)?;
    let mut xml = Xml::new();
    xml.members("AttachedPolicies", &page.items, |xml, arn| {
        xml.text("PolicyName", arn.rsplit('/').next().unwrap_or(arn));
        xml.text("PolicyArn", arn);
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

/// Roles are the only entities there are.
pub(super) async fn entities(cx: Cx<'_>, form: &Form) -> Answer {
    let arn = required(form, "PolicyArn")?;
    cx.policy(arn).await?;
    let mut roles = cx.roles().await?;
    roles.retain(|role| role.attached_policies.iter().any(|known| known == arn));
    if !matches!(form.get("EntityFilter"), None | Some("Role")) {
        roles.clear();
    }
    let page = Page::of(form, roles, |role| role.name.to_ascii_lowercase())?;
    let mut xml = Xml::new();
    xml.element("PolicyGroups", |_| {});
    xml.element("PolicyUsers", |_| {});
    xml.members("PolicyRoles", &page.items, |xml, role| {
        xml.text("RoleName", &role.name);
        xml.text("RoleId", &role.id);
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}
