//! Checksums of objects: computed, compared with what the client says, put together from those of parts.
//!
//! Reading: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use nilas_wire::sigv4::hex;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use super::error::S3Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// An object's checksum, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub algorithm: Algorithm,
    /// Base64; of a composite one with `-` and the number of parts.
    pub value: String,
    /// Of the object's bytes, not of its parts' checksums.
    pub full_object: bool,
}

/// What a request says of the checksum of its bytes, by algorithm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    pub crc32: Option<String>,
    pub crc32c: Option<String>,
    pub crc64nvme: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] =
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// In Base64.
    pub(crate) fn of(self, bytes: &[u8]) -> String {
        match self {
            Self::Crc32 => BASE64.encode(Crc32::checksum(bytes)),
            Self::Crc32c => BASE64.encode(Crc32c::checksum(bytes)),
            Self::Crc64Nvme => BASE64.encode(Crc64Nvme::checksum(bytes)),
            Self::Sha1 => BASE64.encode(Sha1::checksum(bytes)),
            Self::Sha256 => BASE64.encode(Sha256::checksum(bytes)),
        }
    }

    /// What algorithm and type an upload has that names `named`, and the type `full_object` if any.
    pub(crate) fn of_upload(
        named: Option<Self>,
        full_object: Option<bool>,
    ) -> Result<(Self, bool), S3Error> {
        let algorithm = named.unwrap_or(Self::Crc64Nvme);
        let full = full_object.unwrap_or(algorithm == Self::Crc64Nvme);
        let allowed = match algorithm {
            Self::Crc64Nvme => full,
            Self::Sha1 | Self::Sha256 => !full,
            Self::Crc32 | Self::Crc32c => true,
        };
        if !allowed {
            let kind = if full { "FULL_OBJECT" } else { "COMPOSITE" };
            return Err(S3Error::InvalidRequest(format!(
                "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                algorithm.name().to_lowercase()
            )));
        }
        Ok((algorithm, full))
    }

    /// The checksum of parts put together, each given with its length in bytes.
    pub(crate) fn combine(self, full_object: bool, parts: &[(String, u64)]) -> Option<Checksum> {
        let decoded: Option<Vec<Vec<u8>>> =
            parts.iter().map(|(value, _)| BASE64.decode(value).ok()).collect();
        let decoded = decoded?;
        if !full_object {
            let value = format!("{}-{}", self.of(&decoded.concat()), parts.len());
            return Some(Checksum { algorithm: self, value, full_object });
        }
        let crc = match self {
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Sha1 | Self::Sha256 => return None,
        };
        let mut sum = None;
        for (bytes, (_, length)) in decoded.iter().zip(parts) {
            let part = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            sum = Some(match sum {
                None => part,
                Some(sum) => crc_fast::checksum_combine(crc, sum, part, *length),
            });
        }
        let sum = sum?.to_be_bytes();
        let digits = if self == Self::Crc64Nvme { &sum[..] } else { &sum[4..] };
        Some(Checksum { algorithm: self, value: BASE64.encode(digits), full_object })
    }
}

