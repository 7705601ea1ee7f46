//! The function behind a route or an authorizer.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::exchange::Exchange;
use crate::lambda::{CallError, Lambda};

/// AWS's limit of an authorizer.
pub(super) const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Function<'a> {
    pub(super) arn: &'a str,
    /// Whom the function's policy must allow; none if a role is given to invoke with.
    pub(super) source: Option<&'a str>,
    pub(super) timeout: Duration,
}

/// Why there is no payload.
pub(super) enum NoAnswer {
    /// Too slow, or throttled: what AWS calls unavailable.
    Unavailable,
    Failed,
}

/// Invokes a function and waits for its payload as long as the API does; the function itself runs on.
pub(super) async fn function(
    lambda: &Lambda,
    exchange: &Exchange,
    function: &Function<'_>,
    payload: Bytes,
) -> Result<Bytes, NoAnswer> {
    let arn = with_variables(function.arn, &exchange.variables);
    if let Some(source) = function.source
        && !lambda.service_may_invoke("apigateway.amazonaws.com", source, &arn)
    {
        tracing::debug!(function = %arn, api = exchange.api.id, "the function's policy does not allow the API");
        return Err(NoAnswer::Failed);
    }
    let called = Box::pin(lambda.call(&arn, payload, exchange.trace()));
    match tokio::time::timeout(function.timeout, called).await {
        Ok(Ok(outcome)) if outcome.error.is_none() => Ok(outcome.payload),
        Ok(Ok(_)) => Err(NoAnswer::Failed),
        Err(_) | Ok(Err(CallError::Throttled)) => Err(NoAnswer::Unavailable),
        Ok(Err(error)) => {
            tracing::debug!(function = %arn, %error, "the function was not invoked");
            Err(NoAnswer::Failed)
        }
    }
}

/// `${stageVariables.NAME}` replaced.
pub(super) fn with_variables<'a>(arn: &'a str, variables: &[(String, String)]) -> Cow<'a, str> {
    if !arn.contains("${") {
        return arn.into();
    }
    let mut arn = arn.to_owned();
    for (name, value) in variables {
        arn = arn.replace(&format!("${{stageVariables.{name}}}"), value);
    }
    arn.into()
}
