//! Invocations on behalf of other services: the path of Invoke without its request and its answer.

use bytes::Bytes;
use nilas_engine::Invocation;
use nilas_model::{FunctionId, FunctionRef, Outcome, RequestId, limits};
use nilas_wire::Fault;

use super::error::LambdaError;
use super::invoke::{keep, run};
use super::target::Target;
use super::{Lambda, trace};

/// Why a function was not invoked. What goes wrong inside it is an [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Not the ARN of a function, a version or an alias.
    #[error("'{0}' is not the ARN of a function")]
    Arn(String),
    #[error("no function {0}")]
    NotFound(String),
    #[error("too many invocations at once")]
    Throttled,
    #[error("the payload is of {bytes} bytes, more than {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// As Invoke would have answered.
    #[error("{}", .0.message.as_deref().unwrap_or(&.0.code))]
    Refused(Box<Fault>),
}

impl Lambda {
    /// Invokes `arn`, a function, version or alias, and waits for what comes of it. `payload` must be JSON; it is not
    /// looked at. `trace_id` is a caller's `X-Amzn-Trace-Id`. The ARN's region and account are taken as they are.
    pub(crate) async fn call(
        &self,
        arn: &str,
        payload: Bytes,
        trace_id: Option<&str>,
    ) -> Result<Outcome, CallError> {
        let target = callee(arn, &payload, limits::SYNC_PAYLOAD_BYTES_MAX)?;
        let invocation = invocation_for(self, &target, payload, trace_id);
        let (_, outcome) = run(self, &target, invocation).await?;
        Ok(outcome)
    }

    /// Keeps an event for `arn`, which is run later; the same else. It is on disk when this returns.
    pub(crate) async fn call_later(
        &self,
        arn: &str,
        payload: Bytes,
        trace_id: Option<&str>,
    ) -> Result<(), CallError> {
        let target = callee(arn, &payload, limits::ASYNC_PAYLOAD_BYTES_MAX)?;
        let request_id = RequestId::random();
        let trace_id = trace::header(trace_id, request_id, self.clock.epoch_ms());
        Ok(keep(self, &target, request_id, trace_id, payload).await?)
    }
}

/// Whom a call is of, if its payload is not too large.
pub(super) fn callee(arn: &str, payload: &Bytes, bytes_max: usize) -> Result<Target, CallError> {
    if payload.len() > bytes_max {
        return Err(CallError::TooLarge { bytes: payload.len(), bytes_max });
    }
    target_of(arn).ok_or_else(|| CallError::Arn(arn.to_owned()))
}

/// A call of `target` as nobody's request.
pub(super) fn invocation_for(
    lambda: &Lambda,
    target: &Target,
    payload: Bytes,
    trace_id: Option<&str>,
) -> Invocation {
    let request_id = RequestId::random();
    Invocation {
        request_id,
        payload,
        invoked_arn: target.arn().to_string(),
        client_context: None,
        cognito_identity: None,
        trace_id: Some(trace::header(trace_id, request_id, lambda.clock.epoch_ms())),
        want_log_tail: false,
        sink: None,
    }
}

pub(super) fn target_of(arn: &str) -> Option<Target> {
    let FunctionRef { region, account, name, qualifier, .. } = FunctionRef::parse(arn).ok()?;
    let id = FunctionId { account: account?, region: region?, name };
    Some(Target { id, qualifier })
}

impl CallError {
    /// As Invoke would have answered.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Arn(_) | Self::TooLarge { .. } => LambdaError::invalid(self.to_string()).fault(),
            Self::NotFound(_) => Fault::plain("ResourceNotFoundException", 404, self.to_string()),
            Self::Throttled => Fault::plain("TooManyRequestsException", 429, self.to_string()),
            Self::Refused(fault) => *fault,
        }
    }
}

impl From<LambdaError> for CallError {
    fn from(error: LambdaError) -> Self {
        match error {
            LambdaError::FunctionNotFound(arn) => Self::NotFound(arn.to_string()),
            LambdaError::Throttled(_) => Self::Throttled,
            other => Self::Refused(Box::new(other.fault())),
        }
    }
}
