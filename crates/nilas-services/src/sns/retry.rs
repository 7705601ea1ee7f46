//! Delivery policies: how often and how fast an HTTP endpoint is tried.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>

use nilas_wire::Fault;
use serde_json::{Map, Value, json};

use super::{Subscription, Topic, fault};
use crate::deliver::{Growth, Pace};

const RETRIES_MAX: u64 = 100;
const DELAY_S_MAX: u64 = 3_600;
const FUNCTIONS: [&str; 4] = ["linear", "arithmetic", "geometric", "exponential"];

/// Name and default of each number.
const NUMBERS: [(&str, u64); 6] = [
    ("minDelayTarget", 20),
    ("maxDelayTarget", 20),
    ("numRetries", 3),
    ("numMaxDelayRetries", 0),
    ("numNoDelayRetries", 0),
    ("numMinDelayRetries", 0),
];

pub(super) fn check(policy: &str) -> Result<(), Fault> {
    if policy.is_empty() {
        return Ok(());
    }
    let refuse = |reason: &str| Err(fault::invalid(format!("DeliveryPolicy: {reason}")));
    let parsed: Option<Value> = serde_json::from_str(policy).ok();
    let Some(policy) = parsed.filter(Value::is_object) else {
        return refuse("failed to parse JSON.");
    };
    let Some(given) = healthy(&policy) else { return Ok(()) };
    for (name, value) in given {
        let is_known = name == "backoffFunction" || NUMBERS.iter().any(|(known, _)| known == name);
        if !is_known {
            return refuse(&format!("Unexpected JSON member: {name}"));
        }
        let is_right = match value.as_str() {
            Some(function) => name == "backoffFunction" && FUNCTIONS.contains(&function),
            None => value.is_u64(),
        };
        if !is_right {
            return refuse(&format!("{name} is not valid"));
        }
    }
    let number = |name| number(given, name);
    let (least, most) = (number("minDelayTarget"), number("maxDelayTarget"));
    if least == 0 || least > most {
        return refuse("minDelayTarget must be between 1 and maxDelayTarget");
    }
    if most > DELAY_S_MAX {
        return refuse("maxDelayTarget must be less than or equal to 3600");
    }
    let retries = number("numRetries");
    if retries > RETRIES_MAX {
        return refuse("numRetries must be less than or equal to 100");
    }
    let phases = ["numNoDelayRetries", "numMinDelayRetries", "numMaxDelayRetries"].map(number);
    if phases.into_iter().fold(0, u64::saturating_add) > retries {
        return refuse(
            "numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries exceed numRetries",
        );
    }
    Ok(())
}

/// A subscription's `healthyRetryPolicy`, or a topic's `http.defaultHealthyRetryPolicy`.
fn healthy(policy: &Value) -> Option<&Map<String, Value>> {
    let own = policy.get("healthyRetryPolicy");
    own.or_else(|| policy.get("http")?.get("defaultHealthyRetryPolicy"))?.as_object()
}

fn number(policy: &Map<String, Value>, name: &str) -> u64 {
    let default = NUMBERS.iter().find(|(known, _)| *known == name).map(|(_, default)| *default);
    policy.get(name).and_then(Value::as_u64).or(default).unwrap_or_default()
}

fn function(policy: &Map<String, Value>) -> &str {
    policy.get("backoffFunction").and_then(Value::as_str).unwrap_or("linear")
}

fn full(policy: &Map<String, Value>) -> Value {
    let mut all: Map<String, Value> =
        NUMBERS.iter().map(|(name, _)| ((*name).to_owned(), number(policy, name).into())).collect();
    all.insert("backoffFunction".to_owned(), function(policy).into());
    all.into()
}

/// `EffectiveDeliveryPolicy` of a topic.
pub(super) fn effective(topic: &Topic) -> Value {
    let set = set(topic);
    let http = set.as_ref().and_then(|policy| policy.get("http"));
    let overrides = http.and_then(|http| http.get("disableSubscriptionOverrides"));
    json!({ "http": {
        "defaultHealthyRetryPolicy": full(&retries_of(set.as_ref())),
        "disableSubscriptionOverrides": overrides.and_then(Value::as_bool).unwrap_or_default(),
        "defaultRequestPolicy": { "headerContentType": "text/plain; charset=UTF-8" },
    } })
}

/// `EffectiveDeliveryPolicy` of a subscription.
pub(super) fn effective_of(topic: &Topic, subscription: &Subscription) -> Value {
    json!({ "healthyRetryPolicy": full(&chosen(topic, subscription)) })
}

/// The pace of a subscription's deliveries, and how many there are after the first.
pub(super) fn pace(topic: &Topic, subscription: &Subscription) -> (Pace, u32) {
    let policy = chosen(topic, subscription);
    let small = |name| u32::try_from(number(&policy, name)).unwrap_or(u32::MAX);
    let pace = Pace {
        min_delay_ms: number(&policy, "minDelayTarget").saturating_mul(1_000),
        max_delay_ms: number(&policy, "maxDelayTarget").saturating_mul(1_000),
        retries: small("numRetries"),
        no_delay_retries: small("numNoDelayRetries"),
        min_delay_retries: small("numMinDelayRetries"),
        max_delay_retries: small("numMaxDelayRetries"),
        growth: match function(&policy) {
            "arithmetic" => Growth::Arithmetic,
            "geometric" => Growth::Geometric,
            "exponential" => Growth::Exponential,
            _ => Growth::Linear,
        },
    };
    (pace, pace.retries)
}

fn set(topic: &Topic) -> Option<Value> {
    serde_json::from_str(topic.attributes.get("DeliveryPolicy")?).ok()
}

fn retries_of(policy: Option<&Value>) -> Map<String, Value> {
    policy.and_then(healthy).cloned().unwrap_or_default()
}

fn chosen(topic: &Topic, subscription: &Subscription) -> Map<String, Value> {
    let of_topic = set(topic);
    let is_fixed = of_topic.as_ref().is_some_and(|policy| {
        policy.pointer("/http/disableSubscriptionOverrides") == Some(&Value::Bool(true))
    });
    let own = subscription.attributes.get("DeliveryPolicy").filter(|_| !is_fixed);
    let own: Option<Value> = own.and_then(|policy| serde_json::from_str(policy).ok());
    let has_own = own.as_ref().is_some_and(|own| healthy(own).is_some());
    retries_of(if has_own { own.as_ref() } else { of_topic.as_ref() })
}
