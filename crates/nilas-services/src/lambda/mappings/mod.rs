//! Event source mappings: Lambda reads a source and invokes a function with batches of what it finds.
//!
//! A mapping has one keeper, a task that brings it to the state that is wanted and polls while it is enabled. What
//! operations change, they write; the keeper sees it. Sources are queues of SQS.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html>

mod answer;
mod batch;
mod configuration;
mod event;
mod filter;
mod input;
mod keeper;
mod operations;
mod pace;
mod poller;
mod record;
mod run;
mod store;
mod tags;

use std::borrow::Cow;
use std::sync::Arc;

use nilas_model::limits::MAPPING_EVENTS_KIB_MAX;
use nilas_store::Records;
use nilas_wire::percent;
use tokio::sync::{Semaphore, mpsc};

pub(super) use keeper::start;
pub(super) use operations::run;
pub(super) use tags::{Mapping, mapping_of, tags_change, tags_of};

use super::error::LambdaError;
use crate::sqs::Sqs;
use record::MappingId;
use store::MappingStore;

/// A request about event source mappings, parsed as far as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MappingOperation<'a> {
    CreateEventSourceMapping,
    ListEventSourceMappings,
    GetEventSourceMapping { uuid: Cow<'a, str> },
    UpdateEventSourceMapping { uuid: Cow<'a, str> },
    DeleteEventSourceMapping { uuid: Cow<'a, str> },
}

impl<'a> MappingOperation<'a> {
    pub(crate) fn of(method: &str, segments: &[&'a str]) -> Option<Self> {
        let ["2015-03-31", "event-source-mappings", rest @ ..] = segments else { return None };
        match (method, rest) {
            ("POST", []) => Some(Self::CreateEventSourceMapping),
            ("GET", []) => Some(Self::ListEventSourceMappings),
            ("GET", [uuid]) => Some(Self::GetEventSourceMapping { uuid: percent::decode(uuid) }),
            ("PUT", [uuid]) => Some(Self::UpdateEventSourceMapping { uuid: percent::decode(uuid) }),
            ("DELETE", [uuid]) => {
                Some(Self::DeleteEventSourceMapping { uuid: percent::decode(uuid) })
            }
            _ => None,
        }
    }

    /// As IAM policies name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateEventSourceMapping => "CreateEventSourceMapping",
            Self::ListEventSourceMappings => "ListEventSourceMappings",
            Self::GetEventSourceMapping { .. } => "GetEventSourceMapping",
            Self::UpdateEventSourceMapping { .. } => "UpdateEventSourceMapping",
            Self::DeleteEventSourceMapping { .. } => "DeleteEventSourceMapping",
        }
    }
}

/// All mappings of all accounts and regions.
#[derive(Debug)]
pub(super) struct Mappings {
    store: MappingStore,
    sqs: Arc<Sqs>,
    /// Mappings that need a keeper.
    kept: mpsc::UnboundedSender<MappingId>,
    /// KiB of events that are collected or run, of all mappings together.
    bytes: Arc<Semaphore>,
}

/// Mappings that need a keeper; as many as there are mappings, at most.
pub(super) type Starts = mpsc::UnboundedReceiver<MappingId>;

impl Mappings {
    pub(super) async fn load(
        records: Records,
        sqs: Arc<Sqs>,
    ) -> Result<(Self, Starts), LambdaError> {
        let store = MappingStore::load(records).await?;
        let (kept, starts) = mpsc::unbounded_channel();
        for id in store.ids() {
            // The receiver is in the next line but one.
            drop(kept.send(id));
        }
        let bytes = Arc::new(Semaphore::new(MAPPING_EVENTS_KIB_MAX));
        Ok((Self { store, sqs, kept, bytes }, starts))
    }

    fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    fn bytes(&self) -> &Arc<Semaphore> {
        &self.bytes
    }
}
