//! The phases that delete: what an update no longer needs, what a failed one has made, or all of a stack. What others
//! depend on goes after them.

use std::collections::BTreeSet;

use nilas_model::limits::STACK_STEPS_AT_ONCE_MAX;
use nilas_store::StoreError;

use super::Run;
use super::deploy::unknown_type;
use super::step::Action;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::resource::Resource;
use crate::cloudformation::stack::{
    OnFailure, OperationKind, Phase, ResourceStatus, StackResource, StackStatus, Touch, Version,
};
use crate::cloudformation::target::Target;
use crate::cloudformation::template::Policy;
use crate::cloudformation::types;

/// Which of a resource's two is to be deleted. The former one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Former,
    Main,
}

type Doomed = BTreeSet<(String, Part)>;

impl Run {
    pub(super) async fn remove(&mut self) -> Result<(), StoreError> {
        if let Some(reason) = self.export_in_use() {
            self.finish(StackStatus::DeleteFailed, Some(reason));
            return self.commit().await;
        }
        let mut left = self.doomed().await?;
        let mut under_way = Doomed::new();
        let mut failed = BTreeSet::new();
        loop {
            let begun = self.removal_turn(&mut left, &mut under_way, &failed);
            self.commit().await?;
            for (id, part) in begun {
                self.begin_removal(&id, part, &mut under_way, &mut failed);
            }
            if self.steps.is_empty() {
                break;
            }
            for (id, result) in self.steps.ended().await {
                let part = under_way.iter().find(|(known, _)| *known == id).map(|(_, part)| *part);
                let Some(part) = part else { continue };
                under_way.remove(&(id.clone(), part));
                self.end_removal(&id, part, result, &mut failed);
            }
        }
        self.end_phase(&failed);
        self.commit().await
    }

    /// Why the stack cannot be deleted.
    fn export_in_use(&self) -> Option<String> {
        if self.operation().kind != OperationKind::Delete {
            return None;
        }
        let others = self.service.others(&self.stack);
        self.stack.outputs.iter().filter_map(|output| output.export.as_ref()).find_map(|name| {
            let user = others.iter().find(|other| other.stack.imports.contains(name))?;
            Some(format!("Export {name} cannot be deleted as it is in use by {}", user.stack.name))
        })
    }

    async fn doomed(&self) -> Result<Doomed, StoreError> {
        let phase = self.operation().phase;
        let kept = match phase {
            Phase::Cleanup => self.declared_now().await?,
            _ => BTreeSet::new(),
        };
        let mut doomed = Doomed::new();
        for resource in self.resources.values() {
            let gone = matches!(
                resource.status,
                ResourceStatus::DeleteComplete | ResourceStatus::DeleteSkipped
            );
            let main = match phase {
                Phase::Cleanup => !kept.contains(&resource.id),
                Phase::RollbackCleanup => resource.touch == Some(Touch::Added),
                _ => !gone,
            };
            if main {
                doomed.insert((resource.id.clone(), Part::Main));
            }
            if is_former_left(resource) {
                doomed.insert((resource.id.clone(), Part::Former));
            }
        }
        Ok(doomed)
    }

    /// The resources that the stack's template has.
    async fn declared_now(&self) -> Result<BTreeSet<String>, StoreError> {
        let deployment = self.stack.deployment.clone().unwrap_or_default();
        let texts = self.service.stacks.template(&self.stack.uuid, deployment.template).await?;
        let arns = &self.stack.settings.notification_arns;
        let target =
            texts.and_then(|texts| Target::new(&self.stack, &texts, &deployment, arns).ok());
        // Without it nothing can be told to be superfluous.
        let ids = match &target {
            Some(target) => target.resources().map(|declared| declared.id.clone()).collect(),
            None => self.resources.keys().cloned().collect(),
        };
        Ok(ids)
    }

