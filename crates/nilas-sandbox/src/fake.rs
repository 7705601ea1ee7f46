//! A scripted sandbox for tests of the layers above: no process, but real sockets and pipes whose other ends the
//! test drives.
//!
//! ```
//! # use nilas_sandbox::fake::{ControlCall, FakeSandbox};
//! # use nilas_sandbox::{Exit, Limits, Outbound, Sandbox, SandboxSpec};
//! # let spec = SandboxSpec { id: "a".into(), argv: vec!["/bin/true".into()], env: vec![], cwd: "/".into(),
//! #     mounts: vec![], symlinks: vec![], limits: Limits { memory_bytes: 1, cpu_millis: 1, processes: 1, files: 1,
//! #     tmp_bytes: 1 }, origin: nilas_sandbox::Origin::Program, template: false, listeners: vec![], outbound: Outbound::None };
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let sandbox = FakeSandbox::new();
//! let started = sandbox.start(spec).await.unwrap();
//! let process = sandbox.next_started().await; // drive process.channel, process.output, ...
//! started.control.freeze().unwrap();
//! assert_eq!(process.calls(), [ControlCall::Freeze]);
//! process.exit(Exit { code: Some(1), signal: None, out_of_memory: false });
//! assert_eq!(started.control.exited().await.code, Some(1));
//! # });
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::{Notify, watch};

use crate::spec::{Control, Exit, Exited, Sandbox, SandboxSpec, StartError, Started, Zygote};

/// A `Sandbox` whose processes are played by the test.
#[derive(Debug, Clone, Default)]
pub struct FakeSandbox {
    inner: Arc<Inner>,
}

/// The inside of a started fake sandbox. Dropping it ends the process with SIGKILL, as if it had crashed.
#[derive(Debug)]
pub struct FakeProcess {
    pub spec: SandboxSpec,
    /// The process's fd 3, non-blocking.
    pub channel: UnixStream,
    /// Write end of the process's fd 4.
    pub telemetry: OwnedFd,
    /// Write end of stdout and stderr.
    pub output: OwnedFd,
    /// Where the handed-out listeners can be connected to; ports are the kernel's choice, not the spec's.
    pub listeners: Vec<SocketAddr>,
    state: Arc<ProcessState>,
}

/// One call on the `Control` of a fake sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlCall {
    Freeze,
    Thaw,
    ShareCpu,
    Terminate,
    Kill,
    WatchMemory(bool),
}

#[derive(Debug, Default)]
struct Inner {
    started: Mutex<VecDeque<FakeProcess>>,
    arrived: Notify,
    failures: Mutex<VecDeque<StartError>>,
    warmed: Mutex<Vec<Zygote>>,
    live: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct ProcessState {
    calls: Mutex<Vec<ControlCall>>,
    called: Notify,
    exit: watch::Sender<Option<Exit>>,
    memory_peak_bytes: AtomicU64,
    live: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct FakeControl {
    state: Arc<ProcessState>,
}

// === impl FakeSandbox ===

impl FakeSandbox {
    pub fn new() -> Self {
        Self::default()
    }

    /// The oldest started process not yet taken; waits for one.
    pub async fn next_started(&self) -> FakeProcess {
        loop {
            let arrived = self.inner.arrived.notified();
            if let Some(process) = self.try_next_started() {
                return process;
            }
            arrived.await;
        }
    }

    /// As `next_started`, without waiting.
    pub fn try_next_started(&self) -> Option<FakeProcess> {
        lock(&self.inner.started).pop_front()
    }

    /// The next `start` (after earlier such orders) answers `error`.
    pub fn fail_next_start(&self, error: StartError) {
        lock(&self.inner.failures).push_back(error);
    }

    /// What `warm` was called for.
    pub fn warmed(&self) -> Vec<Zygote> {
        lock(&self.inner.warmed).clone()
    }

    /// Processes started and not ended.
    pub fn live(&self) -> usize {
        self.inner.live.load(Ordering::SeqCst)
    }

    fn start_now(&self, spec: SandboxSpec) -> Result<Started, StartError> {
        if let Some(error) = lock(&self.inner.failures).pop_front() {
            return Err(error);
        }
        let id = spec.id.clone();
        let (started, process) = build(spec, &self.inner.live).map_err(|error| {
            StartError::Step { id, step: "fake".to_owned(), reason: error.to_string() }
        })?;
        lock(&self.inner.started).push_back(process);
        self.inner.arrived.notify_waiters();
        Ok(started)
    }
}

impl Sandbox for FakeSandbox {
    fn start(
        &self,
        spec: SandboxSpec,
    ) -> Pin<Box<dyn Future<Output = Result<Started, StartError>> + Send + '_>> {
        Box::pin(async move { self.start_now(spec) })
    }

    fn warm(&self, zygote: &Zygote) {
        lock(&self.inner.warmed).push(zygote.clone());
    }

    fn expect_forks(&self, _template: &str, _spec: SandboxSpec) {}
}

// === impl FakeProcess ===

impl FakeProcess {
    /// Ends the process. Only the first end counts.
    pub fn exit(&self, exit: Exit) {
        self.state.end(exit);
    }

