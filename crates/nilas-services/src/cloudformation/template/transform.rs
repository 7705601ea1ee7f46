//! The Transform section: macros that this server knows.

use std::collections::BTreeMap;

use nilas_deploy::sam;
use serde_json::{Map, Value};

use super::error::TemplateError;
use super::evaluate::Pseudo;
use super::language;

pub(super) const LANGUAGE_EXTENSIONS: &str = "AWS::LanguageExtensions";
const SERVERLESS: &str = "AWS::Serverless-2016-10-31";

/// The macros that `root` names.
pub(crate) fn names(root: &Map<String, Value>) -> Result<Vec<&str>, TemplateError> {
    let malformed = || TemplateError::format("Transform must be a string or a list of strings.");
    match root.get("Transform") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(name)) => Ok(vec![name]),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().ok_or_else(malformed)).collect()
        }
        // `Transform: { Name: AWS::Include, … }`
        Some(Value::Object(call)) => {
            Ok(vec![call.get("Name").and_then(Value::as_str).ok_or_else(malformed)?])
        }
        Some(_) => Err(malformed()),
    }
}

/// Applies the macros of `root`. What was there for `AWS::LanguageExtensions` stays in `Transform`: its functions are
/// evaluated later.
pub(crate) fn apply(
    mut root: Map<String, Value>,
    parameters: &BTreeMap<String, Value>,
    pseudo: &Pseudo,
    now_ms: u64,
) -> Result<Map<String, Value>, TemplateError> {
    let names: Vec<String> = names(&root)?.into_iter().map(str::to_owned).collect();
    let extended = names.iter().any(|name| name == LANGUAGE_EXTENSIONS);
    // In the order that CloudFormation processes them, whatever the template's: loops first.
    if extended {
        root = language::expand(root, parameters, pseudo)?;
    }
    for name in &names {
        match name.as_str() {
            LANGUAGE_EXTENSIONS => {}
            SERVERLESS => root = serverless(root, parameters, pseudo, now_ms)?,
            "AWS::Include" => {
                return Err(TemplateError::format(
                    "Transform AWS::Include is not supported by nilas.",
                ));
            }
            name => {
                return Err(TemplateError(format!("No transform named {name} found.")));
            }
        }
    }
    match extended {
        true => root.insert("Transform".to_owned(), LANGUAGE_EXTENSIONS.into()),
        false => root.shift_remove("Transform"),
    };
    Ok(root)
}

fn serverless(
    root: Map<String, Value>,
    parameters: &BTreeMap<String, Value>,
    pseudo: &Pseudo,
    now_ms: u64,
) -> Result<Map<String, Value>, TemplateError> {
    let settings = sam::Settings {
        region: pseudo.region.clone(),
        parameters: parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        now_s: now_ms / 1_000,
    };
    match sam::transform(&Value::Object(root), &settings) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err(TemplateError::format("unsupported structure.")),
        Err(error) => Err(TemplateError(format!("Transform {SERVERLESS} failed with: {error}"))),
    }
}
