//! SendMessage and SendMessageBatch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use nilas_model::AuthContext;
use nilas_model::limits::{SQS_BATCH_ENTRIES_MAX, SQS_MESSAGE_BYTES_MAX};
use nilas_store::{MessageId, NewMessage, Settle};
use nilas_wire::Fault;
use nilas_wire::sigv4::hex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::error::SqsError;
use super::message::{
    MessageAttribute, Stored, check_attributes, check_characters, md5_hex, md5_of_attributes,
};
use super::{Queue, Sqs};
use crate::sts;

/// How long a FIFO queue takes no message twice, milliseconds.
const DEDUPLICATION_MS: u64 = 300_000;

/// AWS's numbers are about as large.
const SEQUENCE_FIRST: u128 = 18_800_000_000_000_000_000;

/// What a FIFO queue has taken in the last minutes: by deduplication id, the message's id and number, and until when.
#[derive(Debug, Default)]
pub(super) struct Taken {
    is_loaded: bool,
    ids: HashMap<String, (String, MessageId, u64)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
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
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    message_attributes: BTreeMap<String, MessageAttribute>,
    message_system_attributes: BTreeMap<String, MessageAttribute>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

/// A message as another service of this server sends it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, MessageAttribute>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication_id: Option<String>,
}

/// A message that may be sent.
struct Checked {
    stored: Stored,
    due_ms: u64,
    system: BTreeMap<String, MessageAttribute>,
}

impl Sqs {
    pub(super) async fn send(&self, auth: &AuthContext, input: Input) -> Result<Value, SqsError> {
        let queue = self.find(auth, input.queue_url.as_deref())?;
        self.send_one(auth, &queue, input.entry).await
    }

    pub(super) async fn send_batch(
        &self,
        auth: &AuthContext,
        batch: Batch,
    ) -> Result<Value, SqsError> {
        let queue = self.find(auth, batch.queue_url.as_deref())?;
        let ids = batch.entries.iter().map(|entry| entry.id.clone().unwrap_or_default());
        let ids = check_ids("SendMessageBatchRequestEntry", ids.collect())?;
        let bytes = batch.entries.iter().map(Entry::bytes).sum();
        if bytes > SQS_MESSAGE_BYTES_MAX {
            return Err(SqsError::BatchTooLong { sent: bytes, max: SQS_MESSAGE_BYTES_MAX });
        }
        let mut answer = BatchAnswer::default();
        // One after the other: in a FIFO queue their order is the batch's, and of one commit they are anyway seldom.
        for (id, entry) in ids.into_iter().zip(batch.entries) {
            answer.add(id, self.send_one(auth, &queue, entry).await);
        }
        Ok(answer.into_json())
    }

    /// As SendMessage. To a standard queue the letter is still to be put: that is the part that is answered. A FIFO queue
    /// has it when this returns, and takes it once.
    pub(crate) async fn deliver(
        &self,
        auth: &AuthContext,
        queue_arn: &str,
        letter: Letter,
    ) -> Result<Option<Settle>, Fault> {
        let send = async {
            let queue = self.with_arn(queue_arn).ok_or(SqsError::NoQueue)?;
            let entry = Entry {
                message_body: Some(letter.body),
                message_attributes: letter.attributes,
                message_group_id: letter.group,
                message_deduplication_id: letter.deduplication_id,
                ..Entry::default()
            };
            let Checked { stored, due_ms, .. } = self.check(auth, &queue, entry)?;
            if queue.is_fifo() {
                self.take(&queue, stored).await?;
                return Ok(None);
            }
            let message = new_message(&queue, &stored, due_ms);
            Ok(Some(Settle::Push { queue: queue.store_name(), message }))
        };
        send.await.map_err(SqsError::fault)
    }

    async fn send_one(
        &self,
        auth: &AuthContext,
        queue: &Arc<Queue>,
        entry: Entry,
    ) -> Result<Value, SqsError> {
        let Checked { stored, due_ms, system } = self.check(auth, queue, entry)?;
        let mut answer = Map::new();
        answer.insert("MD5OfMessageBody".to_owned(), md5_hex(stored.body.as_bytes()).into());
        if !stored.attributes.is_empty() {
            let digest = md5_of_attributes(&stored.attributes);
            answer.insert("MD5OfMessageAttributes".to_owned(), digest.into());
        }
        if !system.is_empty() {
            let digest = md5_of_attributes(&system);
            answer.insert("MD5OfMessageSystemAttributes".to_owned(), digest.into());
        }
        let message_id = if queue.is_fifo() {
            let (message_id, number) = self.take(queue, stored).await?;
            answer.insert("SequenceNumber".to_owned(), sequence_number(number).into());
            message_id
        } else {
            let message_id = stored.id.clone();
            let message = new_message(queue, &stored, due_ms);
            self.store.push(&queue.store_name(), vec![message]).await?;
            message_id
        };
        answer.insert("MessageId".to_owned(), message_id.into());
        Ok(answer.into())
    }

