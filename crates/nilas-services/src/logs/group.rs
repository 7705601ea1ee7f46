//! CreateLogGroup, DeleteLogGroup, DescribeLogGroups.

use std::collections::BTreeMap;

use nilas_store::{GroupInfo, GroupQuery};
use nilas_wire::Fault;
use serde::{Deserialize, Serialize};

use super::constraints::{Constraints, group_of_identifier};
use super::{Cx, fault, token};

const GROUPS_PER_PAGE: i64 = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateInput {
    log_group_name: Option<String>,
    kms_key_id: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    log_group_class: Option<String>,
    deletion_protection_enabled: Option<bool>,
}

pub(super) async fn create(cx: &Cx<'_>, input: CreateInput) -> Result<(), Fault> {
    let classes = ["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"];
    let mut constraints = Constraints::default();
    constraints.required("logGroupName", input.log_group_name.as_ref());
    constraints.group_name("logGroupName", input.log_group_name.as_deref());
    constraints.count("tags", input.tags.as_ref().map(BTreeMap::len), 1, 50);
    constraints.one_of("logGroupClass", input.log_group_class.as_deref(), &classes);
    constraints.finish()?;
    refuse_what_would_not_hold(&input)?;
    let name = input.log_group_name.unwrap_or_default();
    match cx.logs.create_group(&cx.key(&name)).await.map_err(fault::of_store)? {
        true => Err(fault::group_exists()),
        false => Ok(()),
    }
}

/// Properties that protect data or cost money on AWS must not be accepted and forgotten.
fn refuse_what_would_not_hold(input: &CreateInput) -> Result<(), Fault> {
    let refused = if input.kms_key_id.is_some() {
        "kmsKeyId"
    } else if input.tags.is_some() {
        "tags"
    } else if input.log_group_class.as_deref().is_some_and(|class| class != "STANDARD") {
        "logGroupClass other than STANDARD"
    } else if input.deletion_protection_enabled == Some(true) {
        "deletionProtectionEnabled"
    } else {
        return Ok(());
    };
    Err(fault::invalid_parameter(format!("nilas does not support {refused} of log groups.")))
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
    match cx.logs.delete_group(&cx.key(&name)).await.map_err(fault::of_store)? {
        true => Ok(()),
        false => Err(fault::no_group()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeInput {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_identifiers: Option<Vec<String>>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOutput {
    log_groups: Vec<LogGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
    creation_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_in_days: Option<u32>,
    metric_filter_count: u32,
    arn: String,
    stored_bytes: u64,
    log_group_class: &'static str,
    log_group_arn: String,
}

pub(super) async fn describe(cx: &Cx<'_>, input: DescribeInput) -> Result<DescribeOutput, Fault> {
    let mut constraints = Constraints::default();
    constraints.group_name("logGroupNamePrefix", input.log_group_name_prefix.as_deref());
    constraints.group_name_part("logGroupNamePattern", input.log_group_name_pattern.as_deref());
    constraints.count(
        "logGroupIdentifiers",
        input.log_group_identifiers.as_ref().map(Vec::len),
        1,
        50,
    );
    constraints.range("limit", input.limit, 1, GROUPS_PER_PAGE);
    constraints.finish()?;
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        let text =
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.";
        return Err(fault::invalid_parameter(text));
    }
    // Every group is of this class.
    if input.log_group_class.as_deref().is_some_and(|class| class != "STANDARD") {
        return Ok(DescribeOutput { log_groups: Vec::new(), next_token: None });
    }
    let scope = cx.scope();
    if let Some(identifiers) = &input.log_group_identifiers {
        let mut log_groups = Vec::new();
        for identifier in identifiers {
            let found = cx
                .logs
                .group(&cx.key(group_of_identifier(identifier)))
                .await
                .map_err(fault::of_store)?;
            log_groups.extend(found.map(|info| log_group(cx, &scope, info)));
        }
        return Ok(DescribeOutput { log_groups, next_token: None });
    }
    let limit = usize::try_from(input.limit.unwrap_or(GROUPS_PER_PAGE)).unwrap_or(1);
    let after = input.next_token.as_deref().map(token::decode_text).transpose()?;
    let query = GroupQuery {
        prefix: input.log_group_name_prefix.unwrap_or_default(),
        contains: input.log_group_name_pattern.unwrap_or_default(),
        after: after.map(|name| cx.key(&name)),
        // One more tells whether there is a next page.
        limit: limit + 1,
        scope: scope.clone(),
    };
    let mut found = cx.logs.groups(query).await.map_err(fault::of_store)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let log_groups: Vec<LogGroup> =
        found.into_iter().map(|info| log_group(cx, &scope, info)).collect();
    let last = log_groups.last().filter(|_| more);
    let next_token = last.map(|group| token::encode_text(&group.log_group_name));
    Ok(DescribeOutput { log_groups, next_token })
}

fn log_group(cx: &Cx<'_>, scope: &str, info: GroupInfo) -> LogGroup {
    let name = info.name.strip_prefix(scope).unwrap_or(&info.name).to_owned();
    let arn = cx.group_arn(&name);
    LogGroup {
        log_group_name: name,
        creation_time: info.created_ms,
        retention_in_days: info.retention_days,
        metric_filter_count: 0,
        arn: format!("{arn}:*"),
        stored_bytes: info.stored_bytes,
        log_group_class: "STANDARD",
        log_group_arn: arn,
    }
}
