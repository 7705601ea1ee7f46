//! A mapping as the store keeps it, and the states it goes through.

use std::collections::BTreeMap;

use nilas_model::{AccountId, Region};
use serde::{Deserialize, Serialize};

/// One mapping of an account in a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::lambda) struct MappingId {
    pub(super) account: AccountId,
    pub(super) region: Region,
    pub(super) uuid: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MappingRecord {
    /// The ARN of a function, version or alias.
    pub(super) function_arn: String,
    pub(super) source_arn: String,
    /// What is wanted; `state` may not be there yet.
    pub(super) enabled: bool,
    pub(super) state: State,
    /// Who has caused the state.
    pub(super) initiator: Initiator,
    /// Why this server has disabled the mapping itself.
    #[serde(default)]
    pub(super) problem: Option<String>,
    pub(super) modified_ms: u64,
    pub(super) settings: Settings,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
}

/// What a mapping does, with AWS's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) batch_size: u32,
    pub(super) window_s: u32,
    /// Patterns, one of which must match. None is no filter.
    #[serde(default)]
    pub(super) filters: Option<Vec<String>>,
    #[serde(default)]
    pub(super) kms_key_arn: Option<String>,
    #[serde(default)]
    pub(super) metrics: Option<Vec<String>>,
    #[serde(default)]
    pub(super) log_level: Option<String>,
    #[serde(default)]
    pub(super) concurrency_max: Option<u32>,
    #[serde(default)]
    pub(super) pollers: Option<Pollers>,
    /// Whether the function answers which of a batch's messages have failed.
    #[serde(default)]
    pub(super) reports_failures: bool,
}

/// Provisioned mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pollers {
    pub(super) min: u32,
    pub(super) max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Creating,
    Enabling,
    Enabled,
    Disabling,
    Disabled,
    Updating,
    Deleting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Initiator {
    User,
    Lambda,
}

/// What is to be done with a mapping in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// It is on its way: this is where to.
    Settle(State),
    Poll,
    Rest,
    Delete,
}

impl MappingId {
    pub(super) fn store_key(&self) -> String {
        format!("{}/{}/{}", self.account.as_str(), self.region.as_str(), self.uuid)
    }

    pub(super) fn parse_store_key(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '/');
        let account = AccountId::parse(parts.next()?).ok()?;
        let region = Region::parse(parts.next()?).ok()?;
        Some(Self { account, region, uuid: parts.next()?.to_owned() })
    }

    pub(super) fn arn(&self) -> String {
        let (region, account) = (self.region.as_str(), self.account.as_str());
        format!("arn:aws:lambda:{region}:{account}:event-source-mapping:{}", self.uuid)
    }
}

impl State {
    /// AWS's name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }

    /// Whether it may be changed: not while it is on its way to another.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Enabled | Self::Disabled)
    }

    pub(super) fn duty(self, enabled: bool) -> Duty {
        match self {
            Self::Creating | Self::Enabling | Self::Disabling | Self::Updating if enabled => {
                Duty::Settle(Self::Enabled)
            }
            Self::Creating | Self::Enabling | Self::Disabling | Self::Updating => {
                Duty::Settle(Self::Disabled)
            }
            Self::Enabled => Duty::Poll,
            Self::Disabled => Duty::Rest,
            Self::Deleting => Duty::Delete,
        }
    }

    /// The state in which a change is answered.
    pub(super) fn while_changing(was_enabled: bool, enabled: bool) -> Self {
        match (was_enabled, enabled) {
            (false, true) => Self::Enabling,
            (true, false) => Self::Disabling,
            _ => Self::Updating,
        }
    }
}

impl Initiator {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER_INITIATED",
            Self::Lambda => "LAMBDA_INITIATED",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_size: 10,
            window_s: 0,
            filters: None,
            kms_key_arn: None,
            metrics: None,
            log_level: None,
            concurrency_max: None,
            pollers: None,
            reports_failures: false,
        }
    }
}
