//! ReceiveMessage, and what may be done with what was received: delete it, hide it longer, show it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use nilas_model::AuthContext;
use nilas_model::limits::{SQS_IN_FLIGHT_MAX, SQS_RECEIVE_MAX};
use nilas_store::{Leased, Settle};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::attributes::Redrive;
use super::error::SqsError;
use super::handle::Handle;
use super::message::{Stored, md5_hex, md5_of_attributes};
use super::send::{BatchAnswer, check_ids, new_message, sequence_number};
use super::{Queue, Sqs};
use crate::wait;

/// From its receipt on, a message is invisible for so long at most.
const INVISIBLE_S_MAX: u64 = 43_200;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    queue_url: Option<String>,
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct One {
    queue_url: Option<String>,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Batch {
    queue_url: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

impl Sqs {
    pub(super) async fn receive(
        &self,
        auth: &AuthContext,
        input: Input,
    ) -> Result<Value, SqsError> {
        let queue = self.find(auth, input.queue_url.as_deref())?;
        let most = SQS_RECEIVE_MAX as u64;
        let max = number("MaxNumberOfMessages", input.max_number_of_messages, 1, most, 1)?;
        let visibility = queue.number("VisibilityTimeout");
        let visibility_s = input.visibility_timeout;
        let visibility_s =
            number("VisibilityTimeout", visibility_s, 0, INVISIBLE_S_MAX, visibility)?;
        let wait = queue.number("ReceiveMessageWaitTimeSeconds");
        let wait_s = number("WaitTimeSeconds", input.wait_time_seconds, 0, 20, wait)?;
        let until_ms = self.clock.epoch_ms() + wait_s * 1_000;
        let name = queue.store_name();
        let received = loop {
            let mut watch = self.store.watch(&name);
            let received = self.take_due(&queue, max as usize, visibility_s * 1_000).await?;
            let now_ms = self.clock.epoch_ms();
            if !received.is_empty() || now_ms >= until_ms {
                break received;
            }
            let next_ms = self.store.next_due_ms(&name, now_ms).unwrap_or(until_ms);
            // Due, but out of reach: its group is busy.
            let next_ms = next_ms.max(now_ms + 1).min(until_ms);
            tokio::select! {
                () = wait::until(self.clock.as_ref(), next_ms) => {}
                _ = watch.changed() => {}
            }
            // A queue may be deleted under who waits at it.
            self.find(auth, input.queue_url.as_deref())?;
        };
        let now_ms = self.clock.epoch_ms();
        let show = |(leased, stored): &(Leased, Stored)| input.show(&queue, leased, stored, now_ms);
        let messages: Vec<Value> = received.iter().map(show).collect();
        Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
    }

    /// Takes what is due, moving what was received too often to the dead-letter queue.
    pub(super) async fn take_due(
        &self,
        queue: &Arc<Queue>,
        max: usize,
        visibility_ms: u64,
    ) -> Result<Vec<(Leased, Stored)>, SqsError> {
        let name = queue.store_name();
        let redrive = queue.redrive();
        let mut received = Vec::new();
        loop {
            let now_ms = self.clock.epoch_ms();
            self.store.expire(&name, now_ms).await?;
            if self.store.leased(&name) >= SQS_IN_FLIGHT_MAX {
                return if queue.is_fifo() { Ok(received) } else { Err(SqsError::OverLimit) };
            }
            // For no time at all would be no lease.
            let until_ms = now_ms + visibility_ms.max(1);
            let leased = self.store.lease(&name, max, now_ms, until_ms).await?;
            if leased.is_empty() {
                return Ok(received);
            }
            for one in leased {
                let Ok(stored) = serde_json::from_slice::<Stored>(&one.body) else {
                    tracing::error!(queue = queue.name, "a message cannot be read");
                    continue;
                };
                match redrive.as_ref().filter(|redrive| one.receives > redrive.receives_max) {
                    Some(redrive) => self.bury(queue, redrive, &one, stored).await?,
                    None => received.push((one, stored)),
                }
            }
            // With less than asked for, too: a message that is visible again at once must not come twice. Only if all
            // were buried there is more to look for.
            if !received.is_empty() {
                return Ok(received);
            }
        }
    }

    /// Moves a message to its dead-letter queue, in one commit.
    async fn bury(
        &self,
        queue: &Queue,
        redrive: &Redrive,
        leased: &Leased,
        mut stored: Stored,
    ) -> Result<(), SqsError> {
        let Some(target) = self.with_arn(&redrive.target_arn) else {
            // The queue it should go to is gone: it stays, as on AWS.
            return Ok(());
        };
        stored.source_arn = Some(queue.arn());
        let mut message = new_message(&target, &stored, self.clock.epoch_ms());
        if queue.is_fifo() {
            // The retention begins anew there.
            message.expires_ms =
                self.clock.epoch_ms() + target.number("MessageRetentionPeriod") * 1_000;
        }
        let parts = vec![
            Settle::Ack { queue: queue.store_name(), id: leased.id, lease: Some(leased.lease) },
            Settle::Push { queue: target.store_name(), message },
        ];
        self.store.settle(parts).await?;
        Ok(())
    }

    pub(super) async fn delete_message(
        &self,
        auth: &AuthContext,
        one: One,
    ) -> Result<Value, SqsError> {
        let queue = self.find(auth, one.queue_url.as_deref())?;
        self.end(&queue, &one.entry).await?;
        Ok(json!({}))
    }

    pub(super) async fn delete_batch(
        &self,
        auth: &AuthContext,
        batch: Batch,
    ) -> Result<Value, SqsError> {
        let queue = self.find(auth, batch.queue_url.as_deref())?;
        let ids = check_ids("DeleteMessageBatchRequestEntry", batch.ids())?;
        let mut answer = BatchAnswer::default();
        for (id, entry) in ids.into_iter().zip(&batch.entries) {
            answer.add(id, self.end(&queue, entry).await.map(|()| json!({})));
        }
        Ok(answer.into_json())
    }

    async fn end(&self, queue: &Queue, entry: &Entry) -> Result<(), SqsError> {
        let handle = entry.handle()?;
        if self.end_message(queue, handle).await? {
            return Ok(());
        }
        let handle = entry.receipt_handle.clone().unwrap_or_default();
        Err(SqsError::InvalidParameter(format!(
            "Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
        )))
    }

    /// Ends a message, unless somebody else has received it since. Of one that is gone already nothing is said. Answers
    /// false where a FIFO queue's message is visible again: then its receipt has expired.
    pub(super) async fn end_message(
        &self,
        queue: &Queue,
        handle: Handle,
    ) -> Result<bool, SqsError> {
        let name = queue.store_name();
        let ack = |lease| Settle::Ack { queue: name.clone(), id: handle.id, lease };
        if self.store.settle(vec![ack(Some(handle.lease))]).await?.is_some() {
            return Ok(true);
        }
        let before = handle.id.0.checked_sub(1).map(nilas_store::MessageId);
        let waiting = self.store.list(&name, before, 1).into_iter().next();
        let waiting = waiting.filter(|one| one.id == handle.id);
        let is_last = waiting.is_some_and(|one| !one.leased && one.receives == handle.receives);
        if is_last && queue.is_fifo() {
            return Ok(false);
        }
        if is_last {
            self.store.settle(vec![ack(None)]).await?;
        }
        Ok(true)
    }

    pub(super) fn change_visibility(
        &self,
        auth: &AuthContext,
        one: &One,
    ) -> Result<Value, SqsError> {
        let queue = self.find(auth, one.queue_url.as_deref())?;
        self.hide(&queue, &one.entry)?;
        Ok(json!({}))
    }

    pub(super) fn change_batch(&self, auth: &AuthContext, batch: Batch) -> Result<Value, SqsError> {
        let queue = self.find(auth, batch.queue_url.as_deref())?;
        let ids = check_ids("ChangeMessageVisibilityBatchRequestEntry", batch.ids())?;
        let mut answer = BatchAnswer::default();
        for (id, entry) in ids.into_iter().zip(&batch.entries) {
            answer.add(id, self.hide(&queue, entry).map(|()| json!({})));
        }
        Ok(answer.into_json())
    }

    fn hide(&self, queue: &Queue, entry: &Entry) -> Result<(), SqsError> {
        let handle = entry.handle()?;
        let given = entry.visibility_timeout;
        if given.is_none() {
            return Err(SqsError::Missing("VisibilityTimeout"));
        }
        let visibility_s = number("VisibilityTimeout", given, 0, INVISIBLE_S_MAX, 0)?;
        let now_ms = self.clock.epoch_ms();
        let until_ms = now_ms + visibility_s * 1_000;
        if until_ms > handle.received_ms + INVISIBLE_S_MAX * 1_000 {
            return Err(SqsError::InvalidParameter(format!(
                "Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for \
                 the message is beyond the limit [{INVISIBLE_S_MAX} seconds]."
            )));
        }
        if self.store.extend(&queue.store_name(), handle.id, handle.lease, now_ms, until_ms) {
            return Ok(());
        }
        Err(SqsError::NotInFlight(entry.receipt_handle.clone().unwrap_or_default()))
    }
}

impl Entry {
    fn handle(&self) -> Result<Handle, SqsError> {
        let text = self.receipt_handle.as_deref().ok_or(SqsError::Missing("ReceiptHandle"))?;
        Handle::decode(text).ok_or_else(|| SqsError::Handle(text.to_owned()))
    }
}

impl Batch {
    fn ids(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.id.clone().unwrap_or_default()).collect()
    }
}

impl Input {
    fn show(&self, queue: &Queue, leased: &Leased, stored: &Stored, received_ms: u64) -> Value {
        let handle =
            Handle { id: leased.id, lease: leased.lease, receives: leased.receives, received_ms };
        let mut shown = Map::new();
        shown.insert("MessageId".to_owned(), stored.id.clone().into());
        shown.insert("ReceiptHandle".to_owned(), handle.encode().into());
        shown.insert("MD5OfBody".to_owned(), md5_hex(stored.body.as_bytes()).into());
        shown.insert("Body".to_owned(), stored.body.clone().into());
        let system = self.system_attributes(queue, leased, stored);
        if !system.is_empty() {
            shown.insert("Attributes".to_owned(), json!(system));
        }
        let wants = |name: &str| {
            self.message_attribute_names.iter().any(|wanted| match wanted.as_str() {
                "All" | ".*" => true,
                wanted => wanted
                    .strip_suffix(".*")
                    .map_or(wanted == name, |prefix| name.starts_with(prefix)),
            })
        };
        let attributes: BTreeMap<_, _> = stored
            .attributes
            .iter()
            .filter(|(name, _)| wants(name))
            .map(|(name, attribute)| (name.clone(), attribute.clone()))
            .collect();
        if !attributes.is_empty() {
            let digest = md5_of_attributes(&attributes);
            shown.insert("MD5OfMessageAttributes".to_owned(), digest.into());
            shown.insert("MessageAttributes".to_owned(), json!(attributes));
        }
        shown.into()
    }

    fn system_attributes(
        &self,
        queue: &Queue,
        leased: &Leased,
        stored: &Stored,
    ) -> BTreeMap<&'static str, String> {
        let mut known: BTreeMap<&'static str, String> =
            system_attributes(queue, leased, stored).into_iter().collect();
        let wants = |name: &str| {
            let mut names = self.attribute_names.iter().chain(&self.message_system_attribute_names);
            names.any(|wanted| wanted == "All" || wanted == name)
        };
        known.retain(|name, _| wants(name));
        known
    }
}

