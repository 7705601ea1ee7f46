//! What API Gateway says when it refuses.

use nilas_store::StoreError;
use nilas_wire::Fault;

pub(super) fn bad(message: impl Into<String>) -> Fault {
    Fault::plain("BadRequestException", 400, message)
}

pub(super) fn not_found(message: impl Into<String>) -> Fault {
    Fault::plain("NotFoundException", 404, message)
}

pub(super) fn conflict(message: impl Into<String>) -> Fault {
    Fault::plain("ConflictException", 409, message)
}

/// What AWS has and this server has not: a 4xx, since tools try a 5xx again.
pub(super) fn absent(what: impl std::fmt::Display) -> Fault {
    bad(format!("nilas does not have {what}."))
}

pub(super) fn of_store(error: StoreError) -> Fault {
    if let StoreError::TooLarge { .. } = error {
        return bad("The definition of the API is larger than this server stores.");
    }
    tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
    Fault::service("ServiceUnavailableException", 503, "The service cannot complete the request.")
}
