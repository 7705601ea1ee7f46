//! Deliveries: what one service brings to another on somebody's behalf, later and for certain.
//!
//! A delivery is on disk before what causes it is answered, or in the commit that ends what it follows from. It is tried
//! until it arrives, is refused for good, or its tries or its time are over; then it goes to its dead-letter queue, if
//! it has one. To a function's events or a standard queue it is brought exactly once: its arrival and its end are one
//! commit. To what is reached by a call it may come twice if the server dies in between.

mod arrive;
mod http;
mod pace;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nilas_model::limits::QUEUE_BODY_BYTES_MAX;
use nilas_model::{AccountId, AuthContext, Clock, Region};
use nilas_store::{NewMessage, Queues, Settle, StoreError};
use serde::{Deserialize, Serialize};

pub(crate) use self::http::Endpoints;
pub(crate) use crate::sqs::MessageAttribute;
pub(crate) use pace::{Growth, Pace};
pub(crate) use work::{backoff_ms, start};

/// Where they wait.
const QUEUE: &str = "deliveries";
/// Where those wait that leave the server.
const HTTP_QUEUE: &str = "deliveries-http";
/// What is known of a delivery besides its body takes less, where its owner has not bounded it.
const HEAD_BYTES_SPARE: usize = 16_384;
/// How long something is tried whose owner says nothing else.
const AGE_MS_MAX: u64 = 21_600_000;

/// Where deliveries are put down. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    queues: Queues,
    clock: Arc<dyn Clock>,
}

/// One thing to be brought to one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    account: String,
    region: String,
    /// The ARN of who has it delivered: a function, a topic, a rule, a bucket.
    pub(crate) source: String,
    /// The service that delivers, such as `s3.amazonaws.com`, which a function must have allowed to invoke it. None: the
    /// account's own role does.
    pub(crate) principal: Option<String>,
    pub(crate) to: To,
    #[serde(skip)]
    pub(crate) body: Bytes,
    /// Tries after the first; none: as many as there is time for.
    pub(crate) retries_max: Option<u32>,
    pub(crate) age_ms_max: u64,
    /// Deliveries of one order arrive one after the other, as they were put down.
    pub(crate) order: Option<String>,
    pub(crate) dead_letter: Option<DeadLetter>,
    /// None: waits double.
    #[serde(default)]
    pub(crate) pace: Option<Pace>,
}

/// A place. Each `arn` is that of the place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum To {
    /// An asynchronous invocation, of which the body is the event.
    Function { arn: String },
    Queue {
        arn: String,
        #[serde(default)]
        attributes: BTreeMap<String, MessageAttribute>,
        /// Of a FIFO queue.
        group: Option<String>,
        deduplication_id: Option<String>,
    },
    /// An object in the account's bucket.
    Object { bucket: String, key: String },
    /// Its subscriptions.
    Topic { arn: String, subject: Option<String>, attributes: BTreeMap<String, MessageAttribute> },
    /// A POST.
    Http { url: String, headers: Vec<(String, String)> },
    /// A file in the outbox.
    Mail { address: String, subject: String },
}

/// The queue for what did not arrive: the same body, with what is known of it and of the failure as attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeadLetter {
    pub(crate) queue_arn: String,
    pub(crate) attributes: BTreeMap<String, MessageAttribute>,
    pub(crate) form: LetterForm,
}

/// Whose attributes tell the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LetterForm {
    /// Of SNS: none.
    Plain,
    /// ERROR_CODE, ERROR_MESSAGE, EXHAUSTED_RETRY_CONDITION, RETRY_ATTEMPTS.
    EventBridge,
}

/// What happened to a delivery so far.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    #[serde(default)]
    attempts: u32,
}

impl Deliveries {
    pub(crate) fn new(queues: Queues, clock: Arc<dyn Clock>) -> Self {
        Self { queues, clock }
    }

    /// Puts them down. All of them are on disk when this returns, or none.
    pub(crate) async fn accept(&self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        let parts = deliveries.iter().map(|delivery| self.part(delivery)).collect();
        // Nothing is acknowledged by these parts, so nothing can be stale.
        self.queues.settle(parts).await.map(drop)
    }

