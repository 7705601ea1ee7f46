//! The services we speak for.

use crate::fault::Protocol;

/// An AWS service that nilas serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Lambda,
    Logs,
    Sts,
    S3,
}

impl Service {
    /// The service with this name in a credential scope.
    pub fn from_signing_name(name: &str) -> Option<Self> {
        match name {
            "lambda" => Some(Self::Lambda),
            "logs" => Some(Self::Logs),
            "sts" => Some(Self::Sts),
            "s3" => Some(Self::S3),
            _ => None,
        }
    }

    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Logs => "logs",
            Self::Sts => "sts",
            Self::S3 => "s3",
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Self::Lambda => Protocol::RestJson,
            Self::Logs => Protocol::Json11,
            Self::Sts => Protocol::Query { xmlns: "https://sts.amazonaws.com/doc/2011-06-15/" },
            Self::S3 => Protocol::RestXml,
        }
    }
}
