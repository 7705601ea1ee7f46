//! PutRetentionPolicy, DeleteRetentionPolicy.

use nilas_wire::Fault;
use serde::Deserialize;

use super::constraints::Constraints;
use super::{Cx, fault};

const DAYS: &[&str] = &[
    "1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731",
    "1096", "1827", "2192", "2557", "2922", "3288", "3653",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutInput {
    log_group_name: Option<String>,
    retention_in_days: Option<u32>,
}

pub(super) async fn put(cx: &Cx<'_>, input: PutInput) -> Result<(), Fault> {
    let days = input.retention_in_days.map(|days| days.to_string());
    let mut constraints = Constraints::default();
    constraints.required("logGroupName", input.log_group_name.as_ref());
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.required("retentionInDays", days.as_ref());
    constraints.one_of("retentionInDays", days.as_deref(), DAYS);
    constraints.finish()?;
    let name = input.log_group_name.unwrap_or_default();
    cx.logs.set_retention(&cx.key(&name), input.retention_in_days).await.map_err(fault::of_store)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteInput {
    log_group_name: Option<String>,
}

pub(super) async fn delete(cx: &Cx<'_>, input: DeleteInput) -> Result<(), Fault> {
    let mut constraints = Constraints::default();
    constraints.required("logGroupName", input.log_group_name.as_ref());
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.finish()?;
    let name = input.log_group_name.unwrap_or_default();
    cx.logs.set_retention(&cx.key(&name), None).await.map_err(fault::of_store)
}
