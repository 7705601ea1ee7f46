//! Asynchronous invocation: events that wait in a queue of their function's, and what comes of them.
//!
//! An event is on disk before its Invoke is answered. It is run until it succeeds, its attempts are used up or it is
//! too old; it ends in one commit with what follows from that, so that it ends once, whenever the server dies.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>

mod deliveries;
mod dispatch;
mod ending;
mod event;
mod look;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use nilas_model::{AccountId, FunctionId, FunctionName, Region, RequestId, limits};
use nilas_store::{NewMessage, Queues, StoreError};
use tokio::sync::{Semaphore, mpsc};

pub(super) use event::Event;

use super::Lambda;
use super::target::Target;
use crate::calls::Calls;

/// Before the account, region and name of the function that a queue is of.
const EVENTS: &str = "lambda/events/";
/// What ended events leave to be done.
const DELIVERIES: &str = "lambda/deliveries";

/// The queues of events, and who works them off.
#[derive(Debug)]
pub(super) struct Asynchronous {
    queues: Queues,
    calls: Calls,
    /// Queues that somebody works off.
    running: Mutex<HashSet<String>>,
    start: mpsc::UnboundedSender<String>,
    /// Events of all functions that are being run.
    slots: Arc<Semaphore>,
}

/// Queues that are to be worked off; bounded by `running`, which holds each name once.
pub(super) type Starts = mpsc::UnboundedReceiver<String>;

impl Asynchronous {
    pub(super) fn new(queues: Queues, calls: Calls) -> (Self, Starts) {
        let (start, starts) = mpsc::unbounded_channel();
        let slots = Arc::new(Semaphore::new(limits::ASYNC_EVENTS_RUNNING_MAX));
        (Self { queues, calls, running: Mutex::default(), start, slots }, starts)
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
    tokio::spawn(deliveries::work_off(Weak::clone(&weak)));
    for queue in lambda.asynchronous.queues.names(EVENTS) {
        lambda.asynchronous.work_off(queue);
    }
    tokio::spawn(async move {
        while let Some(queue) = starts.recv().await {
            tokio::spawn(dispatch::work_off(Weak::clone(&weak), queue));
        }
    });
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

/// The wait after `failures` in a row: it doubles from the first to the last.
fn backoff_ms(failures: u32) -> u64 {
    const FIRST_MS: u64 = 1_000;
    const LAST_MS: u64 = 300_000;
    FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LAST_MS)
}

/// An event kept its own; another one only if its note was damaged.
fn request_id_of(text: &str) -> RequestId {
    RequestId::parse(text).unwrap_or_else(RequestId::random)
}
