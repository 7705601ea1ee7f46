//! The properties of each type of event.

use crate::sam::core::property::{
    Kind, Property, literal, optional, passed, required, required_literal,
};

type Table = &'static [&'static [Property]];

/// Types of events that a function can have, with their properties.
pub(super) const FUNCTION: &[(&str, Table)] = &[
    ("AlexaSkill", &[ALEXA]),
    ("Api", &[API]),
    ("CloudWatchEvent", &[RULE]),
    ("CloudWatchLogs", &[LOGS]),
    ("Cognito", &[COGNITO]),
    ("DocumentDB", &[MAPPING, DOCUMENT_DB]),
    ("DynamoDB", &[MAPPING, STREAM]),
    ("EventBridgeRule", &[RULE]),
    ("HttpApi", &[HTTP_API]),
    ("IoTRule", &[IOT]),
    ("Kinesis", &[MAPPING, STREAM]),
    ("MQ", &[MAPPING, MQ]),
    ("MSK", &[MAPPING, STREAM]),
    ("S3", &[S3]),
    ("SNS", &[SNS]),
    ("SQS", &[MAPPING, SQS]),
    ("Schedule", &[SCHEDULE]),
    ("ScheduleV2", &[SCHEDULE_V2]),
    ("SelfManagedKafka", &[MAPPING]),
];

/// Types of events that a state machine can have.
pub(super) const STATE_MACHINE: &[(&str, Table)] = &[
    ("Api", &[STATE_MACHINE_API]),
    ("CloudWatchEvent", &[STATE_MACHINE_RULE]),
    ("EventBridgeRule", &[STATE_MACHINE_RULE]),
    ("Schedule", &[STATE_MACHINE_SCHEDULE]),
    ("ScheduleV2", &[SCHEDULE_V2]),
];

const ALEXA: &[Property] = &[optional("SkillId", Kind::Text)];

const API: &[Property] = &[
    required("Path", Kind::Text),
    required("Method", Kind::Text),
    required("RestApiId", Kind::Text),
    optional("Stage", Kind::Text),
    optional("Auth", Kind::Map),
    optional("RequestModel", Kind::Map),
    optional("RequestParameters", Kind::List),
    optional("TimeoutInMillis", Kind::Int),
    optional("ResponseTransferMode", Kind::Text),
];

const STATE_MACHINE_API: &[Property] = &[
    required("Path", Kind::Text),
    required("Method", Kind::Text),
    required("RestApiId", Kind::Text),
    optional("Stage", Kind::Text),
    optional("Auth", Kind::Map),
    literal("UnescapeMappingTemplate", Kind::Bool),
];

const HTTP_API: &[Property] = &[
    optional("Path", Kind::Text),
    optional("Method", Kind::Text),
    optional("ApiId", Kind::Text),
    optional("Stage", Kind::Text),
    optional("Auth", Kind::Map),
    optional("TimeoutInMillis", Kind::Int),
    optional("RouteSettings", Kind::Map),
    optional("PayloadFormatVersion", Kind::Text),
];

const RULE: &[Property] = &[
    optional("EventBusName", Kind::Text),
    optional("RuleName", Kind::Text),
    optional("Pattern", Kind::Map),
    optional("DeadLetterConfig", Kind::Map),
    optional("RetryPolicy", Kind::Map),
    optional("Input", Kind::Text),
    optional("InputPath", Kind::Text),
    optional("Target", Kind::Map),
    optional("Enabled", Kind::Bool),
    optional("State", Kind::Text),
    optional("InputTransformer", Kind::Map),
];

const STATE_MACHINE_RULE: &[Property] = &[
    optional("EventBusName", Kind::Text),
    optional("RuleName", Kind::Text),
    optional("Pattern", Kind::Map),
    optional("Input", Kind::Text),
    optional("InputPath", Kind::Text),
    optional("DeadLetterConfig", Kind::Map),
    optional("RetryPolicy", Kind::Map),
    optional("State", Kind::Text),
    literal("Target", Kind::Map),
    optional("InputTransformer", Kind::Map),
];

const SCHEDULE: &[Property] = &[
    required("Schedule", Kind::Text),
    optional("RuleName", Kind::Text),
    optional("Input", Kind::Text),
    optional("Enabled", Kind::Bool),
    optional("State", Kind::Text),
    optional("Name", Kind::Text),
    optional("Description", Kind::Text),
    optional("DeadLetterConfig", Kind::Map),
    optional("RetryPolicy", Kind::Map),
];

