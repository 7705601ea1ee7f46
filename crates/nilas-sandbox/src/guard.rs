//! The memory guard: holds watched sandboxes to their limit on anonymous memory.
//!
//! The kernel's own limit cannot do that, since it counts `/tmp` in, which a function may fill besides. So one thread
//! measures those that are at work, the oftener the closer they are to their limit, and sleeps while none is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::control::Sandboxed;

/// The fastest a process is assumed to take memory, bytes a millisecond.
const GROWTH_BYTES_PER_MS: u64 = 1024 * 1024;
const INTERVAL_MS_MIN: u64 = 2;
const INTERVAL_MS_MAX: u64 = 50;

#[derive(Debug, Default)]
pub(crate) struct Guard {
    sandboxes: Mutex<Vec<Weak<Sandboxed>>>,
    thread: OnceLock<Thread>,
    /// The thread sleeps until woken.
    idle: AtomicBool,
}

impl Guard {
    /// Starts the thread, once.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let guard = Arc::clone(self);
        let handle =
            thread::Builder::new().name("nilas-memory".to_owned()).spawn(move || guard.run())?;
        // A second thread would only repeat the first one's work.
        drop(self.thread.set(handle.thread().clone()));
        Ok(())
    }

    pub(crate) fn add(&self, sandboxed: &Arc<Sandboxed>) {
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        sandboxes.retain(|known| known.strong_count() > 0);
        sandboxes.push(Arc::downgrade(sandboxed));
    }

    /// A sandbox is watched from now on.
    pub(crate) fn wake(&self) {
        if self.idle.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn run(&self) {
        loop {
            match self.round() {
                Some(interval) => thread::park_timeout(interval),
                None => {
                    self.idle.store(true, Ordering::SeqCst);
                    // One may have been added to the watch before `idle` was seen.
                    if self.watched().is_empty() {
                        thread::park();
                    }
                    self.idle.store(false, Ordering::SeqCst);
                }
            }
        }
    }

    /// Measures all that are watched; none means there was nothing to do.
    fn round(&self) -> Option<Duration> {
        let intervals =
            self.watched().into_iter().map(|sandboxed| interval_ms(sandboxed.measure()));
        intervals.min().map(Duration::from_millis)
    }

    fn watched(&self) -> Vec<Arc<Sandboxed>> {
        let sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = sandboxes.iter().filter_map(Weak::upgrade);
        alive.filter(|sandboxed| sandboxed.watched.load(Ordering::SeqCst)).collect()
    }
}

/// Until the next look at a sandbox with so many bytes left; none if it is being killed or gone.
fn interval_ms(bytes_left: Option<u64>) -> u64 {
    bytes_left.map_or(INTERVAL_MS_MAX, |bytes| {
        (bytes / GROWTH_BYTES_PER_MS).clamp(INTERVAL_MS_MIN, INTERVAL_MS_MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_oftener_near_the_limit() {
        assert_eq!(interval_ms(Some(0)), INTERVAL_MS_MIN);
        assert_eq!(interval_ms(Some(20 * GROWTH_BYTES_PER_MS)), 20);
        assert_eq!(interval_ms(Some(u64::MAX)), INTERVAL_MS_MAX);
    }
}
