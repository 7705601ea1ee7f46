//! Settings of a function that tools ask for and that change little here: RecursiveLoop, the runtime's updates, code
//! signing.
//!
//! Invocations in a loop are not looked for, so that `Terminate` and `Allow` do the same. There is one runtime to each
//! identifier, which is what `Auto` means; nothing is signed.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::AuthContext;
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::Deserialize;
use serde_json::json;

use super::error::LambdaError;
use super::functions::Function;
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, body};

/// A request about one of these settings, parsed as far as its path says.
#[expect(clippy::enum_variant_names, reason = "the names are AWS's")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SettingOperation<'a> {
    GetFunctionRecursionConfig { name: Cow<'a, str> },
    PutFunctionRecursionConfig { name: Cow<'a, str> },
    GetRuntimeManagementConfig { name: Cow<'a, str> },
    PutRuntimeManagementConfig { name: Cow<'a, str> },
    GetFunctionCodeSigningConfig { name: Cow<'a, str> },
    PutFunctionCodeSigningConfig { name: Cow<'a, str> },
    DeleteFunctionCodeSigningConfig { name: Cow<'a, str> },
}

impl<'a> SettingOperation<'a> {
    pub(crate) fn of(method: &str, segments: &[&'a str]) -> Option<Self> {
        let [version, "functions", name, setting] = segments else { return None };
        let name = percent::decode(name);
        match (method, *version, *setting) {
            ("GET", "2024-08-31", "recursion-config") => {
                Some(Self::GetFunctionRecursionConfig { name })
            }
            ("PUT", "2024-08-31", "recursion-config") => {
                Some(Self::PutFunctionRecursionConfig { name })
            }
            ("GET", "2021-07-20", "runtime-management-config") => {
                Some(Self::GetRuntimeManagementConfig { name })
            }
            ("PUT", "2021-07-20", "runtime-management-config") => {
                Some(Self::PutRuntimeManagementConfig { name })
            }
            ("GET", "2020-06-30", "code-signing-config") => {
                Some(Self::GetFunctionCodeSigningConfig { name })
            }
            ("PUT", "2020-06-30", "code-signing-config") => {
                Some(Self::PutFunctionCodeSigningConfig { name })
            }
            ("DELETE", "2020-06-30", "code-signing-config") => {
                Some(Self::DeleteFunctionCodeSigningConfig { name })
            }
            _ => None,
        }
    }

    /// As IAM policies name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::GetFunctionRecursionConfig { .. } => "GetFunctionRecursionConfig",
            Self::PutFunctionRecursionConfig { .. } => "PutFunctionRecursionConfig",
            Self::GetRuntimeManagementConfig { .. } => "GetRuntimeManagementConfig",
            Self::PutRuntimeManagementConfig { .. } => "PutRuntimeManagementConfig",
            Self::GetFunctionCodeSigningConfig { .. } => "GetFunctionCodeSigningConfig",
            Self::PutFunctionCodeSigningConfig { .. } => "PutFunctionCodeSigningConfig",
            Self::DeleteFunctionCodeSigningConfig { .. } => "DeleteFunctionCodeSigningConfig",
        }
    }

    pub(crate) fn function(&self) -> &str {
        match self {
            Self::GetFunctionRecursionConfig { name }
            | Self::PutFunctionRecursionConfig { name }
            | Self::GetRuntimeManagementConfig { name }
            | Self::PutRuntimeManagementConfig { name }
            | Self::GetFunctionCodeSigningConfig { name }
            | Self::PutFunctionCodeSigningConfig { name }
            | Self::DeleteFunctionCodeSigningConfig { name } => name,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    recursive_loop: Option<String>,
    update_runtime_on: Option<String>,
    runtime_version_arn: Option<String>,
    code_signing_config_arn: Option<String>,
}

pub(crate) async fn run(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: SettingOperation<'_>,
) -> Result<ApiResponse, LambdaError> {
    let find = |v| find(lambda, auth, request, &operation, v);
    match operation {
        SettingOperation::GetFunctionRecursionConfig { .. } => {
            let (_, function) = find(Violations::default())?;
            recursion(&function)
        }
        SettingOperation::PutFunctionRecursionConfig { .. } => {
            let input: Input = body::decode(&request.body)?;
            let mut v = Violations::default();
            v.required("recursiveLoop", input.recursive_loop.as_ref());
            v.one_of("recursiveLoop", input.recursive_loop.as_deref(), &["Terminate", "Allow"]);
            let (target, _) = find(v)?;
            let writer = lambda.functions.write().await;
            let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
            let mut next = Function::clone(&function);
            next.record.recursion_allowed = input.recursive_loop.as_deref() == Some("Allow");
            recursion(&*writer.save(next).await?)
        }
        SettingOperation::GetRuntimeManagementConfig { .. } => {
            let (target, _) = find(Violations::default())?;
            updates(&target)
        }
        SettingOperation::PutRuntimeManagementConfig { .. } => {
            let input: Input = body::decode(&request.body)?;
            let known = ["Auto", "Manual", "FunctionUpdate"];
            let mut v = Violations::default();
            v.required("updateRuntimeOn", input.update_runtime_on.as_ref());
            v.one_of("updateRuntimeOn", input.update_runtime_on.as_deref(), &known);
            let (target, _) = find(v)?;
            if input.update_runtime_on.as_deref() != Some("Auto")
                || input.runtime_version_arn.is_some()
            {
                return Err(LambdaError::invalid(
                    "UpdateRuntimeOn can only be Auto on this server: it has one runtime to each identifier.",
                ));
            }
            updates(&target)
        }
        SettingOperation::GetFunctionCodeSigningConfig { .. } => {
            find(Violations::default())?;
            body::answer(StatusCode::OK, &json!({}))
        }
        SettingOperation::PutFunctionCodeSigningConfig { .. } => {
            let input: Input = body::decode(&request.body)?;
            let mut v = Violations::default();
            v.required("codeSigningConfigArn", input.code_signing_config_arn.as_ref());
            v.finish()?;
            Err(LambdaError::NoCodeSigningConfig(input.code_signing_config_arn.unwrap_or_default()))
        }
        SettingOperation::DeleteFunctionCodeSigningConfig { .. } => {
            find(Violations::default())?;
            Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
        }
    }
}

/// The function, once all members have been checked, and which version of it is meant.
fn find(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: &SettingOperation<'_>,
    v: Violations,
) -> Result<(Target, Arc<Function>), LambdaError> {
    let target = target::asked(v, auth, operation.name(), request, operation.function())?;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    target.version(&function)?;
    Ok((target, function))
}

fn recursion(function: &Function) -> Result<ApiResponse, LambdaError> {
    let recursive_loop = if function.record.recursion_allowed { "Allow" } else { "Terminate" };
    body::answer(StatusCode::OK, &json!({ "RecursiveLoop": recursive_loop }))
}

fn updates(target: &Target) -> Result<ApiResponse, LambdaError> {
    let arn = target.arn().to_string();
    body::answer(StatusCode::OK, &json!({ "UpdateRuntimeOn": "Auto", "FunctionArn": arn }))
}