const STATE_MACHINE_SCHEDULE: &[Property] = &[
    required("Schedule", Kind::Text),
    optional("Input", Kind::Text),
    optional("Enabled", Kind::Bool),
    optional("State", Kind::Text),
    optional("Name", Kind::Text),
    optional("Description", Kind::Text),
    optional("DeadLetterConfig", Kind::Map),
    optional("RetryPolicy", Kind::Map),
    literal("Target", Kind::Map),
    literal("RoleArn", Kind::Text),
];

const SCHEDULE_V2: &[Property] = &[
    optional("PermissionsBoundary", Kind::Text),
    required("ScheduleExpression", Kind::Text),
    optional("FlexibleTimeWindow", Kind::Map),
    optional("Name", Kind::Text),
    optional("State", Kind::Text),
    optional("Description", Kind::Text),
    optional("StartDate", Kind::Text),
    optional("EndDate", Kind::Text),
    optional("ScheduleExpressionTimezone", Kind::Text),
    optional("GroupName", Kind::Text),
    optional("KmsKeyArn", Kind::Text),
    optional("Input", Kind::Text),
    optional("RoleArn", Kind::Text),
    optional("DeadLetterConfig", Kind::Map),
    optional("RetryPolicy", Kind::Map),
    literal("OmitName", Kind::Bool),
];

const LOGS: &[Property] =
    &[required("LogGroupName", Kind::Text), required("FilterPattern", Kind::Text)];

const COGNITO: &[Property] =
    &[required("UserPool", Kind::Text), required_literal("Trigger", Kind::Texts)];

const IOT: &[Property] = &[required("Sql", Kind::Text), optional("AwsIotSqlVersion", Kind::Text)];

const S3: &[Property] = &[
    required("Bucket", Kind::Text),
    required_literal("Events", Kind::Texts),
    optional("Filter", Kind::MapOfText),
];

const SNS: &[Property] = &[
    required("Topic", Kind::Text),
    optional("Region", Kind::Text),
    passed("FilterPolicy"),
    passed("FilterPolicyScope"),
    optional("SqsSubscription", Kind::BoolOrMap),
    optional("RedrivePolicy", Kind::Map),
];

/// What all event source mappings have.
const MAPPING: &[Property] = &[
    optional("BatchSize", Kind::Int),
    passed("StartingPosition"),
    passed("StartingPositionTimestamp"),
    optional("Enabled", Kind::Bool),
    optional("MaximumBatchingWindowInSeconds", Kind::Int),
    optional("MaximumRetryAttempts", Kind::Int),
    optional("BisectBatchOnFunctionError", Kind::Bool),
    optional("MaximumRecordAgeInSeconds", Kind::Int),
    optional("DestinationConfig", Kind::Map),
    optional("ParallelizationFactor", Kind::Int),
    optional("Topics", Kind::List),
    optional("Queues", Kind::List),
    optional("SourceAccessConfigurations", Kind::List),
    optional("SecretsManagerKmsKeyId", Kind::Text),
    optional("TumblingWindowInSeconds", Kind::Int),
    optional("FunctionResponseTypes", Kind::List),
    optional("KafkaBootstrapServers", Kind::List),
    optional("FilterCriteria", Kind::Map),
    passed("KmsKeyArn"),
    optional("ConsumerGroupId", Kind::Text),
    optional("ScalingConfig", Kind::Map),
    optional("ProvisionedPollerConfig", Kind::Map),
    optional("SchemaRegistryConfig", Kind::Map),
    optional("MetricsConfig", Kind::Map),
    optional("LoggingConfig", Kind::Map),
];

const STREAM: &[Property] =
    &[required_literal("Stream", Kind::Any), required_literal("StartingPosition", Kind::Any)];

const SQS: &[Property] = &[required_literal("Queue", Kind::Any)];

const MQ: &[Property] =
    &[required_literal("Broker", Kind::Any), literal("DynamicPolicyName", Kind::Bool)];

const DOCUMENT_DB: &[Property] = &[
    required_literal("Cluster", Kind::Any),
    required_literal("DatabaseName", Kind::Any),
    passed("CollectionName"),
    passed("FullDocument"),
];

/// Settings that a mapping has under the same name.
pub(super) const MAPPING_HANDED_ON: &[&str] = &[
    "StartingPosition",
    "StartingPositionTimestamp",
    "BatchSize",
    "Enabled",
    "MaximumBatchingWindowInSeconds",
    "MaximumRetryAttempts",
    "BisectBatchOnFunctionError",
    "MaximumRecordAgeInSeconds",
    "ParallelizationFactor",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "TumblingWindowInSeconds",
    "FunctionResponseTypes",
    "FilterCriteria",
    "KmsKeyArn",
    "ScalingConfig",
    "ProvisionedPollerConfig",
    "MetricsConfig",
    "LoggingConfig",
];
