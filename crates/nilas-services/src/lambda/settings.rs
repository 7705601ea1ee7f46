//! The members that CreateFunction and UpdateFunctionConfiguration share: decoded, checked, merged.

use std::collections::BTreeMap;

use nilas_model::FunctionId;
use nilas_model::limits;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::error::LambdaError;
use super::patterns;
use super::record::{Architecture, JsonLogging, Logging, Settings, Vpc};
use super::validation::{ItemConstraint, Violations};

/// Members as they come in; None keeps what is there, or the default.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SettingsInput {
    pub runtime: Option<String>,
    pub role: Option<String>,
    pub handler: Option<String>,
    pub description: Option<String>,
    pub timeout: Option<i64>,
    pub memory_size: Option<i64>,
    pub vpc_config: Option<VpcInput>,
    pub dead_letter_config: Option<DeadLetterInput>,
    pub environment: Option<EnvironmentInput>,
    #[serde(rename = "KMSKeyArn")]
    pub kms_key_arn: Option<String>,
    pub tracing_config: Option<TracingInput>,
    pub layers: Option<Vec<Option<String>>>,
    pub file_system_configs: Option<Vec<IgnoredAny>>,
    pub image_config: Option<Map<String, Value>>,
    pub ephemeral_storage: Option<EphemeralInput>,
    pub snap_start: Option<SnapStartInput>,
    pub logging_config: Option<LoggingInput>,
    pub durable_config: Option<IgnoredAny>,
    pub capacity_provider_config: Option<IgnoredAny>,
    pub runtime_config: Option<IgnoredAny>,
    pub accelerator_config: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct VpcInput {
    subnet_ids: Option<Vec<Option<String>>>,
    security_group_ids: Option<Vec<Option<String>>>,
    ipv6_allowed_for_dual_stack: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DeadLetterInput {
    target_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EnvironmentInput {
    /// In the caller's order, which an error message repeats.
    variables: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TracingInput {
    mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EphemeralInput {
    size: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SnapStartInput {
    apply_on: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LoggingInput {
    log_format: Option<String>,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
    log_group: Option<String>,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>
const RESERVED_VARIABLES: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

const APPLICATION_LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const SYSTEM_LEVELS: [&str; 3] = ["DEBUG", "INFO", "WARN"];

impl SettingsInput {
    /// The V constraints, in the order of AWS's model.
    pub(crate) fn check_members(&self, v: &mut Violations) {
        v.length("role", self.role.as_deref(), 0, 10_000);
        v.pattern("role", self.role.as_deref(), &patterns::ROLE);
        v.length("handler", self.handler.as_deref(), 0, 128);
        v.pattern("handler", self.handler.as_deref(), &patterns::HANDLER);
        v.length("description", self.description.as_deref(), 0, 256);
        v.range("timeout", self.timeout, limits::TIMEOUT_S_MIN, limits::TIMEOUT_S_MAX);
        v.range("memorySize", self.memory_size, limits::MEMORY_MIB_MIN, limits::MEMORY_MIB_MAX);
        if let Some(vpc) = &self.vpc_config {
            let (subnets, groups) = (vpc.subnet_ids.as_deref(), vpc.security_group_ids.as_deref());
            v.list_length("vpcConfig.subnetIds", subnets, 0, 16);
            let id = |pattern| ItemConstraint::Pattern { min: 0, max: 1_024, pattern };
            v.items("vpcConfig.subnetIds", subnets, &id(&patterns::SUBNET));
            v.list_length("vpcConfig.securityGroupIds", groups, 0, 5);
            v.items("vpcConfig.securityGroupIds", groups, &id(&patterns::SECURITY_GROUP));
        }
        let target =
            self.dead_letter_config.as_ref().and_then(|config| config.target_arn.as_deref());
        v.pattern("deadLetterConfig.targetArn", target, &patterns::ARN_OR_EMPTY);
        if let Some(variables) =
            self.environment.as_ref().and_then(|environment| environment.variables.as_ref())
        {
            // Reserved names have an answer of their own, though `_HANDLER` fits no pattern.
            let names = variables
                .keys()
                .map(String::as_str)
                .filter(|name| !RESERVED_VARIABLES.contains(name));
            v.environment_names("environment.variables", names);
        }
        v.pattern("kMSKeyArn", self.kms_key_arn.as_deref(), &patterns::ARN_OR_EMPTY);
        let tracing = self.tracing_config.as_ref().and_then(|config| config.mode.as_deref());
        v.one_of("tracingConfig.mode", tracing, &["Active", "PassThrough"]);
        let layer =
            ItemConstraint::Pattern { min: 1, max: 2_048, pattern: &patterns::LAYER_VERSION };
        v.items("layers", self.layers.as_deref(), &layer);
        if let Some(storage) = &self.ephemeral_storage {
            v.required("ephemeralStorage.size", storage.size.as_ref());
            v.range(
                "ephemeralStorage.size",
                storage.size,
                limits::EPHEMERAL_MIB_MIN,
                limits::EPHEMERAL_MIB_MAX,
            );
        }
        let apply_on = self.snap_start.as_ref().and_then(|config| config.apply_on.as_deref());
        v.one_of("snapStart.applyOn", apply_on, &["PublishedVersions", "None"]);
        if let Some(logging) = &self.logging_config {
            v.one_of("loggingConfig.logFormat", logging.log_format.as_deref(), &["JSON", "Text"]);
            let (application, system) =
                (logging.application_log_level.as_deref(), logging.system_log_level.as_deref());
            v.one_of("loggingConfig.applicationLogLevel", application, &APPLICATION_LEVELS);
            v.one_of("loggingConfig.systemLogLevel", system, &SYSTEM_LEVELS);
            v.length("loggingConfig.logGroup", logging.log_group.as_deref(), 1, 512);
            v.pattern("loggingConfig.logGroup", logging.log_group.as_deref(), &patterns::LOG_GROUP);
        }
    }

    /// What AWS checks after the members, or what this server has nothing to do with: never silently dropped.
    pub(crate) fn check_meaning(&self, id: &FunctionId) -> Result<(), LambdaError> {
        self.check_layers(id)?;
        if let Some(vpc) = &self.vpc_config {
            let first =
                |ids: &Option<Vec<Option<String>>>| ids.iter().flatten().flatten().next().cloned();
            if let Some(subnet) = first(&vpc.subnet_ids) {
                return Err(LambdaError::invalid(format!(
                    "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: \
                     The subnet ID '{subnet}' does not exist"
                )));
            }
            if let Some(group) = first(&vpc.security_group_ids) {
                return Err(LambdaError::invalid(format!(
                    "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. EC2 Error \
                     Message: The security group '{group}' does not exist"
                )));
            }
        }
        let absent = [
            (
                "FileSystemConfigs",
                self.file_system_configs.as_ref().is_some_and(|configs| !configs.is_empty()),
            ),
            ("ImageConfig", self.image_config.as_ref().is_some_and(|config| !config.is_empty())),
            ("DurableConfig", self.durable_config.is_some()),
            ("CapacityProviderConfig", self.capacity_provider_config.is_some()),
            ("RuntimeConfig", self.runtime_config.is_some()),
            ("AcceleratorConfig", self.accelerator_config.is_some()),
        ];
        match absent.iter().find(|(_, given)| *given) {
            Some((member, _)) => Err(not_supported(member)),
            None => Ok(()),
        }
    }

    fn check_layers(&self, id: &FunctionId) -> Result<(), LambdaError> {
        let layers: Vec<&str> =
            self.layers.iter().flatten().flatten().map(String::as_str).collect();
        if layers.len() > limits::LAYERS_MAX {
            return Err(LambdaError::invalid(format!(
                "Cannot reference more than {} layers.",
                limits::LAYERS_MAX
            )));
        }
        let here = id.region.as_str();
        if layers.iter().any(|arn| arn.split(':').nth(3) != Some(here)) {
            return Err(LambdaError::invalid(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {here}."
            )));
        }
        Ok(())
    }

    /// ARNs of the layer versions to have from now on; None keeps those that are there.
    pub(crate) fn layers(&self) -> Option<Vec<String>> {
        Some(self.layers.as_ref()?.iter().flatten().cloned().collect())
    }

    /// Takes the members that are there into `settings`.
    pub(crate) fn apply(&self, settings: &mut Settings) -> Result<(), LambdaError> {
        let set = |target: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                target.clone_from(value);
            }
        };
        set(&mut settings.role, &self.role);
        set(&mut settings.runtime, &self.runtime);
        set(&mut settings.description, &self.description);
        if let Some(handler) = &self.handler {
            settings.handler = Some(handler.clone());
        }
        let figures = [
            (&mut settings.timeout_s, self.timeout),
            (&mut settings.memory_mib, self.memory_size),
            (
                &mut settings.ephemeral_mib,
                self.ephemeral_storage.as_ref().and_then(|storage| storage.size),
            ),
        ];
        for (target, value) in figures {
            if let Some(value) = value.and_then(|value| u32::try_from(value).ok()) {
                *target = value;
            }
        }
        if let Some(environment) = &self.environment {
            settings.environment = environment.variables.as_ref().map(variables).transpose()?;
        }
        // Empty members undo: so Zappa sends them.
        if let Some(config) = &self.dead_letter_config {
            settings.dead_letter_target = config.target_arn.clone().filter(|arn| !arn.is_empty());
        }
        if let Some(arn) = &self.kms_key_arn {
            settings.kms_key_arn = Some(arn.clone()).filter(|arn| !arn.is_empty());
        }
        if let Some(mode) = self.tracing_config.as_ref().and_then(|config| config.mode.as_deref()) {
            settings.tracing_active = mode == "Active";
        }
        if let Some(apply_on) =
            self.snap_start.as_ref().and_then(|config| config.apply_on.as_deref())
        {
            settings.snap_start = apply_on == "PublishedVersions";
        }
        if let Some(vpc) = self
            .vpc_config
            .as_ref()
            .filter(|vpc| vpc.subnet_ids.is_some() || vpc.security_group_ids.is_some())
        {
            let ipv6_allowed_for_dual_stack = vpc.ipv6_allowed_for_dual_stack.unwrap_or(false);
            settings.vpc = Some(Vpc { ipv6_allowed_for_dual_stack });
        }
        if let Some(logging) = &self.logging_config {
            logging.apply(&mut settings.logging)?;
        }
        Ok(())
    }
}

impl LoggingInput {
    fn apply(&self, logging: &mut Logging) -> Result<(), LambdaError> {
        if let Some(group) = &self.log_group {
            logging.group.clone_from(group);
        }
        let json =
            self.log_format.as_deref().map_or(logging.json.is_some(), |format| format == "JSON");
        if !json {
            if self.application_log_level.is_some() || self.system_log_level.is_some() {
                return Err(LambdaError::invalid(
                    "Log levels can only be set when LogFormat is JSON.",
                ));
            }
            logging.json = None;
            return Ok(());
        }
        let before = logging.json.take();
        let before = before.unwrap_or_else(|| JsonLogging {
            application_level: "INFO".to_owned(),
            system_level: "INFO".to_owned(),
        });
        logging.json = Some(JsonLogging {
            application_level: self
                .application_log_level
                .clone()
                .unwrap_or(before.application_level),
            system_level: self.system_log_level.clone().unwrap_or(before.system_level),
        });
        Ok(())
    }
}

/// What a new function has before its request says anything.
pub(crate) fn defaults(id: &FunctionId) -> Settings {
    Settings {
        role: String::new(),
        handler: None,
        runtime: String::new(),
        description: String::new(),
        timeout_s: limits::TIMEOUT_S_DEFAULT,
        memory_mib: limits::MEMORY_MIB_MIN,
        ephemeral_mib: limits::EPHEMERAL_MIB_MIN,
        environment: None,
        dead_letter_target: None,
        kms_key_arn: None,
        tracing_active: false,
        architecture: Architecture::X86_64,
        snap_start: false,
        vpc: None,
        logging: Logging { group: format!("/aws/lambda/{}", id.name.as_str()), json: None },
        layers: Vec::new(),
    }
}

pub(crate) fn not_supported(member: &str) -> LambdaError {
    LambdaError::invalid(format!("{member} is not supported by this server yet."))
}

fn variables(given: &Map<String, Value>) -> Result<BTreeMap<String, String>, LambdaError> {
    let reserved: Vec<&str> =
        given.keys().map(String::as_str).filter(|name| RESERVED_VARIABLES.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(LambdaError::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            reserved.join(", ")
        )));
    }
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        _ => Err(LambdaError::Serialization(
            "Environment variable values must be strings.".to_owned(),
        )),
    };
    let given = given.iter().map(|(name, value)| Ok((name.clone(), Value::String(text(value)?))));
    let given: Map<String, Value> = given.collect::<Result<_, LambdaError>>()?;
    let measured = Value::Object(given.clone()).to_string();
    if measured.len() > limits::ENVIRONMENT_BYTES_MAX {
        return Err(LambdaError::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit. String measured: {measured}"
        )));
    }
    Ok(given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .collect())
}
