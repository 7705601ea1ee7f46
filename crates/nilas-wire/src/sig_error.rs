//! Why a request was not authenticated, and how AWS says so in each protocol.

mod s3;

use std::borrow::Cow;

use crate::fault::{Fault, FaultShape, Protocol};
use crate::sigv4::Kind;
use crate::time;

/// Why a signature, SigV4 or SigV2, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigError {
    #[error("the request is not signed")]
    Missing,
    #[error("'{item}' in the Authorization header has no equal-sign")]
    NotKeyValue { item: String, authorization: String },
    #[error("the Authorization header lacks a part")]
    MissingInHeader {
        credential: bool,
        signature: bool,
        signed_headers: bool,
        date: bool,
        authorization: String,
    },
    #[error("the query lacks {names:?}")]
    MissingInQuery { names: Vec<&'static str> },
    /// S3 only: the Authorization header is of another kind altogether.
    #[error("authorization mechanism {given} is not supported")]
    Mechanism { given: String },
    #[error("algorithm {given} is not supported")]
    Algorithm { given: String },
    #[error("{given} is not a date")]
    DateFormat { given: String, kind: Kind },
    #[error("signed at {signed}, now it is {now}")]
    Skewed {
        early: bool,
        signed: String,
        sent: String,
        bound: String,
        now: String,
        now_s: i64,
        skew_min: u32,
    },
    #[error("{why}")]
    Expires { why: &'static str },
    #[error("the presigned request is not valid yet")]
    PresignedEarly,
    #[error("the presigned request has expired")]
    PresignedExpired { signed: String, expires_s: Option<i64>, expired_at_s: i64, now_s: i64 },
    #[error("the host header is not signed")]
    HostNotSigned,
    #[error("credential {given} has not five parts")]
    CredentialForm { given: String, kind: Kind },
    #[error("{faults}")]
    Scope { faults: String, kind: Kind },
    /// S3 only: elsewhere it is part of `Scope`.
    #[error("credential date {given} is not that of {amz_date}")]
    ScopeDate { given: String, amz_date: String, kind: Kind },
    #[error("access key {access_key_id} is unknown")]
    UnknownKey { access_key_id: String },
    #[error("the session token is not one of ours")]
    BadToken { token: String },
    #[error("the session token has expired")]
    ExpiredToken { token: String },
    #[error("S3 headers are not signed: {names}")]
    HeadersNotSigned { names: String },
    #[error("the signature does not match")]
    Mismatch(Box<Mismatch>),
    #[error("x-amz-content-sha256 is missing")]
    NoContentSha256,
    #[error("{given} is not a value of x-amz-content-sha256")]
    ContentSha256Form { given: String },
    #[error("the body's hash is not the one given")]
    ContentSha256 { given: String, computed: String },
    #[error("the chunked body ends too early or is malformed")]
    IncompleteBody,
    #[error("a chunk's signature does not match")]
    ChunkMismatch,
}

/// What S3 shows of a signature that does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub access_key_id: String,
    pub provided: String,
    pub string_to_sign: String,
    /// Absent with SigV2, which has none.
    pub canonical_request: Option<String>,
}

impl SigError {
    /// The error as a service of `protocol` answers it.
    pub fn fault(&self, protocol: Protocol) -> Fault {
        match protocol {
            Protocol::RestXml => s3::fault(self),
            _ => self.service_fault(protocol),
        }
    }

    fn service_fault(&self, protocol: Protocol) -> Fault {
        let (class, message) = self.service_answer(protocol);
        let query = matches!(protocol, Protocol::Query { .. });
        let code = match (class, query) {
            (Class::Missing, true) => "MissingAuthenticationToken",
            (Class::Missing, false) => "MissingAuthenticationTokenException",
            (Class::Incomplete, true) => "IncompleteSignature",
            (Class::Incomplete, false) => "IncompleteSignatureException",
            (Class::Unknown, true) => "InvalidClientTokenId",
            (Class::Unknown, false) => "UnrecognizedClientException",
            (Class::Invalid, true) => "SignatureDoesNotMatch",
            (Class::Invalid, false) => "InvalidSignatureException",
            (Class::Expired, true) => "ExpiredToken",
            (Class::Expired, false) => "ExpiredTokenException",
        };
        // JSON-RPC services know only 400 for what the caller did wrong; Lambda answers 403 to all of these.
        let status = match protocol {
            Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => 400,
            Protocol::Query { .. } if class == Class::Incomplete => 400,
            _ => 403,
        };
        Fault::caller(code, status, FaultShape::Plain, message)
    }