    /// Every control call so far, in order.
    pub fn calls(&self) -> Vec<ControlCall> {
        lock(&self.state.calls).clone()
    }

    /// Waits until `call` has been made at least `times` times.
    pub async fn called(&self, call: ControlCall, times: usize) {
        loop {
            let called = self.state.called.notified();
            if lock(&self.state.calls).iter().filter(|made| **made == call).count() >= times {
                return;
            }
            called.await;
        }
    }

    /// What `Control::memory_peak_bytes` answers from now on.
    pub fn set_memory_peak_bytes(&self, bytes: u64) {
        self.state.memory_peak_bytes.store(bytes, Ordering::SeqCst);
    }
}

impl Drop for FakeProcess {
    fn drop(&mut self) {
        self.state.end(KILLED);
    }
}

// === impl FakeControl ===

const KILLED: Exit = Exit { code: None, signal: Some(9), out_of_memory: false };

impl ProcessState {
    fn record(&self, call: ControlCall) {
        lock(&self.calls).push(call);
        self.called.notify_waiters();
    }

    fn end(&self, exit: Exit) {
        self.exit.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(exit);
                self.live.fetch_sub(1, Ordering::SeqCst);
            }
            first
        });
    }
}

impl Control for FakeControl {
    fn freeze(&self) -> std::io::Result<()> {
        self.state.record(ControlCall::Freeze);
        Ok(())
    }

    fn thaw(&self) -> std::io::Result<()> {
        self.state.record(ControlCall::Thaw);
        Ok(())
    }

    fn share_cpu(&self) -> std::io::Result<()> {
        self.state.record(ControlCall::ShareCpu);
        Ok(())
    }

    fn terminate(&self) -> std::io::Result<()> {
        self.state.record(ControlCall::Terminate);
        Ok(())
    }

    fn kill(&self) {
        self.state.record(ControlCall::Kill);
        self.state.end(KILLED);
    }

    fn exited(&self) -> Exited {
        let mut exit = self.state.exit.subscribe();
        Box::pin(async move {
            match exit.wait_for(Option::is_some).await {
                Ok(state) => state.unwrap_or(KILLED),
                Err(_) => KILLED,
            }
        })
    }

    fn memory_peak_bytes(&self) -> u64 {
        self.state.memory_peak_bytes.load(Ordering::SeqCst)
    }

    fn memory_bytes(&self) -> u64 {
        self.state.memory_peak_bytes.load(Ordering::SeqCst)
    }

    fn watch_memory(&self, on: bool) {
        self.state.record(ControlCall::WatchMemory(on));
    }
}

impl Drop for FakeControl {
    fn drop(&mut self) {
        self.kill();
    }
}

fn build(spec: SandboxSpec, live: &Arc<AtomicUsize>) -> std::io::Result<(Started, FakeProcess)> {
    let (channel, inner_channel) = UnixStream::pair()?;
    channel.set_nonblocking(true)?;
    inner_channel.set_nonblocking(true)?;
    let (telemetry, inner_telemetry) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (output, inner_output) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for _ in &spec.listeners {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        addresses.push(listener.local_addr()?);
        listeners.push(listener);
    }
    live.fetch_add(1, Ordering::SeqCst);
    let state = Arc::new(ProcessState {
        calls: Mutex::default(),
        called: Notify::new(),
        exit: watch::Sender::new(None),
        memory_peak_bytes: AtomicU64::new(0),
        live: Arc::clone(live),
    });
    let control = Arc::new(FakeControl { state: Arc::clone(&state) });
    let process = FakeProcess {
        spec,
        channel: inner_channel,
        telemetry: inner_telemetry,
        output: inner_output,
        listeners: addresses,
        state,
    };
    Ok((Started { control, channel, telemetry, output, listeners }, process))
}

/// A test that panicked while holding the lock has already failed; others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
