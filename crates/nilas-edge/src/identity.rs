//! The keys: one root key, made at first start, and credentials for environments that need no memory.

mod file;
mod session;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use nilas_model::{
    AccountId, Clock, CredentialIssuer, Origin, Principal, SessionCredentials, SystemClock,
};
use nilas_wire::SigError;

use session::Sessions;

/// The pair that tools for local AWS servers hard-code. Root, but only for connections that cannot come from afar.
const TEST_KEY: &str = "test";

/// The account's root key.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Knows every key that opens this server.
#[derive(Debug)]
pub struct Identity {
    root: RootKey,
    sessions: Sessions,
    /// Dates credentials. The machine's own, since keys on disk outlive any simulated time.
    clock: SystemClock,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not a root key file", path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// What a key id stands for.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) secret: Cow<'a, str>,
    pub(crate) principal: Principal,
    /// Of the session; the root key's account is the server's own.
    pub(crate) account: Option<AccountId>,
}

// === impl Identity ===

impl Identity {
    /// Reads the keys kept in `data_dir`, or makes them.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, IdentityError> {
        let secrets = match file::read(data_dir)? {
            Some(secrets) => secrets,
            None => file::create(data_dir)?,
        };
        Ok(Self::of(secrets))
    }

    /// Reads the root key kept in `data_dir`, for clients on the same machine. `None` before the first start.
    pub fn read_root_key(data_dir: &Path) -> Result<Option<RootKey>, IdentityError> {
        Ok(file::read(data_dir)?.map(|secrets| secrets.root))
    }

    fn of(secrets: file::Secrets) -> Self {
        Self {
            root: secrets.root,
            sessions: Sessions::new(secrets.server_secret),
            clock: SystemClock::new(),
        }
    }

    pub fn root_key(&self) -> &RootKey {
        &self.root
    }

    /// Looks up a key id. `foreign_page` says that the request may be the work of a web page.
    pub(crate) fn find(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        origin: Origin,
        foreign_page: bool,
        now_ms: u64,
    ) -> Result<Known<'_>, SigError> {
        let root = |secret| Known {
            secret: Cow::Borrowed(secret),
            principal: Principal::Root,
            account: None,
        };
        if access_key_id == self.root.access_key_id {
            return match token {
                None => Ok(root(&self.root.secret_access_key)),
                Some(token) => Err(SigError::BadToken { token: token.to_owned() }),
            };
        }
        // Tools send any token along with the known pair; it means nothing.
        if access_key_id == TEST_KEY && origin == Origin::Loopback && !foreign_page {
            return Ok(root(TEST_KEY));
        }
        match token {
            Some(token) if access_key_id.starts_with(session::PREFIX) => {
                self.sessions.open(access_key_id, token, now_ms)
            }
            _ => Err(SigError::UnknownKey { access_key_id: access_key_id.to_owned() }),
        }
    }
}

impl CredentialIssuer for Identity {
    fn issue(&self, account: &AccountId, principal: &Principal, ttl_ms: u64) -> SessionCredentials {
        let expires_epoch_ms = self.clock.epoch_ms().saturating_add(ttl_ms);
        self.sessions.issue_at(account, principal, expires_epoch_ms)
    }
}