    /// The kind and text of the error, as all services but S3 answer it.
    fn service_answer(&self, protocol: Protocol) -> (Class, Cow<'static, str>) {
        match self {
            Self::Missing if matches!(protocol, Protocol::Query { .. }) => {
                (Class::Missing, "Request is missing Authentication Token".into())
            }
            Self::Missing => (Class::Missing, "Missing Authentication Token".into()),
            Self::NotKeyValue { .. }
            | Self::MissingInHeader { .. }
            | Self::MissingInQuery { .. }
            | Self::Mechanism { .. }
            | Self::Algorithm { .. }
            | Self::DateFormat { .. }
            | Self::Expires { .. }
            | Self::CredentialForm { .. } => (Class::Incomplete, self.incomplete_text().into()),
            Self::Skewed { early, signed, bound, now, skew_min, .. } => (
                Class::Invalid,
                match early {
                    true => format!("Signature not yet current: {signed} is still later than {bound} ({now} + {skew_min} min.)"),
                    false => format!("Signature expired: {signed} is now earlier than {bound} ({now} - {skew_min} min.)"),
                }
                .into(),
            ),
            Self::PresignedExpired { signed, expires_s, now_s, .. } => {
                let expires_s = expires_s.unwrap_or(0);
                let (now, bound) = (iso_basic(*now_s), iso_basic(now_s.saturating_sub(expires_s)));
                let minutes = expires_s / 60;
                (Class::Invalid, format!("Signature expired: {signed} is now earlier than {bound} ({now} - {minutes} min.)").into())
            }
            Self::HostNotSigned => {
                (Class::Invalid, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into())
            }
            Self::Scope { faults, .. } => (Class::Invalid, faults.clone().into()),
            Self::UnknownKey { .. } | Self::BadToken { .. } => {
                (Class::Unknown, "The security token included in the request is invalid.".into())
            }
            Self::ExpiredToken { .. } => (Class::Expired, "The security token included in the request is expired".into()),
            Self::PresignedEarly
            | Self::ScopeDate { .. }
            | Self::HeadersNotSigned { .. }
            | Self::Mismatch(_)
            | Self::NoContentSha256
            | Self::ContentSha256Form { .. }
            | Self::ContentSha256 { .. }
            | Self::IncompleteBody
            | Self::ChunkMismatch => (
                Class::Invalid,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into(),
            ),
        }
    }

    /// The text of an `IncompleteSignature`.
    fn incomplete_text(&self) -> String {
        match self {
            Self::NotKeyValue { item, authorization } => {
                format!(
                    "'{item}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
                )
            }
            Self::MissingInHeader {
                credential,
                signature,
                signed_headers,
                date,
                authorization,
            } => {
                let mut text = String::new();
                for (missing, name) in [
                    (credential, "Credential"),
                    (signature, "Signature"),
                    (signed_headers, "SignedHeaders"),
                ] {
                    if *missing {
                        text.push_str(&format!(
                            "Authorization header requires '{name}' parameter. "
                        ));
                    }
                }
                if *date {
                    text.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
                }
                text.push_str(&format!("Authorization={authorization}"));
                text
            }
            Self::MissingInQuery { names } => {
                let mut text = String::new();
                for name in names {
                    text.push_str(&format!("AWS query-string parameters must include '{name}'. "));
                }
                text.push_str("Re-examine the query-string parameters.");
                text
            }
            Self::Mechanism { given } | Self::Algorithm { given } => {
                format!("Unsupported AWS 'algorithm': '{given}'.")
            }
            Self::DateFormat { given, .. } => {
                format!(
                    "Date must be in ISO-8601 'basic format'. Got '{given}'. See http://en.wikipedia.org/wiki/ISO_8601"
                )
            }
            Self::CredentialForm { given, .. } => format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{given}'"
            ),
            other => other.to_string(),
        }
    }
}

/// How the services other than S3 sort the errors of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Missing,
    Incomplete,
    Unknown,
    Invalid,
    Expired,
}

fn iso_basic(epoch_s: i64) -> String {
    time::amz_date(epoch_ms(epoch_s))
}

fn epoch_ms(epoch_s: i64) -> u64 {
    u64::try_from(epoch_s).unwrap_or(0).saturating_mul(1_000)
}
