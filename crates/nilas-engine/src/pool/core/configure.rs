//! Reserved and provisioned concurrency: what is set for a function, and keeping it so.

use nilas_model::{FunctionId, FunctionKey};

use super::Pool;
use crate::pool::event::{Action, Concurrency, ProvisionFailure, Slot};
use crate::pool::function::Provision;
use crate::pool::state::EnvironmentState;

/// What there is of a provision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProvisionStatus {
    /// Environments that are initialised, busy ones included.
    pub(crate) allocated: usize,
    /// Why the rest is missing, if the last try failed.
    pub(crate) failure: Option<ProvisionFailure>,
}

impl Pool {
    pub(crate) fn provision_status(&self, key: &FunctionKey) -> Option<ProvisionStatus> {
        let function = self.functions.get(&key.function)?;
        let provision = function.provisions.get(&key.version)?;
        let environments = provision.slots.iter().filter_map(|slot| self.environments.get(slot));
        let allocated = environments.filter(|e| !e.state.is_starting()).count();
        Some(ProvisionStatus { allocated, failure: provision.failure })
    }

    pub(super) fn configure(
        &mut self,
        id: &FunctionId,
        concurrency: Concurrency,
        actions: &mut Vec<Action>,
    ) {
        if self.closing {
            return;
        }
        let function = self.functions.entry(id.clone()).or_default();
        self.ledger.reserve(function, concurrency.reserved);
        let mut surplus = Vec::new();
        let before = std::mem::take(&mut function.provisions);
        for (version, provision) in before {
            let wanted = concurrency.provisioned.get(&version).copied();
            surplus.extend(function.keep(version, provision, wanted));
        }
        for (version, wanted) in concurrency.provisioned {
            function.provisions.entry(version).or_insert_with(|| Provision::new(wanted));
        }
        if function.provisions.is_empty() {
            self.provisioned.remove(id);
        } else {
            self.provisioned.insert(id.clone());
        }
        self.trim(id, &mut surplus);
        for slot in surplus {
            self.retire_environment(slot, actions);
        }
        // Whoever has nothing to start leaves the line at once, and is forgotten if nothing is left of it.
        self.join_line(id);
    }

    /// Adds those to `surplus` that are more than is wanted: what still boots before what is idle before what is
    /// busy.
    fn trim(&self, id: &FunctionId, surplus: &mut Vec<Slot>) {
        let Some(function) = self.functions.get(id) else { return };
        for provision in function.provisions.values() {
            let mut slots: Vec<Slot> = provision.slots.iter().copied().collect();
            slots.sort_by_key(|slot| {
                let state = self.environments.get(slot).map(|environment| environment.state);
                (
                    state == Some(EnvironmentState::Leased),
                    state.is_some_and(EnvironmentState::is_idle),
                )
            });
            let more = slots.len().saturating_sub(provision.wanted.count);
            surplus.extend(slots.into_iter().take(more));
        }
    }

    /// One of a provision is ready: what went wrong before is mended.
    pub(super) fn provisioned_one(&mut self, slot: Slot) {
        if let Some(provision) = self.provision_of(slot) {
            provision.failure = None;
        }
    }

    pub(super) fn provision_failed(&mut self, now_ms: u64, slot: Slot, failure: ProvisionFailure) {
        let retry_at_ms = now_ms + self.config.provision_retry_ms;
        if let Some(provision) = self.provision_of(slot) {
            provision.failure = Some(failure);
            provision.retry_at_ms = retry_at_ms;
        }
    }

    /// The environment ends or is about to: another one takes its place.
    pub(super) fn leave_provision(&mut self, slot: Slot) {
        if let Some(provision) = self.provision_of(slot) {
            provision.slots.remove(&slot);
            let id = self.environments.get(&slot).map(|e| e.function.function.clone());
            if let Some(id) = id {
                self.join_line(&id);
            }
        }
    }

    /// Provisions that could not be started then may be now.
    pub(super) fn look_after_provisions(&mut self) {
        let lacking = self.provisioned.iter().filter(|id| {
            let function = self.functions.get(id);
            function.is_some_and(|function| function.provisions.values().any(Provision::lacks))
        });
        let lacking: Vec<FunctionId> = lacking.cloned().collect();
        for id in lacking {
            self.join_line(&id);
        }
    }

    /// The provision that counts this environment.
    fn provision_of(&mut self, slot: Slot) -> Option<&mut Provision> {
        let environment = self.environments.get(&slot)?;
        let function = self.functions.get_mut(&environment.function.function)?;
        let provision = function.provisions.get_mut(&environment.function.version)?;
        provision.slots.contains(&slot).then_some(provision)
    }
}
