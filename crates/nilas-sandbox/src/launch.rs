//! The server's end of the spawner: launches it, asks it for sandboxes, hears from it.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::cgroup::cpu_share;
use crate::control::{CpuLever, KILLED, Levers, LinuxControl, Sandboxed};
use crate::finding::Finding;
use crate::guard::Guard;
use crate::memory::{GroupStat, MemoryGauge};
use crate::net::Subnet;
use crate::protocol::{self, Event, Failure, Part, ProtocolError, Request};
use crate::spawner::SERVER_DESCRIPTOR;
use crate::spec::{Limits, Origin, Outbound, Sandbox, SandboxSpec, StartError, Started, Zygote};
use crate::sys;

/// The argument by which the binary knows that it is the spawner.
pub const SPAWNER_ARGUMENT: &str = "__spawner";
/// Open files of the server where root starts it: what every slot's sandbox takes, and as much again for connections.
const FILES_MAX: u64 = 262_144;
/// Wait before another try when the spawner's socket is full.
const SEND_RETRY: Duration = Duration::from_millis(1);

/// What the spawner has to know of this server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// Names what is made on the host, such as cgroups; different for each data directory.
    pub name: String,
    /// The same for network interfaces: `[a-z0-9]{1,6}`.
    pub network_prefix: String,
    /// Where sandboxes' addresses are from; none lets the network choose.
    pub subnet: Option<Subnet>,
    /// Ports that sandboxes reach on no machine.
    pub closed_ports: Vec<u16>,
    /// Keep a few empty sandboxes with this network ready. None keeps none.
    pub shells: Option<Outbound>,
    /// Make a network for sandboxes on the host. Without it they have their loopback, and nothing of the host changes.
    pub network: bool,
    /// What all sandboxes together may take of the machine's memory, bytes, where a control group can hold them to it.
    pub memory_bytes_max: Option<u64>,
    /// A file that the spawner keeps locked until it has cleaned up, so that the next one of the same name, started
    /// after a crash of the server, waits for that. None where nobody else uses the name.
    pub lock: Option<PathBuf>,
}

/// Real sandboxes, through a spawner process. Dropping it ends all of them.
#[derive(Debug)]
pub struct LinuxSandbox {
    link: Arc<Link>,
    findings: Vec<Finding>,
    spawner: Mutex<Option<Child>>,
    /// Hears from the spawner. Started with the first sandbox: the server may drop its privileges only before.
    listener: OnceLock<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot execute the spawner: {0}")]
    Execute(std::io::Error),
    #[error("cannot talk to the spawner: {0}")]
    Talk(String),
    #[error("the spawner cannot {step}: {reason}")]
    Unusable { step: String, reason: String },
}

#[derive(Debug)]
struct Link {
    socket: OwnedFd,
    state: Mutex<State>,
    /// `State::network` has come, or never will.
    network_known: Condvar,
    guard: Arc<Guard>,
}

#[derive(Debug, Default)]
struct State {
    last_token: u64,
    starting: HashMap<u64, Starting>,
    running: HashMap<u64, Arc<Sandboxed>>,
    /// What there is of a network.
    network: Option<Vec<Finding>>,
    /// The spawner has ended.
    gone: bool,
}

#[derive(Debug)]
struct Starting {
    id: String,
    limits: Limits,
    answer: oneshot::Sender<Result<Started, StartError>>,
}

// === impl SandboxConfig ===

impl SandboxConfig {
    /// Names of its own for the server of `data_dir`, the same at every start.
    pub fn for_data_dir(data_dir: &Path) -> Self {
        let hash = fnv1a(data_dir.as_os_str().as_encoded_bytes());
        Self {
            name: format!("nilas-{hash:016x}"),
            // Six characters are all an interface name leaves; a clash needs both data directories on one host.
            network_prefix: format!("n{:05x}", hash & 0xf_ffff),
            subnet: None,
            closed_ports: Vec::new(),
            shells: None,
            network: true,
            memory_bytes_max: None,
            lock: None,
        }
    }
}

