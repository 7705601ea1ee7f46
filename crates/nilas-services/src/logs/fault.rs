//! What CloudWatch Logs says when it refuses.

use nilas_store::StoreError;
use nilas_wire::Fault;

/// One table from what the store reports to what AWS answers.
pub(super) fn of_store(error: StoreError) -> Fault {
    match error {
        StoreError::NoSuchGroup(_) => no_group(),
        StoreError::NoSuchStream { .. } => no_stream(),
        StoreError::TooMany { .. } => {
            Fault::plain("LimitExceededException", 400, "Resource limit exceeded.")
        }
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store of logs failed");
            Fault::service(
                "ServiceUnavailableException",
                503,
                "The service cannot complete the request.",
            )
        }
    }
}

pub(super) fn no_group() -> Fault {
    Fault::plain("ResourceNotFoundException", 400, "The specified log group does not exist.")
}

pub(super) fn no_stream() -> Fault {
    Fault::plain("ResourceNotFoundException", 400, "The specified log stream does not exist.")
}

pub(super) fn group_exists() -> Fault {
    Fault::plain("ResourceAlreadyExistsException", 400, "The specified log group already exists")
}

pub(super) fn stream_exists() -> Fault {
    Fault::plain("ResourceAlreadyExistsException", 400, "The specified log stream already exists")
}

pub(super) fn invalid_parameter(message: impl Into<String>) -> Fault {
    Fault::plain("InvalidParameterException", 400, message)
}

pub(super) fn invalid_token() -> Fault {
    invalid_parameter("The specified nextToken is invalid.")
}

/// AWS says nothing more to what it does not know; what it knows and this server does not, deserves a word.
pub(super) fn unknown_operation(name: Option<&str>) -> Fault {
    let message =
        name.map(|name| format!("nilas does not have the CloudWatch Logs operation {name}."));
    Fault { message, ..Fault::plain("UnknownOperationException", 400, "") }
}

pub(super) fn serialization(error: &serde_json::Error) -> Fault {
    Fault::plain("SerializationException", 400, error.to_string())
}

pub(super) fn internal() -> Fault {
    Fault::service(
        "InternalFailure",
        500,
        "The request processing has failed because of an unknown error.",
    )
}
