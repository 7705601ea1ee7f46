//! `msk`, `kafka`, `activemq` and `rabbitmq`: event source mappings of brokers.

use serde_json::{Value, json};

use super::super::{Compiler, Event, Function, Problem, events};
use super::sources::{depends, filters};
use crate::serverless::json::{items, members, text, truthy, without_nulls};
use crate::serverless::naming;

/// Of a name within a logical id, which has 255 characters at most.
const CLUSTER_LENGTH_MAX: usize = 79;
const TOPIC_LENGTH_MAX: usize = 158;
const QUEUE_LENGTH_MAX: usize = 150;

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    for function in functions.iter() {
        kafka(c, function)?;
    }
    for (kind, name) in [("activemq", "ActiveMQ"), ("rabbitmq", "RabbitMQ")] {
        for function in functions.iter() {
            queues(c, function, kind, name)?;
        }
    }
    for function in functions.iter() {
        managed_kafka(c, function)?;
    }
    Ok(())
}

fn entries<'f>(function: &'f Function, kind: &'static str) -> Vec<Event<'f>> {
    let all = events(std::slice::from_ref(function), kind);
    all.into_iter().filter(|event| truthy(event.value)).collect()
}

fn needed(c: &Compiler<'_>, event: &Event<'_>, names: &[&str]) -> Result<(), Problem> {
    match names.iter().find(|name| !truthy(&event.value[**name])) {
        Some(name) => {
            Err(c.event_problem(event, format!("The event \"{}\" needs `{name}`", event.kind)))
        }
        None => Ok(()),
    }
}

fn cut(name: &str, length_max: usize) -> String {
    naming::alphanumeric(name).chars().take(length_max).collect()
}

/// What every mapping of a broker may say.
fn common(function: &Function, settings: &Value) -> Value {
    let or_none = |name: &str| truthy(&settings[name]).then(|| settings[name].clone());
    json!({
        "FunctionName": function.target(),
        "BatchSize": or_none("batchSize"),
        "MaximumBatchingWindowInSeconds": or_none("maximumBatchingWindow"),
        "Enabled": settings["enabled"],
        "FilterCriteria": filters(settings),
    })
}

fn mapping(c: &mut Compiler<'_>, function: &Function, id: String, properties: Value) {
    let resource = json!({
        "Type": "AWS::Lambda::EventSourceMapping",
        "DependsOn": depends(c, function),
        "Properties": without_nulls(properties),
    });
    c.resources.insert(id, resource);
}

/// To reach a broker in its network.
fn allow_network(c: &mut Compiler<'_>) {
    c.allow(json!({
        "Effect": "Allow",
        "Action": [
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeVpcs",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeSubnets",
            "ec2:DescribeSecurityGroups",
        ],
        "Resource": "*",
    }));
}

fn allow(c: &mut Compiler<'_>, actions: &[&str], resources: Vec<Value>) {
    c.allow(json!({"Effect": "Allow", "Action": actions, "Resource": resources}));
}

/// Where reading begins, for both kinds of Kafka.
fn starting(c: &Compiler<'_>, event: &Event<'_>, properties: &mut Value) -> Result<(), Problem> {
    let settings = event.value;
    let (position, timestamp) =
        (&settings["startingPosition"], &settings["startingPositionTimestamp"]);
    if position == "AT_TIMESTAMP" && timestamp.is_null() {
        let message = format!(
            "You must specify startingPositionTimestamp for function: {} when startingPosition is AT_TIMESTAMP.",
            event.function.key
        );
        return Err(c.event_problem(event, message));
    }
    properties["StartingPosition"] =
        if truthy(position) { position.clone() } else { "TRIM_HORIZON".into() };
    properties["StartingPositionTimestamp"] = timestamp.clone();
    properties["Topics"] = json!([settings["topic"]]);
    let pollers = &settings["provisionedPollerConfig"];
    if truthy(pollers) {
        properties["ProvisionedPollerConfig"] = without_nulls(json!({
            "MinimumPollers": pollers["minimumPollers"],
            "MaximumPollers": pollers["maximumPollers"],
        }));
    }
    Ok(())
}

fn managed_kafka(c: &mut Compiler<'_>, function: &Function) -> Result<(), Problem> {
    let mut arns = Vec::new();
    for event in entries(function, "msk") {
        needed(c, &event, &["arn", "topic"])?;
        let settings = event.value;
        let arn = &settings["arn"];
        let cluster = match arn.as_str() {
            Some(arn) => arn.split('/').nth(1).unwrap_or_default().to_owned(),
            None if truthy(&arn["Fn::ImportValue"]) => text(&arn["Fn::ImportValue"]),
            None => text(&arn["Ref"]),
        };
        let mut properties = common(function, settings);
        properties["EventSourceArn"] = arn.clone();
        starting(c, &event, &mut properties)?;
        if truthy(&settings["consumerGroupId"]) {
            properties["AmazonManagedKafkaEventSourceConfig"] =
                json!({"ConsumerGroupId": settings["consumerGroupId"]});
        }
        if !settings["saslScram512"].is_null() {
            properties["SourceAccessConfigurations"] =
                json!([{"Type": "SASL_SCRAM_512_AUTH", "URI": settings["saslScram512"]}]);
        }
        let id = format!(
            "{}EventSourceMappingMSK{}{}",
            function.id,
            cut(&cluster, CLUSTER_LENGTH_MAX),
            cut(&text(&settings["topic"]), CLUSTER_LENGTH_MAX)
        );
        arns.push(arn.clone());
        mapping(c, function, id, properties);
    }
    if !arns.is_empty() {
        allow(c, &["kafka:DescribeCluster", "kafka:GetBootstrapBrokers"], arns);
        allow_network(c);
    }
    Ok(())
}

