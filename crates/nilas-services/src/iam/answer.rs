//! IAM's shapes as XML.

use nilas_wire::percent;
use nilas_wire::xml::Xml;

use super::record::{Policy, PolicyVersion, Role, role_arn};

/// `2025-01-31T12:00:00Z`
pub(super) fn date(epoch_ms: u64) -> String {
    let seconds = i64::try_from(epoch_ms / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |date| date.to_string())
}

/// The inside of a `Role`. Lists show it without tags and boundary, as AWS's do.
pub(super) fn role(xml: &mut Xml, account: &str, role: &Role, in_full: bool) {
    xml.text("Path", &role.path);
    xml.text("RoleName", &role.name);
    xml.text("RoleId", &role.id);
    xml.text("Arn", &role_arn(account, role));
    xml.text("CreateDate", &date(role.created_epoch_ms));
    xml.text("AssumeRolePolicyDocument", &percent::encode(&role.trust_policy));
    xml.optional("Description", role.description.as_deref());
    xml.text("MaxSessionDuration", &role.session_seconds_max.to_string());
    if !in_full {
        return;
    }
    if let Some(boundary) = &role.boundary {
        xml.element("PermissionsBoundary", |xml| {
            xml.text("PermissionsBoundaryType", "Policy");
            xml.text("PermissionsBoundaryArn", boundary);
        });
    }
    if !role.tags.is_empty() {
        tags(xml, &role.tags);
    }
    xml.element("RoleLastUsed", |_| {});
}

pub(super) fn tags<'a>(xml: &mut Xml, tags: impl IntoIterator<Item = &'a (String, String)>) {
    xml.members("Tags", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

/// The inside of a `Policy`.
pub(super) fn policy(xml: &mut Xml, policy: &Policy, attachments: usize, in_full: bool) {
    xml.text("PolicyName", &policy.name);
    xml.text("PolicyId", &policy.id);
    xml.text("Arn", &policy.arn);
    xml.text("Path", &policy.path);
    xml.text("DefaultVersionId", &format!("v{}", policy.default_version));
    xml.text("AttachmentCount", &attachments.to_string());
    xml.text("PermissionsBoundaryUsageCount", "0");
    xml.text("IsAttachable", "true");
    xml.text("CreateDate", &date(policy.created_epoch_ms));
    xml.text("UpdateDate", &date(policy.updated_epoch_ms));
    if in_full {
        xml.optional("Description", policy.description.as_deref());
        if !policy.tags.is_empty() {
            tags(xml, &policy.tags);
        }
    }
}

/// The inside of a `PolicyVersion`.
pub(super) fn version(xml: &mut Xml, policy: &Policy, version: &PolicyVersion, in_full: bool) {
    if in_full {
        xml.text("Document", &percent::encode(&version.document));
    }
    xml.text("VersionId", &format!("v{}", version.number));
    let is_default = version.number == policy.default_version;
    xml.text("IsDefaultVersion", if is_default { "true" } else { "false" });
    xml.text("CreateDate", &date(version.created_epoch_ms));
}

pub(super) fn root_user(account: &str) -> Xml {
    let mut xml = Xml::new();
    xml.element("User", |xml| {
        xml.text("UserId", account);
        xml.text("Arn", &format!("arn:aws:iam::{account}:root"));
        xml.text("CreateDate", &date(0));
    });
    xml
}

pub(super) fn no_aliases() -> Xml {
    let mut xml = Xml::new();
    xml.element("AccountAliases", |_| {});
    xml.text("IsTruncated", "false");
    xml
}
