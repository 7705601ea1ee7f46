//! The phase that changes back what a failed update has changed. What it made is deleted in the next phase.

use std::collections::{BTreeMap, BTreeSet};

use nilas_model::limits::STACK_STEPS_AT_ONCE_MAX;
use nilas_store::StoreError;

use super::Run;
use super::deploy::unknown_type;
use super::step::Action;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::resource::Resource;
use crate::cloudformation::stack::{Phase, ResourceStatus, StackResource, StackStatus, Touch};
use crate::cloudformation::types;

impl Run {
    pub(super) async fn revert(&mut self) -> Result<(), StoreError> {
        let tags = self.stack.deployment.as_ref().map(|it| it.tags.clone()).unwrap_or_default();
        let mut left = self.restore_at_once();
        let mut failed = BTreeSet::new();
        loop {
            let ready = self.ready_to_revert(&left);
            let mut begun = Vec::new();
            for id in ready {
                let Some(depends_on) = left.remove(&id) else { continue };
                match self.begin_revert(&id) {
                    Some(action) => begun.push((id.clone(), action)),
                    None => continue,
                }
                // While it is under way, those that depend on it wait.
                left.insert(id, depends_on);
            }
            self.commit().await?;
            for (id, action) in begun {
                let version = self.resources[&id].version.clone();
                let Some(kind) = types::find(&version.kind) else {
                    self.end_revert(&id, Err(unknown_type(&version.kind)), &mut failed);
                    left.remove(&id);
                    continue;
                };
                let cx = self.cx(&id, &version, &tags);
                self.steps.begin(&id, cx, kind, action);
            }
            if self.steps.is_empty() {
                break;
            }
            for (id, result) in self.steps.ended().await {
                self.end_revert(&id, result, &mut failed);
                left.remove(&id);
            }
        }
        if failed.is_empty() {
            self.go_to(Phase::RollbackCleanup);
            self.turn_to(StackStatus::UpdateRollbackCleanupInProgress, None);
        } else {
            let failed: Vec<String> = failed.into_iter().collect();
            let reason =
                format!("The following resource(s) failed to update: [{}]. ", failed.join(", "));
            self.finish(StackStatus::UpdateRollbackFailed, Some(reason));
        }
        self.commit().await
    }

    /// Puts back what needs no call of a service. Answers the others, with what each waits for.
    fn restore_at_once(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let spared = self.operation().spared.clone();
        let mut left = BTreeMap::new();
        let touched: Vec<StackResource> = self
            .resources
            .values()
            .filter(|resource| resource.touch.is_some())
            .map(|resource| StackResource::clone(resource))
            .collect();
        for mut resource in touched {
            let Some(former) = resource.former.clone() else { continue };
            match resource.touch {
                Some(Touch::Updated) if !spared.contains(&resource.id) => {
                    left.insert(resource.id.clone(), former.depends_on.clone());
                }
                Some(Touch::Updated) => {
                    resource.version = *former;
                    (resource.touch, resource.former, resource.started) = (None, None, false);
                    resource.status = ResourceStatus::UpdateComplete;
                    resource.status_reason = None;
                    self.put(resource);
                }
                Some(Touch::Kept) => {
                    resource.version = *former;
                    (resource.touch, resource.former) = (None, None);
                    self.put_silently(resource);
                }
                Some(Touch::Replaced) => {
                    let new = std::mem::replace(&mut resource.version, *former);
                    resource.former = new.made.is_some().then(|| Box::new(new));
                    resource.touch = Some(Touch::Swapped);
                    resource.status = ResourceStatus::UpdateComplete;
                    resource.status_reason = None;
                    resource.started = false;
                    self.put(resource);
                }
                Some(Touch::Added | Touch::Swapped) | None => {}
            }
        }
        left
    }

    /// Those that wait for nothing that is left.
    fn ready_to_revert(&self, left: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let under_way = |id: &str| {
            let resource = self.resources.get(id);
            resource.is_some_and(|resource| self.steps.has(&resource.id))
        };
        let room = STACK_STEPS_AT_ONCE_MAX.saturating_sub(self.steps.len());
        left.iter()
            .filter(|(id, _)| !under_way(id))
            .filter(|(_, needs)| needs.iter().all(|need| !left.contains_key(need)))
            .map(|(id, _)| id.clone())
            .take(room)
            .collect()
    }

    /// Writes down that the resource is being changed back. None if there is nothing to change it back to.
    fn begin_revert(&mut self, id: &str) -> Option<Action> {
        let mut resource = StackResource::clone(self.resources.get(id)?);
        let former = resource.former.clone()?;
        let made = resource.version.made.clone().or_else(|| former.made.clone())?;
        let (old, new) = (resource.version.properties.clone(), former.properties);
        resource.status = ResourceStatus::UpdateInProgress;
        resource.status_reason = None;
        resource.started = true;
        self.put(resource);
        Some(Action::Update { resource: made, old, new })
    }

    fn end_revert(
        &mut self,
        id: &str,
        result: Result<Resource, Failure>,
        failed: &mut BTreeSet<String>,
    ) {
        let mut resource = StackResource::clone(&self.resources[id]);
        resource.started = false;
        match (result, resource.former.take()) {
            (Ok(made), Some(former)) => {
                // An update may have made a new one, under another id.
                let new = std::mem::replace(&mut resource.version, *former);
                let other = |new: &Resource| new.physical_id != made.physical_id;
                let differs = new.made.as_ref().is_some_and(other);
                resource.former = differs.then(|| Box::new(new));
                resource.touch = differs.then_some(Touch::Swapped);
                resource.version.made = Some(made);
                resource.status = ResourceStatus::UpdateComplete;
                resource.status_reason = None;
            }
            (Ok(_), None) => {}
            (Err(failure), former) => {
                resource.former = former;
                resource.status = ResourceStatus::UpdateFailed;
                resource.status_reason = Some(failure.reason);
                failed.insert(id.to_owned());
            }
        }
        self.put(resource);
    }
}
