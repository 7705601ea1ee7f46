//! Managed policies: made, read, deleted.

use nilas_model::limits::{IAM_POLICIES_MAX, IAM_POLICY_CHARS_MAX};
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::page::Page;
use super::record::{Policy, PolicyVersion, Role, policy_key, unique_id};
use super::role::{description, name, path, required};
use super::{Answer, Cx, answer, document, fault, managed, tags};

const NAME_CHARS_MAX: usize = 128;

pub(super) async fn create(cx: Cx<'_>, form: &Form) -> Answer {
    let name = name(form, "PolicyName", NAME_CHARS_MAX)?.to_owned();
    let (path, document) = (path(form)?, given_document(form)?);
    let version = PolicyVersion { number: 1, document, created_epoch_ms: cx.now_ms };
    let new = Policy {
        arn: format!("arn:aws:iam::{}:policy{path}{name}", cx.account),
        id: unique_id("ANPA"),
        path,
        created_epoch_ms: cx.now_ms,
        updated_epoch_ms: cx.now_ms,
        description: description(form)?,
        tags: tags::given(form)?,
        default_version: 1,
        next_version: 2,
        versions: vec![version],
        name,
    };
    let _writing = cx.shelf.writing().await;
    if cx.shelf.get::<Policy>(&policy_key(cx.account, &new.name)).await?.is_some() {
        let message = format!(
            "A policy called {} already exists. Duplicate names are not allowed.",
            new.name
        );
        return Err(fault::already_exists(message));
    }
    if own(cx).await?.len() >= IAM_POLICIES_MAX {
        let message = format!("Cannot exceed quota for PoliciesPerAccount: {IAM_POLICIES_MAX}");
        return Err(fault::limit_exceeded(message));
    }
    cx.put_policy(&new).await?;
    Ok(Some(in_full(&new, 0)))
}

pub(super) async fn get(cx: Cx<'_>, form: &Form) -> Answer {
    let policy = cx.policy(required(form, "PolicyArn")?).await?;
    let attachments = attachments(cx, &policy.arn).await?;
    Ok(Some(in_full(&policy, attachments)))
}

pub(super) async fn list(cx: Cx<'_>, form: &Form) -> Answer {
    let mut policies = match form.get("Scope").unwrap_or("All") {
        "All" => [own(cx).await?, managed::all().to_vec()].concat(),
        "AWS" => managed::all().to_vec(),
        "Local" => own(cx).await?,
        scope => {
            let constraint = "satisfy enum value set: [All, AWS, Local]";
            return Err(fault::constraint("Scope", scope, constraint));
        }
    };
    let prefix = form.get("PathPrefix").unwrap_or("/");
    policies.retain(|policy| policy.path.starts_with(prefix));
    let roles = cx.roles().await?;
    let count = |arn: &str| {
        roles.iter().filter(|role| role.attached_policies.iter().any(|known| known == arn)).count()
    };
    if form.get("OnlyAttached") == Some("true") {
        policies.retain(|policy| count(&policy.arn) > 0);
    }
    policies.sort_by(|a, b| a.arn.cmp(&b.arn));
    let page = Page::of(form, policies, |policy| policy.arn.clone())?;
    let mut xml = Xml::new();
    xml.members("Policies", &page.items, |xml, policy| {
        answer::policy(xml, policy, count(&policy.arn), false);
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

pub(super) async fn delete(cx: Cx<'_>, form: &Form) -> Answer {
    let _writing = cx.shelf.writing().await;
    let policy = cx.own_policy(required(form, "PolicyArn")?).await?;
    if attachments(cx, &policy.arn).await? > 0 {
        return Err(fault::delete_conflict("Cannot delete a policy attached to entities."));
    }
    if policy.versions.len() > 1 {
        return Err(fault::delete_conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
        ));
    }
    cx.shelf.delete(&policy_key(cx.account, &policy.name)).await?;
    Ok(None)
}

pub(super) fn given_document(form: &Form) -> Result<String, Fault> {
    let text = required(form, "PolicyDocument")?;
    document::check_permissions(text)?;
    if text.chars().filter(|c| !c.is_whitespace()).count() > IAM_POLICY_CHARS_MAX {
        let message = format!("Cannot exceed quota for PolicySize: {IAM_POLICY_CHARS_MAX}");
        return Err(fault::limit_exceeded(message));
    }
    Ok(text.to_owned())
}

async fn own(cx: Cx<'_>) -> Result<Vec<Policy>, Fault> {
    let policies = cx.shelf.list(&policy_key(cx.account, ""), usize::MAX).await?;
    Ok(policies.into_iter().map(|(_, policy)| policy).collect())
}

async fn attachments(cx: Cx<'_>, arn: &str) -> Result<usize, Fault> {
    let roles = cx.roles().await?;
    let has = |role: &&Role| role.attached_policies.iter().any(|known| known == arn);
    Ok(roles.iter().filter(has).count())
}

fn in_full(policy: &Policy, attachments: usize) -> Xml {
    let mut xml = Xml::new();
    xml.element("Policy", |xml| answer::policy(xml, policy, attachments, true));
    xml
}
