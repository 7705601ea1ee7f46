//! Asynchronous invocation: events that wait in a queue of their function's, and what comes of them.
//!
//! An event is on disk before its Invoke is answered. It is run until it succeeds, its attempts are used up or it is
//! too old; it ends in one commit with what follows from that, so that it ends once, whenever the server dies.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>

mod dispatch;
mod ending;
mod event;
mod look;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use nilas_model::{AccountId, FunctionId, FunctionName, Region, RequestId, limits};
use nilas_store::{NewMessage, Queues, Settle, StoreError};
use nilas_wire::Fault;
use tokio::sync::{Semaphore, mpsc};

pub(super) use event::Event;

use super::call::callee;
use super::target::Target;
use super::{CallError, Lambda, trace};
use crate::deliver::Deliveries;

/// Before the account, region and name of the function that a queue is of.
const EVENTS: &str = "lambda/events/";

/// The queues of events, and who works them off.
#[derive(Debug)]
pub(super) struct Asynchronous {
    queues: Queues,
    /// What ended events leave to be done.
    deliveries: Deliveries,
    /// Queues that somebody works off.
    running: Mutex<HashSet<String>>,
    start: mpsc::UnboundedSender<String>,
    /// Events of all functions that are being run.
    slots: Arc<Semaphore>,
}

/// Queues that are to be worked off; bounded by `running`, which holds each name once.
pub(super) type Starts = mpsc::UnboundedReceiver<String>;

impl Asynchronous {
    pub(super) fn new(queues: Queues, deliveries: Deliveries) -> (Self, Starts) {
        let (start, starts) = mpsc::unbounded_channel();
        let slots = Arc::new(Semaphore::new(limits::ASYNC_EVENTS_RUNNING_MAX));
        (Self { queues, deliveries, running: Mutex::default(), start, slots }, starts)
    }

    /// Keeps an event for `target`. It is on disk when this returns.
    pub(super) async fn accept(
        &self,
        target: &Target,
        event: &Event,
        payload: Bytes,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let queue = queue_of(&target.id);
        self.queues.push(&queue, vec![event.message(payload, now_ms)]).await?;
        self.work_off(queue);
        Ok(())
    }

    /// Somebody works the queue off from now on.
    fn work_off(&self, queue: String) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.insert(queue.clone()) {
            // An error says that the server stops; the queue is on disk.
            drop(self.start.send(queue));
        }
    }

    /// Whether there is nothing left, and nobody works the queue off from now on.
    fn is_done(&self, queue: &str) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever pushes asks for somebody to work it off afterwards, and waits for this lock.
        self.queues.list(queue, None, 1).is_empty() && running.remove(queue)
    }
}

/// Works off what is there, and what comes. Ends with the server.
pub(super) fn start(lambda: &Arc<Lambda>, mut starts: Starts) {
    let weak = Arc::downgrade(lambda);
    for queue in lambda.asynchronous.queues.names(EVENTS) {
        lambda.asynchronous.work_off(queue);
    }
    tokio::spawn(async move {
        while let Some(queue) = starts.recv().await {
            tokio::spawn(dispatch::work_off(Weak::clone(&weak), queue));
        }
    });
}

impl Lambda {
    /// The part of a settlement that keeps an event for `arn`. `events_pushed` is to hear of it when it is on disk.
    pub(crate) fn event_part(
        &self,
        arn: &str,
        payload: Bytes,
        now_ms: u64,
    ) -> Result<Settle, Fault> {
        let target = callee(arn, &payload, limits::ASYNC_PAYLOAD_BYTES_MAX);
        let target = target.map_err(CallError::fault)?;
        let function = self.functions.get(&target.id).ok_or_else(|| target.not_found().fault())?;
        target.version(&function).map_err(|error| error.fault())?;
        let request_id = RequestId::random();
        let trace_id = trace::header(None, request_id, now_ms);
        let event = Event::new(request_id, target.qualifier.as_ref(), trace_id);
        Ok(Settle::Push { queue: queue_of(&target.id), message: event.message(payload, now_ms) })
    }

    /// Something was put into `queue`. If it is one of events, it is worked off from now on.
    pub(crate) fn events_pushed(&self, queue: &str) {
        if queue.starts_with(EVENTS) {
            self.asynchronous.work_off(queue.to_owned());
        }
    }
}

fn queue_of(id: &FunctionId) -> String {
    format!("{EVENTS}{}/{}/{}", id.account.as_str(), id.region.as_str(), id.name.as_str())
}

/// The function whose queue it is.
fn function_of(queue: &str) -> Option<FunctionId> {
    let mut parts = queue.strip_prefix(EVENTS)?.splitn(3, '/');
    Some(FunctionId {
        account: AccountId::parse(parts.next()?).ok()?,
        region: Region::parse(parts.next()?).ok()?,
        name: FunctionName::parse(parts.next()?).ok()?,
    })
}

/// A message that never expires by itself: what becomes of an old one is its owner's to say.
fn message(body: Bytes, note: Bytes, now_ms: u64) -> NewMessage {
    let expires_ms = i64::MAX.cast_unsigned();
    NewMessage { body, note, pushed_ms: now_ms, due_ms: now_ms, expires_ms, group: None }
}

/// An event kept its own; another one only if its note was damaged.
fn request_id_of(text: &str) -> RequestId {
    RequestId::parse(text).unwrap_or_else(RequestId::random)
}