/// FNV-1a: stable over versions, which std's hashers are not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

// === impl LinuxSandbox ===

impl LinuxSandbox {
    /// Starts the spawner and waits until it can be asked for sandboxes, if not for their network.
    ///
    /// Call this before privileges are dropped: the spawner keeps those of now. The binary must call `spawner_main`
    /// when its first argument is `SPAWNER_ARGUMENT`.
    pub fn launch(config: &SandboxConfig) -> Result<Self, LaunchError> {
        raise_file_limit();
        let (socket, theirs) =
            protocol::socket_pair().map_err(|error| LaunchError::Execute(error.into()))?;
        let spawner = execute_spawner(theirs).map_err(LaunchError::Execute)?;
        let talk = |error: ProtocolError| LaunchError::Talk(error.to_string());
        protocol::send(&socket, &Request::Configure(config.clone()), &[], SendFlags::empty())
            .map_err(talk)?;
        let findings = match protocol::receive(&socket, RecvFlags::empty()).map_err(talk)?.0 {
            Event::Ready { findings } => findings,
            Event::Unusable { step, reason } => return Err(LaunchError::Unusable { step, reason }),
            event => return Err(LaunchError::Talk(format!("unexpected {event:?}"))),
        };
        let link = Link {
            socket,
            state: Mutex::default(),
            network_known: Condvar::new(),
            guard: Arc::default(),
        };
        let spawner = Mutex::new(Some(spawner));
        Ok(Self { link: Arc::new(link), findings, spawner, listener: OnceLock::new() })
    }

    /// What this host gives sandboxes, and what it does not. Waits for the network; starts threads.
    pub fn capabilities(&self) -> Vec<Finding> {
        if let Err(error) = self.listen() {
            tracing::error!(%error, "cannot start threads");
            return self.findings.clone();
        }
        let waiting = |state: &mut State| state.network.is_none() && !state.gone;
        let state = self.link.network_known.wait_while(self.link.state(), waiting);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        self.findings.iter().chain(state.network.iter().flatten()).cloned().collect()
    }

    /// Orders the end of all sandboxes and of the spawner, for who has other things to do meanwhile.
    pub fn begin_shut_down(&self) {
        // Already shut down if this fails.
        sys::best_effort(rustix::net::shutdown(&self.link.socket, Shutdown::Both));
    }

    /// Ends all sandboxes and the spawner; returns when everything is cleaned up.
    pub fn shut_down(&self) {
        self.begin_shut_down();
        let spawner = self.spawner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut spawner) = spawner
            && let Err(error) = spawner.wait()
        {
            tracing::warn!(%error, "cannot wait for the spawner");
        }
        self.link.spawner_gone();
    }

    async fn start_one(&self, spec: SandboxSpec) -> Result<Started, StartError> {
        self.listen().map_err(|error| broken(&spec.id, "start threads", &error))?;
        let id = spec.id.clone();
        let (answer, answered) = oneshot::channel();
        let token = {
            let mut state = self.link.state();
            if state.gone {
                return Err(StartError::SpawnerGone);
            }
            state.last_token += 1;
            let token = state.last_token;
            let limits = spec.limits.clone();
            state.starting.insert(token, Starting { id: id.clone(), limits, answer });
            token
        };
        let request = Request::Start { token, spec: Box::new(spec) };
        if let Err(error) = self.send(&request).await {
            self.link.state().starting.remove(&token);
            return Err(match error {
                ProtocolError::Closed => StartError::SpawnerGone,
                error => broken(&id, "ask the spawner", &error),
            });
        }
        // The listener drops all senders when the spawner is gone.
        answered.await.unwrap_or(Err(StartError::SpawnerGone))
    }

    /// A full socket means that the spawner has plenty to do; it is waited for.
    async fn send(&self, request: &Request) -> Result<(), ProtocolError> {
        loop {
            match protocol::send(&self.link.socket, request, &[], SendFlags::DONTWAIT) {
                Err(ProtocolError::Socket(Errno::AGAIN)) => tokio::time::sleep(SEND_RETRY).await,
                other => return other,
            }
        }
    }

    fn listen(&self) -> std::io::Result<()> {
        if self.listener.get().is_some() {
            return Ok(());
        }
        let _one_at_a_time = self.link.state();
        if self.listener.get().is_none() {
            self.link.guard.start()?;
            let link = Arc::clone(&self.link);
            let thread = thread::Builder::new()
                .name("nilas-spawner".to_owned())
                .spawn(move || link.hear())?;
            // Set only here, under the lock.
            drop(self.listener.set(thread));
        }
        Ok(())
    }
}

