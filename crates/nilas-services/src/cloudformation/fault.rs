//! What operations refuse with, in AWS's codes and words.

use nilas_store::StoreError;
use nilas_wire::Fault;

use super::template::TemplateError;

/// `ValidationError`: what CloudFormation calls nearly everything.
pub(super) fn validation(message: impl Into<String>) -> Fault {
    Fault::plain("ValidationError", 400, message)
}

/// A member breaks a constraint of the service's model.
pub(super) fn constraint(value: &str, member: &str, constraint: &str) -> Fault {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

pub(super) fn missing(member: &str) -> Fault {
    validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

pub(super) fn no_stack(name: &str) -> Fault {
    validation(format!("Stack with id {name} does not exist"))
}

pub(super) fn no_stack_in_brackets(name: &str) -> Fault {
    validation(format!("Stack [{name}] does not exist"))
}

pub(super) fn no_change_set(name: &str) -> Fault {
    Fault::plain("ChangeSetNotFound", 404, format!("ChangeSet [{name}] does not exist"))
}

pub(super) fn already_exists(message: impl Into<String>) -> Fault {
    Fault::plain("AlreadyExistsException", 400, message)
}

pub(super) fn capabilities(missing: &[&str]) -> Fault {
    let message = format!("Requires capabilities : [{}]", missing.join(", "));
    Fault::plain("InsufficientCapabilitiesException", 400, message)
}

pub(super) fn not_supported(what: &str) -> Fault {
    Fault::service("NotImplemented", 501, format!("nilas does not support {what}."))
}

pub(super) fn of_template(error: &TemplateError) -> Fault {
    validation(error.to_string())
}

pub(super) fn of_store(error: StoreError) -> Fault {
    tracing::error!(error = &error as &dyn std::error::Error, "the store refuses CloudFormation");
    Fault::service("InternalFailure", 500, "An internal error occurred.")
}
