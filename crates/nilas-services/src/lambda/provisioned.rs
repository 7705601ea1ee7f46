//! PutProvisionedConcurrencyConfig, GetProvisionedConcurrencyConfig, ListProvisionedConcurrencyConfigs and
//! DeleteProvisionedConcurrencyConfig.

use std::sync::Arc;

use http::StatusCode;
use nilas_engine::ProvisionFailure;
use nilas_model::{AuthContext, Qualifier, Version};
use nilas_wire::{ApiRequest, ApiResponse, percent, time};
use serde::{Deserialize, Serialize};

use super::concurrency::{apply, provisioned_total, unreserved, unreserved_min};
use super::error::LambdaError;
use super::functions::Function;
use super::list::Page;
use super::record::{AliasRecord, ProvisionedRecord};
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, alias, body, patterns, snap_start};

/// `MaxItems` at most.
const LIST_ITEMS_MAX: u32 = 50;
/// Of `$LATEST`, when it or an alias of it is to be provisioned.
const UNPUBLISHED: &str =
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
/// Of `$LATEST`, otherwise.
const NOT_PUBLISHED: &str =
    "The function resource provided must be an alias or a published version.";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    provisioned_concurrent_executions: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigOutput {
    /// In lists only.
    #[serde(skip_serializing_if = "Option::is_none")]
    function_arn: Option<String>,
    requested_provisioned_concurrent_executions: u32,
    available_provisioned_concurrent_executions: u32,
    allocated_provisioned_concurrent_executions: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<&'static str>,
    last_modified: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    provisioned_concurrency_configs: Vec<ConfigOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(crate) async fn provisioned_put(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let count = input.provisioned_concurrent_executions;
    let mut v = Violations::default();
    v.required("provisionedConcurrentExecutions", count.as_ref());
    v.range("provisionedConcurrentExecutions", count, 1, i32::MAX.unsigned_abs());
    let target = decode(v, auth, "PutProvisionedConcurrencyConfig", request, name, UNPUBLISHED)?;
    let count = count.and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);

    let writer = lambda.functions.write().await;
    let (function, qualifier) = find(lambda, &target)?;
    check_amount(lambda, &function, &qualifier, count)?;
    match function.record.aliases.get(&qualifier) {
        Some(alias) if alias.additional.is_some() => {
            return Err(LambdaError::invalid(
                "Alias with weights can not be used with Provisioned Concurrency",
            ));
        }
        Some(alias) => check_alias(&function, &qualifier, alias)?,
        None => check_version(&function, &qualifier)?,
    }
    let mut next = Function::clone(&function);
    let config = ProvisionedRecord { count, modified_ms: lambda.clock.epoch_ms() };
    let modified_ms = config.modified_ms;
    next.record.provisioned.insert(qualifier, config);
    let function = writer.save(next).await?;
    apply(lambda, &function);
    let accepted = ConfigOutput {
        function_arn: None,
        requested_provisioned_concurrent_executions: count,
        available_provisioned_concurrent_executions: 0,
        allocated_provisioned_concurrent_executions: 0,
        status: "IN_PROGRESS",
        status_reason: None,
        last_modified: last_modified(modified_ms),
    };
    body::answer(StatusCode::ACCEPTED, &accepted)
}

pub(crate) fn provisioned_get(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let operation = "GetProvisionedConcurrencyConfig";
    let v = Violations::default();
    let target = decode(v, auth, operation, request, name, NOT_PUBLISHED)?;
    let (function, qualifier) = find(lambda, &target)?;
    let config = function.record.provisioned.get(&qualifier);
    let config = config.ok_or(LambdaError::ProvisionedConfigNotFound)?;
    body::answer(StatusCode::OK, &ConfigOutput::of(lambda, &function, &qualifier, config))
}

pub(crate) fn provisioned_list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    let page = Page::decode_up_to(&mut v, request, LIST_ITEMS_MAX)?;
    v.finish()?;
    let target = target::resolve(auth, "ListProvisionedConcurrencyConfigs", name, None)?;
    let function = lambda.functions.get(&target.id);
    let function = function.ok_or_else(|| LambdaError::FunctionNotFound(target.id.arn(None)))?;
    let configs = function.record.provisioned.iter();
    let (page, next_marker) = page.of(configs.map(|named| (named.0.clone(), named)))?;
    let outputs = page.into_iter().map(|(qualifier, config)| {
        let arn = function.id.arn(Qualifier::parse(qualifier).ok());
        let output = ConfigOutput::of(lambda, &function, qualifier, config);
        ConfigOutput { function_arn: Some(arn.to_string()), ..output }
    });
    let provisioned_concurrency_configs = outputs.collect();
    body::answer(StatusCode::OK, &ListOutput { provisioned_concurrency_configs, next_marker })
}

