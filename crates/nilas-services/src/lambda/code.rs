//! UpdateFunctionCode, and where code comes from.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use nilas_model::{AuthContext, Version, limits};
use nilas_wire::{ApiRequest, ApiResponse};
use serde::Deserialize;

use super::configuration::FunctionConfiguration;
use super::error::LambdaError;
use super::functions::Function;
use super::lifecycle::{new_revision_id, settle_before_first_look};
use super::record::{Architecture, Code, State, VersionRecord};
use super::settings::not_supported;
use super::validation::{ItemConstraint, Violations};
use super::{Lambda, account, body, layer_use, publish, target};
use crate::blob_use::Hold;
use crate::s3::ObjectAddress;

/// `FunctionCode`, and the same members flat in UpdateFunctionCode.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CodeInput<'a> {
    /// Borrowed from the body when it has no escapes, as base64 has none.
    #[serde(borrow)]
    pub zip_file: Option<Cow<'a, str>>,
    pub s3_bucket: Option<String>,
    pub s3_key: Option<String>,
    pub s3_object_version: Option<String>,
    pub image_uri: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    architectures: Option<Vec<Option<String>>>,
    publish: Option<bool>,
    publish_to: Option<String>,
    dry_run: Option<bool>,
    revision_id: Option<String>,
}

pub(crate) async fn function_update_code(
    lambda: &Arc<Lambda>,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    check_body_size(request, "UpdateFunctionCode")?;
    let input: Input = body::decode(&request.body)?;
    let source: CodeInput<'_> = body::decode(&request.body)?;
    check_members(&input, &source, name)?;
    let target = target::resolve(auth, "UpdateFunctionCode", name, None)?;
    if input.publish_to.is_some() {
        return Err(not_supported("PublishTo"));
    }
    if source.image_uri.is_some() {
        return Err(LambdaError::invalid(
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        ));
    }
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    // Once more under the lock; here it spares an archive that would be refused anyway.
    check_updatable(&function, input.revision_id.as_deref())?;
    let zip = lambda.zip(auth, &source).await?;
    let dry_run = input.dry_run.unwrap_or(false);
    let (code, _hold) = lambda.accept_package(auth, zip, !dry_run).await?;

    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    check_updatable(&function, input.revision_id.as_deref())?;
    let mut next = Function::clone(&function);
    let latest = &function.record.latest;
    let mut settings = latest.settings.clone();
    if let Some(architecture) = architecture(input.architectures.as_deref()) {
        settings.architecture = architecture;
    }
    next.record.latest = VersionRecord {
        settings,
        code,
        revision_id: new_revision_id(),
        modified_ms: lambda.clock.epoch_ms(),
        state: State::Updating,
        published_from: None,
    };
    layer_use::check_size(&next.record.latest)?;
    if dry_run {
        return answer_dry_run(&function, next.record.latest);
    }
    let answered = match input.publish {
        Some(true) => Version::Published(publish::add_version(
            &mut next,
            None,
            State::Pending,
            lambda.clock.epoch_ms(),
        )),
        _ => Version::Latest,
    };
    let before = function;
    let function = writer.save(next).await?;
    drop(writer);
    settle_before_first_look(lambda, Some(&before), &function).await;
    let record = function.version(answered).ok_or_else(|| target.not_found())?;
    body::answer(StatusCode::OK, &FunctionConfiguration::of(&function, answered, record))
}

/// What would be there, in the state in which it is.
fn answer_dry_run(function: &Function, next: VersionRecord) -> Result<ApiResponse, LambdaError> {
    let latest = &function.record.latest;
    let (state, revision_id) = (latest.state, latest.revision_id.clone());
    let would_be = VersionRecord { state, revision_id, ..next };
    let shown = FunctionConfiguration::of(function, Version::Latest, &would_be);
    body::answer(StatusCode::OK, &shown)
}

fn check_members(input: &Input, source: &CodeInput<'_>, name: &str) -> Result<(), LambdaError> {
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    source.check_members(&mut v, "");
    check_architectures(&mut v, input.architectures.as_deref());
    v.finish()
}

