//! How many batches of a mapping run at once: a pure calculation. Time is passed in.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>

use super::record::Settings;

/// Batches at once without provisioned pollers: at first, at most, and how many more after a minute of plenty.
const FIRST: u32 = 5;
const MAX: u32 = 1_250;
const PER_MINUTE: u32 = 300;
/// As few as AWS goes down to.
const LEAST: u32 = 2;
/// Batches that a provisioned poller runs at once, and growth with such pollers.
const PER_POLLER: u32 = 10;
const PER_MINUTE_PROVISIONED: u32 = 1_000;

const MINUTE_MS: u64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pace {
    bounds: Bounds,
    at_once: u32,
    /// Until when growth has been counted.
    counted_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    least: u32,
    first: u32,
    max: u32,
    per_minute: u32,
}

impl Pace {
    pub(super) fn new(settings: &Settings, now_ms: u64) -> Self {
        let bounds = Bounds::of(settings);
        Self { bounds, at_once: bounds.first, counted_ms: now_ms }
    }

    /// Other settings: what has been reached is kept as far as they allow.
    pub(super) fn set(&mut self, settings: &Settings) {
        self.bounds = Bounds::of(settings);
        self.at_once = self.at_once.clamp(self.bounds.least, self.bounds.max);
    }

    /// Batches that may run at once now.
    pub(super) fn at_once(&self) -> usize {
        self.at_once as usize
    }

    /// All that may run are running and messages wait, since the last look: grows by what the time since then allows.
    pub(super) fn busy(&mut self, now_ms: u64) {
        let step_ms = self.step_ms();
        let steps = now_ms.saturating_sub(self.counted_ms) / step_ms;
        let grown = u64::from(self.at_once).saturating_add(steps).min(u64::from(self.bounds.max));
        self.at_once = u32::try_from(grown).unwrap_or(self.bounds.max);
        self.counted_ms += steps * step_ms;
    }

    /// There was room, or nothing to do: waiting from now on counts anew.
    pub(super) fn spare(&mut self, now_ms: u64) {
        self.counted_ms = now_ms;
    }

    /// Nothing runs and nothing waits.
    pub(super) fn idle(&mut self, now_ms: u64) {
        self.at_once = self.bounds.first;
        self.counted_ms = now_ms;
    }

    /// The function has failed or was throttled.
    pub(super) fn back_off(&mut self, now_ms: u64) {
        self.at_once = (self.at_once / 2).max(self.bounds.least);
        self.counted_ms = now_ms;
    }

    /// When one more may run, if `busy` until then; None at the most.
    pub(super) fn next_ms(&self) -> Option<u64> {
        (self.at_once < self.bounds.max).then(|| self.counted_ms + self.step_ms())
    }

    fn step_ms(&self) -> u64 {
        (MINUTE_MS / u64::from(self.bounds.per_minute)).max(1)
    }
}

impl Bounds {
    fn of(settings: &Settings) -> Self {
        if let Some(pollers) = settings.pollers {
            let (least, max) = (pollers.min * PER_POLLER, pollers.max * PER_POLLER);
            return Self { least, first: least, max, per_minute: PER_MINUTE_PROVISIONED };
        }
        let max = settings.concurrency_max.unwrap_or(MAX);
        Self { least: LEAST.min(max), first: FIRST.min(max), max, per_minute: PER_MINUTE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::mappings::record::Pollers;

    fn settings(concurrency_max: Option<u32>, pollers: Option<(u32, u32)>) -> Settings {
        Settings {
            concurrency_max,
            pollers: pollers.map(|(min, max)| Pollers { min, max }),
            ..Settings::default()
        }
    }

    #[test]
    fn grows_by_300_a_minute_up_to_1250_while_busy() {
        let mut pace = Pace::new(&settings(None, None), 0);
        assert_eq!(pace.at_once(), 5);
        for (now_ms, expected) in [(199, 5), (200, 6), (1_000, 10), (60_000, 305), (600_000, 1_250)]
        {
            pace.busy(now_ms);
            assert_eq!(pace.at_once(), expected, "at {now_ms} ms");
        }
        assert_eq!(pace.next_ms(), None);
        pace.idle(600_000);
        assert_eq!(pace.at_once(), 5);
    }

    #[test]
    fn time_with_room_to_spare_does_not_count() {
        let mut pace = Pace::new(&settings(None, None), 0);
        pace.spare(60_000);
        pace.busy(60_199);
        assert_eq!((pace.at_once(), pace.next_ms()), (5, Some(60_200)));
    }

    #[test]
    fn backs_off_to_two_and_stays_within_what_is_set() {
        let mut pace = Pace::new(&settings(Some(4), None), 0);
        pace.busy(60_000);
        assert_eq!(pace.at_once(), 4);
        for expected in [2, 2] {
            pace.back_off(60_000);
            assert_eq!(pace.at_once(), expected);
        }
        pace.set(&settings(None, Some((3, 5))));
        assert_eq!(pace.at_once(), 30, "provisioned pollers are always there");
        pace.busy(120_000);
        assert_eq!(pace.at_once(), 50);
    }
}
