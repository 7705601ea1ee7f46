//! What waits, for whoever runs the server.

use nilas_model::{AuthContext, FunctionId};
use nilas_store::{Settle, StoreError};
use nilas_wire::time;
use serde_json::{Value, json};

use super::event::Event;
use super::{EVENTS, function_of};
use crate::lambda::Lambda;

impl Lambda {
    /// Functions with events, and of each at most `limit` events, oldest first.
    pub(crate) fn events_as_json(
        &self,
        auth: &AuthContext,
        function: Option<&str>,
        limit: usize,
    ) -> Value {
        let now_ms = self.clock.epoch_ms();
        let of_queue = |(queue, id): (String, FunctionId)| {
            let counts = self.asynchronous.queues.counts(&queue, now_ms);
            let waiting = self.asynchronous.queues.list(&queue, None, limit);
            let events: Vec<Value> = waiting
                .iter()
                .filter_map(|one| {
                    let event = Event::of_note(&one.note)?;
                    Some(json!({
                        "RequestId": event.request_id,
                        "Qualifier": event.qualifier,
                        "Received": time::iso8601_millis(one.pushed_ms),
                        "NextAttempt": (!one.leased).then(|| time::iso8601_millis(one.due_ms)),
                        "Running": one.leased,
                        "Errors": event.errors,
                        "Setbacks": event.setbacks,
                    }))
                })
                .collect();
            let age_ms = counts.oldest_pushed_ms.map_or(0, |pushed| now_ms.saturating_sub(pushed));
            json!({
                "FunctionName": id.name.as_str(),
                "Running": counts.leased,
                "Due": counts.due,
                "Delayed": counts.delayed,
                "OldestAgeMilliseconds": age_ms,
                "Events": events,
            })
        };
        let functions: Vec<Value> =
            self.queues_of(auth, function).into_iter().map(of_queue).collect();
        json!({ "Functions": functions })
    }

    /// Makes events that wait due now; answers how many.
    pub(crate) async fn retry_events(
        &self,
        auth: &AuthContext,
        function: Option<&str>,
        request_id: Option<&str>,
    ) -> Result<u64, StoreError> {
        let (now_ms, mut retried) = (self.clock.epoch_ms(), 0);
        let queues = &self.asynchronous.queues;
        for (queue, _) in self.queues_of(auth, function) {
            for one in queues.list(&queue, None, usize::MAX) {
                let wanted = Event::of_note(&one.note)
                    .is_some_and(|event| request_id.is_none_or(|id| id == event.request_id));
                if !wanted || one.leased || one.due_ms <= now_ms {
                    continue;
                }
                let queue = queue.clone();
                let part = Settle::Retry {
                    queue,
                    id: one.id,
                    lease: None,
                    due_ms: now_ms,
                    note: one.note,
                };
                retried += u64::from(queues.settle(vec![part]).await?.is_some());
            }
        }
        Ok(retried)
    }

    /// Queues of the caller's functions that hold events.
    fn queues_of(&self, auth: &AuthContext, function: Option<&str>) -> Vec<(String, FunctionId)> {
        let prefix = format!("{EVENTS}{}/{}/", auth.account.as_str(), auth.region.as_str());
        let names = self.asynchronous.queues.names(&prefix).into_iter();
        let known = names.filter_map(|queue| function_of(&queue).map(|id| (queue, id)));
        known.filter(|(_, id)| function.is_none_or(|name| id.name.as_str() == name)).collect()
    }
}
