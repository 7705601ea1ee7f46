//! Reading configuration values the way the Framework's JavaScript does: what is truthy, what a text is.

use serde_json::{Map, Value};

/// Whether `if (value)` would be taken.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The value as a template literal would show it. Objects and lists, which have no such form, as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `first || second`, and null if neither is truthy.
pub(super) fn either<'a>(first: &'a Value, second: &'a Value) -> &'a Value {
    if truthy(first) { first } else { second }
}

/// The items of a list; a single value is a list of itself, null an empty one.
pub(super) fn items(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(items) => items,
        single => std::slice::from_ref(single),
    }
}

/// The members of an object; none of anything else.
pub(super) fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Without the members that are null, which stand for JavaScript's `undefined`. Not within them.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// With every object's keys in the order in which the Framework's JavaScript sorts them, by `localeCompare`.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by_cached_key(|key| collation(key));
            keys.into_iter()
                .map(|key| (key.clone(), sorted(&map[key])))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Unicode's root collation for ASCII: punctuation, digits, letters whatever their case; then lower case first.
fn collation(key: &str) -> (Vec<u32>, Vec<bool>) {
    const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";
    let primary = |char: char| match char {
        'a'..='z' | 'A'..='Z' | '0'..='9' => u32::from(char.to_ascii_lowercase()) + 0x100,
        _ => match PUNCTUATION.find(char) {
            Some(place) => u32::try_from(place).unwrap_or_default(),
            None => u32::from(char) + 0x200,
        },
    };
    (key.chars().map(primary).collect(), key.chars().map(char::is_uppercase).collect())
}

/// Takes members that are null out of objects, however deep.
pub(super) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// Objects are merged member by member and lists item by item; anything else of `source` takes the place of what is
/// in `target`.
pub(super) fn merge(target: &mut Value, source: &Value) {
    match (target, source) {
        (Value::Object(target), Value::Object(source)) => {
            for (key, value) in source {
                match target.get_mut(key) {
                    Some(known) => merge(known, value),
                    None => drop(target.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(target), Value::Array(source)) => {
            for (index, value) in source.iter().enumerate() {
                match target.get_mut(index) {
                    Some(known) => merge(known, value),
                    None => target.push(value.clone()),
                }
            }
        }
        (target, source) => *target = source.clone(),
    }
}