impl Sandbox for LinuxSandbox {
    fn start(
        &self,
        spec: SandboxSpec,
    ) -> Pin<Box<dyn Future<Output = Result<Started, StartError>> + Send + '_>> {
        Box::pin(async move {
            let forked = matches!(spec.origin, Origin::Zygote(_)) && !spec.template;
            let plain = forked.then(|| SandboxSpec { origin: Origin::Program, ..spec.clone() });
            match (self.start_one(spec).await, plain) {
                (Err(error @ StartError::Fork { .. }), Some(plain)) => {
                    tracing::warn!(%error, "fork of a zygote failed; starting plainly");
                    self.start_one(plain).await
                }
                (result, _) => result,
            }
        })
    }

    fn warm(&self, zygote: &Zygote) {
        // Where the spawner is busy or gone, the first start asks again.
        let request = Request::Warm(zygote.clone());
        drop(protocol::send(&self.link.socket, &request, &[], SendFlags::DONTWAIT));
    }

    fn expect_forks(&self, template: &str, spec: SandboxSpec) {
        // As above.
        let request = Request::ExpectForks { template: template.to_owned(), spec: Box::new(spec) };
        drop(protocol::send(&self.link.socket, &request, &[], SendFlags::DONTWAIT));
    }
}

impl Drop for LinuxSandbox {
    fn drop(&mut self) {
        self.shut_down();
    }
}

