//! What the Framework says of settings that it does not know.
//!
//! Versions 1 to 3 warn and go on, so this does too; `configValidationMode: error`, the way of version 4, makes a
//! problem of it. What is known is what any of the versions knows.

use serde_json::Value;

use super::answers::Problem;
use super::json::items;
use super::service::Notice;
use crate::yaml::{self, Node};

/// Settings by their place in the document; `*` is any name and `[]` any item of a list.
const KNOWN: &[(&str, &str)] = &[
    (
        "",
        "app build configValidationMode console custom dashboard deprecationNotificationMode disabledDeprecations \
         frameworkVersion functions layers licenseKey org outputs package params plugins projectDir provider resources \
         service stages state tenant unresolvedVariablesNotificationMode useDotenv variablesResolutionMode",
    ),
    ("package", "artifact exclude excludeDevDependencies include individually path patterns"),
    ("plugins", "localPath modules"),
    (
        "layers.*",
        "allowedAccounts compatibleArchitectures compatibleRuntimes description licenseInfo name package path retain",
    ),
    ("layers.*.package", "artifact exclude include patterns"),
    (
        "resources",
        "AWSTemplateFormatVersion Conditions Description Mappings Metadata Outputs Parameters Resources Rules Transform \
         extensions",
    ),
    (
        "resources.Resources.*",
        "Condition CreationPolicy DeletionPolicy DependsOn Metadata Properties Type UpdatePolicy UpdateReplacePolicy",
    ),
    (
        "resources.extensions.*",
        "Condition CreationPolicy DeletionPolicy DependsOn Metadata Properties UpdatePolicy UpdateReplacePolicy",
    ),
    (
        "functions.*",
        "architecture awsKmsKeyArn build condition dependsOn description destinations disableLogs durableConfig \
         environment ephemeralStorageSize events fileSystemConfig handler httpApi image kmsKeyArn layers \
         logDataProtectionPolicy logRetentionInDays logs maximumEventAge maximumRetryAttempts memorySize name onError \
         package provisionedConcurrency recursiveLoop reservedConcurrency role runtime runtimeManagement snapStart tags \
         timeout tracing url versionFunction vpc",
    ),
    ("functions.*.destinations", "onFailure onSuccess"),
    ("functions.*.durableConfig", "executionTimeout retentionPeriodInDays"),
    ("functions.*.fileSystemConfig", "arn localMountPath"),
    ("functions.*.httpApi", "payload"),
    ("functions.*.logs", "applicationLogLevel logFormat logGroup systemLogLevel"),
    (
        "functions.*.package",
        "artifact disable exclude excludeDevDependencies include individually patterns",
    ),
    ("functions.*.runtimeManagement", "arn mode"),
    ("functions.*.url", "authorizer cors invokeMode"),
    (
        "functions.*.url.cors",
        "allowCredentials allowedHeaders allowedMethods allowedOrigins exposedResponseHeaders maxAge",
    ),
    ("functions.*.vpc", "ipv6AllowedForDualStack securityGroupIds subnetIds"),
    (
        "functions.*.events[]",
        "activemq alb alexaSkill alexaSmartHome cloudFront cloudwatchEvent cloudwatchLog cognitoUserPool eventBridge \
         http httpApi iot iotFleetProvisioning kafka msk rabbitmq s3 schedule sns sqs stream websocket",
    ),
    (
        "functions.*.events[].http",
        "async authorizer connectionId connectionType cors documentation integration method operationId path private \
         request response timeoutInMillis",
    ),
    (
        "functions.*.events[].http.authorizer",
        "arn authorizerId claims identitySource identityValidationExpression managedExternally name \
         resultTtlInSeconds scopes type",
    ),
    (
        "functions.*.events[].http.cors",
        "allowCredentials cacheControl headers maxAge methods origin origins",
    ),
    (
        "functions.*.events[].http.request",
        "contentHandling method parameters passThrough schema schemas template uri",
    ),
    ("functions.*.events[].http.request.parameters", "headers paths querystrings"),
    (
        "functions.*.events[].http.response",
        "contentHandling headers statusCodes template transferMode",
    ),
    ("functions.*.events[].httpApi", "authorizer method path"),
    ("functions.*.events[].httpApi.authorizer", "id name scopes type"),
    ("functions.*.events[].websocket", "authorizer route routeResponseSelectionExpression"),
    (
        "functions.*.events[].schedule",
        "description enabled groupName input inputPath inputTransformer method name rate roleArn timezone",
    ),
    (
        "functions.*.events[].sns",
        "arn displayName filterPolicy filterPolicyScope redrivePolicy topicName",
    ),
    (
        "functions.*.events[].sqs",
        "arn batchSize enabled filterPatterns functionResponseType maximumBatchingWindow maximumConcurrency",
    ),
    (
        "functions.*.events[].stream",
        "arn batchSize batchWindow bisectBatchOnFunctionError consumer destinations enabled filterPatterns \
         functionResponseType maximumRecordAgeInSeconds maximumRetryAttempts parallelizationFactor startingPosition \
         startingPositionTimestamp tumblingWindowInSeconds type",
    ),
    ("functions.*.events[].s3", "bucket event existing forceDeploy rules"),
    ("functions.*.events[].cloudwatchLog", "filter logGroup"),
    (
        "functions.*.events[].cloudwatchEvent",
        "description enabled event input inputPath inputTransformer name",
    ),
    (
        "functions.*.events[].eventBridge",
        "deadLetterQueueArn description enabled eventBus input inputPath inputTransformer name pattern retryPolicy \
         schedule",
    ),
    (
        "provider",
        "alb apiGateway apiKeys apiName architecture build cfLogs cfnRole cloudFront deletionProtection deploymentBucket \
         deploymentMethod deploymentPrefix disableDefaultOutputExportNames disableRollback ecr endpointType environment \
         eventBridge httpApi iam iamManagedPolicies iamRoleStatements kinesis kmsKeyArn lambdaHashingVersion layers \
         logDataProtectionPolicy logRetentionInDays logs memorySize name notificationArns profile pruneFunctionVersions \
         region resolver resourcePolicy role rolePermissionsBoundary rollbackConfiguration runtime runtimeManagement s3 \
         stackName stackParameters stackPolicy stackTags stage tags timeout tracing usagePlan variableSyntax \
         versionFunctions vpc vpcEndpointIds websocket websocketsApiName websocketsApiRouteSelectionExpression \
         websocketsDescription",
    ),
    (
        "provider.apiGateway",
        "apiKeySourceType apiKeys binaryMediaTypes description disableDefaultEndpoint endpoint metrics \
         minimumCompressionSize request resourcePolicy restApiId restApiResources restApiRootResourceId \
         shouldStartNameWithService stage timeoutInMillis usagePlan websocketApiId",
    ),
    (
        "provider.deploymentBucket",
        "blockPublicAccess maxPreviousDeploymentArtifacts name serverSideEncryption skipPolicySetup \
         sseCustomerAlgorithim sseCustomerKey sseCustomerKeyMD5 sseKMSKeyId tags versioning",
    ),
    ("provider.eventBridge", "useCloudFormation"),
    (
        "provider.httpApi",
        "authorizers cors description disableDefaultEndpoint id metrics name payload shouldStartNameWithService timeout \
         useProviderTags",
    ),
    (
        "provider.httpApi.cors",
        "allowCredentials allowedHeaders allowedMethods allowedOrigins exposedResponseHeaders maxAge",
    ),
    (
        "provider.httpApi.authorizers.*",
        "audience enableSimpleResponses functionArn functionName identitySource issuerUrl managedExternally name \
         payloadVersion resultTtlInSeconds type",
    ),
    ("provider.iam", "deploymentRole role"),
    (
        "provider.iam.role",
        "managedPolicies name path permissionBoundary permissionsBoundary statements tags",
    ),
    ("provider.kinesis", "consumerNamingMode"),
    ("provider.logs", "frameworkLambda httpApi lambda restApi websocket"),
    (
        "provider.logs.restApi",
        "accessLogging executionLogging format fullExecutionData level role roleManagedExternally",
    ),
    ("provider.logs.websocket", "accessLogging executionLogging format fullExecutionData level"),
    ("provider.logs.lambda", "applicationLogLevel logFormat logGroup systemLogLevel"),
    ("provider.tracing", "apiGateway lambda"),
    ("provider.vpc", "ipv6AllowedForDualStack securityGroupIds subnetIds"),
];

