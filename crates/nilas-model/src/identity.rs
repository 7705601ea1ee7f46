//! Who is calling, as every operation receives it.

use crate::{AccountId, Region};

/// Proof that a request was authenticated: operations take it instead of consulting a middleware.
#[derive(Debug, Clone)]
pub struct AuthContext {
    pub account: AccountId,
    /// From the signing scope, so one server answers for every region a client names.
    pub region: Region,
    pub principal: Principal,
    pub access_key_id: String,
    pub origin: Origin,
}

impl AuthContext {
    /// The server itself, at work for an account.
    pub fn of_server(account: &AccountId, region: &Region) -> Self {
        Self {
            account: account.clone(),
            region: region.clone(),
            principal: Principal::Root,
            access_key_id: String::new(),
            origin: Origin::Loopback,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The account's root: the key made at first start, or `test`/`test` on loopback.
    Root,
    /// A function's execution role, assumed by its environment.
    Role { role_arn: String, session: String },
    /// Nobody that is known: the request has no signature. Only S3 hears such requests, for what is public.
    Anonymous,
    /// A role that the account's root assumed by AssumeRole: it may do what root may.
    AssumedRole { role_arn: String, session: String },
}

/// Where the connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The listener is bound to a loopback address: `test`/`test` is accepted.
    Loopback,
    /// Any other listener.
    Network,
    /// The endpoint inside an environment's own network namespace: hostile.
    Environment,
}

/// Short-lived credentials of a role, or of the account's root.
#[derive(Clone)]
pub struct SessionCredentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expires_epoch_ms: u64,
}

impl std::fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCredentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Makes credentials for environments and for whoever asks STS; the edge verifies them.
pub trait CredentialIssuer: Send + Sync + std::fmt::Debug {
    /// Credentials with which `principal` of `account` signs, good for `ttl_ms` milliseconds.
    fn issue(&self, account: &AccountId, principal: &Principal, ttl_ms: u64) -> SessionCredentials;
}
