//! Encrypt, Decrypt, GenerateDataKey.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::record::Key;
use super::{Cx, fault};
use crate::json_api::constraint;
use crate::seal::random;

const PLAINTEXT_BYTES_MAX: usize = 4_096;
const CIPHERTEXT_BYTES_MAX: usize = 6_144;
const DATA_KEY_BYTES_MAX: usize = 1_024;
const CONTEXT_BYTES_MAX: usize = 8_192;
const ID_BYTES: usize = 16;
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

type Context = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Encrypt {
    key_id: String,
    plaintext: String,
    #[serde(default)]
    encryption_context: Context,
    encryption_algorithm: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Decrypt {
    key_id: Option<String>,
    ciphertext_blob: String,
    #[serde(default)]
    encryption_context: Context,
    encryption_algorithm: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataKey {
    key_id: String,
    #[serde(default)]
    encryption_context: Context,
    number_of_bytes: Option<usize>,
    key_spec: Option<String>,
}

pub(super) async fn encrypt(cx: Cx<'_>, input: Encrypt) -> Result<Value, Fault> {
    check_algorithm(input.encryption_algorithm.as_deref())?;
    let plain = blob("plaintext", &input.plaintext, PLAINTEXT_BYTES_MAX)?;
    let key = cx.usable_key(&input.key_id).await?;
    let blob = encrypted(cx, &key, &input.encryption_context, &plain)?;
    let arn = cx.arn(&key.id);
    Ok(json!({ "CiphertextBlob": blob, "KeyId": arn, "EncryptionAlgorithm": ALGORITHM }))
}

pub(super) async fn decrypt(cx: Cx<'_>, input: Decrypt) -> Result<Value, Fault> {
    check_algorithm(input.encryption_algorithm.as_deref())?;
    let blob = blob("ciphertextBlob", &input.ciphertext_blob, CIPHERTEXT_BYTES_MAX)?;
    let (id, sealed) =
        blob.split_first_chunk::<ID_BYTES>().ok_or_else(fault::invalid_ciphertext)?;
    let id = Uuid::from_bytes(*id).to_string();
    let key = match cx.usable_key(&id).await {
        // Whose ciphertext this is, is nobody's to know.
        Err(fault) if fault.code == "NotFoundException" => return Err(fault::invalid_ciphertext()),
        key => key?,
    };
    if let Some(given) = &input.key_id
        && cx.key(given).await?.id != key.id
    {
        let message =
            "The key ID in the request does not identify a CMK that can perform this operation.";
        return Err(Fault::plain("IncorrectKeyException", 400, message));
    }
    let plain = cx.cipher(&key)?.open(&bound(&input.encryption_context)?, sealed);
    let plain = BASE64.encode(plain.ok_or_else(fault::invalid_ciphertext)?);
    let arn = cx.arn(&key.id);
    Ok(json!({ "KeyId": arn, "Plaintext": plain, "EncryptionAlgorithm": ALGORITHM }))
}

pub(super) async fn data_key(
    cx: Cx<'_>,
    input: DataKey,
    with_plaintext: bool,
) -> Result<Value, Fault> {
    let bytes = match (input.number_of_bytes, input.key_spec.as_deref()) {
        (Some(bytes @ 1..=DATA_KEY_BYTES_MAX), None) => bytes,
        (None, Some("AES_256")) => 32,
        (None, Some("AES_128")) => 16,
        (Some(_), None) => {
            return Err(Fault::validation("NumberOfBytes must be between 1 and 1024."));
        }
        (None, Some(spec)) => {
            let set = "satisfy enum value set: [AES_256, AES_128]";
            return Err(constraint("keySpec", spec, set));
        }
        _ => {
            return Err(Fault::validation("Please specify either number of bytes or key spec."));
        }
    };
    let key = cx.usable_key(&input.key_id).await?;
    let plain = &random::<DATA_KEY_BYTES_MAX>()[..bytes];
    let blob = encrypted(cx, &key, &input.encryption_context, plain)?;
    let mut answer = json!({ "CiphertextBlob": blob, "KeyId": cx.arn(&key.id) });
    if with_plaintext {
        answer["Plaintext"] = BASE64.encode(plain).into();
    }
    Ok(answer)
}

/// The key's id, then what it sealed; in base64.
fn encrypted(cx: Cx<'_>, key: &Key, context: &Context, plain: &[u8]) -> Result<String, Fault> {
    let sealed = cx.cipher(key)?.seal(&bound(context)?, plain);
    let id = Uuid::parse_str(&key.id).unwrap_or_default();
    Ok(BASE64.encode([id.as_bytes().as_slice(), &sealed].concat()))
}

/// The encryption context in a form that is the same whatever the order of its members.
fn bound(context: &Context) -> Result<Vec<u8>, Fault> {
    let bound = json!(context).to_string().into_bytes();
    if bound.len() > CONTEXT_BYTES_MAX {
        return Err(Fault::validation("The encryption context has 8192 bytes at most."));
    }
    Ok(bound)
}

fn blob(member: &str, text: &str, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let bytes = BASE64.decode(text).map_err(|_| {
        Fault::plain("SerializationException", 400, format!("{member} is not base64."))
    })?;
    match bytes.len() {
        0 => Err(constraint(member, "", "have length greater than or equal to 1")),
        count if count > bytes_max => {
            let limit = format!("have length less than or equal to {bytes_max}");
            Err(constraint(member, "java.nio.HeapByteBuffer", &limit))
        }
        _ => Ok(bytes),
    }
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), Fault> {
    match algorithm {
        None | Some(ALGORITHM) => Ok(()),
        Some(other) => Err(fault::not_supported(other)),
    }
}
