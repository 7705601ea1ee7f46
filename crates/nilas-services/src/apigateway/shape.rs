//! Resources as data: which members there are, of which shape; and changes of them by patch operations.
//!
//! API Gateway's resources are read, stored and answered in one form, so one table a kind of resource says all that
//! reading a body and applying a patch need to know.
//! <https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html>

use nilas_wire::{ApiRequest, Fault};
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::fault::bad;

pub(crate) type Members = Map<String, Value>;

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Text,
    Integer,
    Number,
    Flag,
    Texts,
    /// Keys of the caller's own choosing.
    Map(&'static Self),
    Object(&'static [Member]),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
}

pub(crate) const fn member(name: &'static str, shape: Shape) -> Member {
    Member { name, shape }
}

pub(crate) const TEXT_MAP: Shape = Shape::Map(&Shape::Text);
pub(crate) const FLAG_MAP: Shape = Shape::Map(&Shape::Flag);

/// One step of `patchOperations`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Patch {
    pub(crate) op: String,
    #[serde(default)]
    pub(crate) path: String,
    pub(crate) value: Option<String>,
}

/// The body as an object; an empty one is `{}`.
pub(crate) fn body(request: &ApiRequest) -> Result<Members, Fault> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Fault::plain(
            "SerializationException",
            400,
            "Unrecognized token in the request body: a JSON object is expected.",
        )),
    }
}

/// The members of `body` that `known` lists, each in its shape. Others are ignored, as AWS does.
pub(crate) fn take(known: &[Member], body: &Members) -> Result<Members, Fault> {
    let mut taken = Map::new();
    for member in known {
        match body.get(member.name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                check(member.name, member.shape, value)?;
                taken.insert(member.name.to_owned(), value.clone());
            }
        }
    }
    Ok(taken)
}

fn check(name: &str, shape: Shape, value: &Value) -> Result<(), Fault> {
    let fits = match (shape, value) {
        (Shape::Text, Value::String(_)) | (Shape::Flag, Value::Bool(_)) => true,
        (Shape::Integer, Value::Number(number)) => number.is_i64(),
        (Shape::Number, Value::Number(_)) => true,
        (Shape::Texts, Value::Array(items)) => items.iter().all(Value::is_string),
        (Shape::Map(of), Value::Object(entries)) => {
            return entries.iter().try_for_each(|(key, value)| check(key, *of, value));
        }
        (Shape::Object(known), Value::Object(members)) => return take(known, members).map(drop),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Fault::plain("SerializationException", 400, format!("{name} is of the wrong type")))
}

/// The patch operations of a request.
pub(crate) fn patches(request: &ApiRequest) -> Result<Vec<Patch>, Fault> {
    let mut body = body(request)?;
    let operations = body.remove("patchOperations").unwrap_or_else(|| Value::Array(Vec::new()));
    let operations: Vec<Patch> =
        serde_json::from_value(operations).map_err(|_| bad("Invalid patch operations"))?;
    for operation in &operations {
        if !matches!(operation.op.as_str(), "add" | "remove" | "replace" | "copy") {
            return Err(bad(format!("Invalid patch operation '{}' specified", operation.op)));
        }
    }
    Ok(operations)
}

/// Applies `patches` to `target`, a resource with the members `known`.
pub(crate) fn patch(
    known: &[Member],
    target: &mut Members,
    patches: &[Patch],
) -> Result<(), Fault> {
    patches.iter().try_for_each(|patch| apply(known, target, patch))
}

/// Applies one patch.
pub(crate) fn apply(known: &[Member], target: &mut Members, patch: &Patch) -> Result<(), Fault> {
    let keys = patch.keys();
    let done = step_object(known, target, &keys, patch)?;
    if done { Ok(()) } else { Err(patch.refused(known)) }
}

