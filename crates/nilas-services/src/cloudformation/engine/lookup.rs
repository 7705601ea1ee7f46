//! What the functions of a template find while a stack is being deployed.

use serde_json::Value;

use crate::cloudformation::stack::Resources;
use crate::cloudformation::template::{Lookup, TemplateError, UNKNOWN};

/// An account's exports in a region: names and values.
pub(crate) type Exports = std::collections::BTreeMap<String, String>;

/// Physical ids and attributes of what is there.
pub(super) struct Made<'a> {
    pub(super) resources: &'a Resources,
    pub(super) exports: &'a Exports,
}

impl Lookup for Made<'_> {
    fn resource(&self, id: &str) -> Option<Value> {
        let made = self.resources.get(id)?.version.made.as_ref()?;
        Some(made.physical_id.as_str().into())
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Value, TemplateError> {
        let made = self.resources.get(id).and_then(|resource| resource.version.made.as_ref());
        let made = made.ok_or_else(|| {
            TemplateError::format(format!(
                "Unresolved resource dependencies [{id}] in the Resources block of the template"
            ))
        })?;
        made.attributes.get(attribute).cloned().ok_or_else(|| {
            TemplateError(format!("Attribute '{attribute}' of resource {id} does not exist"))
        })
    }

    fn export(&self, name: &str) -> Option<String> {
        self.exports.get(name).cloned()
    }
}

/// For what is evaluated before anything is there: every resource of the template will be.
pub(crate) struct Planned<'a> {
    /// What is there and stays as it is.
    pub(crate) unchanged: &'a (dyn Fn(&str) -> bool + Sync),
    pub(crate) resources: &'a Resources,
    pub(crate) exports: &'a Exports,
}

impl Lookup for Planned<'_> {
    fn resource(&self, id: &str) -> Option<Value> {
        let made = Made { resources: self.resources, exports: self.exports };
        let known = (self.unchanged)(id).then(|| made.resource(id)).flatten();
        Some(known.unwrap_or_else(|| UNKNOWN.into()))
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Value, TemplateError> {
        let made = Made { resources: self.resources, exports: self.exports };
        let known = (self.unchanged)(id).then(|| made.attribute(id, attribute).ok()).flatten();
        Ok(known.unwrap_or_else(|| UNKNOWN.into()))
    }

    fn export(&self, name: &str) -> Option<String> {
        self.exports.get(name).cloned()
    }
}
