//! CreateFunction.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, FunctionId, Version, limits};
use nilas_wire::{ApiRequest, ApiResponse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::code::{CodeInput, architecture, check_architectures, check_body_size};
use super::configuration::FunctionConfiguration;
use super::error::LambdaError;
use super::functions::Function;
use super::lifecycle::{new_revision_id, settle_before_first_look};
use super::record::{FunctionRecord, State, VersionRecord};
use super::settings::{self, SettingsInput, not_supported};
use super::validation::Violations;
use super::{Lambda, body, layer_use, publish, snap_start, target};

/// Members beside those of `SettingsInput`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input<'a> {
    function_name: Option<String>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    publish: Option<bool>,
    publish_to: Option<String>,
    package_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    architectures: Option<Vec<Option<String>>>,
    code_signing_config_arn: Option<String>,
    #[serde(borrow)]
    tenancy_config: Option<&'a RawValue>,
}

pub(crate) async fn function_create(
    lambda: &Arc<Lambda>,
    auth: &AuthContext,
    request: &ApiRequest,
) -> Result<ApiResponse, LambdaError> {
    check_body_size(request, "CreateFunction")?;
    let input: Input<'_> = body::decode(&request.body)?;
    let settings_input: SettingsInput = body::decode(&request.body)?;
    let source: CodeInput<'_> = match input.code {
        Some(code) => serde_json::from_str(code.get()).map_err(|err| body::refuse(&err))?,
        None => CodeInput::default(),
    };
    check_members(&input, &settings_input, &source)?;
    let id = resolve_name(auth, input.function_name.as_deref().unwrap_or_default())?;
    check_meaning(&input, &settings_input, &source, &id)?;
    let runtime = settings_input.runtime.as_deref().unwrap_or_default();
    lambda.resolve_runtime(runtime).await?;
    let mut settings = settings::defaults(&id);
    settings_input.apply(&mut settings)?;
    snap_start::check(&settings)?;
    if let Some(architecture) = architecture(input.architectures.as_deref()) {
        settings.architecture = architecture;
    }
    let arns = settings_input.layers().unwrap_or_default();
    let layers = layer_use::resolve(lambda, auth, &arns, &[]).await?;
    settings.layers.clone_from(&layers.layers);
    let zip = lambda.zip(auth, &source).await?;
    let exists = || LambdaError::AlreadyExists(id.name.as_str().to_owned());
    if lambda.functions.get(&id).is_some() {
        return Err(exists());
    }
    let (code, _hold) = lambda.accept_package(auth, zip, true).await?;

    let writer = lambda.functions.write().await;
    if lambda.functions.get(&id).is_some() {
        return Err(exists());
    }
    let now_ms = lambda.clock.epoch_ms();
    let latest = VersionRecord {
        settings,
        code,
        revision_id: new_revision_id(),
        modified_ms: now_ms,
        state: State::Pending,
        published_from: None,
    };
    layer_use::check_size(&latest)?;
    let tags = input.tags.unwrap_or_default();
    let record = FunctionRecord::new(latest, tags);
    let mut function = Function {
        id,
        record,
        published: BTreeMap::new(),
        slots: BTreeMap::new(),
        store_revision: None,
    };
    let answered = match input.publish {
        Some(true) => {
            Version::Published(publish::add_version(&mut function, None, State::Pending, now_ms))
        }
        _ => Version::Latest,
    };
    let function = writer.save(function).await?;
    drop(writer);
    settle_before_first_look(lambda, None, &function).await;
    let record = function.version(answered).unwrap_or(&function.record.latest);
    body::answer(StatusCode::CREATED, &FunctionConfiguration::of(&function, answered, record))
}

fn check_members(
    input: &Input<'_>,
    settings: &SettingsInput,
    source: &CodeInput<'_>,
) -> Result<(), LambdaError> {
    let mut v = Violations::default();
    v.required("functionName", input.function_name.as_ref());
    target::check_name(&mut v, input.function_name.as_deref());
    v.required("role", settings.role.as_ref());
    v.required("code", input.code.as_ref());
    source.check_members(&mut v, "code.");
    settings.check_members(&mut v);
    v.one_of("packageType", input.package_type.as_deref(), &["Zip", "Image"]);
    let tags = input.tags.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    v.tags("tags", tags);
    check_architectures(&mut v, input.architectures.as_deref());
    v.finish()
}

/// A name that a function can have: AWS says the shorter limit in a validation's words, yet as another error.
fn resolve_name(auth: &AuthContext, name: &str) -> Result<FunctionId, LambdaError> {
    let resolved = target::resolve(auth, "CreateFunction", name, None);
    let target = resolved.map_err(|err| match err {
        LambdaError::OtherAccount { .. } => LambdaError::CreateInOtherAccount,
        other => other,
    })?;
    let length = target.id.name.as_str().len();
    if length > limits::FUNCTION_NAME_CHARS_MAX {
        return Err(LambdaError::invalid(format!(
            "1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: Member must have \
             length less than or equal to {}",
            limits::FUNCTION_NAME_CHARS_MAX
        )));
    }
    Ok(target.id)
}

fn check_meaning(
    input: &Input<'_>,
    settings: &SettingsInput,
    source: &CodeInput<'_>,
    id: &FunctionId,
) -> Result<(), LambdaError> {
    if input.package_type.as_deref() == Some("Image") || source.image_uri.is_some() {
        return Err(LambdaError::invalid(
            "Functions from container images (ImageUri, PackageType Image) are not supported by this server yet. Provide a \
             deployment package in ZipFile.",
        ));
    }
    let custom = settings.runtime.as_deref().is_some_and(|runtime| runtime.starts_with("provided"));
    if settings.runtime.is_none() || (settings.handler.is_none() && !custom) {
        return Err(LambdaError::invalid(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
        ));
    }
    if input.tags.as_ref().is_some_and(|tags| tags.len() > limits::TAGS_MAX) {
        return Err(LambdaError::invalid("Number of tags exceeds resource tag limit."));
    }
    if input.code_signing_config_arn.as_ref().is_some_and(|arn| !arn.is_empty()) {
        return Err(LambdaError::CodeSigningConfigNotFound);
    }
    if input.tenancy_config.is_some() {
        return Err(not_supported("TenancyConfig"));
    }
    if input.publish_to.is_some() {
        return Err(not_supported("PublishTo"));
    }
    settings.check_meaning(id)
}