/// Ways to reach a cluster: the setting, its type, what is before its value, and whether that is a secret.
const ACCESS: [(&str, &str, &str, bool); 7] = [
    ("vpcSubnet", "VPC_SUBNET", "subnet:", false),
    ("vpcSecurityGroup", "VPC_SECURITY_GROUP", "security_group:", false),
    ("saslPlainAuth", "BASIC_AUTH", "", true),
    ("saslScram256Auth", "SASL_SCRAM_256_AUTH", "", true),
    ("saslScram512Auth", "SASL_SCRAM_512_AUTH", "", true),
    ("clientCertificateTlsAuth", "CLIENT_CERTIFICATE_TLS_AUTH", "", true),
    ("serverRootCaCertificate", "SERVER_ROOT_CA_CERTIFICATE", "", true),
];

fn kafka(c: &mut Compiler<'_>, function: &Function) -> Result<(), Problem> {
    let (mut secrets, mut needs_network) = (Vec::new(), false);
    for event in entries(function, "kafka") {
        needed(c, &event, &["accessConfigurations", "bootstrapServers", "topic"])?;
        let settings = event.value;
        let access = &settings["accessConfigurations"];
        let (group, subnet) = (truthy(&access["vpcSecurityGroup"]), truthy(&access["vpcSubnet"]));
        if group != subnet {
            let missing = if group { "vpcSubnet" } else { "vpcSecurityGroup" };
            let message = format!(
                "You must specify at least one \"{missing}\" accessConfiguration for function: {}",
                function.key
            );
            return Err(c.event_problem(&event, message));
        }
        needs_network |= group;
        let mut configurations = Vec::new();
        for (name, values) in members(access) {
            let known = ACCESS.iter().find(|known| known.0 == name);
            let (kind, prefix, is_secret) = known.map_or((name, "", false), |k| (k.1, k.2, k.3));
            for value in items(values) {
                if is_secret {
                    secrets.push(value.clone());
                }
                let uri = format!("{prefix}{}", text(value));
                configurations.push(json!({"Type": kind, "URI": uri}));
            }
        }
        let mut properties = common(function, settings);
        starting(c, &event, &mut properties)?;
        properties["SelfManagedEventSource"] =
            json!({"Endpoints": {"KafkaBootstrapServers": items(&settings["bootstrapServers"])}});
        properties["SourceAccessConfigurations"] = configurations.into();
        if truthy(&settings["consumerGroupId"]) {
            properties["SelfManagedKafkaEventSourceConfig"] =
                json!({"ConsumerGroupId": settings["consumerGroupId"]});
        }
        if truthy(&settings["onFailureDestination"]) {
            properties["DestinationConfig"] =
                json!({"OnFailure": {"Destination": settings["onFailureDestination"]}});
        }
        let topic = cut(&text(&settings["topic"]), TOPIC_LENGTH_MAX);
        mapping(c, function, format!("{}EventSourceMappingKafka{topic}", function.id), properties);
    }
    if !secrets.is_empty() {
        allow(c, &["secretsmanager:GetSecretValue"], secrets);
    }
    if needs_network {
        allow_network(c);
    }
    Ok(())
}

fn queues(
    c: &mut Compiler<'_>,
    function: &Function,
    kind: &'static str,
    name: &str,
) -> Result<(), Problem> {
    let (mut secrets, mut brokers) = (Vec::new(), Vec::new());
    for event in entries(function, kind) {
        needed(c, &event, &["arn", "basicAuthArn", "queue"])?;
        let settings = event.value;
        let mut access = vec![json!({"Type": "BASIC_AUTH", "URI": settings["basicAuthArn"]})];
        if kind == "rabbitmq" && truthy(&settings["virtualHost"]) {
            access.push(json!({"Type": "VIRTUAL_HOST", "URI": settings["virtualHost"]}));
        }
        let mut properties = common(function, settings);
        properties["EventSourceArn"] = settings["arn"].clone();
        properties["Queues"] = json!([settings["queue"]]);
        properties["SourceAccessConfigurations"] = access.into();
        secrets.push(settings["basicAuthArn"].clone());
        brokers.push(settings["arn"].clone());
        let queue = cut(&text(&settings["queue"]), QUEUE_LENGTH_MAX);
        let id = format!("{}EventSourceMapping{name}{queue}", function.id);
        mapping(c, function, id, properties);
    }
    if !brokers.is_empty() {
        allow(c, &["secretsmanager:GetSecretValue"], secrets);
        allow(c, &["mq:DescribeBroker"], brokers);
        allow_network(c);
    }
    Ok(())
}
