//! The Velocity Template Language, as far as API Gateway's mapping templates have it.
//!
//! `parse.rs` reads a template into a tree, `eval.rs` runs it, `value.rs` and `methods.rs` are the values of Java that
//! templates see. What `$input`, `$util` and `$context` are is said in `mapping.rs`.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html>
//!
//! Invariant: pure. A template is hostile: its steps, its depth, and what it writes are limited.

mod ast;
mod eval;
mod json_path;
mod mapping;
mod methods;
mod parse;
mod parse_expression;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use json_path::find as json_path;
pub(crate) use mapping::{Input, Rendered, render};

/// Why a template has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VtlError {
    #[error("the template is malformed at line {line}, column {column}: {message}")]
    Syntax { message: String, line: usize, column: usize },
    #[error("the template takes too many steps")]
    Steps,
    #[error("a loop of the template has more than {0} rounds")]
    Rounds(usize),
    #[error("the template writes too much")]
    Output,
    #[error("the template is nested too deeply")]
    Depth,
    #[error("{0}")]
    Call(String),
}
