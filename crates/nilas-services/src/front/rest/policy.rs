//! Resource policies of APIs, and the policies that authorizers answer: which calls they allow.
//!
//! Conditions are evaluated for the keys that a call to an API has; one with another key, or another operator, does not
//! hold, and with it the statement does not apply.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// What a policy says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// Nothing allows it.
    ImplicitDeny,
    ExplicitDeny,
}

/// A policy document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    statements: Vec<Map<String, Value>>,
}

/// A call to an API, as policies see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// The method's ARN.
    pub(super) arn: &'a str,
    pub(super) source_ip: &'a str,
    pub(super) user_agent: &'a str,
    /// Who signed; none if nobody did.
    pub(super) user_arn: Option<&'a str>,
    pub(super) account: &'a str,
}

impl Policy {
    /// A text that is no policy allows nothing.
    pub(super) fn parse(text: &str) -> Self {
        Self::of(&serde_json::from_str(text).unwrap_or_default())
            .unwrap_or(Self { statements: Vec::new() })
    }

    pub(super) fn of(document: &Value) -> Option<Self> {
        let statements = match document.get("Statement")? {
            Value::Array(statements) => statements.clone(),
            one @ Value::Object(_) => vec![one.clone()],
            _ => return None,
        };
        let object = |statement: Value| match statement {
            Value::Object(members) => Some(members),
            _ => None,
        };
        Some(Self { statements: statements.into_iter().map(object).collect::<Option<_>>()? })
    }

    /// What the policy says of `call`. Principals count if `of_resource`: authorizers' policies have none.
    pub(super) fn verdict(&self, call: &Call<'_>, of_resource: bool) -> Verdict {
        let mut verdict = Verdict::ImplicitDeny;
        for statement in &self.statements {
            if !applies(statement, call, of_resource) {
                continue;
            }
            match statement.get("Effect").and_then(Value::as_str) {
                Some("Deny") => return Verdict::ExplicitDeny,
                Some("Allow") => verdict = Verdict::Allow,
                _ => {}
            }
        }
        verdict
    }
}

fn applies(statement: &Map<String, Value>, call: &Call<'_>, of_resource: bool) -> bool {
    let action = |pattern: &str| like(&pattern.to_ascii_lowercase(), "execute-api:invoke");
    let acts = match (statement.get("Action"), statement.get("NotAction")) {
        (Some(actions), _) => texts(actions).iter().any(|pattern| action(pattern)),
        (None, Some(actions)) => !texts(actions).iter().any(|pattern| action(pattern)),
        (None, None) => false,
    };
    let resource = |pattern: &&str| like(&whole_arn(pattern, call.arn), call.arn);
    let is_meant = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(resources), _) => texts(resources).iter().any(resource),
        (None, Some(resources)) => !texts(resources).iter().any(resource),
        (None, None) => false,
    };
    acts && is_meant
        && (!of_resource || is_principal(statement, call))
        && conditions_hold(statement.get("Condition"), call)
}

/// `execute-api:/STAGE/VERB/PATH` is short for an ARN of the API that has the policy.
fn whole_arn(pattern: &str, arn: &str) -> String {
    match pattern.strip_prefix("execute-api:/") {
        Some(rest) => {
            let api = arn.split('/').next().unwrap_or(arn);
            format!("{api}/{rest}")
        }
        None => pattern.to_owned(),
    }
}

fn is_principal(statement: &Map<String, Value>, call: &Call<'_>) -> bool {
    let matches = |principal: &Value| match principal {
        Value::String(text) => text == "*",
        Value::Object(kinds) => kinds.get("AWS").is_some_and(|principals| {
            texts(principals).iter().any(|known| {
                *known == "*"
                    || call.user_arn.is_some_and(|user| {
                        *known == user
                            || *known == call.account
                            || *known == format!("arn:aws:iam::{}:root", call.account)
                    })
            })
        }),
        _ => false,
    };
    match (statement.get("Principal"), statement.get("NotPrincipal")) {
        (Some(principal), _) => matches(principal),
        (None, Some(principal)) => !matches(principal),
        (None, None) => false,
    }
}

