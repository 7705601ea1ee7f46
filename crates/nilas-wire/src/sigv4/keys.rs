//! Signing keys, and a cache of them: deriving one costs four HMACs, and a client uses the same one all day.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::TERMINATOR;

/// Entries of the cache: one for each key in use, with room for the session key of every busy environment.
const SLOTS: usize = 4_096;

/// An HMAC that has taken in the signing key already.
#[derive(Clone)]
pub(crate) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    pub(crate) fn derive(secret: &str, date: &str, region: &str, service: &str) -> Self {
        let mut first = Vec::with_capacity(4 + secret.len());
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.as_bytes());
        let mut key = keyed(&first);
        for step in [date, region, service, TERMINATOR] {
            key.update(step.as_bytes());
            key = keyed(&key.finalize().into_bytes());
        }
        Self(key)
    }

    /// The signature of `text`, in hex.
    pub(crate) fn sign(&self, text: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(text);
        super::hex(&mac.finalize().into_bytes())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

struct Entry {
    secret: String,
    date: String,
    region: String,
    service: String,
    key: SigningKey,
}

/// A direct-mapped cache: a key that hashes onto another's slot replaces it, so its size never changes.
pub(crate) struct KeyCache {
    hasher: RandomState,
    slots: Box<[Mutex<Option<Box<Entry>>>]>,
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCache").finish_non_exhaustive()
    }
}

impl KeyCache {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::new(None)).collect();
        Self { hasher: RandomState::new(), slots }
    }

    pub(crate) fn get(&self, secret: &str, date: &str, region: &str, service: &str) -> SigningKey {
        let hash = self.hasher.hash_one((secret, date, region, service));
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash do")]
        let slot = &self.slots[hash as usize % SLOTS];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_deref() {
            Some(entry) if entry.is_for(secret, date, region, service) => entry.key.clone(),
            _ => {
                let key = SigningKey::derive(secret, date, region, service);
                let own = str::to_owned;
                let entry = Entry {
                    secret: own(secret),
                    date: own(date),
                    region: own(region),
                    service: own(service),
                    key: key.clone(),
                };
                *slot = Some(Box::new(entry));
                key
            }
        }
    }
}

impl Entry {
    /// `secret` is our own, looked up by key id: comparing it takes no secret from the caller.
    fn is_for(&self, secret: &str, date: &str, region: &str, service: &str) -> bool {
        self.date == date
            && self.service == service
            && self.region == region
            && self.secret == secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_the_key_of_awss_example() {
        // The example of "Create a signed AWS API request": the key is tested through a signature made with it.
        let key = SigningKey::derive(
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "20150830",
            "us-east-1",
            "iam",
        );
        let text = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                    f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        assert_eq!(
            key.sign(text.as_bytes()),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn the_cache_gives_what_derivation_gives() {
        let cache = KeyCache::new();
        for secret in ["a", "b", "a"] {
            for region in ["us-east-1", "eu-west-1"] {
                let cached = cache.get(secret, "20260101", region, "lambda").sign(b"x");
                assert_eq!(
                    cached,
                    SigningKey::derive(secret, "20260101", region, "lambda").sign(b"x")
                );
            }
        }
    }
}
