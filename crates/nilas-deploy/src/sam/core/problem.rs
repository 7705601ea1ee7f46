//! What is wrong with a template, in the words of AWS's translator.

use super::print;
use super::value::Val;

pub(in crate::sam) type Result<T, E = Problem> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::sam) enum Problem {
    Resource {
        id: String,
        message: String,
    },
    Event {
        id: String,
        message: String,
    },
    Template(String),
    Globals(String),
    Duplicate {
        id: String,
        made: String,
        kind: String,
    },
    /// Several at once; ends the transform.
    Document(Vec<Self>),
}

impl Problem {
    pub(in crate::sam) fn resource(id: &str, message: impl Into<String>) -> Self {
        Self::Resource { id: id.to_owned(), message: message.into() }
    }

    pub(in crate::sam) fn event(id: &str, message: impl Into<String>) -> Self {
        Self::Event { id: id.to_owned(), message: message.into() }
    }

    /// A fault of the template as a whole, which ends the transform at once.
    pub(in crate::sam) fn document(message: impl Into<String>) -> Self {
        Self::Document(vec![Self::Template(message.into())])
    }

    /// An event's fault as one of the resource that has the event.
    pub(in crate::sam) fn of_resource(self, id: &str) -> Self {
        match self {
            Self::Event { .. } => Self::resource(id, self.message()),
            other => other,
        }
    }

    pub(in crate::sam) fn message(&self) -> String {
        match self {
            Self::Resource { id, message } => {
                format!("Resource with id [{id}] is invalid. {message}")
            }
            Self::Event { id, message } => format!("Event with id [{id}] is invalid. {message}"),
            Self::Template(message) => {
                format!("Structure of the SAM template is invalid. {message}")
            }
            Self::Globals(message) => format!("'Globals' section is invalid. {message}"),
            Self::Duplicate { id, made, kind } => format!(
                "Transforming resource with id [{id}] attempts to create a new resource with id [{made}] and type \
                 \"{kind}\". A resource with that id already exists within this template. Please use a different id \
                 for that resource."
            ),
            Self::Document(causes) => {
                causes.iter().map(Self::message).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// The faults that this one is made of, each message once.
    pub(in crate::sam) fn causes(self) -> Vec<String> {
        let all = match self {
            Self::Document(causes) => causes,
            one => vec![one],
        };
        let mut messages: Vec<String> = Vec::new();
        for message in all.iter().map(Self::message) {
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        messages
    }
}

/// `['a', 'b']`, as Python prints a list of strings.
pub(in crate::sam) fn listed(names: &[&str]) -> String {
    print::repr(&Val::List(names.iter().map(|name| Val::from(*name)).collect()))
}
