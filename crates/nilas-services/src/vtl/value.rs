//! The values that templates see, as Java has them: lists and maps are shared, not copied.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::{Map, Number, Value as Json};

/// Deeper values are written as `...`: a list may hold itself.
const DEPTH_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<RefCell<Vec<Self>>>),
    Map(Rc<RefCell<Entries>>),
    /// One entry of a map, of `entrySet()`.
    Entry(Rc<(String, Self)>),
    Object(Object),
}

/// A map, in the order of its keys' arrival.
pub(super) type Entries = Vec<(String, Value)>;

/// What API Gateway puts into every template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Input,
    Util,
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn map(entries: Entries) -> Self {
        Self::Map(Rc::new(RefCell::new(entries)))
    }

    pub(super) fn of_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::list(items.iter().map(Self::of_json).collect()),
            Json::Object(members) => Self::map(
                members.iter().map(|(key, value)| (key.clone(), Self::of_json(value))).collect(),
            ),
        }
    }

    pub(super) fn to_json(&self, depth: usize) -> Json {
        if depth > DEPTH_MAX {
            return Json::Null;
        }
        match self {
            Self::Null | Self::Object(_) => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::String(text.to_string()),
            Self::List(items) => {
                items.borrow().iter().map(|item| item.to_json(depth + 1)).collect()
            }
            Self::Map(entries) => {
                let entries = entries.borrow();
                let members =
                    entries.iter().map(|(key, value)| (key.clone(), value.to_json(depth + 1)));
                Json::Object(members.collect())
            }
            Self::Entry(entry) => {
                Json::Object(Map::from_iter([(entry.0.clone(), entry.1.to_json(depth + 1))]))
            }
        }
    }

    /// Whether a condition holds: everything that is there is true, but `false`.
    pub(super) fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    /// As Java's `toString` writes it: `[a, b]`, `{a=b}`.
    pub(super) fn write(&self, out: &mut String) {
        self.write_at(out, 0);
    }

    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write_at(&self, out: &mut String, depth: usize) {
        if depth > DEPTH_MAX {
            out.push_str("...");
            return;
        }
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => write!(out, "{value}").expect("a text takes everything"),
            Self::Float(value) => write_float(*value, out),
            Self::Text(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.borrow().iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.write_at(out, depth + 1);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (at, (key, value)) in entries.borrow().iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    out.push_str(key);
                    out.push('=');
                    value.write_at(out, depth + 1);
                }
                out.push('}');
            }
            Self::Entry(entry) => {
                out.push_str(&entry.0);
                out.push('=');
                entry.1.write_at(out, depth + 1);
            }
            Self::Object(_) => {}
        }
    }

    /// The member of a map; None if there is none, or this is no map.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        match self {
            Self::Map(entries) => {
                let entries = entries.borrow();
                entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            }
            Self::Entry(entry) => match name {
                "key" => Some(Self::text(&entry.0)),
                "value" => Some(entry.1.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::List(a), Self::List(b)) if Rc::ptr_eq(a, b) => true,
            (Self::Map(a), Self::Map(b)) if Rc::ptr_eq(a, b) => true,
            (Self::List(_), Self::List(_)) | (Self::Map(_), Self::Map(_)) => {
                self.to_json(0) == other.to_json(0)
            }
            (a, b) => match (a.as_number(), b.as_number()) {
                (Some(a), Some(b)) => a == b,
                // Velocity compares what is of different kinds by its text.
                _ => {
                    a.to_text() == b.to_text()
                        && !matches!((a, b), (Self::Null, _) | (_, Self::Null))
                }
            },
        }
    }
}

/// Sets `key` in a map, in its place if it is there.
pub(super) fn put(entries: &mut Entries, key: &str, value: Value) -> Option<Value> {
    match entries.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => Some(std::mem::replace(old, value)),
        None => {
            entries.push((key.to_owned(), value));
            None
        }
    }
}

/// `1.0`, as Java writes doubles.
fn write_float(value: f64, out: &mut String) {
    let large = value.abs() >= 1e7 || (value != 0.0 && value.abs() < 1e-3);
    let text = if large { format!("{value:E}") } else { format!("{value:?}") };
    match (large, text.contains('.')) {
        (true, false) => out.push_str(&text.replace('E', ".0E")),
        _ => out.push_str(&text),
    }
}
