//! GetParameter, GetParameters, GetParametersByPath, GetParameterHistory, DescribeParameters.

use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::filter::{self, Filter};
use super::record::{Parameter, Version};
use super::{Cx, fault, name};
use crate::json_api::{constraint, page, seconds};

const NAMES_MAX: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    name: String,
    #[serde(default)]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetSeveral {
    names: Vec<String>,
    #[serde(default)]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ByPath {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    parameter_filters: Vec<Filter>,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct History {
    name: String,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    parameter_filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    #[serde(default)]
    shared: bool,
}

pub(super) async fn get(cx: Cx<'_>, input: Get) -> Result<Value, Fault> {
    let parameter = find(cx, &input.name, input.with_decryption).await?;
    Ok(json!({ "Parameter": parameter }))
}

pub(super) async fn get_several(cx: Cx<'_>, input: GetSeveral) -> Result<Value, Fault> {
    check_names(&input.names, NAMES_MAX)?;
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for name in input.names {
        match find(cx, &name, input.with_decryption).await {
            Ok(parameter) => found.push(parameter),
            Err(fault) if fault.status < 500 => invalid.push(name),
            Err(fault) => return Err(fault),
        }
    }
    Ok(json!({ "Parameters": found, "InvalidParameters": invalid }))
}

pub(super) async fn by_path(cx: Cx<'_>, input: ByPath) -> Result<Value, Fault> {
    if !input.path.starts_with('/') {
        return Err(Fault::validation(
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the following symbols: . (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". Valid example: /get/parameters2-/by1./path0_.",
        ));
    }
    let limit = limit(input.max_results, 10)?;
    filter::check(&input.parameter_filters)?;
    let path = format!("{}/", input.path.trim_end_matches('/'));
    let mut found = cx.parameters(&path).await?;
    found.retain(|parameter| {
        let rest = &parameter.name[path.len()..];
        let is_below = input.recursive || !rest.contains('/');
        is_below && filter::matches(&input.parameter_filters, parameter)
    });
    let token = input.next_token.as_deref();
    let (found, next) = page(found, token, limit, |parameter| parameter.name.clone());
    let shown = found
        .iter()
        .map(|parameter| shown(cx, parameter, parameter.newest(), None, input.with_decryption));
    let shown = shown.collect::<Result<Vec<Value>, Fault>>()?;
    Ok(with_token(json!({ "Parameters": shown }), next))
}

pub(super) async fn history(cx: Cx<'_>, input: History) -> Result<Value, Fault> {
    let limit = limit(input.max_results, 50)?;
    let parameter = cx.parameter(name::select(&input.name).name).await?;
    let token = input.next_token.as_deref();
    let (versions, next) =
        page(parameter.versions.clone(), token, limit, |version| format!("{:020}", version.number));
    let mut shown = Vec::with_capacity(versions.len());
    for version in &versions {
        let mut members = described(cx, &parameter.name, version);
        members["Value"] = cx.value(&parameter.name, version, input.with_decryption)?.into();
        members["Labels"] = json!(version.labels);
        members.as_object_mut().expect("made above").remove("ARN");
        shown.push(members);
    }
    Ok(with_token(json!({ "Parameters": shown }), next))
}

pub(super) async fn describe(cx: Cx<'_>, input: Describe) -> Result<Value, Fault> {
    let limit = limit(input.max_results, 50)?;
    if !input.filters.is_empty() && !input.parameter_filters.is_empty() {
        let message = "You can use either Filters or ParameterFilters in a single request. Filters is deprecated.";
        return Err(Fault::validation(message));
    }
    filter::check(&input.parameter_filters)?;
    filter::check(&input.filters)?;
    // Nobody shares parameters with this account.
    let mut found = if input.shared { Vec::new() } else { cx.parameters("").await? };
    // The older kind of filter compares beginnings of names.
    let older: Vec<Filter> = input.filters.into_iter().map(Filter::of_older_kind).collect();
    found.retain(|parameter| {
        filter::matches(&input.parameter_filters, parameter) && filter::matches(&older, parameter)
    });
    let token = input.next_token.as_deref();
    let (found, next) = page(found, token, limit, |parameter| parameter.name.clone());
    let described =
        found.iter().map(|parameter| described(cx, &parameter.name, parameter.newest()));
    let described: Vec<Value> = described.collect();
    Ok(with_token(json!({ "Parameters": described }), next))
}

async fn find(cx: Cx<'_>, text: &str, decrypt: bool) -> Result<Value, Fault> {
    let selected = name::select(text);
    let mut found = cx.find(selected.name).await?;
    // The ARNs of `/name` and of `name` are the same.
    if found.is_none()
        && let Some(name) = selected.name.strip_prefix('/').filter(|_| text.starts_with("arn:"))
    {
        found = cx.find(name).await?;
    }
    let parameter = found.ok_or_else(fault::not_found)?;
    let version = match selected.selector {
        None => parameter.newest(),
        Some(selector) => {
            let is_meant = |version: &&Version| {
                version.number.to_string() == selector
                    || version.labels.iter().any(|label| label == selector)
            };
            let version = parameter.versions.iter().find(is_meant);
            version.ok_or_else(|| fault::version_not_found(&parameter.name, selector))?
        }
    };
    shown(cx, &parameter, version, selected.selector, decrypt)
}

/// A `Parameter`.
fn shown(
    cx: Cx<'_>,
    parameter: &Parameter,
    version: &Version,
    selector: Option<&str>,
    decrypt: bool,
) -> Result<Value, Fault> {
    let mut members = json!({
        "Name": parameter.name,
        "Type": version.kind,
        "Value": cx.value(&parameter.name, version, decrypt)?,
        "Version": version.number,
        "LastModifiedDate": seconds(version.modified_epoch_ms),
        "ARN": cx.arn(&parameter.name),
        "DataType": version.data_type,
    });
    if let Some(selector) = selector {
        members["Selector"] = format!(":{selector}").into();
    }
    Ok(members)
}

/// A `ParameterMetadata`.
fn described(cx: Cx<'_>, name: &str, version: &Version) -> Value {
    let mut members = json!({
        "Name": name,
        "ARN": cx.arn(name),
        "Type": version.kind,
        "LastModifiedDate": seconds(version.modified_epoch_ms),
        "LastModifiedUser": version.modified_by,
        "Version": version.number,
        "Tier": version.tier,
        "Policies": [],
        "DataType": version.data_type,
    });
    let optional = [
        ("Description", &version.description),
        ("AllowedPattern", &version.allowed_pattern),
        ("KeyId", &version.key_id),
    ];
    for (member, text) in optional {
        if let Some(text) = text {
            members[member] = text.as_str().into();
        }
    }
    members
}

fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    answer
}

pub(super) fn check_names(names: &[String], max: usize) -> Result<(), Fault> {
    let list = format!("[{}]", names.join(", "));
    match names.len() {
        0 => Err(constraint("names", &list, "have length greater than or equal to 1")),
        count if count > max => {
            Err(constraint("names", &list, &format!("have length less than or equal to {max}")))
        }
        _ => Ok(()),
    }
}

fn limit(asked: Option<i64>, max: usize) -> Result<usize, Fault> {
    let Some(asked) = asked else { return Ok(max) };
    match usize::try_from(asked) {
        Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
        Ok(limit) if limit > max => {
            let constraint = format!("have value less than or equal to {max}");
            Err(crate::json_api::constraint("maxResults", &asked.to_string(), &constraint))
        }
        _ => {
            let constraint = "have value greater than or equal to 1";
            Err(crate::json_api::constraint("maxResults", &asked.to_string(), constraint))
        }
    }
}
