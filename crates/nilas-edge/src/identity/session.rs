//! Stateless session credentials: the token carries what it stands for, and a MAC that only this server can make.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use nilas_model::{AccountId, Principal, SessionCredentials};
use nilas_wire::SigError;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Known, random_key_id};

/// How the ids of temporary keys begin, as on AWS.
pub(super) const PREFIX: &str = "ASIA";
const MAC_BYTES: usize = 32;
/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 4_096;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims<'a> {
    #[serde(rename = "k")]
    access_key_id: Cow<'a, str>,
    #[serde(rename = "e")]
    expires_epoch_ms: u64,
    #[serde(rename = "a")]
    account: Cow<'a, str>,
    #[serde(rename = "r")]
    role_arn: Cow<'a, str>,
    #[serde(rename = "s")]
    session: Cow<'a, str>,
    #[serde(rename = "g", default)]
    grant: Grant,
}

/// Whose session it is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
enum Grant {
    /// An environment's, of its function's role.
    #[default]
    #[serde(rename = "f")]
    Function,
    /// A role's, that root assumed.
    #[serde(rename = "a")]
    Assumed,
    /// The account's root itself, which has no role.
    #[serde(rename = "r")]
    Root,
}

pub(super) struct Sessions {
    server_secret: [u8; 32],
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    pub(super) fn new(server_secret: [u8; 32]) -> Self {
        Self { server_secret }
    }

    pub(super) fn issue_at(
        &self,
        account: &AccountId,
        principal: &Principal,
        expires_epoch_ms: u64,
    ) -> SessionCredentials {
        let access_key_id =
            random_key_id(PREFIX).expect("the kernel gave random numbers at the start, too");
        let (grant, role_arn, session) = match principal {
            Principal::Root => (Grant::Root, "", ""),
            Principal::Anonymous => unreachable!("credentials are somebody's"),
            Principal::Role { role_arn, session } => (Grant::Function, &**role_arn, &**session),
            Principal::AssumedRole { role_arn, session } => {
                (Grant::Assumed, &**role_arn, &**session)
            }
        };
        let claims = Claims {
            access_key_id: Cow::Borrowed(&access_key_id),
            expires_epoch_ms,
            account: Cow::Borrowed(account.as_str()),
            role_arn: Cow::Borrowed(role_arn),
            session: Cow::Borrowed(session),
            grant,
        };
        let mut token = serde_json::to_vec(&claims).expect("strings and numbers are JSON");
        let mac = self.mac(b"token", &token);
        token.extend_from_slice(&mac);
        let session_token = BASE64.encode(token);
        let secret_access_key = self.secret_of(&access_key_id);
        SessionCredentials { access_key_id, secret_access_key, session_token, expires_epoch_ms }
    }

    /// The key behind a token, if we made the token for that key and it still holds.
    pub(super) fn open(
        &self,
        access_key_id: &str,
        token: &str,
        now_ms: u64,
    ) -> Result<Known<'static>, SigError> {
        let bad = || SigError::BadToken { token: token.to_owned() };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(bad());
        }
        let bytes = BASE64.decode(token).map_err(|_| bad())?;
        let (payload, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or_else(bad)?;
        if !bool::from(self.mac(b"token", payload).ct_eq(mac)) {
            return Err(bad());
        }
        let claims: Claims<'_> = serde_json::from_slice(payload).map_err(|_| bad())?;
        let account = AccountId::parse(&claims.account).map_err(|_| bad())?;
        if claims.access_key_id != access_key_id {
            return Err(bad());
        }
        if now_ms >= claims.expires_epoch_ms {
            return Err(SigError::ExpiredToken { token: token.to_owned() });
        }
        let (role_arn, session) = (claims.role_arn.into_owned(), claims.session.into_owned());
        let principal = match claims.grant {
            Grant::Function => Principal::Role { role_arn, session },
            Grant::Assumed => Principal::AssumedRole { role_arn, session },
            Grant::Root => Principal::Root,
        };
        Ok(Known {
            secret: Cow::Owned(self.secret_of(access_key_id)),
            principal,
            account: Some(account),
        })
    }

    /// Forty characters, as AWS's secrets have.
    fn secret_of(&self, access_key_id: &str) -> String {
        let mac = self.mac(b"secret", access_key_id.as_bytes());
        BASE64.encode(&mac[..30])
    }

    /// `purpose` keeps what is made for one use from serving another.
    fn mac(&self, purpose: &[u8], text: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.server_secret)
            .expect("HMAC takes keys of any length");
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}
