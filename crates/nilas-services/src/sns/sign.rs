//! The key that signs messages, and its certificate.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_wire::Fault;
use nilas_wire::sigv4::hex;
use rsa::PrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::sha2::{Digest as _, Sha256};
use rsa::signature::{SignatureEncoding, Signer as _};
use serde::{Deserialize, Serialize};

use crate::shelf::Shelf;

const RECORD: &str = "signer";
/// As AWS's key has.
const KEY_BITS: usize = 2_048;

/// As the store has it.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// PKCS#8, Base64.
    key: String,
    certificate: String,
}

/// Signs with a key of its own, which is made once.
pub(super) struct Signer {
    sha1: SigningKey<sha1::Sha1>,
    sha256: SigningKey<Sha256>,
    /// PEM
    pub(super) certificate: String,
    /// The last part of the path at which the certificate is read.
    pub(super) file: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Signer {
    /// The one that the store has, or a new one.
    pub(super) async fn open(shelf: &Shelf) -> Result<Self, Fault> {
        if let Some(stored) = shelf.get::<Stored>(RECORD).await? {
            return Self::of(&stored).ok_or_else(failed);
        }
        // Seconds of work.
        let made = tokio::task::spawn_blocking(make).await;
        let stored = made.ok().flatten().ok_or_else(failed)?;
        shelf.put(RECORD, &stored).await?;
        Self::of(&stored).ok_or_else(failed)
    }

    fn of(stored: &Stored) -> Option<Self> {
        let key = PrivateKey::from_pkcs8_der(&BASE64.decode(&stored.key).ok()?).ok()?;
        let digest = hex(&Sha256::digest(&stored.certificate));
        Some(Self {
            sha1: SigningKey::new(key.clone()),
            sha256: SigningKey::new(key),
            certificate: stored.certificate.clone(),
            file: format!("SimpleNotificationService-{}.pem", &digest[..32]),
        })
    }

    /// By version: "2" is of SHA-256, all else of SHA-1.
    pub(super) fn sign(&self, version: &str, text: &str) -> String {
        let signature = match version {
            "2" => self.sha256.sign(text.as_bytes()),
            _ => self.sha1.sign(text.as_bytes()),
        };
        BASE64.encode(signature.to_vec())
    }
}

fn make() -> Option<Stored> {
    let key = PrivateKey::new(&mut getrandom::SysRng, KEY_BITS).ok()?.to_pkcs8_der().ok()?;
    let pair = rcgen::KeyPair::try_from(key.as_bytes()).ok()?;
    let mut parameters = rcgen::CertificateParams::new(vec!["sns.localhost".to_owned()]).ok()?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "sns.localhost");
    let certificate = parameters.self_signed(&pair).ok()?.pem();
    Some(Stored { key: BASE64.encode(key.as_bytes()), certificate })
}

fn failed() -> Fault {
    tracing::error!("the key that signs messages of topics cannot be read or made");
    Fault::service("InternalFailure", 500, "The service failed to answer; its log says why.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_in_both_versions() {
        let stored = make().expect("a key");
        let signer = Signer::of(&stored).expect("its own");
        let (first, second) = (signer.sign("1", "text"), signer.sign("2", "text"));
        assert_eq!((first.len(), second.len()), (344, 344));
        assert_ne!(first, second);
        assert!(signer.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
