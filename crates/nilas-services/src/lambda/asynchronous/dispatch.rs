//! Runs the events of one function as fast as its concurrency allows.
//!
//! How many at once is found by trying: one more after each success, half as many after a throttle. So events take what
//! is free and leave room for invocations that somebody waits for.

use std::sync::{Arc, Weak};

use nilas_engine::Invocation;
use nilas_model::{FunctionId, Outcome, Qualifier, Version, limits};
use nilas_store::Leased;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::ending::{self, Ending};
use super::event::Event;
use super::{function_of, request_id_of};
use crate::lambda::error::LambdaError;
use crate::lambda::event_invoke_config::EventRules;
use crate::lambda::invoke::run;
use crate::lambda::target::Target;
use crate::lambda::{CallError, Lambda};
use crate::wait;

/// Events of a function that are run at once, at first and at most.
const AT_ONCE_FIRST: usize = 8;
const AT_ONCE_MAX: usize = limits::ASYNC_EVENTS_RUNNING_MAX;
/// A queue that is empty for so long is not watched any more.
const LINGER_MS: u64 = 10_000;
/// Longer than any attempt: init, function and what is around them.
const LEASE_MS: u64 = 3_600_000;
/// After an error of the store's.
const PAUSE_MS: u64 = 1_000;

/// What an attempt says about how many may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    More,
    Fewer,
    Same,
}

pub(super) async fn work_off(lambda: Weak<Lambda>, queue: String) {
    let Some(id) = function_of(&queue) else {
        tracing::error!(queue, "a queue of events is of no function; left alone");
        return;
    };
    let mut at_once = AT_ONCE_FIRST;
    let mut attempts: JoinSet<Sign> = JoinSet::new();
    loop {
        while let Some(ended) = attempts.try_join_next() {
            adjust(&mut at_once, ended.unwrap_or(Sign::Same));
        }
        let Some(strong) = lambda.upgrade() else { return };
        let mut watch = strong.asynchronous.queues.watch(&queue);
        let slots = Arc::clone(&strong.asynchronous.slots);
        if attempts.len() < at_once
            && let Ok(slot) = slots.acquire_owned().await
            && let Some(leased) = next(&strong, &queue).await
        {
            attempts.spawn(attempt(strong, id.clone(), leased, slot));
            continue;
        }
        if attempts.is_empty() && strong.asynchronous.is_done(&queue) {
            return;
        }
        let clock = Arc::clone(&strong.clock);
        let now_ms = clock.epoch_ms();
        let next_ms = strong.asynchronous.queues.next_due_ms(&queue, now_ms);
        drop(strong);
        let is_full = attempts.len() >= at_once;
        let due = async {
            match next_ms {
                // An attempt has to end first.
                _ if is_full => std::future::pending().await,
                Some(due_ms) => wait::until(clock.as_ref(), due_ms).await,
                None => wait::until(clock.as_ref(), now_ms + LINGER_MS).await,
            }
        };
        tokio::select! {
            () = due => {}
            Some(ended) = attempts.join_next() => adjust(&mut at_once, ended.unwrap_or(Sign::Same)),
            _ = watch.changed() => {}
        }
    }
}

fn adjust(at_once: &mut usize, sign: Sign) {
    match sign {
        Sign::More => *at_once = (*at_once + 1).min(AT_ONCE_MAX),
        Sign::Fewer => *at_once = (*at_once / 2).max(1),
        Sign::Same => {}
    }
}

async fn next(lambda: &Lambda, queue: &str) -> Option<Leased> {
    let now_ms = lambda.clock.epoch_ms();
    match lambda.asynchronous.queues.lease(queue, 1, now_ms, now_ms + LEASE_MS).await {
        Ok(leased) => leased.into_iter().next(),
        Err(error) => {
            tracing::error!(
                queue,
                error = &error as &dyn std::error::Error,
                "events cannot be read"
            );
            wait::until(lambda.clock.as_ref(), now_ms + PAUSE_MS).await;
            None
        }
    }
}