    /// The part of a settlement that puts it down.
    pub(crate) fn part(&self, delivery: &Delivery) -> Settle {
        let message = delivery.message(self.clock.epoch_ms());
        Settle::Push { queue: delivery.to.lane().to_owned(), message }
    }
}

impl Delivery {
    /// On behalf of an account in a region; tried for six hours, without an order or a dead-letter queue.
    pub(crate) fn new(
        (account, region): (&AccountId, &Region),
        source: &str,
        to: To,
        body: Bytes,
    ) -> Self {
        Self {
            account: account.as_str().to_owned(),
            region: region.as_str().to_owned(),
            source: source.to_owned(),
            principal: None,
            to,
            body,
            retries_max: None,
            age_ms_max: AGE_MS_MAX,
            order: None,
            dead_letter: None,
            pace: None,
        }
    }

    fn message(&self, now_ms: u64) -> NewMessage {
        // Structs of strings and numbers.
        let head = serde_json::to_vec(self).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
        NewMessage {
            body: [&length, &head[..], &self.body].concat().into(),
            note: State::default().note(),
            pushed_ms: now_ms,
            due_ms: now_ms,
            // What becomes of an old one is said by its age.
            expires_ms: i64::MAX.cast_unsigned(),
            group: self.order.clone(),
        }
    }

    /// None for a message that is none.
    fn of_message(mut message: Bytes) -> Option<Self> {
        let length = take(&mut message, 4)?;
        let length = u32::from_be_bytes(length.as_ref().try_into().ok()?);
        let head = take(&mut message, usize::try_from(length).ok()?)?;
        let delivery: Self = serde_json::from_slice(&head).ok()?;
        Some(Self { body: message, ..delivery })
    }

    /// Whether the store takes it.
    pub(crate) fn fits(&self) -> bool {
        self.body.len() + HEAD_BYTES_SPARE <= QUEUE_BODY_BYTES_MAX
    }

    /// Who acts: the server, for the account.
    fn auth(&self) -> Option<AuthContext> {
        let (account, region) = (AccountId::parse(&self.account), Region::parse(&self.region));
        Some(AuthContext::of_server(&account.ok()?, &region.ok()?))
    }
}

impl To {
    /// For the log.
    fn name(&self) -> &str {
        match self {
            Self::Function { arn } | Self::Queue { arn, .. } => arn,
            Self::Object { bucket, .. } => bucket,
            Self::Topic { arn, .. } => arn,
            Self::Http { url, .. } => url,
            Self::Mail { address, .. } => address,
        }
    }

    fn lane(&self) -> &'static str {
        match self {
            Self::Http { .. } => HTTP_QUEUE,
            _ => QUEUE,
        }
    }
}

impl State {
    fn note(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// The first `length` bytes, if there are as many.
fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// A text as a message's attribute.
pub(crate) fn string(value: &str) -> MessageAttribute {
    attribute("String", value)
}

/// A number as a message's attribute.
pub(crate) fn number(value: impl ToString) -> MessageAttribute {
    attribute("Number", &value.to_string())
}

fn attribute(data_type: &str, value: &str) -> MessageAttribute {
    MessageAttribute {
        data_type: data_type.to_owned(),
        string_value: Some(value.to_owned()),
        binary_value: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_down_is_taken_up() {
        let account = AccountId::parse("000000000000").expect("digits");
        let region = Region::parse("us-east-1").expect("a region");
        let to = To::Queue {
            arn: "arn:aws:sqs:us-east-1:000000000000:q".to_owned(),
            attributes: BTreeMap::from([("RequestID".to_owned(), string("1"))]),
            group: None,
            deduplication_id: None,
        };
        let body = Bytes::from_static(b"\0\xff{}");
        let mut delivery = Delivery::new((&account, &region), "arn:of:source", to, body);
        delivery.order = Some("g".to_owned());
        let message = delivery.message(7);
        assert_eq!(message.group.as_deref(), Some("g"));
        for length in 0..message.body.len() - delivery.body.len() {
            assert_eq!(Delivery::of_message(message.body.slice(..length)), None, "{length}");
        }
        assert_eq!(Delivery::of_message(message.body), Some(delivery));
    }
}
