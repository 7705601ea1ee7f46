//! What a function gets: payload formats 2.0 and 1.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use nilas_wire::ApiRequest;
use serde_json::{Map, Value, json};

use super::exchange::{Authorized, Exchange};
use crate::front::websocket;
use crate::sts;

/// The event of an integration, JSON. `is_v2` is of its payload format.
pub(super) fn of(exchange: &Exchange, is_v2: bool) -> Vec<u8> {
    let event = if is_v2 { version_2(exchange) } else { version_1(exchange) };
    event.to_string().into_bytes()
}

/// Pairs as an object, null if there are none.
pub(in crate::front) fn pairs(pairs: &[(String, String)]) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}

/// `19/Nov/2026:08:00:00 +0000`
pub(in crate::front) fn time(now_ms: u64) -> String {
    let time = i64::try_from(now_ms).unwrap_or(0);
    let time = jiff::Timestamp::from_millisecond(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

/// Base64-ish and ending in `=`, as HTTP APIs' are.
pub(super) fn request_id(request: &ApiRequest) -> String {
    format!("{}=", &request.request_id.hex()[..15])
}

fn version_2(exchange: &Exchange) -> Value {
    let request = &exchange.request;
    let mut headers = exchange.headers.clone();
    let cookies = headers
        .remove("cookie")
        .map(|line| line.split(';').map(|cookie| Value::from(cookie.trim())).collect::<Vec<_>>());
    let mut event = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            event.insert(name.to_owned(), value);
        }
    };
    set("version", "2.0".into());
    set("routeKey", exchange.found.route.key.as_str().into());
    set("rawPath", exchange.path.as_str().into());
    set("rawQueryString", request.query.as_str().into());
    set("cookies", cookies.into());
    set("headers", json!(headers));
    let query = exchange.query();
    let query: Vec<_> = query.into_iter().map(|(name, values)| (name, values.join(","))).collect();
    set("queryStringParameters", pairs(&query));
    set("requestContext", context_2(exchange));
    set("pathParameters", pairs(&exchange.found.variables));
    set("stageVariables", pairs(&exchange.variables));
    let (body, is_base64) = exchange.body();
    set("body", body.into());
    set("isBase64Encoded", is_base64.into());
    event.into()
}

fn context_2(exchange: &Exchange) -> Value {
    let mut context = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            context.insert(name.to_owned(), value);
        }
    };
    let domain = exchange.domain_name();
    set("accountId", exchange.api.account.as_str().into());
    set("apiId", exchange.api.id.as_str().into());
    set(
        "authorizer",
        match &exchange.authorizer {
            Authorized::Nobody => Value::Null,
            Authorized::Lambda(said) => json!({ "lambda": said }),
            Authorized::Jwt { claims, scopes } => {
                json!({ "jwt": { "claims": claims, "scopes": or_null(scopes) } })
            }
            Authorized::Iam => json!({ "iam": iam(exchange) }),
        },
    );
    set("domainName", domain.as_str().into());
    set("domainPrefix", domain.split('.').next().into());
    set(
        "http",
        json!({
            "method": exchange.request.method.as_str(),
            "path": exchange.path,
            "protocol": exchange.protocol,
            "sourceIp": exchange.source_ip,
            "userAgent": exchange.headers.get("user-agent").map_or("", String::as_str),
        }),
    );
    set("requestId", request_id(&exchange.request).into());
    set("routeKey", exchange.found.route.key.as_str().into());
    set("stage", exchange.stage.as_str().into());
    set("time", time(exchange.now_ms).into());
    set("timeEpoch", exchange.now_ms.into());
    context.into()
}

fn iam(exchange: &Exchange) -> Value {
    let Ok(auth) = &exchange.caller else { return Value::Null };
    json!({
        "accessKey": auth.access_key_id,
        "accountId": auth.account.as_str(),
        "callerId": auth.account.as_str(),
        "cognitoIdentity": null,
        "principalOrgId": null,
        "userArn": sts::caller_arn(auth),
        "userId": auth.account.as_str(),
    })
}

