//! What functions behind WebSocket APIs get.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::connections::Connection;
use crate::front::http::{Authorized, Exchange, event_time, pairs};

/// Eleven bytes and a `=`, as AWS's look.
pub(super) fn request_id() -> String {
    format!("{}=", BASE64_URL.encode(&Uuid::new_v4().as_bytes()[..11]))
}

pub(super) fn connect(exchange: &Exchange, connection: &Connection, now_ms: u64) -> Value {
    let mut event = with_request(exchange);
    let mut context = context(exchange, connection, "$connect", &request_id(), now_ms);
    context["eventType"] = "CONNECT".into();
    event.insert("requestContext".to_owned(), context);
    event.insert("isBase64Encoded".to_owned(), false.into());
    event.into()
}

pub(super) fn disconnect(
    exchange: &Exchange,
    connection: &Connection,
    (status, reason): (u16, &str),
    now_ms: u64,
) -> Value {
    let mut context = context(exchange, connection, "$disconnect", &request_id(), now_ms);
    context["eventType"] = "DISCONNECT".into();
    context["disconnectStatusCode"] = status.into();
    context["disconnectReason"] = reason.into();
    let headers = json!({
        "Host": exchange.domain_name(), "x-api-key": "", "X-Forwarded-For": exchange.source_ip, "x-restapi": "",
    });
    let many = headers.as_object().into_iter().flatten();
    let many: Map<String, Value> =
        many.map(|(name, value)| (name.clone(), json!([value]))).collect();
    let mut event = Map::new();
    event.insert("headers".to_owned(), headers);
    event.insert("multiValueHeaders".to_owned(), many.into());
    event.insert("requestContext".to_owned(), context);
    event.insert("isBase64Encoded".to_owned(), false.into());
    with_variables(&mut event, exchange);
    event.into()
}

pub(super) fn message(
    exchange: &Exchange,
    connection: &Connection,
    (route, text): (&str, &str),
    request_id: &str,
    now_ms: u64,
) -> Value {
    let mut context = context(exchange, connection, route, request_id, now_ms);
    context["eventType"] = "MESSAGE".into();
    context["messageId"] = self::request_id().into();
    let mut event = Map::new();
    event.insert("requestContext".to_owned(), context);
    event.insert("body".to_owned(), text.into());
    event.insert("isBase64Encoded".to_owned(), false.into());
    with_variables(&mut event, exchange);
    event.into()
}

/// What a client is told of a message that came to nothing.
pub(super) fn failure(text: &str, connection: &Connection, request_id: &str) -> String {
    json!({ "message": text, "connectionId": connection.id, "requestId": request_id }).to_string()
}

fn with_variables(event: &mut Map<String, Value>, exchange: &Exchange) {
    if !exchange.variables.is_empty() {
        event.insert("stageVariables".to_owned(), pairs(&exchange.variables));
    }
}

/// Headers and query of the request that connected.
fn with_request(exchange: &Exchange) -> Map<String, Value> {
    let mut event = Map::new();
    let many = exchange.headers.iter().map(|(name, value)| (name.clone(), json!([value])));
    let many: Map<String, Value> = many.collect();
    event.insert("headers".to_owned(), json!(exchange.headers));
    event.insert("multiValueHeaders".to_owned(), many.into());
    let query = exchange.query();
    if !query.is_empty() {
        let last = query.iter().map(|(name, values)| (name.clone(), json!(values.last())));
        let last: Map<String, Value> = last.collect();
        let many: Map<String, Value> =
            query.iter().map(|(name, values)| (name.clone(), json!(values))).collect();
        event.insert("queryStringParameters".to_owned(), last.into());
        event.insert("multiValueQueryStringParameters".to_owned(), many.into());
    }
    with_variables(&mut event, exchange);
    event
}

fn context(
    exchange: &Exchange,
    connection: &Connection,
    route: &str,
    request_id: &str,
    now_ms: u64,
) -> Value {
    let mut identity = json!({ "sourceIp": connection.source_ip });
    if !connection.user_agent.is_empty() {
        identity["userAgent"] = connection.user_agent.as_str().into();
    }
    let mut context = json!({
        "routeKey": route,
        "extendedRequestId": request_id,
        "requestTime": event_time(now_ms),
        "messageDirection": "IN",
        "stage": exchange.stage,
        "connectedAt": connection.connected_ms,
        "requestTimeEpoch": now_ms,
        "identity": identity,
        "requestId": request_id,
        "domainName": exchange.domain_name(),
        "connectionId": connection.id,
        "apiId": exchange.api.id,
    });
    if let Authorized::Lambda(said) = &exchange.authorizer {
        context["authorizer"] = said.clone().into();
    }
    context
}

/// The event of the authorizer of `$connect`.
pub(crate) fn of_authorizer(exchange: &Exchange) -> Value {
    let mut event = with_request(exchange);
    event.insert("type".to_owned(), "REQUEST".into());
    event.insert("methodArn".to_owned(), exchange.socket_arn("$connect").into());
    let request_id = request_id();
    let context = json!({
        "routeKey": "$connect",
        "eventType": "CONNECT",
        "extendedRequestId": request_id,
        "requestTime": event_time(exchange.now_ms),
        "messageDirection": "IN",
        "stage": exchange.stage,
        "connectedAt": exchange.now_ms,
        "requestTimeEpoch": exchange.now_ms,
        "identity": { "sourceIp": exchange.source_ip },
        "requestId": request_id,
        "domainName": exchange.domain_name(),
        "connectionId": exchange.connection_id,
        "apiId": exchange.api.id,
    });
    event.insert("requestContext".to_owned(), context);
    event.into()
}
