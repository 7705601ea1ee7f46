//! Which names a value refers to: what must be there before a resource, and what is not there at all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::TemplateError;
use super::function::{Function, Piece, called, get_att, sub_argument, sub_pieces};

/// Names that a value refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct References {
    /// By `Ref`, or `${X}`: parameters and resources, pseudo parameters left out.
    pub(crate) refs: BTreeSet<String>,
    /// By `Fn::GetAtt`, or `${X.Y}`: resource and attribute; no attribute if a function says it.
    pub(crate) attributes: BTreeSet<(String, Option<String>)>,
    /// By `Fn::If`, or `Condition`.
    pub(crate) conditions: BTreeSet<String>,
}

impl References {
    /// Adds what `value` refers to.
    pub(super) fn collect(
        &mut self,
        value: &Value,
        in_condition: bool,
    ) -> Result<(), TemplateError> {
        match called(value, in_condition)? {
            Some((Function::Ref, argument)) => match argument.as_str() {
                Some(name) => self.name(name),
                None => {
                    return Err(TemplateError::format(
                        "Every Ref object must have a single String value.",
                    ));
                }
            },
            Some((Function::GetAtt, argument)) => {
                let (id, attribute) = get_att(argument)?;
                self.attributes.insert((id.to_owned(), attribute.as_str().map(str::to_owned)));
                self.collect(&attribute, false)?;
            }
            Some((Function::Sub, argument)) => self.sub(argument)?,
            Some((Function::Condition, argument)) => {
                self.conditions.extend(argument.as_str().map(str::to_owned));
            }
            Some((Function::If, argument)) => {
                let parts = argument.as_array().map_or(&[] as &[Value], Vec::as_slice);
                self.conditions.extend(parts.first().and_then(Value::as_str).map(str::to_owned));
                for part in parts.iter().skip(1) {
                    self.collect(part, false)?;
                }
            }
            Some((function, argument)) => {
                let boolean = matches!(function, Function::And | Function::Or | Function::Not);
                self.inside(argument, in_condition && boolean)?;
            }
            None => self.inside(value, in_condition)?,
        }
        Ok(())
    }

    fn inside(&mut self, value: &Value, in_condition: bool) -> Result<(), TemplateError> {
        match value {
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.collect(item, in_condition))
            }
            Value::Object(members) if members.len() == 1 && in_condition => {
                self.collect(value, true)
            }
            Value::Object(members) => {
                members.values().try_for_each(|member| self.collect(member, false))
            }
            _ => Ok(()),
        }
    }

    fn sub(&mut self, argument: &Value) -> Result<(), TemplateError> {
        let (text, variables) = sub_argument(argument)?;
        for piece in sub_pieces(text)? {
            let Piece::Variable(name) = piece else { continue };
            if variables.is_some_and(|variables| variables.contains_key(name)) {
                continue;
            }
            match name.split_once('.') {
                Some((id, attribute)) => {
                    self.attributes.insert((id.to_owned(), Some(attribute.to_owned())));
                }
                None => self.name(name),
            }
        }
        for variable in variables.into_iter().flat_map(serde_json::Map::values) {
            self.collect(variable, false)?;
        }
        Ok(())
    }

    fn name(&mut self, name: &str) {
        if !name.starts_with("AWS::") {
            self.refs.insert(name.to_owned());
        }
    }

    /// Everything referred to that may be a resource.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let attributes = self.attributes.iter().map(|(id, _)| id.as_str());
        self.refs.iter().map(String::as_str).chain(attributes)
    }
}

/// The names on a way from a name back to itself, if there is one.
pub(crate) fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    // What depends on nothing that is left goes, again and again; a cycle stays, with what depends on it.
    let mut left: BTreeMap<&str, BTreeSet<&str>> = edges
        .iter()
        .map(|(from, to)| {
            let known = to.iter().map(String::as_str).filter(|name| edges.contains_key(*name));
            (from.as_str(), known.collect())
        })
        .collect();
    loop {
        let free: Vec<&str> =
            left.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| *from).collect();
        if free.is_empty() {
            break;
        }
        for name in &free {
            left.remove(name);
        }
        for to in left.values_mut() {
            to.retain(|name| !free.contains(name));
        }
    }
    // And what nothing that is left depends on goes, too.
    loop {
        let needed: BTreeSet<&str> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|name, _| needed.contains(name));
        if left.len() == before {
            break;
        }
    }
    (!left.is_empty()).then(|| left.keys().map(|name| (*name).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_refer_is_seen() {
        let value = json!({
            "A": { "Ref": "P" },
            "B": { "Fn::Sub": ["${X}${Y}${Z.Arn}${AWS::Region}", { "X": { "Fn::GetAtt": ["G", "Arn"] } }] },
            "C": { "Fn::If": ["Cond", { "Ref": "T" }, { "Ref": "AWS::NoValue" }] },
            "Condition": "notACondition"
        });
        let mut references = References::default();
        references.collect(&value, false).unwrap();
        assert_eq!(references.refs, ["P", "T", "Y"].map(str::to_owned).into());
        let pair = |id: &str| (id.to_owned(), Some("Arn".to_owned()));
        assert_eq!(references.attributes, [pair("G"), pair("Z")].into());
        assert_eq!(references.conditions, ["Cond".to_owned()].into());
    }

    #[test]
    fn a_cycle_is_named_without_its_surroundings() {
        let edges = |pairs: &[(&str, &[&str])]| -> BTreeMap<String, BTreeSet<String>> {
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            pairs.iter().map(|(from, to)| ((*from).to_owned(), set(to))).collect()
        };
        let graph =
            edges(&[("A", &["B"]), ("B", &["C"]), ("C", &["B"]), ("D", &[]), ("E", &["D"])]);
        assert_eq!(cycle(&graph), Some(vec!["B".to_owned(), "C".to_owned()]));
        assert_eq!(cycle(&edges(&[("A", &["B"]), ("B", &["X"])])), None);
        assert_eq!(cycle(&edges(&[("A", &["A"])])), Some(vec!["A".to_owned()]));
    }
}
