//! Everything the Lambda API refuses, in AWS's words, and the one table that turns it into a fault.

use nilas_engine::{InvokeError, ThrottleReason};
use nilas_model::{FunctionArn, limits};
use nilas_store::StoreError;
use nilas_wire::{Blame, Fault, FaultShape};

use super::functions::Unusable;
use super::package::PackageError;
use super::runtimes::RuntimeError;
use super::validation::RUNTIMES_SHOWN;

/// `Display` is the text the caller reads, except for the last variants, which are nobody's business outside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LambdaError {
    #[error("{} validation error{} detected: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("; "))]
    Validation(Vec<String>),
    /// A body that is no JSON.
    #[error("Could not parse request body into json: {0}")]
    RequestContent(String),
    /// A member of the wrong type.
    #[error("{0}")]
    Serialization(String),
    #[error("{0}")]
    InvalidParameter(String),
    #[error("Function not found: {0}")]
    FunctionNotFound(FunctionArn),
    /// Anything else that was named and is not there.
    #[error("{0}")]
    ResourceNotFound(String),
    #[error("Functions from '{requested}' are not reachable in this region ('{served}')")]
    OtherRegion { requested: String, served: String },
    #[error("User is not authorized to perform: lambda:{operation} on resource: {resource}")]
    OtherAccount { operation: &'static str, resource: String },
    /// CreateFunction answers another account's ARN without a word.
    #[error("")]
    CreateInOtherAccount,
    #[error("The derived qualifier from the function name does not match the specified qualifier.")]
    QualifierMismatch,
    /// What is there, or points there, stands in the way.
    #[error("{0}")]
    Conflict(String),
    #[error(
        "You have reached the maximum number of aliases for this function ({})",
        limits::ALIASES_MAX
    )]
    AliasLimitExceeded,
    /// Like `InvalidParameter`, but AWS leaves the type out.
    #[error("{0}")]
    InvalidParameterUntyped(String),
    #[error("No Provisioned Concurrency Config found for this function")]
    ProvisionedConfigNotFound,
    #[error("Function already exist: {0}")]
    AlreadyExists(String),
    #[error(
        "The operation cannot be performed at this time. An update is in progress for resource: {0}"
    )]
    UpdateInProgress(FunctionArn),
    #[error(
        "The operation cannot be performed at this time. The function is currently in the following state: {0}"
    )]
    WrongState(&'static str),
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
    )]
    RevisionMismatch,
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the {operation} API to retrieve the latest Revision Id"
    )]
    PolicyRevisionMismatch { operation: &'static str },
    #[error(
        "The final policy size ({bytes}) is bigger than the limit ({}).",
        limits::POLICY_BYTES_MAX
    )]
    PolicyTooLong { bytes: usize },
    #[error("{0}")]
    TooLarge(String),
    #[error(
        "{bytes} byte payload is too large for the {kind} invocation type (limit {bytes_max} bytes)"
    )]
    PayloadTooLarge { kind: &'static str, bytes: usize, bytes_max: usize },
    #[error("Code storage limit exceeded.")]
    CodeStorageExceeded,
    #[error("{0}")]
    InvalidRequestContent(String),
    #[error("The Lambda code signing configuration ARN can not be found.")]
    CodeSigningConfigNotFound,
    #[error(
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: {0}."
    )]
    NoCodeSigningConfig(String),
    #[error("Rate Exceeded.")]
    Throttled(ThrottleReason),
    /// The interpreter was there when the function was made.
    #[error("{0}")]
    InvalidRuntime(String),
    #[error("Lambda could not unzip the deployment package.")]
    InvalidZipFile,
    /// Of an event source mapping that is on its way from one state to another.
    #[error("Cannot {0} the event source mapping because it is in use.")]
    InUse(&'static str),
    #[error("{0}")]
    NotImplemented(String),
    #[error("unknown operation")]
    UnknownOperation,
    #[error("the function could not be started")]
    Invoke(#[source] InvokeError),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the package could not be stored")]
    Package(#[source] PackageError),
    #[error("{step} failed")]
    Internal { step: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

impl LambdaError {
    /// An operation that AWS has and this server has not.
    pub(crate) fn gap(operation: &str) -> Self {
        Self::NotImplemented(format!("{operation} is not implemented by this server yet."))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }

    /// The one table from what went wrong to what the caller sees.
    pub(crate) fn fault(&self) -> Fault {
        let text = self.to_string();
        match self {
            Self::Validation(_) => Fault::validation(text),
            Self::RequestContent(_) | Self::InvalidRequestContent(_) => {
                Fault::user("InvalidRequestContentException", 400, text)
            }
            Self::Serialization(_) => Fault::plain("SerializationException", 400, text),
            Self::InvalidParameter(_) | Self::QualifierMismatch => {
                Fault::user("InvalidParameterValueException", 400, text)
            }
            Self::InvalidParameterUntyped(_) => {
                Fault::plain("InvalidParameterValueException", 400, text)
            }
            Self::ProvisionedConfigNotFound => {
                Fault::user("ProvisionedConcurrencyConfigNotFoundException", 404, text)
            }
            Self::AliasLimitExceeded => Fault::user("AliasLimitExceededException", 400, text),
            Self::FunctionNotFound(_) | Self::ResourceNotFound(_) | Self::OtherRegion { .. } => {
                Fault::not_found(text)
            }
            Self::OtherAccount { .. } | Self::CreateInOtherAccount => {
                Fault::caller("AccessDeniedException", 403, FaultShape::Capital, text)
            }
            Self::AlreadyExists(_)
            | Self::Conflict(_)
            | Self::UpdateInProgress(_)
            | Self::WrongState(_) => Fault::user("ResourceConflictException", 409, text),
            Self::RevisionMismatch | Self::PolicyRevisionMismatch { .. } => {
                Fault::user("PreconditionFailedException", 412, text)
            }
            Self::PolicyTooLong { .. } => Fault::user("PolicyLengthExceededException", 400, text),
            Self::TooLarge(_) | Self::PayloadTooLarge { .. } => {
                Fault::plain("RequestEntityTooLargeException", 413, text)
            }
            Self::CodeStorageExceeded => Fault::user("CodeStorageExceededException", 400, text),
            Self::CodeSigningConfigNotFound => {
                Fault::caller("ResourceNotFoundException", 404, FaultShape::Capital, text)
            }
            Self::NoCodeSigningConfig(_) => {
                Fault::user("CodeSigningConfigNotFoundException", 404, text)
            }
            Self::InUse(_) => Fault::user("ResourceInUseException", 400, text),
            Self::Throttled(reason) => Fault::user("TooManyRequestsException", 429, text)
                .with_extra("Reason", throttle_reason(*reason))
                .with_retry_after(1),
            Self::InvalidRuntime(_) => Fault::user("InvalidRuntimeException", 502, text),
            Self::InvalidZipFile => Fault::user("InvalidZipFileException", 502, text),
            Self::NotImplemented(_) => Fault {
                blame: Blame::Platform,
                ..Fault::user("NotImplementedException", 501, text)
            },
            Self::UnknownOperation => Fault {
                message: None,
                ..Fault::caller("UnknownOperationException", 404, FaultShape::Plain, "")
            },
            Self::Invoke(err) => invoke_fault(err),
            Self::Store(_) | Self::Package(_) | Self::Internal { .. } => unprocessed(),
        }
    }
}

/// Why an invocation that was admitted never reached its function.
fn invoke_fault(err: &InvokeError) -> Fault {
    match err {
        InvokeError::TooLarge { memory_mib } => Fault::user(
            "InvalidParameterValueException",
            400,
            format!(
                "The function's memory size of {memory_mib} MB is more than this server has for functions. Lower MemorySize, or raise limits.memory_mib or limits.memory_overcommit."
            ),
        ),
        InvokeError::ShuttingDown => {
            Fault::service("ServiceException", 503, "The server is shutting down.")
        }
        // The documentation's words: see API_Invoke, "Errors".
        InvokeError::RestoreFailed => Fault::user(
            "SnapStartException",
            400,
            "The afterRestore() runtime hook encountered an error. For more information, check the Amazon CloudWatch logs.",
        ),
        InvokeError::RestoreTimedOut => Fault::user(
            "SnapStartTimeoutException",
            408,
            "Lambda couldn't restore the snapshot within the timeout limit.",
        ),
        InvokeError::StartFailed { .. } | InvokeError::Wiring { .. } => Fault::service(
            "ServiceException",
            500,
            "The execution environment could not be started. The server's log has the cause under this request's ID.",
        ),
        InvokeError::Throttled { .. } | InvokeError::Lost => unprocessed(),
    }
}

fn unprocessed() -> Fault {
    Fault::service(
        "ServiceException",
        500,
        "An error occurred and the request cannot be processed.",
    )
}

fn throttle_reason(reason: ThrottleReason) -> &'static str {
    match reason {
        ThrottleReason::ConcurrentInvocationLimitExceeded => "ConcurrentInvocationLimitExceeded",
        ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded => {
            "ReservedFunctionConcurrentInvocationLimitExceeded"
        }
        ThrottleReason::FunctionInvocationRateLimitExceeded => {
            "FunctionInvocationRateLimitExceeded"
        }
        ThrottleReason::ReservedFunctionInvocationRateLimitExceeded => {
            "ReservedFunctionInvocationRateLimitExceeded"
        }
    }
}

impl From<Unusable> for LambdaError {
    fn from(cause: Unusable) -> Self {
        match cause {
            Unusable::Runtime(words) => Self::InvalidRuntime(words),
            Unusable::Package => Self::InvalidZipFile,
            Unusable::Init | Unusable::Snapshot => Self::WrongState("Failed"),
        }
    }
}

impl From<InvokeError> for LambdaError {
    fn from(err: InvokeError) -> Self {
        match err {
            InvokeError::Throttled { reason } => Self::Throttled(reason),
            other => Self::Invoke(other),
        }
    }
}

impl From<PackageError> for LambdaError {
    fn from(err: PackageError) -> Self {
        match err {
            PackageError::Empty => Self::invalid("Uploaded file must be a non-empty zip"),
            PackageError::Unreadable(_) | PackageError::Damaged { .. } => Self::invalid(
                "Could not unzip uploaded file. Please check your file, then try to upload again.",
            ),
            PackageError::TooLarge => Self::invalid(format!(
                "Unzipped size must be smaller than {} bytes",
                limits::UNZIPPED_BYTES_MAX
            )),
            // AWS has no text of its own for these.
            PackageError::TooManyEntries | PackageError::Entry { .. } => Self::invalid(format!(
                "Could not unzip uploaded file. Please check your file, then try to upload again. ({err})"
            )),
            PackageError::Write { .. } => Self::Package(err),
        }
    }
}

impl From<RuntimeError> for LambdaError {
    fn from(err: RuntimeError) -> Self {
        match err {
            // No quotes round the identifier: so AWS writes it.
            RuntimeError::Unknown { identifier } => Self::invalid(format!(
                "Value {identifier} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: \
                 {RUNTIMES_SHOWN} or be a valid ARN"
            )),
            RuntimeError::Deprecated { identifier } => Self::invalid(format!(
                "The runtime parameter of {identifier} is no longer supported for creating or updating AWS Lambda \
                 functions. We recommend you use a supported runtime while creating or updating functions."
            )),
            RuntimeError::NotInstalled { .. } => Self::invalid(format!("The runtime {err}.")),
        }
    }
}
