//! Checks a claim with the key it names: the signature, then the body.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::canonical::{PathStyle, canonical_request};
use super::chunked::{self, Chunks};
use super::claim::{Claim, Kind, Parts};
use super::keys::{KeyCache, SigningKey};
use super::{ALGORITHM, CONTENT_SHA256_HEADER, EMPTY_SHA256, UNSIGNED_PAYLOAD, hex};
use crate::sig_error::{Mismatch, SigError};

/// A body whose signature or hash fits, freed from the framing of aws-chunked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub body: Bytes,
    /// Headers that came after the chunks, such as checksums; names in lower case.
    pub trailers: Vec<(String, String)>,
}

/// Verifies signatures; keeps the derived keys of those who signed lately.
#[derive(Debug)]
pub struct Verifier {
    keys: KeyCache,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    pub fn new() -> Self {
        Self { keys: KeyCache::new() }
    }

    /// Checks that the holder of `secret` signed exactly this request, and with S3 that `body` is what was signed.
    pub fn verify(
        &self,
        claim: &Claim<'_>,
        parts: &Parts<'_>,
        secret: &str,
        body: Bytes,
    ) -> Result<Verified, SigError> {
        let payload = Payload::of(claim, parts, &body)?;
        let style = if claim.rules.s3 { PathStyle::Plain } else { PathStyle::NormalisedDouble };
        let canonical =
            canonical_request(parts, &claim.signed_headers, payload.in_request(), style);
        let string_to_sign = string_to_sign(&claim.amz_date, claim.credential.scope(), &canonical);
        let credential = &claim.credential;
        let key =
            self.keys.get(secret, credential.date(), credential.region(), credential.service());
        let signature = key.sign(string_to_sign.as_bytes());
        if !bool::from(signature.as_bytes().ct_eq(claim.signature.as_bytes())) {
            return Err(SigError::Mismatch(Box::new(Mismatch {
                access_key_id: credential.access_key_id().to_owned(),
                provided: claim.signature.clone().into_owned(),
                string_to_sign,
                canonical_request: Some(String::from_utf8_lossy(&canonical).into_owned()),
            })));
        }
        if claim.rules.s3 {
            check_amz_headers_signed(claim, parts)?;
        }
        payload.open(claim, parts, &key, body)
    }
}

pub(super) fn string_to_sign(amz_date: &str, scope: &str, canonical: &[u8]) -> String {
    let mut text = String::with_capacity(ALGORITHM.len() + amz_date.len() + scope.len() + 3 + 64);
    for line in [ALGORITHM, amz_date, scope] {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&hex(&Sha256::digest(canonical)));
    text
}

pub(super) fn payload_hash(body: &[u8]) -> String {
    if body.is_empty() { EMPTY_SHA256.to_owned() } else { hex(&Sha256::digest(body)) }
}

/// What stands for the body in the canonical request, and so what must be checked of it.
enum Payload<'a> {
    /// The hash of what came: nothing is left to check.
    Hashed(String),
    /// The hash that the client names: the body must have it.
    Named(&'a str),
    Unsigned,
    /// aws-chunked: the name of the scheme stands for the body.
    Chunked(&'a str, Chunks),
}

impl<'a> Payload<'a> {
    fn of(claim: &Claim<'_>, parts: &Parts<'a>, body: &[u8]) -> Result<Self, SigError> {
        if !claim.rules.s3 {
            return Ok(Self::Hashed(payload_hash(body)));
        }
        let named =
            parts.headers.get(CONTENT_SHA256_HEADER).map(|value| value.to_str().unwrap_or(""));
        let given = match (named, claim.kind) {
            (Some(given), _) => given,
            (None, Kind::Query) => return Ok(Self::Unsigned),
            (None, Kind::Header) => return Err(SigError::NoContentSha256),
        };
        if given == UNSIGNED_PAYLOAD {
            return Ok(Self::Unsigned);
        }
        if let Some(chunks) = Chunks::of(given) {
            return Ok(Self::Chunked(given, chunks));
        }
        let is_hash = given.len() == 64 && given.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash {
            Ok(Self::Named(given))
        } else {
            Err(SigError::ContentSha256Form { given: given.to_owned() })
        }
    }

    fn in_request(&self) -> &str {
        match self {
            Self::Hashed(hash) => hash,
            Self::Named(given) | Self::Chunked(given, _) => given,
            Self::Unsigned => UNSIGNED_PAYLOAD,
        }
    }

    fn open(
        self,
        claim: &Claim<'_>,
        parts: &Parts<'_>,
        key: &SigningKey,
        body: Bytes,
    ) -> Result<Verified, SigError> {
        match self {
            Self::Hashed(_) | Self::Unsigned => Ok(Verified { body, trailers: Vec::new() }),
            Self::Named(given) => {
                let computed = payload_hash(&body);
                if computed.eq_ignore_ascii_case(given) {
                    return Ok(Verified { body, trailers: Vec::new() });
                }
                Err(SigError::ContentSha256 { given: given.to_owned(), computed })
            }
            Self::Chunked(_, chunks) => {
                let length = parts.headers.get("x-amz-decoded-content-length");
                let length =
                    length.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
                chunked::decode(chunks, &body, length, claim, key)
            }
        }
    }
}

/// S3 refuses `x-amz-*` headers that an attacker could have added.
fn check_amz_headers_signed(claim: &Claim<'_>, parts: &Parts<'_>) -> Result<(), SigError> {
    let mut unsigned: Vec<&str> = parts
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-") && *name != CONTENT_SHA256_HEADER)
        .filter(|name| !claim.signed_headers.split(';').any(|signed| signed == *name))
        .collect();
    if unsigned.is_empty() {
        return Ok(());
    }
    unsigned.sort_unstable();
    Err(SigError::HeadersNotSigned { names: unsigned.join(", ") })
}
