//! The wire shape `FunctionConfiguration`, which most operations answer with.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::{FunctionArn, FunctionId, Version};
use nilas_wire::sigv4::hex;
use nilas_wire::time;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::functions::Function;
use super::record::{LayerRecord, Logging, State, VersionRecord};
use super::snap_start;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionConfiguration<'a> {
    function_name: &'a str,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<&'a str>,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    handler: Option<&'a str>,
    code_size: u64,
    description: &'a str,
    timeout: u32,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_config: Option<VpcConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_config: Option<DeadLetterConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment<'a>>,
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
    tracing_config: TracingConfig,
    revision_id: &'a str,
    #[serde(flatten)]
    status: Option<Status>,
    package_type: &'static str,
    architectures: [&'static str; 1],
    ephemeral_storage: EphemeralStorage,
    snap_start: SnapStart,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version_config: Option<RuntimeVersionConfig>,
    logging_config: LoggingConfig<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Layer<'a> {
    arn: &'a str,
    code_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VpcConfig {
    subnet_ids: [&'static str; 0],
    security_group_ids: [&'static str; 0],
    vpc_id: &'static str,
    ipv6_allowed_for_dual_stack: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig<'a> {
    target_arn: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Environment<'a> {
    variables: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TracingConfig {
    mode: &'static str,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason_code: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    size: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapStart {
    apply_on: &'static str,
    optimization_status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RuntimeVersionConfig {
    runtime_version_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoggingConfig<'a> {
    log_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_log_level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_log_level: Option<&'a str>,
    log_group: &'a str,
}

impl<'a> FunctionConfiguration<'a> {
    /// `arn` is the function's own or carries a qualifier, as the operation has it.
    pub(crate) fn new(
        id: &'a FunctionId,
        version: Version,
        record: &'a VersionRecord,
        arn: &FunctionArn,
    ) -> Self {
        let VersionRecord { settings, code, .. } = record;
        let runtime_arn = format!(
            "arn:aws:lambda:{}::runtime:{}",
            id.region.as_str(),
            hex(&Sha256::digest(&settings.runtime))
        );
        Self {
            function_name: id.name.as_str(),
            function_arn: arn.to_string(),
            runtime: Some(&settings.runtime),
            role: &settings.role,
            handler: settings.handler.as_deref(),
            code_size: code.bytes,
            description: &settings.description,
            timeout: settings.timeout_s,
            memory_size: settings.memory_mib,
            last_modified: time::last_modified(record.modified_ms),
            code_sha256: code_sha256(&code.sha256),
            version: version.to_string(),
            vpc_config: settings.vpc.map(|vpc| VpcConfig {
                subnet_ids: [],
                security_group_ids: [],
                vpc_id: "",
                ipv6_allowed_for_dual_stack: vpc.ipv6_allowed_for_dual_stack,
            }),
            dead_letter_config: settings
                .dead_letter_target
                .as_deref()
                .map(|target_arn| DeadLetterConfig { target_arn }),
            environment: settings.environment.as_ref().map(|variables| Environment { variables }),
            kms_key_arn: settings.kms_key_arn.as_deref(),
            tracing_config: TracingConfig {
                mode: if settings.tracing_active { "Active" } else { "PassThrough" },
            },
            revision_id: &record.revision_id,
            status: Some(status(record.state)),
            package_type: "Zip",
            architectures: [settings.architecture.as_str()],
            ephemeral_storage: EphemeralStorage { size: settings.ephemeral_mib },
            snap_start: SnapStart {
                apply_on: if settings.snap_start { "PublishedVersions" } else { "None" },
                optimization_status: snap_start::optimization_status(version, record),
            },
            runtime_version_config: Some(RuntimeVersionConfig { runtime_version_arn: runtime_arn }),
            logging_config: logging(&settings.logging),
            layers: settings.layers.iter().map(Layer::new).collect(),
        }
    }

    /// `$LATEST` without a qualifier in its ARN, a published version with its own: most answers.
    pub(crate) fn of(function: &'a Function, version: Version, record: &'a VersionRecord) -> Self {
        let arn = match version {
            Version::Latest => function.id.arn(None),
            Version::Published(_) => function.id.version_arn(version),
        };
        Self::new(&function.id, version, record, &arn)
    }

    /// Lists tell neither states nor runtime versions.
    pub(crate) fn in_list(self) -> Self {
        Self { status: None, runtime_version_config: None, ..self }
    }
}

impl<'a> Layer<'a> {
    fn new(record: &'a LayerRecord) -> Self {
        Self { arn: &record.arn, code_size: record.code.bytes }
    }
}

/// Hexadecimal to the base64 that AWS shows.
pub(crate) fn code_sha256(hex: &str) -> String {
    let digit = |at: usize| {
        u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16).unwrap_or_default()
    };
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    BASE64.encode(bytes)
}

/// See "Lambda function states" and the recordings: the reasons of a creation are those of an update too.
fn status(state: State) -> Status {
    const CREATING: Option<&str> = Some("The function is being created.");
    match state {
        State::Pending => Status {
            state: "Pending",
            state_reason: CREATING,
            state_reason_code: Some("Creating"),
            ..Status::default()
        },
        State::Active => {
            Status { state: "Active", last_update_status: Some("Successful"), ..Status::default() }
        }
        State::Updating => Status {
            state: "Active",
            last_update_status: Some("InProgress"),
            last_update_status_reason: CREATING,
            last_update_status_reason_code: Some("Creating"),
            ..Status::default()
        },
        State::Failed => Status {
            state: "Failed",
            state_reason: Some("The deployment package could not be unpacked."),
            state_reason_code: Some("InternalError"),
            last_update_status: Some("Failed"),
            ..Status::default()
        },
        State::InitFailed => {
            failed("An error occurred during function initialization.", "FunctionError")
        }
        State::SnapshotFailed => {
            failed("Lambda was unable to create a new snapshot.", "InternalError")
        }
    }
}

/// Of a version that was published, where the reason is that of the last update too.
fn failed(reason: &'static str, code: &'static str) -> Status {
    Status {
        state: "Failed",
        state_reason: Some(reason),
        state_reason_code: Some(code),
        last_update_status: Some("Failed"),
        last_update_status_reason: Some(reason),
        last_update_status_reason_code: Some(code),
    }
}

fn logging(logging: &Logging) -> LoggingConfig<'_> {
    let json = logging.json.as_ref();
    LoggingConfig {
        log_format: if json.is_some() { "JSON" } else { "Text" },
        application_log_level: json.map(|json| json.application_level.as_str()),
        system_log_level: json.map(|json| json.system_level.as_str()),
        log_group: &logging.group,
    }
}
