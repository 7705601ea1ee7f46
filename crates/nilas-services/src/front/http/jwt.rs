//! JSON Web Tokens: who issued one, for whom, and whether it holds.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents,
};
use serde_json::{Map, Value};

/// Whom an authorizer believes.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) issuer: String,
    pub(super) audience: Vec<String>,
}

/// A public key of an issuer's: big-endian numbers.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    pub(super) n: Vec<u8>,
    pub(super) e: Vec<u8>,
}

/// A token that is well formed, and no more.
pub(super) struct Token<'a> {
    pub(super) key_id: String,
    algorithm: &'static RsaParameters,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Why a token does not hold, as `error_description` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("the token is malformed")]
    Malformed,
    #[error("signing method is invalid")]
    Algorithm,
    #[error("unable to find a matching signing key")]
    Key,
    #[error("signature is invalid")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
    #[error("the token was used before it was issued")]
    Unissued,
    #[error("issuer not found in the token's claims")]
    Issuer,
    #[error("audience not found in the token's claims")]
    Audience,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Flaw> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Flaw::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Flaw::Malformed)?;
        let decode = |part: &str| BASE64_URL.decode(part).map_err(|_| Flaw::Malformed);
        let object = |part: &str| match serde_json::from_slice(&decode(part)?) {
            Ok(Value::Object(members)) => Ok(members),
            _ => Err(Flaw::Malformed),
        };
        let header = object(header)?;
        // Never what the token says alone: a key of RSA's is used as one.
        let algorithm = match header.get("alg").and_then(Value::as_str) {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("RS384") => &RSA_PKCS1_2048_8192_SHA384,
            Some("RS512") => &RSA_PKCS1_2048_8192_SHA512,
            _ => return Err(Flaw::Algorithm),
        };
        let key_id = header.get("kid").and_then(Value::as_str).ok_or(Flaw::Key)?.to_owned();
        let (claims, signature) = (object(claims)?, decode(signature)?);
        Ok(Self { key_id, algorithm, claims, signed, signature })
    }

    /// The claims, if `key` signed them and they are what `trust` asks for.
    pub(super) fn verify(
        self,
        key: &PublicKey,
        trust: &Trust,
        now_ms: u64,
    ) -> Result<Map<String, Value>, Flaw> {
        let key = RsaPublicKeyComponents { n: &key.n, e: &key.e };
        let verified = key.verify(self.algorithm, self.signed.as_bytes(), &self.signature);
        verified.map_err(|_| Flaw::Signature)?;
        check(&self.claims, trust, now_ms)?;
        Ok(self.claims)
    }
}

fn check(claims: &Map<String, Value>, trust: &Trust, now_ms: u64) -> Result<(), Flaw> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let now_s = now_ms as f64 / 1e3;
    // A time that is there and none never lets a token through.
    let time = |name: &str, flaw: Flaw| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(flaw),
    };
    if text("iss") != Some(&trust.issuer) {
        return Err(Flaw::Issuer);
    }
    let is_ours = |name: &str| trust.audience.iter().any(|known| known == name);
    let audience = match claims.get("aud") {
        Some(Value::String(audience)) => is_ours(audience),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(is_ours),
        // Access tokens of Cognito's have no audience, but a client.
        Some(_) => false,
        None => text("client_id").is_some_and(is_ours),
    };
    if !audience {
        return Err(Flaw::Audience);
    }
    if time("exp", Flaw::Expired)?.is_none_or(|until| until <= now_s) {
        return Err(Flaw::Expired);
    }
    if time("nbf", Flaw::Early)?.is_some_and(|from| from > now_s) {
        return Err(Flaw::Early);
    }
    if time("iat", Flaw::Unissued)?.is_some_and(|at| at > now_s) {
        return Err(Flaw::Unissued);
    }
    Ok(())
}

/// Whether the token has any of `wanted`; with none wanted, it has.
pub(super) fn has_scope(claims: &Map<String, Value>, wanted: &[String]) -> bool {
    let has = |scope: &str| wanted.iter().any(|known| known == scope);
    let found = ["scope", "scp"].into_iter().any(|name| match claims.get(name) {
        Some(Value::String(all)) => all.split(' ').any(has),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(has),
        _ => false,
    });
    wanted.is_empty() || found
}

/// Claims as functions get them: all of them text, lists in brackets.
pub(super) fn texts(claims: &Map<String, Value>) -> Map<String, Value> {
    claims.iter().map(|(name, value)| (name.clone(), shown(value).into())).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn claims_are_held_to_what_the_authorizer_asks() {
        let trust = Trust { issuer: "https://i".to_owned(), audience: vec!["a".to_owned()] };
        let good =
            json!({ "iss": "https://i", "aud": ["x", "a"], "exp": 11, "nbf": 10, "iat": 9.5 });
        let with = |name: &str, value: Value| {
            let mut changed = claims(good.clone());
            changed.insert(name.to_owned(), value);
            check(&changed, &trust, 10_000)
        };
        assert_eq!(with("other", json!(1)), Ok(()));
        assert_eq!(with("iss", json!("https://i/")), Err(Flaw::Issuer));
        assert_eq!(with("aud", json!("b")), Err(Flaw::Audience));
        assert_eq!(with("aud", json!(null)), Err(Flaw::Audience));
        assert_eq!(with("exp", json!(10)), Err(Flaw::Expired));
        assert_eq!(with("exp", json!("never")), Err(Flaw::Expired));
        assert_eq!(with("nbf", json!(10.5)), Err(Flaw::Early));
        assert_eq!(with("iat", json!(11)), Err(Flaw::Unissued));
        let by_client = json!({ "iss": "https://i", "client_id": "a", "exp": 11 });
        assert_eq!(check(&claims(by_client), &trust, 10_000), Ok(()));
    }

    #[test]
    fn scopes_and_texts() {
        let token = claims(json!({ "scope": "read write", "exp": 11, "groups": ["x", "y"] }));
        let wanted = |scope: &str| has_scope(&token, &[scope.to_owned(), "none".to_owned()]);
        assert!(wanted("read") && !wanted("rea") && has_scope(&token, &[]));
        assert!(has_scope(&claims(json!({ "scp": ["read"] })), &["read".to_owned()]));
        let shown = json!({ "scope": "read write", "exp": "11", "groups": "[x y]" });
        assert_eq!(Value::from(texts(&token)), shown);
    }

    #[test]
    fn what_is_no_token_of_rsa_is_refused() {
        let part = |value: Value| BASE64_URL.encode(value.to_string());
        let token = |header: Value| format!("{}.{}.AA", part(header), part(json!({})));
        let flaw = |text: &str| Token::parse(text).map(|_| ()).unwrap_err();
        for text in ["", "a", "a.b", "a.b.c"] {
            assert_eq!(flaw(text), Flaw::Malformed, "{text}");
        }
        for algorithm in ["none", "HS256", "ES256"] {
            assert_eq!(flaw(&token(json!({ "alg": algorithm, "kid": "k" }))), Flaw::Algorithm);
        }
        assert_eq!(flaw(&token(json!({ "alg": "RS256" }))), Flaw::Key);
    }
}
