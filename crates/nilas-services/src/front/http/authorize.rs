//! Whether a caller may: signatures, tokens, and functions that say so.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use nilas_wire::{ApiResponse, percent};
use serde_json::{Map, Value};

use super::exchange::{Authorized, Exchange};
use super::jwt::{self, Flaw, Token};
use super::snapshot::{Authorization, Authorizer, TokenAuthorizer};
use super::{Cx, call, event, internal_error};
use crate::front::message;

/// Who the caller is, or the answer that turns it away.
pub(in crate::front) async fn check(
    cx: &Cx<'_>,
    exchange: &Exchange,
) -> Result<Authorized, ApiResponse> {
    match &exchange.found.route.authorization {
        Authorization::None => Ok(Authorized::Nobody),
        Authorization::Iam => match &exchange.caller {
            Ok(_) => Ok(Authorized::Iam),
            Err(_) => Err(message(StatusCode::FORBIDDEN, "Forbidden")),
        },
        Authorization::Lambda(authorizer) => ask(cx, exchange, authorizer).await,
        Authorization::Jwt { authorizer, scopes } => token(cx, exchange, authorizer, scopes).await,
    }
}

async fn token(
    cx: &Cx<'_>,
    exchange: &Exchange,
    authorizer: &TokenAuthorizer,
    scopes: &[String],
) -> Result<Authorized, ApiResponse> {
    let Some(text) = value_of(exchange, &authorizer.source) else {
        return Err(challenge(StatusCode::UNAUTHORIZED, "Unauthorized", "Bearer"));
    };
    let text = text.strip_prefix("Bearer ").or(text.strip_prefix("bearer ")).unwrap_or(&text);
    let trust = &authorizer.trust;
    let claims = async {
        let token = Token::parse(text.trim())?;
        let key = cx.doors.issuers.key(&trust.issuer, &token.key_id, cx.now_ms).await;
        token.verify(&key.ok_or(Flaw::Key)?, trust, cx.now_ms)
    };
    let claims = claims.await.map_err(|flaw| {
        let text = format!(r#"Bearer scope="" error="invalid_token" error_description="{flaw}""#);
        challenge(StatusCode::UNAUTHORIZED, "Unauthorized", &text)
    })?;
    if !jwt::has_scope(&claims, scopes) {
        let text = format!(r#"Bearer scope="{}" error="insufficient_scope""#, scopes.join(" "));
        return Err(challenge(StatusCode::FORBIDDEN, "Forbidden", &text));
    }
    Ok(Authorized::Jwt { claims: jwt::texts(&claims), scopes: scopes.to_vec() })
}

fn challenge(status: StatusCode, text: &str, challenge: &str) -> ApiResponse {
    let mut response = message(status, text);
    response.set_header("www-authenticate", challenge);
    response
}

async fn ask(
    cx: &Cx<'_>,
    exchange: &Exchange,
    authorizer: &Authorizer,
) -> Result<Authorized, ApiResponse> {
    let identity: Option<Vec<String>> =
        authorizer.sources.iter().map(|source| value_of(exchange, source)).collect();
    let Some(identity) = identity else {
        return Err(message(StatusCode::UNAUTHORIZED, "Unauthorized"));
    };
    let said = match decided(cx, exchange, authorizer, &identity) {
        Some(said) => said,
        None => decide(cx, exchange, authorizer, &identity).await?,
    };
    let is_allowed = if authorizer.is_simple {
        said["isAuthorized"].as_bool().ok_or_else(internal_error)?
    } else {
        let statements = said["policyDocument"]["Statement"].as_array();
        allows(statements.ok_or_else(internal_error)?, &exchange.request_arn())
    };
    if !is_allowed {
        return Err(message(StatusCode::FORBIDDEN, "Forbidden"));
    }
    let mut context = said["context"].as_object().cloned().unwrap_or_default();
    if !authorizer.is_v2 {
        context = with_principal(context, &said);
    }
    Ok(Authorized::Lambda(context))
}

/// What an answer is kept under. Who cannot be told apart from others is asked for each time.
fn decision_key(
    exchange: &Exchange,
    authorizer: &Authorizer,
    identity: &[String],
) -> Option<String> {
    if authorizer.ttl_s == 0 || identity.is_empty() || exchange.connection_id.is_some() {
        return None;
    }
    let Exchange { api, stage, deployment, .. } = exchange;
    let identity = serde_json::json!(identity);
    Some(format!("{}/{stage}/{deployment}/{}/{identity}", api.id, authorizer.id))
}

fn decided(
    cx: &Cx<'_>,
    exchange: &Exchange,
    authorizer: &Authorizer,
    identity: &[String],
) -> Option<Arc<Value>> {
    cx.doors.decisions.get(&decision_key(exchange, authorizer, identity)?, cx.now_ms)
}

/// Asks the authorizer's function.
async fn decide(
    cx: &Cx<'_>,
    exchange: &Exchange,
    authorizer: &Authorizer,
    identity: &[String],
) -> Result<Arc<Value>, ApiResponse> {
    let payload = event::of_authorizer(exchange, identity, authorizer.is_v2);
    let api = &exchange.api;
    let source = format!(
        "arn:aws:execute-api:{}:{}:{}/authorizers/{}",
        api.region, api.account, api.id, authorizer.id
    );
    let function = call::Function {
        arn: &authorizer.function,
        source: (!authorizer.has_role).then_some(source.as_str()),
        timeout: call::AUTHORIZER_TIMEOUT,
    };
    let answered = call::function(cx.lambda, exchange, &function, Bytes::from(payload)).await;
    let payload = answered.map_err(|_| internal_error())?;
    let said: Value = serde_json::from_slice(&payload).map_err(|_| internal_error())?;
    let said = Arc::new(said);
    let is_answer = said["isAuthorized"].is_boolean() || said["policyDocument"].is_object();
    if is_answer && let Some(key) = decision_key(exchange, authorizer, identity) {
        let until = (cx.now_ms, authorizer.ttl_s);
        cx.doors.decisions.put(key, Arc::clone(&said), payload.len(), until);
    }
    Ok(said)
}

fn with_principal(mut context: Map<String, Value>, said: &Value) -> Map<String, Value> {
    if let Some(principal) = said.get("principalId") {
        context.insert("principalId".to_owned(), principal.clone());
    }
    context
}

/// A statement that denies decides; else one that allows. A condition, which is not evaluated here, never allows.
fn allows(statements: &[Value], arn: &str) -> bool {
    let effects = |effect: &str| {
        statements.iter().any(|statement| {
            let fits = |name: &str, text: &str| match &statement[name] {
                Value::String(pattern) => like(pattern, text),
                Value::Array(patterns) => {
                    patterns.iter().filter_map(Value::as_str).any(|pattern| like(pattern, text))
                }
                _ => false,
            };
            let conditional = effect == "Allow" && statement.get("Condition").is_some();
            statement["Effect"] == effect
                && !conditional
                && fits("Action", "execute-api:Invoke")
                && fits("Resource", arn)
        })
    };
    !effects("Deny") && effects("Allow")
}

/// Whether `text` fits `pattern`, in which `*` is anything and `?` any one character.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len()
            && (pattern[p] == b'?' || pattern[p].eq_ignore_ascii_case(&text[t]))
        {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// The value of an identity source, as `$request.header.Authorization`; none if it is missing or empty.
fn value_of(exchange: &Exchange, source: &str) -> Option<String> {
    // WebSocket APIs have `route.request.header.Auth`, HTTP APIs `$request.header.Auth`.
    let short = source.strip_prefix("route.").or_else(|| source.strip_prefix('$'));
    let (kind, name) = short.unwrap_or(source).rsplit_once('.')?;
    let found = match kind {
        "request.header" => exchange.headers.get(&name.to_ascii_lowercase()).cloned(),
        "request.querystring" => {
            percent::query_value(&exchange.request.query, name).map(std::borrow::Cow::into_owned)
        }
        "stageVariables" => {
            exchange.variables.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone())
        }
        "context" => match name {
            "stage" => Some(exchange.stage.clone()),
            "routeKey" => Some(exchange.found.route.key.clone()),
            "httpMethod" => Some(exchange.request.method.to_string()),
            "path" => Some(exchange.path.clone()),
            _ => None,
        },
        _ => None,
    };
    found.filter(|value| !value.is_empty())
}
