//! Filter policies: which messages a subscription gets.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html>

use nilas_model::limits::{
    SNS_FILTER_COMBINATIONS_MAX, SNS_FILTER_KEYS_MAX, SNS_MESSAGE_BYTES_MAX,
};
use nilas_wire::Fault;
use serde_json::{Map, Value};

use super::fault;
use super::message::Message;
use crate::pattern::Pattern;

pub(super) const BODY: &str = "MessageBody";

/// `policy` for messages' attributes, or for their bodies; None for an empty one, which all messages pass.
pub(super) fn parse(policy: &str, scope: &str) -> Result<Option<Pattern>, Fault> {
    if policy.len() > SNS_MESSAGE_BYTES_MAX {
        return Err(fault::invalid("FilterPolicy: Filter policy is too large"));
    }
    let value: Value = serde_json::from_str(policy)
        .map_err(|_| fault::invalid("FilterPolicy: failed to parse JSON."))?;
    let Value::Object(members) = &value else {
        return Err(fault::invalid("FilterPolicy: Filter policy must be a JSON object"));
    };
    if members.is_empty() {
        return Ok(None);
    }
    let nested = members.iter().any(|(name, value)| name != "$or" && value.is_object());
    if scope != BODY && nested {
        let message = "Filter policy scope MessageAttributes does not support nested filter policy";
        return Err(fault::invalid(message));
    }
    let (mut keys, mut combinations) = (0, 1);
    count(&value, 1, &mut keys, &mut combinations);
    if keys > SNS_FILTER_KEYS_MAX {
        let message = format!(
            "FilterPolicy: Filter policy can not have more than {SNS_FILTER_KEYS_MAX} keys"
        );
        return Err(fault::invalid(message));
    }
    if combinations > SNS_FILTER_COMBINATIONS_MAX {
        return Err(fault::invalid("FilterPolicy: Filter policy is too complex"));
    }
    let pattern = Pattern::parse(policy).map_err(|error| {
        let text = error.to_string();
        let reason = text.split_once("Reason: ").map_or(text.as_str(), |(_, reason)| reason);
        fault::invalid(format!("FilterPolicy: {reason}"))
    })?;
    Ok(Some(pattern))
}

/// Keys, and what their values make when multiplied; a nested key counts as often as it is deep.
fn count(value: &Value, depth: usize, keys: &mut usize, combinations: &mut usize) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        match value {
            Value::Array(alternatives) if name == "$or" => {
                alternatives.iter().for_each(|one| count(one, depth, keys, combinations));
            }
            Value::Array(values) => {
                *keys += 1;
                *combinations = combinations.saturating_mul((values.len() * depth).max(1));
            }
            value => count(value, depth + 1, keys, combinations),
        }
    }
}

/// Whether `message` passes.
pub(super) fn passes(pattern: &Pattern, scope: &str, message: &Message, body: &str) -> bool {
    if scope == BODY {
        let body = serde_json::from_str::<Value>(body).ok();
        return body.is_some_and(|body| body.is_object() && pattern.matches(&body));
    }
    let attributes = message.attributes.iter().filter_map(|(name, attribute)| {
        let text = attribute.string_value.as_deref()?;
        let value = match attribute.data_type.as_str() {
            "Number" | "String.Array" => serde_json::from_str(text).ok()?,
            kind if kind.starts_with("Number.") => serde_json::from_str(text).ok()?,
            _ => Value::from(text),
        };
        Some((name.clone(), value))
    });
    pattern.matches(&Value::Object(attributes.collect::<Map<_, _>>()))
}
