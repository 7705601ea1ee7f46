//! Dynamic references: `{{resolve:ssm:NAME:VERSION}}`, `{{resolve:ssm-secure:…}}`, `{{resolve:secretsmanager:…}}`.
//!
//! They are resolved right before a resource is made or changed; what they say is never written down.

use nilas_wire::Service;
use serde_json::{Map, Value, json};

use super::failure::{Failure, HandlerErrorCode};
use super::resource::Cx;

/// References in the properties of one resource. AWS allows as many in a whole template.
const REFERENCES_MAX: usize = 60;

/// `properties` with all dynamic references in them resolved.
pub(super) async fn resolve(
    cx: &Cx,
    properties: &Map<String, Value>,
) -> Result<Map<String, Value>, Failure> {
    let mut found = Vec::new();
    properties.values().for_each(|value| collect(value, &mut found));
    if found.is_empty() {
        return Ok(properties.clone());
    }
    if found.len() > REFERENCES_MAX {
        let reason =
            format!("At most {REFERENCES_MAX} dynamic references are allowed in a resource.");
        return Err(Failure::plain(HandlerErrorCode::InvalidRequest, reason));
    }
    let mut values = Vec::with_capacity(found.len());
    for reference in found {
        let value = look_up(cx, &reference).await?;
        values.push((reference, value));
    }
    let mut resolved = properties.clone();
    resolved.values_mut().for_each(|value| replace(value, &values));
    Ok(resolved)
}

/// Adds the references in `value`, each once, with their braces.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some(start) = rest.find("{{resolve:") {
                let Some(length) = rest[start..].find("}}") else { break };
                let reference = &rest[start..start + length + 2];
                if !found.iter().any(|known| known == reference) {
                    found.push(reference.to_owned());
                }
                rest = &rest[start + length + 2..];
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        _ => {}
    }
}

fn replace(value: &mut Value, values: &[(String, String)]) {
    match value {
        Value::String(text) if text.contains("{{resolve:") => {
            for (reference, resolved) in values {
                *text = text.replace(reference, resolved);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, values)),
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, values)),
        _ => {}
    }
}

async fn look_up(cx: &Cx, reference: &str) -> Result<String, Failure> {
    let inside = reference.trim_start_matches("{{resolve:").trim_end_matches("}}");
    let (service, rest) = inside.split_once(':').unwrap_or((inside, ""));
    match service {
        "ssm" | "ssm-secure" => ssm(cx, rest).await,
        "secretsmanager" => secret(cx, rest).await,
        _ => {
            Err(invalid(reference, "its service is not one of ssm, ssm-secure and secretsmanager"))
        }
    }
}

fn invalid(reference: &str, why: &str) -> Failure {
    let reason = format!("Could not resolve the dynamic reference {reference}: {why}");
    Failure::plain(HandlerErrorCode::InvalidRequest, reason)
}

/// `NAME`, or `NAME:VERSION`
async fn ssm(cx: &Cx, name: &str) -> Result<String, Failure> {
    let body = json!({ "Name": name, "WithDecryption": true });
    let answer = cx.calls.json(Service::Ssm, &cx.auth, "GetParameter", body).await;
    let answer = answer.map_err(|refusal| invalid(name, &refusal.message))?;
    let value = answer.pointer("/Parameter/Value").and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| Failure::no_member("Parameter.Value"))
}

/// `ID:SecretString:KEY:STAGE:VERSION`, all but the id optional. An id may be an ARN, which has colons itself.
async fn secret(cx: &Cx, rest: &str) -> Result<String, Failure> {
    let parts: Vec<&str> = rest.split(':').collect();
    let id_parts = if rest.starts_with("arn:") { 7.min(parts.len()) } else { 1 };
    let (id, options) = (parts[..id_parts].join(":"), &parts[id_parts..]);
    let option = |n: usize| options.get(n).copied().filter(|text| !text.is_empty());
    if option(0).is_some_and(|kind| kind != "SecretString") {
        return Err(invalid(rest, "only SecretString is there"));
    }
    let mut body = json!({ "SecretId": id });
    if let Some(stage) = option(2) {
        body["VersionStage"] = stage.into();
    }
    if let Some(version) = option(3) {
        body["VersionId"] = version.into();
    }
    let answer = cx.calls.json(Service::SecretsManager, &cx.auth, "GetSecretValue", body).await;
    let answer = answer.map_err(|refusal| invalid(rest, &refusal.message))?;
    let text = answer.get("SecretString").and_then(Value::as_str);
    let text = text.ok_or_else(|| invalid(rest, "the secret is not a text"))?;
    let Some(key) = option(1) else { return Ok(text.to_owned()) };
    let members: Value = serde_json::from_str(text)
        .map_err(|_| invalid(rest, "the secret is not JSON, and a key of it is asked for"))?;
    match members.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(Value::Null) | None => Err(invalid(rest, &format!("the secret has no key {key}"))),
        Some(value) => Ok(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_they_are() {
        let value = json!({ "a": ["x{{resolve:ssm:/n:1}}y{{resolve:ssm:/n:1}}{{resolve:ssm:m}}"], "b": "{{resolve:" });
        let mut found = Vec::new();
        collect(&value, &mut found);
        assert_eq!(found, ["{{resolve:ssm:/n:1}}", "{{resolve:ssm:m}}"]);
        let mut value = value;
        let values = [(found[0].clone(), "1".to_owned()), (found[1].clone(), "2".to_owned())];
        replace(&mut value, &values);
        assert_eq!(value, json!({ "a": ["x1y12"], "b": "{{resolve:" }));
    }
}
