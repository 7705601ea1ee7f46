//! One batch of messages: run by the function, deleted as far as it succeeded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nilas_model::Outcome;

use super::answer::{Verdict, verdict};
use super::batch::Batch;
use super::pace::Pace;
use super::record::{MappingId, State};
use crate::lambda::Lambda;
use crate::lambda::call::invocation_for;
use crate::lambda::error::LambdaError;
use crate::lambda::invoke::run;
use crate::lambda::target::Target;
use crate::wait;

/// Between two tries of a batch that was throttled, milliseconds: at first and at most.
const THROTTLED_MS_FIRST: u64 = 100;
const THROTTLED_MS_MAX: u64 = 10_000;

/// What all batches of a mapping have in common.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) id: MappingId,
    pub(super) target: Target,
    pub(super) source_arn: String,
    pub(super) reports_failures: bool,
    pub(super) pace: Arc<Mutex<Pace>>,
}

/// What running a batch has shown of the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Fine,
    /// There is no such function any more.
    FunctionGone,
}

impl Sign {
    /// What is worse of the two.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Fine { other } else { self }
    }
}

impl Course {
    /// Whether the mapping is still to invoke its function.
    fn is_wanted(&self, lambda: &Lambda) -> bool {
        let record = lambda.mappings.store.get(&self.id);
        record.is_some_and(|record| record.enabled && record.state != State::Deleting)
    }

    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages that are not deleted become visible again when their time has come, as after any other receipt.
pub(super) async fn run_batch(weak: Weak<Lambda>, course: Arc<Course>, mut batch: Batch) -> Sign {
    let event = batch.take_event();
    let mut pause_ms = THROTTLED_MS_FIRST;
    loop {
        let Some(lambda) = weak.upgrade() else { return Sign::Fine };
        let now_ms = lambda.clock.epoch_ms();
        if now_ms >= batch.visible_ms() {
            return Sign::Fine;
        }
        if !course.is_wanted(&lambda) {
            release(&lambda, &course.source_arn, &batch);
            return Sign::Fine;
        }
        let invocation = invocation_for(&lambda, &course.target, event.clone(), None);
        match run(&lambda, &course.target, invocation).await {
            Ok((_, outcome)) => {
                settle(&lambda, &course, &batch, &outcome).await;
                return Sign::Fine;
            }
            Err(LambdaError::Throttled(_)) => {
                course.pace().back_off(now_ms);
                let next_ms = (now_ms + pause_ms).min(batch.visible_ms());
                let clock = Arc::clone(&lambda.clock);
                // A server that stops waits for nobody who waits.
                drop(lambda);
                wait::until(clock.as_ref(), next_ms).await;
                pause_ms = (pause_ms * 2).min(THROTTLED_MS_MAX);
            }
            Err(LambdaError::FunctionNotFound(_)) => {
                release(&lambda, &course.source_arn, &batch);
                return Sign::FunctionGone;
            }
            Err(error) => {
                let function = course.target.id.name.as_str();
                tracing::warn!(function, %error, "a batch of messages could not be run");
                course.pace().back_off(now_ms);
                return Sign::Fine;
            }
        }
    }
}

async fn settle(lambda: &Lambda, course: &Course, batch: &Batch, outcome: &Outcome) {
    let verdict = verdict(outcome, course.reports_failures, &batch.message_ids());
    let receipts: Vec<_> = match &verdict {
        Verdict::AllSucceeded => batch.receipts().collect(),
        Verdict::AllFailed => Vec::new(),
        Verdict::Some(succeeded) => {
            let receipts: Vec<_> = batch.receipts().collect();
            succeeded.iter().map(|at| receipts[*at]).collect()
        }
    };
    // AWS does not slow down for functions that say what has failed.
    if outcome.error.is_some() && !course.reports_failures {
        course.pace().back_off(lambda.clock.epoch_ms());
    }
    if let Some(queue) = lambda.mappings.sqs().polled(&course.source_arn) {
        queue.delete(&receipts).await;
    }
}

/// Gives the messages back that no function has seen.
pub(super) fn release(lambda: &Lambda, source_arn: &str, batch: &Batch) {
    if let Some(queue) = lambda.mappings.sqs().polled(source_arn) {
        queue.release(batch.receipts());
    }
}
