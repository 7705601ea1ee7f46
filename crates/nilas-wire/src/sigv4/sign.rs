//! Signing, for our own clients: the CLI, benches and the links in answers.

use http::header::{self, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::canonical::{PathStyle, canonical_request};
use super::claim::Parts;
use super::keys::SigningKey;
use super::verify::{payload_hash, string_to_sign};
use super::{
    ALGORITHM, CONTENT_SHA256_HEADER, DATE_HEADER, EMPTY_SHA256, Rules, TERMINATOR, TOKEN_HEADER,
    UNSIGNED_PAYLOAD,
};
use crate::percent;
use crate::time;

/// The key a client signs with.
#[derive(Clone, Copy)]
pub struct ClientKey<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    pub session_token: Option<&'a str>,
}

impl std::fmt::Debug for ClientKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Signs requests to one service.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    pub key: ClientKey<'a>,
    pub region: &'a str,
    pub service: &'a str,
    pub now_ms: u64,
}

impl Signer<'_> {
    /// Signs a request: adds `x-amz-date`, the token, with S3 the body's hash, and `authorization` to `headers`.
    ///
    /// `headers` must hold `host`; `path` and `query` are as they will be sent. Signed are `host`, `content-type`
    /// and `x-amz-*`, since proxies may touch the rest.
    pub fn sign(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), InvalidHeaderValue> {
        let amz_date = time::amz_date(self.now_ms);
        let hash = payload_hash(body);
        headers.insert(DATE_HEADER, HeaderValue::from_str(&amz_date)?);
        if let Some(token) = self.key.session_token {
            headers.insert(TOKEN_HEADER, HeaderValue::from_str(token)?);
        }
        if Rules::of(self.service).s3 {
            headers.insert(CONTENT_SHA256_HEADER, HeaderValue::from_str(&hash)?);
        }
        let signed =
            |name: &&str| matches!(*name, "host" | "content-type") || name.starts_with("x-amz-");
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).filter(signed).collect();
        names.sort_unstable();
        let names = names.join(";");
        let signature =
            self.signature(&Parts { method, path, query, headers }, &names, &hash, &amz_date);
        let credential = self.credential(&amz_date);
        let authorization = format!(
            "{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        );
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&authorization)?);
        Ok(())
    }

    /// The query string of a URL that anyone may use for `expires_s` seconds. Only `host` is signed, and no body.
    ///
    /// `query` holds the request's own parameters, encoded; they come first.
    pub fn presign(
        &self,
        method: &Method,
        host: &str,
        path: &str,
        query: &str,
        expires_s: u32,
    ) -> Result<String, InvalidHeaderValue> {
        let amz_date = time::amz_date(self.now_ms);
        let credential = self.credential(&amz_date);
        let mut query = if query.is_empty() { String::new() } else { format!("{query}&") };
        query.push_str(&format!(
            "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={amz_date}&X-Amz-Expires={expires_s}",
            percent::encode(&credential)
        ));
        if let Some(token) = self.key.session_token {
            query.push_str("&X-Amz-Security-Token=");
            query.push_str(&percent::encode(token));
        }
        query.push_str("&X-Amz-SignedHeaders=host");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host)?);
        let parts = Parts { method, path, query: &query, headers: &headers };
        let hash = if Rules::of(self.service).s3 { UNSIGNED_PAYLOAD } else { EMPTY_SHA256 };
        let signature = self.signature(&parts, "host", hash, &amz_date);
        query.push_str("&X-Amz-Signature=");
        query.push_str(&signature);
        Ok(query)
    }

    fn credential(&self, amz_date: &str) -> String {
        format!("{}/{}", self.key.access_key_id, self.scope(amz_date))
    }

    fn scope(&self, amz_date: &str) -> String {
        format!("{}/{}/{}/{TERMINATOR}", &amz_date[..8], self.region, self.service)
    }

    fn signature(&self, parts: &Parts<'_>, names: &str, hash: &str, amz_date: &str) -> String {
        let style =
            if Rules::of(self.service).s3 { PathStyle::Plain } else { PathStyle::NormalisedDouble };
        let canonical = canonical_request(parts, names, hash, style);
        let text = string_to_sign(amz_date, &self.scope(amz_date), &canonical);
        SigningKey::derive(self.key.secret_access_key, &amz_date[..8], self.region, self.service)
            .sign(text.as_bytes())
    }
}
