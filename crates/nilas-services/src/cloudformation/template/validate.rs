//! Checks that the names in a template fit together, before anything is made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::TemplateError;
use super::evaluate::{Evaluation, Lookup, Pseudo};
use super::references::{References, cycle};
use super::{Declared, Template, parameters};
use crate::cloudformation::types;

impl Template {
    /// Types, references, conditions and cycles. Completes `depends_on` of each resource.
    pub(super) fn check(&mut self) -> Result<(), TemplateError> {
        let parameters: BTreeSet<String> =
            parameters::declared(&self.root)?.into_iter().map(|known| known.name).collect();
        // What the others make depends on parameters: `Target` knows.
        check_types(self.resources.iter().filter(|declared| declared.condition.is_none()))?;
        let conditions: BTreeSet<String> =
            self.conditions().map(|(name, _)| name.clone()).collect();
        self.check_conditions(&parameters, &conditions)?;
        let ids: BTreeSet<String> =
            self.resources.iter().map(|declared| declared.id.clone()).collect();
        if let Some(both) = ids.intersection(&parameters).next() {
            return Err(TemplateError::format(format!(
                "Resource name {both} is the name of a parameter, too."
            )));
        }
        let known = |name: &str| ids.contains(name) || parameters.contains(name);
        let mut unresolved = BTreeSet::new();
        for declared in &self.resources {
            let names = declared.references.names();
            unresolved.extend(names.filter(|name| !known(name)).map(str::to_owned));
            unresolved.extend(declared.depends_on.iter().filter(|id| !ids.contains(*id)).cloned());
            self.check_attributes(&declared.references, &ids)?;
            let named = declared.references.conditions.iter().chain(&declared.condition);
            check_named(named, &conditions, "Resources")?;
        }
        refuse_unresolved(&unresolved, "Resources")?;
        self.check_outputs(&known, &ids, &conditions)?;
        for declared in &mut self.resources {
            let names: Vec<String> = declared.references.names().map(str::to_owned).collect();
            declared.depends_on.extend(names.into_iter().filter(|name| ids.contains(name)));
        }
        let edges: BTreeMap<String, BTreeSet<String>> = self
            .resources
            .iter()
            .map(|declared| (declared.id.clone(), declared.depends_on.clone()))
            .collect();
        match cycle(&edges) {
            None => Ok(()),
            Some(names) => Err(TemplateError(format!(
                "Circular dependency between resources: [{}]",
                names.join(", ")
            ))),
        }
    }

    fn check_conditions(
        &self,
        parameters: &BTreeSet<String>,
        conditions: &BTreeSet<String>,
    ) -> Result<(), TemplateError> {
        let mut edges = BTreeMap::new();
        for (name, value) in self.conditions() {
            let mut references = References::default();
            references.collect(value, true)?;
            let unresolved: BTreeSet<String> = references
                .names()
                .filter(|name| !parameters.contains(*name))
                .map(str::to_owned)
                .collect();
            if !unresolved.is_empty() {
                let names: Vec<&str> = unresolved.iter().map(String::as_str).collect();
                return Err(TemplateError::format(format!(
                    "Unresolved dependencies [{}]. Cannot reference resources in the Conditions block of the template",
                    names.join(", ")
                )));
            }
            check_named(references.conditions.iter(), conditions, "Conditions")?;
            edges.insert(name.clone(), references.conditions);
        }
        match cycle(&edges) {
            None => Ok(()),
            Some(names) => Err(TemplateError::format(format!(
                "Circular dependencies between conditions: [{}]",
                names.join(", ")
            ))),
        }
    }

