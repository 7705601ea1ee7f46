//! Evaluates intrinsic functions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::Template;
use super::cidr;
use super::error::TemplateError;
use super::function::{Function, Piece, called, get_att, sub_argument, sub_pieces};

/// Stands for what is known only when a resource is there. It passes for any scalar where properties are checked in
/// advance.
pub(crate) const UNKNOWN: &str = "{{resolve:unknown:after-deployment}}";

/// Where the values of names come from.
pub(crate) trait Lookup: Sync {
    /// `Ref` of a resource; None if it has none, because its condition is false.
    fn resource(&self, id: &str) -> Option<Value>;

    /// `Fn::GetAtt`
    fn attribute(&self, id: &str, attribute: &str) -> Result<Value, TemplateError>;

    /// `Fn::ImportValue`
    fn export(&self, name: &str) -> Option<String>;
}

/// The pseudo parameters' values.
#[derive(Debug, Clone)]
pub(crate) struct Pseudo {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) stack_name: String,
    pub(crate) stack_id: String,
    pub(crate) notification_arns: Vec<String>,
}

/// All that functions of one deployment are evaluated with.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<'a> {
    pub(crate) template: &'a Template,
    /// Texts, and lists of texts.
    pub(crate) parameters: &'a BTreeMap<String, Value>,
    pub(crate) conditions: &'a BTreeMap<String, bool>,
    pub(crate) pseudo: &'a Pseudo,
    pub(crate) lookup: &'a dyn Lookup,
}

/// The value, or None for `AWS::NoValue`.
type Resolved = Result<Option<Value>, TemplateError>;

// === impl Pseudo ===

impl Pseudo {
    /// None is `AWS::NoValue`; the outer None, no such pseudo parameter.
    pub(crate) fn get(&self, name: &str) -> Option<Option<Value>> {
        Some(Some(match name {
            "AWS::AccountId" => self.account.as_str().into(),
            "AWS::NotificationARNs" => self.notification_arns.clone().into(),
            "AWS::NoValue" => return Some(None),
            "AWS::Partition" => "aws".into(),
            "AWS::Region" => self.region.as_str().into(),
            "AWS::StackId" => self.stack_id.as_str().into(),
            "AWS::StackName" => self.stack_name.as_str().into(),
            "AWS::URLSuffix" => "amazonaws.com".into(),
            _ => return None,
        }))
    }
}

// === impl Evaluation ===

