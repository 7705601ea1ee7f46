//! Where code and definitions are: `s3://bucket/key`, or a map of bucket and key.

use std::sync::LazyLock;

use regex::Regex;

use super::core::problem::{Problem, Result};
use super::core::value::{Map, Text, Val, map};

static DYNAMIC_REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):[a-zA-Z0-9_.\-/]+(:\d+)?\}\}")
        .expect("the expression is well-formed")
});

/// Bucket, key and perhaps version of `s3://bucket/key?versionId=version`.
pub(super) fn parse_s3_uri(uri: &Text) -> Option<Map> {
    let (scheme, rest) = uri.as_str().split_once("://")?;
    if !scheme.eq_ignore_ascii_case("s3") {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or(rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, key) = place.split_once('/')?;
    if bucket.is_empty() {
        return None;
    }
    let text = |chars: &str| Text::new(chars, uri.marked);
    let mut pointer = map! { "Bucket" => text(bucket), "Key" => text(key.trim_start_matches('/')) };
    let mut versions = query.split('&').filter_map(|pair| pair.strip_prefix("versionId="));
    if let (Some(version), None) = (versions.next().filter(|v| !v.is_empty()), versions.next()) {
        pointer.insert("Version", text(version));
    }
    Some(pointer)
}

/// The pointer that a property of either form is.
pub(super) fn pointer(value: &Val, id: &str, property: &str) -> Result<Map> {
    match value {
        Val::Map(map) => {
            if map.truthy("Bucket") && map.truthy("Key") {
                return Ok(map.clone());
            }
            Err(Problem::resource(
                id,
                format!("'{property}' requires Bucket and Key properties to be specified."),
            ))
        }
        Val::Text(uri) => parse_s3_uri(uri).ok_or_else(|| {
            Problem::resource(
                id,
                format!(
                    "'{property}' is not a valid S3 Uri of the form 's3://bucket/key' with optional versionId query \
                     parameter."
                ),
            )
        }),
        _ => Err(Problem::resource(id, format!("'{property}' must be of type dict or string."))),
    }
}

/// The location of a function's or layer's package.
pub(super) fn location(value: &Val, id: &str, property: &str) -> Result<Map> {
    let dynamic = value.as_str().and_then(|uri| DYNAMIC_REFERENCE.find(uri));
    if dynamic.is_some_and(|found| found.as_str().contains('/')) {
        let message = format!(
            "Unsupported dynamic reference detected in '{property}'. Please consider using alternative \
             'FunctionCode' object format."
        );
        return Err(Problem::resource(id, message));
    }
    let pointer = pointer(value, id, property)?;
    let mut code = map! { "S3Bucket" => pointer.get("Bucket"), "S3Key" => pointer.get("Key") };
    for (from, to) in [("Version", "S3ObjectVersion"), ("StorageMode", "S3ObjectStorageMode")] {
        if let Some(value) = pointer.entry(from) {
            code.insert(to, value.clone());
        }
    }
    Ok(code)
}

/// The location of an API's or state machine's definition.
pub(super) fn definition_location(value: &Val, id: &str) -> Result<Map> {
    let pointer = pointer(value, id, "DefinitionUri")?;
    let mut location = Map::ordered();
    location.insert("Bucket", pointer.get("Bucket"));
    location.insert("Key", pointer.get("Key"));
    if let Some(version) = pointer.entry("Version") {
        location.insert("Version", version.clone());
    }
    Ok(location)
}
