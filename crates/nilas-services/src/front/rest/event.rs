//! What a function with proxy integration gets.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::exchange::{Exchange, Multi, Single};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    resource: &'a str,
    path: &'a str,
    http_method: &'a str,
    headers: Option<Single<'a>>,
    multi_value_headers: Option<&'a Multi>,
    query_string_parameters: Option<Single<'a>>,
    multi_value_query_string_parameters: Option<&'a Multi>,
    path_parameters: Option<Pairs<'a>>,
    stage_variables: Option<Pairs<'a>>,
    request_context: RequestContext<'a>,
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<&'a Map<String, Value>>,
    resource_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_name: Option<&'a str>,
    http_method: &'a str,
    extended_request_id: &'a str,
    request_time: String,
    path: &'a str,
    account_id: &'a str,
    protocol: &'a str,
    stage: &'a str,
    domain_prefix: &'a str,
    request_time_epoch: u64,
    request_id: &'a str,
    identity: Identity<'a>,
    domain_name: &'a str,
    deployment_id: &'a str,
    api_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    cognito_identity_pool_id: Option<&'a str>,
    account_id: Option<&'a str>,
    cognito_identity_id: Option<&'a str>,
    caller: Option<&'a str>,
    source_ip: &'a str,
    principal_org_id: Option<&'a str>,
    access_key: Option<&'a str>,
    cognito_authentication_type: Option<&'a str>,
    cognito_authentication_provider: Option<&'a str>,
    user_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<&'a str>,
    user_agent: Option<&'a str>,
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
}

/// Pairs as an object.
struct Pairs<'a>(&'a [(String, String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The event of a proxy integration, JSON.
pub(super) fn proxy_event(exchange: &Exchange) -> Vec<u8> {
    let some = |pairs: &'_ [(String, String)]| !pairs.is_empty();
    let (variables, stage) = (exchange.variables(), exchange.stage.variables.as_slice());
    let has_query = !exchange.query.is_empty();
    let event = Event {
        resource: exchange.found.as_ref().map_or("/", |found| found.resource.path.as_str()),
        path: &exchange.path,
        http_method: &exchange.verb,
        headers: Some(Single(&exchange.headers)),
        multi_value_headers: Some(&exchange.headers),
        query_string_parameters: has_query.then_some(Single(&exchange.query)),
        multi_value_query_string_parameters: has_query.then_some(&exchange.query),
        path_parameters: some(variables).then_some(Pairs(variables)),
        stage_variables: some(stage).then_some(Pairs(stage)),
        request_context: request_context(exchange),
        body: match exchange.body_is_binary {
            _ if exchange.body.is_empty() => None,
            true => Some(BASE64.encode(&exchange.body)),
            false => Some(exchange.body_text().into_owned()),
        },
        is_base64_encoded: exchange.body_is_binary,
    };
    let mut bytes = Vec::with_capacity(2_048 + exchange.body.len() * 2);
    serde_json::to_writer(&mut bytes, &event).expect("an event has text keys only");
    bytes
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerEvent<'a> {
    r#type: &'a str,
    method_arn: String,
    resource: &'a str,
    path: &'a str,
    http_method: &'a str,
    headers: Single<'a>,
    multi_value_headers: &'a Multi,
    query_string_parameters: Single<'a>,
    multi_value_query_string_parameters: &'a Multi,
    path_parameters: Pairs<'a>,
    stage_variables: Pairs<'a>,
    request_context: RequestContext<'a>,
}

/// The event of a REQUEST authorizer, JSON.
pub(super) fn authorizer_event(exchange: &Exchange) -> Vec<u8> {
    let event = AuthorizerEvent {
        r#type: "REQUEST",
        method_arn: exchange.method_arn(),
        resource: exchange.found.as_ref().map_or("/", |found| found.resource.path.as_str()),
        path: &exchange.path,
        http_method: &exchange.verb,
        headers: Single(&exchange.headers),
        multi_value_headers: &exchange.headers,
        query_string_parameters: Single(&exchange.query),
        multi_value_query_string_parameters: &exchange.query,
        path_parameters: Pairs(exchange.variables()),
        stage_variables: Pairs(&exchange.stage.variables),
        request_context: request_context(exchange),
    };
    serde_json::to_vec(&event).expect("an event has text keys only")
}

/// `$context` of templates: the event's `requestContext`.
pub(super) fn context(exchange: &Exchange) -> Value {
    serde_json::to_value(request_context(exchange)).unwrap_or_default()
}

/// What `context.PATH` names.
pub(super) fn context_value(exchange: &Exchange, path: &str) -> Option<Value> {
    let context = context(exchange);
    let found = path.split('.').try_fold(&context, |at, key| at.get(key))?;
    (!found.is_null()).then(|| found.clone())
}

fn request_context(exchange: &Exchange) -> RequestContext<'_> {
    let found = exchange.found.as_ref();
    let time = jiff::Timestamp::from_millisecond(i64::try_from(exchange.now_ms).unwrap_or(0));
    let time = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    RequestContext {
        resource_id: found.map(|found| found.resource.id.as_str()),
        authorizer: exchange.authorizer.as_deref(),
        resource_path: found.map_or("/", |found| found.resource.path.as_str()),
        operation_name: found.and_then(|found| found.method.operation_name.as_deref()),
        http_method: &exchange.verb,
        extended_request_id: &exchange.extended_id,
        request_time: time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        path: &exchange.full_path,
        account_id: exchange.api.account.as_str(),
        protocol: exchange.protocol,
        stage: &exchange.stage.name,
        domain_prefix: exchange.domain.split('.').next().unwrap_or_default(),
        request_time_epoch: exchange.now_ms,
        request_id: &exchange.request_id,
        identity: identity(exchange),
        domain_name: &exchange.domain,
        deployment_id: &exchange.stage.deployment,
        api_id: &exchange.api.id,
    }
}

fn identity(exchange: &Exchange) -> Identity<'_> {
    let signer = exchange.caller.as_ref().ok().filter(|_| exchange.iam);
    Identity {
        cognito_identity_pool_id: None,
        account_id: signer.map(|auth| auth.account.as_str()),
        cognito_identity_id: None,
        caller: signer.map(|auth| auth.account.as_str()),
        source_ip: &exchange.source_ip,
        principal_org_id: None,
        access_key: signer.map(|auth| auth.access_key_id.as_str()),
        cognito_authentication_type: None,
        cognito_authentication_provider: None,
        user_arn: exchange.user_arn(),
        api_key_id: exchange.api_key.as_ref().map(|(_, id)| id.as_str()),
        user_agent: exchange.headers.header_text("user-agent"),
        user: signer.map(|auth| auth.account.as_str()),
        api_key: exchange.api_key.as_ref().map(|(value, _)| value.as_str()),
    }
}
