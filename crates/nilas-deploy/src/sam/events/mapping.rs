//! Event source mappings: Lambda polls a queue, stream or broker with the function's role.

use super::Target;
use super::kafka;
use super::properties::MAPPING_HANDED_ON;
use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::is_intrinsic;
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result, listed};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, list, map};
use crate::sam::role::{self, allow_statement};

/// The property that names a source's ARN, and AWS's policy for reading it.
const SOURCES: &[(&str, &str, &str)] = &[
    ("DocumentDB", "Cluster", ""),
    ("DynamoDB", "Stream", "service-role/AWSLambdaDynamoDBExecutionRole"),
    ("Kinesis", "Stream", "service-role/AWSLambdaKinesisExecutionRole"),
    ("MQ", "Broker", ""),
    ("MSK", "Stream", "service-role/AWSLambdaMSKExecutionRole"),
    ("SelfManagedKafka", "", ""),
    ("SQS", "Queue", "service-role/AWSLambdaSQSQueueExecutionRole"),
];

const NETWORK_ACTIONS: &[&str] = &[
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeVpcs",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
];

pub(super) fn expand(
    cx: &Context,
    source: &mut Source,
    name: &str,
    target: &Target,
    role: Option<&mut Resource>,
) -> Result<Vec<Resource>> {
    let (_, arn, policy) = SOURCES
        .iter()
        .find(|(kind, ..)| *kind == source.kind)
        .ok_or_else(|| Problem::event(name, format!("Event type {} is not known.", source.kind)))?;
    let attributes = target.resource.passed_on();
    let mut mapping = Resource::new(&source.id, "AWS::Lambda::EventSourceMapping", &attributes)?;
    mapping.set("FunctionName", target.resource.name_or_arn());
    mapping.set("EventSourceArn", source.value(arn));
    for name in MAPPING_HANDED_ON {
        mapping.set(name, source.value(name));
    }
    check_filter(source, name)?;
    kafka::configure(source, &mut mapping)?;
    let destination = destination(source, &mut mapping)?;
    if source.kind == "DocumentDB" {
        let mut config = map! { "DatabaseName" => source.value("DatabaseName") };
        for name in ["CollectionName", "FullDocument"] {
            if source.truthy(name) {
                config.insert(name, source.value(name));
            }
        }
        mapping.set("DocumentDBEventSourceConfig", config);
    }
    if let Some(role) = role {
        if !policy.is_empty() {
            add_managed(role, cx.managed_policy(policy).into());
        }
        if let Some(document) = statements(cx, source, name)? {
            add_document(role, document);
        }
        if let Some(document) = destination {
            add_document(role, document);
        }
    }
    Ok(vec![mapping])
}

fn add_managed(role: &mut Resource, arn: Val) {
    if let Some(Val::List(arns)) = role.properties.get_mut("ManagedPolicyArns")
        && !arns.contains(&arn)
    {
        arns.push(arn);
    }
}

/// Adds a policy, unless the role has one that says the same.
fn add_document(role: &mut Resource, policy: Val) {
    let policies = role.properties.or_insert("Policies", || Val::List(Vec::new()));
    if let Val::List(policies) = policies {
        let same = |other: &Val| other.get("PolicyDocument") == policy.get("PolicyDocument");
        if !policies.iter().any(same) {
            policies.push(policy);
        }
    }
}

fn check_filter(source: &Source, name: &str) -> Result<()> {
    let Some(filter) = source.get("FilterCriteria").filter(|f| f.truthy() && !is_intrinsic(f))
    else {
        return Ok(());
    };
    let keys: Vec<_> = filter.as_map().map(Map::keys).unwrap_or_default();
    if keys.iter().map(|key| key.as_str()).eq(["Filters"]) {
        return Ok(());
    }
    Err(Problem::event(name, "FilterCriteria field has a wrong format"))
}

/// Sets where batches go that failed; answers the policy that this takes.
fn destination(source: &mut Source, mapping: &mut Resource) -> Result<Option<Val>> {
    if !source.truthy("DestinationConfig") {
        return Ok(None);
    }
    let id = source.id.clone();
    let mut config = source.map("DestinationConfig").cloned().unwrap_or_default();
    let at = At::Event(&id, "DestinationConfig.OnFailure");
    let mut on_failure = at.map(config.get("OnFailure"))?.clone();
    let mut policy = None;
    if on_failure.truthy("Type") {
        let kind = on_failure.remove("Type").unwrap_or_default();
        let arn = Val::from(on_failure.get("Destination"));
        policy = match kind.as_str() {
            Some("SQS") => Some(role::send_message_policy(arn, &id)),
            Some("SNS") => Some(role::publish_policy(arn, &id)),
            Some("S3") => Some(role::put_object_policy(arn, &id)),
            Some("Kafka") => None,
            _ => {
                let message =
                    "The only valid values for 'Type' are 'SQS', 'SNS', 'S3', and 'Kafka'";
                return Err(Problem::event(&id, message));
            }
        };
        config.insert("OnFailure", on_failure);
    }
    mapping.set("DestinationConfig", config);
    Ok(policy)
}

