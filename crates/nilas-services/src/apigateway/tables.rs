//! The members of each kind of resource that callers may set.

use super::shape::{FLAG_MAP, Member, Shape, TEXT_MAP, member};

use Shape::{Flag, Integer, Map, Number, Object, Text, Texts};

pub(crate) const ENDPOINT: Shape = Object(&[
    member("types", Texts),
    member("ipAddressType", Text),
    member("vpcEndpointIds", Texts),
]);

pub(crate) const REST_API: &[Member] = &[
    member("name", Text),
    member("description", Text),
    member("version", Text),
    member("binaryMediaTypes", Texts),
    member("minimumCompressionSize", Integer),
    member("apiKeySource", Text),
    member("endpointConfiguration", ENDPOINT),
    member("policy", Text),
    member("disableExecuteApiEndpoint", Flag),
    member("securityPolicy", Text),
    member("endpointAccessMode", Text),
];

pub(crate) const METHOD: &[Member] = &[
    member("authorizationType", Text),
    member("authorizerId", Text),
    member("apiKeyRequired", Flag),
    member("requestValidatorId", Text),
    member("operationName", Text),
    member("requestParameters", FLAG_MAP),
    member("requestModels", TEXT_MAP),
    member("authorizationScopes", Texts),
];

pub(crate) const METHOD_RESPONSE: &[Member] =
    &[member("responseParameters", FLAG_MAP), member("responseModels", TEXT_MAP)];

pub(crate) const INTEGRATION: &[Member] = &[
    member("type", Text),
    member("httpMethod", Text),
    member("uri", Text),
    member("connectionType", Text),
    member("connectionId", Text),
    member("credentials", Text),
    member("requestParameters", TEXT_MAP),
    member("requestTemplates", TEXT_MAP),
    member("passthroughBehavior", Text),
    member("cacheNamespace", Text),
    member("cacheKeyParameters", Texts),
    member("contentHandling", Text),
    member("timeoutInMillis", Integer),
    member("tlsConfig", Object(&[member("insecureSkipVerification", Flag)])),
    member("responseTransferMode", Text),
    member("integrationTarget", Text),
];

pub(crate) const INTEGRATION_RESPONSE: &[Member] = &[
    member("selectionPattern", Text),
    member("responseParameters", TEXT_MAP),
    member("responseTemplates", TEXT_MAP),
    member("contentHandling", Text),
];

pub(crate) const DEPLOYMENT: &[Member] = &[member("description", Text)];

const CANARY: Shape = Object(&[
    member("percentTraffic", Number),
    member("deploymentId", Text),
    member("stageVariableOverrides", TEXT_MAP),
    member("useStageCache", Flag),
]);

pub(crate) const METHOD_SETTING: &[Member] = &[
    member("metricsEnabled", Flag),
    member("loggingLevel", Text),
    member("dataTraceEnabled", Flag),
    member("throttlingBurstLimit", Integer),
    member("throttlingRateLimit", Number),
    member("cachingEnabled", Flag),
    member("cacheTtlInSeconds", Integer),
    member("cacheDataEncrypted", Flag),
    member("requireAuthorizationForCacheControl", Flag),
    member("unauthorizedCacheControlHeaderStrategy", Text),
];

pub(crate) const STAGE: &[Member] = &[
    member("deploymentId", Text),
    member("clientCertificateId", Text),
    member("description", Text),
    member("cacheClusterEnabled", Flag),
    member("cacheClusterSize", Text),
    member("variables", TEXT_MAP),
    member("documentationVersion", Text),
    member("accessLogSettings", Object(&[member("format", Text), member("destinationArn", Text)])),
    member("canarySettings", CANARY),
    member("tracingEnabled", Flag),
    member("methodSettings", Map(&Object(METHOD_SETTING))),
];

pub(crate) const AUTHORIZER: &[Member] = &[
    member("name", Text),
    member("type", Text),
    member("providerARNs", Texts),
    member("authType", Text),
    member("authorizerUri", Text),
    member("authorizerCredentials", Text),
    member("identitySource", Text),
    member("identityValidationExpression", Text),
    member("authorizerResultTtlInSeconds", Integer),
];

pub(crate) const MODEL: &[Member] = &[
    member("name", Text),
    member("description", Text),
    member("schema", Text),
    member("contentType", Text),
];

pub(crate) const REQUEST_VALIDATOR: &[Member] = &[
    member("name", Text),
    member("validateRequestBody", Flag),
    member("validateRequestParameters", Flag),
];

pub(crate) const GATEWAY_RESPONSE: &[Member] = &[
    member("statusCode", Text),
    member("responseParameters", TEXT_MAP),
    member("responseTemplates", TEXT_MAP),
];

pub(crate) const API_KEY: &[Member] = &[
    member("name", Text),
    member("description", Text),
    member("enabled", Flag),
    member("value", Text),
    member("customerId", Text),
];

pub(crate) const THROTTLE: Shape =
    Object(&[member("burstLimit", Integer), member("rateLimit", Number)]);

pub(crate) const USAGE_PLAN: &[Member] = &[
    member("name", Text),
    member("description", Text),
    member("throttle", THROTTLE),
    member(
        "quota",
        Object(&[member("limit", Integer), member("offset", Integer), member("period", Text)]),
    ),
    member("productCode", Text),
];

pub(crate) const DOMAIN_NAME: &[Member] = &[
    member("certificateName", Text),
    member("certificateArn", Text),
    member("regionalCertificateName", Text),
    member("regionalCertificateArn", Text),
    member("endpointConfiguration", ENDPOINT),
    member("securityPolicy", Text),
    member("endpointAccessMode", Text),
    member("ownershipVerificationCertificateArn", Text),
    member("routingMode", Text),
];

pub(crate) const BASE_PATH_MAPPING: &[Member] =
    &[member("basePath", Text), member("restApiId", Text), member("stage", Text)];

pub(crate) const ACCOUNT: &[Member] = &[member("cloudwatchRoleArn", Text)];
