//! Templates: read, checked, and taken apart.
//!
//! Invariant: nothing here asks a service or the store. What only they know is looked up through `Lookup`.

mod cidr;
mod error;
mod evaluate;
mod function;
mod language;
mod parameters;
mod references;
mod rules;
mod transform;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use nilas_deploy::yaml;
use nilas_model::limits::{TEMPLATE_OUTPUTS_MAX, TEMPLATE_RESOURCES_MAX};
use serde_json::{Map, Value};

pub(crate) use error::TemplateError;
pub(crate) use evaluate::{Evaluation, Lookup, Pseudo, UNKNOWN, comparable};
pub(crate) use parameters::{Given, Parameter};
pub(crate) use parameters::{choose as choose_parameters, declared as declared_parameters};
pub(crate) use parameters::{ssm_names, values as parameter_values};
pub(crate) use references::References;
pub(crate) use rules::check as check_rules;
pub(crate) use transform::{apply as apply_transforms, names as transform_names};
pub(crate) use validate::{Nothing, check_types};

/// A template without transforms, its sections read.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// Without `Transform`.
    pub(crate) root: Map<String, Value>,
    pub(crate) resources: Vec<Declared>,
    pub(crate) outputs: Vec<Output>,
    language_extensions: bool,
}

/// A resource as the template declares it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declared {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) properties: Map<String, Value>,
    pub(crate) metadata: Option<Value>,
    pub(crate) condition: Option<String>,
    pub(crate) deletion_policy: Policy,
    pub(crate) update_replace_policy: Policy,
    /// All resources that it has to wait for, be it by `DependsOn` or by a function.
    pub(crate) depends_on: BTreeSet<String>,
    references: References,
}

/// What becomes of a resource that its stack no longer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) enum Policy {
    #[default]
    Delete,
    Retain,
    RetainExceptOnCreate,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) description: Option<String>,
    pub(crate) export: Option<Value>,
    pub(crate) condition: Option<String>,
}

const SECTIONS: [&str; 11] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
    "Transform",
];
const RESOURCE_MEMBERS: [&str; 9] = [
    "Condition",
    "CreationPolicy",
    "DeletionPolicy",
    "DependsOn",
    "Metadata",
    "Properties",
    "Type",
    "UpdatePolicy",
    "UpdateReplacePolicy",
];

/// Reads a template's text: JSON if it begins with a brace, else YAML, with the short forms of functions written out.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>, TemplateError> {
    let root = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            TemplateError::format(format!("JSON not well-formed. (line {line}, column {column})"))
        })?
    } else {
        let not_well_formed = |error: yaml::YamlError| {
            let yaml::Position { line, column } = error.at;
            TemplateError::format(format!("YAML not well-formed. (line {line}, column {column})"))
        };
        yaml::parse(text).and_then(|node| node.to_json()).map_err(not_well_formed)?
    };
    match root {
        Value::Object(root) => Ok(root),
        _ => Err(TemplateError::format("unsupported structure.")),
    }
}

// === impl Template ===

impl Template {
    /// Reads the sections of `root`, whose transforms have been applied, and checks that they fit together.
    pub(crate) fn read(mut root: Map<String, Value>) -> Result<Self, TemplateError> {
        let language_extensions =
            transform::names(&root)?.contains(&transform::LANGUAGE_EXTENSIONS);
        root.shift_remove("Transform");
        check_sections(&root)?;
        let resources = resources(&root)?;
        let outputs = outputs(&root)?;
        let mut template = Self { root, resources, outputs, language_extensions };
        template.check()?;
        Ok(template)
    }

    pub(crate) fn has_language_extensions(&self) -> bool {
        self.language_extensions
    }

    pub(crate) fn mapping(&self, name: &str) -> Option<&Value> {
        self.root.get("Mappings")?.get(name)
    }

    pub(crate) fn resource(&self, id: &str) -> Option<&Declared> {
        self.resources.iter().find(|declared| declared.id == id)
    }

    pub(crate) fn description(&self) -> Option<&str> {
        self.root.get("Description").and_then(Value::as_str)
    }

    /// The conditions, by name, as they are written.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.root.get("Conditions").and_then(Value::as_object).into_iter().flatten()
    }
}

fn check_sections(root: &Map<String, Value>) -> Result<(), TemplateError> {
    let unknown: Vec<&str> =
        root.keys().map(String::as_str).filter(|key| !SECTIONS.contains(key)).collect();
    if !unknown.is_empty() {
        return Err(TemplateError(format!(
            "Invalid template property or properties [{}]",
            unknown.join(", ")
        )));
    }
    if let Some(version) = root.get("AWSTemplateFormatVersion")
        && version.as_str() != Some("2010-09-09")
    {
        let version = comparable(version);
        return Err(TemplateError::format(format!(
            "{version} is not a supported value for AWSTemplateFormatVersion."
        )));
    }
    if root.get("Description").is_some_and(|text| !text.is_string()) {
        return Err(TemplateError::format("Description must be a string."));
    }
    for section in
        ["Conditions", "Mappings", "Metadata", "Outputs", "Parameters", "Resources", "Rules"]
    {
        if root.get(section).is_some_and(|section| !section.is_object() && !section.is_null()) {
            return Err(TemplateError::format(format!("[/{section}] expects an object")));
        }
    }
    Ok(())
}

