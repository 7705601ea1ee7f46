//! CreateSecret, PutSecretValue, UpdateSecret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::limits::{SECRET_BYTES_MAX, SECRETS_MAX};
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::record::{CURRENT, Secret, Version};
use super::{Cx, fault, stage, tags};
use crate::json_api::Tag;

const NAME_CHARS_MAX: usize = 512;
const DESCRIPTION_CHARS_MAX: usize = 2_048;
const STAGES: std::ops::RangeInclusive<usize> = 1..=20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    client_request_token: Option<String>,
    description: Option<String>,
    kms_key_id: Option<String>,
    secret_binary: Option<String>,
    secret_string: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    add_replica_regions: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutValue {
    secret_id: String,
    client_request_token: Option<String>,
    secret_binary: Option<String>,
    secret_string: Option<String>,
    version_stages: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    secret_id: String,
    client_request_token: Option<String>,
    description: Option<String>,
    kms_key_id: Option<String>,
    secret_binary: Option<String>,
    secret_string: Option<String>,
}

/// What is kept secret: text, or base64 of bytes.
struct Content {
    text: String,
    is_binary: bool,
}

pub(super) async fn create(cx: Cx<'_>, input: Create) -> Result<Value, Fault> {
    check_name(&input.name)?;
    check_description(input.description.as_deref())?;
    if !input.add_replica_regions.is_empty() {
        let message = "nilas does not replicate secrets to other regions.";
        return Err(fault::invalid_parameter(message));
    }
    let content = content(input.secret_string, input.secret_binary)?;
    let token = token(input.client_request_token)?;
    let tags = tags::checked(input.tags)?;
    let _writing = cx.shelf.writing().await;
    if let Some(known) = cx.find_named(&input.name).await? {
        return same_again(cx, &known, content.as_ref(), &token);
    }
    if cx.secrets().await?.len() >= SECRETS_MAX {
        let message = format!("There are {SECRETS_MAX} secrets already.");
        return Err(Fault::plain("LimitExceededException", 400, message));
    }
    let mut secret = Secret {
        arn: cx.new_arn(&input.name),
        name: input.name,
        description: input.description,
        kms_key_id: input.kms_key_id,
        created_epoch_ms: cx.now_ms,
        changed_epoch_ms: cx.now_ms,
        accessed_epoch_ms: None,
        deletion: None,
        tags,
        versions: Vec::new(),
    };
    let mut answer = json!({ "ARN": secret.arn, "Name": secret.name });
    if let Some(content) = content {
        add(cx, &mut secret, &content, &token, &[CURRENT.to_owned()])?;
        answer["VersionId"] = token.into();
    }
    cx.store(&secret).await?;
    Ok(answer)
}

/// The answer to a request that comes again with its token; a refusal if it is another request.
fn same_again(
    cx: Cx<'_>,
    known: &Secret,
    content: Option<&Content>,
    token: &str,
) -> Result<Value, Fault> {
    if known.deletion.is_some() {
        let message = "You can't create this secret because a secret with this name is already scheduled for deletion.";
        return Err(fault::invalid_request(message));
    }
    if let (Some(content), Some(version)) = (content, known.version(token))
        && opened(cx, known, version)? == content.text
    {
        return Ok(json!({ "ARN": known.arn, "Name": known.name, "VersionId": token }));
    }
    let message = format!("The operation failed because the secret {} already exists.", known.name);
    Err(fault::exists(message))
}

pub(super) async fn put_value(cx: Cx<'_>, input: PutValue) -> Result<Value, Fault> {
    let Some(content) = content(input.secret_string, input.secret_binary)? else {
        let message = "You must provide either SecretString or SecretBinary.";
        return Err(fault::invalid_request(message));
    };
    let token = token(input.client_request_token)?;
    let stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    if !STAGES.contains(&stages.len()) {
        return Err(fault::invalid_parameter("A version takes 1 to 20 staging labels."));
    }
    let _writing = cx.shelf.writing().await;
    let mut secret = cx.secret(&input.secret_id).await?;
    add(cx, &mut secret, &content, &token, &stages)?;
    cx.store(&secret).await?;
    let stages = secret.version(&token).map(|version| version.stages.clone());
    Ok(json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": token,
        "VersionStages": stages.unwrap_or_default(),
    }))
}

