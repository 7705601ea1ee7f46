//! The phase that makes and changes what the target template says, resources in parallel as far as they do not wait
//! for one another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nilas_model::limits::STACK_STEPS_AT_ONCE_MAX;
use nilas_store::StoreError;
use serde_json::{Map, Value};

use super::Run;
use super::lookup::{Exports, Made, Planned};
use super::step::{Action, invalid};
use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::names;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Resource, ResourceType};
use crate::cloudformation::stack::{
    OnFailure, OperationKind, Phase, ResourceStatus, StackResource, StackStatus, Touch, Version,
};
use crate::cloudformation::target::Target;
use crate::cloudformation::template::{Declared, TemplateError};
use crate::cloudformation::types;

/// How far the phase has come.
#[derive(Default)]
struct Progress {
    waiting: BTreeSet<String>,
    done: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Why the phase stops, if not by a failed resource.
    stopped: Option<String>,
}

/// What a resource whose dependencies are there needs.
enum Decision {
    Unchanged,
    Begin(StackResource, Action),
    /// Before anything was done for it.
    Fail(StackResource, Failure),
}

impl Run {
    pub(super) async fn deploy(&mut self) -> Result<(), StoreError> {
        let operation = self.operation();
        let deployment = operation.target.clone().unwrap_or_default();
        let texts = self.service.stacks.template(&self.stack.uuid, deployment.template).await?;
        let arns = &self.stack.settings.notification_arns;
        let target = texts
            .ok_or_else(|| TemplateError("The template is not there any more.".to_owned()))
            .and_then(|texts| Target::new(&self.stack, &texts, &deployment, arns));
        let mut progress = Progress::default();
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                progress.stopped = Some(error.to_string());
                return self.give_up(&progress).await;
            }
        };
        let exports = self.service.exports(&self.stack);
        progress.waiting = target.resources().map(|declared| declared.id.clone()).collect();
        if !self.resumed {
            self.check_in_advance(&target, &exports, &mut progress);
        }
        self.make(&target, &exports, &mut progress).await?;
        if progress.stopped.is_none() && progress.failed.is_empty() {
            match self.outputs(&target, &exports) {
                Ok(outputs) => {
                    self.stack.outputs = outputs;
                    return self.succeed(&target, deployment).await;
                }
                Err(reason) => progress.stopped = Some(reason),
            }
        }
        self.give_up(&progress).await
    }

    /// Fails all resources whose properties can be seen not to fit their types, whatever others will be.
    fn check_in_advance(&mut self, target: &Target, exports: &Exports, progress: &mut Progress) {
        let mut faults = Vec::new();
        for declared in target.resources() {
            let Some(kind) = types::find(&declared.kind) else { continue };
            let planned = Planned { unchanged: &|_| false, resources: &self.resources, exports };
            let checked = match target.properties(declared, &planned) {
                Ok(properties) => Properties::check(kind, &properties)
                    .map_err(|faults| invalid(&declared.id, &faults)),
                Err(error) => Err(template_failure(&error)),
            };
            if let Err(failure) = checked {
                faults.push((declared, failure));
            }
        }
        for (declared, failure) in faults {
            let resource = self.begun(declared, Map::new());
            self.put(resource.clone());
            self.fail(resource, failure, progress);
        }
    }

    /// Turns, until all is done or something has failed and what was under way has ended.
    async fn make(
        &mut self,
        target: &Target,
        exports: &Exports,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let mut cancel = self.cell.cancel.subscribe();
        loop {
            let begun = self.turn(target, exports, progress);
            self.commit().await?;
            for (id, action) in begun {
                let version = self.resources[&id].version.clone();
                let Some(kind) = types::find(&version.kind) else { continue };
                let cx = self.cx(&id, &version, &target.tags);
                self.steps.begin(&id, cx, kind, action);
            }
            if self.steps.is_empty() {
                return Ok(());
            }
            let left = self.time_left();
            tokio::select! {
                ended = self.steps.ended() => {
                    for (id, result) in ended {
                        self.end_step(&id, result, progress);
                    }
                }
                _ = cancel.wait_for(|cancelled| *cancelled), if progress.stopped.is_none() => {
                    progress.stopped = Some("User Initiated".to_owned());
                }
                () = tokio::time::sleep(left), if progress.stopped.is_none() => {
                    progress.stopped = Some("Stack creation time exceeded the specified timeout.".to_owned());
                }
            }
        }
    }

    /// What is left of `TimeoutInMinutes`; long, if there is none.
    fn time_left(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(7 * 86_400);
        let operation = self.operation();
        let minutes = self.stack.settings.timeout_minutes;
        match minutes.filter(|_| operation.kind == OperationKind::Create) {
            None => LONG,
            Some(minutes) => {
                let until_ms = operation.began_ms.saturating_add(minutes.saturating_mul(60_000));
                Duration::from_millis(until_ms.saturating_sub(self.service.clock.epoch_ms()))
            }
        }
    }

    /// Takes everything that can begin now, and writes it down.
    fn turn(
        &mut self,
        target: &Target,
        exports: &Exports,
        progress: &mut Progress,
    ) -> Vec<(String, Action)> {
        let mut begun = Vec::new();
        loop {
            // What needed nothing done may have made others ready.
            let ready: Vec<&Declared> = target
                .resources()
                .filter(|declared| progress.waiting.contains(&declared.id))
                .filter(|declared| {
                    let needed = |id: &&String| {
                        target
                            .template
                            .resource(id)
                            .is_some_and(|it| target.holds(it.condition.as_ref()))
                    };
                    declared.depends_on.iter().filter(needed).all(|id| progress.done.contains(id))
                })
                .collect();
            let mut advanced = false;
            for declared in ready {
                let stopped = progress.stopped.is_some() || !progress.failed.is_empty();
                if stopped || self.steps.len() + begun.len() >= STACK_STEPS_AT_ONCE_MAX {
                    return begun;
                }
                progress.waiting.remove(&declared.id);
                match self.decide(target, exports, declared) {
                    Decision::Unchanged => {
                        progress.done.insert(declared.id.clone());
                        advanced = true;
                    }
                    Decision::Begin(resource, action) => {
                        begun.push((declared.id.clone(), action));
                        self.put(resource);
                    }
                    Decision::Fail(resource, failure) => {
                        self.put(resource.clone());
                        self.fail(resource, failure, progress);
                    }
                }
            }
            if !advanced {
                return begun;
            }
        }
    }

    fn decide(&mut self, target: &Target, exports: &Exports, declared: &Declared) -> Decision {
        let lookup = Made { resources: &self.resources, exports };
        let evaluated =
            target.properties(declared, &lookup).map_err(|error| template_failure(&error));
        let kind = types::find(&declared.kind);
        let checked = evaluated.and_then(|properties| {
            let kind = kind.ok_or_else(|| unknown_type(&declared.kind))?;
            let checked = Properties::check(kind, &properties);
            Ok((kind, checked.map_err(|faults| invalid(&declared.id, &faults))?))
        });
        let (kind, new) = match checked {
            Ok(checked) => checked,
            Err(failure) => return Decision::Fail(self.begun(declared, Map::new()), failure),
        };
        let existing = self.resources.get(&declared.id).cloned();
        let Some(existing) = existing.filter(|existing| is_there(existing)) else {
            let new = new.members().clone();
            let begun = self.begun(declared, new.clone());
            return Decision::Begin(begun, Action::Create { new });
        };
        // Touched and complete: this operation has done it already, before a crash.
        let tags_differ = self.tags_differ(target, kind);
        let settled = is_complete(&existing)
            && !existing.started
            && (existing.touch.is_some() && self.resumed
                || existing.version.properties == *new.members()
                    && existing.version.kind == declared.kind
                    && !tags_differ);
        if settled {
            self.keep(&existing, declared);
            return Decision::Unchanged;
        }
        self.change(declared, &existing, kind, &new)
    }

    /// Decides between an update in place and a replacement.
    fn change(
        &mut self,
        declared: &Declared,
        existing: &StackResource,
        kind: &ResourceType,
        new: &Properties,
    ) -> Decision {
        let replaced = existing.touch == Some(Touch::Replaced);
        // Its replacement was tried, in vain or perhaps in vain.
        let again = replaced && existing.version.made.is_none();
        // What it was when the operation began, were it tried already.
        let before = match (&existing.former, existing.touch) {
            (Some(former), Some(Touch::Updated)) => former.as_ref(),
            _ => &existing.version,
        };
        let old = Properties::from(before.properties.clone());
        let mut resource = self.begun(declared, new.members().clone());
        let replaces = existing.version.kind != declared.kind || kind.is_replaced(&old, new);
        if replaces && replaced && !again {
            let failure = Failure::invalid(
                "The resource was replaced by an update that failed: roll the stack back before it is replaced again.",
            );
            let resource =
                StackResource { status: ResourceStatus::UpdateInProgress, ..existing.clone() };
            return Decision::Fail(resource, failure);
        }
        resource.status = ResourceStatus::UpdateInProgress;
        resource.former = match &existing.former {
            Some(former) => Some(former.clone()),
            None => Some(Box::new(existing.version.clone())),
        };
        if again || replaces {
            let reason = "Requested update requires the creation of a new physical resource; hence creating one.";
            resource.status_reason = Some(reason.to_owned());
            resource.touch = Some(Touch::Replaced);
            return Decision::Begin(resource, Action::Create { new: new.members().clone() });
        }
        resource.version.token.clone_from(&existing.version.token);
        resource.version.made.clone_from(&existing.version.made);
        resource.touch = match existing.touch {
            Some(touch @ (Touch::Added | Touch::Replaced)) => Some(touch),
            _ => Some(Touch::Updated),
        };
        let made = existing.version.made.clone().unwrap_or_default();
        let (old, new) = (old.members().clone(), new.members().clone());
        Decision::Begin(resource, Action::Update { resource: made, old, new })
    }

    /// The resource as it is when its making begins. One whose making was under way at a crash keeps its token.
    fn begun(&self, declared: &Declared, properties: Map<String, Value>) -> StackResource {
        let before = self.resources.get(&declared.id);
        let in_doubt = before.filter(|before| before.started && before.version.made.is_none());
        let token = in_doubt.map_or_else(names::token, |before| before.version.token.clone());
        StackResource {
            id: declared.id.clone(),
            version: Version {
                kind: declared.kind.clone(),
                token,
                made: None,
                properties,
                depends_on: declared.depends_on.clone(),
                deletion_policy: declared.deletion_policy,
                update_replace_policy: declared.update_replace_policy,
                metadata: declared.metadata.clone(),
            },
            status: ResourceStatus::CreateInProgress,
            status_reason: None,
            updated_ms: 0,
            touch: Some(Touch::Added),
            started: true,
            former: None,
        }
    }

    /// Nothing is to be done to it; what the template says beside its properties may be new.
    fn keep(&mut self, existing: &StackResource, declared: &Declared) {
        let mut version = existing.version.clone();
        version.depends_on.clone_from(&declared.depends_on);
        version.deletion_policy = declared.deletion_policy;
        version.update_replace_policy = declared.update_replace_policy;
        version.metadata.clone_from(&declared.metadata);
        if version != existing.version {
            let former = existing.former.clone();
            let former = former.or_else(|| Some(Box::new(existing.version.clone())));
            let touch = existing.touch.or(Some(Touch::Kept));
            self.put_silently(StackResource { version, former, touch, ..existing.clone() });
        }
    }

    fn tags_differ(&self, target: &Target, kind: &ResourceType) -> bool {
        let deployed = self.stack.deployment.as_ref();
        let takes_tags = kind.property("Tags").is_some_and(|tags| !tags.inert);
        takes_tags && deployed.is_some_and(|deployed| deployed.tags != target.tags)
    }

    fn end_step(&mut self, id: &str, result: Result<Resource, Failure>, progress: &mut Progress) {
        let mut resource = StackResource::clone(&self.resources[id]);
        resource.started = false;
        match result {
            Ok(made) => {
                if resource.version.made.is_none() {
                    let mut initiated = resource.version.clone();
                    initiated.made = Some(made.clone());
                    let status = resource.status;
                    let reason = "Resource creation Initiated".to_owned();
                    self.event(id, &initiated, status, Some(reason));
                }
                resource.version.made = Some(made);
                resource.status = match resource.status {
                    ResourceStatus::CreateInProgress => ResourceStatus::CreateComplete,
                    _ => ResourceStatus::UpdateComplete,
                };
                resource.status_reason = None;
                self.put(resource);
                progress.done.insert(id.to_owned());
            }
            Err(failure) => self.fail(resource, failure, progress),
        }
    }

    fn fail(&mut self, mut resource: StackResource, failure: Failure, progress: &mut Progress) {
        resource.started = false;
        resource.status = match resource.status {
            ResourceStatus::CreateInProgress => ResourceStatus::CreateFailed,
            _ => ResourceStatus::UpdateFailed,
        };
        resource.status_reason = Some(failure.reason);
        if let Some(made) = failure.made {
            resource.version.made = Some(*made);
        }
        progress.waiting.remove(&resource.id);
        progress.failed.insert(resource.id.clone());
        self.put(resource);
    }

    async fn succeed(
        &mut self,
        target: &Target,
        deployment: crate::cloudformation::stack::Deployment,
    ) -> Result<(), StoreError> {
        self.stack.imports = self.imported(target);
        self.stack.deployment = Some(deployment);
        if self.operation().kind == OperationKind::Create {
            self.settle();
            self.finish(StackStatus::CreateComplete, None);
        } else {
            self.go_to(Phase::Cleanup);
            self.turn_to(StackStatus::UpdateCleanupInProgress, None);
        }
        self.commit().await
    }

    async fn give_up(&mut self, progress: &Progress) -> Result<(), StoreError> {
        let operation = self.operation();
        let (kind, on_failure) = (operation.kind, operation.on_failure);
        let reason = self.reason(progress);
        let requested = format!("{reason}Rollback requested by user.");
        match (kind, on_failure) {
            (OperationKind::Create, OnFailure::DoNothing) => {
                self.stack.deployment = self.operation().target.clone();
                self.settle();
                self.finish(StackStatus::CreateFailed, Some(reason));
            }
            (OperationKind::Create, OnFailure::Rollback) => {
                self.go_to(Phase::Delete);
                self.turn_to(StackStatus::RollbackInProgress, Some(requested));
            }
            (OperationKind::Create, OnFailure::Delete) => {
                self.go_to(Phase::Delete);
                self.turn_to(
                    StackStatus::DeleteInProgress,
                    Some(format!("{reason}Delete requested by user.")),
                );
            }
            (_, OnFailure::DoNothing) => self.finish(StackStatus::UpdateFailed, Some(reason)),
            (_, OnFailure::Rollback | OnFailure::Delete) => {
                self.go_to(Phase::Rollback);
                self.turn_to(StackStatus::UpdateRollbackInProgress, Some(reason));
            }
        }
        self.commit().await
    }

    /// `The following resource(s) failed to create: [A, B]. `
    fn reason(&self, progress: &Progress) -> String {
        let mut failed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for id in &progress.failed {
            let created = self.resources[id].status == ResourceStatus::CreateFailed;
            failed.entry(if created { "create" } else { "update" }).or_default().push(id);
        }
        let mut reason = String::new();
        for (verb, ids) in failed {
            reason +=
                &format!("The following resource(s) failed to {verb}: [{}]. ", ids.join(", "));
        }
        if let Some(stopped) = &progress.stopped {
            reason = format!("{stopped} {reason}");
        }
        reason
    }

    pub(super) fn go_to(&mut self, phase: Phase) {
        if let Some(operation) = &mut self.stack.operation {
            operation.phase = phase;
        }
    }

    /// Forgets what the operation has done: there is no way back any more.
    pub(super) fn settle(&mut self) {
        let touched: Vec<_> = self
            .resources
            .values()
            .filter(|resource| {
                resource.touch.is_some() || resource.former.is_some() || resource.started
            })
            .cloned()
            .collect();
        for resource in touched {
            let resource = StackResource::clone(&resource);
            self.put_silently(StackResource {
                touch: None,
                former: None,
                started: false,
                ..resource
            });
        }
    }
}

/// Whether there is something of it to update: one whose making failed is made anew.
fn is_there(existing: &StackResource) -> bool {
    match existing.touch {
        Some(Touch::Replaced) => true,
        _ => existing.version.made.is_some() && existing.status != ResourceStatus::CreateFailed,
    }
}

fn is_complete(resource: &StackResource) -> bool {
    matches!(resource.status, ResourceStatus::CreateComplete | ResourceStatus::UpdateComplete)
}

fn template_failure(error: &TemplateError) -> Failure {
    Failure::plain(HandlerErrorCode::InvalidRequest, error.to_string())
}

pub(super) fn unknown_type(name: &str) -> Failure {
    let reason = format!("Resource type {name} is not supported by nilas.");
    Failure::plain(HandlerErrorCode::InvalidRequest, reason)
}
