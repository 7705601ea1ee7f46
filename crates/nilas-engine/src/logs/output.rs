//! The read ends of an environment's two pipes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
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
    output: Source,
    telemetry: Source,
    journal: Arc<Mutex<Journal>>,
}

/// One pipe.
#[derive(Debug)]
struct Source {
    receiver: Receiver,
    kind: Kind,
    /// Nothing comes any more.
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Output,
    Telemetry,
}

impl Output {
    /// Both descriptors are non-blocking. Must be called inside the runtime.
    pub(crate) fn new(
        output: OwnedFd,
        telemetry: OwnedFd,
        journal: Arc<Mutex<Journal>>,
    ) -> io::Result<Self> {
        lock(&journal).new_process();
        let output = Source::new(output, Kind::Output)?;
        let telemetry = Source::new(telemetry, Kind::Telemetry)?;
        Ok(Self { pipes: Pipes { output, telemetry, journal }, flush: Timer::new() })
    }

    /// Moves output into the journal for ever.
    pub(crate) async fn pump(&mut self) {
        self.pipes.pump().await;
    }

    /// The same while an invocation runs, whose START should not stay unseen until its END if it is silent.
    pub(crate) async fn pump_and_flush(&mut self) {
        let Self { pipes, flush } = self;
        flush.set(FLUSH_AFTER);
        let journal = Arc::clone(&pipes.journal);
        let flush_later = async {
            flush.elapsed().await;
            lock(&journal).flush();
        };
        tokio::join!(pipes.pump(), flush_later);
    }

    /// Takes what is in the pipes now, without waiting, straight from the kernel.
    pub(crate) fn drain(&self) {
        self.pipes.drain(|receiver, into| Ok(rustix::io::read(receiver, into)?));
    }

    /// Takes what was written before the answer that was just read from another descriptor.
    ///
    /// Costs no system call where nothing was: the kernel tells of descriptors in the order in which they became
    /// readable, and the reactor had to hear of the answer before that could be read.
    pub(crate) fn drain_heard(&self) {
        self.pipes.drain(Receiver::try_read);
    }
}

// === impl Pipes ===

impl Pipes {
    async fn pump(&mut self) {
        poll_fn(|cx| {
            let Self { output, telemetry, journal } = self;
            output.poll(cx, journal);
            telemetry.poll(cx, journal);
            Poll::<()>::Pending
        })
        .await;
    }

    fn drain(&self, read: impl Fn(&Receiver, &mut [u8]) -> io::Result<usize>) {
        for source in [&self.output, &self.telemetry] {
            let mut left = DRAIN_BYTES_MAX;
            while left > 0 && source.read_once(&self.journal, &read) {
                left = left.saturating_sub(READ_BYTES);
            }
        }
    }
}

// === impl Source ===

impl Source {
    fn new(pipe: OwnedFd, kind: Kind) -> io::Result<Self> {
        Ok(Self { receiver: Receiver::from_owned_fd(pipe)?, kind, closed: false })
    }

    /// One read, if the pipe is readable, and has the task woken for more. A function that never stops writing must not
    /// keep its environment's task from anything else.
    fn poll(&mut self, cx: &mut Context<'_>, journal: &Mutex<Journal>) {
        if self.closed {
            return;
        }
        SCRATCH.with_borrow_mut(|buffer| {
            let mut into = ReadBuf::new(buffer);
            let Poll::Ready(read) = Pin::new(&mut self.receiver).poll_read(cx, &mut into) else {
                return;
            };
            self.closed = read.is_err() || into.filled().is_empty();
            let mut journal = lock(journal);
            self.kind.put(&mut journal, into.filled());
            journal.flush();
            if !self.closed {
                cx.waker().wake_by_ref();
            }
        });
    }

    /// One read, and its bytes into the journal under the same lock, so that order is kept. Whether there may be more.
    fn read_once(
        &self,
        journal: &Mutex<Journal>,
        read: impl Fn(&Receiver, &mut [u8]) -> io::Result<usize>,
    ) -> bool {
        SCRATCH.with_borrow_mut(|buffer| match read(&self.receiver, buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.kind.put(&mut lock(journal), &buffer[..read]);
                true
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        })
    }
}

impl Kind {
    fn put(self, journal: &mut Journal, bytes: &[u8]) {
        match self {
            Self::Output => journal.take_output(bytes),
            Self::Telemetry => journal.take_telemetry(bytes),
        }
    }
}

/// A journal whose writer panicked is still a journal.
pub(crate) fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
