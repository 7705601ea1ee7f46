//! Resolves references: to parameters, to entries of mappings, and to what a SAM resource was expanded into.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::print;
use super::problem::{Problem, Result};
use super::value::{Map, Text, Val};

/// What `Fn::Sub` puts values into.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\{([A-Za-z0-9.]+|AWS::[A-Z][A-Za-z]*)\}").expect("the expression is well-formed")
});

/// Longest text that an `Fn::Sub` may become, bytes: as long as a whole template.
const SUBSTITUTED_BYTES_MAX: usize = 1 << 20;

/// The values of a template's parameters, by name.
#[derive(Debug)]
pub(in crate::sam) struct Parameters(pub(in crate::sam) Map);

impl Parameters {
    fn value(&self, name: &str) -> Option<&Val> {
        // A parameter that CloudFormation could not resolve yet is written so and stays a reference.
        self.0
            .entry(name)
            .filter(|value| !value.as_str().is_some_and(|v| v.starts_with("{{IntrinsicFunction:")))
    }

    /// Resolves what is within `value`, in place. A `Ref` that is the whole of it is resolved in the answer only, which
    /// is how the translator shares and does not share values.
    pub(in crate::sam) fn resolve_shared(&self, value: &mut Val) -> Result<Val> {
        if value.as_map().and_then(Map::only).is_some_and(|(key, _)| key.as_str() == "Ref") {
            return self.resolve(value.clone());
        }
        *value = self.resolve(std::mem::take(value))?;
        Ok(value.clone())
    }

    /// Resolves references only, not the variables of `Fn::Sub`.
    pub(in crate::sam) fn resolve_references(&self, value: Val) -> Result<Val> {
        if self.0.is_empty() {
            return Ok(value);
        }
        let value = match value.as_map().and_then(Map::only) {
            Some((key, Val::Text(name))) if key.as_str() == "Ref" => {
                // Not looked into: a parameter's value that referred to itself would have no end.
                return Ok(self.value(name).cloned().unwrap_or(value));
            }
            _ => value,
        };
        descend(value, &mut |value| self.resolve_references(value))
    }

    pub(in crate::sam) fn resolve(&self, value: Val) -> Result<Val> {
        if self.0.is_empty() {
            return Ok(value);
        }
        let value = match value.as_map().and_then(Map::only) {
            Some((key, Val::Text(name))) if key.as_str() == "Ref" => {
                // Not looked into: a parameter's value that referred to itself would have no end.
                return Ok(self.value(name).cloned().unwrap_or(value));
            }
            Some((key, _)) if key.as_str() == "Fn::Sub" => {
                substitute(value, &|variable, name| match self.value(name) {
                    None => Ok(variable.to_owned()),
                    Some(Val::Text(text)) => Ok(text.as_str().to_owned()),
                    Some(other) => Err(Problem::document(format!(
                        "Invalid Fn::Sub variable value {}. Fn::Sub expects all variables to be strings.",
                        print::text(other)
                    ))),
                })?
            }
            _ => value,
        };
        descend(value, &mut |value| self.resolve(value))
    }
}

/// A template's mappings.
#[derive(Debug)]
pub(in crate::sam) struct Mappings(pub(in crate::sam) Map);

impl Mappings {
    pub(in crate::sam) fn resolve(&self, value: Val) -> Result<Val> {
        if self.0.is_empty() {
            return Ok(value);
        }
        match self.find(&value)? {
            // Not looked into: an entry that referred to itself would have no end.
            Some(found) => Ok(found),
            None => descend(value, &mut |value| self.resolve(value)),
        }
    }

