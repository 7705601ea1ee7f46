//! What is wrong with a template, in AWS's words.

/// A template that cannot be deployed; clients see it as a `ValidationError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(pub(crate) String);

impl TemplateError {
    /// `Template format error: …`
    pub(crate) fn format(message: impl AsRef<str>) -> Self {
        Self(format!("Template format error: {}", message.as_ref()))
    }

    /// `Template error: …`
    pub(crate) fn of(message: impl AsRef<str>) -> Self {
        Self(format!("Template error: {}", message.as_ref()))
    }
}