pub(crate) async fn provisioned_delete(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let operation = "DeleteProvisionedConcurrencyConfig";
    let v = Violations::default();
    let target = decode(v, auth, operation, request, name, NOT_PUBLISHED)?;
    let writer = lambda.functions.write().await;
    let (function, qualifier) = find(lambda, &target)?;
    // AWS answers 204 even when there is none.
    if function.record.provisioned.contains_key(&qualifier) {
        let mut next = Function::clone(&function);
        next.record.provisioned.remove(&qualifier);
        let function = writer.save(next).await?;
        apply(lambda, &function);
    }
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

/// Whether an alias may have its provisioned concurrency where it points to: on a published version that no other
/// configuration provisions. See "Configuring provisioned concurrency": each version has one configuration.
pub(crate) fn check_alias(
    function: &Function,
    name: &str,
    alias: &AliasRecord,
) -> Result<(), LambdaError> {
    let Some(number) = alias.published else {
        return Err(LambdaError::invalid(UNPUBLISHED));
    };
    for number in std::iter::once(number).chain(alias.additional.as_ref().map(|it| it.number)) {
        snap_start::check_provisioned(function, number)?;
    }
    let provisioned = &function.record.provisioned;
    let by_itself = provisioned.contains_key(&number.to_string());
    if by_itself || provisioned_alias_of(function, number, name).is_some() {
        return Err(LambdaError::Conflict(
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version".to_owned(),
        ));
    }
    Ok(())
}

// === impl ConfigOutput ===

impl ConfigOutput {
    /// What there is now. Busy environments count: AWS's figures are of what was allocated, not of what is free.
    fn of(
        lambda: &Lambda,
        function: &Function,
        qualifier: &str,
        config: &ProvisionedRecord,
    ) -> Self {
        let parts = function.record.provisioned_parts(qualifier, config.count);
        let statuses: Vec<_> = parts
            .iter()
            .filter_map(|(number, _)| {
                lambda.engine.provisioned(&function.id.key(Version::Published(*number)))
            })
            .collect();
        let allocated = statuses.iter().map(|status| status.allocated).sum::<u32>();
        let failure = statuses.iter().find_map(|status| status.failure);
        let (status, status_reason) = match failure {
            _ if allocated >= config.count => ("READY", None),
            Some(ProvisionFailure::Init) => ("FAILED", Some("FUNCTION_ERROR_INIT_FAILURE")),
            Some(ProvisionFailure::Start) => {
                ("FAILED", Some("The execution environment could not be started."))
            }
            None => ("IN_PROGRESS", None),
        };
        Self {
            function_arn: None,
            requested_provisioned_concurrent_executions: config.count,
            available_provisioned_concurrent_executions: allocated.min(config.count),
            allocated_provisioned_concurrent_executions: allocated.min(config.count),
            status,
            status_reason,
            last_modified: last_modified(config.modified_ms),
        }
    }
}

/// `2019-11-21T19:32:12+0000`, as AWS's guide shows it.
fn last_modified(epoch_ms: u64) -> String {
    time::iso8601(epoch_ms).replace('Z', "+0000")
}

/// V constraints after those in `v`, and the function; `unpublished` is what is said of `$LATEST`.
fn decode(
    mut v: Violations,
    auth: &AuthContext,
    operation: &'static str,
    request: &ApiRequest,
    name: &str,
    unpublished: &str,
) -> Result<Target, LambdaError> {
    let qualifier = percent::query_value(&request.query, "Qualifier");
    v.required("qualifier", qualifier.as_ref());
    v.length("qualifier", qualifier.as_deref(), 1, 128);
    v.pattern("qualifier", qualifier.as_deref(), &patterns::PROVISIONED_QUALIFIER);
    target::check_name(&mut v, Some(name));
    v.finish()?;
    let target = target::resolve(auth, operation, name, qualifier.as_deref())?;
    if target.qualifier == Some(Qualifier::Latest) {
        return Err(LambdaError::invalid(unpublished));
    }
    Ok(target)
}

/// The function, if it has what the qualifier names, and the qualifier as its configuration is filed.
fn find(lambda: &Lambda, target: &Target) -> Result<(Arc<Function>, String), LambdaError> {
    let function = lambda.functions.get(&target.id);
    match &target.qualifier {
        Some(Qualifier::Alias(name)) => {
            let function = function.filter(|f| f.record.aliases.contains_key(name));
            let function = function.ok_or_else(|| alias::not_found(&target.id, name))?;
            Ok((function, name.clone()))
        }
        _ => {
            let function = function.ok_or_else(|| target.not_found())?;
            let version = target.version(&function)?;
            Ok((function, version.to_string()))
        }
    }
}

/// Within the reservation, or else within what functions without one share.
fn check_amount(
    lambda: &Lambda,
    function: &Function,
    qualifier: &str,
    count: u32,
) -> Result<(), LambdaError> {
    let record = &function.record;
    let replaced = record.provisioned.get(qualifier).map_or(0, |config| config.count);
    let total = (provisioned_total(record) - replaced).saturating_add(count);
    if let Some(reserved) = record.reserved_concurrency {
        if total > reserved {
            return Err(LambdaError::invalid(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function",
            ));
        }
        return Ok(());
    }
    let (free, minimum) = (unreserved(lambda, Some(&function.id)), unreserved_min(lambda));
    if total > free {
        return Err(LambdaError::InvalidParameterUntyped(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{free}]."
        )));
    }
    if free - total < minimum {
        return Err(LambdaError::InvalidParameterUntyped(format!(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
             minimum value of [{minimum}]."
        )));
    }
    Ok(())
}

fn check_version(function: &Function, qualifier: &str) -> Result<(), LambdaError> {
    let Ok(number) = qualifier.parse() else { return Ok(()) };
    snap_start::check_provisioned(function, number)?;
    if provisioned_alias_of(function, number, "").is_some() {
        return Err(LambdaError::Conflict(
            "Version is pointed by a Provisioned Concurrency alias".to_owned(),
        ));
    }
    Ok(())
}

/// An alias other than `except` that provisions this version.
fn provisioned_alias_of<'a>(
    function: &'a Function,
    number: u64,
    except: &str,
) -> Option<&'a String> {
    let mut aliases = function.record.aliases.iter();
    let provisions = |name: &String, alias: &AliasRecord| {
        alias.published == Some(number) && function.record.provisioned.contains_key(name)
    };
    aliases.find(|(name, alias)| *name != except && provisions(name, alias)).map(|(name, _)| name)
}
