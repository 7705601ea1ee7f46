//! AWS's own managed policies: those that functions and deploy tools name, with AWS's documents.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::record::{Policy, PolicyVersion};

pub(super) const ARN_PREFIX: &str = "arn:aws:iam::aws:policy/";

/// As AWS publishes them.
const POLICIES: &str = include_str!("managed/policies.json");

#[derive(Debug, Deserialize)]
struct Published {
    name: String,
    path: String,
    /// `2015-02-06T18:40:58Z`
    created: String,
    updated: String,
    /// `v3`
    version: String,
    document: Box<RawValue>,
}

/// All of them, in the order of their names.
pub(super) fn all() -> &'static [Policy] {
    static ALL: OnceLock<Vec<Policy>> = OnceLock::new();
    ALL.get_or_init(|| {
        let published: Vec<Published> =
            serde_json::from_str(POLICIES).expect("the tests read the same text");
        published.into_iter().map(policy).collect()
    })
}

pub(super) fn find(arn: &str) -> Option<Policy> {
    arn.strip_prefix(ARN_PREFIX)?;
    all().iter().find(|policy| policy.arn == arn).cloned()
}

fn policy(published: Published) -> Policy {
    let Published { name, path, created, updated, version, document } = published;
    let number = version.trim_start_matches('v').parse().unwrap_or(1);
    let updated_epoch_ms = epoch_ms(&updated);
    let document = document.get().to_owned();
    let versions = vec![PolicyVersion { number, document, created_epoch_ms: updated_epoch_ms }];
    Policy {
        arn: format!("arn:aws:iam::aws:policy{path}{name}"),
        id: id_of(&name),
        path,
        name,
        created_epoch_ms: epoch_ms(&created),
        updated_epoch_ms,
        description: None,
        tags: Vec::new(),
        default_version: number,
        next_version: number + 1,
        versions,
    }
}

fn epoch_ms(date: &str) -> u64 {
    let date: Option<jiff::Timestamp> = date.parse().ok();
    date.and_then(|date| u64::try_from(date.as_millisecond()).ok()).unwrap_or_default()
}

/// The same for one name, always.
fn id_of(name: &str) -> String {
    use sha2::{Digest, Sha256};
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(name);
    let digits = digest.iter().take(17).map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    format!("ANPA{}", digits.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::document;

    #[test]
    fn every_document_is_one_that_we_take() {
        for policy in all() {
            let version = policy.version(policy.default_version).unwrap();
            assert_eq!(document::check_permissions(&version.document), Ok(()), "{}", policy.arn);
        }
        let basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
        assert_eq!(find(basic).unwrap().name, "AWSLambdaBasicExecutionRole");
    }
}
