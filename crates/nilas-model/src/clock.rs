//! Time as a value that is passed in: nobody else reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time and monotonic time, both in whole units since a fixed origin.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn epoch_ms(&self) -> u64;
    /// Microseconds since an arbitrary origin; never goes back.
    fn monotonic_us(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn epoch_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told to, for tests and the simulator.
#[derive(Debug, Default)]
pub struct SimClock {
    now_us: AtomicU64,
}

impl SimClock {
    pub fn at_epoch_ms(epoch_ms: u64) -> Self {
        Self { now_us: AtomicU64::new(epoch_ms * 1_000) }
    }

    pub fn advance_us(&self, by_us: u64) {
        self.now_us.fetch_add(by_us, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn epoch_ms(&self) -> u64 {
        self.now_us.load(Ordering::SeqCst) / 1_000
    }

    fn monotonic_us(&self) -> u64 {
        self.now_us.load(Ordering::SeqCst)
    }
}