    fn check(&self, auth: &AuthContext, queue: &Queue, entry: Entry) -> Result<Checked, SqsError> {
        let bytes = entry.bytes();
        let body = entry.message_body.ok_or(SqsError::Missing("MessageBody"))?;
        if body.is_empty() {
            return Err(SqsError::Missing("MessageBody"));
        }
        let bytes_max = queue.number("MaximumMessageSize");
        if bytes as u64 > bytes_max {
            return Err(SqsError::InvalidParameter(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {bytes_max} bytes."
            )));
        }
        check_characters(&body)?;
        check_attributes(&entry.message_attributes)?;
        let trace_header = match entry.message_system_attributes.get("AWSTraceHeader") {
            Some(header) => header.string_value.clone(),
            None => None,
        };
        if entry.message_system_attributes.keys().any(|name| name != "AWSTraceHeader") {
            return Err(SqsError::InvalidParameter(
                "Message system attribute name is invalid. Only AWSTraceHeader is supported."
                    .to_owned(),
            ));
        }
        let delay_s = entry.delay_seconds.map_or(Ok(queue.number("DelaySeconds")), |delay| {
            u64::try_from(delay).ok().filter(|delay| *delay <= 900).ok_or_else(|| {
                SqsError::InvalidParameter(format!(
                    "Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
                ))
            })
        })?;
        let deduplication_id = deduplication_id(queue, entry.message_deduplication_id, &body)?;
        check_group(
            queue,
            entry.delay_seconds,
            entry.message_group_id.as_deref(),
            deduplication_id.as_deref(),
        )?;
        let now_ms = self.clock.epoch_ms();
        let stored = Stored {
            id: uuid::Uuid::new_v4().to_string(),
            body,
            attributes: entry.message_attributes,
            trace_header,
            group: entry.message_group_id,
            deduplication_id,
            sender: sts::caller_id(auth),
            sent_ms: now_ms,
            source_arn: None,
        };
        let due_ms = now_ms + delay_s * 1_000;
        Ok(Checked { stored, due_ms, system: entry.message_system_attributes })
    }

    /// Puts a message into a FIFO queue, unless it is there already; answers the id and the number that it has.
    async fn take(&self, queue: &Queue, stored: Stored) -> Result<(String, MessageId), SqsError> {
        let memory = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(taken.entry(queue.key()).or_default())
        };
        // Held over the commit: two that are the same do not both get in.
        let mut taken = memory.lock().await;
        let now_ms = self.clock.epoch_ms();
        let marks = marks_of(queue);
        if !taken.is_loaded {
            self.store.expire(&marks, now_ms).await?;
            for mark in self.store.list(&marks, None, usize::MAX) {
                if let Ok((key, id, number, until_ms)) =
                    serde_json::from_slice::<(String, String, u64, u64)>(&mark.note)
                {
                    taken.ids.insert(key, (id, MessageId(number), until_ms));
                }
            }
            taken.is_loaded = true;
        }
        taken.ids.retain(|_, (_, _, until_ms)| *until_ms > now_ms);
        let key = match queue.is_set("DeduplicationScope", "messageGroup") {
            true => format!("{:?} {:?}", stored.group, stored.deduplication_id),
            false => stored.deduplication_id.clone().unwrap_or_default(),
        };
        if let Some((id, number, _)) = taken.ids.get(&key) {
            return Ok((id.clone(), *number));
        }
        let due_ms = now_ms + queue.number("DelaySeconds") * 1_000;
        let until_ms = now_ms + DEDUPLICATION_MS;
        let id = stored.id.clone();
        let message = new_message(queue, &stored, due_ms);
        let queue_name = queue.store_name();
        let pushed = self.store.push(&queue_name, vec![message]).await?;
        let number = pushed.first().copied().unwrap_or(MessageId(0));
        let note = serde_json::to_vec(&(&key, &id, number.0, until_ms)).unwrap_or_default();
        let mark = NewMessage {
            body: Bytes::new(),
            note: note.into(),
            pushed_ms: now_ms,
            due_ms: until_ms,
            expires_ms: until_ms,
            group: None,
        };
        // The message is answered for once it is there; a crash before its mark is one before the answer.
        self.store.settle(vec![Settle::Push { queue: marks.clone(), message: mark }]).await?;
        self.store.expire(&marks, now_ms).await?;
        taken.ids.insert(key, (id.clone(), number, until_ms));
        Ok((id, number))
    }

    /// Of a queue that is gone.
    pub(super) async fn forget_messages(&self, queue: &Queue) -> Result<(), SqsError> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&queue.key());
        self.store.purge(&queue.store_name()).await?;
        self.store.purge(&marks_of(queue)).await?;
        Ok(())
    }
}

