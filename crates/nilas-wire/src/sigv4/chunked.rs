//! aws-chunked bodies: `SIZE[;chunk-signature=HEX]\r\nDATA\r\n … 0[;chunk-signature=HEX]\r\n[TRAILERS]\r\n`.
//!
//! Reading: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and its page on trailers.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::claim::Claim;
use super::keys::SigningKey;
use super::verify::{Verified, payload_hash};
use super::{EMPTY_SHA256, hex};
use crate::sig_error::SigError;

/// The longest line that is no data: a chunk header, or one trailer.
const LINE_BYTES_MAX: usize = 1_024;
/// Trailing headers of one body.
const TRAILERS_MAX: usize = 16;

/// Which of the three schemes a body is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    signed: bool,
    trailer: bool,
}

impl Chunks {
    /// The scheme that a value of `x-amz-content-sha256` names.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Some(Self { signed: true, trailer: false }),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Some(Self { signed: true, trailer: true })
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Self { signed: false, trailer: true }),
            _ => None,
        }
    }
}

/// Takes the framing off `body`, checking every chunk's signature, which is chained to that of `claim`.
pub(super) fn decode(
    chunks: Chunks,
    body: &[u8],
    length: Option<usize>,
    claim: &Claim<'_>,
    key: &SigningKey,
) -> Result<Verified, SigError> {
    let mut chain = Chain { claim, key, previous: claim.signature.clone().into_owned() };
    let mut rest = body;
    let mut out = BytesMut::with_capacity(length.unwrap_or(0).min(body.len()));
    loop {
        let (size, signature) = chunk_header(take_line(&mut rest)?)?;
        if size > rest.len() {
            return Err(SigError::IncompleteBody);
        }
        let (data, after) = rest.split_at(size);
        rest = after;
        if chunks.signed {
            chain.check_chunk(data, signature.ok_or(SigError::IncompleteBody)?)?;
        }
        if size == 0 {
            break;
        }
        out.extend_from_slice(data);
        rest = rest.strip_prefix(b"\r\n").ok_or(SigError::IncompleteBody)?;
    }
    let trailers =
        if chunks.trailer { take_trailers(chunks, rest, &mut chain)? } else { Vec::new() };
    if length.is_some_and(|length| length != out.len()) {
        return Err(SigError::IncompleteBody);
    }
    Ok(Verified { body: Bytes::from(out), trailers })
}

/// The chain of signatures: each covers the one before it.
struct Chain<'a> {
    claim: &'a Claim<'a>,
    key: &'a SigningKey,
    previous: String,
}

impl Chain<'_> {
    fn check_chunk(&mut self, data: &[u8], given: &str) -> Result<(), SigError> {
        let hash = payload_hash(data);
        self.check("AWS4-HMAC-SHA256-PAYLOAD", &[EMPTY_SHA256, &hash], given)
    }

    fn check_trailer(&mut self, canonical: &str, given: &str) -> Result<(), SigError> {
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        self.check("AWS4-HMAC-SHA256-TRAILER", &[&hash], given)
    }

    fn check(&mut self, kind: &str, hashes: &[&str], given: &str) -> Result<(), SigError> {
        let mut text =
            [kind, &self.claim.amz_date, self.claim.credential.scope(), &self.previous].join("\n");
        for hash in hashes {
            text.push('\n');
            text.push_str(hash);
        }
        self.previous = self.key.sign(text.as_bytes());
        if bool::from(self.previous.as_bytes().ct_eq(given.as_bytes())) {
            Ok(())
        } else {
            Err(SigError::ChunkMismatch)
        }
    }
}

fn chunk_header(line: &str) -> Result<(usize, Option<&str>), SigError> {
    let (size, extension) = match line.split_once(';') {
        Some((size, extension)) => (size, Some(extension)),
        None => (line, None),
    };
    let is_hex = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
    let size =
        usize::from_str_radix(size, 16).ok().filter(|_| is_hex).ok_or(SigError::IncompleteBody)?;
    Ok((size, extension.and_then(|extension| extension.strip_prefix("chunk-signature="))))
}

/// Reads `name:value` lines up to an empty line or the end, and checks the trailer's signature, which comes last.
fn take_trailers(
    chunks: Chunks,
    mut rest: &[u8],
    chain: &mut Chain<'_>,
) -> Result<Vec<(String, String)>, SigError> {
    let mut trailers = Vec::new();
    let mut signature = None;
    while !rest.is_empty() {
        let line = take_line(&mut rest)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(SigError::IncompleteBody)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" {
            signature = Some(value);
        } else if trailers.len() < TRAILERS_MAX {
            trailers.push((name, value.to_owned()));
        } else {
            return Err(SigError::IncompleteBody);
        }
    }
    if chunks.signed {
        let mut sorted: Vec<_> = trailers.iter().collect();
        sorted.sort();
        let canonical: String =
            sorted.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        chain.check_trailer(&canonical, signature.ok_or(SigError::IncompleteBody)?)?;
    }
    Ok(trailers)
}

/// The text up to the next CRLF (a bare LF will do), which is skipped.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, SigError> {
    let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
    let end = window.iter().position(|&b| b == b'\n').ok_or(SigError::IncompleteBody)?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).map_err(|_| SigError::IncompleteBody)
}