impl Claims {
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Crc32 => self.crc32.as_deref(),
            Algorithm::Crc32c => self.crc32c.as_deref(),
            Algorithm::Crc64Nvme => self.crc64nvme.as_deref(),
            Algorithm::Sha1 => self.sha1.as_deref(),
            Algorithm::Sha256 => self.sha256.as_deref(),
        }
    }

    /// The one algorithm that a value is claimed for, if any.
    pub(crate) fn algorithm(&self) -> Result<Option<Algorithm>, S3Error> {
        let mut named =
            Algorithm::ALL.into_iter().filter(|algorithm| self.get(*algorithm).is_some());
        let first = named.next();
        if named.next().is_some() {
            return Err(S3Error::InvalidRequest(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.".to_owned(),
            ));
        }
        Ok(first)
    }

    /// The checksum of `bytes` by the algorithm claimed, else by `default`, which the claim must agree with.
    pub(crate) fn check(
        &self,
        bytes: &[u8],
        default: Algorithm,
    ) -> Result<(Algorithm, String), S3Error> {
        let algorithm = self.algorithm()?.unwrap_or(default);
        let value = algorithm.of(bytes);
        match self.get(algorithm) {
            Some(claimed) if claimed != value => {
                let length = BASE64.decode(claimed).map(|claimed| claimed.len());
                let expected = BASE64.decode(&value).map(|value| value.len());
                let header = format!("x-amz-checksum-{}", algorithm.name().to_lowercase());
                if length == expected {
                    Err(S3Error::BadChecksum(algorithm.name()))
                } else {
                    Err(S3Error::InvalidRequest(format!("Value for {header} header is invalid.")))
                }
            }
            _ => Ok((algorithm, value)),
        }
    }
}

/// In hex, as ETags have it.
pub(crate) fn md5(bytes: &[u8]) -> String {
    hex(&Md5::checksum(bytes))
}

/// The ETag of an object of parts with these ETags: MD5 of their MD5s, and how many there are.
pub(crate) fn etag_of_parts<'a>(etags: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = etags.len();
    let mut sums = Vec::with_capacity(count * 16);
    for etag in etags {
        let (pairs, _) = etag.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
        sums.extend(
            pairs.iter().map(|[high, low]| {
                u8::try_from(digit(*high) << 4 | digit(*low)).unwrap_or_default()
            }),
        );
    }
    format!("{}-{count}", md5(&sums))
}

/// Compares `Content-MD5` with the body.
pub(crate) fn check_content_md5(claimed: Option<&str>, bytes: &[u8]) -> Result<(), S3Error> {
    let Some(claimed) = claimed else { return Ok(()) };
    match BASE64.decode(claimed) {
        Ok(sum) if sum.len() == 16 && sum == Md5::checksum(bytes) => Ok(()),
        Ok(sum) if sum.len() == 16 => Err(S3Error::BadDigest),
        _ => Err(S3Error::InvalidDigest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of CRCs, and of FIPS 180.
    #[test]
    fn knows_every_algorithm() {
        for (algorithm, expected) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            assert_eq!(algorithm.of(b"123456789"), expected, "{}", algorithm.name());
        }
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn combined_checksums_are_those_of_the_whole() {
        let parts: [&[u8]; 3] = [b"first part", b"", b"and the last"];
        let whole = parts.concat();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let sums: Vec<_> =
                parts.iter().map(|part| (algorithm.of(part), part.len() as u64)).collect();
            let combined = algorithm.combine(true, &sums).unwrap();
            assert_eq!(combined.value, algorithm.of(&whole), "{}", algorithm.name());
            let composite = algorithm.combine(false, &sums).unwrap().value;
            assert!(composite.ends_with("-3"), "{composite}");
        }
    }

    #[test]
    fn etags_of_parts_are_those_of_aws() {
        // One part of no bytes: the MD5 of the MD5 of nothing.
        let etag = etag_of_parts(["d41d8cd98f00b204e9800998ecf8427e"].into_iter());
        assert_eq!(etag, "59adb24ef3cdbe0297f05b395827453f-1");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let claims = Claims { crc32: Some("AAAAAA==".to_owned()), ..Claims::default() };
        assert!(matches!(
            claims.check(b"x", Algorithm::Crc64Nvme),
            Err(S3Error::BadChecksum("CRC32"))
        ));
        let claims = Claims { crc32: Some("AAAA".to_owned()), ..Claims::default() };
        assert!(matches!(claims.check(b"x", Algorithm::Crc32), Err(S3Error::InvalidRequest(_))));
        assert!(matches!(check_content_md5(Some("x"), b""), Err(S3Error::InvalidDigest)));
        assert!(check_content_md5(Some("1B2M2Y8AsgTpgAmY7PhCfg=="), b"").is_ok());
    }
}
