//! DeleteSecret, which leaves time to think, and RestoreSecret.

use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::Deletion;
use super::{Cx, fault};
use crate::json_api::seconds;

const DAYS_DEFAULT: i64 = 30;
const DAYS: std::ops::RangeInclusive<i64> = 7..=30;
const DAY_MS: u64 = 86_400_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    secret_id: String,
    recovery_window_in_days: Option<i64>,
    #[serde(default)]
    force_delete_without_recovery: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Restore {
    secret_id: String,
}

pub(super) async fn delete(cx: Cx<'_>, input: Delete) -> Result<Value, Fault> {
    if input.force_delete_without_recovery && input.recovery_window_in_days.is_some() {
        let message =
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.";
        return Err(fault::invalid_parameter(message));
    }
    let days = input.recovery_window_in_days.unwrap_or(DAYS_DEFAULT);
    if !DAYS.contains(&days) {
        let message = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).";
        return Err(fault::invalid_parameter(message));
    }
    let _writing = cx.shelf.writing().await;
    if input.force_delete_without_recovery {
        // As on AWS, this succeeds for a secret that is not there, too.
        let Some(secret) = cx.find(&input.secret_id).await? else {
            let arn = cx.new_arn(&input.secret_id);
            let due = seconds(cx.now_ms);
            return Ok(json!({ "ARN": arn, "Name": input.secret_id, "DeletionDate": due }));
        };
        cx.remove(&secret).await?;
        let due = seconds(cx.now_ms);
        return Ok(json!({ "ARN": secret.arn, "Name": secret.name, "DeletionDate": due }));
    }
    let mut secret = cx.secret(&input.secret_id).await?;
    let due_epoch_ms = cx.now_ms + days.unsigned_abs() * DAY_MS;
    secret.deletion = Some(Deletion { asked_epoch_ms: cx.now_ms, due_epoch_ms });
    cx.store(&secret).await?;
    let due = seconds(due_epoch_ms);
    Ok(json!({ "ARN": secret.arn, "Name": secret.name, "DeletionDate": due }))
}

pub(super) async fn restore(cx: Cx<'_>, input: Restore) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut secret = cx.any(&input.secret_id).await?;
    secret.deletion = None;
    cx.store(&secret).await?;
    Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
}
