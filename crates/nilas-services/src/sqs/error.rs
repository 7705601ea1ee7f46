//! What SQS refuses, in AWS's words.

use nilas_store::StoreError;
use nilas_wire::Fault;

#[derive(Debug, thiserror::Error)]
pub(super) enum SqsError {
    #[error("The specified queue does not exist.")]
    NoQueue,
    #[error(
        "A queue already exists with the same name and a different value for attribute {attribute}"
    )]
    QueueExists { attribute: String },
    #[error("The request must contain the parameter {0}.")]
    Missing(&'static str),
    #[error("{0}")]
    InvalidParameter(String),
    #[error("Unknown Attribute {0}.")]
    UnknownAttribute(String),
    #[error("Invalid value for the parameter {attribute}.{reason}")]
    InvalidAttribute { attribute: String, reason: String },
    #[error("{0}")]
    InvalidContents(String),
    #[error("The input receipt handle \"{0}\" is not a valid receipt handle.")]
    Handle(String),
    #[error(
        "Value {0} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change."
    )]
    NotInFlight(String),
    #[error("There should be at least one {0} in the request.")]
    EmptyBatch(&'static str),
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntries(usize),
    #[error("Id {0} repeated.")]
    RepeatedId(String),
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
    )]
    EntryId,
    #[error("Batch requests cannot be longer than {max} bytes. You have sent {sent} bytes.")]
    BatchTooLong { sent: usize, max: usize },
    #[error("Too many messages are in flight.")]
    OverLimit,
    #[error(
        "This server speaks SQS's JSON protocol, which AWS's SDKs speak since 2023, and not its query protocol."
    )]
    QueryProtocol,
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{}", .0.message.as_deref().unwrap_or(&.0.code))]
    Fault(Box<Fault>),
}

impl SqsError {
    /// The JSON protocol's name, and the query protocol's.
    fn codes(&self) -> (&'static str, &'static str) {
        match self {
            Self::NoQueue => ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"),
            Self::QueueExists { .. } => ("QueueNameExists", "QueueAlreadyExists"),
            Self::Missing(_) => ("MissingRequiredParameterException", "MissingParameter"),
            Self::InvalidParameter(_) | Self::NotInFlight(_) => {
                ("InvalidParameterValueException", "InvalidParameterValue")
            }
            Self::UnknownAttribute(_) => ("InvalidAttributeName", "InvalidAttributeName"),
            Self::InvalidAttribute { .. } => ("InvalidAttributeValue", "InvalidAttributeValue"),
            Self::InvalidContents(_) => ("InvalidMessageContents", "InvalidMessageContents"),
            Self::Handle(_) => ("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid"),
            Self::EmptyBatch(_) => {
                ("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest")
            }
            Self::TooManyEntries(_) => (
                "TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            ),
            Self::RepeatedId(_) => {
                ("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
            }
            Self::EntryId => ("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId"),
            Self::BatchTooLong { .. } => {
                ("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong")
            }
            Self::OverLimit => ("OverLimit", "OverLimit"),
            Self::QueryProtocol => {
                ("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation")
            }
            Self::Store(_) => ("InternalFailure", "InternalError"),
            Self::Fault(_) => ("", ""),
        }
    }

    pub(super) fn query_code(&self) -> String {
        match self {
            Self::Fault(fault) => fault.code.clone().into_owned(),
            other => other.codes().1.to_owned(),
        }
    }

    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Fault(fault) => *fault,
            Self::Store(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a queue cannot be read or written"
                );
                Fault::service("InternalFailure", 500, "The queue could not be read or written.")
            }
            other => Fault::plain(
                format!("com.amazonaws.sqs#{}", other.codes().0),
                400,
                other.to_string(),
            ),
        }
    }
}

impl From<Fault> for SqsError {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}