/// `prefix` and 16 characters of AWS's alphabet for key ids, base32.
fn random_key_id(prefix: &str) -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let tail = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    Ok(prefix.chars().chain(tail).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;
    const ROLE: &str = "arn:aws:iam::000000000000:role/r";

    fn identity() -> (tempfile::TempDir, Identity) {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        (dir, identity)
    }

    #[test]
    fn the_root_key_is_made_once_and_kept_private() {
        let (dir, first) = identity();
        let key = first.root_key().clone();
        assert!(key.access_key_id.starts_with("AKIA") && key.access_key_id.len() == 20);
        assert_eq!(key.secret_access_key.len(), 40);
        assert_eq!(Identity::load_or_create(dir.path()).unwrap().root_key(), &key);
        assert_eq!(Identity::read_root_key(dir.path()).unwrap(), Some(key));
        let mode =
            std::fs::metadata(dir.path().join("root-key.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_broken_key_file_is_an_error_and_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("root-key.json"), "{").unwrap();
        assert!(matches!(
            Identity::load_or_create(dir.path()),
            Err(IdentityError::Malformed { .. })
        ));
        assert_eq!(std::fs::read(dir.path().join("root-key.json")).unwrap(), b"{");
        assert_eq!(Identity::read_root_key(&dir.path().join("none")).unwrap(), None);
    }

    #[test]
    fn the_known_pair_is_root_on_loopback_only() {
        let (_dir, identity) = identity();
        let find = |origin, foreign| identity.find("test", Some("any"), origin, foreign, NOW_MS);
        assert_eq!(find(Origin::Loopback, false).unwrap().principal, Principal::Root);
        for (origin, foreign) in
            [(Origin::Loopback, true), (Origin::Network, false), (Origin::Environment, false)]
        {
            assert!(matches!(find(origin, foreign), Err(SigError::UnknownKey { .. })));
        }
    }

    #[test]
    fn session_credentials_open_until_they_expire() {
        let (dir, identity) = identity();
        let account = AccountId::parse("000000000000").unwrap();
        let issued = identity.sessions.issue_at(&account, &function(), NOW_MS + 60_000);
        // A restarted server has no memory of them, and needs none.
        let identity = Identity::load_or_create(dir.path()).unwrap();
        let find = |id: &str, token: &str, now_ms| {
            identity
                .find(id, Some(token), Origin::Environment, true, now_ms)
                .map(|known| (known.secret.into_owned(), known.principal))
        };
        let (secret, principal) =
            find(&issued.access_key_id, &issued.session_token, NOW_MS).unwrap();
        assert_eq!(secret, issued.secret_access_key);
        assert_eq!(principal, function());
        assert!(matches!(
            find(&issued.access_key_id, &issued.session_token, NOW_MS + 60_000),
            Err(SigError::ExpiredToken { .. })
        ));
        let other = identity.sessions.issue_at(&account, &function(), NOW_MS + 60_000);
        assert!(matches!(
            find(&other.access_key_id, &issued.session_token, NOW_MS),
            Err(SigError::BadToken { .. })
        ));
        for (at, token) in
            (0..issued.session_token.len()).map(|at| (at, tampered(&issued.session_token, at)))
        {
            assert!(
                matches!(
                    find(&issued.access_key_id, &token, NOW_MS),
                    Err(SigError::BadToken { .. })
                ),
                "{at}"
            );
        }
        assert!(
            identity.find(&issued.access_key_id, None, Origin::Environment, false, NOW_MS).is_err()
        );
    }

    fn function() -> Principal {
        Principal::Role { role_arn: ROLE.to_owned(), session: "f".to_owned() }
    }

    #[test]
    fn a_session_is_of_whom_it_was_issued_to() {
        let (_dir, identity) = identity();
        let account = AccountId::parse("000000000000").unwrap();
        let assumed = Principal::AssumedRole { role_arn: ROLE.to_owned(), session: "f".to_owned() };
        for principal in [Principal::Root, assumed, function()] {
            let issued = identity.sessions.issue_at(&account, &principal, NOW_MS + 1);
            let (id, token) = (issued.access_key_id, issued.session_token);
            let known = identity.find(&id, Some(&token), Origin::Network, false, NOW_MS).unwrap();
            assert_eq!(known.principal, principal);
        }
    }

    fn tampered(token: &str, at: usize) -> String {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn another_server_does_not_open_our_sessions() {
        let ((_a, ours), (_b, theirs)) = (identity(), identity());
        let account = AccountId::parse("000000000000").unwrap();
        let issued = theirs.sessions.issue_at(&account, &function(), NOW_MS + 60_000);
        let found = ours.find(
            &issued.access_key_id,
            Some(&issued.session_token),
            Origin::Loopback,
            false,
            NOW_MS,
        );
        assert!(matches!(found, Err(SigError::BadToken { .. })));
    }
}
