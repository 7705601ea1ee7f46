//! What a document asks of the world around it, and why a document cannot be used.

use std::collections::BTreeMap;
use std::fmt;

use crate::yaml::{Position, YamlError};

/// What the caller was asked for and has found out.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// The environment of the command: `${env:NAME}`.
    pub env: BTreeMap<String, String>,
    /// Options of the command line without dashes, long names only: `stage`, `region`, …; `${opt:NAME}`.
    pub options: BTreeMap<String, String>,
    /// Each `--param NAME=VALUE`.
    pub params: BTreeMap<String, String>,
    /// An answer for each question that was asked so far.
    pub known: BTreeMap<Question, Answer>,
    /// What `${sls:instanceId}` gives: a text of this one run.
    pub instance_id: String,
}

/// Something that only the caller can find out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The content of a file; the path is relative to the service's directory (it may begin with `../`), or absolute.
    /// Answered by `Bytes` or `Missing`.
    File(String),
    /// An output of another stack. `region` is the service's own if it is `None`. Answered by `Text` or `Missing`.
    StackOutput { stack: String, output: String, region: Option<String> },
    /// A parameter of SSM. Answered by `Parameter` or `Missing`.
    SsmParameter { name: String, region: Option<String>, decrypt: bool },
    /// An object's content. Answered by `Bytes` or `Missing`.
    S3Object { bucket: String, key: String },
    /// The account of the caller's credentials. Answered by `Text`.
    AccountId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There is no such thing: the variable's fallback is used.
    Missing,
    Bytes(Vec<u8>),
    Text(String),
    /// `kind` is SSM's type: `String`, `StringList` or `SecureString`.
    Parameter {
        kind: String,
        value: String,
    },
}

/// Why a document cannot be used, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    /// The file it is written in, relative to the service's directory.
    pub file: String,
    pub at: Option<Position>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), file: String::new(), at: None, hint: None }
    }

    pub(super) fn at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the file unless an inner one is named.
    pub(super) fn in_file(mut self, file: &str) -> Self {
        if self.file.is_empty() {
            file.clone_into(&mut self.file);
        }
        self
    }

    pub(super) fn yaml(file: &str, err: &YamlError) -> Self {
        Self::new(format!("Cannot parse \"{file}\": {}", err.message)).at(err.at).in_file(file)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.at, self.file.as_str()) {
            (Some(at), "") => write!(f, " (line {}, column {})", at.line, at.column),
            (Some(at), file) => write!(f, " ({file}:{at})"),
            (None, _) => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
