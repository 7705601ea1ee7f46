//! The door that event source mappings read queues through: ReceiveMessage and DeleteMessageBatch without their requests
//! and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use nilas_store::{Leased, Settle};
use tokio::sync::watch;

use super::error::SqsError;
use super::handle::Handle;
use super::message::{MessageAttribute, Stored, md5_hex, md5_of_attributes};
use super::receive::system_attributes;
use super::{Queue, Sqs};

/// A queue as a mapping sees it, with the attributes that it has now.
#[derive(Debug)]
pub(crate) struct PolledQueue<'a> {
    sqs: &'a Sqs,
    queue: Arc<Queue>,
}

/// The right to delete a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt(Handle);

/// A message that was received.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) receipt: Receipt,
    /// When it becomes visible again, unless it is deleted before.
    pub(crate) visible_ms: u64,
    pub(crate) message_id: String,
    pub(crate) body: String,
    pub(crate) md5_of_body: String,
    /// `ApproximateReceiveCount` and others, in the order that AWS's events have them in.
    pub(crate) system_attributes: Vec<(&'static str, String)>,
    pub(crate) attributes: BTreeMap<String, MessageAttribute>,
    /// None without attributes.
    pub(crate) md5_of_attributes: Option<String>,
}

impl Sqs {
    /// The queue with this ARN, if it is there now.
    pub(crate) fn polled(&self, arn: &str) -> Option<PolledQueue<'_>> {
        self.with_arn(arn).map(|queue| PolledQueue { sqs: self, queue })
    }

    /// Changes whenever a queue is made, changed or deleted. Take it before you look for one.
    pub(crate) fn watch_queues(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Receipt {
    /// As ReceiveMessage would have told it.
    pub(crate) fn handle(self) -> String {
        self.0.encode()
    }
}

impl PolledQueue<'_> {
    /// How long a message stays invisible that was received, seconds.
    pub(crate) fn visibility_s(&self) -> u64 {
        self.queue.number("VisibilityTimeout")
    }

    /// Changes when a message may be there sooner than `next_due_ms` has said. Take it before you poll.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.sqs.store.watch(&self.queue.store_name())
    }

    pub(crate) fn next_due_ms(&self, now_ms: u64) -> Option<u64> {
        self.sqs.store.next_due_ms(&self.queue.store_name(), now_ms)
    }

    /// Receives up to `max` messages, without waiting for any. Moves to the dead-letter queue what was received too often.
    /// None if that failed, which the log tells, or if too many messages are in flight.
    pub(crate) async fn poll(&self, max: usize) -> Option<Vec<Polled>> {
        let visibility_ms = self.visibility_s() * 1_000;
        let received_ms = self.sqs.clock.epoch_ms();
        let received = match self.sqs.take_due(&self.queue, max, visibility_ms).await {
            Ok(received) => received,
            Err(SqsError::OverLimit) => return None,
            Err(error) => {
                tracing::error!(queue = self.queue.name, %error, "a queue cannot be read");
                return None;
            }
        };
        let visible_ms = received_ms + visibility_ms;
        let polled =
            |(leased, stored)| Polled::new(&self.queue, &leased, stored, received_ms, visible_ms);
        Some(received.into_iter().map(polled).collect())
    }

    /// Deletes what nobody else has received since. It is on disk when this returns; errors are logged, and the messages
    /// become visible again.
    pub(crate) async fn delete(&self, receipts: &[Receipt]) {
        if receipts.is_empty() {
            return;
        }
        let name = self.queue.store_name();
        let ack = |receipt: &Receipt| Settle::Ack {
            queue: name.clone(),
            id: receipt.0.id,
            lease: Some(receipt.0.lease),
        };
        let deleted = match self.sqs.store.settle(receipts.iter().map(ack).collect()).await {
            Ok(Some(_)) => Ok(()),
            // One of them has become visible again, or the queue was purged.
            Ok(None) => self.delete_one_by_one(receipts).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = deleted {
            tracing::error!(queue = self.queue.name, %error, "messages cannot be deleted");
        }
    }

    async fn delete_one_by_one(&self, receipts: &[Receipt]) -> Result<(), SqsError> {
        for receipt in receipts {
            self.sqs.end_message(&self.queue, receipt.0).await?;
        }
        Ok(())
    }

    /// Makes messages visible again, at once.
    pub(crate) fn release(&self, receipts: impl Iterator<Item = Receipt>) {
        let (name, now_ms) = (self.queue.store_name(), self.sqs.clock.epoch_ms());
        for Receipt(handle) in receipts {
            // One that somebody else has by now is his.
            self.sqs.store.extend(&name, handle.id, handle.lease, now_ms, now_ms);
        }
    }
}

impl Polled {
    fn new(
        queue: &Queue,
        leased: &Leased,
        stored: Stored,
        received_ms: u64,
        visible_ms: u64,
    ) -> Self {
        let handle =
            Handle { id: leased.id, lease: leased.lease, receives: leased.receives, received_ms };
        let system_attributes = system_attributes(queue, leased, &stored);
        let has_attributes = !stored.attributes.is_empty();
        Self {
            receipt: Receipt(handle),
            visible_ms,
            message_id: stored.id,
            md5_of_body: md5_hex(stored.body.as_bytes()),
            body: stored.body,
            system_attributes,
            md5_of_attributes: has_attributes.then(|| md5_of_attributes(&stored.attributes)),
            attributes: stored.attributes,
        }
    }
}
