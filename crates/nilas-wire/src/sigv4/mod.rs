//! AWS Signature Version 4: verification of what clients send, and signing for our own clients.
//!
//! Reading: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//! A request is checked in AWS's order: [`parse`] does all that needs no key (form, clock, scope), then the
//! caller looks the key up, then [`Verifier::verify`] checks signature and body.

mod canonical;
mod chunked;
mod claim;
mod keys;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

pub use claim::{Claim, Credential, Kind, Parts, parse, service_hint};
pub use sign::{ClientKey, Signer};
pub use verify::{Verified, Verifier};

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TERMINATOR: &str = "aws4_request";
pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
pub(crate) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const CONTENT_SHA256_HEADER: &str = "x-amz-content-sha256";
pub(crate) const TOKEN_HEADER: &str = "x-amz-security-token";
pub(crate) const DATE_HEADER: &str = "x-amz-date";

/// What differs between services in how they check signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Paths are taken as they are, the body's hash is the one the client names, errors are S3's.
    pub s3: bool,
    /// How far the client's clock may be off.
    pub skew_min: u32,
}

impl Rules {
    /// The rules of the service with signing name `service`.
    pub fn of(service: &str) -> Self {
        match service {
            "s3" => Self { s3: true, skew_min: 15 },
            "sts" => Self { s3: false, skew_min: 15 },
            _ => Self { s3: false, skew_min: 5 },
        }
    }
}

/// Lower-case hex, of a digest mostly.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = vec![0; bytes.len() * 2];
    for (byte, digits) in bytes.iter().zip(out.as_chunks_mut().0) {
        *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    String::from_utf8(out).expect("hex digits are ASCII")
}
