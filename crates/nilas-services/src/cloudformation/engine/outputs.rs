//! Outputs and exports of a stack that has been deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::Value;

use super::Run;
use super::lookup::{Exports, Made};
use crate::cloudformation::local_urls;
use crate::cloudformation::stack::OutputValue;
use crate::cloudformation::target::Target;
use crate::cloudformation::template::{Lookup, TemplateError, comparable};

impl Run {
    /// The outputs whose conditions hold; or why the deployment fails because of them.
    pub(super) fn outputs(
        &self,
        target: &Target,
        exports: &Exports,
    ) -> Result<Vec<OutputValue>, String> {
        let lookup = Made { resources: &self.resources, exports };
        let evaluation = target.evaluation(&lookup);
        let mut outputs = Vec::new();
        for output in &target.template.outputs {
            if !target.holds(output.condition.as_ref()) {
                continue;
            }
            let value = match evaluation
                .resolve(&output.value)
                .map_err(|error| error.to_string())?
            {
                Some(Value::Array(_) | Value::Object(_)) | None => {
                    return Err(format!(
                        "Template format error: Output {} is malformed. The Value field of every Outputs member must evaluate to a String.",
                        output.key
                    ));
                }
                Some(value) => comparable(&value),
            };
            let export = match &output.export {
                None => None,
                Some(name) => {
                    let name = evaluation.resolve(name).map_err(|error| error.to_string())?;
                    name.as_ref().map(comparable)
                }
            };
            let local = self.operation().caller.local;
            outputs.push(OutputValue {
                key: output.key.clone(),
                value: local_urls::rewrite(&value, local.port()),
                description: output.description.clone(),
                export,
            });
        }
        self.check_exports(&outputs)?;
        Ok(outputs)
    }

    /// No other stack may export the same names, and what others import must stay as it is.
    fn check_exports(&self, outputs: &[OutputValue]) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for name in outputs.iter().filter_map(|output| output.export.as_deref()) {
            if !names.insert(name) {
                return Err(format!("Duplicate Export names: [{name}]"));
            }
        }
        let others = self.service.others(&self.stack);
        for other in &others {
            for export in other.stack.outputs.iter().filter_map(|output| output.export.as_deref()) {
                if names.contains(export) {
                    return Err(format!(
                        "Export with name {export} is already exported by stack {}",
                        other.stack.name
                    ));
                }
            }
        }
        let new: BTreeMap<&str, &str> = outputs
            .iter()
            .filter_map(|output| Some((output.export.as_deref()?, output.value.as_str())))
            .collect();
        for output in &self.stack.outputs {
            let Some(name) = output.export.as_deref() else { continue };
            let user = others.iter().find(|other| other.stack.imports.contains(name));
            let Some(user) = user else { continue };
            let user = &user.stack.name;
            match new.get(name) {
                None => {
                    return Err(format!(
                        "Export {name} cannot be deleted as it is in use by {user}"
                    ));
                }
                Some(value) if *value != output.value => {
                    return Err(format!(
                        "Export {name} cannot be updated as it is in use by {user}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The exports of other stacks that `target` uses.
    pub(super) fn imported(&self, target: &Target) -> BTreeSet<String> {
        let exports = self.service.exports(&self.stack);
        let lookup = Recording {
            made: Made { resources: &self.resources, exports: &exports },
            imported: Mutex::default(),
        };
        for declared in target.resources() {
            // It was evaluated without an error when it was deployed.
            drop(target.properties(declared, &lookup));
        }
        for output in &target.template.outputs {
            if target.holds(output.condition.as_ref()) {
                drop(target.evaluation(&lookup).resolve(&output.value));
            }
        }
        lookup.imported.into_inner().expect("no holder panics")
    }
}

/// Notes which exports are looked up.
struct Recording<'a> {
    made: Made<'a>,
    imported: Mutex<BTreeSet<String>>,
}

impl Lookup for Recording<'_> {
    fn resource(&self, id: &str) -> Option<Value> {
        self.made.resource(id)
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Value, TemplateError> {
        self.made.attribute(id, attribute)
    }

    fn export(&self, name: &str) -> Option<String> {
        self.imported.lock().expect("no holder panics").insert(name.to_owned());
        self.made.export(name)
    }
}
