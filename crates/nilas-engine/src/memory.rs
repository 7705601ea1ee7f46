//! What environments cost of the machine's memory, and what is said of those that had to go.

use nilas_model::{VersionSnapshot, limits};

use crate::api::EngineConfig;
use crate::pool::Eviction;

const MIB: u64 = 1_048_576;
/// Between two lines of the log on evictions, milliseconds.
const LOG_EVERY_MS: u64 = 10_000;

/// Of an environment that is busy: the part of its memory size that overcommitment leaves.
pub(crate) fn busy_bytes(config: &EngineConfig, snapshot: &VersionSnapshot) -> u64 {
    let granted = u64::from(snapshot.memory_mib + config.memory_overhead_mib) * MIB;
    let part = granted * 100 / u64::from(config.memory_overcommit_percent.max(1));
    idle_bytes(part)
}

/// Of an environment that is frozen and holds so much.
pub(crate) fn idle_bytes(held_bytes: u64) -> u64 {
    held_bytes + limits::ENVIRONMENT_KERNEL_BYTES
}

/// Environments that were evicted since it was last said.
#[derive(Debug, Default)]
pub(crate) struct Evictions {
    pending: Evicted,
    logged_ms: Option<u64>,
}

/// How many, by cause.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evicted {
    concurrency: u64,
    memory: u64,
    pressure: u64,
}

// === impl Evictions ===

impl Evictions {
    pub(crate) fn count(&mut self, cause: Eviction) {
        match cause {
            Eviction::Concurrency => self.pending.concurrency += 1,
            Eviction::Budget => self.pending.memory += 1,
            Eviction::Pressure => self.pending.pressure += 1,
        }
    }

    /// What is to be said now: the first at once, what follows together.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<Evicted> {
        let said = |at: u64| now_ms.saturating_sub(at) < LOG_EVERY_MS;
        if self.pending == Evicted::default() || self.logged_ms.is_some_and(said) {
            return None;
        }
        self.logged_ms = Some(now_ms);
        Some(std::mem::take(&mut self.pending))
    }
}

impl Evicted {
    pub(crate) fn log(self) {
        let Self { concurrency, memory, pressure } = self;
        tracing::info!(
            for_memory = memory,
            for_memory_pressure = pressure,
            for_concurrency = concurrency,
            "idle environments were ended"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_first_eviction_at_once_and_the_others_together() {
        let mut evictions = Evictions::default();
        assert_eq!(evictions.due(0), None);
        evictions.count(Eviction::Budget);
        assert_eq!(evictions.due(5), Some(Evicted { memory: 1, ..Evicted::default() }));
        evictions.count(Eviction::Pressure);
        evictions.count(Eviction::Pressure);
        assert_eq!(evictions.due(LOG_EVERY_MS), None);
        let both = Evicted { pressure: 2, ..Evicted::default() };
        assert_eq!(evictions.due(5 + LOG_EVERY_MS), Some(both));
        assert_eq!(evictions.due(100 * LOG_EVERY_MS), None);
    }
}