    /// Takes what can go now, and writes it down.
    fn removal_turn(
        &mut self,
        left: &mut Doomed,
        under_way: &mut Doomed,
        failed: &BTreeSet<String>,
    ) -> Vec<(String, Part)> {
        let mut begun = Vec::new();
        loop {
            let room = STACK_STEPS_AT_ONCE_MAX.saturating_sub(self.steps.len() + begun.len());
            let mut ready: Vec<(String, Part)> = left
                .iter()
                .filter(|item| !self.is_needed(item, left, under_way, failed))
                .take(room)
                .cloned()
                .collect();
            if ready.is_empty() && self.steps.is_empty() && begun.is_empty() && failed.is_empty() {
                // Parts of two templates may wait for each other: any order is as good then.
                ready.extend(left.first().cloned());
            }
            let mut advanced = false;
            for item in ready {
                left.remove(&item);
                if self.spare(&item.0, item.1) {
                    advanced = true;
                    continue;
                }
                self.mark_deleting(&item.0, item.1);
                under_way.insert(item.clone());
                begun.push(item);
            }
            if !advanced {
                return begun;
            }
        }
    }

    /// Whether something that is still there depends on `item`.
    fn is_needed(
        &self,
        item: &(String, Part),
        left: &Doomed,
        under_way: &Doomed,
        failed: &BTreeSet<String>,
    ) -> bool {
        let (id, part) = item;
        let same = (id.clone(), Part::Former);
        if *part == Part::Main && (left.contains(&same) || under_way.contains(&same)) {
            return true;
        }
        let needs = |other: &(String, Part)| {
            other.0 != *id
                && self.part(&other.0, other.1).is_some_and(|it| it.depends_on.contains(id))
        };
        left.iter().any(needs)
            || under_way.iter().any(needs)
            || failed.iter().any(|other| needs(&(other.clone(), Part::Main)))
    }

    fn part(&self, id: &str, part: Part) -> Option<&Version> {
        let resource = self.resources.get(id)?;
        match part {
            Part::Main => Some(&resource.version),
            Part::Former => resource.former.as_deref(),
        }
    }

    /// Whether it is not deleted but left alone, or was never there; done with then.
    fn spare(&mut self, id: &str, part: Part) -> bool {
        let Some(version) = self.part(id, part).cloned() else { return true };
        let operation = self.operation();
        let creating = operation.kind == OperationKind::Create;
        let replaced = part == Part::Former && operation.phase == Phase::Cleanup;
        let policy = if replaced { version.update_replace_policy } else { version.deletion_policy };
        // What an operation that failed has made itself is not worth keeping, for one of the policies.
        let made_now = creating || operation.phase == Phase::RollbackCleanup;
        let retained = match policy {
            Policy::Delete => false,
            Policy::Retain => true,
            Policy::RetainExceptOnCreate => !made_now,
        };
        let spared = operation.kind == OperationKind::Delete && operation.spared.contains(id);
        if version.made.is_none() {
            self.removed(id, part, &version, ResourceStatus::DeleteComplete);
            return true;
        }
        if retained || spared {
            self.removed(id, part, &version, ResourceStatus::DeleteSkipped);
            return true;
        }
        false
    }

    fn mark_deleting(&mut self, id: &str, part: Part) {
        match part {
            Part::Main => {
                let mut resource = StackResource::clone(&self.resources[id]);
                resource.status = ResourceStatus::DeleteInProgress;
                resource.status_reason = None;
                self.put(resource);
            }
            Part::Former => {
                if let Some(version) = self.part(id, part).cloned() {
                    self.event(id, &version, ResourceStatus::DeleteInProgress, None);
                }
            }
        }
    }