fn conditions_hold(conditions: Option<&Value>, call: &Call<'_>) -> bool {
    let Some(Value::Object(operators)) = conditions else { return true };
    operators.iter().all(|(operator, keys)| {
        keys.as_object().is_some_and(|keys| {
            keys.iter().all(|(key, wanted)| {
                let found = match key.to_ascii_lowercase().as_str() {
                    "aws:sourceip" => Some(call.source_ip),
                    "aws:useragent" => Some(call.user_agent),
                    "aws:principalarn" => call.user_arn,
                    "aws:principalaccount" => call.user_arn.map(|_| call.account),
                    "aws:securetransport" => Some("false"),
                    _ => None,
                };
                holds(operator, found, &texts(wanted))
            })
        })
    })
}

fn holds(operator: &str, found: Option<&str>, wanted: &[&str]) -> bool {
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let Some(found) = found else { return if_exists || operator.contains("Not") };
    let any = |test: &dyn Fn(&str) -> bool| wanted.iter().any(|wanted| test(wanted));
    match operator {
        "StringEquals" | "ArnEquals" => any(&|wanted| wanted == found),
        "StringNotEquals" | "ArnNotEquals" => !any(&|wanted| wanted == found),
        "StringEqualsIgnoreCase" => any(&|wanted| wanted.eq_ignore_ascii_case(found)),
        "StringLike" | "ArnLike" => any(&|wanted| like(wanted, found)),
        "StringNotLike" | "ArnNotLike" => !any(&|wanted| like(wanted, found)),
        "IpAddress" => any(&|wanted| in_network(found, wanted)),
        "NotIpAddress" => !any(&|wanted| in_network(found, wanted)),
        "Bool" => any(&|wanted| wanted.eq_ignore_ascii_case(found)),
        _ => false,
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Bool(true) => vec!["true"],
        Value::Bool(false) => vec!["false"],
        _ => Vec::new(),
    }
}

/// Whether `text` fits `pattern`, in which `*` is anything and `?` any one character.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
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

/// Whether `ip` is in `network`, as `10.0.0.0/8`.
fn in_network(ip: &str, network: &str) -> bool {
    let (base, bits) = network.split_once('/').unwrap_or((network, "128"));
    let (Ok(ip), Ok(base), Ok(bits)) = (ip.parse(), base.parse(), bits.parse::<u32>()) else {
        return false;
    };
    match (ip, base) {
        (IpAddr::V4(ip), IpAddr::V4(base)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            ip.to_bits() & mask == base.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(base)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            ip.to_bits() & mask == base.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:000000000000:abc/dev/GET/pets";

    fn verdict(statement: Value, of_resource: bool) -> Verdict {
        let policy = Policy::of(&json!({ "Statement": statement })).unwrap();
        let call = Call {
            arn: ARN,
            source_ip: "10.1.2.3",
            user_agent: "curl",
            user_arn: None,
            account: "000000000000",
        };
        policy.verdict(&call, of_resource)
    }

    fn statement(effect: &str, resource: &str, condition: Value) -> Value {
        json!({ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resource, "Principal": "*", "Condition": condition })
    }

    #[test]
    fn policies_allow_what_they_name_and_deny_first() {
        use Verdict::{Allow, ExplicitDeny, ImplicitDeny};
        let check = |resource: &str, expected| {
            assert_eq!(
                verdict(statement("Allow", resource, json!({})), false),
                expected,
                "{resource}"
            );
        };
        check("*", Allow);
        check(ARN, Allow);
        check("arn:aws:execute-api:*:*:abc/*/GET/*", Allow);
        check("execute-api:/dev/*", Allow);
        check("execute-api:/prod/*", ImplicitDeny);
        check("arn:aws:execute-api:*:*:abc/dev/POST/*", ImplicitDeny);
        let both = json!([statement("Allow", "*", json!({})), statement("Deny", ARN, json!({}))]);
        assert_eq!(verdict(both, true), ExplicitDeny);
    }

    #[test]
    fn conditions_on_addresses_hold() {
        let check = |operator: &str, network: &str, expected| {
            let condition = json!({ operator: { "aws:SourceIp": [network] } });
            assert_eq!(
                verdict(statement("Allow", "*", condition), true) == Verdict::Allow,
                expected
            );
        };
        check("IpAddress", "10.0.0.0/8", true);
        check("IpAddress", "11.0.0.0/8", false);
        check("NotIpAddress", "11.0.0.0/8", true);
        check("IpAddress", "10.1.2.3", true);
        check("Unknown", "10.1.2.3", false);
    }
}