impl CodeInput<'_> {
    /// `at` is the path to the members: `code.` in CreateFunction.
    pub(crate) fn check_members(&self, v: &mut Violations, at: &str) {
        v.length(&format!("{at}s3Bucket"), self.s3_bucket.as_deref(), 3, 63);
        v.length(&format!("{at}s3Key"), self.s3_key.as_deref(), 1, 1_024);
        let version = self.s3_object_version.as_deref();
        v.length(&format!("{at}s3ObjectVersion"), version, 1, 1_024);
    }

    /// The object that holds the archive, if it is in one.
    fn object(&self) -> Result<Option<ObjectAddress>, LambdaError> {
        match (&self.s3_bucket, &self.s3_key) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) if self.zip_file.is_some() => Err(LambdaError::invalid(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            )),
            (Some(bucket), Some(key)) => Ok(Some(ObjectAddress {
                bucket: bucket.clone(),
                key: key.clone(),
                version_id: self.s3_object_version.clone(),
            })),
            _ => Err(LambdaError::invalid("Please provide a source for function code.")),
        }
    }

    /// The archive's bytes in the request.
    fn zip(&self) -> Result<Bytes, LambdaError> {
        let Some(text) = &self.zip_file else {
            return Err(LambdaError::invalid("Please provide a source for function code."));
        };
        let zip = BASE64.decode(text.as_bytes());
        let zip = zip.map_err(|err| {
            LambdaError::Serialization(format!("ZipFile is not valid base64: {err}"))
        })?;
        if zip.len() as u64 > limits::ZIPPED_BYTES_MAX {
            return Err(LambdaError::TooLarge(format!(
                "Zipped size must be smaller than {} bytes",
                limits::ZIPPED_BYTES_MAX
            )));
        }
        Ok(Bytes::from(zip))
    }
}

impl Lambda {
    /// The archive's bytes, from the request or from S3.
    pub(crate) async fn zip(
        &self,
        auth: &AuthContext,
        source: &CodeInput<'_>,
    ) -> Result<Bytes, LambdaError> {
        let Some(address) = source.object()? else { return source.zip() };
        let refused = |code: &str, message: &str| {
            LambdaError::invalid(format!(
                "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
            ))
        };
        let region = self.s3.region_of(&address.bucket).await;
        if let Some(region) = region.filter(|region| region != auth.region.as_str()) {
            let message = format!(
                "The bucket is in this region: {region}. Please use this region to retry the request"
            );
            return Err(refused("PermanentRedirect", &message));
        }
        let read = self.s3.read_object(auth, &address, limits::UNZIPPED_BYTES_MAX).await;
        read.map_err(|fault| refused(&fault.code, &fault.message.unwrap_or_default()))
    }

    /// Checks an archive, and stores it unless it was only to be checked. The hold keeps it until a version has it.
    pub(crate) async fn accept_package(
        &self,
        auth: &AuthContext,
        zip: Bytes,
        keep: bool,
    ) -> Result<(Code, Hold), LambdaError> {
        let bytes = zip.len() as u64;
        let functions = self.functions.of(&auth.account, &auth.region);
        let layers = account::layer_bytes(&self.layers.of(&auth.account, &auth.region));
        let stored = account::code_bytes(&functions) + layers;
        if stored + bytes > limits::TOTAL_CODE_BYTES_MAX {
            return Err(LambdaError::CodeStorageExceeded);
        }
        let (blob, unzipped_bytes) = self.packages.check(zip.clone()).await?;
        let hold = self.blob_use.hold(blob).await;
        if keep {
            self.blobs.put(zip).await?;
        }
        Ok((Code { sha256: blob.to_string(), bytes, unzipped_bytes }, hold))
    }
}

pub(crate) fn check_body_size(request: &ApiRequest, operation: &str) -> Result<(), LambdaError> {
    let max = limits::CONTROL_BODY_BYTES_MAX;
    if request.body.len() <= max {
        return Ok(());
    }
    Err(LambdaError::TooLarge(format!(
        "Request must be smaller than {max} bytes for the {operation} operation"
    )))
}

pub(crate) fn check_architectures(v: &mut Violations, architectures: Option<&[Option<String>]>) {
    v.list_length("architectures", architectures, 1, 1);
    v.items("architectures", architectures, &ItemConstraint::OneOf(&Architecture::NAMES));
}

pub(crate) fn architecture(architectures: Option<&[Option<String>]>) -> Option<Architecture> {
    Architecture::parse(architectures?.first()?.as_deref()?)
}

/// Whether `$LATEST` can be changed now, by somebody who has seen `revision_id` of it.
pub(crate) fn check_updatable(
    function: &Function,
    revision_id: Option<&str>,
) -> Result<(), LambdaError> {
    match function.record.latest.state {
        State::Pending => return Err(LambdaError::WrongState("Pending")),
        State::Updating => return Err(LambdaError::UpdateInProgress(function.id.arn(None))),
        State::Active | State::Failed | State::InitFailed | State::SnapshotFailed => {}
    }
    if revision_id.is_some_and(|seen| seen != function.record.latest.revision_id) {
        return Err(LambdaError::RevisionMismatch);
    }
    Ok(())
}
