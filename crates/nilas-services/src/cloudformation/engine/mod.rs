//! Runs operations on stacks: what a deployment needs made, changed and deleted, step by step, each written down.
//!
//! An operation is a walk through phases (`Phase`). A phase is a loop of turns: what can begin is written down, then
//! begun; what has ended is written down with what can begin then. So there is one write a turn, and whoever reads the
//! store after a crash knows every step that may have had an effect: it is done again, marked as resumed.

mod deploy;
mod lookup;
mod outputs;
mod removal;
mod revert;
mod step;

pub(super) use lookup::{Exports, Planned};

use std::collections::BTreeSet;
use std::sync::Arc;

use nilas_model::{AccountId, AuthContext, Origin, Principal, Region};
use nilas_store::StoreError;
use nilas_wire::time;
use uuid::Uuid;

use super::CloudFormation;
use super::resource::Cx;
use super::stack::{
    Batch, Caller, Cell, Operation, Phase, ResourceStatus, Resources, Stack, StackEvent,
    StackResource, StackStatus, State, Version,
};
use step::Steps;

/// An operation on a stack, being run.
pub(super) struct Run {
    service: Arc<CloudFormation>,
    cell: Arc<Cell>,
    stack: Stack,
    resources: Resources,
    /// What is to be written next.
    batch: Batch,
    steps: Steps,
    /// The server has stopped in the middle of this phase.
    resumed: bool,
    /// Resources of which a step was under way then.
    in_doubt: BTreeSet<String>,
}

/// Runs the operation of `cell` in the background.
pub(super) fn start(service: &Arc<CloudFormation>, cell: &Arc<Cell>, resumed: bool) {
    let State { stack, resources } = State::clone(&cell.state());
    let in_doubt = resources.values().filter(|resource| resumed && resource.is_under_way());
    let in_doubt = in_doubt.map(|resource| resource.id.clone()).collect();
    let run = Run {
        service: Arc::clone(service),
        cell: Arc::clone(cell),
        stack,
        resources,
        batch: Batch::default(),
        steps: Steps::default(),
        resumed,
        in_doubt,
    };
    // It outlives its request by design: whoever wants to know how it ends looks at the stack.
    drop(tokio::spawn(run.run()));
}

impl Run {
    async fn run(mut self) {
        if let Err(error) = self.drive().await {
            let stack = self.stack.id.as_str();
            // The operation goes on when the server starts again.
            tracing::error!(
                stack,
                error = &error as &dyn std::error::Error,
                "stack operation stopped"
            );
        }
    }

    async fn drive(&mut self) -> Result<(), StoreError> {
        while let Some(operation) = &self.stack.operation {
            match operation.phase {
                Phase::Forward => self.deploy().await?,
                Phase::Rollback => self.revert().await?,
                Phase::Cleanup | Phase::RollbackCleanup | Phase::Delete => self.remove().await?,
            }
            // Only the steps of the phase that was under way are done again.
            self.resumed = false;
            self.in_doubt.clear();
        }
        Ok(())
    }

    /// The operation under way. Phases run only while there is one.
    fn operation(&self) -> &Operation {
        self.stack.operation.as_ref().expect("phases run while an operation is under way")
    }

    /// Writes down what has happened, and shows it.
    async fn commit(&mut self) -> Result<(), StoreError> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.stack(&self.stack);
        self.service.stacks.commit(batch).await?;
        let (stack, resources) = (self.stack.clone(), self.resources.clone());
        self.cell.publish(State { stack, resources });
        Ok(())
    }

    /// Changes the stack's status, with its event.
    fn turn_to(&mut self, status: StackStatus, reason: Option<String>) {
        let now_ms = self.service.clock.epoch_ms();
        self.stack.status = status;
        self.stack.status_reason.clone_from(&reason);
        let event = StackEvent {
            id: Uuid::new_v4().to_string(),
            logical_id: self.stack.name.clone(),
            physical_id: Some(self.stack.id.clone()),
            kind: "AWS::CloudFormation::Stack".to_owned(),
            time_ms: now_ms,
            status: status.as_str().to_owned(),
            reason,
            properties: None,
            request_token: self.request_token(),
        };
        self.batch.event(&mut self.stack, &event);
    }

    /// Changes a resource, with what is written of it and its event.
    fn put(&mut self, mut resource: StackResource) {
        resource.updated_ms = self.service.clock.epoch_ms();
        self.event_of(&resource, resource.status, resource.status_reason.clone());
        self.put_silently(resource);
    }

    fn put_silently(&mut self, resource: StackResource) {
        self.batch.resource(&self.stack, &resource);
        self.resources.insert(resource.id.clone(), Arc::new(resource));
    }

    fn event_of(
        &mut self,
        resource: &StackResource,
        status: ResourceStatus,
        reason: Option<String>,
    ) {
        self.event(&resource.id, &resource.version, status, reason);
    }

    fn event(
        &mut self,
        id: &str,
        version: &Version,
        status: ResourceStatus,
        reason: Option<String>,
    ) {
        let time_ms = self.service.clock.epoch_ms();
        let made = version.made.as_ref();
        let properties = serde_json::to_string(&version.properties).ok();
        let event = StackEvent {
            id: format!("{id}-{}-{}", status.as_str(), time::iso8601_millis(time_ms)),
            logical_id: id.to_owned(),
            physical_id: made.map(|made| made.physical_id.clone()),
            kind: version.kind.clone(),
            time_ms,
            status: status.as_str().to_owned(),
            reason,
            properties,
            request_token: self.request_token(),
        };
        self.batch.event(&mut self.stack, &event);
    }

    fn request_token(&self) -> Option<String> {
        self.stack.operation.as_ref().and_then(|operation| operation.request_token.clone())
    }

    /// What a step of `version` of the resource `id` gets. `tags` are the stack's.
    fn cx(&self, id: &str, version: &Version, tags: &[(String, String)]) -> Cx {
        let caller = &self.operation().caller;
        Cx {
            calls: self.service.calls.at(caller.local),
            auth: auth_of(&self.stack, caller),
            clock: Arc::clone(&self.service.clock),
            base_url: caller.base_url.clone(),
            stack_name: self.stack.name.clone(),
            stack_id: self.stack.id.clone(),
            stack_tags: tags.to_vec(),
            logical_id: id.to_owned(),
            kind: version.kind.clone(),
            callbacks: self.service.callbacks.clone(),
            token: version.token.clone(),
            resumed: self.in_doubt.contains(id),
        }
    }

    /// Ends the operation.
    fn finish(&mut self, status: StackStatus, reason: Option<String>) {
        self.turn_to(status, reason);
        self.stack.operation = None;
    }
}

/// `caller` as operations of other services get him.
pub(super) fn auth_of(stack: &Stack, caller: &Caller) -> AuthContext {
    let principal = match &caller.role {
        None => Principal::Root,
        Some((role_arn, session)) => {
            let (role_arn, session) = (role_arn.clone(), session.clone());
            match caller.is_roots {
                true => Principal::AssumedRole { role_arn, session },
                false => Principal::Role { role_arn, session },
            }
        }
    };
    AuthContext {
        account: AccountId::parse(&stack.account).expect("it was a caller's"),
        region: Region::parse(&stack.region).expect("it was a caller's"),
        principal,
        access_key_id: caller.access_key_id.clone(),
        origin: Origin::Loopback,
    }
}