pub(super) async fn update(cx: Cx<'_>, input: Update) -> Result<Value, Fault> {
    check_description(input.description.as_deref())?;
    let content = content(input.secret_string, input.secret_binary)?;
    let token = token(input.client_request_token)?;
    let _writing = cx.shelf.writing().await;
    let mut secret = cx.secret(&input.secret_id).await?;
    secret.description = input.description.or(secret.description);
    secret.kms_key_id = input.kms_key_id.or(secret.kms_key_id);
    secret.changed_epoch_ms = cx.now_ms;
    let mut answer = json!({ "ARN": secret.arn, "Name": secret.name });
    if let Some(content) = content {
        add(cx, &mut secret, &content, &token, &[CURRENT.to_owned()])?;
        answer["VersionId"] = token.into();
    }
    cx.store(&secret).await?;
    Ok(answer)
}

/// Gives `secret` the version `token`, once.
fn add(
    cx: Cx<'_>,
    secret: &mut Secret,
    content: &Content,
    token: &str,
    stages: &[String],
) -> Result<(), Fault> {
    if let Some(known) = secret.version(token) {
        if opened(cx, secret, known)? == content.text {
            return Ok(());
        }
        let message = format!(
            "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {}.",
            secret.arn
        );
        return Err(fault::exists(message));
    }
    let sealed = cx.seal.seal(secret.arn.as_bytes(), content.text.as_bytes());
    secret.versions.push(Version {
        id: token.to_owned(),
        sealed: BASE64.encode(sealed),
        is_binary: content.is_binary,
        stages: Vec::new(),
        created_epoch_ms: cx.now_ms,
    });
    secret.changed_epoch_ms = cx.now_ms;
    // The first version is the current one, whatever else it is.
    let mut stages = stages.to_vec();
    if secret.versions.len() == 1 && !stages.iter().any(|stage| stage == CURRENT) {
        stages.push(CURRENT.to_owned());
    }
    stage::attach(secret, Some(token), &stages)
}

/// What `version` keeps.
pub(super) fn opened(cx: Cx<'_>, secret: &Secret, version: &Version) -> Result<String, Fault> {
    let sealed = BASE64.decode(&version.sealed).unwrap_or_default();
    let plain = cx.seal.open_own(secret.arn.as_bytes(), &sealed)?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

// === members ===

fn content(text: Option<String>, binary: Option<String>) -> Result<Option<Content>, Fault> {
    let (content, bytes) = match (text, binary) {
        (Some(_), Some(_)) => {
            let message = "You can't specify both a binary secret value and a string secret value in the same secret.";
            return Err(fault::invalid_parameter(message));
        }
        (None, None) => return Ok(None),
        (Some(text), None) => {
            let bytes = text.len();
            (Content { text, is_binary: false }, bytes)
        }
        (None, Some(text)) => {
            let decoded = BASE64.decode(&text).map_err(|_| {
                Fault::plain("SerializationException", 400, "SecretBinary is not base64.")
            })?;
            (Content { text, is_binary: true }, decoded.len())
        }
    };
    if !(1..=SECRET_BYTES_MAX).contains(&bytes) {
        let message = format!("A secret value has 1 to {SECRET_BYTES_MAX} bytes.");
        return Err(fault::invalid_parameter(message));
    }
    Ok(Some(content))
}

/// Becomes the version's id.
fn token(asked: Option<String>) -> Result<String, Fault> {
    match asked {
        None => Ok(Uuid::new_v4().to_string()),
        Some(token) if (32..=64).contains(&token.len()) => Ok(token),
        Some(_) => {
            Err(fault::invalid_parameter("ClientRequestToken must be 32-64 characters long."))
        }
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(legal) {
        let message = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!";
        return Err(Fault::validation(message));
    }
    Ok(())
}

fn check_description(description: Option<&str>) -> Result<(), Fault> {
    match description {
        Some(text) if text.chars().count() > DESCRIPTION_CHARS_MAX => {
            Err(fault::invalid_parameter("A description has 2048 characters at most."))
        }
        _ => Ok(()),
    }
}
