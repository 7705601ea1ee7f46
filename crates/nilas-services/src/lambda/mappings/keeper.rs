//! The task that a mapping has for as long as it exists: it alone ends the states in between, and it polls.

use std::sync::{Arc, Weak};

use super::Starts;
use super::poller::{Ended, Poller};
use super::record::{Duty, Initiator, MappingId, MappingRecord, State};
use crate::lambda::Lambda;
use crate::lambda::error::LambdaError;
use crate::lambda::target::Target;
use crate::wait;

/// After an error of the store's, milliseconds.
const PAUSE_MS: u64 = 1_000;

/// Keeps the mappings that there are, and those that come. Ends with the server.
pub(in crate::lambda) fn start(lambda: &Arc<Lambda>, mut starts: Starts) {
    let weak = Arc::downgrade(lambda);
    tokio::spawn(async move {
        while let Some(id) = starts.recv().await {
            tokio::spawn(keep(Weak::clone(&weak), id));
        }
    });
}

async fn keep(lambda: Weak<Lambda>, id: MappingId) {
    let Some(strong) = lambda.upgrade() else { return };
    let Some(mut changes) = strong.mappings.store.watch(&id) else { return };
    let mut poller = Poller::new(id.clone(), &changes.borrow().clone(), strong.now_ms());
    drop(strong);
    loop {
        let record = Arc::clone(&changes.borrow_and_update());
        let Some(strong) = lambda.upgrade() else { return };
        let done = match record.state.duty(record.enabled) {
            Duty::Settle(state) => strong.mapping_settle(&id, &record, state).await,
            Duty::Delete => match strong.mapping_forget(&id).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Duty::Rest => {
                drop(strong);
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Duty::Poll => {
                drop(strong);
                let ended = poller.poll(&lambda, &record, &mut changes).await;
                let Some(strong) = lambda.upgrade() else { return };
                match problem(ended, &record) {
                    Some(problem) => strong.mapping_disable(&id, &record, problem).await,
                    None => Ok(()),
                }
            }
        };
        if let Err(error) = done {
            tracing::error!(uuid = id.uuid, %error, "an event source mapping's state cannot be written");
            let Some(strong) = lambda.upgrade() else { return };
            let clock = Arc::clone(&strong.clock);
            drop(strong);
            wait::until(clock.as_ref(), clock.epoch_ms() + PAUSE_MS).await;
        }
    }
}

/// What keeps the mapping from being polled until its user does something about it.
fn problem(ended: Ended, record: &MappingRecord) -> Option<String> {
    match ended {
        Ended::Changed | Ended::ServerStops => None,
        Ended::QueueGone => Some(format!("The queue {} does not exist.", record.source_arn)),
        Ended::FunctionGone => {
            Some(format!("The function {} does not exist.", record.function_arn))
        }
        Ended::Damaged => Some("The mapping's settings cannot be read.".to_owned()),
    }
}

impl Lambda {
    /// Whether the function is there, and has the version or alias.
    pub(super) fn has_target(&self, target: &Target) -> bool {
        let function = self.functions.get(&target.id);
        function.is_some_and(|function| target.version(&function).is_ok())
    }

    async fn mapping_settle(
        &self,
        id: &MappingId,
        seen: &MappingRecord,
        state: State,
    ) -> Result<(), LambdaError> {
        self.mapping_change(id, seen, |next| next.state = state).await
    }

    async fn mapping_disable(
        &self,
        id: &MappingId,
        seen: &MappingRecord,
        problem: String,
    ) -> Result<(), LambdaError> {
        tracing::warn!(uuid = id.uuid, problem, "an event source mapping was disabled");
        self.mapping_change(id, seen, |next| {
            next.state = State::Disabled;
            next.enabled = false;
            next.initiator = Initiator::Lambda;
            next.problem = Some(problem);
            next.modified_ms = self.now_ms();
        })
        .await
    }

    /// Does nothing if somebody else has changed the mapping since it was seen: that is looked at next.
    async fn mapping_change(
        &self,
        id: &MappingId,
        seen: &MappingRecord,
        change: impl FnOnce(&mut MappingRecord),
    ) -> Result<(), LambdaError> {
        let writer = self.mappings.store.write().await;
        let Some(current) = self.mappings.store.get(id) else { return Ok(()) };
        if *current != *seen {
            return Ok(());
        }
        let mut next = MappingRecord::clone(&current);
        change(&mut next);
        writer.save(id, next).await.map(drop)
    }

    async fn mapping_forget(&self, id: &MappingId) -> Result<(), LambdaError> {
        self.mappings.store.write().await.delete(id).await
    }
}
