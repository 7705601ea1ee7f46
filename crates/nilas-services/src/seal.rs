//! Seals what services keep secret: AES-256-GCM with a key of this store.

use nilas_store::{Expect, Records, StoreError};
use nilas_wire::Fault;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

const SPACE: &str = "seal";
const NAME: &str = "key";
pub(crate) const KEY_BYTES: usize = 32;

/// Opens what it sealed. Whoever reads the whole data directory reads its key, too.
pub(crate) struct Seal(LessSafeKey);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// With the store's key, which is made at the first start.
    pub(crate) async fn load(records: &Records) -> Result<Self, StoreError> {
        if let Some(record) = records.get(SPACE, NAME).await? {
            return Ok(Self::of(&record.value));
        }
        let key = random::<KEY_BYTES>();
        records.put(SPACE, NAME, key.to_vec().into(), Expect::Absent).await?;
        Ok(Self::of(&key))
    }

    /// `key` has 32 bytes.
    pub(crate) fn of(key: &[u8]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes was stored");
        Self(LessSafeKey::new(key))
    }

    /// `plain`, to be opened with the same `context` only.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE_LEN>();
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(unique, Aad::from(context), &mut sealed)
            .expect("it is shorter than 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// None for what was not sealed so.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(context), &mut buffer).ok()?;
        Some(plain.to_vec())
    }

    /// As [`Seal::open`], for what this store must be able to open.
    pub(crate) fn open_own(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        self.open(context, sealed).ok_or_else(|| {
            tracing::error!("a sealed value of the store does not open");
            Fault::service("InternalServerError", 500, "The value cannot be decrypted.")
        })
    }
}

/// Random bytes of the kernel's.
pub(crate) fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_open() {
        let (seal, other) = (Seal::of(&[1; KEY_BYTES]), Seal::of(&[2; KEY_BYTES]));
        let sealed = seal.seal(b"name", b"value");
        assert_eq!(seal.open(b"name", &sealed).unwrap(), b"value");
        assert_eq!(seal.open(b"other", &sealed), None);
        assert_eq!(other.open(b"name", &sealed), None);
        assert_eq!(seal.open(b"name", &sealed[..5]), None);
        assert_ne!(seal.seal(b"name", b"value"), sealed, "a nonce is used once");
    }
}
