//! Key Management Service.

pub(super) mod alias;
pub(super) mod key;

use nilas_wire::Service;
use serde_json::Value;

use crate::cloudformation::failure::Failure;
use crate::cloudformation::resource::Cx;

async fn call(cx: &Cx, operation: &str, body: Value) -> Result<Value, Failure> {
    Ok(cx.calls.json(Service::Kms, &cx.auth, operation, body).await?)
}
