//! GetSecretValue, DescribeSecret, ListSecretVersionIds.

use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{CURRENT, Secret};
use super::{Cx, fault, write};
use crate::json_api::{page, seconds, tag_list};

const PAGE_MAX: usize = 100;
const DAY_MS: u64 = 86_400_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    secret_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionIds {
    secret_id: String,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    include_deprecated: bool,
}

pub(super) async fn value(cx: Cx<'_>, input: GetValue) -> Result<Value, Fault> {
    let secret = cx.secret(&input.secret_id).await?;
    let version = match (&input.version_id, &input.version_stage) {
        (Some(id), stage) => {
            let version =
                secret.version(id).ok_or_else(|| fault::no_value(&format!("VersionId: {id}")))?;
            if let Some(stage) = stage.as_ref().filter(|stage| !version.stages.contains(stage)) {
                let message = format!(
                    "You provided a VersionStage that is not associated to the provided VersionId: {stage}."
                );
                return Err(fault::invalid_request(message));
            }
            version
        }
        (None, stage) => {
            let stage = stage.as_deref().unwrap_or(CURRENT);
            let found = secret.at_stage(stage);
            found.ok_or_else(|| fault::no_value(&format!("staging label: {stage}")))?
        }
    };
    let content = write::opened(cx, &secret, version)?;
    let mut answer = json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.id,
        "VersionStages": version.stages,
        "CreatedDate": seconds(version.created_epoch_ms),
    });
    answer[if version.is_binary { "SecretBinary" } else { "SecretString" }] = content.into();
    note_access(cx, &secret).await?;
    Ok(answer)
}

/// `LastAccessedDate` is a day's: it is written once a day.
async fn note_access(cx: Cx<'_>, secret: &Secret) -> Result<(), Fault> {
    let today = cx.now_ms / DAY_MS * DAY_MS;
    if secret.accessed_epoch_ms == Some(today) {
        return Ok(());
    }
    let _writing = cx.shelf.writing().await;
    // As it is now, under the lock.
    if let Some(known) = cx.find_named(&secret.name).await? {
        cx.store(&Secret { accessed_epoch_ms: Some(today), ..known }).await?;
    }
    Ok(())
}

pub(super) async fn describe(cx: Cx<'_>, input: Describe) -> Result<Value, Fault> {
    let secret = cx.any(&input.secret_id).await?;
    let mut answer = described(&secret);
    answer["VersionIdsToStages"] = secret.stages();
    Ok(answer)
}

/// What DescribeSecret and ListSecrets have in common.
pub(super) fn described(secret: &Secret) -> Value {
    let mut members = json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "CreatedDate": seconds(secret.created_epoch_ms),
        "LastChangedDate": seconds(secret.changed_epoch_ms),
        "Tags": tag_list(&secret.tags),
    });
    let texts = [("Description", &secret.description), ("KmsKeyId", &secret.kms_key_id)];
    for (member, text) in texts {
        if let Some(text) = text {
            members[member] = text.as_str().into();
        }
    }
    if let Some(accessed) = secret.accessed_epoch_ms {
        members["LastAccessedDate"] = seconds(accessed);
    }
    if let Some(deletion) = secret.deletion {
        members["DeletedDate"] = seconds(deletion.asked_epoch_ms);
    }
    members
}

pub(super) async fn version_ids(cx: Cx<'_>, input: VersionIds) -> Result<Value, Fault> {
    let secret = cx.any(&input.secret_id).await?;
    let mut versions = secret.versions;
    versions.retain(|version| input.include_deprecated || !version.stages.is_empty());
    versions.sort_by(|a, b| a.id.cmp(&b.id));
    let limit = input.max_results.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let (versions, next) =
        page(versions, input.next_token.as_deref(), limit, |version| version.id.clone());
    let shown = versions.iter().map(|version| {
        json!({
            "VersionId": version.id,
            "VersionStages": version.stages,
            "CreatedDate": seconds(version.created_epoch_ms),
        })
    });
    let shown: Value = shown.collect();
    let mut answer = json!({ "ARN": secret.arn, "Name": secret.name, "Versions": shown });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}
