//! A resource's properties: checked against its type, scalars converted, all functions resolved.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use super::failure::Failure;
use super::resource::{Property, ResourceType, Shape};

/// Properties in the shapes that their type says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties(Map<String, Value>);

impl From<Map<String, Value>> for Properties {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl Properties {
    /// Checks `members` against `of`'s table and converts scalars. Answers all that is wrong, a line each, in the words
    /// of AWS's schema validator: `#/MemorySize: expected type: Integer, found: String`.
    pub(crate) fn check(
        of: &ResourceType,
        members: &Map<String, Value>,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let checked = object("#", of.properties, members, &mut faults);
        if faults.is_empty() { Ok(Self(checked)) } else { Err(faults) }
    }

    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A property that its type requires, so that it is there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Failure> {
        self.text(name)
            .ok_or_else(|| Failure::invalid(format!("#: required key [{name}] not found")))
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    pub(crate) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name)?.as_object()
    }

    /// Empty, too, if it is not there.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The texts of a list.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).iter().filter_map(Value::as_str).collect()
    }

    /// `Tags`: a list of `Key` and `Value`, or a map.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        match self.0.get("Tags") {
            Some(Value::Array(tags)) => {
                tags.iter().map(|tag| (text(tag.get("Key")), text(tag.get("Value")))).collect()
            }
            Some(Value::Object(tags)) => {
                tags.iter().map(|(key, value)| (key.clone(), text(Some(value)))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The members that `names` name and that are there, for a request's body.
    pub(crate) fn pick(&self, names: &[&str]) -> Map<String, Value> {
        let found = |name: &&str| Some(((*name).to_owned(), self.0.get(*name)?.clone()));
        names.iter().filter_map(found).collect()
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_value(Value::Object(self.0.clone()))
            .map_err(|error| Failure::invalid(error.to_string()))
    }

    /// Whether `name` is another value, there or not, than in `other`.
    pub(crate) fn differs(&self, other: &Self, name: &str) -> bool {
        self.0.get(name) != other.0.get(name)
    }
}

fn object(
    path: &str,
    known: &[Property],
    members: &Map<String, Value>,
    faults: &mut Vec<String>,
) -> Map<String, Value> {
    for property in known.iter().filter(|property| property.required) {
        if !members.contains_key(property.name) {
            faults.push(format!("{path}: required key [{}] not found", property.name));
        }
    }
    let mut checked = Map::new();
    for (name, value) in members {
        // A property called `*` stands for all that have no row of their own.
        let row = known.iter().find(|property| property.name == name);
        match row.or_else(|| known.iter().find(|property| property.name == "*")) {
            None => faults.push(format!("{path}: extraneous key [{name}] is not permitted")),
            Some(property) => {
                let value = shaped(&format!("{path}/{name}"), &property.shape, value, faults);
                checked.insert(name.clone(), value);
            }
        }
    }
    checked
}

/// `value` in `shape`; as it is, with a fault noted, if it does not fit.
fn shaped(path: &str, shape: &Shape, value: &Value, faults: &mut Vec<String>) -> Value {
    let converted = match (shape, value) {
        (Shape::Json, value) => Some(value.clone()),
        // What it will be is known only when the resource is made, and checked again then.
        (_, Value::String(text)) if text.contains("{{resolve:") => Some(value.clone()),
        (Shape::Text, Value::String(_)) => Some(value.clone()),
        (Shape::Text, Value::Number(number)) => Some(number.to_string().into()),
        (Shape::Text, Value::Bool(flag)) => Some(flag.to_string().into()),
        (Shape::Integer, Value::Number(number)) => integer(number),
        (Shape::Integer, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        (Shape::Number, Value::Number(_)) => Some(value.clone()),
        (Shape::Number, Value::String(text)) => text.trim().parse().ok().map(Value::Number),
        (Shape::Boolean, Value::Bool(_)) => Some(value.clone()),
        (Shape::Boolean, Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        (Shape::List(of), Value::Array(items)) => {
            let mut item = |(n, item)| shaped(&format!("{path}/{n}"), of, item, faults);
            return items.iter().enumerate().map(&mut item).collect();
        }
        // One value where a list belongs is a list of one.
        (Shape::List(of), Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            return vec![shaped(path, of, value, faults)].into();
        }
        (Shape::Map(of), Value::Object(members)) => {
            let mut map = Map::new();
            for (name, member) in members {
                map.insert(name.clone(), shaped(&format!("{path}/{name}"), of, member, faults));
            }
            return map.into();
        }
        (Shape::Object(known), Value::Object(members)) => {
            return object(path, known, members, faults).into();
        }
        _ => None,
    };
    converted.unwrap_or_else(|| {
        let (expected, found) = (expected(shape), kind(value));
        faults.push(format!("{path}: expected type: {expected}, found: {found}"));
        value.clone()
    })
}

/// `128.0` is an integer, too.
fn integer(number: &Number) -> Option<Value> {
    if number.is_i64() || number.is_u64() {
        return Some(number.clone().into());
    }
    let text = number.to_string();
    text.strip_suffix(".0")?.parse::<i64>().ok().map(Value::from)
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text => "String",
        Shape::Integer | Shape::Number => "Number",
        Shape::Boolean => "Boolean",
        Shape::List(_) => "JSONArray",
        Shape::Json | Shape::Map(_) | Shape::Object(_) => "JSONObject",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Double",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "JSONArray",
        Value::Object(_) => "JSONObject",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROPERTIES: &[Property] = &[
        Property::text("Name").required(),
        Property::integer("Size"),
        Property::boolean("On"),
        Property::map("Variables", &Shape::Text),
        Property::list("Layers", &Shape::Text),
        Property::tags(),
    ];

    fn check(value: Value) -> Result<Value, Vec<String>> {
        let mut faults = Vec::new();
        let checked = object("#", PROPERTIES, value.as_object().unwrap(), &mut faults);
        if faults.is_empty() { Ok(checked.into()) } else { Err(faults) }
    }

    #[test]
    fn scalars_are_converted() {
        let given = json!({ "Name": 1, "Size": "128", "On": "true", "Variables": { "A": true, "B": 1.5 }, "Layers": "x" });
        let got = json!({ "Name": "1", "Size": 128, "On": true, "Variables": { "A": "true", "B": "1.5" }, "Layers": ["x"] });
        assert_eq!(check(given), Ok(got));
    }

    #[test]
    fn what_does_not_fit_is_told_where_it_is() {
        let given = json!({ "Size": "big", "Other": 1, "Tags": [{ "Key": "a" }], "Layers": {} });
        let faults = [
            "#: required key [Name] not found",
            "#/Size: expected type: Number, found: String",
            "#: extraneous key [Other] is not permitted",
            "#/Tags/0: required key [Value] not found",
            "#/Layers: expected type: JSONArray, found: JSONObject",
        ];
        assert_eq!(check(given), Err(faults.map(str::to_owned).to_vec()));
    }
}
