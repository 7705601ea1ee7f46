//! The read ends of an environment's two pipes.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

use super::journal::Journal;
use crate::timer::Timer;

/// A pipe holds at most this much unless the function enlarged it; nobody waits for more at an answer.
const DRAIN_BYTES_MAX: usize = 1_048_576;
const READ_BYTES: usize = 16 * 1_024;
const FLUSH_AFTER: Duration = Duration::from_millis(50);

thread_local! {
    /// Of the thread, not of the environment, and never cleared: most reads find nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Reads what the function writes, all the time, so that it never blocks on its output.
#[derive(Debug)]
pub(crate) struct Output {
    pipes: Pipes,
    flush: Timer,
}

#[derive(Debug)]
struct Pipes {
    output: Receiver,
    telemetry: Receiver,
    journal: Arc<Mutex<Journal>>,
}

#[derive(Clone, Copy)]
enum Pipe {
    Output,
    Telemetry,
}

#[derive(Debug, PartialEq, Eq)]
enum Round {
    Empty,
    More,
    Closed,
}

impl Output {
    /// Both descriptors are non-blocking. Must be called inside the runtime.
    pub(crate) fn new(
        output: OwnedFd,
        telemetry: OwnedFd,
        journal: Arc<Mutex<Journal>>,
    ) -> io::Result<Self> {
        lock(&journal).new_process();
        let output = Receiver::from_owned_fd(output)?;
        let telemetry = Receiver::from_owned_fd(telemetry)?;
        Ok(Self { pipes: Pipes { output, telemetry, journal }, flush: Timer::new() })
    }

    /// Moves output into the journal for ever.
    pub(crate) async fn pump(&self) {
        self.pipes.pump().await;
    }

    /// The same while an invocation runs, whose START should not stay unseen until its END if it is silent.
    pub(crate) async fn pump_and_flush(&mut self) {
        let Self { pipes, flush } = self;
        flush.set(FLUSH_AFTER);
        let flush_later = async {
            flush.elapsed().await;
            lock(&pipes.journal).flush();
        };
        tokio::join!(pipes.pump(), flush_later);
    }

    /// Takes what is in the pipes now, without waiting.
    pub(crate) fn drain(&self) {
        self.pipes.drain();
    }
}

// === impl Pipes ===

impl Pipes {
    async fn pump(&self) {
        tokio::join!(self.pump_one(Pipe::Output), self.pump_one(Pipe::Telemetry));
        std::future::pending::<()>().await;
    }

    fn drain(&self) {
        // Straight from the kernel: the reactor may not have heard yet of what was written before the answer.
        for pipe in [Pipe::Output, Pipe::Telemetry] {
            let receiver = self.receiver(pipe);
            let mut left = DRAIN_BYTES_MAX;
            while left > 0
                && self.read_once(pipe, &|into| Ok(rustix::io::read(receiver, into)?))
                    == Round::More
            {
                left = left.saturating_sub(READ_BYTES);
            }
        }
    }

    async fn pump_one(&self, pipe: Pipe) {
        loop {
            if self.receiver(pipe).readable().await.is_err() {
                return;
            }
            let round = self.read_once(pipe, &|into| self.receiver(pipe).try_read(into));
            lock(&self.journal).flush();
            match round {
                // The failed read has taken the readiness back.
                Round::Empty => {}
                // A function that never stops writing must not keep its environment's task from anything else.
                Round::More => tokio::task::yield_now().await,
                Round::Closed => return,
            }
        }
    }

    /// One read, and its bytes into the journal under the same lock, so that order is kept.
    fn read_once(&self, pipe: Pipe, read: &dyn Fn(&mut [u8]) -> io::Result<usize>) -> Round {
        SCRATCH.with_borrow_mut(|buffer| {
            let mut journal = lock(&self.journal);
            match (read(buffer), pipe) {
                (Ok(0), _) => Round::Closed,
                (Ok(read), Pipe::Output) => {
                    journal.take_output(&buffer[..read]);
                    Round::More
                }
                (Ok(read), Pipe::Telemetry) => {
                    journal.take_telemetry(&buffer[..read]);
                    Round::More
                }
                (Err(error), _) if error.kind() == ErrorKind::WouldBlock => Round::Empty,
                (Err(error), _) if error.kind() == ErrorKind::Interrupted => Round::More,
                (Err(_), _) => Round::Closed,
            }
        })
    }

    fn receiver(&self, pipe: Pipe) -> &Receiver {
        match pipe {
            Pipe::Output => &self.output,
            Pipe::Telemetry => &self.telemetry,
        }
    }
}

/// A journal whose writer panicked is still a journal.
pub(crate) fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
