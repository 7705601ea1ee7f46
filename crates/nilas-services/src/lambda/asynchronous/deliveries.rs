//! Brings records to destinations and events to dead-letter queues, until they are there or too old.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use nilas_model::{AuthContext, FunctionId, FunctionRef, Region, RequestId, limits};
use nilas_store::{Leased, Settle};
use nilas_wire::{Service, percent, time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use super::event::Event;
use super::{DELIVERIES, backoff_ms, queue_of};
use crate::calls::Refusal;
use crate::lambda::target::Target;
use crate::lambda::{Lambda, call, trace};
use crate::wait;

/// Deliveries made at once.
const AT_ONCE: usize = 32;
const LEASE_MS: u64 = 300_000;
/// What is not there after this time is given up.
const AGE_MS_MAX: u64 = 21_600_000;
const IDLE_MS: u64 = 60_000;

/// What is known of a delivery besides what is delivered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// Of the function whose event it was, without a qualifier.
    function_arn: String,
    request_id: String,
    target_arn: String,
    /// None of a destination's record.
    dead_letter: Option<DeadLetter>,
    #[serde(default)]
    attempts: u32,
}

/// What a dead letter tells beside the event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeadLetter {
    pub(super) code: u16,
    /// The function's own words.
    pub(super) message: String,
}

/// The words of a function's error that a dead letter tells, bytes.
const ERROR_MESSAGE_BYTES_MAX: usize = 1_024;

/// Why a delivery did not arrive.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// Trying again is of no use.
    #[error("{0}")]
    ForGood(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Failed {
    /// Whether the same would be answered again: no such queue, a record that is too large for it.
    fn is_for_good(&self) -> bool {
        match self {
            Self::ForGood(_) => true,
            Self::Refused(refusal) => {
                let is_throttle = refusal.status == 429 || refusal.code.contains("Throttl");
                (400..500).contains(&refusal.status) && !is_throttle
            }
        }
    }
}

impl Delivery {
    pub(super) fn new(
        target: &Target,
        event: &Event,
        target_arn: &str,
        dead_letter: Option<DeadLetter>,
    ) -> Self {
        Self {
            function_arn: target.id.arn(None).to_string(),
            request_id: event.request_id.clone(),
            target_arn: target_arn.to_owned(),
            dead_letter,
            attempts: 0,
        }
    }

    pub(super) fn note(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

pub(super) async fn work_off(lambda: Weak<Lambda>) {
    let mut running: JoinSet<()> = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let Some(strong) = lambda.upgrade() else { return };
        let (queues, clock) = (strong.asynchronous.queues.clone(), Arc::clone(&strong.clock));
        let mut watch = queues.watch(DELIVERIES);
        let now_ms = clock.epoch_ms();
        let room = AT_ONCE - running.len().min(AT_ONCE);
        let leased = queues.lease(DELIVERIES, room, now_ms, now_ms + LEASE_MS).await;
        let leased = leased.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "deliveries cannot be read");
            Vec::new()
        });
        let is_idle = leased.is_empty();
        for one in leased {
            let lambda = Arc::clone(&strong);
            running.spawn(async move { deliver(&lambda, one).await });
        }
        // A pause at least: what is due may be unreadable.
        let due_ms = queues.next_due_ms(DELIVERIES, now_ms).unwrap_or(now_ms + IDLE_MS);
        let due_ms = due_ms.clamp(now_ms + 5, now_ms + IDLE_MS);
        // While it waits, this task keeps nothing of the server's alive.
        drop((strong, queues));
        if !is_idle && running.len() < AT_ONCE {
            continue;
        }
        tokio::select! {
            () = wait::until(clock.as_ref(), due_ms) => {}
            Some(_) = running.join_next() => {}
            _ = watch.changed() => {}
        }
    }
}

async fn deliver(lambda: &Arc<Lambda>, leased: Leased) {
    let queue = || DELIVERIES.to_owned();
    let ack = Settle::Ack { queue: queue(), id: leased.id, lease: Some(leased.lease) };
    let Ok(mut delivery) = serde_json::from_slice::<Delivery>(&leased.note) else {
        tracing::error!("a delivery cannot be read; discarded");
        drop(lambda.asynchronous.queues.settle(vec![ack]).await);
        return;
    };
    let now_ms = lambda.clock.epoch_ms();
    let parts = match attempt(lambda, &delivery, &leased.body, now_ms).await {
        Ok(pushes) => pushes.into_iter().chain([ack]).collect(),
        Err(failed) => {
            delivery.attempts += 1;
            let is_over =
                failed.is_for_good() || now_ms.saturating_sub(leased.pushed_ms) > AGE_MS_MAX;
            tracing::warn!(
                function = delivery.function_arn,
                request = delivery.request_id,
                target_arn = delivery.target_arn,
                attempts = delivery.attempts,
                given_up = is_over,
                error = %failed,
                "the outcome of an event was not delivered"
            );
            let due_ms = now_ms + backoff_ms(delivery.attempts);
            let note = delivery.note();
            vec![if is_over {
                ack
            } else {
                Settle::Retry {
                    queue: queue(),
                    id: leased.id,
                    lease: Some(leased.lease),
                    due_ms,
                    note,
                }
            }]
        }
    };
    let started: Vec<String> = parts
        .iter()
        .filter_map(|part| match part {
            Settle::Push { queue, .. } => Some(queue.clone()),
            _ => None,
        })
        .collect();
    if let Err(error) = lambda.asynchronous.queues.settle(parts).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a delivery's end cannot be written"
        );
    }
    for queue in started {
        lambda.asynchronous.work_off(queue);
    }
}

