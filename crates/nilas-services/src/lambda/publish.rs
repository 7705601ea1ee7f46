//! PublishVersion.

use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, Version, VersionSnapshot};
use nilas_wire::{ApiRequest, ApiResponse};
use serde::Deserialize;

use super::code::check_updatable;
use super::configuration::{self, FunctionConfiguration};
use super::error::LambdaError;
use super::functions::{Function, Slot};
use super::lifecycle::{new_revision_id, settle_before_first_look};
use super::record::{Settings, State, VersionRecord};
use super::settings::not_supported;
use super::validation::Violations;
use super::{Lambda, body, snap_start, target};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
    publish_to: Option<String>,
}

pub(crate) async fn version_publish(
    lambda: &Arc<Lambda>,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    v.length("description", input.description.as_deref(), 0, 256);
    v.finish()?;
    let target = target::resolve(auth, "PublishVersion", name, None)?;
    if input.publish_to.is_some() {
        return Err(not_supported("PublishTo"));
    }

    let writer = lambda.functions.write().await;
    let mut function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    check_updatable(&function, input.revision_id.as_deref())?;
    let current = configuration::code_sha256(&function.record.latest.code.sha256);
    if let Some(given) = input.code_sha256.filter(|given| !given.is_empty() && given != &current) {
        return Err(LambdaError::invalid(format!(
            "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with the \
             CodeSHA256 in $LATEST."
        )));
    }
    let mut next = Function::clone(&function);
    let latest = &function.record.latest;
    // `$LATEST` is settled, so what it needs is there: the version is active at once, or failed as it is.
    let state = snap_start::first_state(&latest.settings, latest.state);
    let number = add_version(&mut next, input.description, state, lambda.clock.epoch_ms());
    let version = Version::Published(number);
    if next.published.len() > function.published.len() {
        if state.is_settled() {
            let slot = slot_of_version(lambda, &function, version);
            next.slots.extend(slot.map(|slot| (version, slot)));
        }
        let before = std::mem::replace(&mut function, writer.save(next).await?);
        drop(writer);
        settle_before_first_look(lambda, Some(&before), &function).await;
    }
    let record = function.version(version).ok_or_else(|| target.not_found())?;
    body::answer(StatusCode::CREATED, &FunctionConfiguration::of(&function, version, record))
}

/// What the invoke path sees of a version that is like `$LATEST`.
fn slot_of_version(lambda: &Lambda, function: &Function, version: Version) -> Option<Slot> {
    match function.slots.get(&Version::Latest) {
        Some(Slot::Ready(latest)) => {
            let mut snapshot = VersionSnapshot::clone(latest);
            snapshot.version = version;
            snapshot.generation = lambda.functions.next_generation();
            let snapshot = Arc::new(snapshot);
            lambda.snapshots.keep_with(&snapshot);
            Some(Slot::Ready(snapshot))
        }
        other => other.cloned(),
    }
}

/// Makes a version of `$LATEST`, unless the newest one is the same: then that one's number is the answer.
pub(crate) fn add_version(
    function: &mut Function,
    description: Option<String>,
    state: State,
    now_ms: u64,
) -> u64 {
    let latest = &function.record.latest;
    let newest = function.published.last_key_value();
    if let Some((number, newest)) = newest
        && *number == function.record.last_version
        && latest.same_as_published(newest)
    {
        return *number;
    }
    let described = latest.settings.description.clone();
    let description =
        description.filter(|text| !text.is_empty()).unwrap_or_else(|| described.clone());
    let version = VersionRecord {
        settings: Settings { description, ..latest.settings.clone() },
        code: latest.code.clone(),
        revision_id: new_revision_id(),
        modified_ms: now_ms,
        state,
        published_from: Some(described),
    };
    function.record.last_version += 1;
    function.published.insert(function.record.last_version, Arc::new(version));
    function.record.last_version
}