    fn begin_removal(
        &mut self,
        id: &str,
        part: Part,
        under_way: &mut Doomed,
        failed: &mut BTreeSet<String>,
    ) {
        let Some(version) = self.part(id, part).cloned() else { return };
        let Some(kind) = types::find(&version.kind) else {
            under_way.remove(&(id.to_owned(), part));
            self.end_removal(id, part, Err(unknown_type(&version.kind)), failed);
            return;
        };
        let deployed = self.stack.deployment.as_ref();
        let tags = deployed.map(|deployed| deployed.tags.clone()).unwrap_or_default();
        let cx = self.cx(id, &version, &tags);
        let resource = version.made.clone().unwrap_or_default();
        let action = Action::Delete { resource, old: version.properties };
        self.steps.begin(id, cx, kind, action);
    }

    fn end_removal(
        &mut self,
        id: &str,
        part: Part,
        result: Result<Resource, Failure>,
        failed: &mut BTreeSet<String>,
    ) {
        let Some(version) = self.part(id, part).cloned() else { return };
        let failure = match result {
            Ok(_) => return self.removed(id, part, &version, ResourceStatus::DeleteComplete),
            Err(failure) => failure,
        };
        let deletes = self.operation().phase == Phase::Delete;
        if deletes && part == Part::Main {
            let mut resource = StackResource::clone(&self.resources[id]);
            resource.status = ResourceStatus::DeleteFailed;
            resource.status_reason = Some(failure.reason);
            self.put(resource);
            failed.insert(id.to_owned());
            return;
        }
        // A stack that has been updated does not fail because something old stays.
        self.event(id, &version, ResourceStatus::DeleteFailed, Some(failure.reason));
        self.forget(id, part);
    }

    /// It is gone, or no longer the stack's.
    fn removed(&mut self, id: &str, part: Part, version: &Version, status: ResourceStatus) {
        if self.operation().phase == Phase::Delete && part == Part::Main {
            let mut resource = StackResource::clone(&self.resources[id]);
            resource.status = status;
            resource.status_reason = None;
            resource.started = false;
            self.put(resource);
            return;
        }
        self.event(id, version, status, None);
        self.forget(id, part);
    }

    fn forget(&mut self, id: &str, part: Part) {
        match part {
            Part::Main => {
                self.batch.drop_resource(&self.stack, id);
                self.resources.remove(id);
            }
            Part::Former => {
                let resource = StackResource::clone(&self.resources[id]);
                self.put_silently(StackResource { former: None, touch: None, ..resource });
            }
        }
    }

    fn end_phase(&mut self, failed: &BTreeSet<String>) {
        let operation = self.operation();
        let (kind, phase) = (operation.kind, operation.phase);
        let rolls_back = kind == OperationKind::Create && operation.on_failure != OnFailure::Delete;
        let reason = (!failed.is_empty()).then(|| {
            let failed: Vec<&str> = failed.iter().map(String::as_str).collect();
            format!("The following resource(s) failed to delete: [{}]. ", failed.join(", "))
        });
        match phase {
            Phase::Cleanup => {
                self.settle();
                self.finish(StackStatus::UpdateComplete, None);
            }
            Phase::RollbackCleanup => {
                self.settle();
                self.finish(StackStatus::UpdateRollbackComplete, None);
            }
            _ if reason.is_some() && rolls_back => self.finish(StackStatus::RollbackFailed, reason),
            _ if reason.is_some() => self.finish(StackStatus::DeleteFailed, reason),
            _ if rolls_back => self.finish(StackStatus::RollbackComplete, None),
            _ => {
                self.stack.deleted_ms = Some(self.service.clock.epoch_ms());
                self.finish(StackStatus::DeleteComplete, None);
            }
        }
    }
}

/// Whether `former` is something else than what the resource is now.
fn is_former_left(resource: &StackResource) -> bool {
    let Some(former) = resource.former.as_ref().and_then(|former| former.made.as_ref()) else {
        return false;
    };
    let replaced = matches!(resource.touch, Some(Touch::Replaced | Touch::Swapped));
    let now = resource.version.made.as_ref();
    replaced || now.is_some_and(|now| now.physical_id != former.physical_id)
}
