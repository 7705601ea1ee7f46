//! Why a request was not authenticated, and how AWS says so in each protocol.

use std::borrow::Cow;

use crate::fault::{Fault, FaultShape, Protocol};
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
    DateFormat { given: String, in_query: bool },
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
    CredentialForm { given: String },
    #[error("{faults}")]
    Scope { faults: String },
    /// S3 only: elsewhere it is part of `Scope`.
    #[error("credential date {given} is not that of {amz_date}")]
    ScopeDate { given: String, amz_date: String },
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
            Protocol::RestXml => self.s3_fault(),
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
        // JSON-RPC services know only 400 for what the caller did wrong.
        let json_rpc = matches!(protocol, Protocol::Json10 | Protocol::Json11 | Protocol::Cbor);
        let status = if json_rpc || class == Class::Incomplete { 400 } else { 403 };
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
            Self::Scope { faults } => (Class::Invalid, faults.clone().into()),
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
            Self::CredentialForm { given } => format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{given}'"
            ),
            other => other.to_string(),
        }
    }

    fn s3_fault(&self) -> Fault {
        let s3 = |code, status, message: &str| Fault::plain(code, status, message);
        let in_header = |text: String| {
            s3(
                "AuthorizationHeaderMalformed",
                400,
                &format!("The authorization header is malformed; {text}"),
            )
        };
        let in_query = |text: &str| s3("AuthorizationQueryParametersError", 400, text);
        let expecting = "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";
        match self {
            Self::Missing => s3("AccessDenied", 403, "Access Denied"),
            Self::NotKeyValue { .. } => in_header(
                "the authorization header requires three components: Credential, SignedHeaders, and Signature.".to_owned(),
            ),
            Self::MissingInHeader { credential: false, signature: false, signed_headers: false, .. }
            | Self::DateFormat { in_query: false, .. } => {
                s3("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header")
            }
            Self::MissingInHeader { .. } => in_header(
                "the authorization header requires three components: Credential, SignedHeaders, and Signature.".to_owned(),
            ),
            Self::MissingInQuery { .. } => in_query(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
                 X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            ),
            Self::Mechanism { given } if given == "AWS" => s3(
                "InvalidRequest",
                400,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ),
            Self::Mechanism { given } => s3("InvalidArgument", 400, "Unsupported Authorization Type")
                .with_extra("ArgumentName", "Authorization")
                .with_extra("ArgumentValue", given.as_str()),
            Self::Algorithm { .. } => in_query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\""),
            Self::DateFormat { in_query: true, .. } => {
                in_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
            }
            Self::Skewed { sent, now_s, skew_min, .. } => s3(
                "RequestTimeTooSkewed",
                403,
                "The difference between the request time and the current time is too large.",
            )
            .with_extra("RequestTime", sent.as_str())
            .with_extra("ServerTime", iso_extended(*now_s))
            .with_extra("MaxAllowedSkewMilliseconds", (u64::from(*skew_min) * 60_000).to_string()),
            Self::Expires { why } => in_query(why),
            Self::PresignedEarly => s3("AccessDenied", 403, "Request is not yet valid"),
            Self::PresignedExpired { expires_s, expired_at_s, now_s, .. } => {
                let mut fault = s3("AccessDenied", 403, "Request has expired");
                if let Some(expires_s) = expires_s {
                    fault = fault.with_extra("X-Amz-Expires", expires_s.to_string());
                }
                fault.with_extra("Expires", iso_extended(*expired_at_s)).with_extra("ServerTime", iso_extended(*now_s))
            }
            Self::CredentialForm { .. } => in_header(expecting.to_owned()),
            Self::Scope { faults } => in_header(faults.clone()),
            Self::ScopeDate { given, amz_date } => in_header(format!(
                "Invalid credential date \"{given}\". This date is not the same as X-Amz-Date: \"{}\".",
                amz_date.get(..8).unwrap_or(amz_date)
            )),
            Self::UnknownKey { access_key_id } => {
                s3("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.")
                    .with_extra("AWSAccessKeyId", access_key_id.as_str())
            }
            Self::BadToken { token } => s3("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
                .with_extra("Token-0", token.as_str()),
            Self::ExpiredToken { token } => {
                s3("ExpiredToken", 400, "The provided token has expired.").with_extra("Token-0", token.as_str())
            }
            Self::HostNotSigned => {
                s3("AccessDenied", 403, "There were headers present in the request which were not signed")
                    .with_extra("HeadersNotSigned", "host")
            }
            Self::HeadersNotSigned { names } => {
                s3("AccessDenied", 403, "There were headers present in the request which were not signed")
                    .with_extra("HeadersNotSigned", names.as_str())
            }
            Self::Mismatch(mismatch) => mismatch.s3_fault(),
            Self::ChunkMismatch => s3("SignatureDoesNotMatch", 403, S3_MISMATCH),
            Self::NoContentSha256 => {
                s3("InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256")
            }
            Self::ContentSha256Form { given } => s3(
                "InvalidArgument",
                400,
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid \
                 sha256 value.",
            )
            .with_extra("ArgumentName", "x-amz-content-sha256")
            .with_extra("ArgumentValue", given.as_str()),
            Self::ContentSha256 { given, computed } => s3(
                "XAmzContentSHA256Mismatch",
                400,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
            .with_extra("ClientComputedContentSHA256", given.as_str())
            .with_extra("S3ComputedContentSHA256", computed.as_str()),
            Self::IncompleteBody => s3("IncompleteBody", 400, "The request body terminated unexpectedly"),
        }
    }
}

const S3_MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";

/// How the services other than S3 sort the errors of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Missing,
    Incomplete,
    Unknown,
    Invalid,
    Expired,
}

impl Mismatch {
    fn s3_fault(&self) -> Fault {
        let mut fault = Fault::plain("SignatureDoesNotMatch", 403, S3_MISMATCH)
            .with_extra("AWSAccessKeyId", self.access_key_id.as_str())
            .with_extra("StringToSign", self.string_to_sign.as_str())
            .with_extra("SignatureProvided", self.provided.as_str())
            .with_extra("StringToSignBytes", spaced_hex(&self.string_to_sign));
        if let Some(canonical) = &self.canonical_request {
            fault = fault
                .with_extra("CanonicalRequest", canonical.as_str())
                .with_extra("CanonicalRequestBytes", spaced_hex(canonical));
        }
        fault
    }
}

/// `41 57 53 34`.
fn spaced_hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for (index, byte) in text.bytes().enumerate() {
        let blank = if index > 0 { " " } else { "" };
        out.push_str(&format!("{blank}{byte:02x}"));
    }
    out
}

fn iso_basic(epoch_s: i64) -> String {
    time::amz_date(epoch_ms(epoch_s))
}

fn iso_extended(epoch_s: i64) -> String {
    time::iso8601(epoch_ms(epoch_s))
}

fn epoch_ms(epoch_s: i64) -> u64 {
    u64::try_from(epoch_s).unwrap_or(0).saturating_mul(1_000)
}
