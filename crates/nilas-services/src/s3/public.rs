//! Who may read without a signature: everybody, what is public.

use serde_json::Value;

use super::acl::{blocked, everybody, is_public, owner_enforced, statements, strings};
use super::error::S3Error;
use super::record::{BucketRecord, ObjectRecord, Setting};

/// Whether anybody at all may read the object: by the bucket's policy, or by the object's ACL.
///
/// Only statements for everybody without a condition are understood; one that denies and is not understood denies.
pub(crate) fn may_read(
    bucket: &BucketRecord,
    name: &str,
    key: &str,
    object: Option<&ObjectRecord>,
) -> Result<bool, S3Error> {
    let blocked = blocked(bucket)?;
    let acl = object.and_then(|object| object.attributes.acl.as_deref());
    let by_acl = acl.is_some_and(|acl| acl.starts_with("public-read"))
        && blocked.ignore_public_acls != Some(true)
        && !owner_enforced(bucket)?;
    let Some(policy) = bucket.settings.get(&Setting::Policy) else { return Ok(by_acl) };
    let policy: Value = serde_json::from_str(policy)?;
    let resource = format!("arn:aws:s3:::{name}/{key}");
    let concerns = |statement: &Value| {
        let actions = strings(&statement["Action"]);
        let action = |pattern: &&str| matches(&pattern.to_ascii_lowercase(), "s3:getobject");
        let resources = strings(&statement["Resource"]);
        actions.iter().any(action) && resources.iter().any(|pattern| matches(pattern, &resource))
    };
    let denies = |statement: &Value| {
        let plain = statement.get("NotPrincipal").is_none()
            && statement.get("NotAction").is_none()
            && statement.get("NotResource").is_none();
        statement["Effect"] == "Deny" && (!plain || (everybody(statement) && concerns(statement)))
    };
    if statements(&policy).any(denies) {
        return Ok(false);
    }
    let by_policy = blocked.restrict_public_buckets != Some(true)
        && statements(&policy).any(|statement| is_public(statement) && concerns(statement));
    Ok(by_acl || by_policy)
}

/// `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut place) = (0, 0);
    let mut star = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                at = behind + 1;
                place = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::record::Versioning;
    use super::super::settings;
    use super::*;

    #[test]
    fn patterns_match_as_policies_mean_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b*", "abab", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/k/l", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::c/k", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn only_what_is_public_is_read_unsigned() {
        let allow = |more: &str| {
            format!(
                r#"{{"Statement":[{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/open/*"}}{more}]}}"#
            )
        };
        let deny = r#",{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/open/not/*"}"#;
        let odd = r#",{"Effect":"Deny","NotPrincipal":{"AWS":"x"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"}"#;
        let open = settings::xml(&settings::none_blocked()).unwrap();
        for (policy, unblocked, key, expected) in [
            (allow(""), true, "open/k", true),
            (allow(""), true, "k", false),
            (allow(""), false, "open/k", false),
            (allow(deny), true, "open/k", true),
            (allow(deny), true, "open/not/k", false),
            (allow(odd), true, "open/k", false),
        ] {
            let mut settings = BTreeMap::from([(Setting::Policy, policy.clone())]);
            if unblocked {
                settings.insert(Setting::PublicAccessBlock, open.clone());
            }
            let bucket = BucketRecord {
                account: "0".to_owned(),
                region: "r".to_owned(),
                created_ms: 0,
                versioning: Versioning::Never,
                settings,
            };
            let found = may_read(&bucket, "b", key, None).unwrap();
            assert_eq!(found, expected, "{policy} {unblocked} {key}");
        }
    }
}
