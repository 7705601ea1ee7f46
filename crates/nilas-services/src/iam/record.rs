//! Roles and managed policies as the store holds them.

use std::collections::BTreeMap;

use nilas_wire::Fault;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cx, fault, managed};

/// A role, with its own policies in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AROA…`
    pub(crate) id: String,
    pub(crate) created_epoch_ms: u64,
    /// Who may assume it, as it was given.
    pub(crate) trust_policy: String,
    pub(crate) description: Option<String>,
    pub(crate) session_seconds_max: u32,
    pub(crate) boundary: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    /// Documents by their names.
    pub(crate) inline_policies: BTreeMap<String, String>,
    /// ARNs, in the order of attachment.
    pub(crate) attached_policies: Vec<String>,
}

/// A managed policy of the account, or one of AWS's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) path: String,
    /// `ANPA…`
    pub(crate) id: String,
    pub(crate) created_epoch_ms: u64,
    pub(crate) updated_epoch_ms: u64,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    /// Of the version that holds.
    pub(crate) default_version: u32,
    /// Of the next version: numbers are not used again.
    pub(crate) next_version: u32,
    pub(crate) versions: Vec<PolicyVersion>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub(crate) number: u32,
    pub(crate) document: String,
    pub(crate) created_epoch_ms: u64,
}

// === keys: names differ by more than case ===

pub(super) fn role_key(account: &str, name: &str) -> String {
    format!("{account}/role/{}", name.to_ascii_lowercase())
}

pub(super) fn policy_key(account: &str, name: &str) -> String {
    format!("{account}/policy/{}", name.to_ascii_lowercase())
}

pub(crate) fn role_arn(account: &str, role: &Role) -> String {
    format!("arn:aws:iam::{account}:role{}{}", role.path, role.name)
}

/// `prefix` and 17 characters of AWS's alphabet.
pub(super) fn unique_id(prefix: &str) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random = Uuid::new_v4();
    let more = Uuid::new_v4();
    let bytes = random.as_bytes().iter().chain(more.as_bytes()).take(17);
    let digits = bytes.map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    format!("{prefix}{}", digits.collect::<String>())
}

// === impl Policy ===

impl Policy {
    pub(crate) fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

// === impl Cx ===

impl Cx<'_> {
    pub(super) async fn role(&self, name: &str) -> Result<Role, Fault> {
        let role = self.shelf.get(&role_key(self.account, name)).await?;
        role.ok_or_else(|| fault::no_such_role(name))
    }

    pub(super) async fn put_role(&self, role: &Role) -> Result<(), Fault> {
        self.shelf.put(&role_key(self.account, &role.name), role).await
    }

    pub(super) async fn roles(&self) -> Result<Vec<Role>, Fault> {
        let prefix = role_key(self.account, "");
        let roles = self.shelf.list(&prefix, usize::MAX).await?;
        Ok(roles.into_iter().map(|(_, role)| role).collect())
    }

    /// One of AWS's, or of the account's; None if there is none with that ARN.
    pub(super) async fn find_policy(&self, arn: &str) -> Result<Option<Policy>, Fault> {
        if let Some(policy) = managed::find(arn) {
            return Ok(Some(policy));
        }
        let own = format!("arn:aws:iam::{}:policy/", self.account);
        let Some(rest) = arn.strip_prefix(&own) else { return Ok(None) };
        let name = rest.rsplit('/').next().unwrap_or(rest);
        let policy: Option<Policy> = self.shelf.get(&policy_key(self.account, name)).await?;
        Ok(policy.filter(|policy| policy.arn == arn))
    }

    pub(super) async fn policy(&self, arn: &str) -> Result<Policy, Fault> {
        self.find_policy(arn).await?.ok_or_else(|| fault::no_such_policy(arn))
    }

    /// One that the account may change.
    pub(super) async fn own_policy(&self, arn: &str) -> Result<Policy, Fault> {
        if arn.starts_with(managed::ARN_PREFIX) {
            let message = "Cannot modify an AWS managed policy.";
            return Err(Fault::plain("AccessDenied", 403, message));
        }
        self.policy(arn).await
    }

    pub(super) async fn put_policy(&self, policy: &Policy) -> Result<(), Fault> {
        self.shelf.put(&policy_key(self.account, &policy.name), policy).await
    }
}
