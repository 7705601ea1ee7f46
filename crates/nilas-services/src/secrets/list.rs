//! ListSecrets, with its filters.

use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::Secret;
use super::{Cx, fault, read};
use crate::json_api::page;

const PAGE_MAX: usize = 100;
const FILTERS_MAX: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    include_planned_deletion: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    sort_order: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    #[serde(default)]
    values: Vec<String>,
}

pub(super) async fn secrets(cx: Cx<'_>, input: List) -> Result<Value, Fault> {
    if input.filters.len() > FILTERS_MAX {
        return Err(fault::invalid_parameter("A request has 10 filters at most."));
    }
    for filter in &input.filters {
        if !["all", "name", "description", "tag-key", "tag-value"].contains(&filter.key.as_str()) {
            let message = format!("nilas does not support the filter {}.", filter.key);
            return Err(fault::invalid_parameter(message));
        }
    }
    let mut found = cx.secrets().await?;
    found.retain(|secret| {
        (input.include_planned_deletion || secret.deletion.is_none())
            && input.filters.iter().all(|filter| passes(filter, secret))
    });
    let limit = input.max_results.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let (found, next) =
        page(found, input.next_token.as_deref(), limit, |secret| secret.name.clone());
    let mut shown: Vec<Value> = found.iter().map(listed).collect();
    if input.sort_order.as_deref() == Some("desc") {
        shown.reverse();
    }
    let mut answer = json!({ "SecretList": shown });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

fn listed(secret: &Secret) -> Value {
    let mut members = read::described(secret);
    members["SecretVersionsToStages"] = secret.stages();
    members
}

/// Whether one of the filter's values fits; `!` before a value means the opposite.
fn passes(filter: &Filter, secret: &Secret) -> bool {
    filter.values.iter().any(|value| match value.strip_prefix('!') {
        Some(value) => !fits(&filter.key, value, secret),
        None => fits(&filter.key, value, secret),
    })
}

fn fits(key: &str, value: &str, secret: &Secret) -> bool {
    let lower = value.to_lowercase();
    let begins = |text: &str| text.to_lowercase().starts_with(&lower);
    let name = || secret.name.starts_with(value);
    let description = || {
        let mut words = secret.description.iter().flat_map(|text| text.split_whitespace());
        secret.description.as_deref().is_some_and(begins) || words.any(begins)
    };
    let tag_key = || secret.tags.iter().any(|(key, _)| key.starts_with(value));
    let tag_value = || secret.tags.iter().any(|(_, tag)| tag.starts_with(value));
    match key {
        "name" => name(),
        "description" => description(),
        "tag-key" => tag_key(),
        "tag-value" => tag_value(),
        _ => {
            begins(&secret.name)
                || description()
                || secret.tags.iter().any(|(key, tag)| begins(key) || begins(tag))
        }
    }
}
