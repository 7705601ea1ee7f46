//! Versions of managed policies.

use nilas_model::limits::IAM_POLICY_VERSIONS_MAX;
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::page::Page;
use super::policy::given_document;
use super::record::{Policy, PolicyVersion};
use super::role::required;
use super::{Answer, Cx, answer, fault};

pub(super) async fn create(cx: Cx<'_>, form: &Form) -> Answer {
    let document = given_document(form)?;
    let as_default = form.get("SetAsDefault") == Some("true");
    let _writing = cx.shelf.writing().await;
    let mut policy = cx.own_policy(required(form, "PolicyArn")?).await?;
    if policy.versions.len() >= IAM_POLICY_VERSIONS_MAX {
        return Err(fault::limit_exceeded(
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
        ));
    }
    let number = policy.next_version;
    let version = PolicyVersion { number, document, created_epoch_ms: cx.now_ms };
    policy.versions.push(version.clone());
    policy.next_version += 1;
    policy.updated_epoch_ms = cx.now_ms;
    if as_default {
        policy.default_version = number;
    }
    cx.put_policy(&policy).await?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| answer::version(xml, &policy, &version, false));
    Ok(Some(xml))
}

pub(super) async fn get(cx: Cx<'_>, form: &Form) -> Answer {
    let policy = cx.policy(required(form, "PolicyArn")?).await?;
    let version = find(&policy, required(form, "VersionId")?)?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| answer::version(xml, &policy, version, true));
    Ok(Some(xml))
}

/// The newest first.
pub(super) async fn list(cx: Cx<'_>, form: &Form) -> Answer {
    let policy = cx.policy(required(form, "PolicyArn")?).await?;
    let versions: Vec<&PolicyVersion> = policy.versions.iter().rev().collect();
    let page = Page::of(form, versions, |version| format!("{:010}", u32::MAX - version.number))?;
    let mut xml = Xml::new();
    xml.members("Versions", &page.items, |xml, version| {
        answer::version(xml, &policy, version, false);
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

pub(super) async fn set_default(cx: Cx<'_>, form: &Form) -> Answer {
    let _writing = cx.shelf.writing().await;
    let mut policy = cx.own_policy(required(form, "PolicyArn")?).await?;
    policy.default_version = find(&policy, required(form, "VersionId")?)?.number;
    policy.updated_epoch_ms = cx.now_ms;
    cx.put_policy(&policy).await?;
    Ok(None)
}

pub(super) async fn delete(cx: Cx<'_>, form: &Form) -> Answer {
    let _writing = cx.shelf.writing().await;
    let mut policy = cx.own_policy(required(form, "PolicyArn")?).await?;
    let number = find(&policy, required(form, "VersionId")?)?.number;
    if number == policy.default_version {
        return Err(fault::delete_conflict("Cannot delete the default version of a policy."));
    }
    policy.versions.retain(|version| version.number != number);
    policy.updated_epoch_ms = cx.now_ms;
    cx.put_policy(&policy).await?;
    Ok(None)
}

/// The version that `id`, as `v2`, names.
fn find<'a>(policy: &'a Policy, id: &str) -> Result<&'a PolicyVersion, Fault> {
    let number = id.strip_prefix('v').and_then(|number| number.parse().ok());
    let version = number.and_then(|number| policy.version(number));
    version.ok_or_else(|| {
        let message =
            format!("Policy {} version {id} does not exist or is not attachable.", policy.arn);
        fault::no_such_entity(message)
    })
}
