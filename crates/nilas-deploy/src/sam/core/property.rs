//! Tables of properties, and the check of a resource or event against its table.

use super::problem::{Problem, Result};
use super::value::{Map, Val};

/// What a property may be.
#[derive(Clone, Copy, Debug)]
pub(in crate::sam) enum Kind {
    Any,
    Text,
    Map,
    Bool,
    Int,
    List,
    TextOrMap,
    BoolOrMap,
    /// A list, each text or a map.
    Items,
    /// Text, or a list of text.
    Texts,
    /// Text, a map, or a list of these.
    Policies,
    /// As `Policies`, but not a single map.
    PolicyList,
    MapOfMaps,
    MapOfText,
    MapOfIntegers,
    /// A map, or a list of maps.
    Maps,
    ListOfText,
    /// One of two words.
    Word(&'static str, &'static str),
}

impl Kind {
    fn accepts(self, value: &Val) -> bool {
        let items =
            |accepts: fn(&Val) -> bool| value.as_list().is_some_and(|l| l.iter().all(accepts));
        let values = |accepts: fn(&Val) -> bool| {
            value.as_map().is_some_and(|m| m.iter().all(|(_, value)| accepts(value)))
        };
        match self {
            Self::Any => true,
            Self::Text => is_text(value),
            Self::Map => is_map(value),
            Self::Bool => matches!(value, Val::Bool(_)),
            Self::Int => is_int(value),
            Self::List => matches!(value, Val::List(_)),
            Self::TextOrMap => is_text_or_map(value),
            Self::BoolOrMap => matches!(value, Val::Bool(_) | Val::Map(_)),
            Self::Items => items(is_text_or_map),
            Self::Texts => is_text(value) || items(is_text),
            Self::Policies => is_text_or_map(value) || items(is_text_or_map),
            Self::PolicyList => is_text(value) || items(is_text_or_map),
            Self::MapOfMaps => values(is_map),
            Self::MapOfText => values(is_text),
            Self::MapOfIntegers => values(|value| is_int(value) || is_map(value)),
            Self::Maps => is_map(value) || items(is_map),
            Self::ListOfText => items(is_text),
            Self::Word(one, other) => value.is_text(one) || value.is_text(other),
        }
    }

    /// What is expected, where the message says it.
    fn expected(self) -> Option<String> {
        match self {
            Self::Text => Some("string".to_owned()),
            Self::Map => Some("map".to_owned()),
            Self::Word(one, other) => Some(format!("one of the strings: '{one}' or '{other}'")),
            _ => None,
        }
    }
}

fn is_text(value: &Val) -> bool {
    matches!(value, Val::Text(_))
}

fn is_map(value: &Val) -> bool {
    matches!(value, Val::Map(_))
}

fn is_text_or_map(value: &Val) -> bool {
    matches!(value, Val::Text(_) | Val::Map(_))
}

fn is_int(value: &Val) -> bool {
    match value {
        Val::Bool(_) => true,
        Val::Number(number) => !number.is_f64(),
        _ => false,
    }
}

#[derive(Clone, Copy, Debug)]
pub(in crate::sam) struct Property {
    pub(in crate::sam) name: &'static str,
    kind: Kind,
    required: bool,
    /// Whether a map of one key, which is taken for an intrinsic function, passes unchecked.
    intrinsics: bool,
}

/// An optional property that may be an intrinsic function.
pub(in crate::sam) const fn optional(name: &'static str, kind: Kind) -> Property {
    Property { name, kind, required: false, intrinsics: true }
}

/// A required property that may be an intrinsic function.
pub(in crate::sam) const fn required(name: &'static str, kind: Kind) -> Property {
    Property { name, kind, required: true, intrinsics: true }
}

/// An optional property that no intrinsic function stands for.
pub(in crate::sam) const fn literal(name: &'static str, kind: Kind) -> Property {
    Property { name, kind, required: false, intrinsics: false }
}

/// A required property that no intrinsic function stands for.
pub(in crate::sam) const fn required_literal(name: &'static str, kind: Kind) -> Property {
    Property { name, kind, required: true, intrinsics: false }
}

/// A property that is handed on as it is.
pub(in crate::sam) const fn passed(name: &'static str) -> Property {
    literal(name, Kind::Any)
}

/// Fails on a property that no row of the table has.
pub(in crate::sam) fn known(
    tables: &[&[Property]],
    kind: &str,
    id: &str,
    properties: &Map,
) -> Result<()> {
    for (name, _) in properties.iter() {
        if !tables.iter().any(|table| table.iter().any(|row| row.name == name.as_str())) {
            let message = format!("property {name} not defined for resource of type {kind}");
            return Err(Problem::resource(id, message));
        }
    }
    Ok(())
}

/// Checks each property against its row, in the table's order.
pub(in crate::sam) fn check(tables: &[&[Property]], id: &str, properties: &Map) -> Result<()> {
    for row in tables.iter().copied().flatten() {
        let value = properties.get(row.name);
        if row.intrinsics && value.and_then(Val::as_map).is_some_and(|map| map.len() == 1) {
            continue;
        }
        match value {
            None if row.required => {
                let message = format!("Missing required property '{}'.", row.name);
                return Err(Problem::resource(id, message));
            }
            Some(value) if !row.kind.accepts(value) => {
                let message = match row.kind.expected() {
                    Some(kind) => format!("Property '{}' should be a {kind}.", row.name),
                    None => format!("Type of property '{}' is invalid.", row.name),
                };
                return Err(Problem::resource(id, message));
            }
            _ => {}
        }
    }
    Ok(())
}
