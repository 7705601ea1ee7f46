//! Simple Queue Service.

pub(super) mod queue;
pub(super) mod queue_policy;

use nilas_wire::Service;
use serde_json::Value;

use crate::cloudformation::failure::Failure;
use crate::cloudformation::resource::Cx;

async fn call(cx: &Cx, operation: &str, body: Value) -> Result<Value, Failure> {
    Ok(cx.calls.json(Service::Sqs, &cx.auth, operation, body).await?)
}
