//! `AWS::LanguageExtensions`: loops (`Fn::ForEach::NAME`), and policies that functions say.

use std::collections::BTreeMap;

use nilas_model::limits::TEMPLATE_LOOP_NODES_MAX;
use serde_json::{Map, Value};

use super::Template;
use super::error::TemplateError;
use super::evaluate::{Evaluation, Pseudo};
use super::validate::Nothing;

/// Writes out every loop of `root`.
pub(super) fn expand(
    root: Map<String, Value>,
    parameters: &BTreeMap<String, Value>,
    pseudo: &Pseudo,
) -> Result<Map<String, Value>, TemplateError> {
    // Collections and policies may look into mappings and parameters, nowhere else.
    let mappings = root.get("Mappings").cloned();
    let template = Template {
        root: mappings.map(|value| ("Mappings".to_owned(), value)).into_iter().collect(),
        resources: Vec::new(),
        outputs: Vec::new(),
        language_extensions: true,
    };
    let conditions = BTreeMap::new();
    let evaluation = Evaluation {
        template: &template,
        parameters,
        conditions: &conditions,
        pseudo,
        lookup: &Nothing,
    };
    let mut expansion = Expansion { evaluation, bound: Vec::new(), nodes: 0 };
    let mut root = expansion.members(&root)?;
    let resources = root.get_mut("Resources").and_then(Value::as_object_mut);
    for declared in resources.into_iter().flat_map(Map::values_mut) {
        for name in ["DeletionPolicy", "UpdateReplacePolicy"] {
            if let Some(policy) = declared.get_mut(name).filter(|policy| policy.is_object()) {
                *policy = expansion.evaluation.resolve(policy)?.unwrap_or_default();
            }
        }
    }
    Ok(root)
}

struct Expansion<'a> {
    evaluation: Evaluation<'a>,
    /// The loops around, innermost last: their identifiers and current values.
    bound: Vec<(String, String)>,
    nodes: usize,
}

impl Expansion<'_> {
    fn value(&mut self, value: &Value) -> Result<Value, TemplateError> {
        self.nodes += 1;
        if self.nodes > TEMPLATE_LOOP_NODES_MAX {
            return Err(TemplateError::of("Fn::ForEach makes the template too large"));
        }
        Ok(match value {
            Value::Object(members) => {
                if let Some(bound) = self.reference(members) {
                    return Ok(bound.into());
                }
                self.members(members)?.into()
            }
            Value::Array(items) => {
                let items: Result<Vec<Value>, _> =
                    items.iter().map(|item| self.value(item)).collect();
                items?.into()
            }
            Value::String(text) => self.text(text).into(),
            scalar => scalar.clone(),
        })
    }

    /// The value of `{"Ref": IDENTIFIER}`.
    fn reference(&self, members: &Map<String, Value>) -> Option<String> {
        let name = members.get("Ref").filter(|_| members.len() == 1)?.as_str()?;
        self.bound.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn members(
        &mut self,
        members: &Map<String, Value>,
    ) -> Result<Map<String, Value>, TemplateError> {
        let mut expanded = Map::new();
        for (key, value) in members {
            if key.starts_with("Fn::ForEach::") {
                self.each(key, value, &mut expanded)?;
            } else {
                let value = self.value(value)?;
                expanded.insert(self.text(key), value);
            }
        }
        Ok(expanded)
    }

    fn each(
        &mut self,
        key: &str,
        argument: &Value,
        into: &mut Map<String, Value>,
    ) -> Result<(), TemplateError> {
        let malformed = || {
            TemplateError::of(format!(
                "{key} layout is incorrect: it is a list of an identifier, a collection and an object"
            ))
        };
        let Some([Value::String(identifier), collection, Value::Object(body)]) =
            argument.as_array().map(Vec::as_slice)
        else {
            return Err(malformed());
        };
        let collection = self.value(collection)?;
        let Some(Value::Array(items)) = self.evaluation.resolve(&collection)? else {
            return Err(malformed());
        };
        for item in items {
            let Value::String(item) = item else { return Err(malformed()) };
            self.bound.push((identifier.clone(), item));
            let made = self.members(body);
            self.bound.pop();
            for (name, value) in made? {
                if into.insert(name.clone(), value).is_some() {
                    return Err(TemplateError::of(format!("{key} makes {name} more than once")));
                }
            }
        }
        Ok(())
    }

    /// `${IDENTIFIER}` and, with nothing but letters and digits kept of the value, `&{IDENTIFIER}`.
    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (identifier, value) in self.bound.iter().rev() {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            text = text
                .replace(&format!("${{{identifier}}}"), value)
                .replace(&format!("&{{{identifier}}}"), &plain);
        }
        text
    }
}