impl Evaluation<'_> {
    /// The members of an object, those without a value left out.
    pub(crate) fn members(
        &self,
        members: &Map<String, Value>,
    ) -> Result<Map<String, Value>, TemplateError> {
        let mut resolved = Map::new();
        for (name, value) in members {
            if let Some(value) = self.resolve(value)? {
                resolved.insert(name.clone(), value);
            }
        }
        Ok(resolved)
    }

    pub(crate) fn resolve(&self, value: &Value) -> Resolved {
        if let Some((function, argument)) = called(value, false)? {
            return self.call(function, argument);
        }
        Ok(Some(match value {
            Value::Object(members) => self.members(members)?.into(),
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for item in items {
                    resolved.extend(self.resolve(item)?);
                }
                resolved.into()
            }
            scalar => scalar.clone(),
        }))
    }

    /// A condition's value.
    pub(crate) fn condition(&self, value: &Value) -> Result<bool, TemplateError> {
        match called(value, true)? {
            Some((Function::Condition, name)) => self.named(name.as_str().unwrap_or_default()),
            Some((Function::Equals, argument)) => {
                let text = "every Fn::Equals object requires a list of 2 string parameters.";
                let Some([left, right]) = argument.as_array().map(Vec::as_slice) else {
                    return Err(TemplateError::of(text));
                };
                let (left, right) = (self.resolve(left)?, self.resolve(right)?);
                Ok(left.as_ref().map(comparable) == right.as_ref().map(comparable))
            }
            Some((Function::Not, argument)) => match argument.as_array().map(Vec::as_slice) {
                Some([inner]) => Ok(!self.condition(inner)?),
                _ => Err(TemplateError::of("every Fn::Not object requires one boolean parameter.")),
            },
            Some((function @ (Function::And | Function::Or), argument)) => {
                let parts = argument.as_array().map_or(&[] as &[Value], Vec::as_slice);
                if !(2..=10).contains(&parts.len()) {
                    return Err(TemplateError::of(format!(
                        "every Fn::{function:?} object requires a list of at least 2 and at most 10 boolean parameters."
                    )));
                }
                let parts: Result<Vec<bool>, _> =
                    parts.iter().map(|part| self.condition(part)).collect();
                let parts = parts?;
                Ok(if function == Function::And {
                    !parts.contains(&false)
                } else {
                    parts.contains(&true)
                })
            }
            _ => match value {
                Value::Bool(value) => Ok(*value),
                Value::String(text) if text == "true" || text == "false" => Ok(text == "true"),
                _ => Err(TemplateError::format(
                    "Conditions can only be boolean operations on parameters and other conditions",
                )),
            },
        }
    }

    fn named(&self, name: &str) -> Result<bool, TemplateError> {
        self.conditions.get(name).copied().ok_or_else(|| {
            TemplateError::of(format!("unresolved condition dependency {name} in Fn::If"))
        })
    }

    fn call(&self, function: Function, argument: &Value) -> Resolved {
        match function {
            Function::Ref => return self.reference(argument.as_str().unwrap_or_default()),
            Function::If => return self.choose(argument),
            Function::Select => return self.select(argument),
            _ => {}
        }
        Ok(Some(match function {
            Function::GetAtt => self.get_att(argument)?,
            Function::Sub => self.substitute(argument)?.into(),
            Function::Join => self.join(argument)?,
            Function::Split => self.split(argument)?,
            Function::FindInMap => self.find_in_map(argument)?,
            Function::ImportValue => self.import(argument)?.into(),
            Function::Base64 => match self.resolve(argument)? {
                Some(Value::String(text)) => BASE64.encode(text).into(),
                _ => {
                    return Err(TemplateError::of(
                        "every Fn::Base64 object must have a String-typed value.",
                    ));
                }
            },
            Function::Cidr => self.cidr(argument)?,
            Function::GetAzs => self.zones(argument)?,
            Function::Length => match self.resolve(argument)? {
                Some(Value::Array(items)) => items.len().into(),
                Some(unknown) if is_unknown(&unknown) => unknown,
                _ => return Err(TemplateError::of("Fn::Length requires a list.")),
            },
            Function::ToJsonString => match self.resolve(argument)? {
                Some(value @ (Value::Array(_) | Value::Object(_))) => value.to_string().into(),
                _ => {
                    return Err(TemplateError::of(
                        "Fn::ToJsonString requires an object or a list.",
                    ));
                }
            },
            Function::And | Function::Or | Function::Not | Function::Equals => {
                self.condition(&serde_json::json!({ name_of(function): argument }))?.into()
            }
            Function::Transform => {
                return Err(TemplateError::format("Fn::Transform is not supported by nilas."));
            }
            Function::Ref | Function::If | Function::Select | Function::Condition => Value::Null,
        }))
    }

    fn reference(&self, name: &str) -> Resolved {
        if let Some(value) = self.pseudo.get(name) {
            return Ok(value);
        }
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        match self.lookup.resource(name) {
            Some(value) => Ok(Some(value)),
            None => Err(TemplateError::format(format!(
                "Unresolved resource dependencies [{name}] in the Resources block of the template"
            ))),
        }
    }

    fn get_att(&self, argument: &Value) -> Result<Value, TemplateError> {
        let (id, attribute) = get_att(argument)?;
        match self.resolve(&attribute)? {
            Some(Value::String(attribute)) => self.lookup.attribute(id, &attribute),
            _ => Err(TemplateError::of(
                "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute",
            )),
        }
    }

    fn choose(&self, argument: &Value) -> Resolved {
        match argument.as_array().map(Vec::as_slice) {
            Some([Value::String(name), yes, no]) => {
                self.resolve(if self.named(name)? { yes } else { no })
            }
            _ => Err(TemplateError::of(
                "Fn::If requires a list argument with three elements: a condition's name, and the values if it is true and if it is false",
            )),
        }
    }

    fn select(&self, argument: &Value) -> Resolved {
        let malformed = || {
            TemplateError::of(
                "Fn::Select requires a list argument with two elements: an integer index and a list",
            )
        };
        let Some([index, list]) = argument.as_array().map(Vec::as_slice) else {
            return Err(malformed());
        };
        let (index, list) = (self.resolve(index)?, self.resolve(list)?);
        let index = index.as_ref().map(comparable).ok_or_else(malformed)?;
        match list {
            Some(Value::Array(items)) => {
                let found = index.parse::<usize>().ok().and_then(|index| items.get(index));
                match found {
                    Some(item) => Ok(Some(item.clone())),
                    None if items.iter().any(is_unknown) => Ok(Some(UNKNOWN.into())),
                    None => Err(TemplateError::of(format!(
                        "Fn::Select cannot select nonexistent value at index {index}"
                    ))),
                }
            }
            Some(unknown) if is_unknown(&unknown) => Ok(Some(unknown)),
            _ => Err(malformed()),
        }
    }

    fn substitute(&self, argument: &Value) -> Result<String, TemplateError> {
        let (text, variables) = sub_argument(argument)?;
        let mut out = String::with_capacity(text.len());
        for piece in sub_pieces(text)? {
            let name = match piece {
                Piece::Literal(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Variable(name) => name,
            };
            let value = match variables.and_then(|variables| variables.get(name)) {
                Some(variable) => self.resolve(variable)?,
                None => match name.split_once('.') {
                    Some((id, attribute)) => Some(self.lookup.attribute(id, attribute)?),
                    None => self.reference(name)?,
                },
            };
            match value {
                Some(Value::Array(items)) => {
                    out += &items.iter().map(comparable).collect::<Vec<_>>().join(",");
                }
                Some(value) => out += &comparable(&value),
                None => {}
            }
        }
        Ok(out)
    }

    fn join(&self, argument: &Value) -> Result<Value, TemplateError> {
        let malformed = || {
            TemplateError::of(
                "every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be \
                 joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.",
            )
        };
        let Some([Value::String(delimiter), list]) = argument.as_array().map(Vec::as_slice) else {
            return Err(malformed());
        };
        match self.resolve(list)? {
            Some(Value::Array(items)) => {
                if items.iter().any(|item| item.is_array() || item.is_object()) {
                    return Err(malformed());
                }
                Ok(items.iter().map(comparable).collect::<Vec<_>>().join(delimiter).into())
            }
            Some(unknown) if is_unknown(&unknown) => Ok(unknown),
            _ => Err(malformed()),
        }
    }

    fn split(&self, argument: &Value) -> Result<Value, TemplateError> {
        let malformed = || {
            TemplateError::of(
                "every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a \
                 function that returns a string to be split.",
            )
        };
        let Some([Value::String(delimiter), text]) = argument.as_array().map(Vec::as_slice) else {
            return Err(malformed());
        };
        match self.resolve(text)? {
            Some(Value::String(text)) if !delimiter.is_empty() => {
                Ok(text.split(delimiter.as_str()).collect::<Vec<_>>().into())
            }
            _ => Err(malformed()),
        }
    }

    fn find_in_map(&self, argument: &Value) -> Result<Value, TemplateError> {
        let parts = argument.as_array().map_or(&[] as &[Value], Vec::as_slice);
        let default = match parts.get(3) {
            None => None,
            Some(options) if self.template.has_language_extensions() => options.get("DefaultValue"),
            Some(_) => return Err(malformed_find_in_map()),
        };
        let [map, key, attribute, ..] = parts else { return Err(malformed_find_in_map()) };
        let mut names = Vec::with_capacity(3);
        for part in [map, key, attribute] {
            match self.resolve(part)? {
                Some(value @ (Value::String(_) | Value::Number(_))) => {
                    names.push(comparable(&value))
                }
                _ => return Err(malformed_find_in_map()),
            }
        }
        let [map, key, attribute] = [&names[0], &names[1], &names[2]];
        let found = self
            .template
            .mapping(map)
            .and_then(|map| map.get(key))
            .and_then(|row| row.get(attribute));
        match (found, default) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(default)) => Ok(self.resolve(default)?.unwrap_or_default()),
            (None, None) if self.template.mapping(map).is_none() => {
                Err(TemplateError::format(format!(
                    "Mapping named '{map}' is not present in the 'Mappings' section of template."
                )))
            }
            (None, None) => Err(TemplateError::of(format!(
                "Unable to get mapping for {map}::{key}::{attribute}"
            ))),
        }
    }

    fn import(&self, argument: &Value) -> Result<String, TemplateError> {
        match self.resolve(argument)? {
            Some(Value::String(name)) if name.contains(UNKNOWN) => Ok(name),
            Some(Value::String(name)) => self
                .lookup
                .export(&name)
                .ok_or_else(|| TemplateError(format!("No export named {name} found."))),
            _ => Err(TemplateError::of(
                "the attribute in Fn::ImportValue must be a string or a function that returns a string.",
            )),
        }
    }

    fn cidr(&self, argument: &Value) -> Result<Value, TemplateError> {
        let malformed = || {
            TemplateError::of(
                "every Fn::Cidr object requires two or three parameters: an IP block, a count from 1 to 256, and the number of subnet bits.",
            )
        };
        let parts = argument.as_array().ok_or_else(malformed)?;
        let mut texts = Vec::new();
        for part in parts {
            texts.extend(self.resolve(part)?.as_ref().map(comparable));
        }
        if texts.iter().any(|text| text.contains(UNKNOWN)) {
            return Ok(UNKNOWN.into());
        }
        let (block, count, bits) = match texts.as_slice() {
            [block, count] => (block, count, "8"),
            [block, count, bits] => (block, count, bits.as_str()),
            _ => return Err(malformed()),
        };
        let count = count.parse().map_err(|_| malformed())?;
        let bits = bits.parse().map_err(|_| malformed())?;
        Ok(cidr::blocks(block, count, bits).ok_or_else(malformed)?.into())
    }

    fn zones(&self, argument: &Value) -> Result<Value, TemplateError> {
        let region = match self.resolve(argument)? {
            Some(Value::String(region)) if !region.is_empty() => region,
            Some(Value::String(_)) | None => self.pseudo.region.clone(),
            Some(_) => {
                return Err(TemplateError::of(
                    "every Fn::GetAZs object must have a String-typed value.",
                ));
            }
        };
        Ok(["a", "b", "c"].map(|zone| format!("{region}{zone}")).to_vec().into())
    }
}

fn malformed_find_in_map() -> TemplateError {
    TemplateError::of(
        "every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value",
    )
}

fn name_of(function: Function) -> String {
    format!("Fn::{function:?}")
}

/// Whether `value` is, or has in it, what only a deployment tells.
pub(crate) fn is_unknown(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(UNKNOWN))
}

/// A scalar as its text.
pub(crate) fn comparable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
