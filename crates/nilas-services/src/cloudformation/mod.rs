//! CloudFormation (query protocol): templates, stacks, change sets, and the resource types that templates may name.
//!
//! An operation checks, writes down what is to be done and starts it (`engine`); most are done before the answer goes
//! out, since clients sleep for seconds between two looks.

mod callbacks;
mod dynamic;
mod engine;
mod failure;
mod fault;
mod local_urls;
mod names;
mod operations;
mod plan;
#[expect(dead_code, reason = "the types of other services use the rest")]
mod properties;
mod resource;
mod stack;
mod target;
mod template;
mod types;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use nilas_model::limits::STACK_ANSWER_MS_MAX;
use nilas_model::{AuthContext, Clock};
use nilas_store::{Records, StoreError};
use nilas_wire::query::Form;
use nilas_wire::{ApiRequest, ApiResponse, Service, encode_fault};

use crate::calls::Calls;
use crate::s3::S3;
use callbacks::Callbacks;
use engine::Exports;
use stack::{Cell, Stack, Stacks, State};

/// The service: all stacks, and what running their operations needs.
#[derive(Debug)]
pub(crate) struct CloudFormation {
    stacks: Stacks,
    calls: Calls,
    clock: Arc<dyn Clock>,
    callbacks: Callbacks,
    /// Where templates are read from.
    s3: Arc<S3>,
    /// Held from the check that an operation may begin until it is written down.
    admission: tokio::sync::Mutex<()>,
}

impl CloudFormation {
    pub(crate) async fn open(
        records: Records,
        calls: Calls,
        clock: Arc<dyn Clock>,
        s3: Arc<S3>,
    ) -> Result<Arc<Self>, StoreError> {
        let stacks = Stacks::load(records).await?;
        let admission = tokio::sync::Mutex::default();
        Ok(Arc::new(Self { stacks, calls, clock, callbacks: Callbacks::default(), s3, admission }))
    }

    /// Goes on with every operation that was under way when the server stopped.
    pub(crate) fn resume(self: &Arc<Self>) {
        for cell in self.stacks.all() {
            if cell.state().stack.operation.is_some() {
                engine::start(self, &cell, true);
            }
        }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(
        self: &Arc<Self>,
        auth: &AuthContext,
        request: &ApiRequest,
    ) -> ApiResponse {
        let form = Form::of(request);
        let cx = operations::Cx { service: self, auth, request, form: &form };
        match operations::run(&cx).await {
            Ok(response) => response,
            Err(fault) => {
                encode_fault(Service::CloudFormation.protocol(), &fault, &request.request_id)
            }
        }
    }

    /// Takes what a function that makes resources answers.
    pub(crate) fn callback(&self, token: &str, request: &ApiRequest) -> ApiResponse {
        self.callbacks.take(token, request)
    }

    /// Starts what `cell` has written down, and waits for its end as long as an answer may.
    async fn run(self: &Arc<Self>, cell: &Arc<Cell>) {
        cell.cancel.send_replace(false);
        engine::start(self, cell, false);
        let limit = Duration::from_millis(STACK_ANSWER_MS_MAX);
        // In vain if it takes longer: it goes on in the background.
        tokio::time::timeout(limit, cell.settled()).await.unwrap_or(());
    }

    /// The other stacks of the same account and region that are there.
    fn others(&self, stack: &Stack) -> Vec<Arc<State>> {
        let states = self.stacks.all().into_iter().map(|cell| cell.state());
        let is_other = |state: &Arc<State>| {
            let other = &state.stack;
            other.uuid != stack.uuid
                && other.deleted_ms.is_none()
                && other.account == stack.account
                && other.region == stack.region
        };
        states.filter(is_other).collect()
    }

    /// What the other stacks export.
    fn exports(&self, stack: &Stack) -> Exports {
        let mut exports = Exports::new();
        for state in self.others(stack) {
            for output in &state.stack.outputs {
                if let Some(name) = &output.export {
                    exports.insert(name.clone(), output.value.clone());
                }
            }
        }
        exports
    }
}