/// Notices beyond these are not made: one is enough for who has mistaken the kind of file.
const NOTICES_MAX: usize = 50;

/// The document's oddities.
pub(super) fn check(tree: &Node, document: &Value) -> Result<Vec<Notice>, Problem> {
    let mode = document["configValidationMode"].as_str().unwrap_or("warn");
    if mode == "off" {
        return Ok(Vec::new());
    }
    let mut notices = Vec::new();
    visit(tree, "", "", &mut notices);
    function_names(tree, &mut notices);
    events(tree, document, &mut notices);
    notices.truncate(NOTICES_MAX);
    match notices.first() {
        Some(first) if mode == "error" => {
            let message = format!("Configuration error {}", first.message);
            let problem = Problem::new(message);
            Err(match first.at {
                Some(at) => problem.at(at),
                None => problem,
            })
        }
        _ => Ok(notices),
    }
}

/// `pattern` is the place as the table writes it, `place` as the document has it.
fn visit(node: &Node, pattern: &str, place: &str, notices: &mut Vec<Notice>) {
    match &node.value {
        yaml::Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{pattern}[]"), &format!("{place}.{index}"), notices);
            }
        }
        yaml::Value::Map(members) if !is_function(node) => {
            let known = KNOWN.iter().find(|(known, _)| *known == pattern).map(|(_, names)| names);
            for (key, member) in members {
                let name = key.text.as_str();
                let is_known =
                    known.is_none_or(|names| names.split(' ').any(|known| known == name));
                if !is_known {
                    let place =
                        if place.is_empty() { "root".to_owned() } else { format!("'{place}'") };
                    let message = format!("at {place}: unrecognized property '{name}'");
                    notices.push(Notice { message, at: Some(key.at) });
                    continue;
                }
                let (exact, any) = (within(pattern, name), within(pattern, "*"));
                let has = |pattern: &str| {
                    KNOWN.iter().any(|(known, _)| {
                        known.strip_prefix(pattern).is_some_and(|rest| {
                            rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
                        })
                    })
                };
                let next = if has(&exact) { exact } else { any };
                if has(&next) {
                    visit(member, &next, &within(place, name), notices);
                }
            }
        }
        _ => {}
    }
}

