//! Works off what was put down: leases, tries, settles.

use std::sync::{Arc, Weak};

use nilas_model::limits::{DELIVERIES_AT_ONCE_MAX, HTTP_DELIVERIES_AT_ONCE_MAX};
use nilas_store::{Leased, Settle};
use tokio::task::JoinSet;

use super::arrive::{Failed, arrive};
use super::{Deliveries, Delivery, HTTP_QUEUE, LetterForm, QUEUE, State, To, number, string};
use crate::services::Inner;
use crate::wait;

/// A try takes less.
const LEASE_MS: u64 = 300_000;
/// Between two looks at a queue of which nothing is known.
const IDLE_MS: u64 = 60_000;
/// What an attribute of a dead letter tells of an error, bytes.
const ERROR_MESSAGE_BYTES_MAX: usize = 1_024;

/// Works off what there is and what comes. Ends with the services.
pub(crate) fn start(services: &Arc<Inner>) {
    for (lane, at_once_max) in
        [(QUEUE, DELIVERIES_AT_ONCE_MAX), (HTTP_QUEUE, HTTP_DELIVERIES_AT_ONCE_MAX)]
    {
        tokio::spawn(work_off(lane, at_once_max, Arc::downgrade(services)));
    }
}

/// Holds nothing of the services while it waits, so that nothing of them outlives them.
async fn work_off(lane: &'static str, at_once_max: usize, services: Weak<Inner>) {
    // Each task answers how many deliveries it had.
    let mut running: JoinSet<usize> = JoinSet::new();
    let mut held = 0;
    loop {
        while let Some(ended) = running.try_join_next() {
            held -= ended.unwrap_or(1);
        }
        let Some(strong) = services.upgrade() else { return };
        let Deliveries { queues, clock } = strong.deliveries();
        let mut watch = queues.watch(lane);
        let now_ms = clock.epoch_ms();
        let room = at_once_max.saturating_sub(held);
        let leased = queues.lease(lane, room, now_ms, now_ms + LEASE_MS).await;
        let leased = leased.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "deliveries cannot be read");
            Vec::new()
        });
        let is_idle = leased.is_empty();
        // What is of one order comes in a row.
        for order in leased.chunk_by(|one, next| one.group.is_some() && one.group == next.group) {
            held += order.len();
            running.spawn(deliver_in_order(lane, Arc::clone(&strong), order.to_vec()));
        }
        if !is_idle && held < at_once_max {
            continue;
        }
        // A pause at least: what is due may be unreadable.
        let due_ms = queues.next_due_ms(lane, now_ms).unwrap_or(now_ms + IDLE_MS);
        let due_ms = due_ms.clamp(now_ms + 5, now_ms + IDLE_MS);
        let clock = Arc::clone(clock);
        drop(strong);
        tokio::select! {
            () = wait::until(clock.as_ref(), due_ms) => {}
            Some(ended) = running.join_next() => held -= ended.unwrap_or(1),
            changed = watch.changed() => if changed.is_err() { return },
        }
    }
}

/// One after the other; behind one that is to be tried again, all wait.
async fn deliver_in_order(lane: &str, services: Arc<Inner>, order: Vec<Leased>) -> usize {
    let count = order.len();
    let mut order = order.into_iter();
    for leased in order.by_ref() {
        if !deliver(lane, &services, leased).await {
            break;
        }
    }
    let Deliveries { queues, clock } = services.deliveries();
    let now_ms = clock.epoch_ms();
    for leased in order {
        queues.extend(lane, leased.id, leased.lease, now_ms, now_ms);
    }
    count
}

/// Answers whether the delivery has ended.
async fn deliver(lane: &str, services: &Arc<Inner>, leased: Leased) -> bool {
    let deliveries = services.deliveries();
    let queue = || lane.to_owned();
    let ack = Settle::Ack { queue: queue(), id: leased.id, lease: Some(leased.lease) };
    let Some(delivery) = Delivery::of_message(leased.body.clone()) else {
        tracing::error!("a delivery cannot be read; discarded");
        return settle(services, vec![ack]).await;
    };
    let mut state: State = serde_json::from_slice(&leased.note).unwrap_or_default();
    let now_ms = deliveries.clock.epoch_ms();
    let failed = match arrive(services, &delivery, now_ms).await {
        Ok(arrival) => {
            return settle(services, arrival.into_iter().chain([ack]).collect()).await;
        }
        Err(failed) => failed,
    };
    state.attempts = state.attempts.saturating_add(1);
    let end = End::of(&delivery, &state, &failed, now_ms.saturating_sub(leased.pushed_ms));
    tracing::warn!(
        source = delivery.source,
        to = delivery.to.name(),
        attempts = state.attempts,
        given_up = end.is_some(),
        error = %failed,
        "a delivery did not arrive"
    );
    let Some(end) = end else {
        let again = Settle::Retry {
            queue: queue(),
            id: leased.id,
            lease: Some(leased.lease),
            due_ms: now_ms + delivery.delay_ms(state.attempts),
            note: state.note(),
        };
        settle(services, vec![again]).await;
        return false;
    };
    let letter = letter(&delivery, &state, &failed, end);
    let letter = letter.map(|letter| deliveries.part(&letter));
    settle(services, letter.into_iter().chain([ack]).collect()).await
}