/// The policy that a source takes beyond AWS's.
fn statements(cx: &Context, source: &Source, name: &str) -> Result<Option<Val>> {
    match source.kind {
        "MSK" => kafka::managed_policy(cx, source, name),
        "SelfManagedKafka" => kafka::self_managed_policy(cx, source, name),
        "MQ" => mq_policy(source, name).map(Some),
        "DocumentDB" => document_db_policy(source, name).map(Some),
        _ => Ok(None),
    }
}

fn policy(name: &str, statements: Vec<Val>) -> Val {
    map! { "PolicyName" => name, "PolicyDocument" => map! { "Statement" => statements } }.into()
}

pub(super) fn read_secret(uri: impl Into<Val>) -> Val {
    allow_statement(list!["secretsmanager:GetSecretValue"], uri).into()
}

pub(super) fn use_network() -> Val {
    let actions: Vec<Val> = NETWORK_ACTIONS.iter().map(|action| Val::from(*action)).collect();
    allow_statement(actions, "*").into()
}

/// The statement that lets the function decrypt its secret, where the key is named.
pub(super) fn decrypt(source: &Source, name: &str, action: impl Into<Val>) -> Result<Option<Val>> {
    let Some(key) = source.get("SecretsManagerKmsKeyId").filter(|key| key.truthy()) else {
        return Ok(None);
    };
    let key = At::Event(name, "SecretsManagerKmsKeyId").string(Some(key))?;
    Ok(Some(allow_statement(action, arn_of("kms", &format!("key/{key}"))).into()))
}

pub(super) fn arn_of(service: &str, resource: &str) -> Val {
    let text = crate::sam::context::arn_text("${AWS::Partition}", service, resource);
    crate::sam::core::intrinsic::sub(text)
}

fn mq_policy(source: &Source, name: &str) -> Result<Val> {
    let uri = basic_auth_uri(source, name, &["BASIC_AUTH", "VIRTUAL_HOST"])?;
    let mut statements = vec![
        read_secret(uri),
        allow_statement(list!["mq:DescribeBroker"], source.value("Broker")).into(),
    ];
    statements.extend(decrypt(source, name, "kms:Decrypt")?);
    let policy_name = if source.truthy("DynamicPolicyName") {
        format!("{}AMQPolicy", source.id)
    } else {
        "SamAutoGeneratedAMQPolicy".to_owned()
    };
    Ok(policy(&policy_name, statements))
}

fn document_db_policy(source: &Source, name: &str) -> Result<Val> {
    let uri = basic_auth_uri(source, name, &["BASIC_AUTH"])?;
    let mut statements = vec![
        read_secret(uri),
        allow_statement(list!["rds:DescribeDBClusterParameters"], arn_of("rds", "cluster-pg:*"))
            .into(),
        allow_statement(list!["rds:DescribeDBSubnetGroups"], arn_of("rds", "subgrp:*")).into(),
        allow_statement(list!["rds:DescribeDBClusters"], source.value("Cluster")).into(),
        use_network(),
    ];
    statements.extend(decrypt(source, name, list!["kms:Decrypt"])?);
    Ok(policy("SamAutoGeneratedDocumentDBPolicy", statements))
}

fn basic_auth_uri(source: &Source, name: &str, supported: &[&str]) -> Result<Val> {
    const REQUIRED: &str = "BASIC_AUTH";
    let fault = |message: String| Problem::event(name, message);
    let Some(configurations) = source.get("SourceAccessConfigurations").filter(|c| c.truthy())
    else {
        return Err(fault(format!(
            "No SourceAccessConfigurations for Amazon {} event provided.",
            source.kind
        )));
    };
    let Val::List(configurations) = configurations else {
        return Err(fault(
            "Provided SourceAccessConfigurations cannot be parsed into a list.".to_owned(),
        ));
    };
    let mut uri = None;
    for (index, configuration) in configurations.iter().enumerate() {
        let path = format!("SourceAccessConfigurations[{index}]");
        let configuration = At::Event(name, &path).map(Some(configuration))?;
        let kind = At::Event(name, &format!("{path}.Type")).string(configuration.get("Type"))?;
        if !supported.contains(&kind) {
            return Err(fault(format!(
                "Invalid property Type specified in SourceAccessConfigurations. The supported values are: {}.",
                listed(supported)
            )));
        }
        if kind == REQUIRED {
            if uri.is_some() {
                return Err(fault(format!(
                    "Multiple {REQUIRED} properties specified in SourceAccessConfigurations."
                )));
            }
            uri = configuration.get("URI").filter(|uri| uri.truthy()).cloned();
            if uri.is_none() {
                return Err(fault(format!(
                    "No {REQUIRED} URI property specified in SourceAccessConfigurations."
                )));
            }
        }
    }
    uri.ok_or_else(|| {
        fault(format!("No {REQUIRED} property specified in SourceAccessConfigurations."))
    })
}

/// As Python prints a value that an expression took for text.
pub(super) fn printed(value: Option<&Val>) -> String {
    value.map_or_else(|| "None".to_owned(), print::text)
}
