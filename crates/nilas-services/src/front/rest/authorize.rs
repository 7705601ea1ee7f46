//! Who may call a method: signatures, Lambda authorizers, resource policies.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html>

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Doors;
use super::event;
use super::exchange::Exchange;
use super::integrate::function_arn;
use super::policy::{Call, Policy, Verdict};
use super::refusal::Refusal;
use super::snapshot::{Authorization, Authorizer};
use crate::lambda::Lambda;

/// Decisions kept; beyond it those that have expired go, then all.
const DECISIONS_MAX: usize = 10_000;
/// What authorizers have to answer in.
const AUTHORIZER_TIME_MAX: Duration = Duration::from_secs(30);

/// What an authorizer said, until it is to be asked again.
#[derive(Debug)]
pub(super) struct Decision {
    policy: Policy,
    /// `principalId` and what else functions are to know.
    context: Arc<Map<String, Value>>,
    usage_key: Option<String>,
}

/// Decisions by API, authorizer and what identified the caller.
#[derive(Debug, Default)]
pub(super) struct Decisions(Mutex<HashMap<String, (u64, Arc<Decision>)>>);

impl Decisions {
    fn get(&self, key: &str, now_ms: u64) -> Option<Arc<Decision>> {
        let decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.get(key).filter(|(until, _)| *until > now_ms).map(|(_, found)| Arc::clone(found))
    }

    fn put(&self, key: String, now_ms: u64, ttl_s: u64, decision: Arc<Decision>) {
        let mut decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.len() >= DECISIONS_MAX {
            decisions.retain(|_, (until, _)| *until > now_ms);
        }
        if decisions.len() >= DECISIONS_MAX {
            decisions.clear();
        }
        decisions.insert(key, (now_ms + ttl_s * 1_000, decision));
    }

    /// Forgets what was decided for the API `id`.
    pub(super) fn flush(&self, id: &str) {
        let prefix = format!("{id}/");
        let mut decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.retain(|key, _| !key.starts_with(&prefix));
    }
}

/// What the authorizer's function answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    principal_id: Option<String>,
    policy_document: Option<Value>,
    context: Option<Map<String, Value>>,
    usage_identifier_key: Option<String>,
}

/// Lets the request through or refuses it. Answers the API key that an authorizer named.
pub(super) async fn authorize(
    doors: &Doors,
    lambda: &Arc<Lambda>,
    exchange: &mut Exchange,
) -> Result<Option<String>, Refusal> {
    let Some(found) = &exchange.found else { return Err(missing_route(exchange)) };
    let authorization = found.method.authorization.clone();
    if matches!(authorization, Authorization::Iam) {
        if let Err(fault) = &exchange.caller {
            return Err(Refusal::Signature(fault.clone()));
        }
        exchange.iam = true;
    }
    check_resource_policy(exchange)?;
    let Authorization::Custom(id) = authorization else { return Ok(None) };
    let authorizer = exchange.stage.routes.authorizers.get(&id).cloned();
    let authorizer = authorizer.ok_or(Refusal::AuthorizerConfiguration)?;
    let decision = decide(doors, lambda, exchange, &authorizer).await?;
    let arn = exchange.method_arn();
    match decision.policy.verdict(&call(exchange, &arn, None), false) {
        Verdict::Allow => {}
        Verdict::ImplicitDeny => return Err(Refusal::AccessDenied { explicit: false }),
        Verdict::ExplicitDeny => return Err(Refusal::AccessDenied { explicit: true }),
    }
    exchange.authorizer = Some(Arc::clone(&decision.context));
    Ok(decision.usage_key.clone())
}

/// A request for what is not there is taken for one of AWS's API: whatever is in `Authorization` is a bad signature.
fn missing_route(exchange: &Exchange) -> Refusal {
    match &exchange.caller {
        Err(fault) if fault.code == "IncompleteSignatureException" => {
            Refusal::Signature(fault.clone())
        }
        _ => Refusal::MissingToken,
    }
}

fn call<'a>(exchange: &'a Exchange, arn: &'a str, user_arn: Option<&'a str>) -> Call<'a> {
    Call {
        arn,
        source_ip: &exchange.source_ip,
        user_agent: exchange.headers.header_text("user-agent").unwrap_or_default(),
        user_arn,
        account: exchange.api.account.as_str(),
    }
}