impl Patch {
    /// The parts of the path, `~1` and `~0` undone.
    pub(crate) fn keys(&self) -> Vec<String> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        path.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
    }

    /// The value, which all operations but `remove` must have.
    pub(crate) fn value(&self) -> Result<&str, Fault> {
        self.value.as_deref().ok_or_else(|| {
            bad(format!("Invalid patch operation: '{}' of '{}' has no value", self.op, self.path))
        })
    }

    pub(crate) fn removes(&self) -> bool {
        self.op == "remove"
    }

    pub(crate) fn refused(&self, known: &[Member]) -> Fault {
        let names: Vec<String> = known.iter().map(|member| format!("/{}", member.name)).collect();
        bad(format!(
            "Invalid patch path  '{}' specified for op '{}'. Must be one of: [{}]",
            self.path,
            self.op,
            names.join(", ")
        ))
    }
}

/// Whether there was such a place.
fn step_object(
    known: &[Member],
    target: &mut Members,
    keys: &[String],
    patch: &Patch,
) -> Result<bool, Fault> {
    let Some((key, rest)) = keys.split_first() else { return Ok(false) };
    match known.iter().find(|member| member.name == key) {
        Some(member) => step(member.shape, target, key, rest, patch),
        None => Ok(false),
    }
}

fn step(
    shape: Shape,
    target: &mut Members,
    key: &str,
    rest: &[String],
    patch: &Patch,
) -> Result<bool, Fault> {
    match (shape, rest) {
        (Shape::Text | Shape::Integer | Shape::Number | Shape::Flag, []) => {
            match patch.removes() {
                true => drop(target.remove(key)),
                false => drop(target.insert(key.to_owned(), scalar(shape, patch)?)),
            }
            Ok(true)
        }
        (Shape::Map(_) | Shape::Object(_) | Shape::Texts, []) => {
            whole(shape, target, key, patch)?;
            Ok(true)
        }
        (Shape::Map(of), [_, ..]) => {
            let map = object_at(target, key);
            // A key of a map may hold slashes that nobody escaped.
            let (inner, rest) = match of {
                Shape::Object(_) => (rest[0].clone(), &rest[1..]),
                _ => (rest.join("/"), &[][..]),
            };
            if patch.removes() && !map.contains_key(&inner) {
                return Err(bad(format!("Invalid patch path '{}': no such key", patch.path)));
            }
            step(*of, map, &inner, rest, patch)
        }
        (Shape::Object(known), [_, ..]) => step_object(known, object_at(target, key), rest, patch),
        (Shape::Texts, [item]) => {
            list_item(target, key, item, patch);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Adds, removes or replaces one text of a list: the path names it, or its place.
fn list_item(target: &mut Members, key: &str, item: &str, patch: &Patch) {
    let list = target.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else { return };
    let at = list
        .iter()
        .position(|known| known.as_str() == Some(item))
        .or_else(|| item.parse().ok().filter(|at| *at < list.len()));
    let new = Value::from(patch.value.clone().unwrap_or_else(|| item.to_owned()));
    match (patch.op.as_str(), at) {
        ("remove", Some(at)) => drop(list.remove(at)),
        ("replace", Some(at)) => list[at] = new,
        ("add", None) if !list.contains(&new) => list.push(new),
        _ => {}
    }
}

/// A whole map, list or object at once: removed, or given as JSON.
fn whole(shape: Shape, target: &mut Members, key: &str, patch: &Patch) -> Result<(), Fault> {
    if patch.removes() {
        target.remove(key);
        return Ok(());
    }
    let text = patch.value()?;
    let given = match (serde_json::from_str::<Value>(text), shape) {
        (Ok(given @ (Value::Object(_) | Value::Array(_))), _) => given,
        (_, Shape::Texts) => match (patch.op.as_str(), target.remove(key)) {
            ("add", Some(Value::Array(mut list))) => {
                list.push(text.into());
                list.into()
            }
            _ => text.split(',').map(|item| Value::from(item.trim())).collect(),
        },
        _ => return Err(bad(format!("Invalid value for '{}'", patch.path))),
    };
    check(key, shape, &given)?;
    target.insert(key.to_owned(), given);
    Ok(())
}

fn scalar(shape: Shape, patch: &Patch) -> Result<Value, Fault> {
    let text = patch.value()?;
    let value = match shape {
        Shape::Integer => text.parse::<i64>().ok().map(Value::from),
        Shape::Number => text
            .parse::<i64>()
            .ok()
            .map(Value::from)
            .or_else(|| text.parse().ok().and_then(Number::from_f64).map(Value::from)),
        Shape::Flag => match text.to_ascii_lowercase().as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        _ => Some(text.into()),
    };
    value.ok_or_else(|| bad(format!("Invalid value '{text}' for '{}'", patch.path)))
}

fn object_at<'a>(target: &'a mut Members, key: &str) -> &'a mut Members {
    let value = target.entry(key.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}

/// The text `name` of `members`.
pub(crate) fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

pub(crate) fn flag(members: &Members, name: &str) -> bool {
    members.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// The pairs of a map of texts.
pub(crate) fn pairs(members: &Members, name: &str) -> Vec<(String, String)> {
    let entries = members.get(name).and_then(Value::as_object);
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    entries.into_iter().flatten().filter_map(pair).collect()
}

/// The texts of a list.
pub(crate) fn texts(members: &Members, name: &str) -> Vec<String> {
    let items = members.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    const KNOWN: &[Member] = &[
        member("name", Shape::Text),
        member("size", Shape::Integer),
        member("types", Shape::Texts),
        member("variables", TEXT_MAP),
        member("throttle", Shape::Object(&[member("rateLimit", Shape::Number)])),
    ];

    fn check(op: &str, path: &str, value: Option<&str>, expected: Expect) {
        let mut target = json!({ "name": "n", "types": ["a/b"], "variables": { "k": "v" } });
        let patch =
            Patch { op: op.to_owned(), path: path.to_owned(), value: value.map(str::to_owned) };
        let done = apply(KNOWN, target.as_object_mut().unwrap(), &patch);
        expected.assert_eq(&match done {
            Ok(()) => target.to_string(),
            Err(fault) => fault.message.unwrap(),
        });
    }

    #[test]
    fn patches_reach_scalars_lists_maps_and_objects() {
        check(
            "replace",
            "/name",
            Some("m"),
            expect![[r#"{"name":"m","types":["a/b"],"variables":{"k":"v"}}"#]],
        );
        check(
            "replace",
            "/size",
            Some("7"),
            expect![[r#"{"name":"n","types":["a/b"],"variables":{"k":"v"},"size":7}"#]],
        );
        check("replace", "/size", Some("x"), expect!["Invalid value 'x' for '/size'"]);
        check(
            "add",
            "/types/image~1png",
            None,
            expect![[r#"{"name":"n","types":["a/b","image/png"],"variables":{"k":"v"}}"#]],
        );
        check(
            "remove",
            "/types/a~1b",
            None,
            expect![[r#"{"name":"n","types":[],"variables":{"k":"v"}}"#]],
        );
        check(
            "replace",
            "/types/0",
            Some("c"),
            expect![[r#"{"name":"n","types":["c"],"variables":{"k":"v"}}"#]],
        );
        check(
            "replace",
            "/variables/x~1y",
            Some("1"),
            expect![[r#"{"name":"n","types":["a/b"],"variables":{"k":"v","x/y":"1"}}"#]],
        );
        check(
            "remove",
            "/variables/k",
            None,
            expect![[r#"{"name":"n","types":["a/b"],"variables":{}}"#]],
        );
        check(
            "remove",
            "/variables/z",
            None,
            expect!["Invalid patch path '/variables/z': no such key"],
        );
        check(
            "replace",
            "/throttle/rateLimit",
            Some("1.5"),
            expect![[
                r#"{"name":"n","types":["a/b"],"variables":{"k":"v"},"throttle":{"rateLimit":1.5}}"#
            ]],
        );
        check(
            "replace",
            "/id",
            Some("1"),
            expect![
                "Invalid patch path  '/id' specified for op 'replace'. Must be one of: [/name, /size, /types, /variables, /throttle]"
            ],
        );
    }
}