/// All of a received message's system attributes, in the order that AWS's events have them in.
pub(super) fn system_attributes(
    queue: &Queue,
    leased: &Leased,
    stored: &Stored,
) -> Vec<(&'static str, String)> {
    let sequence_number = queue.is_fifo().then(|| sequence_number(leased.id));
    let known = [
        ("ApproximateReceiveCount", Some(leased.receives.to_string())),
        ("AWSTraceHeader", stored.trace_header.clone()),
        ("SentTimestamp", Some(stored.sent_ms.to_string())),
        ("SequenceNumber", sequence_number),
        ("MessageGroupId", stored.group.clone()),
        ("SenderId", Some(stored.sender.clone())),
        ("MessageDeduplicationId", stored.deduplication_id.clone()),
        ("ApproximateFirstReceiveTimestamp", Some(leased.first_leased_ms.to_string())),
        ("DeadLetterQueueSourceArn", stored.source_arn.clone()),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A number within its limits, or the default.
fn number(
    name: &str,
    given: Option<i64>,
    least: u64,
    most: u64,
    default: u64,
) -> Result<u64, SqsError> {
    let Some(given) = given else { return Ok(default) };
    let number = u64::try_from(given).ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        SqsError::InvalidParameter(format!(
            "Value {given} for parameter {name} is invalid. Reason: Must be between {least} and {most}, if provided."
        ))
    })
}
