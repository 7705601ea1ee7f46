//! Key Management Service (JSON 1.1): symmetric keys, their aliases, and what is encrypted with them.

mod alias;
mod crypt;
mod fault;
mod key;
mod record;

use std::sync::Arc;

use nilas_model::{AuthContext, Clock};
use nilas_store::Records;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service};
use serde_json::Value;

use crate::json_api::{self, decode};
use crate::seal::Seal;
use crate::shelf::Shelf;

/// The keys of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Kms {
    shelf: Shelf,
    seal: Arc<Seal>,
    clock: Arc<dyn Clock>,
}

/// What an operation gets besides its input.
#[derive(Clone, Copy)]
struct Cx<'a> {
    shelf: &'a Shelf,
    seal: &'a Seal,
    auth: &'a AuthContext,
    now_ms: u64,
}

impl Kms {
    pub(crate) fn new(records: Records, seal: Arc<Seal>, clock: Arc<dyn Clock>) -> Self {
        Self { shelf: Shelf::new(records, "kms"), seal, clock }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let now_ms = self.clock.epoch_ms();
        let cx = Cx { shelf: &self.shelf, seal: &self.seal, auth, now_ms };
        let operation = json_api::operation(Service::Kms, request);
        let result = run(cx, operation, &request.body).await;
        json_api::answer(Service::Kms, request, result)
    }
}

async fn run(cx: Cx<'_>, operation: &str, body: &[u8]) -> Result<Value, Fault> {
    match operation {
        "CreateKey" => key::create(cx, decode(body)?).await,
        "DescribeKey" => key::describe(cx, decode(body)?).await,
        "ListKeys" => key::list(cx).await,
        "EnableKey" => key::enable(cx, decode(body)?, true).await,
        "DisableKey" => key::enable(cx, decode(body)?, false).await,
        "UpdateKeyDescription" => key::update_description(cx, decode(body)?).await,
        "ScheduleKeyDeletion" => key::schedule_deletion(cx, decode(body)?).await,
        "CancelKeyDeletion" => key::cancel_deletion(cx, decode(body)?).await,
        "GetKeyPolicy" => key::policy(cx, decode(body)?).await,
        "PutKeyPolicy" => key::put_policy(cx, decode(body)?).await,
        "TagResource" => key::tag(cx, decode(body)?).await,
        "UntagResource" => key::untag(cx, decode(body)?).await,
        "ListResourceTags" => key::tags(cx, decode(body)?).await,
        "CreateAlias" => alias::create(cx, decode(body)?).await,
        "UpdateAlias" => alias::update(cx, decode(body)?).await,
        "DeleteAlias" => alias::delete(cx, decode(body)?).await,
        "ListAliases" => alias::list(cx, decode(body)?).await,
        "Encrypt" => crypt::encrypt(cx, decode(body)?).await,
        "Decrypt" => crypt::decrypt(cx, decode(body)?).await,
        "GenerateDataKey" => crypt::data_key(cx, decode(body)?, true).await,
        "GenerateDataKeyWithoutPlaintext" => crypt::data_key(cx, decode(body)?, false).await,
        operation => Err(json_api::unknown_operation(Service::Kms, operation)),
    }
}
