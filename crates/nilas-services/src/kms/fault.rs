//! The service's errors, in AWS's words.

use nilas_wire::Fault;

pub(super) fn no_key(arn: &str) -> Fault {
    Fault::plain("NotFoundException", 400, format!("Key '{arn}' does not exist"))
}

pub(super) fn no_alias(arn: &str) -> Fault {
    Fault::plain("NotFoundException", 400, format!("Alias {arn} is not found."))
}

pub(super) fn disabled(arn: &str) -> Fault {
    Fault::plain("DisabledException", 400, format!("{arn} is disabled."))
}

pub(super) fn invalid_state(message: String) -> Fault {
    Fault::plain("KMSInvalidStateException", 400, message)
}

/// AWS says no more, lest it help to guess.
pub(super) fn invalid_ciphertext() -> Fault {
    Fault { message: None, ..Fault::plain("InvalidCiphertextException", 400, "") }
}

pub(super) fn not_supported(what: &str) -> Fault {
    let message = format!("nilas does not support {what}: its keys are SYMMETRIC_DEFAULT ones.");
    Fault::plain("UnsupportedOperationException", 400, message)
}
