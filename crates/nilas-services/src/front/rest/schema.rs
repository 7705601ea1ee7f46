//! Models: JSON Schema of draft 4, as far as API Gateway's models go.
//!
//! Patterns are of Rust's regex crate, linear in time. References are resolved when they are met; how deep is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use crate::apigateway::{Definition, text};

/// Schemas within schemas, references included.
const DEPTH_MAX: usize = 64;

/// A model, with those that it may refer to.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Value,
    /// Of the same API, by name.
    models: Arc<HashMap<String, Value>>,
}

/// Says what is wrong with a model's text, if it cannot be used.
pub(crate) fn schema_check(schema: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(schema)
        .map_err(|error| format!("Invalid model schema specified. {error}"))?;
    if !schema.is_object() {
        return Err("Invalid model schema specified. A schema is an object.".to_owned());
    }
    check_patterns(&schema, 0)
}

fn check_patterns(schema: &Value, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("Invalid model schema specified. It is too deep.".to_owned());
    }
    match schema {
        Value::Object(members) => {
            if let Some(pattern) = members.get("pattern").and_then(Value::as_str)
                && let Err(error) = Regex::new(pattern)
            {
                return Err(format!("Invalid pattern '{pattern}': {error}"));
            }
            members.values().try_for_each(|member| check_patterns(member, depth + 1))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_patterns(item, depth + 1)),
        _ => Ok(()),
    }
}

impl Schema {
    pub(crate) fn parse(schema: &str, definition: &Definition) -> Self {
        let parse = |text: &str| serde_json::from_str(text).unwrap_or_default();
        let models = definition.models.iter();
        let models = models
            .filter_map(|(name, model)| Some((name.clone(), parse(text(model, "schema")?))))
            .collect();
        Self { root: parse(schema), models: Arc::new(models) }
    }

    /// What is wrong with `value`; nothing if it fits.
    pub(crate) fn validate(&self, value: &Value) -> Result<(), String> {
        self.check(&self.root, &self.root, value, "", 0)
    }