fn within(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// A value that CloudFormation computes.
fn is_function(node: &Node) -> bool {
    node.tag.is_some()
        || node.members().iter().any(|(key, _)| key.text == "Ref" || key.text.starts_with("Fn::"))
}

fn function_names(tree: &Node, notices: &mut Vec<Notice>) {
    let functions = tree.get("functions").map(Node::members).unwrap_or_default();
    for (key, _) in functions {
        if key.text.is_empty()
            || !key.text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        {
            let message = format!("at 'functions': name '{}' must be alphanumeric", key.text);
            notices.push(Notice { message, at: Some(key.at) });
        }
    }
}

/// The one short form that older versions took otherwise: a path without its slash.
fn events(tree: &Node, document: &Value, notices: &mut Vec<Notice>) {
    const METHODS: &str = "GET|POST|PUT|PATCH|OPTIONS|HEAD|DELETE|ANY";
    let Some(functions) = document["functions"].as_object() else { return };
    for (key, function) in functions {
        for (index, event) in items(&function["events"]).iter().enumerate() {
            let Some(short) = event["http"].as_str() else { continue };
            let is_plain = short.split_once(' ').is_some_and(|(method, path)| {
                METHODS.split('|').any(|known| known.eq_ignore_ascii_case(method))
                    && path.starts_with('/')
            });
            if !is_plain && short != "*" {
                let at = tree
                    .get("functions")
                    .and_then(|functions| functions.get(key)?.get("events"))
                    .map(|events| match &events.value {
                        yaml::Value::List(items) => {
                            items.get(index).map_or(events.at, |item| item.at)
                        }
                        _ => events.at,
                    });
                let message = format!(
                    "at 'functions.{key}.events.{index}.http': value '{short}' does not satisfy pattern \
                     /^(?:\\*|({METHODS}) (\\/\\S*))$/i"
                );
                notices.push(Notice { message, at });
            }
        }
    }
}