fn check_resource_policy(exchange: &Exchange) -> Result<(), Refusal> {
    let Some(policy) = &exchange.stage.routes.policy else { return Ok(()) };
    let (arn, user) = (exchange.method_arn(), exchange.user_arn());
    let verdict = policy.verdict(&call(exchange, &arn, user.as_deref()), true);
    // Whoever signs for the account itself is allowed by it, unless the policy denies.
    let allowed = verdict == Verdict::Allow || exchange.iam && verdict == Verdict::ImplicitDeny;
    if allowed {
        return Ok(());
    }
    let user = user.unwrap_or_else(|| "anonymous".to_owned());
    let account = exchange.api.account.as_str();
    let masked = format!("********{}", &account[account.len() - 4..]);
    let arn = arn.replace(account, &masked);
    let explicit = if verdict == Verdict::ExplicitDeny { " with an explicit deny" } else { "" };
    Err(Refusal::Policy(format!(
        "User: {user} is not authorized to perform: execute-api:Invoke on resource: {arn}{explicit}"
    )))
}

/// The authorizer's decision, an earlier one if it still holds.
async fn decide(
    doors: &Doors,
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
    authorizer: &Authorizer,
) -> Result<Arc<Decision>, Refusal> {
    let values: Option<Vec<String>> =
        authorizer.sources.iter().map(|source| exchange.mapped(source)).collect();
    let values = values.filter(|values| values.iter().all(|value| !value.is_empty()));
    let caches = authorizer.ttl_s > 0;
    if values.is_none() && (authorizer.is_token || caches) {
        return Err(Refusal::Unauthorized);
    }
    let values = values.unwrap_or_default();
    let token = values.first().map_or("", String::as_str);
    if authorizer.validation.as_ref().is_some_and(|pattern| !pattern.is_match(token)) {
        return Err(Refusal::Unauthorized);
    }
    let identity = serde_json::to_string(&values).unwrap_or_default();
    let key = format!("{}/{}/{}/{identity}", exchange.api.id, exchange.stage.name, authorizer.id);
    if caches && let Some(decision) = doors.decisions.get(&key, exchange.now_ms) {
        return Ok(decision);
    }
    let payload = if authorizer.is_token {
        let event = json!({
            "type": "TOKEN",
            "methodArn": exchange.method_arn(),
            "authorizationToken": token,
        });
        event.to_string().into_bytes()
    } else {
        event::authorizer_event(exchange)
    };
    let decision = Arc::new(ask(lambda, exchange, authorizer, payload).await?);
    if caches {
        doors.decisions.put(key, exchange.now_ms, authorizer.ttl_s, Arc::clone(&decision));
    }
    Ok(decision)
}

async fn ask(
    lambda: &Arc<Lambda>,
    exchange: &Exchange,
    authorizer: &Authorizer,
    payload: Vec<u8>,
) -> Result<Decision, Refusal> {
    let (api, id) = (&exchange.api.id, &authorizer.id);
    let arn = function_arn(exchange, &authorizer.uri).ok_or_else(|| {
        tracing::warn!(api, authorizer = id, "the authorizer's URI names no function");
        Refusal::AuthorizerConfiguration
    })?;
    let (region, account) = (exchange.api.region.as_str(), exchange.api.account.as_str());
    let source = format!("arn:aws:execute-api:{region}:{account}:{api}/authorizers/{id}");
    let has_credentials = authorizer.has_credentials;
    if !has_credentials && !lambda.service_may_invoke("apigateway.amazonaws.com", &source, &arn) {
        tracing::warn!(
            api,
            authorizer = id,
            function = arn,
            "no permission to invoke the authorizer"
        );
        return Err(Refusal::AuthorizerConfiguration);
    }
    let called = lambda.call(&arn, Bytes::from(payload), Some(&exchange.trace));
    let outcome = match tokio::time::timeout(AUTHORIZER_TIME_MAX, called).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => {
            tracing::warn!(api, authorizer = id, error = %error, "authorizer not invoked");
            return Err(Refusal::AuthorizerFailure);
        }
        Err(_) => return Err(Refusal::AuthorizerFailure),
    };
    if outcome.error.is_some() {
        let error: Value = serde_json::from_slice(&outcome.payload).unwrap_or_default();
        return Err(match error["errorMessage"].as_str() {
            Some("Unauthorized") => Refusal::Unauthorized,
            _ => Refusal::AuthorizerFailure,
        });
    }
    decision(&outcome.payload).ok_or_else(|| {
        tracing::warn!(api, authorizer = id, "the authorizer's answer is malformed");
        Refusal::AuthorizerConfiguration
    })
}

/// The decision that `payload` describes; none if it is malformed.
fn decision(payload: &[u8]) -> Option<Decision> {
    let answer: Answer = serde_json::from_slice(payload).ok()?;
    let mut context = Map::new();
    for (name, value) in answer.context.unwrap_or_default() {
        // Functions see texts only.
        let text = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return None,
        };
        context.insert(name, text.into());
    }
    context.insert("principalId".to_owned(), answer.principal_id?.into());
    context.insert("integrationLatency".to_owned(), 0.into());
    Some(Decision {
        policy: Policy::of(&answer.policy_document?)?,
        context: Arc::new(context),
        usage_key: answer.usage_identifier_key,
    })
}