/// Answers whether that was done.
async fn settle(services: &Inner, parts: Vec<Settle>) -> bool {
    let pushed = parts.iter().filter_map(|part| match part {
        Settle::Push { queue, .. } => Some(queue.clone()),
        _ => None,
    });
    let pushed: Vec<String> = pushed.collect();
    match services.deliveries().queues.settle(parts).await {
        Ok(Some(_)) => {
            pushed.iter().for_each(|queue| services.lambda().events_pushed(queue));
            return true;
        }
        Ok(None) => tracing::warn!("a delivery took longer than its lease"),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "a delivery's end cannot be written"
        ),
    }
    false
}

impl Delivery {
    fn delay_ms(&self, failures: u32) -> u64 {
        self.pace.map_or_else(|| backoff_ms(failures), |pace| pace.delay_ms(failures))
    }
}

/// Why a delivery is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    ForGood,
    NoMoreTries,
    TooOld,
}

impl End {
    /// None if it is to be tried again.
    fn of(delivery: &Delivery, state: &State, failed: &Failed, age_ms: u64) -> Option<Self> {
        if failed.for_good {
            Some(Self::ForGood)
        } else if delivery.retries_max.is_some_and(|retries_max| state.attempts > retries_max) {
            Some(Self::NoMoreTries)
        } else if age_ms > delivery.age_ms_max {
            Some(Self::TooOld)
        } else {
            None
        }
    }
}

/// What goes to the dead-letter queue, if there is one. It has none of its own.
fn letter(delivery: &Delivery, state: &State, failed: &Failed, end: End) -> Option<Delivery> {
    let dead_letter = delivery.dead_letter.as_ref()?;
    let mut attributes = dead_letter.attributes.clone();
    match dead_letter.form {
        LetterForm::Plain => {}
        LetterForm::EventBridge => {
            let words = &failed.message;
            let words = &words[..words.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)];
            attributes.insert("ERROR_CODE".to_owned(), string(&failed.code));
            if !words.is_empty() {
                attributes.insert("ERROR_MESSAGE".to_owned(), string(words));
            }
            let condition = match end {
                End::ForGood => None,
                End::NoMoreTries => Some("MaximumRetryAttempts"),
                End::TooOld => Some("MaximumEventAgeInSeconds"),
            };
            if let Some(condition) = condition {
                attributes.insert("EXHAUSTED_RETRY_CONDITION".to_owned(), string(condition));
            }
            let retries = state.attempts.saturating_sub(1);
            attributes.insert("RETRY_ATTEMPTS".to_owned(), number(retries));
        }
    }
    // A FIFO queue demands what the message came with.
    let (group, deduplication_id) = match &delivery.to {
        To::Queue { group, deduplication_id, .. } if dead_letter.queue_arn.ends_with(".fifo") => {
            (group, deduplication_id)
        }
        _ => (&None, &None),
    };
    let to = To::Queue {
        arn: dead_letter.queue_arn.clone(),
        attributes,
        group: group.clone(),
        deduplication_id: deduplication_id.clone(),
    };
    Some(Delivery {
        to,
        retries_max: None,
        age_ms_max: super::AGE_MS_MAX,
        order: None,
        dead_letter: None,
        pace: None,
        ..delivery.clone()
    })
}

/// The wait after `failures` in a row: it doubles from the first to the last.
pub(crate) fn backoff_ms(failures: u32) -> u64 {
    const FIRST_MS: u64 = 1_000;
    const LAST_MS: u64 = 300_000;
    FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LAST_MS)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nilas_model::{AccountId, Region};

    use super::super::DeadLetter;
    use super::*;

    #[test]
    fn what_is_given_up_becomes_a_letter_that_says_why() {
        let account = AccountId::parse("000000000000").expect("digits");
        let region = Region::parse("us-east-1").expect("a region");
        let to = To::Function { arn: "arn:aws:lambda:us-east-1:000000000000:function:f".into() };
        let mut delivery =
            Delivery::new((&account, &region), "arn:of:rule", to, Bytes::from_static(b"{}"));
        delivery.retries_max = Some(2);
        let failed = |for_good| Failed { code: "C".into(), message: "M".into(), for_good };
        let end = |attempts, for_good, age_ms| {
            End::of(&delivery, &State { attempts }, &failed(for_good), age_ms)
        };
        assert_eq!(end(1, true, 0), Some(End::ForGood));
        assert_eq!(end(2, false, 0), None);
        assert_eq!(end(3, false, 0), Some(End::NoMoreTries));
        assert_eq!(end(1, false, super::super::AGE_MS_MAX + 1), Some(End::TooOld));
        let state = State { attempts: 3 };
        assert_eq!(letter(&delivery, &state, &failed(false), End::NoMoreTries), None);
        delivery.dead_letter = Some(DeadLetter {
            queue_arn: "arn:aws:sqs:us-east-1:000000000000:dead".to_owned(),
            attributes: [("RULE_ARN".to_owned(), string("arn:of:rule"))].into(),
            form: LetterForm::EventBridge,
        });
        let letter = letter(&delivery, &state, &failed(false), End::NoMoreTries);
        let letter = letter.expect("it has a queue");
        let To::Queue { arn, attributes, .. } = letter.to else { panic!("a queue") };
        assert_eq!(arn, "arn:aws:sqs:us-east-1:000000000000:dead");
        let shown: Vec<String> = attributes
            .iter()
            .map(|(name, value)| format!("{name}={}", value.string_value.as_deref().unwrap_or("")))
            .collect();
        let expected = "ERROR_CODE=C ERROR_MESSAGE=M EXHAUSTED_RETRY_CONDITION=MaximumRetryAttempts \
                        RETRY_ATTEMPTS=2 RULE_ARN=arn:of:rule";
        assert_eq!(shown.join(" "), expected);
        assert_eq!((letter.body, letter.dead_letter), (Bytes::from_static(b"{}"), None));
    }
}
