//! PutParameter and LabelParameterVersion.

use nilas_model::limits::{SSM_LABELS_MAX, SSM_PARAMETERS_MAX, SSM_VERSIONS_MAX};
use nilas_wire::Fault;
use regex::RegexBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{Parameter, Version};
use super::{Cx, fault, name, tags};
use crate::json_api::{Tag, add_tags, constraint};
use crate::sts::caller_arn;

const STANDARD_BYTES_MAX: usize = 4_096;
const ADVANCED_BYTES_MAX: usize = 8_192;
const TEXT_CHARS_MAX: usize = 1_024;
/// Of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1_048_576;
const KINDS: [&str; 3] = ["String", "StringList", "SecureString"];
const TIERS: [&str; 3] = ["Standard", "Advanced", "Intelligent-Tiering"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    name: String,
    value: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    description: Option<String>,
    key_id: Option<String>,
    #[serde(default)]
    overwrite: bool,
    allowed_pattern: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    tier: Option<String>,
    policies: Option<String>,
    data_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Label {
    name: String,
    parameter_version: Option<u64>,
    labels: Vec<String>,
}

pub(super) async fn put(cx: Cx<'_>, mut input: Put) -> Result<Value, Fault> {
    if let Some(name) = input.name.strip_prefix("arn:aws:ssm:") {
        let name = name.split_once(":parameter").map_or(name, |(_, name)| name);
        input.name = name.to_owned();
    }
    check(&input)?;
    let _writing = cx.shelf.writing().await;
    let parameter = match cx.find(&input.name).await? {
        Some(_) if !input.overwrite => return Err(fault::already_exists()),
        Some(known) => next(cx, known, input)?,
        None => {
            if cx.parameters("").await?.len() >= SSM_PARAMETERS_MAX {
                let message = "You have exceeded the number of parameters for this AWS account. Delete one or more parameters and try again.";
                return Err(fault::plain("ParameterLimitExceeded", message));
            }
            first(cx, input)?
        }
    };
    cx.store(&parameter).await?;
    let newest = parameter.newest();
    Ok(json!({ "Version": newest.number, "Tier": newest.tier }))
}

fn check(input: &Put) -> Result<(), Fault> {
    name::check(&input.name)?;
    if input.value.is_empty() {
        return Err(constraint("value", "", "have length greater than or equal to 1"));
    }
    if let Some(kind) = input.kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
        let set = "satisfy enum value set: [SecureString, StringList, String]";
        return Err(constraint("type", kind, set));
    }
    if let Some(tier) = input.tier.as_deref().filter(|tier| !TIERS.contains(tier)) {
        let set = "satisfy enum value set: [Standard, Advanced, Intelligent-Tiering]";
        return Err(constraint("tier", tier, set));
    }
    for (member, text) in
        [("description", &input.description), ("allowedPattern", &input.allowed_pattern)]
    {
        if let Some(text) = text.as_ref().filter(|text| text.chars().count() > TEXT_CHARS_MAX) {
            return Err(constraint(member, text, "have length less than or equal to 1024"));
        }
    }
    if input.overwrite && !input.tags.is_empty() {
        return Err(Fault::validation(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    if input.policies.as_deref().is_some_and(|policies| !matches!(policies.trim(), "" | "[]")) {
        return Err(fault::not_supported("policies"));
    }
    if let Some(data_type) = input.data_type.as_deref().filter(|kind| *kind != "text") {
        return Err(fault::not_supported(&format!("the data type {data_type}")));
    }
    if input.value.len() > ADVANCED_BYTES_MAX {
        return Err(Fault::validation(
            "Advanced tier parameters support a maximum parameter value of 8192 characters.",
        ));
    }
    check_pattern(input.allowed_pattern.as_deref(), &input.value)
}

fn check_pattern(pattern: Option<&str>, value: &str) -> Result<(), Fault> {
    let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else { return Ok(()) };
    // As Java's `matches`: all of the value.
    let whole = format!("^(?:{pattern})$");
    let compiled = RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build();
    let compiled = compiled.map_err(|_| {
        let message = "The request does not meet the regular expression requirement.";
        fault::plain("InvalidAllowedPatternException", message)
    })?;
    if compiled.is_match(value) {
        return Ok(());
    }
    let message = format!("Parameter value, cannot be validated against allowedPattern: {pattern}");
    Err(fault::plain("ParameterPatternMismatchException", message))
}

/// The tier a value gets that is to have `asked`.
fn tier(asked: Option<&str>, known: &str, value: &str) -> Result<String, Fault> {
    let is_large = value.len() > STANDARD_BYTES_MAX;
    match asked {
        Some("Advanced") => Ok("Advanced".to_owned()),
        Some("Intelligent-Tiering") if is_large => Ok("Advanced".to_owned()),
        Some("Standard") if known == "Advanced" => Err(Fault::validation(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.",
        )),
        _ if known == "Advanced" => Ok("Advanced".to_owned()),
        _ if is_large => Err(Fault::validation(
            "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html",
        )),
        _ => Ok("Standard".to_owned()),
    }
}

fn first(cx: Cx<'_>, input: Put) -> Result<Parameter, Fault> {
    let Some(kind) = input.kind.clone() else {
        let message = "A parameter type is required when you create a parameter.";
        return Err(Fault::validation(message));
    };
    let tier = tier(input.tier.as_deref(), "Standard", &input.value)?;
    let mut new = Vec::new();
    add_tags(&mut new, input.tags.clone());
    tags::check_count(&new)?;
    let name = input.name.clone();
    let version = version(cx, input, 1, kind, tier);
    Ok(Parameter { name, tags: new, versions: vec![version] })
}

/// `known` with a version more. What the request leaves out stays as it was.
fn next(cx: Cx<'_>, mut known: Parameter, input: Put) -> Result<Parameter, Fault> {
    let newest = known.newest().clone();
    if input.kind.as_ref().is_some_and(|kind| *kind != newest.kind) {
        let message = "Parameter Store doesn't support changing a parameter type in a hierarchy. For example, you can't change a parameter from a String type to a SecureString type. You must create a new, unique parameter.";
        return Err(fault::plain("HierarchyTypeMismatchException", message));
    }
    let tier = tier(input.tier.as_deref(), &newest.tier, &input.value)?;
    if known.versions.len() >= SSM_VERSIONS_MAX {
        if !known.versions[0].labels.is_empty() {
            let message = format!(
                "You attempted to create a new version of {} by calling the PutParameter API with the overwrite flag. Version {}, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again.",
                known.name, known.versions[0].number
            );
            return Err(fault::plain("ParameterMaxVersionLimitExceeded", message));
        }
        known.versions.remove(0);
    }
    let mut made = version(cx, input, newest.number + 1, newest.kind, tier);
    made.description = made.description.or(newest.description);
    made.key_id = made.key_id.or(newest.key_id);
    known.versions.push(made);
    Ok(known)
}

fn version(cx: Cx<'_>, input: Put, number: u64, kind: String, tier: String) -> Version {
    let is_secure = kind == "SecureString";
    let value = match is_secure {
        true => cx.sealed(&input.name, &input.value),
        false => input.value,
    };
    let key_id = input.key_id.or_else(|| Some("alias/aws/ssm".to_owned()));
    Version {
        number,
        kind,
        value,
        description: input.description,
        allowed_pattern: input.allowed_pattern.filter(|pattern| !pattern.is_empty()),
        key_id: key_id.filter(|_| is_secure),
        tier,
        data_type: "text".to_owned(),
        modified_epoch_ms: cx.now_ms,
        modified_by: caller_arn(cx.auth),
        labels: Vec::new(),
    }
}

pub(super) async fn label(cx: Cx<'_>, input: Label) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    let mut parameter = cx.parameter(&input.name).await?;
    let number = input.parameter_version.unwrap_or(parameter.newest().number);
    if !parameter.versions.iter().any(|version| version.number == number) {
        return Err(fault::version_not_found(&input.name, &number.to_string()));
    }
    let (labels, invalid): (Vec<String>, Vec<String>) =
        input.labels.into_iter().partition(|label| is_label(label));
    for version in &mut parameter.versions {
        version.labels.retain(|label| !labels.contains(label));
        if version.number == number {
            version.labels.extend(labels.iter().cloned());
            if version.labels.len() > SSM_LABELS_MAX {
                let message = "A parameter version can have a maximum of ten labels.";
                return Err(fault::plain("ParameterVersionLabelLimitExceeded", message));
            }
        }
    }
    cx.store(&parameter).await?;
    Ok(json!({ "InvalidLabels": invalid, "ParameterVersion": number }))
}

fn is_label(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=100).contains(&label.len())
        && label.chars().all(legal)
        && !label.starts_with(|c: char| c.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
}
