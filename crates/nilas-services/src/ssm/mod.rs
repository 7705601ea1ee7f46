//! Systems Manager (JSON 1.1): Parameter Store.

mod delete;
mod fault;
mod filter;
mod name;
mod put;
mod read;
mod record;
mod tags;

use std::sync::Arc;

use nilas_model::{AuthContext, Clock};
use nilas_store::Records;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service};
use serde_json::Value;

use crate::json_api::{self, decode};
use crate::seal::Seal;
use crate::shelf::Shelf;

/// The parameters of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Ssm {
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

impl Ssm {
    pub(crate) fn new(records: Records, seal: Arc<Seal>, clock: Arc<dyn Clock>) -> Self {
        Self { shelf: Shelf::new(records, "ssm"), seal, clock }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let now_ms = self.clock.epoch_ms();
        let cx = Cx { shelf: &self.shelf, seal: &self.seal, auth, now_ms };
        let operation = json_api::operation(Service::Ssm, request);
        let result = run(cx, operation, &request.body).await;
        json_api::answer(Service::Ssm, request, result)
    }
}

async fn run(cx: Cx<'_>, operation: &str, body: &[u8]) -> Result<Value, Fault> {
    match operation {
        "PutParameter" => put::put(cx, decode(body)?).await,
        "LabelParameterVersion" => put::label(cx, decode(body)?).await,
        "GetParameter" => read::get(cx, decode(body)?).await,
        "GetParameters" => read::get_several(cx, decode(body)?).await,
        "GetParametersByPath" => read::by_path(cx, decode(body)?).await,
        "GetParameterHistory" => read::history(cx, decode(body)?).await,
        "DescribeParameters" => read::describe(cx, decode(body)?).await,
        "DeleteParameter" => delete::one(cx, decode(body)?).await,
        "DeleteParameters" => delete::several(cx, decode(body)?).await,
        "AddTagsToResource" => tags::add(cx, decode(body)?).await,
        "RemoveTagsFromResource" => tags::remove(cx, decode(body)?).await,
        "ListTagsForResource" => tags::list(cx, decode(body)?).await,
        operation => Err(json_api::unknown_operation(Service::Ssm, operation)),
    }
}
