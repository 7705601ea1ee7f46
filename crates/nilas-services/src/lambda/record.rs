//! A function as the store keeps it: one record a function, one a published version.
//!
//! The serde shapes here are the store's format, read back by later versions; wire shapes are in `configuration.rs`.

use std::collections::BTreeMap;

use nilas_model::{AccountId, FunctionId, FunctionName, LogFormat, LogLevel, Region, Version};
use nilas_store::BlobHash;
use serde::{Deserialize, Serialize};

use super::policy::PolicyRecord;

/// `ACCOUNT/REGION/NAME`
pub(crate) fn store_key(id: &FunctionId) -> String {
    format!("{}/{}/{}", id.account.as_str(), id.region.as_str(), id.name.as_str())
}

pub(crate) fn parse_store_key(key: &str) -> Option<FunctionId> {
    let mut parts = key.splitn(3, '/');
    let account = AccountId::parse(parts.next()?).ok()?;
    let region = Region::parse(parts.next()?).ok()?;
    let name = FunctionName::parse(parts.next()?).ok()?;
    Some(FunctionId { account, region, name })
}

/// The record of a function. It is written after its versions' records, so it alone says which versions exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    pub latest: VersionRecord,
    /// Ascending.
    pub published: Vec<u64>,
    /// Numbers are never used again, even after deletion.
    pub last_version: u64,
    pub tags: BTreeMap<String, String>,
    /// By name. Absent, like what follows, from records that were written before there were any.
    #[serde(default)]
    pub aliases: BTreeMap<String, AliasRecord>,
    #[serde(default)]
    pub reserved_concurrency: Option<u32>,
    /// Provisioned concurrency by qualifier: an alias's name, or a version's number.
    #[serde(default)]
    pub provisioned: BTreeMap<String, ProvisionedRecord>,
    /// Resource policies by qualifier; the function's own is at the empty one.
    #[serde(default)]
    pub policies: BTreeMap<String, PolicyRecord>,
    /// URLs by alias; the function's own is at the empty name. One stays when its alias is deleted.
    #[serde(default)]
    pub urls: BTreeMap<String, UrlRecord>,
    /// How events are handled, by qualifier.
    #[serde(default)]
    pub event_invokes: BTreeMap<String, EventInvokeRecord>,
    /// `RecursiveLoop` is `Allow`, not `Terminate`.
    #[serde(default)]
    pub recursion_allowed: bool,
}

/// A function URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UrlRecord {
    /// The first label of its host name, unique on the server.
    pub id: String,
    pub auth: UrlAuth,
    pub cors: Option<UrlCors>,
    /// Whether a request ever named a mode: AWS shows it only then.
    pub has_invoke_mode: bool,
    /// Invoke mode `RESPONSE_STREAM`.
    #[serde(default)]
    pub streams: bool,
    pub created_ms: u64,
    pub modified_ms: u64,
}

/// What a request left out is None.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct EventInvokeRecord {
    pub retries_max: Option<u32>,
    pub age_s_max: Option<u32>,
    /// ARNs.
    pub on_success: Option<String>,
    pub on_failure: Option<String>,
    pub modified_ms: u64,
}

/// Who may call a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UrlAuth {
    /// Anybody whom the function's policy allows.
    None,
    Iam,
}

/// Members that a request left out are None.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct UrlCors {
    pub allow_credentials: Option<bool>,
    pub allow_headers: Option<Vec<String>>,
    pub allow_methods: Option<Vec<String>>,
    pub allow_origins: Option<Vec<String>>,
    pub expose_headers: Option<Vec<String>>,
    pub max_age_s: Option<u32>,
}

/// Environments to keep initialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProvisionedRecord {
    /// At least one.
    pub count: u32,
    pub modified_ms: u64,
}

impl FunctionRecord {
    pub(crate) fn new(latest: VersionRecord, tags: BTreeMap<String, String>) -> Self {
        Self {
            latest,
            published: Vec::new(),
            last_version: 0,
            tags,
            aliases: BTreeMap::new(),
            reserved_concurrency: None,
            provisioned: BTreeMap::new(),
            policies: BTreeMap::new(),
            urls: BTreeMap::new(),
            event_invokes: BTreeMap::new(),
            recursion_allowed: false,
        }
    }

    /// Which versions have how many of the environments provisioned for a qualifier.
    pub(crate) fn provisioned_parts(&self, qualifier: &str, count: u32) -> Vec<(u64, u32)> {
        match self.aliases.get(qualifier) {
            Some(alias) => alias.parts(count),
            None => qualifier.parse().ok().map(|number| (number, count)).into_iter().collect(),
        }
    }
}

/// An alias: a name for a version, or for two that share its invocations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AliasRecord {
    /// None is `$LATEST`.
    pub published: Option<u64>,
    pub description: String,
    pub revision_id: String,
    pub additional: Option<AdditionalVersion>,
}

/// The second version of an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdditionalVersion {
    pub number: u64,
    /// Its part of the invocations, 0 to 1.
    pub weight: f64,
}

