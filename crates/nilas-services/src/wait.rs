//! Waiting for a point of the clock's time, which virtual time may reach sooner than the machine's.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use nilas_model::Clock;

/// Longer sleeps are cut, so that a machine that was suspended, or whose clock was set, is noticed.
const SLEEP_MS_MAX: u64 = 60_000;

/// Returns when `clock` says `epoch_ms` or more.
pub(crate) async fn until(clock: &dyn Clock, epoch_ms: u64) {
    loop {
        let now_ms = clock.epoch_ms();
        if now_ms >= epoch_ms {
            return;
        }
        let sleep =
            tokio::time::sleep(Duration::from_millis((epoch_ms - now_ms).min(SLEEP_MS_MAX)));
        let mut sleep = pin!(sleep);
        poll_fn(|context| {
            clock.on_advance(context.waker());
            // Looked at after the waker is known: time that has moved in between is seen here.
            if clock.epoch_ms() >= epoch_ms {
                Poll::Ready(())
            } else {
                sleep.as_mut().poll(context)
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nilas_model::VirtualClock;

    use super::*;

    #[tokio::test]
    async fn virtual_time_wakes_who_waits_for_it() {
        let clock = Arc::new(VirtualClock::default());
        let until_ms = clock.epoch_ms() + 3_600_000;
        let waiting = Arc::clone(&clock);
        let task = tokio::spawn(async move { until(waiting.as_ref(), until_ms).await });
        tokio::task::yield_now().await;
        clock.advance_ms(3_599_000);
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        clock.advance_ms(1_000);
        task.await.expect("it returns");
    }
}
