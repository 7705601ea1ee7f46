//! What event source mappings of Kafka have besides: consumer groups, schema registries, ways to authenticate.

use super::mapping::{arn_of, decrypt, printed, read_secret, use_network};
use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::is_intrinsic;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, list, map};
use crate::sam::role::allow_statement;

const WITH_SECRET: &[&str] = &[
    "SASL_SCRAM_256_AUTH",
    "SASL_SCRAM_512_AUTH",
    "BASIC_AUTH",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "OAUTHBEARER_AUTH",
];
const WITHOUT_SECRET: &[&str] = &["IAM_AUTH", "IAM_OAUTHBEARER_AUTH"];
const OAUTH: &[&str] = &[
    "OAUTHBEARER_SCOPE",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_IDENTITY_POOL",
];

pub(super) fn configure(source: &Source, mapping: &mut Resource) -> Result<()> {
    if source.truthy("KafkaBootstrapServers") {
        let servers = map! { "KafkaBootstrapServers" => source.value("KafkaBootstrapServers") };
        mapping.set("SelfManagedEventSource", map! { "Endpoints" => servers });
    }
    let property = match source.kind {
        "MSK" => Some("AmazonManagedKafkaEventSourceConfig"),
        "SelfManagedKafka" => Some("SelfManagedKafkaEventSourceConfig"),
        _ => None,
    };
    let mut config = Map::new();
    if source.truthy("ConsumerGroupId") {
        if property.is_none() {
            return Err(Problem::event(
                &source.id,
                format!(
                    "Property ConsumerGroupId not defined for resource of type {}.",
                    source.kind
                ),
            ));
        }
        config.insert("ConsumerGroupId", source.value("ConsumerGroupId"));
    }
    if source.truthy("SchemaRegistryConfig") {
        config.insert("SchemaRegistryConfig", source.value("SchemaRegistryConfig"));
    }
    if let Some(property) = property.filter(|_| !config.is_empty()) {
        mapping.set(property, config);
    }
    Ok(())
}

/// The policy for reading MSK with secrets or a schema registry.
pub(super) fn managed_policy(cx: &Context, source: &Source, name: &str) -> Result<Option<Val>> {
    let mut statements = schema_registry(cx, source, name)?;
    let configurations = source.get("SourceAccessConfigurations").and_then(Val::as_list);
    for configuration in configurations.unwrap_or_default() {
        let certificate =
            configuration.get("Type").is_some_and(|t| t.is_text("CLIENT_CERTIFICATE_TLS_AUTH"));
        if let Some(uri) = configuration.get("URI").filter(|uri| certificate && uri.truthy()) {
            statements.push(read_secret(uri));
        }
    }
    if statements.is_empty() {
        return Ok(None);
    }
    let document = map! { "Statement" => statements };
    Ok(Some(map! { "PolicyName" => "MSKExecutionRolePolicy", "PolicyDocument" => document }.into()))
}

/// The policy for reading a Kafka cluster that AWS does not run.
pub(super) fn self_managed_policy(
    cx: &Context,
    source: &Source,
    name: &str,
) -> Result<Option<Val>> {
    let topics = source.get("Topics").filter(|topics| topics.truthy());
    let fault = if !source.truthy("KafkaBootstrapServers") {
        "No KafkaBootstrapServers provided for self managed kafka as an event source"
    } else if topics.is_none() {
        "No Topics provided for self managed kafka as an event source"
    } else if topics.and_then(Val::as_list).is_some_and(|topics| topics.len() != 1) {
        "Topics for self managed kafka only supports single configuration entry."
    } else if !source.truthy("SourceAccessConfigurations") {
        "No SourceAccessConfigurations for self managed kafka event provided."
    } else {
        ""
    };
    if !fault.is_empty() {
        return Err(Problem::event(name, fault));
    }
    let access = Access::read(source, name)?;
    let mut statements: Vec<Val> = access.secret.map(read_secret).into_iter().collect();
    statements.extend(access.certificate.map(read_secret));
    if access.network {
        statements.push(use_network());
    }
    statements.extend(decrypt(source, name, list!["kms:Decrypt"])?);
    statements.extend(schema_registry(cx, source, name)?);
    if statements.is_empty() {
        return Ok(None);
    }
    let policy = map! {
        "PolicyName" => "SelfManagedKafkaExecutionRolePolicy",
        "PolicyDocument" => map! { "Statement" => statements, "Version" => "2012-10-17" },
    };
    Ok(Some(policy.into()))
}

/// How the function reaches a cluster.
#[derive(Debug, Default)]
struct Access {
    secret: Option<Val>,
    certificate: Option<Val>,
    network: bool,
}

