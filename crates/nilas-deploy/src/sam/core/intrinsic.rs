//! CloudFormation's intrinsic functions: how they are made and told from other maps.

use super::problem::{Problem, Result};
use super::value::{Map, Text, Val, list, map};

pub(in crate::sam) fn reference(name: impl Into<Text>) -> Val {
    map! { "Ref" => name.into() }.into()
}

pub(in crate::sam) fn get_att(name: impl Into<Text>, attribute: &str) -> Val {
    map! { "Fn::GetAtt" => list![name.into(), attribute] }.into()
}

pub(in crate::sam) fn sub(text: impl Into<Text>) -> Val {
    map! { "Fn::Sub" => text.into() }.into()
}

pub(in crate::sam) fn sub_with(text: impl Into<Text>, variables: Map) -> Val {
    map! { "Fn::Sub" => list![text.into(), variables] }.into()
}

pub(in crate::sam) fn join(delimiter: &str, items: Vec<Val>) -> Val {
    map! { "Fn::Join" => list![delimiter, items] }.into()
}

pub(in crate::sam) fn no_value() -> Val {
    reference("AWS::NoValue")
}

/// `Fn::If`, with no value where the condition is false.
pub(in crate::sam) fn conditional(condition: impl Into<Val>, value: impl Into<Val>) -> Val {
    conditional_else(condition, value, no_value())
}

pub(in crate::sam) fn conditional_else(
    condition: impl Into<Val>,
    value: impl Into<Val>,
    otherwise: impl Into<Val>,
) -> Val {
    map! { "Fn::If" => list![condition.into(), value.into(), otherwise.into()] }.into()
}

pub(in crate::sam) fn not(condition: impl Into<Val>) -> Val {
    map! { "Fn::Not" => list![map! { "Condition" => condition.into() }] }.into()
}

fn conditions(names: &[Val]) -> Val {
    Val::List(names.iter().map(|name| map! { "Condition" => name }.into()).collect())
}

pub(in crate::sam) fn or(names: &[Val]) -> Val {
    map! { "Fn::Or" => conditions(names) }.into()
}

pub(in crate::sam) fn and(names: &[Val]) -> Val {
    map! { "Fn::And" => conditions(names) }.into()
}

/// Conditions that together say "any of these", the last under `name`: `Fn::Or` takes ten.
pub(in crate::sam) fn any_of(mut names: Vec<Val>, name: &str) -> Map {
    const OR_MAX: usize = 10;
    let mut made = Map::new();
    if names.len() < 2 {
        return made;
    }
    let mut left = (names.len() - 2) / (OR_MAX - 1);
    while names.len() > 1 {
        let mut part = name.to_owned();
        if left > 0 {
            part = format!("{name}{left}");
            left -= 1;
        }
        let rest = names.split_off(names.len().min(OR_MAX));
        made.insert(part.as_str(), or(&names));
        names = rest;
        names.push(part.into());
    }
    made
}

/// A map with a single key that is `Ref`, `Condition` or a function's name.
pub(in crate::sam) fn is_intrinsic(value: &Val) -> bool {
    value.as_map().and_then(Map::only).is_some_and(|(key, _)| {
        matches!(key.as_str(), "Ref" | "Condition") || key.starts_with("Fn::")
    })
}

pub(in crate::sam) fn is_if(value: &Val) -> bool {
    value.as_map().and_then(Map::only).is_some_and(|(key, _)| key.as_str() == "Fn::If")
}

pub(in crate::sam) fn is_no_value(value: &Val) -> bool {
    is_intrinsic(value) && value.get("Ref").is_some_and(|name| name.is_text("AWS::NoValue"))
}

/// The condition and the two values of an `Fn::If`; says how many it wants where it has others.
pub(in crate::sam) fn if_items(value: &Val) -> Result<(&Val, &Val, &Val), &'static str> {
    match value.get("Fn::If").and_then(Val::as_list) {
        Some([condition, yes, no]) => Ok((condition, yes, no)),
        _ => Err("Fn::If requires 3 arguments"),
    }
}

/// The logical id that a `Ref` or `Fn::GetAtt` names.
pub(in crate::sam) fn logical_id(value: &Val) -> Option<&str> {
    if !is_intrinsic(value) {
        return None;
    }
    if let Some(Val::Text(name)) = value.get("Ref") {
        return Some(name.as_str());
    }
    match value.get("Fn::GetAtt")? {
        Val::List(items) => match items.as_slice() {
            [Val::Text(name), _] => Some(name.as_str()),
            _ => None,
        },
        Val::Text(name) => {
            let (id, attribute) = name.as_str().split_once('.')?;
            (!attribute.contains('.')).then_some(id)
        }
        _ => None,
    }
}

/// `${Name}` or `${Name.Attribute}` for a `Ref` or `Fn::GetAtt`.
pub(in crate::sam) fn shorthand(value: &Val) -> String {
    if let Some(name) = value.get("Ref").and_then(Val::as_str) {
        return format!("${{{name}}}");
    }
    let parts = value.get("Fn::GetAtt").and_then(Val::as_list).unwrap_or_default();
    let parts: Vec<&str> = parts.iter().filter_map(Val::as_str).collect();
    format!("${{{}}}", parts.join("."))
}

/// A value and, where it is an `Fn::If`, what it can be.
pub(in crate::sam) fn alternatives(value: &Val) -> Result<Vec<&Val>> {
    let Some(branches) = value.as_map().and_then(|map| map.entry("Fn::If")) else {
        return Ok(vec![value]);
    };
    let Val::List(branches) = branches else {
        return Err(Problem::document("Value of Fn::If must be a list."));
    };
    Ok(branches.iter().skip(1).filter(|branch| !is_no_value(branch)).collect())
}

/// As [`alternatives`], for changing them.
pub(in crate::sam) fn alternatives_mut(value: &mut Val) -> Result<Vec<&mut Val>> {
    let conditional = value.as_map().is_some_and(|map| map.has("Fn::If"));
    if !conditional {
        return Ok(vec![value]);
    }
    let branches = value.as_map_mut().and_then(|map| map.get_mut("Fn::If"));
    let Some(Val::List(branches)) = branches else {
        return Err(Problem::document("Value of Fn::If must be a list."));
    };
    Ok(branches.iter_mut().skip(1).filter(|branch| !is_no_value(branch)).collect())
}
