//! TagResource, UntagResource and ListTags, 2017-03-31.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, FunctionId, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::{Deserialize, Serialize};

use super::error::LambdaError;
use super::functions::Function;
use super::mappings::{Mapping, mapping_of, tags_change, tags_of};
use super::validation::{TAG_KEY, Violations};
use super::{Lambda, body, patterns, target};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TagInput {
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    tags: BTreeMap<String, String>,
}

/// What has tags.
enum Tagged {
    Function(FunctionId),
    Mapping(Mapping),
}

pub(crate) async fn tag(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    arn: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: TagInput = body::decode(&request.body)?;
    let mut v = check_resource(arn);
    v.required("tags", input.tags.as_ref());
    v.tags("tags", input.tags.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())));
    v.finish()?;
    let tagged = resolve(lambda, auth, "TagResource", arn)?;
    let tags = input.tags.unwrap_or_default();
    if tags.is_empty() {
        return Err(LambdaError::invalid("An error occurred and the request cannot be processed."));
    }
    change(lambda, &tagged, |kept| {
        kept.extend(tags);
        if kept.len() > limits::TAGS_MAX {
            return Err(LambdaError::invalid("Number of tags exceeds resource tag limit."));
        }
        Ok(())
    })
    .await
}

pub(crate) async fn untag(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    arn: &str,
) -> Result<ApiResponse, LambdaError> {
    let keys: Vec<Option<String>> = percent::query_pairs(&request.query)
        .filter(|(name, _)| name == "tagKeys")
        .map(|(_, key)| Some(key.into_owned()))
        .collect();
    let mut v = check_resource(arn);
    v.required("tagKeys", keys.first());
    v.items("tagKeys", Some(&keys), &TAG_KEY);
    v.finish()?;
    let tagged = resolve(lambda, auth, "UntagResource", arn)?;
    change(lambda, &tagged, |kept| {
        for key in keys.iter().flatten() {
            kept.remove(key);
        }
        Ok(())
    })
    .await
}

pub(crate) fn list(
    lambda: &Lambda,
    auth: &AuthContext,
    arn: &str,
) -> Result<ApiResponse, LambdaError> {
    check_resource(arn).finish()?;
    let tags = match resolve(lambda, auth, "ListTags", arn)? {
        Tagged::Function(id) => get(lambda, &id)?.record.tags.clone(),
        Tagged::Mapping(mapping) => tags_of(lambda, &mapping)?,
    };
    body::answer(StatusCode::OK, &ListOutput { tags })
}

fn check_resource(arn: &str) -> Violations {
    let mut v = Violations::default();
    v.pattern("resource", Some(arn), &patterns::TAGGABLE_RESOURCE);
    v
}

/// What `arn`, well-formed, names.
fn resolve(
    lambda: &Lambda,
    auth: &AuthContext,
    operation: &'static str,
    arn: &str,
) -> Result<Tagged, LambdaError> {
    if let Some(mapping) = mapping_of(lambda, auth, arn) {
        return Ok(Tagged::Mapping(mapping));
    }
    let kind = arn.split(':').nth(5).unwrap_or_default();
    let missing = match kind {
        "function" => None,
        "event-source-mapping" => Some("Event source mapping"),
        "capacity-provider" => Some("Capacity provider"),
        "code-signing-config" => Some("Code signing config"),
        _ => Some("Layer"),
    };
    if let Some(missing) = missing {
        return Err(LambdaError::ResourceNotFound(format!("{missing} not found: {arn}")));
    }
    let target = target::resolve(auth, operation, arn, None)?;
    if target.qualifier.is_some() {
        return Err(LambdaError::invalid(
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        ));
    }
    get(lambda, &target.id)?;
    Ok(Tagged::Function(target.id))
}

fn get(lambda: &Lambda, id: &FunctionId) -> Result<Arc<Function>, LambdaError> {
    lambda.functions.get(id).ok_or_else(|| LambdaError::FunctionNotFound(id.arn(None)))
}

async fn change(
    lambda: &Lambda,
    tagged: &Tagged,
    edit: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), LambdaError>,
) -> Result<ApiResponse, LambdaError> {
    match tagged {
        Tagged::Mapping(mapping) => tags_change(lambda, mapping, edit).await?,
        Tagged::Function(id) => {
            let writer = lambda.functions.write().await;
            let mut next = Function::clone(&*get(lambda, id)?);
            edit(&mut next.record.tags)?;
            writer.save(next).await?;
        }
    }
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}