impl Access {
    fn read(source: &Source, name: &str) -> Result<Self> {
        let fault = |message: &str| Problem::event(name, message);
        let configurations = source.get("SourceAccessConfigurations").and_then(Val::as_list);
        let configurations = configurations.ok_or_else(|| {
            fault("SourceAccessConfigurations for self managed kafka event should be a list.")
        })?;
        let mut access = Self::default();
        let (mut mechanism, mut subnet, mut group) = (false, false, false);
        for configuration in configurations {
            let at = At::Resource(name, "SourceAccessConfigurations");
            let configuration = at.map(Some(configuration))?;
            let uri = configuration.get("URI");
            match configuration.text("Type").unwrap_or_default() {
                kind @ ("VPC_SUBNET" | "VPC_SECURITY_GROUP") => {
                    check_uri(uri, kind, name)?;
                    *if kind == "VPC_SUBNET" { &mut subnet } else { &mut group } = true;
                }
                kind if WITH_SECRET.contains(&kind) || WITHOUT_SECRET.contains(&kind) => {
                    if mechanism {
                        return Err(fault(
                            "Multiple auth mechanism properties specified in SourceAccessConfigurations for self \
                             managed kafka event.",
                        ));
                    }
                    mechanism = true;
                    if WITH_SECRET.contains(&kind) {
                        check_uri(uri, "auth mechanism", name)?;
                        access.secret = uri.cloned();
                    }
                }
                kind @ "SERVER_ROOT_CA_CERTIFICATE" => {
                    check_uri(uri, kind, name)?;
                    access.certificate = uri.cloned();
                }
                kind if OAUTH.contains(&kind) => check_uri(uri, kind, name)?,
                _ => {
                    return Err(fault(
                        "Invalid SourceAccessConfigurations Type provided for self managed kafka event.",
                    ));
                }
            }
        }
        if subnet != group {
            return Err(fault(
                "VPC_SUBNET and VPC_SECURITY_GROUP in SourceAccessConfigurations for SelfManagedKafka must be both \
                 provided.",
            ));
        }
        access.network = subnet;
        Ok(access)
    }
}

fn check_uri(uri: Option<&Val>, what: &str, name: &str) -> Result<()> {
    let place =
        "URI property specified in SourceAccessConfigurations for self managed kafka event.";
    match uri.filter(|uri| uri.truthy()) {
        None => Err(Problem::event(name, format!("No {what} {place}"))),
        Some(uri) if uri.as_str().is_none() && !is_intrinsic(uri) => {
            Err(Problem::event(name, format!("Wrong Type for {what} {place}")))
        }
        Some(_) => Ok(()),
    }
}

/// The statements that let the function read a schema registry.
fn schema_registry(cx: &Context, source: &Source, name: &str) -> Result<Vec<Val>> {
    if !source.truthy("SchemaRegistryConfig") {
        return Ok(Vec::new());
    }
    let config = At::Event(name, "SchemaRegistryConfig").map(source.get("SchemaRegistryConfig"))?;
    check_schema_registry(config, name)?;
    let mut statements = Vec::new();
    let access = config.get("AccessConfigs").and_then(Val::as_list).unwrap_or_default();
    statements.extend(access.iter().filter_map(|access| access.get("URI")).map(read_secret));
    let uri = config.get("SchemaRegistryURI");
    let arn = match uri {
        Some(Val::Map(map)) => {
            let resolved = cx.parameters.resolve(map.clone().into())?;
            printed(resolved.get("Fn::Sub"))
        }
        other => printed(other),
    };
    let registry = arn.starts_with("arn").then(|| arn.split(':').nth(5)?.strip_prefix("registry/"));
    if let Some(registry) = registry.flatten() {
        statements.push(allow_statement(list!["glue:GetRegistry"], uri).into());
        let schemas = list![arn_of("glue", &format!("schema/{registry}/*"))];
        statements.push(allow_statement(list!["glue:GetSchemaVersion"], schemas).into());
    }
    Ok(statements)
}

fn check_schema_registry(config: &Map, name: &str) -> Result<()> {
    let fault = |message: String| Err(Problem::event(name, message));
    for field in ["SchemaRegistryURI", "EventRecordFormat", "SchemaValidationConfigs"] {
        if !config.has(field) {
            return fault(format!("Missing required field {field} in SchemaRegistryConfig"));
        }
    }
    if !matches!(config.text("EventRecordFormat"), Some("JSON" | "SOURCE")) {
        let message = "EventRecordFormat in SchemaRegistryConfig must be either 'JSON' or 'SOURCE'";
        return fault(message.to_owned());
    }
    if config.get("SchemaValidationConfigs").and_then(Val::as_list).is_none() {
        return fault("SchemaValidationConfigs must be a list".to_owned());
    }
    let Some(access) = config.get("AccessConfigs").filter(|access| access.truthy()) else {
        return Ok(());
    };
    let Val::List(access) = access else {
        return fault("AccessConfigs in SchemaRegistryConfig must be a list".to_owned());
    };
    let complete =
        |access: &Val| access.as_map().is_some_and(|map| map.has("Type") && map.has("URI"));
    if access.iter().all(complete) {
        return Ok(());
    }
    fault("Each AccessConfig must be a dict with 'Type' and 'URI' fields".to_owned())
}
