//! PutFunctionConcurrency, GetFunctionConcurrency and DeleteFunctionConcurrency; what the settings of all functions
//! take from the server's concurrency, and telling the engine.
//!
//! One limit, `limits.concurrency`, is shared by every account and region of the server.

use std::collections::BTreeMap;

use http::StatusCode;
use nilas_engine::FunctionConcurrency;
use nilas_model::{AuthContext, FunctionId, Qualifier, Version, limits};
use nilas_wire::{ApiRequest, ApiResponse};
use serde::{Deserialize, Serialize};

use super::error::LambdaError;
use super::functions::{Function, Slot};
use super::record::FunctionRecord;
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, body};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    reserved_concurrent_executions: Option<i64>,
}

/// Also the `Concurrency` of GetFunction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Concurrency {
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_concurrent_executions: Option<u32>,
}

impl Concurrency {
    pub(crate) fn of(function: &Function) -> Self {
        Self { reserved_concurrent_executions: function.record.reserved_concurrency }
    }
}

pub(crate) async fn concurrency_put(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let reserved = input.reserved_concurrent_executions;
    let mut v = Violations::default();
    v.required("reservedConcurrentExecutions", reserved.as_ref());
    v.range("reservedConcurrentExecutions", reserved, 0, i32::MAX.unsigned_abs());
    target::check_name(&mut v, Some(name));
    v.finish()?;
    let reserved = reserved.and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);
    let target = resolve(auth, "PutFunctionConcurrency", name)?;

    let writer = lambda.functions.write().await;
    let function = lambda
        .functions
        .get(&target.id)
        .ok_or_else(|| LambdaError::FunctionNotFound(target.id.arn(Some(Qualifier::Latest))))?;
    let minimum = unreserved_min(lambda);
    if reserved > unreserved(lambda, Some(&target.id)).saturating_sub(minimum) {
        return Err(LambdaError::InvalidParameterUntyped(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below \
             its minimum value of [{minimum}]."
        )));
    }
    let provisioned = provisioned_total(&function.record);
    if reserved < provisioned {
        // The leading and the double blank are AWS's.
        return Err(LambdaError::InvalidParameterUntyped(format!(
            " ReservedConcurrentExecutions  {reserved} should not be lower than function's total provisioned concurrency \
             [{provisioned}]."
        )));
    }
    let mut next = Function::clone(&function);
    next.record.reserved_concurrency = Some(reserved);
    let function = writer.save(next).await?;
    apply(lambda, &function);
    body::answer(StatusCode::OK, &Concurrency::of(&function))
}

pub(crate) fn concurrency_get(
    lambda: &Lambda,
    auth: &AuthContext,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = decode(auth, "GetFunctionConcurrency", name)?;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    body::answer(StatusCode::OK, &Concurrency::of(&function))
}

pub(crate) async fn concurrency_delete(
    lambda: &Lambda,
    auth: &AuthContext,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = decode(auth, "DeleteFunctionConcurrency", name)?;
    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    if function.record.reserved_concurrency.is_some() {
        let mut next = Function::clone(&function);
        next.record.reserved_concurrency = None;
        let function = writer.save(next).await?;
        apply(lambda, &function);
    }
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

/// Tells the engine what is set for the function, as far as its versions are ready. Whoever changes a function calls
/// this before letting go of the writer's lock, so that the engine hears of changes in their order.
pub(crate) fn apply(lambda: &Lambda, function: &Function) {
    let wanted = provisioned_versions(&function.record);
    let ready = wanted.into_iter().filter_map(|(number, count)| {
        match function.slots.get(&Version::Published(number)) {
            Some(Slot::Ready(snapshot)) => Some((snapshot.clone(), count)),
            Some(Slot::Failed(_)) | None => None,
        }
    });
    let concurrency = FunctionConcurrency {
        reserved: function.record.reserved_concurrency,
        provisioned: ready.collect(),
    };
    lambda.engine.configure(&function.id, concurrency);
}

/// Concurrency that functions without a reservation share; with `except` as if nothing were set for that function.
pub(crate) fn unreserved(lambda: &Lambda, except: Option<&FunctionId>) -> u32 {
    let functions = lambda.functions.all();
    let others = functions.iter().filter(|function| Some(&function.id) != except);
    let taken: u32 = others.map(|function| taken(&function.record)).fold(0, u32::saturating_add);
    lambda.config.account_concurrency.saturating_sub(taken)
}

/// AWS keeps 100 unreserved, and all of it in accounts that have less.
pub(crate) fn unreserved_min(lambda: &Lambda) -> u32 {
    limits::UNRESERVED_CONCURRENCY_MIN.min(lambda.config.account_concurrency)
}

/// Provisioned concurrency counts towards the reservation, if there is one.
fn taken(record: &FunctionRecord) -> u32 {
    record.reserved_concurrency.unwrap_or_else(|| provisioned_total(record))
}

pub(crate) fn provisioned_total(record: &FunctionRecord) -> u32 {
    record.provisioned.values().map(|config| config.count).fold(0, u32::saturating_add)
}

/// How many environments each version is to have.
fn provisioned_versions(record: &FunctionRecord) -> BTreeMap<u64, u32> {
    let mut versions = BTreeMap::new();
    for (qualifier, config) in &record.provisioned {
        for (number, count) in record.provisioned_parts(qualifier, config.count) {
            *versions.entry(number).or_default() += count;
        }
    }
    versions
}

fn decode(auth: &AuthContext, operation: &'static str, name: &str) -> Result<Target, LambdaError> {
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    v.finish()?;
    resolve(auth, operation, name)
}

/// Reservations are of whole functions.
fn resolve(auth: &AuthContext, operation: &'static str, name: &str) -> Result<Target, LambdaError> {
    let target = target::resolve(auth, operation, name, None)?;
    if target.qualifier.is_some() {
        return Err(LambdaError::invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. \
             Please specify either a function name or an unqualified function ARN.",
        ));
    }
    Ok(target)
}
