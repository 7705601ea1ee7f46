//! DeleteFunction: a whole function, or one version of it.

use http::StatusCode;
use nilas_engine::FunctionConcurrency;
use nilas_model::{AuthContext, Qualifier, Version};
use nilas_wire::{ApiRequest, ApiResponse};

use super::error::LambdaError;
use super::functions::Function;
use super::validation::Violations;
use super::{Lambda, concurrency, target};

pub(crate) async fn function_delete(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = target::asked(Violations::default(), auth, "DeleteFunction", request, name)?;
    match &target.qualifier {
        Some(Qualifier::Latest) => {
            return Err(LambdaError::invalid(
                "$LATEST version cannot be deleted without deleting the function.",
            ));
        }
        Some(Qualifier::Alias(_)) => {
            return Err(LambdaError::invalid("Deletion of aliases is not currently supported."));
        }
        Some(Qualifier::Version(_)) | None => {}
    }
    let writer = lambda.functions.write().await;
    // Without the qualifier, even when one was given.
    let not_found = || LambdaError::FunctionNotFound(target.id.arn(None));
    let function = lambda.functions.get(&target.id).ok_or_else(not_found)?;
    let gone: Vec<Version> = match target.qualifier {
        None => {
            writer.delete(&function).await?;
            lambda.engine.configure(&function.id, FunctionConcurrency::default());
            function.versions().map(|(version, _)| version).collect()
        }
        Some(Qualifier::Version(number)) if function.published.contains_key(&number) => {
            check_unreferenced(&function, number)?;
            let mut next = Function::clone(&function);
            next.published.remove(&number);
            next.slots.remove(&Version::Published(number));
            next.record.provisioned.remove(&number.to_string());
            next.record.policies.remove(&number.to_string());
            next.record.event_invokes.remove(&number.to_string());
            let function = writer.save(next).await?;
            concurrency::apply(lambda, &function);
            vec![Version::Published(number)]
        }
        // AWS answers 204 for a version that does not exist, again and again.
        Some(_) => Vec::new(),
    };
    let generation = lambda.functions.next_generation();
    for version in gone {
        lambda.engine.retire(&target.id.key(version), generation);
    }
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

/// An alias never points to nothing.
fn check_unreferenced(function: &Function, number: u64) -> Result<(), LambdaError> {
    let aliases = function.record.aliases.iter().filter(|(_, alias)| alias.names(number));
    let names: Vec<&str> = aliases.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(LambdaError::Conflict(format!(
        "Unable to delete version because the following aliases reference it: [{}]",
        names.join(", ")
    )))
}