async fn attempt(
    lambda: Arc<Lambda>,
    id: FunctionId,
    leased: Leased,
    _slot: OwnedSemaphorePermit,
) -> Sign {
    let Some(event) = Event::of_note(&leased.note) else {
        tracing::error!(function = id.name.as_str(), "an event cannot be read; discarded");
        ending::discard(&lambda, &id, &leased).await;
        return Sign::Same;
    };
    let qualifier = event.qualifier.as_deref().and_then(|text| Qualifier::parse(text).ok());
    let target = Target { id, qualifier };
    let rules = lambda.event_rules(&target);
    let now_ms = lambda.clock.epoch_ms();
    if now_ms.saturating_sub(leased.pushed_ms) > rules.age_ms_max {
        ending::end(&lambda, &target, &leased, &event, &rules, Ending::TooOld).await;
        return Sign::Same;
    }
    let invocation = Invocation {
        request_id: request_id_of(&event.request_id),
        payload: leased.body.clone(),
        invoked_arn: target.arn().to_string(),
        // Only synchronous invocations pass it on; see ClientContext in the API reference of Invoke.
        client_context: None,
        cognito_identity: None,
        trace_id: Some(event.trace_id.clone()),
        want_log_tail: false,
        sink: None,
    };
    let tried = Tried { lambda: &lambda, target: &target, leased: &leased, rules: &rules };
    match run(&lambda, &target, invocation).await {
        Ok((snapshot, outcome)) => tried.answered(event, snapshot.version, outcome).await,
        Err(error) => tried.not_run(event, error).await,
    }
}

/// An attempt that is over.
struct Tried<'a> {
    lambda: &'a Lambda,
    target: &'a Target,
    leased: &'a Leased,
    rules: &'a EventRules,
}

impl Tried<'_> {
    async fn answered(&self, mut event: Event, version: Version, outcome: Outcome) -> Sign {
        let payload = outcome.payload;
        let Some(error) = outcome.error else {
            self.end(&event, Ending::Succeeded { version, payload }).await;
            return Sign::More;
        };
        event.errors += 1;
        event.setbacks = 0;
        if event.errors <= self.rules.retries_max {
            self.retry(&event, event.retry_ms()).await;
        } else {
            let error = error.as_str();
            self.end(&event, Ending::Failed { version, error, payload }).await;
        }
        Sign::More
    }

    /// The function has not seen the event.
    async fn not_run(&self, mut event: Event, error: LambdaError) -> Sign {
        let function = self.target.id.name.as_str();
        if let LambdaError::FunctionNotFound(_) = error {
            tracing::info!(function, request = event.request_id, "an event's function is gone");
            ending::discard(self.lambda, &self.target.id, self.leased).await;
            return Sign::Same;
        }
        if self.lambda.reserves_nothing(&self.target.id) {
            self.end(&event, Ending::NeverRun).await;
            return Sign::Same;
        }
        event.setbacks = event.setbacks.saturating_add(1);
        let error = CallError::from(error);
        tracing::debug!(function, request = event.request_id, %error, "an event has to wait");
        self.retry(&event, event.setback_ms()).await;
        if matches!(error, CallError::Throttled) { Sign::Fewer } else { Sign::Same }
    }

    async fn end(&self, event: &Event, ending: Ending) {
        ending::end(self.lambda, self.target, self.leased, event, self.rules, ending).await;
    }

    async fn retry(&self, event: &Event, after_ms: u64) {
        let due_ms = self.lambda.clock.epoch_ms() + after_ms;
        ending::retry(self.lambda, &self.target.id, self.leased, event, due_ms).await;
    }
}

impl Lambda {
    /// A reservation of nothing: nobody may invoke the function, and events do not wait for better times.
    fn reserves_nothing(&self, id: &FunctionId) -> bool {
        let function = self.functions.get(id);
        function.is_some_and(|function| function.record.reserved_concurrency == Some(0))
    }
}
