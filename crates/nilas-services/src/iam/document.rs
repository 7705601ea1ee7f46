//! Policy documents: what IAM takes, and what it says of others.

use nilas_wire::Fault;
use serde_json::{Map, Value};

use super::fault::malformed;

const VERSIONS: [&str; 2] = ["2008-10-17", "2012-10-17"];
const DOCUMENT_MEMBERS: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT_MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// What a role or a managed policy may hold.
pub(super) fn check_permissions(document: &str) -> Result<(), Fault> {
    for statement in statements(document)? {
        if has(&statement, "Principal") || has(&statement, "NotPrincipal") {
            return Err(malformed("Policy document should not specify a principal."));
        }
        if !has(&statement, "Action") && !has(&statement, "NotAction") {
            return Err(malformed("Policy statement must contain actions."));
        }
        if !has(&statement, "Resource") && !has(&statement, "NotResource") {
            return Err(malformed("Policy statement must contain resources."));
        }
    }
    Ok(())
}

/// Who may assume a role.
pub(super) fn check_trust(document: &str) -> Result<(), Fault> {
    for statement in statements(document)? {
        if has(&statement, "Resource") || has(&statement, "NotResource") {
            return Err(malformed("Has prohibited field Resource"));
        }
        if !has(&statement, "Principal") && !has(&statement, "NotPrincipal") {
            return Err(malformed("Missing required field Principal"));
        }
        if !has(&statement, "Action") && !has(&statement, "NotAction") {
            return Err(malformed("Missing required field Action"));
        }
        let principal = statement.get("Principal").or_else(|| statement.get("NotPrincipal"));
        match principal {
            Some(Value::Object(kinds)) if !kinds.is_empty() => {}
            Some(Value::String(all)) if all == "*" => {}
            _ => {
                return Err(malformed(
                    "Invalid principal in policy: it is neither \"*\" nor a map.",
                ));
            }
        }
    }
    Ok(())
}

/// The statements of a document, each of the right form as far as both kinds share it.
fn statements(document: &str) -> Result<Vec<Map<String, Value>>, Fault> {
    let syntax = || malformed("Syntax errors in policy.");
    let document: Value = serde_json::from_str(document)
        .map_err(|_| malformed("This policy contains invalid Json"))?;
    let Value::Object(members) = document else { return Err(syntax()) };
    if members.keys().any(|name| !DOCUMENT_MEMBERS.contains(&name.as_str())) {
        return Err(syntax());
    }
    match members.get("Version") {
        None => {}
        Some(Value::String(version)) if VERSIONS.contains(&version.as_str()) => {}
        Some(_) => return Err(syntax()),
    }
    let statements = match members.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(statement @ Value::Object(_)) => vec![statement.clone()],
        _ => return Err(syntax()),
    };
    let mut checked = Vec::with_capacity(statements.len());
    for statement in statements {
        let Value::Object(statement) = statement else { return Err(syntax()) };
        check_statement(&statement).ok_or_else(syntax)?;
        checked.push(statement);
    }
    Ok(checked)
}

/// None if it is not one.
fn check_statement(statement: &Map<String, Value>) -> Option<()> {
    if statement.keys().any(|name| !STATEMENT_MEMBERS.contains(&name.as_str())) {
        return None;
    }
    if !matches!(statement.get("Effect")?.as_str()?, "Allow" | "Deny") {
        return None;
    }
    for (one, other) in
        [("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")]
    {
        if has(statement, one) && has(statement, other) {
            return None;
        }
    }
    for name in ["Action", "NotAction", "Resource", "NotResource"] {
        let texts = match statement.get(name) {
            None => continue,
            Some(Value::Array(items)) if !items.is_empty() => items.iter().all(Value::is_string),
            Some(value) => value.is_string(),
        };
        if !texts {
            return None;
        }
    }
    statement.get("Condition").is_none_or(Value::is_object).then_some(())
}

fn has(statement: &Map<String, Value>, name: &str) -> bool {
    statement.contains_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(checked: Result<(), Fault>) -> String {
        checked.map_or_else(|fault| fault.message.unwrap(), |()| "taken".to_owned())
    }

    #[test]
    fn permissions_say_what_on_what() {
        let rows = [
            ("{", "This policy contains invalid Json"),
            ("{}", "Syntax errors in policy."),
            (r#"{"Version":"2013-01-01","Statement":[]}"#, "Syntax errors in policy."),
            (
                r#"{"Statement":{"Effect":"Perhaps","Action":"*","Resource":"*"}}"#,
                "Syntax errors in policy.",
            ),
            (
                r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#,
                "Policy statement must contain resources.",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Resource":"*"}]}"#,
                "Policy statement must contain actions.",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}"#,
                "Policy document should not specify a principal.",
            ),
            (
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:*"],"Resource":"*"}}"#,
                "taken",
            ),
        ];
        for (document, expected) in rows {
            assert_eq!(said(check_permissions(document)), expected, "{document}");
        }
    }

    #[test]
    fn trust_says_who() {
        let rows = [
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#,
                "taken",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}"#,
                "Missing required field Principal",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}]}"#,
                "Has prohibited field Resource",
            ),
        ];
        for (document, expected) in rows {
            assert_eq!(said(check_trust(document)), expected, "{document}");
        }
    }
}
