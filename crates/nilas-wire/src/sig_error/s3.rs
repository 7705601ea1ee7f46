//! The same errors as S3 answers them: other codes, other texts, and the evidence in elements of their own.

use super::{Mismatch, SigError, epoch_ms};
use crate::fault::Fault;
use crate::sigv4::Kind;
use crate::time;

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
const THREE_COMPONENTS: &str =
    "the authorization header requires three components: Credential, SignedHeaders, and Signature.";
const CREDENTIAL_FORM: &str =
    "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";

pub(super) fn fault(error: &SigError) -> Fault {
    match error {
        SigError::Missing => answer("AccessDenied", 403, "Access Denied"),
        SigError::NotKeyValue { .. }
        | SigError::MissingInHeader { .. }
        | SigError::MissingInQuery { .. }
        | SigError::Mechanism { .. }
        | SigError::Algorithm { .. }
        | SigError::DateFormat { .. }
        | SigError::Expires { .. }
        | SigError::CredentialForm { .. }
        | SigError::Scope { .. }
        | SigError::ScopeDate { .. } => malformed(error),
        SigError::Skewed { .. } | SigError::PresignedEarly | SigError::PresignedExpired { .. } => {
            untimely(error)
        }
        SigError::NoContentSha256
        | SigError::ContentSha256Form { .. }
        | SigError::ContentSha256 { .. }
        | SigError::IncompleteBody => body(error),
        SigError::UnknownKey { access_key_id } => answer(
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
        )
        .with_extra("AWSAccessKeyId", access_key_id.as_str()),
        SigError::BadToken { token } => {
            answer("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
                .with_extra("Token-0", token.as_str())
        }
        SigError::ExpiredToken { token } => {
            answer("ExpiredToken", 400, "The provided token has expired.")
                .with_extra("Token-0", token.as_str())
        }
        SigError::HostNotSigned => headers_not_signed("host"),
        SigError::HeadersNotSigned { names } => headers_not_signed(names),
        SigError::Mismatch(evidence) => mismatch(evidence),
        SigError::ChunkMismatch => answer("SignatureDoesNotMatch", 403, MISMATCH),
    }
}

/// What cannot be read, or names a scope that is none.
fn malformed(error: &SigError) -> Fault {
    match error {
        SigError::MissingInHeader {
            credential: false,
            signature: false,
            signed_headers: false,
            ..
        }
        | SigError::DateFormat { kind: Kind::Header, .. } => answer(
            "AccessDenied",
            403,
            "AWS authentication requires a valid Date or x-amz-date header",
        ),
        SigError::MissingInQuery { .. } => bad_parameter(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
             X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        ),
        SigError::Mechanism { given } if given == "AWS" => answer(
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ),
        SigError::Mechanism { given } => {
            answer("InvalidArgument", 400, "Unsupported Authorization Type")
                .with_extra("ArgumentName", "Authorization")
                .with_extra("ArgumentValue", given.as_str())
        }
        SigError::Algorithm { .. } => bad_parameter(
            "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
        ),
        SigError::DateFormat { kind: Kind::Query, .. } => {
            bad_parameter("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        }
        SigError::Expires { why } => bad_parameter(why),
        SigError::CredentialForm { kind, .. } => bad_credential(*kind, CREDENTIAL_FORM),
        SigError::Scope { faults, kind } => bad_credential(*kind, faults),
        SigError::ScopeDate { given, amz_date, kind } => {
            let day = amz_date.get(..8).unwrap_or(amz_date);
            let text = format!(
                "Invalid credential date \"{given}\". This date is not the same as X-Amz-Date: \"{day}\"."
            );
            bad_credential(*kind, &text)
        }
        _ => bad_credential(Kind::Header, THREE_COMPONENTS),
    }
}

fn untimely(error: &SigError) -> Fault {
    match error {
        SigError::Skewed { sent, now_s, skew_min, .. } => answer(
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
        )
        .with_extra("RequestTime", sent.as_str())
        .with_extra("ServerTime", iso8601(*now_s))
        .with_extra("MaxAllowedSkewMilliseconds", (u64::from(*skew_min) * 60_000).to_string()),
        SigError::PresignedExpired { expires_s, expired_at_s, now_s, .. } => {
            let mut fault = answer("AccessDenied", 403, "Request has expired");
            if let Some(expires_s) = expires_s {
                fault = fault.with_extra("X-Amz-Expires", expires_s.to_string());
            }
            fault
                .with_extra("Expires", iso8601(*expired_at_s))
                .with_extra("ServerTime", iso8601(*now_s))
        }
        _ => answer("AccessDenied", 403, "Request is not yet valid"),
    }
}

fn body(error: &SigError) -> Fault {
    match error {
        SigError::NoContentSha256 => {
            answer("InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256")
        }
        SigError::ContentSha256Form { given } => answer(
            "InvalidArgument",
            400,
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
             STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid \
             sha256 value.",
        )
        .with_extra("ArgumentName", "x-amz-content-sha256")
        .with_extra("ArgumentValue", given.as_str()),
        SigError::ContentSha256 { given, computed } => answer(
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .with_extra("ClientComputedContentSHA256", given.as_str())
        .with_extra("S3ComputedContentSHA256", computed.as_str()),
        _ => answer("IncompleteBody", 400, "The request body terminated unexpectedly"),
    }
}

/// The server's own working, so that the author of a client can find the difference.
fn mismatch(evidence: &Mismatch) -> Fault {
    let mut fault = answer("SignatureDoesNotMatch", 403, MISMATCH)
        .with_extra("AWSAccessKeyId", evidence.access_key_id.as_str())
        .with_extra("StringToSign", evidence.string_to_sign.as_str())
        .with_extra("SignatureProvided", evidence.provided.as_str())
        .with_extra("StringToSignBytes", spaced_hex(&evidence.string_to_sign));
    if let Some(canonical) = &evidence.canonical_request {
        fault = fault
            .with_extra("CanonicalRequest", canonical.as_str())
            .with_extra("CanonicalRequestBytes", spaced_hex(canonical));
    }
    fault
}

fn headers_not_signed(names: &str) -> Fault {
    answer("AccessDenied", 403, "There were headers present in the request which were not signed")
        .with_extra("HeadersNotSigned", names)
}

fn bad_credential(kind: Kind, text: &str) -> Fault {
    match kind {
        Kind::Header => {
            let text = format!("The authorization header is malformed; {text}");
            answer("AuthorizationHeaderMalformed", 400, &text)
        }
        Kind::Query => {
            bad_parameter(&format!("Error parsing the X-Amz-Credential parameter; {text}"))
        }
    }
}

fn bad_parameter(text: &str) -> Fault {
    answer("AuthorizationQueryParametersError", 400, text)
}

fn answer(code: &'static str, status: u16, text: &str) -> Fault {
    Fault::plain(code, status, text)
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

fn iso8601(epoch_s: i64) -> String {
    time::iso8601(epoch_ms(epoch_s))
}