impl Entry {
    /// What counts for the limits: body, and names, types and values of attributes.
    fn bytes(&self) -> usize {
        let attributes = check_attributes(&self.message_attributes).unwrap_or_default();
        self.message_body.as_ref().map_or(0, String::len) + attributes
    }
}

/// Where the store keeps what a FIFO queue has taken.
fn marks_of(queue: &Queue) -> String {
    format!("sqs-taken/{}", queue.key())
}

pub(super) fn new_message(queue: &Queue, stored: &Stored, due_ms: u64) -> NewMessage {
    NewMessage {
        // A struct of strings and numbers.
        body: serde_json::to_vec(stored).unwrap_or_default().into(),
        note: Bytes::new(),
        pushed_ms: stored.sent_ms,
        due_ms,
        expires_ms: stored.sent_ms + queue.number("MessageRetentionPeriod") * 1_000,
        // In a standard queue a group is a name only.
        group: stored.group.clone().filter(|_| queue.is_fifo()),
    }
}

/// Twenty digits, growing.
pub(super) fn sequence_number(number: MessageId) -> String {
    format!("{:020}", SEQUENCE_FIRST + u128::from(number.0))
}

/// What a FIFO queue demands, and what group and deduplication id may look like in any queue.
fn check_group(
    queue: &Queue,
    delay_seconds: Option<i64>,
    group: Option<&str>,
    deduplication_id: Option<&str>,
) -> Result<(), SqsError> {
    if queue.is_fifo() && group.is_none() {
        return Err(SqsError::Missing("MessageGroupId"));
    }
    if let Some(delay) = delay_seconds.filter(|delay| *delay > 0 && queue.is_fifo()) {
        return Err(SqsError::InvalidParameter(format!(
            "Value {delay} for parameter DelaySeconds is invalid. Reason: The request include parameter that is not \
             valid for this queue type."
        )));
    }
    let allowed = |byte: u8| byte.is_ascii_graphic();
    let is_id = |id: &str| !id.is_empty() && id.len() <= 128 && id.bytes().all(allowed);
    for (name, value) in [("MessageGroupId", group), ("MessageDeduplicationId", deduplication_id)] {
        if !value.is_none_or(is_id) {
            return Err(SqsError::InvalidParameter(format!(
                "{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
            )));
        }
    }
    Ok(())
}

fn deduplication_id(
    queue: &Queue,
    given: Option<String>,
    body: &str,
) -> Result<Option<String>, SqsError> {
    if !queue.is_fifo() {
        return match given {
            Some(given) => Err(SqsError::InvalidParameter(format!(
                "Value {given} for parameter MessageDeduplicationId is invalid. Reason: The request includes a \
                 parameter that is not valid for this queue type."
            ))),
            None => Ok(None),
        };
    }
    if given.is_some() {
        return Ok(given);
    }
    if queue.is_set("ContentBasedDeduplication", "true") {
        return Ok(Some(hex(&Sha256::digest(body.as_bytes()))));
    }
    Err(SqsError::InvalidParameter(
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
            .to_owned(),
    ))
}

/// The ids of a batch's entries, if they are ids and different.
pub(super) fn check_ids(kind: &'static str, ids: Vec<String>) -> Result<Vec<String>, SqsError> {
    if ids.is_empty() {
        return Err(SqsError::EmptyBatch(kind));
    }
    if ids.len() > SQS_BATCH_ENTRIES_MAX {
        return Err(SqsError::TooManyEntries(ids.len()));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut seen = HashSet::new();
    for id in &ids {
        if id.is_empty() || id.len() > 80 || !id.bytes().all(allowed) {
            return Err(SqsError::EntryId);
        }
        if !seen.insert(id) {
            return Err(SqsError::RepeatedId(id.clone()));
        }
    }
    Ok(ids)
}

/// What became of a batch's entries, some of which may fail while others do not.
#[derive(Debug, Default)]
pub(super) struct BatchAnswer {
    successful: Vec<Value>,
    failed: Vec<Value>,
}

impl BatchAnswer {
    /// `result` is an object.
    pub(super) fn add(&mut self, id: String, result: Result<Value, SqsError>) {
        match result {
            Ok(mut done) => {
                done["Id"] = id.into();
                self.successful.push(done);
            }
            Err(error) => self.failed.push(json!({
                "Id": id,
                "SenderFault": !matches!(error, SqsError::Store(_)),
                "Code": error.query_code(),
                "Message": error.to_string(),
            })),
        }
    }

    pub(super) fn into_json(self) -> Value {
        json!({ "Successful": self.successful, "Failed": self.failed })
    }
}
