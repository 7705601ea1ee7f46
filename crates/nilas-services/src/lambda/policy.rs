//! Resource policies: their statements as the store keeps them and as AWS writes them, and whether one allows a call.
//!
//! AddPermission makes statements of one kind only: they allow one action to one principal, and all of their conditions
//! must hold.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::error::LambdaError;

/// The statements of one function, version, alias or layer version, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct PolicyRecord {
    pub statements: Vec<StatementRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatementRecord {
    pub sid: String,
    pub principal: PrincipalRecord,
    /// `lambda:InvokeFunction`, `lambda:*`, `*`
    pub action: String,
    pub conditions: Vec<ConditionRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum PrincipalRecord {
    Anyone,
    /// `apigateway.amazonaws.com`
    Service(String),
    /// The ARN of an account's root, a role or a user.
    Aws(String),
}

/// `{ "ArnLike": { "AWS:SourceArn": "arn:…" } }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConditionRecord {
    pub operator: Operator,
    pub key: String,
    pub value: String,
}

/// In the order in which AWS writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Operator {
    StringEquals,
    ArnLike,
    Bool,
}

/// Who calls, and what is known of the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub principal: CallerPrincipal<'a>,
    /// Values by condition key, as the keys are written in lower case.
    pub context: &'a [(&'a str, &'a str)],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum CallerPrincipal<'a> {
    /// `apigateway.amazonaws.com`
    Service(&'a str),
    /// Somebody who has not signed.
    Anonymous,
}

// === impl PolicyRecord ===

impl PolicyRecord {
    pub(crate) fn statement(&self, sid: &str) -> Option<&StatementRecord> {
        self.statements.iter().find(|statement| statement.sid == sid)
    }

    /// Whether a statement allows `caller` the action, such as `lambda:InvokeFunction`.
    pub(crate) fn allows(&self, caller: &Caller<'_>, action: &str) -> bool {
        self.statements.iter().any(|statement| statement.allows(caller, action))
    }

    /// The document, compact; `resource` is the ARN that all of its statements are about.
    pub(crate) fn document(&self, resource: &str) -> Result<String, LambdaError> {
        encode(&Document {
            version: "2012-10-17",
            id: "default",
            statement: self.statements.iter().map(|record| record.shown(resource)).collect(),
        })
    }
}

// === impl StatementRecord ===

impl StatementRecord {
    /// As AddPermission answers it.
    pub(crate) fn document(&self, resource: &str) -> Result<String, LambdaError> {
        encode(&self.shown(resource))
    }

    fn shown<'a>(&'a self, resource: &'a str) -> Statement<'a> {
        Statement {
            sid: &self.sid,
            effect: "Allow",
            principal: &self.principal,
            action: &self.action,
            resource,
            condition: (!self.conditions.is_empty()).then_some(Conditions(&self.conditions)),
        }
    }

    fn allows(&self, caller: &Caller<'_>, action: &str) -> bool {
        let principal = match (&self.principal, caller.principal) {
            (PrincipalRecord::Anyone, _) => true,
            (PrincipalRecord::Service(known), CallerPrincipal::Service(service)) => {
                known == service
            }
            (PrincipalRecord::Service(_) | PrincipalRecord::Aws(_), _) => false,
        };
        let same = self.action.eq_ignore_ascii_case(action);
        let action = same || matches!(self.action.as_str(), "*" | "lambda:*");
        principal && action && self.conditions.iter().all(|condition| condition.holds(caller))
    }
}

// === impl PrincipalRecord ===

impl PrincipalRecord {
    /// What AddPermission's `Principal` stands for: a service, an account, an ARN, or `*`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const SERVICES: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com"];
        let is_account = text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit());
        if text == "*" {
            Some(Self::Anyone)
        } else if is_account {
            Some(Self::Aws(format!("arn:aws:iam::{text}:root")))
        } else if text.starts_with("arn:") && text.split(':').count() >= 6 {
            Some(Self::Aws(text.to_owned()))
        } else if SERVICES.iter().any(|suffix| text.ends_with(suffix)) {
            Some(Self::Service(text.to_owned()))
        } else {
            None
        }
    }
}

// === impl ConditionRecord ===

impl ConditionRecord {
    pub(crate) fn new(operator: Operator, key: &str, value: impl Into<String>) -> Self {
        Self { operator, key: key.to_owned(), value: value.into() }
    }

    /// A key that the call does not have fails it.
    fn holds(&self, caller: &Caller<'_>) -> bool {
        let found = caller.context.iter().find(|(key, _)| self.key.eq_ignore_ascii_case(key));
        found.is_some_and(|(_, value)| match self.operator {
            Operator::StringEquals => self.value == *value,
            Operator::Bool => self.value.eq_ignore_ascii_case(value),
            Operator::ArnLike => arn_like(&self.value, value),
        })
    }
}

/// `ArnLike`: each of the six parts by itself, `*` for any text and `?` for any one character of it; see "IAM JSON policy
/// elements: Condition operators".
fn arn_like(pattern: &str, arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let same = pattern
        .splitn(6, ':')
        .all(|pattern| parts.next().is_some_and(|part| glob(pattern.as_bytes(), part.as_bytes())));
    same && parts.next().is_none()
}

/// In time of at most the product of both lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how far the text had come then.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    version: &'static str,
    id: &'static str,
    statement: Vec<Statement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    sid: &'a str,
    effect: &'static str,
    #[serde(serialize_with = "principal")]
    principal: &'a PrincipalRecord,
    action: &'a str,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Conditions<'a>>,
}

