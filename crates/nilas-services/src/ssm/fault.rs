//! Parameter Store's errors, in AWS's words.

use nilas_wire::Fault;

/// AWS says no more than the name of the error.
pub(super) fn not_found() -> Fault {
    Fault { message: None, ..Fault::plain("ParameterNotFound", 400, "") }
}

pub(super) fn version_not_found(name: &str, version: &str) -> Fault {
    let message = format!(
        "Systems Manager could not find version {version} of {name}. Verify the version and try again."
    );
    Fault::plain("ParameterVersionNotFound", 400, message)
}

pub(super) fn already_exists() -> Fault {
    let message = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
    Fault::plain("ParameterAlreadyExists", 400, message)
}

pub(super) fn plain(code: &'static str, message: impl Into<String>) -> Fault {
    Fault::plain(code, 400, message)
}

/// What AWS has and this server has not.
pub(super) fn not_supported(what: &str) -> Fault {
    Fault::validation(format!("nilas does not support {what} of parameters."))
}