    fn check_attributes(
        &self,
        references: &References,
        ids: &BTreeSet<String>,
    ) -> Result<(), TemplateError> {
        for (id, attribute) in &references.attributes {
            if !ids.contains(id) {
                return Err(TemplateError::of(format!(
                    "instance of Fn::GetAtt references undefined resource {id}"
                )));
            }
            let (Some(declared), Some(attribute)) = (self.resource(id), attribute) else {
                continue;
            };
            let known = types::find(&declared.kind);
            if known.is_some_and(|known| !known.has_attribute(attribute)) {
                return Err(TemplateError::of(format!(
                    "resource {id} does not support attribute type {attribute} in Fn::GetAtt"
                )));
            }
        }
        Ok(())
    }

    fn check_outputs(
        &self,
        known: &dyn Fn(&str) -> bool,
        ids: &BTreeSet<String>,
        conditions: &BTreeSet<String>,
    ) -> Result<(), TemplateError> {
        let mut unresolved = BTreeSet::new();
        for output in &self.outputs {
            let mut references = References::default();
            references.collect(&output.value, false)?;
            if let Some(export) = &output.export {
                references.collect(export, false)?;
            }
            unresolved.extend(references.names().filter(|name| !known(name)).map(str::to_owned));
            self.check_attributes(&references, ids)?;
            let named = references.conditions.iter().chain(&output.condition);
            check_named(named, conditions, "Outputs")?;
        }
        refuse_unresolved(&unresolved, "Outputs")
    }

    /// Every condition's value. They refer to parameters and to one another only, in no circle.
    pub(crate) fn evaluate_conditions(
        &self,
        parameters: &BTreeMap<String, Value>,
        pseudo: &Pseudo,
    ) -> Result<BTreeMap<String, bool>, TemplateError> {
        let mut waiting: BTreeMap<&String, (&Value, BTreeSet<String>)> = BTreeMap::new();
        for (name, value) in self.conditions() {
            let mut references = References::default();
            references.collect(value, true)?;
            waiting.insert(name, (value, references.conditions));
        }
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        while !waiting.is_empty() {
            let ready: Vec<&String> = waiting
                .iter()
                .filter(|(_, (_, needs))| needs.iter().all(|need| known.contains_key(need)))
                .map(|(name, _)| *name)
                .collect();
            if ready.is_empty() {
                return Err(TemplateError::format("Circular dependencies between conditions"));
            }
            for name in ready {
                let Some((value, _)) = waiting.remove(name) else { continue };
                let evaluation = Evaluation {
                    template: self,
                    parameters,
                    conditions: &known,
                    pseudo,
                    lookup: &Nothing,
                };
                let value = evaluation.condition(value)?;
                known.insert(name.clone(), value);
            }
        }
        Ok(known)
    }
}

/// For where there are no resources.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Lookup for Nothing {
    fn resource(&self, _: &str) -> Option<Value> {
        None
    }

    fn attribute(&self, id: &str, _: &str) -> Result<Value, TemplateError> {
        Err(TemplateError::of(format!("instance of Fn::GetAtt references undefined resource {id}")))
    }

    fn export(&self, _: &str) -> Option<String> {
        None
    }
}

fn check_named<'a>(
    mut names: impl Iterator<Item = &'a String>,
    conditions: &BTreeSet<String>,
    block: &str,
) -> Result<(), TemplateError> {
    match names.find(|name| !conditions.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(TemplateError::format(format!(
            "Unresolved condition dependency {name} in the {block} block of the template"
        ))),
    }
}

/// Every type has to be one that can be made here.
pub(crate) fn check_types<'a>(
    resources: impl Iterator<Item = &'a Declared>,
) -> Result<(), TemplateError> {
    let kinds = resources.map(|declared| declared.kind.as_str());
    let unknown: BTreeSet<&str> = kinds.filter(|kind| types::find(kind).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Vec<&str> = unknown.into_iter().collect();
    Err(TemplateError::format(format!("Unrecognized resource types: [{}]", unknown.join(", "))))
}

fn refuse_unresolved(names: &BTreeSet<String>, block: &str) -> Result<(), TemplateError> {
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Err(TemplateError::format(format!(
        "Unresolved resource dependencies [{}] in the {block} block of the template",
        names.join(", ")
    )))
}