    /// The entry that an `Fn::FindInMap` names, if this is one and there is an entry.
    fn find(&self, value: &Val) -> Result<Option<Val>> {
        let Some((key, arguments)) = value.as_map().and_then(Map::only) else { return Ok(None) };
        if key.as_str() != "Fn::FindInMap" {
            return Ok(None);
        }
        let Some([name, top, second]) = arguments.as_list() else {
            return Err(Problem::document(format!(
                "Invalid FindInMap value {}. FindInMap expects an array with 3 values.",
                print::text(arguments)
            )));
        };
        let key =
            |value: &Val| Ok::<_, Problem>(self.find(value)?.unwrap_or_else(|| value.clone()));
        let keys = (key(name)?, key(top)?, key(second)?);
        let (Some(name), Some(top), Some(second)) =
            (keys.0.as_str(), keys.1.as_str(), keys.2.as_str())
        else {
            return Ok(None);
        };
        let shallow = || {
            Problem::document(format!(
                "Cannot use Fn::FindInMap on Mapping '{name}' which is not a a two-level map."
            ))
        };
        let Some(mapping) = self.0.entry(name) else { return Ok(None) };
        let Some(row) = mapping.as_map().ok_or_else(shallow)?.entry(top) else { return Ok(None) };
        Ok(row.as_map().ok_or_else(shallow)?.entry(second).cloned())
    }
}

/// What the SAM resources of a template became: `MyFunction.Version` is a resource of its own.
#[derive(Debug, Default)]
pub(in crate::sam) struct Made {
    properties: HashMap<String, HashMap<&'static str, String>>,
    /// New logical ids of resources, by the ones the template gives them.
    pub(in crate::sam) renamed: HashMap<String, String>,
}

impl Made {
    pub(in crate::sam) fn add(&mut self, id: &str, property: &'static str, made: &str) {
        self.properties.entry(id.to_owned()).or_default().insert(property, made.to_owned());
    }

    fn property(&self, id: &str, property: &str) -> Option<&String> {
        self.properties.get(id)?.get(property)
    }

    /// Points references to renamed resources at their new ids.
    pub(in crate::sam) fn resolve_ids(&self, value: Val) -> Result<Val> {
        if self.renamed.is_empty() {
            return Ok(value);
        }
        let value = match value.as_map().and_then(Map::only) {
            Some((key, Val::Text(name))) if key.as_str() == "Ref" => {
                match self.renamed.get(name.as_str()) {
                    Some(id) => super::intrinsic::reference(id.as_str()),
                    None => value,
                }
            }
            Some((key, _)) if key.as_str() == "Fn::Sub" => substitute(value, &|variable, name| {
                let id = name.split('.').next().unwrap_or(name);
                Ok(self
                    .renamed
                    .get(id)
                    .map_or_else(|| variable.to_owned(), |new| variable.replace(id, new)))
            })?,
            Some((key, Val::List(path))) if key.as_str() == "Fn::GetAtt" => {
                renamed_path(path, |path| Some((self.renamed.get(*path.first()?)?, 1)))
                    .unwrap_or(value)
            }
            _ => value,
        };
        descend(value, &mut |value| self.resolve_ids(value))
    }

    /// Points `MyApi.Stage` and the like at the resources that were made.
    pub(in crate::sam) fn resolve_properties(&self, value: Val) -> Result<Val> {
        if self.properties.is_empty() {
            return Ok(value);
        }
        let value = match value.as_map().and_then(Map::only) {
            Some((key, Val::Text(name))) if key.as_str() == "Ref" => {
                let made =
                    name.split_once('.').and_then(|(id, property)| self.property(id, property));
                made.map_or_else(
                    || value.clone(),
                    |made| super::intrinsic::reference(made.as_str()),
                )
            }
            Some((key, _)) if key.as_str() == "Fn::Sub" => substitute(value, &|variable, name| {
                let mut parts = name.split('.');
                let (Some(id), Some(property)) = (parts.next(), parts.next()) else {
                    return Ok(variable.to_owned());
                };
                let made = self.property(id, property);
                Ok(made.map_or_else(
                    || variable.to_owned(),
                    |made| variable.replace(&format!("{id}.{property}"), made),
                ))
            })?,
            Some((key, Val::List(path))) if key.as_str() == "Fn::GetAtt" => {
                renamed_path(path, |path| Some((self.property(path.first()?, path.get(1)?)?, 2)))
                    .unwrap_or(value)
            }
            _ => value,
        };
        descend(value, &mut |value| self.resolve_properties(value))
    }
}

