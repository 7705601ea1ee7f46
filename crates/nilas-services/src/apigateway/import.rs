//! ImportRestApi and PutRestApi: an API from its OpenAPI document, Swagger 2.0 or OpenAPI 3.0.

mod document;
mod operation;

use std::collections::BTreeMap;

use nilas_wire::{Fault, percent};
use serde_json::Value;

use super::fault::bad;
use super::record::{ApiRecord, Definition};
use super::shape::Members;
use super::{Answer, Cx, api};
use document::Document;

/// Characters of a document nested deeper than anything written by hand.
const DEPTH_MAX: usize = 100;

pub(super) async fn import(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let document = Document::parse(&cx.request.body)?;
    let mut members = document.api()?;
    let types = percent::query_value(&cx.request.query, "endpointConfigurationTypes");
    if let Some(types) = types {
        let types: Vec<&str> = types.split(',').collect();
        members.insert("endpointConfiguration".to_owned(), serde_json::json!({ "types": types }));
    }
    api::check(&members)?;
    let mut record = api::new(cx, members, document.tags());
    let base = base_path(cx, &document)?;
    document.apply(&mut record.definition, &base)?;
    let shown = api::shown(&record);
    cx.apis.create(record).await?;
    Ok(Answer::created(shown))
}

pub(super) async fn put(cx: &Cx<'_>, id: &str) -> Result<Answer, Fault> {
    let document = Document::parse(&cx.request.body)?;
    let mode = percent::query_value(&cx.request.query, "mode");
    let overwrites = match mode.as_deref() {
        None | Some("merge") => false,
        Some("overwrite") => true,
        Some(_) => return Err(bad("Invalid mode specified. Valid values are merge and overwrite")),
    };
    let base = base_path(cx, &document)?;
    let members = document.api()?;
    let change = |record: &mut ApiRecord| {
        if overwrites {
            clear(&mut record.definition);
            for name in ["binaryMediaTypes", "minimumCompressionSize", "policy"] {
                record.api.remove(name);
            }
        }
        merge(&mut record.api, members);
        api::check(&record.api)?;
        document.apply(&mut record.definition, &base)?;
        Ok(api::shown(record))
    };
    Ok(Answer::ok(cx.apis.change(cx.auth, id, change).await?))
}

/// Empties an API, but for its root resource and the models that every API has.
fn clear(definition: &mut Definition) {
    let root = definition.root().cloned();
    let models = std::mem::take(&mut definition.models);
    *definition = Definition {
        models: models
            .into_iter()
            .filter(|(name, _)| matches!(name.as_str(), "Empty" | "Error"))
            .collect(),
        ..Definition::default()
    };
    if let Some(mut root) = root {
        root.methods = BTreeMap::new();
        definition.resources.insert(root.id.clone(), root);
    }
}

fn merge(api: &mut Members, members: Members) {
    for (name, value) in members {
        match (api.get_mut(&name), value) {
            (Some(Value::Array(known)), Value::Array(items)) => {
                for item in items {
                    if !known.contains(&item) {
                        known.push(item);
                    }
                }
            }
            (_, value) => drop(api.insert(name, value)),
        }
    }
}

/// What is put before all paths: by `basepath`, nothing, the document's base path, or all of it but its first part.
fn base_path(cx: &Cx<'_>, document: &Document) -> Result<String, Fault> {
    let mode = percent::query_pairs(&cx.request.query)
        .find(|(name, _)| name.eq_ignore_ascii_case("basepath"))
        .map(|(_, value)| value.to_ascii_lowercase());
    let base = document.base_path();
    match mode.as_deref() {
        None | Some("ignore") => Ok(String::new()),
        Some("prepend") => Ok(base),
        Some("split") => {
            let rest = base.trim_start_matches('/').split_once('/').map(|(_, rest)| rest);
            Ok(rest.map_or_else(String::new, |rest| format!("/{rest}")))
        }
        Some(_) => {
            Err(bad("Invalid basepath specified. Valid values are ignore, prepend and split"))
        }
    }
}
