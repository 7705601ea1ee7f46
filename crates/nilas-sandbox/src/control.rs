//! The server's handle on a running sandbox: freeze, thaw and kill are one write each, without asking the spawner.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use tokio::sync::watch;

use crate::guard::Guard;
use crate::memory::MemoryGauge;
use crate::protocol::Order;
use crate::spec::{Control, Exit, Exited};

/// A peak asked for sooner than this after the last one is answered from it: reading costs the kernel work.
const PEAK_FRESH: Duration = Duration::from_millis(20);

/// What is known of one running sandbox. Shared by its handle, the guard and the spawner's listener.
#[derive(Debug)]
pub(crate) struct Sandboxed {
    levers: Levers,
    /// Pulled once and then closed: two thousand sandboxes have to do with the open files of one server.
    cpu: Mutex<Option<CpuLever>>,
    memory_bytes_max: u64,
    memory_peak_bytes: AtomicU64,
    peak_read_at: Mutex<Option<Instant>>,
    pub(crate) watched: AtomicBool,
    /// The guard has killed it for its memory.
    over_memory: AtomicBool,
    exit: watch::Sender<Option<Exit>>,
}

/// The descriptors of a sandbox that act on it.
#[derive(Debug)]
pub(crate) struct Levers {
    pub(crate) freeze: Option<File>,
    pub(crate) kill: Option<File>,
    pub(crate) orders: OwnedFd,
    pub(crate) memory: MemoryGauge,
}

/// Writing `share` to `file` limits the CPU.
#[derive(Debug)]
pub(crate) struct CpuLever {
    pub(crate) file: File,
    pub(crate) share: String,
}

/// The one owner of a sandbox's life.
#[derive(Debug)]
pub(crate) struct LinuxControl {
    pub(crate) sandboxed: Arc<Sandboxed>,
    pub(crate) guard: Arc<Guard>,
}

// === impl Sandboxed ===

impl Sandboxed {
    pub(crate) fn new(levers: Levers, cpu: Option<CpuLever>, memory_bytes_max: u64) -> Self {
        Self {
            levers,
            cpu: Mutex::new(cpu),
            memory_bytes_max,
            memory_peak_bytes: AtomicU64::new(0),
            peak_read_at: Mutex::new(None),
            watched: AtomicBool::new(false),
            over_memory: AtomicBool::new(false),
            exit: watch::Sender::new(None),
        }
    }

    /// Measures; kills if over the limit. Gives the bytes left.
    pub(crate) fn measure(&self) -> Option<u64> {
        let bytes = self.levers.memory.anonymous_bytes(self.memory_bytes_max)?;
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        let left = self.memory_bytes_max.checked_sub(bytes);
        if left.is_none() {
            self.over_memory.store(true, Ordering::SeqCst);
            self.kill_now();
        }
        left
    }

    pub(crate) fn kill_now(&self) {
        let killed = self.levers.kill.as_ref().is_some_and(|kill| kill.write_at(b"1", 0).is_ok());
        if !killed {
            // Without cgroup.kill, or if the group is gone: then so is pid 1, and nobody hears.
            drop(self.order(Order::Kill));
        }
    }

    /// The main process has ended and nothing is left.
    pub(crate) fn ended(&self, exit: Exit) {
        let out_of_memory = exit.out_of_memory || self.over_memory.load(Ordering::SeqCst);
        self.watched.store(false, Ordering::SeqCst);
        self.exit.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(Exit { out_of_memory, ..exit });
            }
            first
        });
    }

    fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        match (&self.levers.freeze, frozen) {
            (Some(file), true) => file.write_at(b"1", 0).map(drop),
            (Some(file), false) => file.write_at(b"0", 0).map(drop),
            (None, true) => self.order(Order::Stop),
            (None, false) => self.order(Order::Continue),
        }
    }

    fn order(&self, order: Order) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.levers.orders, &[order as u8], flags)?;
        Ok(())
    }

    fn share_cpu(&self) -> io::Result<()> {
        match self.cpu.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(CpuLever { file, share }) => file.write_at(share.as_bytes(), 0).map(drop),
            None => Ok(()),
        }
    }

    /// Takes what the kernel has kept into account, unless that has just been done.
    fn read_peak(&self) {
        let mut read_at = self.peak_read_at.lock().unwrap_or_else(PoisonError::into_inner);
        if read_at.is_none_or(|at| at.elapsed() >= PEAK_FRESH) {
            *read_at = Some(Instant::now());
            let bytes = self.levers.memory.resident_peak_bytes();
            self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        }
    }
}

pub(crate) const KILLED: Exit =
    Exit { code: None, signal: Some(libc::SIGKILL), out_of_memory: false };

// === impl Control ===

impl Control for LinuxControl {
    fn freeze(&self) -> io::Result<()> {
        self.sandboxed.set_frozen(true)
    }

    fn thaw(&self) -> io::Result<()> {
        self.sandboxed.set_frozen(false)
    }

    fn share_cpu(&self) -> io::Result<()> {
        self.sandboxed.share_cpu()
    }

    fn terminate(&self) -> io::Result<()> {
        self.sandboxed.order(Order::Terminate)
    }

    fn kill(&self) {
        self.sandboxed.kill_now();
    }

    fn exited(&self) -> Exited {
        let mut exit = self.sandboxed.exit.subscribe();
        Box::pin(async move {
            match exit.wait_for(Option::is_some).await {
                Ok(state) => state.unwrap_or(KILLED),
                Err(_) => KILLED,
            }
        })
    }

    fn memory_peak_bytes(&self) -> u64 {
        self.sandboxed.read_peak();
        self.sandboxed
            .memory_peak_bytes
            .load(Ordering::Relaxed)
            .min(self.sandboxed.memory_bytes_max)
    }

    fn memory_bytes(&self) -> u64 {
        self.sandboxed.levers.memory.held_bytes()
    }

    fn watch_memory(&self, on: bool) {
        self.sandboxed.watched.store(on, Ordering::SeqCst);
        if on {
            self.guard.wake();
        }
    }
}

impl Drop for LinuxControl {
    fn drop(&mut self) {
        self.sandboxed.kill_now();
    }
}