fn version_1(exchange: &Exchange) -> Value {
    let multi = exchange.headers.iter().map(|(name, value)| (name.clone(), json!([value])));
    let multi: Map<String, Value> = multi.collect();
    let query = exchange.query();
    let last = |(name, values): &(String, Vec<String>)| {
        (name.clone(), values.last().cloned().unwrap_or_default())
    };
    let single: Vec<_> = query.iter().map(last).collect();
    let many: Map<String, Value> =
        query.into_iter().map(|(name, values)| (name, values.into())).collect();
    let (body, is_base64) = exchange.body();
    json!({
        "version": "1.0",
        "resource": resource(exchange),
        "path": path_1(exchange),
        "httpMethod": exchange.request.method.as_str(),
        "headers": exchange.headers,
        "multiValueHeaders": multi,
        "queryStringParameters": pairs(&single),
        "multiValueQueryStringParameters": if many.is_empty() { Value::Null } else { many.into() },
        "requestContext": context_1(exchange),
        "pathParameters": pairs(&exchange.found.variables),
        "stageVariables": pairs(&exchange.variables),
        "body": body,
        "isBase64Encoded": is_base64,
    })
}

/// Format 1.0 has the base path of a custom domain in it, 2.0 has not.
fn path_1(exchange: &Exchange) -> &str {
    exchange.domain.as_ref().map_or(&exchange.path, |domain| &domain.path)
}

/// The path of the route, `$default` for that one.
fn resource(exchange: &Exchange) -> &str {
    let key = exchange.found.route.key.as_str();
    key.split_once(' ').map_or(key, |(_, path)| path)
}

fn context_1(exchange: &Exchange) -> Value {
    let domain = exchange.domain_name();
    let signer = match exchange.authorizer {
        Authorized::Iam => exchange.caller.as_ref().ok(),
        _ => None,
    };
    let mut context = json!({
        "accountId": exchange.api.account,
        "apiId": exchange.api.id,
        "domainName": domain,
        "domainPrefix": domain.split('.').next(),
        "extendedRequestId": request_id(&exchange.request),
        "httpMethod": exchange.request.method.as_str(),
        "identity": {
            "accessKey": signer.map(|auth| auth.access_key_id.as_str()),
            "accountId": signer.map(|auth| auth.account.as_str()),
            "caller": signer.map(|auth| auth.account.as_str()),
            "cognitoAuthenticationProvider": null,
            "cognitoAuthenticationType": null,
            "cognitoIdentityId": null,
            "cognitoIdentityPoolId": null,
            "principalOrgId": null,
            "sourceIp": exchange.source_ip,
            "user": signer.map(|auth| auth.account.as_str()),
            "userAgent": exchange.headers.get("user-agent").map_or("", String::as_str),
            "userArn": signer.map(sts::caller_arn),
        },
        "path": path_1(exchange),
        "protocol": exchange.protocol,
        "requestId": request_id(&exchange.request),
        "requestTime": time(exchange.now_ms),
        "requestTimeEpoch": exchange.now_ms,
        "resourceId": exchange.found.route.key,
        "resourcePath": resource(exchange),
        "stage": exchange.stage,
    });
    match &exchange.authorizer {
        Authorized::Lambda(said) => context["authorizer"] = said.clone().into(),
        Authorized::Jwt { claims, scopes } => {
            context["authorizer"] = json!({ "claims": claims, "scopes": or_null(scopes) });
        }
        Authorized::Nobody | Authorized::Iam => {}
    }
    context
}

/// A variable of `$context`, as text; none if there is no such.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>
pub(super) fn context_value(exchange: &Exchange, path: &str) -> Option<String> {
    if path == "routeKey" {
        return Some(exchange.found.route.key.clone());
    }
    let context = context_1(exchange);
    let found = path.split('.').try_fold(&context, |at, name| at.get(name))?;
    match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn or_null(scopes: &[String]) -> Value {
    if scopes.is_empty() { Value::Null } else { json!(scopes) }
}

/// The event of a REQUEST authorizer, JSON. `identity` are the values of its identity sources.
pub(super) fn of_authorizer(exchange: &Exchange, identity: &[String], is_v2: bool) -> Vec<u8> {
    if exchange.connection_id.is_some() {
        return websocket::of_authorizer(exchange).to_string().into_bytes();
    }
    let mut event = if is_v2 { version_2(exchange) } else { version_1(exchange) };
    event["type"] = "REQUEST".into();
    if let Some(members) = event.as_object_mut() {
        members.remove("body");
        members.remove("isBase64Encoded");
    }
    let arn = exchange.request_arn();
    if is_v2 {
        event["routeArn"] = arn.into();
        event["identitySource"] = json!(identity);
    } else {
        event["methodArn"] = arn.into();
        event["identitySource"] = identity.join(",").into();
        event["authorizationToken"] = identity.join(",").into();
    }
    event.to_string().into_bytes()
}