    fn check(
        &self,
        root: &Value,
        schema: &Value,
        value: &Value,
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        let Value::Object(members) = schema else { return Ok(()) };
        if depth > DEPTH_MAX {
            return Err(format!("{at}: the schema is too deep"));
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let Some((root, schema)) = self.resolve(root, reference) else {
                return Err(format!("{at}: unknown reference {reference}"));
            };
            return self.check(root, schema, value, at, depth + 1);
        }
        check_type(members, value, at)?;
        self.check_combined(root, members, value, at, depth)?;
        match value {
            Value::Object(object) => self.check_object(root, members, object, at, depth),
            Value::Array(items) => self.check_array(root, members, items, at, depth),
            Value::String(text) => check_text(members, text, at),
            Value::Number(number) => check_number(members, number.as_f64().unwrap_or(0.0), at),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    /// `#/definitions/x`, or a model of the API by its URL, perhaps with a place in it.
    fn resolve<'a>(&'a self, root: &'a Value, reference: &str) -> Option<(&'a Value, &'a Value)> {
        let (document, place) = reference.split_once('#').unwrap_or((reference, ""));
        let root = match document {
            "" => root,
            url => self.models.get(url.rsplit('/').next()?)?,
        };
        Some((root, root.pointer(place)?))
    }

    fn check_combined(
        &self,
        root: &Value,
        members: &Map<String, Value>,
        value: &Value,
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        let schemas = |name: &str| members.get(name).and_then(Value::as_array);
        let fits = |schema: &Value| self.check(root, schema, value, at, depth + 1).is_ok();
        for schema in schemas("allOf").into_iter().flatten() {
            self.check(root, schema, value, at, depth + 1)?;
        }
        if schemas("anyOf").is_some_and(|all| !all.iter().any(fits)) {
            return Err(format!("{at}: matches none of anyOf"));
        }
        if schemas("oneOf").is_some_and(|all| all.iter().filter(|schema| fits(schema)).count() != 1)
        {
            return Err(format!("{at}: does not match exactly one of oneOf"));
        }
        if members.get("not").is_some_and(fits) {
            return Err(format!("{at}: matches what it must not"));
        }
        Ok(())
    }

    fn check_object(
        &self,
        root: &Value,
        members: &Map<String, Value>,
        object: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        count(members, "minProperties", "maxProperties", object.len(), at)?;
        for name in members.get("required").and_then(Value::as_array).into_iter().flatten() {
            if name.as_str().is_some_and(|name| !object.contains_key(name)) {
                return Err(format!("{at}: required {name} is missing"));
            }
        }
        let properties = members.get("properties").and_then(Value::as_object);
        let patterns = members.get("patternProperties").and_then(Value::as_object);
        for (name, value) in object {
            let at = format!("{at}/{name}");
            let mut known = false;
            if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                known = true;
                self.check(root, schema, value, &at, depth + 1)?;
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name)) {
                    known = true;
                    self.check(root, schema, value, &at, depth + 1)?;
                }
            }
            match members.get("additionalProperties") {
                Some(Value::Bool(false)) if !known => {
                    return Err(format!("{at}: is not permitted"));
                }
                Some(schema @ Value::Object(_)) if !known => {
                    self.check(root, schema, value, &at, depth + 1)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_array(
        &self,
        root: &Value,
        members: &Map<String, Value>,
        items: &[Value],
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        count(members, "minItems", "maxItems", items.len(), at)?;
        let is_unique = members.get("uniqueItems") == Some(&Value::Bool(true));
        let texts: std::collections::HashSet<String> = if is_unique {
            items.iter().map(Value::to_string).collect()
        } else {
            Default::default()
        };
        if is_unique && texts.len() < items.len() {
            return Err(format!("{at}: items are not unique"));
        }
        for (n, item) in items.iter().enumerate() {
            let schema = match members.get("items") {
                Some(Value::Array(tuple)) => tuple.get(n),
                other => other,
            };
            if let Some(schema) = schema {
                self.check(root, schema, item, &format!("{at}/{n}"), depth + 1)?;
            }
        }
        Ok(())
    }
}

fn check_type(members: &Map<String, Value>, value: &Value, at: &str) -> Result<(), String> {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    let fits = match members.get("type") {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        return Err(format!("{at}: is of the wrong type"));
    }
    match members.get("enum").and_then(Value::as_array) {
        Some(allowed) if !allowed.contains(value) => {
            Err(format!("{at}: is none of the allowed values"))
        }
        _ => Ok(()),
    }
}

fn check_text(members: &Map<String, Value>, text: &str, at: &str) -> Result<(), String> {
    count(members, "minLength", "maxLength", text.chars().count(), at)?;
    match members.get("pattern").and_then(Value::as_str).map(Regex::new) {
        Some(Ok(pattern)) if !pattern.is_match(text) => {
            Err(format!("{at}: does not match the pattern"))
        }
        _ => Ok(()),
    }
}

fn check_number(members: &Map<String, Value>, number: f64, at: &str) -> Result<(), String> {
    let bound = |name: &str| members.get(name).and_then(Value::as_f64);
    let excludes = |name: &str| members.get(name) == Some(&Value::Bool(true));
    let too_small = bound("minimum").is_some_and(|minimum| {
        number < minimum || number == minimum && excludes("exclusiveMinimum")
    });
    let too_large = bound("maximum").is_some_and(|maximum| {
        number > maximum || number == maximum && excludes("exclusiveMaximum")
    });
    if too_small || too_large {
        return Err(format!("{at}: is out of range"));
    }
    match bound("multipleOf") {
        Some(step) if step > 0.0 && (number / step).fract() != 0.0 => {
            Err(format!("{at}: is no multiple of {step}"))
        }
        _ => Ok(()),
    }
}

fn count(
    members: &Map<String, Value>,
    least: &str,
    most: &str,
    found: usize,
    at: &str,
) -> Result<(), String> {
    let bound = |name: &str| members.get(name).and_then(Value::as_u64).map(|n| n as usize);
    if bound(least).is_some_and(|least| found < least)
        || bound(most).is_some_and(|most| found > most)
    {
        return Err(format!("{at}: is too short or too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(schema: &Value, value: &Value) -> bool {
        Schema::parse(&schema.to_string(), &Definition::default()).validate(value).is_ok()
    }

    #[test]
    fn values_fit_their_schema_or_not() {
        let pet = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "type": "string", "minLength": 2, "pattern": "^[a-z]+$" },
                "age": { "type": "integer", "minimum": 0, "maximum": 30 },
                "tags": { "type": "array", "items": { "$ref": "#/definitions/tag" }, "maxItems": 2 },
                "kind": { "enum": ["cat", "dog"] },
            },
            "additionalProperties": false,
            "definitions": { "tag": { "type": "string" } },
        });
        for value in [
            json!({ "name": "rex" }),
            json!({ "name": "rex", "age": 3, "tags": ["a", "b"], "kind": "dog" }),
        ] {
            assert!(fits(&pet, &value), "{value}");
        }
        for value in [
            json!([]),
            json!({}),
            json!({ "name": "r" }),
            json!({ "name": "REX" }),
            json!({ "name": "rex", "age": 1.5 }),
            json!({ "name": "rex", "age": 31 }),
            json!({ "name": "rex", "tags": [1] }),
            json!({ "name": "rex", "tags": ["a", "b", "c"] }),
            json!({ "name": "rex", "kind": "cow" }),
            json!({ "name": "rex", "other": 1 }),
        ] {
            assert!(!fits(&pet, &value), "{value}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        assert!(!fits(&json!({ "$ref": "#" }), &json!(1)));
    }
}
