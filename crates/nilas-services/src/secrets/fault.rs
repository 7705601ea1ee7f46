//! Secrets Manager's errors, in AWS's words.

use nilas_wire::Fault;

pub(super) fn not_found() -> Fault {
    let message = "Secrets Manager can't find the specified secret.";
    Fault::caller("ResourceNotFoundException", 400, nilas_wire::FaultShape::Capital, message)
}

/// `of` is `staging label: X` or `VersionId: X`.
pub(super) fn no_value(of: &str) -> Fault {
    let message = format!("Secrets Manager can't find the specified secret value for {of}");
    Fault::caller("ResourceNotFoundException", 400, nilas_wire::FaultShape::Capital, message)
}

pub(super) fn exists(message: String) -> Fault {
    Fault::caller("ResourceExistsException", 400, nilas_wire::FaultShape::Capital, message)
}

pub(super) fn invalid_request(message: impl Into<String>) -> Fault {
    Fault::caller("InvalidRequestException", 400, nilas_wire::FaultShape::Capital, message)
}

pub(super) fn invalid_parameter(message: impl Into<String>) -> Fault {
    Fault::caller("InvalidParameterException", 400, nilas_wire::FaultShape::Capital, message)
}

pub(super) fn deleted() -> Fault {
    invalid_request(
        "You can't perform this operation on the secret because it was marked for deletion.",
    )
}
