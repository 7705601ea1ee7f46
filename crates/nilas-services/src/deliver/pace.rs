//! The waits between tries that a topic's delivery policy asks for.

use serde::{Deserialize, Serialize};

/// Four phases: at once, after the least wait, after waits that grow, after the greatest wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pace {
    pub(crate) min_delay_ms: u64,
    pub(crate) max_delay_ms: u64,
    /// In all phases.
    pub(crate) retries: u32,
    pub(crate) no_delay_retries: u32,
    pub(crate) min_delay_retries: u32,
    pub(crate) max_delay_retries: u32,
    pub(crate) growth: Growth,
}

/// How waits grow from the least to the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Growth {
    Linear,
    Arithmetic,
    Geometric,
    Exponential,
}

impl Pace {
    /// The wait after `failures` in a row.
    pub(super) fn delay_ms(&self, failures: u32) -> u64 {
        let (least, most) = (self.min_delay_ms, self.max_delay_ms.max(self.min_delay_ms));
        let first_growing = self.no_delay_retries.saturating_add(self.min_delay_retries);
        let last_growing = self.retries.saturating_sub(self.max_delay_retries);
        if failures <= self.no_delay_retries {
            return 0;
        }
        if failures <= first_growing {
            return least;
        }
        if failures > last_growing {
            return most;
        }
        // From 1 to `steps`.
        let step = u64::from(failures - first_growing);
        let steps = u64::from(last_growing - first_growing).max(1);
        let range = most - least;
        let grown = match self.growth {
            Growth::Linear => range.saturating_mul(step) / steps,
            Growth::Arithmetic => range.saturating_mul(step * (step + 1)) / (steps * (steps + 1)),
            Growth::Geometric => range.saturating_mul(step * step) / (steps * steps),
            Growth::Exponential => {
                let shift = u32::try_from(step.min(32)).unwrap_or(32);
                least.saturating_mul((1 << shift) - 1)
            }
        };
        (least + grown).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another() {
        let pace = Pace {
            min_delay_ms: 1_000,
            max_delay_ms: 5_000,
            retries: 8,
            no_delay_retries: 1,
            min_delay_retries: 1,
            max_delay_retries: 2,
            growth: Growth::Linear,
        };
        let waits: Vec<u64> = (1..=9).map(|failures| pace.delay_ms(failures)).collect();
        assert_eq!(waits, [0, 1_000, 2_000, 3_000, 4_000, 5_000, 5_000, 5_000, 5_000]);
        let pace = Pace { growth: Growth::Exponential, ..pace };
        let waits: Vec<u64> = (3..=6).map(|failures| pace.delay_ms(failures)).collect();
        assert_eq!(waits, [2_000, 4_000, 5_000, 5_000]);
    }
}
