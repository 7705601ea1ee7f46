//! UpdateFunctionConfiguration.

use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, Version};
use nilas_wire::{ApiRequest, ApiResponse};
use serde::Deserialize;

use super::code::check_updatable;
use super::configuration::FunctionConfiguration;
use super::error::LambdaError;
use super::functions::Function;
use super::lifecycle::{new_revision_id, settle_before_first_look};
use super::record::State;
use super::settings::SettingsInput;
use super::validation::Violations;
use super::{Lambda, body, layer_use, snap_start, target};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    revision_id: Option<String>,
}

pub(crate) async fn function_update_configuration(
    lambda: &Arc<Lambda>,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let settings: SettingsInput = body::decode(&request.body)?;
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    settings.check_members(&mut v);
    v.finish()?;
    let target = target::resolve(auth, "UpdateFunctionConfiguration", name, None)?;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    if let Some(runtime) = &settings.runtime {
        lambda.resolve_runtime(runtime).await?;
    }
    settings.check_meaning(&target.id)?;
    let already = function.record.latest.settings.layers.as_slice();
    let layers = match settings.layers() {
        Some(arns) => Some(layer_use::resolve(lambda, auth, &arns, already).await?),
        None => None,
    };

    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    check_updatable(&function, input.revision_id.as_deref())?;
    let mut next = Function::clone(&function);
    let latest = &mut next.record.latest;
    settings.apply(&mut latest.settings)?;
    if let Some(layers) = &layers {
        latest.settings.layers.clone_from(&layers.layers);
    }
    layer_use::check_size(latest)?;
    snap_start::check(&latest.settings)?;
    latest.revision_id = new_revision_id();
    latest.modified_ms = lambda.clock.epoch_ms();
    latest.state = State::Updating;
    let before = function;
    let function = writer.save(next).await?;
    drop(writer);
    settle_before_first_look(lambda, Some(&before), &function).await;
    body::answer(
        StatusCode::OK,
        &FunctionConfiguration::of(&function, Version::Latest, &function.record.latest),
    )
}
