//! Secrets Manager (JSON 1.1): secrets, their versions and staging labels.

mod delete;
mod fault;
mod list;
mod password;
mod read;
mod record;
mod stage;
mod tags;
mod write;

use std::sync::Arc;

use nilas_model::{AuthContext, Clock};
use nilas_store::Records;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service};
use serde_json::Value;

use crate::json_api::{self, decode};
use crate::seal::Seal;
use crate::shelf::Shelf;

/// The secrets of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Secrets {
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

impl Secrets {
    pub(crate) fn new(records: Records, seal: Arc<Seal>, clock: Arc<dyn Clock>) -> Self {
        Self { shelf: Shelf::new(records, "secretsmanager"), seal, clock }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let now_ms = self.clock.epoch_ms();
        let cx = Cx { shelf: &self.shelf, seal: &self.seal, auth, now_ms };
        let operation = json_api::operation(Service::SecretsManager, request);
        let result = run(cx, operation, &request.body).await;
        json_api::answer(Service::SecretsManager, request, result)
    }
}

async fn run(cx: Cx<'_>, operation: &str, body: &[u8]) -> Result<Value, Fault> {
    match operation {
        "CreateSecret" => write::create(cx, decode(body)?).await,
        "PutSecretValue" => write::put_value(cx, decode(body)?).await,
        "UpdateSecret" => write::update(cx, decode(body)?).await,
        "UpdateSecretVersionStage" => stage::update(cx, decode(body)?).await,
        "GetSecretValue" => read::value(cx, decode(body)?).await,
        "DescribeSecret" => read::describe(cx, decode(body)?).await,
        "ListSecretVersionIds" => read::version_ids(cx, decode(body)?).await,
        "ListSecrets" => list::secrets(cx, decode(body)?).await,
        "DeleteSecret" => delete::delete(cx, decode(body)?).await,
        "RestoreSecret" => delete::restore(cx, decode(body)?).await,
        "TagResource" => tags::tag(cx, decode(body)?).await,
        "UntagResource" => tags::untag(cx, decode(body)?).await,
        "GetRandomPassword" => password::random(&decode(body)?),
        operation => Err(json_api::unknown_operation(Service::SecretsManager, operation)),
    }
}
