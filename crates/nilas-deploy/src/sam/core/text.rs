//! Text of a template, which knows whether the document has it.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Text, and whether it was written in the document (`marked`) or made by the translator.
#[derive(Clone, Debug)]
pub(in crate::sam) struct Text {
    chars: String,
    pub(in crate::sam) marked: bool,
}

impl Text {
    pub(in crate::sam) fn new(chars: impl Into<String>, marked: bool) -> Self {
        Self { chars: chars.into(), marked }
    }

    pub(in crate::sam) fn plain(chars: impl Into<String>) -> Self {
        Self::new(chars, false)
    }

    pub(in crate::sam) fn as_str(&self) -> &str {
        &self.chars
    }

    /// The text with `suffix`, marked as this one is.
    pub(in crate::sam) fn plus(&self, suffix: &str) -> Self {
        Self::new(format!("{}{suffix}", self.chars), self.marked)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.chars
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chars)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.chars == other.chars
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.chars.hash(state);
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.chars
    }
}

impl From<&str> for Text {
    fn from(chars: &str) -> Self {
        Self::plain(chars)
    }
}

impl From<String> for Text {
    fn from(chars: String) -> Self {
        Self::plain(chars)
    }
}

impl From<&Self> for Text {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}
