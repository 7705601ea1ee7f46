//! FIFO topics: each message once in five minutes, and a number that grows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use nilas_store::{NewMessage, Settle, StoreError};
use nilas_wire::Fault;

use super::message::Message;
use super::{Sns, Topic};

/// How long a topic takes no message twice, milliseconds.
const DEDUPLICATION_MS: u64 = 300_000;
/// AWS's numbers have twenty digits.
const SEQUENCE_FIRST: u128 = 10_000_000_000_000_000_000;
/// Numbers for each millisecond.
const SEQUENCE_PER_MS: u64 = 1_000;

/// What a topic has taken in the last minutes: by deduplication id, the message's id and number, and until when.
#[derive(Debug, Default)]
pub(super) struct Taken {
    is_loaded: bool,
    ids: HashMap<String, (String, u64, u64)>,
    last: u64,
}

impl Sns {
    /// Has a FIFO topic take `message`, with its number, and puts its deliveries down; answers id and number, which are
    /// those of its first coming if it came before.
    pub(super) async fn take(
        &self,
        topic: &Topic,
        mut message: Message,
    ) -> Result<(String, Option<String>), Fault> {
        let memory = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(taken.entry(topic.arn.clone()).or_default())
        };
        // Held over the commit: two that are the same do not both get in, and all are put down in their order.
        let mut taken = memory.lock().await;
        let now_ms = self.clock.epoch_ms();
        let marks = marks_of(topic);
        self.queues.expire(&marks, now_ms).await.map_err(|error| failed(&error))?;
        if !taken.is_loaded {
            for mark in self.queues.list(&marks, None, usize::MAX) {
                if let Ok((key, id, number, until_ms)) =
                    serde_json::from_slice::<(String, String, u64, u64)>(&mark.note)
                {
                    taken.last = taken.last.max(number);
                    taken.ids.insert(key, (id, number, until_ms));
                }
            }
            taken.is_loaded = true;
        }
        taken.ids.retain(|_, (_, _, until_ms)| *until_ms > now_ms);
        let scope = topic.attributes.get("FifoThroughputScope");
        let key = match scope.is_some_and(|scope| scope == "MessageGroup") {
            true => format!("{:?} {:?}", message.group, message.deduplication_id),
            false => message.deduplication_id.clone().unwrap_or_default(),
        };
        if let Some((id, number, _)) = taken.ids.get(&key) {
            return Ok((id.clone(), Some(sequence_number(*number))));
        }
        let number = (taken.last + 1).max(now_ms.saturating_mul(SEQUENCE_PER_MS));
        let until_ms = now_ms + DEDUPLICATION_MS;
        message.sequence_number = Some(sequence_number(number));
        let deliveries = self.deliveries_of(topic, &message).await?;
        let mut parts: Vec<Settle> =
            deliveries.iter().map(|one| self.deliveries.part(one)).collect();
        let note = serde_json::to_vec(&(&key, &message.id, number, until_ms)).unwrap_or_default();
        let mark = NewMessage {
            body: Bytes::new(),
            note: note.into(),
            pushed_ms: now_ms,
            due_ms: until_ms,
            expires_ms: until_ms,
            group: None,
        };
        parts.push(Settle::Push { queue: marks, message: mark });
        self.queues.settle(parts).await.map_err(|error| failed(&error))?;
        taken.last = number;
        taken.ids.insert(key, (message.id.clone(), number, until_ms));
        Ok((message.id, message.sequence_number))
    }

    /// Of a topic that is gone.
    pub(super) async fn forget_taken(&self, topic: &Topic) -> Result<(), Fault> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&topic.arn);
        self.queues.purge(&marks_of(topic)).await.map(drop).map_err(|error| failed(&error))
    }
}

/// Where the store keeps what a topic has taken.
fn marks_of(topic: &Topic) -> String {
    format!("sns-taken/{}", topic.arn)
}

fn sequence_number(number: u64) -> String {
    format!("{:020}", SEQUENCE_FIRST + u128::from(number))
}

pub(super) fn failed(error: &StoreError) -> Fault {
    tracing::error!(error = error as &dyn std::error::Error, "a message cannot be written");
    Fault::service("InternalFailure", 500, "The service failed to answer; its log says why.")
}