fn resources(root: &Map<String, Value>) -> Result<Vec<Declared>, TemplateError> {
    let section = root.get("Resources").and_then(Value::as_object);
    let section = section
        .filter(|section| !section.is_empty())
        .ok_or_else(|| TemplateError::format("At least one Resources member must be defined."))?;
    if section.len() > TEMPLATE_RESOURCES_MAX {
        return Err(TemplateError::format(format!(
            "Number of resources, {}, is greater than maximum allowed, {TEMPLATE_RESOURCES_MAX}",
            section.len()
        )));
    }
    section.iter().map(|(id, declared)| resource(id, declared)).collect()
}

fn resource(id: &str, declared: &Value) -> Result<Declared, TemplateError> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(TemplateError::format(format!("Resource name {id} is non alphanumeric.")));
    }
    let Value::Object(members) = declared else {
        return Err(TemplateError::format(format!(
            "[/Resources/{id}] resource definition is malformed"
        )));
    };
    if let Some(unknown) = members.keys().find(|key| !RESOURCE_MEMBERS.contains(&key.as_str())) {
        return Err(TemplateError(format!("Invalid template resource property '{unknown}'")));
    }
    let kind = members.get("Type").and_then(Value::as_str).ok_or_else(|| {
        TemplateError::format(format!(
            "[/Resources/{id}] Every Resources object must contain a Type member."
        ))
    })?;
    let properties = match members.get("Properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(properties)) => properties.clone(),
        Some(_) => {
            return Err(TemplateError::format(format!(
                "[/Resources/{id}/Properties] Every Properties member must be a JSON object."
            )));
        }
    };
    let condition = match members.get("Condition") {
        None => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => {
            return Err(TemplateError::format(format!(
                "[/Resources/{id}/Condition] Every Condition member must be a string."
            )));
        }
    };
    let mut references = References::default();
    for value in properties.values() {
        references.collect(value, false)?;
    }
    // `Properties` as a whole may be a function.
    let whole = Value::Object(properties.clone());
    if properties.len() == 1 {
        references.collect(&whole, false)?;
    }
    Ok(Declared {
        id: id.to_owned(),
        kind: kind.to_owned(),
        properties,
        metadata: members.get("Metadata").cloned(),
        condition,
        deletion_policy: policy(id, "DeletionPolicy", members)?,
        update_replace_policy: policy(id, "UpdateReplacePolicy", members)?,
        depends_on: depends_on(id, members)?,
        references,
    })
}

fn policy(id: &str, name: &str, members: &Map<String, Value>) -> Result<Policy, TemplateError> {
    match members.get(name) {
        None => Ok(Policy::Delete),
        Some(Value::String(policy)) => match policy.as_str() {
            "Delete" => Ok(Policy::Delete),
            "Retain" => Ok(Policy::Retain),
            "RetainExceptOnCreate" if name == "DeletionPolicy" => Ok(Policy::RetainExceptOnCreate),
            "Snapshot" => {
                let kind = members.get("Type").and_then(Value::as_str).unwrap_or_default();
                Err(TemplateError::of(format!(
                    "resource type {kind} does not support deletion policy Snapshot"
                )))
            }
            _ => Err(TemplateError::of(format!("Unrecognized {name} {policy} for resource {id}"))),
        },
        Some(_) => Err(TemplateError::format(format!(
            "[/Resources/{id}/{name}] Every {name} member must be a string."
        ))),
    }
}

fn depends_on(id: &str, members: &Map<String, Value>) -> Result<BTreeSet<String>, TemplateError> {
    let malformed = || {
        TemplateError::format(format!(
            "[/Resources/{id}/DependsOn] DependsOn must be a string or list of strings."
        ))
    };
    match members.get("DependsOn") {
        None => Ok(BTreeSet::new()),
        Some(Value::String(one)) => Ok([one.clone()].into()),
        Some(Value::Array(many)) => {
            many.iter().map(|one| one.as_str().map(str::to_owned).ok_or_else(malformed)).collect()
        }
        Some(_) => Err(malformed()),
    }
}

fn outputs(root: &Map<String, Value>) -> Result<Vec<Output>, TemplateError> {
    let section = root.get("Outputs").and_then(Value::as_object);
    if section.is_some_and(|section| section.len() > TEMPLATE_OUTPUTS_MAX) {
        return Err(TemplateError::format(format!(
            "Number of outputs is greater than maximum allowed, {TEMPLATE_OUTPUTS_MAX}"
        )));
    }
    section.into_iter().flatten().map(|(key, declared)| output(key, declared)).collect()
}

fn output(key: &str, declared: &Value) -> Result<Output, TemplateError> {
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(TemplateError::format(format!("Output name {key} is non alphanumeric.")));
    }
    let known = ["Value", "Description", "Export", "Condition"];
    let members = declared.as_object().ok_or_else(|| {
        TemplateError::format(format!(
            "[/Outputs/{key}] Every Outputs member must be a JSON object."
        ))
    })?;
    if let Some(unknown) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(TemplateError(format!("Invalid template output property '{unknown}'")));
    }
    let value = members.get("Value").ok_or_else(|| {
        TemplateError::format(format!(
            "[/Outputs/{key}] Every Outputs member must contain a Value object"
        ))
    })?;
    let export = match members.get("Export") {
        None => None,
        Some(export) => Some(export.get("Name").cloned().ok_or_else(|| {
            TemplateError::format(format!("[/Outputs/{key}/Export] Output {key} is malformed. The Name field of every Export member must be specified"))
        })?),
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Output {
        key: key.to_owned(),
        value: value.clone(),
        description: text("Description"),
        export,
        condition: text("Condition"),
    })
}
