//! Signature Version 2 of presigned S3 URLs, which boto3 still makes by default.
//!
//! Reading: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html>, "Query string request
//! authentication alternative".

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::percent;
use crate::sig_error::{Mismatch, SigError};
use crate::sigv4::Parts;

/// Parameters that are part of the resource signed; botocore's list, since it is botocore that signs.
const SUBRESOURCES: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// A presigned URL's claim: who signed it, and until when it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub access_key_id: String,
    pub token: Option<String>,
    signature: String,
    /// Epoch seconds, as they were signed.
    expires: String,
}

/// Whether the query has the parameters of this form.
pub fn is_presigned(query: &str) -> bool {
    ["AWSAccessKeyId", "Signature", "Expires"]
        .into_iter()
        .all(|name| percent::query_value(query, name).is_some())
}

/// Reads the claim of a URL that [`is_presigned`], and checks that it has not expired.
pub fn parse(parts: &Parts<'_>, now_ms: u64) -> Result<Claim, SigError> {
    let value = |name: &str| percent::query_value(parts.query, name).map(Cow::into_owned);
    let (Some(access_key_id), Some(signature), Some(expires)) =
        (value("AWSAccessKeyId"), value("Signature"), value("Expires"))
    else {
        return Err(SigError::Missing);
    };
    let now_s = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
    let expired_at_s: i64 = expires.parse().map_err(|_| SigError::Missing)?;
    if now_s > expired_at_s {
        return Err(SigError::PresignedExpired {
            signed: String::new(),
            expires_s: None,
            expired_at_s,
            now_s,
        });
    }
    Ok(Claim { access_key_id, token: value("x-amz-security-token"), signature, expires })
}

/// Checks that the holder of `secret` signed this URL. `bucket_host` is the bucket, if the host names it.
pub fn verify(
    claim: &Claim,
    parts: &Parts<'_>,
    bucket_host: Option<&str>,
    secret: &str,
) -> Result<(), SigError> {
    let string_to_sign = string_to_sign(claim, parts, bucket_host);
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(string_to_sign.as_bytes());
    let signature = BASE64.encode(mac.finalize().into_bytes());
    if bool::from(signature.as_bytes().ct_eq(claim.signature.as_bytes())) {
        return Ok(());
    }
    Err(SigError::Mismatch(Box::new(Mismatch {
        access_key_id: claim.access_key_id.clone(),
        provided: claim.signature.clone(),
        string_to_sign,
        canonical_request: None,
    })))
}

fn string_to_sign(claim: &Claim, parts: &Parts<'_>, bucket_host: Option<&str>) -> String {
    let method = parts.method.as_str();
    let (content_md5, content_type) =
        (standard_header(parts, "content-md5"), standard_header(parts, "content-type"));
    let mut text = format!("{method}\n{content_md5}\n{content_type}\n{}\n", claim.expires);
    for (name, value) in amz_headers(parts) {
        text.push_str(&format!("{name}:{value}\n"));
    }
    if let Some(bucket) = bucket_host {
        text.push('/');
        text.push_str(bucket);
    }
    text.push_str(if parts.path.is_empty() { "/" } else { parts.path });
    for (index, (name, value)) in subresources(parts.query).into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(&value);
        }
    }
    text
}

/// A header that is signed by position; in a URL it may be a parameter instead.
fn standard_header<'a>(parts: &Parts<'a>, name: &str) -> Cow<'a, str> {
    match percent::query_value(parts.query, name) {
        Some(value) => value,
        None => Cow::Borrowed(
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").trim(),
        ),
    }
}

/// The request's `x-amz-*` headers, sorted. Those that are parameters of the URL are signed as headers are.
fn amz_headers(parts: &Parts<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for name in parts.headers.keys().filter(|name| name.as_str().starts_with("x-amz-")) {
        let values = parts
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::trim);
        headers.push((name.as_str().to_owned(), values.collect::<Vec<_>>().join(",")));
    }
    let in_query = percent::query_pairs(parts.query).filter(|(name, _)| name.starts_with("x-amz-"));
    headers.extend(in_query.map(|(name, value)| (name.into_owned(), value.into_owned())));
    headers.sort();
    headers
}

fn subresources(query: &str) -> Vec<(&str, Option<Cow<'_, str>>)> {
    let mut found: Vec<_> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name, Some(percent::decode(value))),
            None => (pair, None),
        })
        .filter(|(name, _)| SUBRESOURCES.contains(name))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    // The key, bucket and object of AWS's examples; the signature is botocore's HmacV1QueryAuth's.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn check(path: &str, query: &str, now_s: u64) -> Result<(), SigError> {
        let headers = HeaderMap::new();
        let parts = Parts { method: &Method::GET, path, query, headers: &headers };
        assert!(is_presigned(query));
        let claim = parse(&parts, now_s * 1_000)?;
        assert_eq!(claim.access_key_id, "AKIAIOSFODNN7EXAMPLE");
        verify(&claim, &parts, None, SECRET)
    }

    #[test]
    fn takes_what_botocore_presigns() {
        let query = "versionId=3&response-content-type=text%2Fplain&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE\
                     &Signature=fIUc9cB%2Fg7wyjYSVCMIPfwdBSoY%3D&Expires=1800000000";
        let path = "/b/a%20b/%C3%BC.txt";
        check(path, query, 1_800_000_000).unwrap();
        assert!(matches!(
            check(path, query, 1_800_000_001),
            Err(SigError::PresignedExpired { .. })
        ));
        assert!(matches!(check("/b/other", query, 0), Err(SigError::Mismatch(_))));
        assert!(matches!(
            check(path, &query.replace("Id=3", "Id=4"), 0),
            Err(SigError::Mismatch(_))
        ));
        let with_token = "versionId=3&response-content-type=text%2Fplain&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE\
                          &Signature=GodKx1kKk4qFWtPHil3USBdueNA%3D&x-amz-security-token=tok%2Fen%2B1%3D%3D\
                          &Expires=1800000000";
        check(path, with_token, 0).unwrap();
        assert!(check(path, &with_token.replace("tok", "tik"), 0).is_err());
    }
}