/// Delivers, or answers what has to be pushed for it.
async fn attempt(
    lambda: &Lambda,
    delivery: &Delivery,
    body: &Bytes,
    now_ms: u64,
) -> Result<Vec<Settle>, Failed> {
    let arn = &delivery.target_arn;
    let source = FunctionRef::parse(&delivery.function_arn).ok();
    let source = source.and_then(|source| {
        Some(FunctionId { account: source.account?, region: source.region?, name: source.name })
    });
    let source =
        source.ok_or_else(|| Failed::ForGood(format!("no function {}", delivery.function_arn)))?;
    match arn.split(':').nth(2) {
        Some("lambda") => {
            let target = call::target_of(arn)
                .ok_or_else(|| Failed::ForGood(format!("no function {arn}")))?;
            if lambda.functions.get(&target.id).is_none() {
                return Err(Failed::ForGood(format!("there is no function {arn}")));
            }
            if body.len() > limits::ASYNC_PAYLOAD_BYTES_MAX {
                return Err(Failed::ForGood(format!("{} bytes are too many", body.len())));
            }
            let id = RequestId::random();
            let trace_id = trace::header(None, id, now_ms);
            let event = Event::new(id, target.qualifier.as_ref(), trace_id);
            let message = event.message(body.clone(), now_ms);
            Ok(vec![Settle::Push { queue: queue_of(&target.id), message }])
        }
        Some("s3") => {
            let bucket = arn.rsplit(':').next().unwrap_or_default();
            let stamp = time::iso8601_millis(now_ms);
            let (day, clock) = stamp.split_once('T').unwrap_or((&stamp, ""));
            let clock = clock.split('.').next().unwrap_or_default().replace(':', ".");
            let key = format!(
                "aws/lambda/async/{}/{}/{day}T{clock}-{}",
                source.name.as_str(),
                day.replace('-', "/"),
                RequestId::random()
            );
            let path = format!("/{bucket}/{}", percent::encode_path(&key));
            let json = HeaderValue::from_static("application/json");
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
            let auth = AuthContext::of_server(&source.account, &source.region);
            let put = lambda.asynchronous.calls.raw(
                Service::S3,
                &auth,
                Method::PUT,
                &path,
                headers,
                body.clone(),
            );
            put.await?;
            Ok(Vec::new())
        }
        Some("sqs") => {
            send(lambda, delivery, &source, body).await?;
            Ok(Vec::new())
        }
        _ => Err(Failed::ForGood(format!("{arn} is of no service of this server"))),
    }
}

/// To a queue: a record as it is, an event with what went wrong as attributes.
async fn send(
    lambda: &Lambda,
    delivery: &Delivery,
    source: &FunctionId,
    body: &Bytes,
) -> Result<(), Failed> {
    let parts: Vec<&str> = delivery.target_arn.split(':').collect();
    let region = parts.get(3).and_then(|region| Region::parse(region).ok());
    let region = region.unwrap_or_else(|| source.region.clone());
    let name = parts.last().copied().unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let mut message = json!({
        "QueueUrl": format!("http://localhost/{}/{name}", source.account.as_str()),
        "MessageBody": text,
    });
    if let Some(DeadLetter { code, message: words }) = &delivery.dead_letter {
        let words = &words[..words.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)];
        let string = |value: &str| json!({ "DataType": "String", "StringValue": value });
        let mut attributes = json!({
            "RequestID": string(&delivery.request_id),
            "ErrorCode": { "DataType": "Number", "StringValue": code.to_string() },
        });
        // An attribute has a value.
        if !words.is_empty() {
            attributes["ErrorMessage"] = string(words);
        }
        message["MessageAttributes"] = attributes;
    }
    let auth = AuthContext::of_server(&source.account, &region);
    lambda.asynchronous.calls.json(Service::Sqs, &auth, "SendMessage", message).await?;
    Ok(())
}
