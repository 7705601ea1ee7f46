//! Event patterns: EventBridge's rules, the filters of event sources and of SNS subscriptions are written in them.
//!
//! Written after the documented operators ("Comparison operators for use in event patterns") and the behaviour of AWS's
//! open `event-ruler`: all fields of a pattern must match, each by one of its values; in an array one element must match
//! all that the pattern says below it.
//!
//! Invariant: pure. Matching takes time linear in the event for each of a pattern's alternatives.

mod cidr;
mod compile;
mod matcher;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nilas_wire::Fault;
use serde_json::Value;

use matcher::Matcher;

/// A pattern that is valid.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// One without `$or`. An event matches if it matches one of them.
    branches: Vec<Branch>,
}

/// Why a text is no pattern: AWS's reason, with the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Event pattern is not valid. Reason: {0}")]
pub(crate) struct PatternError(String);

/// What an alternative says of a value and what is below it.
#[derive(Debug, Clone, Default)]
struct Branch {
    /// One of these must match if the value is to be no object.
    leaf: Option<Vec<Matcher>>,
    children: BTreeMap<String, Self>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self { branches: compile::compile(text)? })
    }

    pub(crate) fn matches(&self, event: &Value) -> bool {
        self.branches.iter().any(|branch| branch.matches(Some(event)))
    }
}

impl From<PatternError> for Fault {
    fn from(error: PatternError) -> Self {
        Self::plain("InvalidEventPatternException", 400, error.to_string())
    }
}

impl Branch {
    /// Whether `value`, or its absence, is what this says.
    fn matches(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Array(elements)) if elements.is_empty() => self.matches(None),
            // Without a word on what must be there, all elements must lack what is to be absent.
            Some(Value::Array(elements)) if self.is_absence() => {
                elements.iter().all(|element| self.matches(Some(element)))
            }
            Some(Value::Array(elements)) => {
                elements.iter().any(|element| self.matches(Some(element)))
            }
            value => self.leaf_matches(value) && self.children_match(value),
        }
    }

    fn leaf_matches(&self, value: Option<&Value>) -> bool {
        let Some(matchers) = &self.leaf else { return true };
        // Only what has no members is a field.
        let value = value.filter(|value| !value.is_object());
        matchers.iter().any(|one| match value {
            Some(value) => one.matches(value),
            None => one.is_absence(),
        })
    }

    fn children_match(&self, value: Option<&Value>) -> bool {
        let members = value.and_then(Value::as_object);
        self.children
            .iter()
            .all(|(name, child)| child.matches(members.and_then(|members| members.get(name))))
    }

    /// Whether all that this says is that fields are not there.
    fn is_absence(&self) -> bool {
        self.leaf.as_ref().is_none_or(|matchers| matchers.iter().all(Matcher::is_absence))
            && self.children.values().all(Self::is_absence)
    }
}
