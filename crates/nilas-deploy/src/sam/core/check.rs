//! "Should be a map": checks of single values, in the translator's words.

use super::problem::{Problem, Result};
use super::value::{Map, Val};

/// Where a value is, for the message.
#[derive(Clone, Copy, Debug)]
pub(in crate::sam) enum At<'a> {
    Resource(&'a str, &'a str),
    Attribute(&'a str, &'a str),
    Event(&'a str, &'a str),
}

impl At<'_> {
    pub(in crate::sam) fn problem(self, message: &str) -> Problem {
        match self {
            Self::Resource(id, _) | Self::Attribute(id, _) => Problem::resource(id, message),
            Self::Event(id, _) => Problem::event(id, message),
        }
    }

    fn should_be(self, kind: &str) -> Problem {
        match self {
            Self::Attribute(_, path) => {
                self.problem(&format!("Attribute '{path}' should be a {kind}."))
            }
            Self::Resource(_, path) | Self::Event(_, path) => {
                self.problem(&format!("Property '{path}' should be a {kind}."))
            }
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Resource(_, path) | Self::Attribute(_, path) | Self::Event(_, path) => path,
        }
    }

    fn item<'a>(self, path: &'a str) -> At<'a>
    where
        Self: 'a,
    {
        match self {
            Self::Resource(id, _) => At::Resource(id, path),
            Self::Attribute(id, _) => At::Attribute(id, path),
            Self::Event(id, _) => At::Event(id, path),
        }
    }

    pub(in crate::sam) fn map(self, value: Option<&Val>) -> Result<&Map> {
        value.and_then(Val::as_map).ok_or_else(|| self.should_be("map"))
    }

    pub(in crate::sam) fn list(self, value: Option<&Val>) -> Result<&[Val]> {
        value.and_then(Val::as_list).ok_or_else(|| self.should_be("list"))
    }

    pub(in crate::sam) fn string(self, value: Option<&Val>) -> Result<&str> {
        value.and_then(Val::as_str).ok_or_else(|| self.should_be("string"))
    }

    pub(in crate::sam) fn boolean(self, value: Option<&Val>) -> Result<bool> {
        match value {
            Some(Val::Bool(value)) => Ok(*value),
            _ => Err(self.should_be("boolean")),
        }
    }

    pub(in crate::sam) fn required(self, value: Option<&Val>) -> Result<&Val> {
        value.ok_or_else(|| self.problem(&format!("Property '{}' is required.", self.path())))
    }

    pub(in crate::sam) fn strings(self, value: Option<&Val>) -> Result<&[Val]> {
        let list = self.list(value)?;
        for (index, item) in list.iter().enumerate() {
            self.item(&format!("{}[{index}]", self.path())).string(Some(item))?;
        }
        Ok(list)
    }
}
