//! What the pool keeps of one function: who waits, which environments there are, what is provisioned.

use std::collections::{BTreeMap, BTreeSet};

use nilas_model::Version;

use super::event::{ProvisionFailure, Slot, Ticket, Wanted};

/// Environments of one group are interchangeable. Generations of a version are neighbours, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    pub(super) version: Version,
    pub(super) generation: u64,
}

/// Where an idle environment stands in line: provisioned ones are leased first, then the one used last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdleKey {
    pub(super) provisioned: bool,
    /// Grows with each environment that comes to rest.
    pub(super) rest: u64,
}

/// Invariant: nobody waits while an environment is idle, but for memory.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) idle: BTreeMap<IdleKey, Slot>,
    /// Invocations without an environment; the least ticket is the oldest.
    pub(super) waiting: BTreeSet<Ticket>,
    /// All that are not gone.
    pub(super) environments: BTreeSet<Slot>,
    /// There is a newer generation: what comes back ends.
    pub(super) retired: bool,
}

/// What is provisioned of one version.
#[derive(Debug)]
pub(super) struct Provision {
    pub(super) wanted: Wanted,
    /// Invariant: provisioned, alive, of the wanted generation and not about to end; ≤ `wanted.count` once trimmed.
    pub(super) slots: BTreeSet<Slot>,
    pub(super) failure: Option<ProvisionFailure>,
    /// No start before.
    pub(super) retry_at_ms: u64,
}

/// What is to be started next for a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Waiter(Ticket, Waiter),
    Provision(GroupKey, Wanted),
}

/// An invocation without an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) at: GroupKey,
    /// Of the environment it needs.
    pub(super) memory_bytes: u64,
    pub(super) since_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) reserved: Option<usize>,
    pub(super) provisions: BTreeMap<Version, Provision>,
    pub(super) groups: BTreeMap<GroupKey, Group>,
    /// All that wait, of whatever version, oldest first.
    pub(super) waiting: BTreeMap<Ticket, Waiter>,
    /// Concurrency in use: its provisioned environments, and its invocations that have none of these.
    pub(super) used: usize,
    /// Environments that are Starting or Initializing.
    pub(super) starting: usize,
    /// It is in the line of those that have something to start, or among those that wait for memory.
    pub(super) in_line: bool,
}

// === impl GroupKey ===

impl GroupKey {
    /// Every older generation of the version.
    pub(super) fn older(version: Version, than: u64) -> std::ops::Range<Self> {
        Self { version, generation: 0 }..Self { version, generation: than }
    }
}

// === impl Provision ===

impl Provision {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, slots: BTreeSet::new(), failure: None, retry_at_ms: 0 }
    }

    pub(super) fn lacks(&self) -> bool {
        self.slots.len() < self.wanted.count
    }
}

// === impl Function ===

impl Function {
    pub(super) fn is_unused(&self) -> bool {
        self.reserved.is_none()
            && self.provisions.is_empty()
            && self.groups.is_empty()
            && !self.in_line
    }

    /// Drops a group that has neither environments nor waiters.
    pub(super) fn forget_group(&mut self, at: GroupKey) {
        let unused = |group: &Group| group.environments.is_empty() && group.waiting.is_empty();
        if self.groups.get(&at).is_some_and(unused) {
            self.groups.remove(&at);
        }
    }

    pub(super) fn wait(&mut self, ticket: Ticket, waiter: Waiter) {
        self.groups.entry(waiter.at).or_default().waiting.insert(ticket);
        self.waiting.insert(ticket, waiter);
    }

    pub(super) fn stop_waiting(&mut self, ticket: Ticket, at: GroupKey) {
        if let Some(group) = self.groups.get_mut(&at) {
            group.waiting.remove(&ticket);
        }
        self.waiting.remove(&ticket);
    }

    /// Whoever waits comes before what is kept for later.
    pub(super) fn due(&self, now_ms: u64) -> Option<Due> {
        if let Some((ticket, waiter)) = self.waiting.first_key_value() {
            return Some(Due::Waiter(*ticket, *waiter));
        }
        let mut provisions = self.provisions.iter();
        let (version, provision) = provisions
            .find(|(_, provision)| provision.lacks() && provision.retry_at_ms <= now_ms)?;
        let wanted = provision.wanted;
        let at = GroupKey { version: *version, generation: wanted.generation };
        Some(Due::Provision(at, wanted))
    }

    /// Whether an environment that starts in this group serves its one invocation only: a late caller still holds an
    /// older snapshot.
    pub(super) fn is_outdated(&self, at: GroupKey) -> bool {
        let newest = GroupKey { generation: u64::MAX, ..at };
        self.groups.get(&at).is_some_and(|group| group.retired)
            || self.groups.range(at..=newest).next_back().is_some_and(|(newest, _)| *newest > at)
    }

    /// Keeps what there is of a provision as far as it is still wanted; answers with what is not.
    pub(super) fn keep(
        &mut self,
        version: Version,
        provision: Provision,
        wanted: Option<Wanted>,
    ) -> Vec<Slot> {
        match wanted {
            Some(wanted) if wanted == provision.wanted => {
                self.provisions.insert(version, provision);
                Vec::new()
            }
            // Another number of the same: try again at once, whatever failed before.
            Some(wanted) if wanted.generation == provision.wanted.generation => {
                let kept = Provision { slots: provision.slots, ..Provision::new(wanted) };
                self.provisions.insert(version, kept);
                Vec::new()
            }
            Some(_) | None => provision.slots.into_iter().collect(),
        }
    }
}
