//! GetFunction and GetFunctionConfiguration.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use nilas_model::{AccountId, AuthContext, FunctionId, FunctionName, Region, Version};
use nilas_wire::sigv4::{ClientKey, Signer};
use nilas_wire::{ApiRequest, ApiResponse};
use serde::Serialize;

use super::concurrency::Concurrency;
use super::configuration::FunctionConfiguration;
use super::error::LambdaError;
use super::functions::Function;
use super::record::{Code, VersionRecord};
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, body};
use crate::s3;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetFunctionOutput<'a> {
    configuration: FunctionConfiguration<'a>,
    code: CodeLocation,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<Concurrency>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CodeLocation {
    repository_type: &'static str,
    location: String,
}

/// Life of a link to a package, seconds: as AWS's.
const LOCATION_SECONDS: u32 = 600;

pub(crate) fn function_get(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = target::asked(Violations::default(), auth, "GetFunction", request, name)?;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    let (version, record) = find(&target, &function)?;
    let FunctionId { account, region, name } = &function.id;
    let place = (region, account);
    let location = location(lambda, &request.base_url(), place, name, &record.code)?;
    let output = GetFunctionOutput {
        configuration: FunctionConfiguration::new(&function.id, version, record, &target.arn()),
        code: CodeLocation { repository_type: "S3", location },
        tags: &function.record.tags,
        concurrency: function.record.reserved_concurrency.map(|_| Concurrency::of(&function)),
    };
    body::answer(StatusCode::OK, &output)
}

pub(crate) fn function_get_configuration(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target =
        target::asked(Violations::default(), auth, "GetFunctionConfiguration", request, name)?;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    let (version, record) = find(&target, &function)?;
    body::answer(
        StatusCode::OK,
        &FunctionConfiguration::new(&function.id, version, record, &target.arn()),
    )
}

fn find<'a>(
    target: &Target,
    function: &'a Function,
) -> Result<(Version, &'a VersionRecord), LambdaError> {
    let version = target.version(function)?;
    Ok((version, function.version(version).ok_or_else(|| target.not_found())?))
}

/// A presigned link to the package of a function or layer, on the address the caller reached us at.
pub(crate) fn location(
    lambda: &Lambda,
    base_url: &str,
    (region, account): (&Region, &AccountId),
    name: &FunctionName,
    code: &Code,
) -> Result<String, LambdaError> {
    let key = &lambda.config.signing_key;
    let signer = Signer {
        key: ClientKey {
            access_key_id: &key.access_key_id,
            secret_access_key: &key.secret_access_key,
            session_token: None,
        },
        region: region.as_str(),
        service: "s3",
        now_ms: lambda.clock.epoch_ms(),
    };
    let host = base_url.split_once("://").map_or(base_url, |(_, host)| host);
    let path = s3::package_path(region, account, name, &code.sha256);
    let query = format!("versionId={}", &code.sha256[..32.min(code.sha256.len())]);
    let query = signer.presign(&Method::GET, host, &path, &query, LOCATION_SECONDS);
    let query = query.map_err(|source| LambdaError::Internal {
        step: "signing a link",
        source: source.into(),
    })?;
    Ok(format!("{base_url}{path}?{query}"))
}
