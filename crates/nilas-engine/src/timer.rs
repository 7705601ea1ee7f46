//! A timer that is set again and again.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Stays registered with the runtime from one use to the next: to move a registered deadline away is one store, where a
/// new `sleep` takes the lock of the timer wheel twice, and may wake the thread that waits for it.
#[derive(Debug)]
pub(crate) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    /// Elapses once it has been set. Must be called inside the runtime.
    pub(crate) fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }

    pub(crate) fn set(&mut self, after: Duration) {
        self.0.as_mut().reset(Instant::now() + after);
    }

    pub(crate) async fn elapsed(&mut self) {
        self.0.as_mut().await;
    }
}
