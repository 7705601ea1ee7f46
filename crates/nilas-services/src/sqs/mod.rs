//! Simple Queue Service (JSON 1.0): standard and FIFO queues. Messages are the store's; this says what they mean.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html>

mod attributes;
mod error;
mod handle;
mod message;
mod poll;
mod queues;
mod receive;
mod send;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nilas_model::limits::SQS_QUEUES_MAX;
use nilas_model::{AuthContext, Clock};
use nilas_store::{Queues, Store};
use nilas_wire::{ApiRequest, ApiResponse, Service};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::json_api::{self, decode};
use crate::services::ServicesStartError;
use crate::shelf::Shelf;
use error::SqsError;
pub(crate) use message::MessageAttribute;
pub(crate) use poll::{Polled, PolledQueue, Receipt};
pub(crate) use send::Letter;

/// The queues of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Sqs {
    shelf: Shelf,
    store: Queues,
    clock: Arc<dyn Clock>,
    /// As on the shelf, by key.
    queues: RwLock<BTreeMap<String, Arc<Queue>>>,
    /// Counts their changes.
    changes: watch::Sender<u64>,
    /// What FIFO queues have taken in the last minutes, by the queue's key.
    taken: Mutex<HashMap<String, Arc<tokio::sync::Mutex<send::Taken>>>>,
}

/// A queue. Attributes that nobody set are not here.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Queue {
    name: String,
    account: String,
    region: String,
    attributes: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    created_ms: u64,
    modified_ms: u64,
}

impl Queue {
    fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    fn key(&self) -> String {
        format!("{}/{}/{}", self.account, self.region, self.name)
    }

    /// Where its messages are.
    fn store_name(&self) -> String {
        format!("sqs/{}", self.key())
    }

    fn arn(&self) -> String {
        format!("arn:aws:sqs:{}:{}:{}", self.region, self.account, self.name)
    }

    /// `http://sqs.REGION.localhost:PORT/ACCOUNT/NAME`, on the port where the caller reached us.
    fn url(&self, request: &ApiRequest) -> String {
        let port = request.local.port();
        format!("http://sqs.{}.localhost:{port}/{}/{}", self.region, self.account, self.name)
    }
}

impl Sqs {
    pub(crate) async fn load(
        store: &Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServicesStartError> {
        let shelf = Shelf::new(store.records(), "sqs");
        let known = shelf.list::<Queue>("", SQS_QUEUES_MAX).await;
        let known = known.map_err(|_| ServicesStartError::Sqs)?;
        let queues = known.into_iter().map(|(key, queue)| (key, Arc::new(queue))).collect();
        let store = store.queues();
        Ok(Self {
            shelf,
            store,
            clock,
            queues: RwLock::new(queues),
            changes: watch::Sender::new(0),
            taken: Mutex::default(),
        })
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let operation = json_api::operation(Service::Sqs, request);
        match self.run(auth, operation, request).await {
            Ok(answer) => json_api::answer(Service::Sqs, request, Ok(answer)),
            Err(error) => {
                let old_code = error.query_code();
                let mut response = json_api::answer(Service::Sqs, request, Err(error.fault()));
                // Clients show the code that the query protocol had.
                response.set_header("x-amzn-query-error", &format!("{old_code};Sender"));
                response
            }
        }
    }

    async fn run(
        &self,
        auth: &AuthContext,
        operation: &str,
        request: &ApiRequest,
    ) -> Result<Value, SqsError> {
        let body = &request.body;
        match operation {
            "CreateQueue" => self.create(auth, request, decode(body)?).await,
            "DeleteQueue" => self.delete(auth, decode(body)?).await,
            "GetQueueUrl" => self.url_of(auth, request, &decode(body)?),
            "ListQueues" => self.list(auth, request, &decode(body)?),
            "GetQueueAttributes" => self.get_attributes(auth, &decode(body)?),
            "SetQueueAttributes" => self.set_attributes(auth, decode(body)?).await,
            "PurgeQueue" => self.purge(auth, decode(body)?).await,
            "TagQueue" => self.tag(auth, decode(body)?).await,
            "UntagQueue" => self.untag(auth, decode(body)?).await,
            "ListQueueTags" => self.list_tags(auth, &decode(body)?),
            "ListDeadLetterSourceQueues" => self.list_sources(auth, request, &decode(body)?),
            "SendMessage" => self.send(auth, decode(body)?).await,
            "SendMessageBatch" => self.send_batch(auth, decode(body)?).await,
            "ReceiveMessage" => self.receive(auth, decode(body)?).await,
            "DeleteMessage" => self.delete_message(auth, decode(body)?).await,
            "DeleteMessageBatch" => self.delete_batch(auth, decode(body)?).await,
            "ChangeMessageVisibility" => self.change_visibility(auth, &decode(body)?),
            "ChangeMessageVisibilityBatch" => self.change_batch(auth, decode(body)?),
            "" => Err(SqsError::QueryProtocol),
            operation => Err(json_api::unknown_operation(Service::Sqs, operation).into()),
        }
    }

    /// The queue that a URL of any host names.
    fn find(&self, auth: &AuthContext, url: Option<&str>) -> Result<Arc<Queue>, SqsError> {
        let url = url.ok_or(SqsError::Missing("QueueUrl"))?;
        let path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let mut parts = path.trim_end_matches('/').rsplit('/');
        let name = parts.next().unwrap_or_default();
        self.named(auth, name).ok_or(SqsError::NoQueue)
    }

    fn named(&self, auth: &AuthContext, name: &str) -> Option<Arc<Queue>> {
        let key = format!("{}{name}", json_api::scope(auth));
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// The queue with this ARN, in any region.
    fn with_arn(&self, arn: &str) -> Option<Arc<Queue>> {
        let mut parts = arn.strip_prefix("arn:aws:sqs:")?.splitn(3, ':');
        let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        let key = format!("{account}/{region}/{name}");
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    fn of(&self, auth: &AuthContext) -> Vec<Arc<Queue>> {
        let scope = json_api::scope(auth);
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let ours = queues.range(scope.clone()..).take_while(|(key, _)| key.starts_with(&scope));
        ours.map(|(_, queue)| Arc::clone(queue)).collect()
    }
}
