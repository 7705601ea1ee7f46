//! Staging labels: which version is the current one.

use nilas_model::limits::{SECRET_STAGES_MAX, SECRET_VERSIONS_UNLABELLED_MAX};
use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{CURRENT, PREVIOUS, Secret};
use super::{Cx, fault};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    secret_id: String,
    version_stage: String,
    remove_from_version_id: Option<String>,
    move_to_version_id: Option<String>,
}

pub(super) async fn update(cx: Cx<'_>, input: Update) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut secret = cx.secret(&input.secret_id).await?;
    let stage = input.version_stage.as_str();
    let holder = secret.at_stage(stage).map(|version| version.id.clone());
    let removed = input.remove_from_version_id.as_ref();
    if let Some(id) = removed.filter(|id| holder.as_ref() != Some(*id)) {
        let message =
            format!("The staging label {stage} isn't currently attached to version {id}.");
        return Err(fault::invalid_parameter(message));
    }
    if let Some(id) = &input.move_to_version_id {
        if secret.version(id).is_none() {
            return Err(fault::no_value(&format!("VersionId: {id}")));
        }
        let is_elsewhere = holder.as_ref().is_some_and(|holder| holder != id);
        if is_elsewhere && input.remove_from_version_id.is_none() {
            let holder = holder.unwrap_or_default();
            let message = format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            );
            return Err(fault::invalid_parameter(message));
        }
    } else if stage == CURRENT {
        let message = "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.";
        return Err(fault::invalid_parameter(message));
    }
    attach(&mut secret, input.move_to_version_id.as_deref(), &[stage.to_owned()])?;
    secret.changed_epoch_ms = cx.now_ms;
    cx.store(&secret).await?;
    Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
}

/// Moves `stages` to the version `id`, or takes them away. What was current becomes the previous one.
pub(super) fn attach(
    secret: &mut Secret,
    id: Option<&str>,
    stages: &[String],
) -> Result<(), Fault> {
    let was_current = secret.at_stage(CURRENT).map(|version| version.id.clone());
    for version in &mut secret.versions {
        version.stages.retain(|stage| !stages.contains(stage));
        if Some(version.id.as_str()) == id {
            version.stages.extend(stages.iter().cloned());
        }
    }
    let moves_current = stages.iter().any(|stage| stage == CURRENT);
    if let Some(was) = was_current.filter(|was| moves_current && Some(was.as_str()) != id) {
        for version in &mut secret.versions {
            version.stages.retain(|stage| stage != PREVIOUS);
            if version.id == was {
                version.stages.push(PREVIOUS.to_owned());
            }
        }
    }
    let count = secret.versions.iter().map(|version| version.stages.len()).sum::<usize>();
    if count > SECRET_STAGES_MAX {
        let message = format!("A secret has {SECRET_STAGES_MAX} staging labels at most.");
        return Err(Fault::plain("LimitExceededException", 400, message));
    }
    forget(secret);
    Ok(())
}

/// Drops the oldest of too many versions without a label.
fn forget(secret: &mut Secret) {
    let unlabelled = secret.versions.iter().filter(|version| version.stages.is_empty()).count();
    let mut surplus = unlabelled.saturating_sub(SECRET_VERSIONS_UNLABELLED_MAX);
    secret.versions.retain(|version| {
        let goes = surplus > 0 && version.stages.is_empty();
        surplus -= usize::from(goes);
        !goes
    });
}
