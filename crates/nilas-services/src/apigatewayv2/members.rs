//! Resources as data: which members there are and of which shape. One form is read, stored and answered.

use nilas_wire::Fault;
use serde_json::{Map, Value};

use super::fault::bad;

pub(crate) type Members = Map<String, Value>;

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Integer,
    Flag,
    Texts,
    /// A JSON object whose members are stored as they are.
    Object,
}

pub(super) type Table = &'static [(&'static str, Shape)];

use Shape::{Flag, Integer, Object, Text, Texts};

pub(super) const API: Table = &[
    ("apiKeySelectionExpression", Text),
    ("corsConfiguration", Object),
    ("description", Text),
    ("disableExecuteApiEndpoint", Flag),
    ("disableSchemaValidation", Flag),
    ("ipAddressType", Text),
    ("name", Text),
    ("protocolType", Text),
    ("routeSelectionExpression", Text),
    ("tags", Object),
    ("version", Text),
];
pub(super) const ROUTE: Table = &[
    ("apiKeyRequired", Flag),
    ("authorizationScopes", Texts),
    ("authorizationType", Text),
    ("authorizerId", Text),
    ("modelSelectionExpression", Text),
    ("operationName", Text),
    ("requestModels", Object),
    ("requestParameters", Object),
    ("routeKey", Text),
    ("routeResponseSelectionExpression", Text),
    ("target", Text),
];
pub(super) const ROUTE_RESPONSE: Table = &[
    ("modelSelectionExpression", Text),
    ("responseModels", Object),
    ("responseParameters", Object),
    ("routeResponseKey", Text),
];
pub(super) const INTEGRATION: Table = &[
    ("connectionId", Text),
    ("connectionType", Text),
    ("contentHandlingStrategy", Text),
    ("credentialsArn", Text),
    ("description", Text),
    ("integrationMethod", Text),
    ("integrationSubtype", Text),
    ("integrationType", Text),
    ("integrationUri", Text),
    ("passthroughBehavior", Text),
    ("payloadFormatVersion", Text),
    ("requestParameters", Object),
    ("requestTemplates", Object),
    ("responseParameters", Object),
    ("templateSelectionExpression", Text),
    ("timeoutInMillis", Integer),
    ("tlsConfig", Object),
];
pub(super) const AUTHORIZER: Table = &[
    ("authorizerCredentialsArn", Text),
    ("authorizerPayloadFormatVersion", Text),
    ("authorizerResultTtlInSeconds", Integer),
    ("authorizerType", Text),
    ("authorizerUri", Text),
    ("enableSimpleResponses", Flag),
    ("identitySource", Texts),
    ("identityValidationExpression", Text),
    ("jwtConfiguration", Object),
    ("name", Text),
];
pub(super) const STAGE: Table = &[
    ("accessLogSettings", Object),
    ("autoDeploy", Flag),
    ("clientCertificateId", Text),
    ("defaultRouteSettings", Object),
    ("deploymentId", Text),
    ("description", Text),
    ("routeSettings", Object),
    ("stageName", Text),
    ("stageVariables", Object),
    ("tags", Object),
];

/// The body as an object; an empty one is `{}`.
pub(super) fn body(body: &[u8]) -> Result<Members, Fault> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(bad("Invalid request body: a JSON object is expected")),
    }
}

/// The members of `body` that `known` lists, each in its shape. Others are ignored, as AWS does.
pub(super) fn take(known: Table, body: &Members) -> Result<Members, Fault> {
    let mut taken = Map::new();
    for (name, shape) in known {
        let Some(value) = body.get(*name).filter(|value| !value.is_null()) else { continue };
        let fits = match shape {
            Text => value.is_string(),
            Integer => value.is_i64(),
            Flag => value.is_boolean(),
            Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Object => value.is_object(),
        };
        if !fits {
            return Err(bad(format!("{name} is of the wrong type")));
        }
        taken.insert((*name).to_owned(), value.clone());
    }
    Ok(taken)
}

pub(crate) fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

pub(crate) fn flag(members: &Members, name: &str) -> bool {
    members.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// The texts of a list; empty, too, if it is not there.
pub(crate) fn texts(members: &Members, name: &str) -> Vec<String> {
    let items = members.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
