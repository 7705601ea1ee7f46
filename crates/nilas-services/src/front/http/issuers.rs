//! The keys of issuers of tokens: found by OpenID Connect's discovery, kept for two hours as AWS does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;

use super::jwt::PublicKey;
use crate::front::backends::Backends;

const KEPT_MS: u64 = 2 * 3_600_000;
/// Rest before an issuer is asked again: for a key that it did not have, or because it did not answer.
const RETRY_MS: u64 = 5_000;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 262_144;
const KEYS_MAX: usize = 100;
/// Issuers remembered; beyond it all are asked anew.
const ISSUERS_MAX: usize = 1_000;

/// Keys by issuer. Whoever needs an issuer's keys waits while another asks for them, and nobody else does.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Issuer>>>>,
    backends: Backends,
}

#[derive(Debug, Default)]
struct Issuer {
    keys: HashMap<String, PublicKey>,
    asked_ms: Option<u64>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("not a URL: {url}")]
    Url { url: String, source: http::Error },
    #[error("cannot reach {url}")]
    Unreached { url: String, source: hyper_util::client::legacy::Error },
    #[error("{url} answered {status}")]
    Status { url: String, status: StatusCode },
    #[error("cannot read what {url} answered")]
    Unread { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{url} answered no JSON")]
    NotJson { url: String, source: serde_json::Error },
    #[error("the configuration has no jwks_uri")]
    NoKeysUrl,
    #[error("the issuer took too long")]
    Late,
}

impl Issuers {
    /// The key `id` of `issuer`; none if it has none, or does not answer.
    pub(super) async fn key(&self, issuer: &str, id: &str, now_ms: u64) -> Option<PublicKey> {
        let known = self.known(issuer);
        let mut known = known.lock().await;
        let age_ms = known.asked_ms.map(|asked| now_ms.saturating_sub(asked));
        let is_fresh = age_ms.is_some_and(|age| age < KEPT_MS);
        if is_fresh && let Some(key) = known.keys.get(id) {
            return Some(key.clone());
        }
        if age_ms.is_none_or(|age| age >= RETRY_MS) {
            known.asked_ms = Some(now_ms);
            match tokio::time::timeout(ANSWER_TIME_MAX, self.ask(issuer)).await {
                Ok(Ok(keys)) => known.keys = keys,
                failed => {
                    let error = failed.map_or(Some(KeysError::Late), Result::err);
                    let error = error.as_ref().map(|error| error as &dyn std::error::Error);
                    tracing::warn!(issuer, error, "no keys of an issuer of tokens");
                }
            }
        }
        known.keys.get(id).cloned()
    }

    fn known(&self, issuer: &str) -> Arc<tokio::sync::Mutex<Issuer>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ISSUERS_MAX && !known.contains_key(issuer) {
            known.clear();
        }
        Arc::clone(known.entry(issuer.to_owned()).or_default())
    }

    async fn ask(&self, issuer: &str) -> Result<HashMap<String, PublicKey>, KeysError> {
        let base = issuer.trim_end_matches('/');
        let configuration = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        let url = configuration["jwks_uri"].as_str().ok_or(KeysError::NoKeysUrl)?;
        Ok(keys(&self.get(url).await?))
    }

    async fn get(&self, url: &str) -> Result<Value, KeysError> {
        let request = Request::get(url).body(Full::new(Bytes::new()));
        let request = request.map_err(|source| KeysError::Url { url: url.to_owned(), source })?;
        let response = self.backends.client().request(request).await;
        let response =
            response.map_err(|source| KeysError::Unreached { url: url.to_owned(), source })?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(KeysError::Status { url: url.to_owned(), status });
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|source| KeysError::Unread { url: url.to_owned(), source })?;
        let parsed = serde_json::from_slice(&body.to_bytes());
        parsed.map_err(|source| KeysError::NotJson { url: url.to_owned(), source })
    }
}

/// Keys of RSA by id; others are none of ours.
fn keys(set: &Value) -> HashMap<String, PublicKey> {
    let all = set["keys"].as_array().into_iter().flatten();
    let key = |key: &Value| {
        let number = |name: &str| BASE64_URL.decode(key[name].as_str()?.trim_end_matches('=')).ok();
        let is_rsa = key["kty"] == "RSA" && key.get("use").is_none_or(|kind| kind == "sig");
        let public = PublicKey { n: number("n")?, e: number("e")? };
        is_rsa.then_some((key["kid"].as_str()?.to_owned(), public))
    };
    all.filter_map(key).take(KEYS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_those_that_sign_by_rsa() {
        let set = json!({ "keys": [
            { "kid": "a", "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            { "kid": "b", "kty": "EC", "n": "AQAB", "e": "AQAB" },
            { "kid": "c", "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" },
            { "kid": "d", "kty": "RSA", "n": "!", "e": "AQAB" },
        ] });
        let keys = keys(&set);
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(keys["a"].n, [1, 0, 1]);
    }
}