/// In the order of their operators.
struct Conditions<'a>(&'a [ConditionRecord]);

impl Serialize for Conditions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const OPERATORS: [(Operator, &str); 3] = [
            (Operator::StringEquals, "StringEquals"),
            (Operator::ArnLike, "ArnLike"),
            (Operator::Bool, "Bool"),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (operator, name) in OPERATORS {
            let of_operator = self.0.iter().filter(|condition| condition.operator == operator);
            // One value a key, in the order in which they were given.
            let keys: Vec<_> =
                of_operator.map(|condition| (condition.key.as_str(), &condition.value)).collect();
            if !keys.is_empty() {
                map.serialize_entry(name, &Pairs(&keys))?;
            }
        }
        map.end()
    }
}

struct Pairs<'a>(&'a [(&'a str, &'a String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn principal<S: Serializer>(
    principal: &&PrincipalRecord,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let (kind, name) = match principal {
        PrincipalRecord::Anyone => return serializer.serialize_str("*"),
        PrincipalRecord::Service(name) => ("Service", name),
        PrincipalRecord::Aws(arn) => ("AWS", arn),
    };
    serializer.collect_map([(kind, name)])
}

fn encode<T: Serialize>(document: &T) -> Result<String, LambdaError> {
    serde_json::to_string(document).map_err(|source| LambdaError::Internal {
        step: "encoding a policy",
        source: source.into(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const F: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    fn statement(principal: &str, conditions: Vec<ConditionRecord>) -> StatementRecord {
        StatementRecord {
            sid: "s".to_owned(),
            principal: PrincipalRecord::parse(principal).unwrap(),
            action: "lambda:InvokeFunction".to_owned(),
            conditions,
        }
    }

    #[test]
    fn statements_are_written_as_aws_writes_them() {
        let plain = statement("s3.amazonaws.com", Vec::new());
        expect![[r#"{"Sid":"s","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:000000000000:function:f"}"#]]
            .assert_eq(&plain.document(F).unwrap());
        let conditions = vec![
            ConditionRecord::new(Operator::ArnLike, "AWS:SourceArn", "arn:aws:s3:::b"),
            ConditionRecord::new(Operator::StringEquals, "AWS:SourceAccount", "000000000000"),
            ConditionRecord::new(Operator::Bool, "lambda:InvokedViaFunctionUrl", "true"),
        ];
        let policy = PolicyRecord { statements: vec![statement("123456789012", conditions)] };
        expect![[r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:000000000000:function:f","Condition":{"StringEquals":{"AWS:SourceAccount":"000000000000"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"},"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}}]}"#]]
            .assert_eq(&policy.document(F).unwrap());
    }

    #[test]
    fn principals_are_services_accounts_arns_or_anyone() {
        for (text, fits) in [
            ("*", true),
            ("events.amazonaws.com", true),
            ("000000000000", true),
            ("arn:aws:iam::000000000000:role/r", true),
            ("invalid.nonaws.com", false),
            ("arn:nothing", false),
            ("1234", false),
        ] {
            assert_eq!(PrincipalRecord::parse(text).is_some(), fits, "{text}");
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let conditions = vec![ConditionRecord::new(
            Operator::ArnLike,
            "AWS:SourceArn",
            "arn:aws:execute-api:us-east-1:000000000000:abc/*/GET/hello",
        )];
        let policy =
            PolicyRecord { statements: vec![statement("apigateway.amazonaws.com", conditions)] };
        let allows = |service: &str, arn: &str| {
            let context = [("aws:sourcearn", arn)];
            let caller = Caller { principal: CallerPrincipal::Service(service), context: &context };
            policy.allows(&caller, "lambda:InvokeFunction")
        };
        let api = "apigateway.amazonaws.com";
        let arn = |rest: &str| format!("arn:aws:execute-api:us-east-1:000000000000:{rest}");
        assert!(allows(api, &arn("abc/dev/GET/hello")));
        assert!(allows(api, &arn("abc/a/b/GET/hello")));
        assert!(!allows(api, &arn("abc/dev/POST/hello")));
        assert!(!allows(api, &arn("abd/dev/GET/hello")));
        assert!(!allows("s3.amazonaws.com", &arn("abc/dev/GET/hello")));
        let caller = Caller { principal: CallerPrincipal::Service(api), context: &[] };
        assert!(!policy.allows(&caller, "lambda:InvokeFunction"));
        let caller = Caller { principal: CallerPrincipal::Anonymous, context: &[] };
        assert!(!policy.allows(&caller, "lambda:InvokeFunction"));
    }

    #[test]
    fn wildcards_stay_within_their_part_of_an_arn() {
        for (pattern, arn, like) in [
            ("arn:aws:s3:::b*", "arn:aws:s3:::bucket", true),
            ("arn:aws:*:::bucket", "arn:aws:s3:::bucket", true),
            ("arn:*", "arn:aws:s3:::bucket", false),
            ("arn:aws:s3:::b?cket", "arn:aws:s3:::bucket", true),
            ("arn:aws:s3:::b", "arn:aws:s3:::bucket", false),
            ("arn:aws:x:r:a:*/*/a*b", "arn:aws:x:r:a:1/2/aab", true),
        ] {
            assert_eq!(arn_like(pattern, arn), like, "{pattern} {arn}");
        }
    }
}