// === impl Link ===

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The listener's whole life.
    fn hear(&self) {
        loop {
            match protocol::receive(&self.socket, RecvFlags::empty()) {
                Ok((event, descriptors)) => self.heed(event, descriptors),
                Err(ProtocolError::Closed) => break,
                Err(error) => {
                    tracing::error!(%error, "the spawner cannot be understood");
                    break;
                }
            }
        }
        self.spawner_gone();
    }

    fn heed(&self, event: Event, descriptors: Vec<OwnedFd>) {
        match event {
            Event::Started { token, init_pid, parts } => {
                let Some(starting) = self.state().starting.remove(&token) else { return };
                let answer = self.take_over(token, &starting, init_pid, parts, descriptors);
                // Nobody waits any more: dropping the handle in the answer kills the sandbox.
                drop(starting.answer.send(answer));
            }
            Event::Failed { token, failure } => {
                let Some(starting) = self.state().starting.remove(&token) else { return };
                let error = start_error(starting.id, failure);
                drop(starting.answer.send(Err(error)));
            }
            Event::Ended { token, exit } => {
                if let Some(sandboxed) = self.state().running.remove(&token) {
                    sandboxed.ended(exit);
                }
            }
            Event::Trouble { step, reason } => tracing::warn!(step, reason, "spawner trouble"),
            Event::Network { findings } => {
                self.state().network = Some(findings);
                self.network_known.notify_all();
            }
            Event::Unusable { step, reason } => {
                tracing::error!(step, reason, "the spawner gave up");
            }
            Event::Ready { .. } => {
                tracing::error!("the spawner answered a question that was not asked");
            }
        }
    }

    fn take_over(
        &self,
        token: u64,
        starting: &Starting,
        init_pid: i32,
        parts: Vec<Part>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Started, StartError> {
        let missing = || broken(&starting.id, "take over", &"a descriptor is missing");
        // The kernel cuts the list off when this process may open no more files.
        if parts.len() != descriptors.len() {
            tracing::warn!("no more open files: see RLIMIT_NOFILE of the server");
            let live = u32::try_from(self.state().running.len()).unwrap_or(u32::MAX);
            return Err(StartError::Full { live });
        }
        let mut listeners = Vec::new();
        let mut named: HashMap<Part, OwnedFd> = HashMap::new();
        for (part, descriptor) in parts.into_iter().zip(descriptors) {
            match part {
                Part::Listener => listeners.push(TcpListener::from(descriptor)),
                part => drop(named.insert(part, descriptor)),
            }
        }
        let mut file = |part: Part| named.remove(&part).map(File::from);
        let stat = file(Part::MemoryStatV2)
            .map(GroupStat::V2)
            .or_else(|| file(Part::MemoryStatV1).map(GroupStat::V1));
        let memory = MemoryGauge { stat, processes: file(Part::CgroupProcs), init_pid };
        let cpu = [Part::CpuMaxV2, Part::CpuQuotaV1].into_iter().find_map(|part| {
            Some(CpuLever { share: cpu_share(part, &starting.limits)?, file: file(part)? })
        });
        let (freeze, kill) = (file(Part::CgroupFreeze), file(Part::CgroupKill));
        let mut take = |part: Part| named.remove(&part).ok_or_else(missing);
        let levers = Levers { freeze, kill, orders: take(Part::Orders)?, memory };
        let channel = UnixStream::from(take(Part::Channel)?);
        let (telemetry, output) = (take(Part::Telemetry)?, take(Part::Output)?);
        let sandboxed = Arc::new(Sandboxed::new(levers, cpu, starting.limits.memory_bytes));
        self.guard.add(&sandboxed);
        self.state().running.insert(token, Arc::clone(&sandboxed));
        let control = Arc::new(LinuxControl { sandboxed, guard: Arc::clone(&self.guard) });
        Ok(Started { control, channel, telemetry, output, listeners })
    }

    /// Without a spawner there are no sandboxes: the kernel has ended their first processes with it.
    fn spawner_gone(&self) {
        let (starting, running) = {
            let mut state = self.state();
            state.gone = true;
            (std::mem::take(&mut state.starting), std::mem::take(&mut state.running))
        };
        self.network_known.notify_all();
        // Waiters see their sender dropped.
        drop(starting);
        for sandboxed in running.into_values() {
            sandboxed.kill_now();
            sandboxed.ended(KILLED);
        }
    }
}

fn start_error(id: String, failure: Failure) -> StartError {
    match failure {
        Failure::Step { step, reason } => StartError::Step { id, step, reason },
        Failure::Exec { path, reason } => StartError::Exec { path, reason },
        Failure::Fork { step, reason } => StartError::Fork { id, step, reason },
        Failure::Full { live } => StartError::Full { live },
    }
}

fn broken(id: &str, step: &str, reason: &dyn std::fmt::Display) -> StartError {
    StartError::Step { id: id.to_owned(), step: step.to_owned(), reason: reason.to_string() }
}

fn execute_spawner(socket: OwnedFd) -> std::io::Result<Child> {
    let raw = socket.as_raw_fd();
    let mut command = Command::new("/proc/self/exe");
    // No environment: it may hold credentials, and forked pid 1s keep a copy of whatever the spawner knows.
    command
        .arg0("nilas")
        .arg(SPAWNER_ARGUMENT)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let hand_over = move || Ok(sys::hand_over(raw, SERVER_DESCRIPTOR)?);
    // SAFETY: between fork and exec `hand_over` makes two system calls and allocates nothing.
    // JUSTIFICATION: std has no other way to give a child a descriptor beyond the first three.
    unsafe { command.pre_exec(hand_over) };
    command.spawn()
}

/// A sandbox takes about ten descriptors here; the usual soft limit of 1,024 would end at a hundred of them, and the
/// usual hard limit of root's at some thousands.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raise = |maximum: Option<u64>| {
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    };
    let wanted = limit.maximum.map(|maximum| maximum.max(FILES_MAX));
    // Only root may have more than the hard limit.
    if raise(wanted).is_err()
        && let Err(error) = raise(limit.maximum)
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
