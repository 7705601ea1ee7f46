//! GetAccountSettings.

use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, limits};
use nilas_wire::ApiResponse;
use serde::Serialize;

use super::error::LambdaError;
use super::functions::Function;
use super::layer_store::{Layer, LayerId};
use super::{Lambda, body, concurrency};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    account_limit: AccountLimit,
    account_usage: AccountUsage,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountLimit {
    total_code_size: u64,
    code_size_unzipped: u64,
    code_size_zipped: u64,
    concurrent_executions: u32,
    unreserved_concurrent_executions: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountUsage {
    total_code_size: u64,
    function_count: usize,
}

pub(crate) fn settings_get(
    lambda: &Lambda,
    auth: &AuthContext,
) -> Result<ApiResponse, LambdaError> {
    let functions = lambda.functions.of(&auth.account, &auth.region);
    let layers = lambda.layers.of(&auth.account, &auth.region);
    let output = Output {
        account_limit: AccountLimit {
            total_code_size: limits::TOTAL_CODE_BYTES_MAX,
            code_size_unzipped: limits::UNZIPPED_BYTES_MAX,
            code_size_zipped: limits::ZIPPED_BYTES_MAX,
            concurrent_executions: lambda.config.account_concurrency,
            unreserved_concurrent_executions: concurrency::unreserved(lambda, None),
        },
        account_usage: AccountUsage {
            total_code_size: code_bytes(&functions) + layer_bytes(&layers),
            function_count: functions.len(),
        },
    };
    body::answer(StatusCode::OK, &output)
}

/// Code that counts towards `TOTAL_CODE_BYTES_MAX`: each published version, and `$LATEST` only while no version has
/// its code.
pub(crate) fn code_bytes(functions: &[Arc<Function>]) -> u64 {
    functions.iter().map(|function| code_bytes_of(function)).sum()
}

/// Each version of a layer counts, too.
pub(crate) fn layer_bytes(layers: &[(LayerId, Arc<Layer>)]) -> u64 {
    let versions = layers.iter().flat_map(|(_, layer)| layer.versions.values());
    versions.map(|version| version.code.bytes).sum()
}

fn code_bytes_of(function: &Function) -> u64 {
    let latest = &function.record.latest.code;
    let published: u64 = function.published.values().map(|version| version.code.bytes).sum();
    let covered = function.published.values().any(|version| version.code.sha256 == latest.sha256);
    published + if covered { 0 } else { latest.bytes }
}