/// The `Fn::GetAtt` whose first steps `find` replaces.
fn renamed_path<'a>(
    path: &[Val],
    find: impl FnOnce(&[&str]) -> Option<(&'a String, usize)>,
) -> Option<Val> {
    let steps: Option<Vec<&str>> = path.iter().map(Val::as_str).collect();
    let joined = steps.filter(|steps| steps.len() > 1)?.join(".");
    let steps: Vec<&str> = joined.split('.').collect();
    let (new, replaced) = find(&steps)?;
    let mut path = vec![Val::from(new.as_str())];
    path.extend(steps.iter().skip(replaced).map(|step| Val::from(*step)));
    Some(super::value::map! { "Fn::GetAtt" => path }.into())
}

fn descend(value: Val, resolve: &mut dyn FnMut(Val) -> Result<Val>) -> Result<Val> {
    match value {
        Val::Map(mut map) => {
            map.try_change(resolve)?;
            Ok(Val::Map(map))
        }
        Val::List(list) => Ok(Val::List(list.into_iter().map(resolve).collect::<Result<_>>()?)),
        other => Ok(other),
    }
}

/// An `Fn::Sub` with its variables replaced by what `replacement` says of `${Name}` and `Name`.
fn substitute(mut value: Val, replacement: &dyn Fn(&str, &str) -> Result<String>) -> Result<Val> {
    let argument = value.as_map_mut().and_then(|map| map.get_mut("Fn::Sub"));
    let text = match argument {
        Some(Val::Text(text)) => text,
        Some(Val::List(list)) => match list.first_mut() {
            Some(Val::Text(text)) => text,
            _ => return Ok(value),
        },
        _ => return Ok(value),
    };
    let mut substituted = String::with_capacity(text.len());
    let mut done = 0;
    for found in VARIABLE.captures_iter(text.as_str()) {
        let Some(variable) = found.get(0) else { continue };
        substituted.push_str(&text.as_str()[done..variable.start()]);
        substituted.push_str(&replacement(variable.as_str(), &found[1])?);
        done = variable.end();
        if substituted.len() > SUBSTITUTED_BYTES_MAX {
            return Err(Problem::document("The text of an Fn::Sub is too long."));
        }
    }
    substituted.push_str(&text.as_str()[done..]);
    *text = Text::new(substituted, text.marked);
    Ok(value)
}

/// Renames what a resource depends on.
pub(in crate::sam) fn rename_dependencies(value: &mut Val, renamed: &HashMap<String, String>) {
    match value {
        Val::Map(map) => {
            let names = match map.get_mut("DependsOn") {
                Some(Val::List(names)) => names.iter_mut().collect(),
                Some(name @ Val::Text(_)) => vec![name],
                _ => Vec::new(),
            };
            for name in names {
                if let Some(new) = name.as_str().and_then(|name| renamed.get(name)) {
                    *name = new.as_str().into();
                }
            }
            for key in map.keys() {
                if let Some(value) = map.get_mut(&key) {
                    rename_dependencies(value, renamed);
                }
            }
        }
        Val::List(list) => list.iter_mut().for_each(|value| rename_dependencies(value, renamed)),
        _ => {}
    }
}

/// The partition of a region.
pub(in crate::sam) fn partition(region: &str) -> &'static str {
    const PARTITIONS: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-iso-", "aws-iso"),
        ("us-isob", "aws-iso-b"),
        ("us-gov", "aws-us-gov"),
        ("eu-isoe", "aws-iso-e"),
        ("us-isof", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    let region = region.to_lowercase();
    PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, name)| name)
}