impl AliasRecord {
    pub(crate) fn version(&self) -> Version {
        self.published.map_or(Version::Latest, Version::Published)
    }

    /// The version that runs an invocation; `draw` is uniform in 0..1.
    pub(crate) fn route(&self, draw: f64) -> Version {
        match &self.additional {
            Some(additional) if draw < additional.weight => Version::Published(additional.number),
            _ => self.version(),
        }
    }

    /// Divides what is provisioned between its versions, as invocations are divided.
    pub(crate) fn parts(&self, count: u32) -> Vec<(u64, u32)> {
        let second = self.additional.as_ref().map(|additional| {
            // The weight is from 0 to 1.
            (additional.number, (f64::from(count) * additional.weight).round() as u32)
        });
        let rest = count.saturating_sub(second.map_or(0, |(_, part)| part));
        let first = self.published.map(|number| (number, rest));
        first.into_iter().chain(second).filter(|(_, part)| *part > 0).collect()
    }

    /// Whether any invocation can run this version.
    pub(crate) fn names(&self, number: u64) -> bool {
        let additional = self.additional.as_ref().map(|additional| additional.number);
        self.published == Some(number) || additional == Some(number)
    }
}

/// One version: `$LATEST` inside its function's record, a published one in its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    pub settings: Settings,
    pub code: Code,
    pub revision_id: String,
    pub modified_ms: u64,
    pub state: State,
    /// Of a published version: what `$LATEST` was described as, to tell whether it has changed since.
    pub published_from: Option<String>,
}

impl VersionRecord {
    /// What it is unpacked from: its package and its layers.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Code> {
        let layers = self.settings.layers.iter().map(|layer| &layer.code);
        std::iter::once(&self.code).chain(layers)
    }

    /// Whether publishing this `$LATEST` would make a version like `published`.
    pub(crate) fn same_as_published(&self, published: &Self) -> bool {
        let description = published.published_from.as_ref();
        let as_was = Settings {
            description: description.cloned().unwrap_or_default(),
            ..published.settings.clone()
        };
        self.code == published.code && self.settings == as_was
    }
}

/// The package of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Code {
    /// Hexadecimal; also the name of the blob and of the unpacked directory.
    pub sha256: String,
    pub bytes: u64,
    /// Zero in records that were written before there were layers.
    #[serde(default)]
    pub unzipped_bytes: u64,
}

impl Code {
    pub(crate) fn blob(&self) -> Option<BlobHash> {
        BlobHash::parse(&self.sha256)
    }
}

/// Where a version is in its life; see "Lambda function states".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// Created, package not yet unpacked, or with SnapStart no snapshot made yet.
    Pending,
    Active,
    /// An update of `$LATEST` was accepted; the version before it serves until the package is there.
    Updating,
    /// The package could not be unpacked.
    Failed,
    /// The init of a version with SnapStart failed, which is for good.
    InitFailed,
    /// This machine could not make the snapshot of a version with SnapStart.
    SnapshotFailed,
}

impl State {
    pub(crate) fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Updating)
    }
}

/// The configuration of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub role: String,
    /// None for custom runtimes that were made without one.
    pub handler: Option<String>,
    pub runtime: String,
    pub description: String,
    pub timeout_s: u32,
    pub memory_mib: u32,
    pub ephemeral_mib: u32,
    /// None when the request had no map, which AWS tells from an empty one.
    pub environment: Option<BTreeMap<String, String>>,
    pub dead_letter_target: Option<String>,
    pub kms_key_arn: Option<String>,
    pub tracing_active: bool,
    pub architecture: Architecture,
    pub snap_start: bool,
    /// There is no network to join, but a configuration once given stays visible, emptied.
    pub vpc: Option<Vpc>,
    pub logging: Logging,
    /// A later one lies over an earlier one.
    #[serde(default)]
    pub layers: Vec<LayerRecord>,
}

/// A layer version as a function has it: whole, so that it stays when the version is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Of the version.
    pub arn: String,
    pub code: Code,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Architecture {
    X86_64,
    Arm64,
}

impl Architecture {
    pub(crate) const NAMES: [&str; 2] = ["x86_64", "arm64"];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::X86_64, Self::Arm64].into_iter().find(|architecture| architecture.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vpc {
    pub ipv6_allowed_for_dual_stack: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logging {
    pub group: String,
    /// Levels exist only in JSON format.
    pub json: Option<JsonLogging>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JsonLogging {
    /// AWS's spelling, checked when it came in.
    pub application_level: String,
    pub system_level: String,
}

impl Logging {
    pub(crate) fn for_snapshot(&self) -> nilas_model::LoggingConfig {
        let level = |text: &String| LogLevel::parse(text);
        nilas_model::LoggingConfig {
            group: self.group.clone(),
            format: if self.json.is_some() { LogFormat::Json } else { LogFormat::Text },
            application_level: self.json.as_ref().and_then(|json| level(&json.application_level)),
            system_level: self.json.as_ref().and_then(|json| level(&json.system_level)),
        }
    }
}
