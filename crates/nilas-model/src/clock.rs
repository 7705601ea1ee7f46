//! Time as a value that is passed in: nobody else reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time and monotonic time, both in whole units since a fixed origin.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn epoch_ms(&self) -> u64;
    /// Microseconds since an arbitrary origin; never goes back.
    fn monotonic_us(&self) -> u64;
    /// Wakes `waker` once, when wall time moves by itself: clocks that only run never do.
    fn on_advance(&self, waker: &Waker) {
        let _never = waker;
    }
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

/// The machine's clocks, with wall time that can be moved forward: for users who test what happens hours later.
#[derive(Debug, Default)]
pub struct VirtualClock {
    system: SystemClock,
    ahead_ms: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

/// Wakers that a virtual clock keeps; beyond them it wakes all, who then wait anew.
const WAKERS_MAX: usize = 10_000;

impl VirtualClock {
    /// Milliseconds by which it is ahead of the machine's.
    pub fn ahead_ms(&self) -> u64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }

    /// Everybody who waits for a point of time looks again.
    pub fn advance_ms(&self, by_ms: u64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.wake_all();
    }

    fn wake_all(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Clock for VirtualClock {
    fn epoch_ms(&self) -> u64 {
        self.system.epoch_ms().saturating_add(self.ahead_ms())
    }

    fn monotonic_us(&self) -> u64 {
        self.system.monotonic_us()
    }

    fn on_advance(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.iter().any(|other| other.will_wake(waker)) {
            return;
        }
        waiting.push(waker.clone());
        let is_full = waiting.len() > WAKERS_MAX;
        drop(waiting);
        if is_full {
            self.wake_all();
        }
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
