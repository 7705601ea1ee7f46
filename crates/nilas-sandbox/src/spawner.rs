//! The spawner: the one process that keeps what building namespaces takes, and does nothing else.
//!
//! It is this binary executed anew, single-threaded, so that it may fork. It knows a handful of typed requests and
//! answers only its server. When the server is gone it kills every sandbox, cleans up and ends.

mod start;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::CapabilitySet;

pub(crate) use start::write_id_maps;

use crate::cgroup::{Cgroup, Layout};
use crate::jail::{self, StepError, step};
use crate::launch::SandboxConfig;
use crate::net::{Attachment, HostNetwork, NetConfig, NetError};
use crate::probe;
use crate::protocol::{self, Event, Failure, FromInit, Go, Part, ProtocolError, Request};
use crate::seccomp::{self, Filter, Role};
use crate::spec::Exit;
use crate::sys;

/// The descriptor the server's socket is inherited as.
pub(crate) const SERVER_DESCRIPTOR: i32 = 3;
/// Sandboxes alive at once.
const SLOTS_MAX: u32 = 4_096;
/// How long a network may take, once the jail stands.
const NETWORK_WAIT: Duration = Duration::from_secs(5);
/// How often to look for it meanwhile.
const NETWORK_LOOK_MS: i64 = 1;
/// Groups empty a moment after their last process has been reaped; then they can be removed.
const RETIRE_RETRY_MS: i64 = 2;
const RETIRE_TRIES_MAX: u32 = 1_000;
/// How long the spawner of a server that crashed may take to clean up.
const PREDECESSOR_MS_MAX: u32 = 10_000;

#[derive(Debug)]
struct Spawner {
    server: OwnedFd,
    /// SIGCHLD.
    children: OwnedFd,
    epoll: OwnedFd,
    /// May map ranges of ids, and open mounts for a child.
    privileged: bool,
    layout: Layout,
    network: HostNetwork,
    function_filter: Filter,
    init_filter: Filter,
    live: BTreeMap<u32, Live>,
    retiring: Vec<(Cgroup, u32)>,
    /// Held to the end: see `SandboxConfig::lock`.
    _alone: Option<OwnedFd>,
}

/// A sandbox from its fork to the reaping of its pid 1.
#[derive(Debug)]
struct Live {
    token: u64,
    pid: Pid,
    status: OwnedFd,
    cgroup: Cgroup,
    attachment: Option<Attachment>,
    /// The jail stands since then, and waits for its network.
    jailed_at: Option<Instant>,
    /// What the server gets when the sandbox runs; none once it has got it.
    parts: Option<Parts>,
    failure: Option<Failure>,
    ended: Option<(Option<i32>, Option<i32>)>,
}

type Parts = Vec<(Part, OwnedFd)>;

const SERVER_KEY: u64 = 0;
const CHILDREN_KEY: u64 = 1;
const FIRST_SLOT_KEY: u64 = 2;

/// The whole life of the spawner. The binary calls this first of all when its only argument is `__spawner`.
pub fn spawner_main() -> ! {
    let code = match begin() {
        Ok(Some(mut spawner)) => {
            spawner.serve();
            spawner.end();
            0
        }
        Ok(None) => 0,
        Err(_) => 1,
    };
    sys::exit_now(code)
}

/// None if the server went away, or was told why nothing can be started.
fn begin() -> Result<Option<Spawner>, StepError> {
    sys::best_effort(rustix::thread::set_name(c"nilas:spawner"));
    // Sandboxes inherit both: a strict umask of the server's would lock them out of their own directories.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    step("leave the server's directory", rustix::process::chdir("/"))?;
    // Signals from the terminal and from service managers are the server's business; its end is ours.
    step("leave the terminal", rustix::process::setsid())?;
    // Whatever the shell or service manager that started the server left open must not reach a function.
    step(
        "close inherited descriptors",
        sys::close_all_but(SERVER_DESCRIPTOR.unsigned_abs() + 1, &[]),
    )?;
    // What sandboxes are limited to, which they cannot raise themselves where the machine starts everything with 0.
    let no_core = Rlimit { current: Some(jail::CORE_BYTES), maximum: Some(jail::CORE_BYTES) };
    sys::best_effort(rustix::process::setrlimit(Resource::Core, no_core));
    let signals = [libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = step("open /dev/null", null)?;
    let inherited = step("find the server", sys::inherited(SERVER_DESCRIPTOR))?;
    let server = rustix::io::fcntl_dupfd_cloexec(&inherited, sys::LOW_DESCRIPTORS.cast_signed());
    let server = step("keep the server", server)?;
    drop(inherited);
    step("hold low descriptors", sys::hold_low_descriptors(null))?;
    let children = step("open signal descriptor", sys::signal_fd(&signals))?;
    let Ok((Request::Configure(config), _)) = protocol::receive(&server, RecvFlags::empty()) else {
        return Ok(None);
    };
    match Spawner::set_up(&server, children, &config) {
        Ok(spawner) => Ok(Some(spawner)),
        Err(error) => {
            tell(&server, &Event::Unusable { step: error.step, reason: error.reason });
            Ok(None)
        }
    }
}

fn tell(server: &OwnedFd, event: &Event) {
    // If the server is gone, the next wait says so.
    drop(protocol::send(server, event, &[], SendFlags::empty()));
}

/// After a crash of the server its spawner still cleans up, under the names that we are about to use.
fn wait_for_predecessor(lock: &Path) -> Result<OwnedFd, StepError> {
    let flags = OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file =
        step("open the spawner's lock", rustix::fs::open(lock, flags, Mode::from_raw_mode(0o600)))?;
    let mut waited_ms = 0;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if waited_ms < PREDECESSOR_MS_MAX => {
                std::thread::sleep(Duration::from_millis(1));
                waited_ms += 1;
            }
            result => {
                step("wait for the spawner of the server before", result)?;
                return Ok(file);
            }
        }
    }
}

// === impl Spawner ===

impl Spawner {
    /// Tells the server twice, for it need not wait for the network: several programs of the host's set that up, and
    /// whoever asks for a sandbox meanwhile is heard afterwards.
    fn set_up(
        server: &OwnedFd,
        children: OwnedFd,
        config: &SandboxConfig,
    ) -> Result<Self, StepError> {
        // In a container root may lack the ids; then sandboxes are an ordinary user's.
        let capable = rustix::thread::capabilities(None).is_ok_and(|sets| {
            sets.effective
                .contains(CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID)
        });
        let privileged = capable && probe::namespaces(true).ok;
        let alone = config.lock.as_deref().map(wait_for_predecessor).transpose()?;
        let layout = step("set up cgroups", Layout::set_up(&config.name, privileged))?;
        let mut findings = vec![probe::namespaces(privileged), probe::ids(privileged)];
        findings.extend(layout.findings());
        tell(server, &Event::Ready { findings });
        let network = NetConfig {
            subnet: config.subnet,
            closed_ports: config.closed_ports.clone(),
            ..NetConfig::new(&config.network_prefix)
        };
        let network = step("set up the network", HostNetwork::set_up(&network))?;
        tell(server, &Event::Network { findings: network.findings() });
        let epoll = step("open epoll", epoll::create(epoll::CreateFlags::CLOEXEC))?;
        let server = step("keep the server", server.try_clone())?;
        for (descriptor, key) in [(&server, SERVER_KEY), (&children, CHILDREN_KEY)] {
            let data = epoll::EventData::new_u64(key);
            step("watch descriptors", epoll::add(&epoll, descriptor, data, epoll::EventFlags::IN))?;
        }
        Ok(Self {
            server,
            children,
            epoll,
            privileged,
            layout,
            network,
            function_filter: step("compile filter", seccomp::compile(Role::Function))?,
            init_filter: step("compile filter", seccomp::compile(Role::Init))?,
            live: BTreeMap::new(),
            retiring: Vec::new(),
            _alone: alone,
        })
    }

    /// Until the server is gone.
    fn serve(&mut self) {
        loop {
            let timeout =
                self.look_again_ms().map(|ms| Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 });
            let mut events = Vec::with_capacity(64);
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in events {
                match event.data.u64() {
                    SERVER_KEY => {
                        if self.take_request().is_err() {
                            return;
                        }
                    }
                    CHILDREN_KEY => self.reap(),
                    key => self.hear(u32::try_from(key - FIRST_SLOT_KEY).unwrap_or(u32::MAX)),
                }
            }
            self.release_jailed();
            self.retire();
        }
    }

    /// When to go on although nothing has happened.
    fn look_again_ms(&self) -> Option<i64> {
        if self.live.values().any(|live| live.jailed_at.is_some()) {
            return Some(NETWORK_LOOK_MS);
        }
        (!self.retiring.is_empty()).then_some(RETIRE_RETRY_MS)
    }

    /// Lets those run whose network is there.
    fn release_jailed(&mut self) {
        let mut failed = Vec::new();
        for (slot, live) in &mut self.live {
            if let Some(Err(error)) = live.run_when_ready() {
                failed.push((*slot, error));
            }
        }
        for (slot, error) in failed {
            self.fail(slot, error.into());
        }
    }

    fn take_request(&mut self) -> Result<(), ProtocolError> {
        let (request, _) = match protocol::receive::<Request>(&self.server, RecvFlags::DONTWAIT) {
            Err(ProtocolError::Socket(Errno::AGAIN)) => return Ok(()),
            other => other?,
        };
        match request {
            Request::Start { token, spec } => {
                if let Err(failure) = self.start(token, spec) {
                    self.tell(&Event::Failed { token, failure });
                }
            }
            Request::Kill { token } => {
                if let Some(live) = self.live.values().find(|live| live.token == token) {
                    live.kill();
                }
            }
            // A second configuration has no meaning; the server is ours and never sends one.
            Request::Configure(_) => {}
        }
        Ok(())
    }

    fn tell(&self, event: &Event) {
        tell(&self.server, event);
    }

    /// Takes what a sandbox's pid 1 has to say.
    fn hear(&mut self, slot: u32) {
        loop {
            let Some(live) = self.live.get_mut(&slot) else { return };
            match protocol::receive::<FromInit>(&live.status, RecvFlags::DONTWAIT) {
                Ok((message, descriptors)) => self.heed(slot, message, descriptors),
                Err(ProtocolError::Socket(Errno::AGAIN)) => return,
                Err(_) => {
                    // Its end; the reaping follows. Only stop being woken by it.
                    sys::best_effort(epoll::delete(&self.epoll, &live.status));
                    return;
                }
            }
        }
    }

    fn heed(&mut self, slot: u32, message: FromInit, descriptors: Vec<OwnedFd>) {
        let Some(live) = self.live.get_mut(&slot) else { return };
        match message {
            FromInit::Jailed => {
                if let Some(parts) = &mut live.parts {
                    parts
                        .extend(descriptors.into_iter().map(|listener| (Part::Listener, listener)));
                }
                live.jailed_at = Some(Instant::now());
            }
            FromInit::Running => {
                let Some(parts) = live.parts.take() else { return };
                let (roles, descriptors): (Vec<Part>, Vec<OwnedFd>) = parts.into_iter().unzip();
                let event = Event::Started {
                    token: live.token,
                    init_pid: live.pid.as_raw_nonzero().get(),
                    parts: roles,
                };
                let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                drop(protocol::send(&self.server, &event, &descriptors, SendFlags::empty()));
            }
            FromInit::Failed(failure) => {
                live.failure.get_or_insert(failure);
            }
            FromInit::Ended { code, signal } => live.ended = Some((code, signal)),
        }
    }

    fn fail(&mut self, slot: u32, failure: Failure) {
        if let Some(live) = self.live.get_mut(&slot) {
            live.failure.get_or_insert(failure);
            live.kill();
        }
    }

    /// Finds the sandboxes whose pid 1 has ended. Other children, such as pasta, are waited for by their owners.
    fn reap(&mut self) {
        sys::best_effort(rustix::io::read(&self.children, &mut [0; 1_024]));
        let ended: Vec<u32> = self
            .live
            .iter()
            .filter(|(_, live)| {
                !matches!(rustix::process::waitpid(Some(live.pid), WaitOptions::NOHANG), Ok(None))
            })
            .map(|(slot, _)| *slot)
            .collect();
        for slot in ended {
            // Its last words may still be in the socket.
            self.hear(slot);
            if let Some(live) = self.live.remove(&slot) {
                self.finish(live);
            }
        }
    }

    /// Pid 1 has been reaped, so the kernel has ended every process of its namespace before.
    fn finish(&mut self, live: Live) {
        let oom_killed = live.cgroup.oom_killed();
        let event = match (live.parts, live.failure) {
            (Some(_), failure) => {
                let reason =
                    if oom_killed { "out of memory" } else { "its first process was killed" };
                let failure = failure.unwrap_or_else(|| Failure::Step {
                    step: "start".to_owned(),
                    reason: reason.to_owned(),
                });
                Event::Failed { token: live.token, failure }
            }
            (None, _) => {
                let (code, signal) = live.ended.unwrap_or((None, Some(libc::SIGKILL)));
                Event::Ended {
                    token: live.token,
                    exit: Exit { code, signal, out_of_memory: oom_killed },
                }
            }
        };
        self.tell(&event);
        if let Some(attachment) = live.attachment {
            self.network.detach(attachment);
        }
        self.retiring.push((live.cgroup, 0));
    }

    fn retire(&mut self) {
        let mut stuck = 0;
        self.retiring.retain_mut(|(cgroup, tries)| {
            *tries += 1;
            let gone = cgroup.remove();
            stuck += u32::from(!gone && *tries >= RETIRE_TRIES_MAX);
            !gone && *tries < RETIRE_TRIES_MAX
        });
        if stuck > 0 {
            let reason = format!("{stuck} still busy; the next start of the server removes them");
            self.tell(&Event::Trouble { step: "remove cgroups".to_owned(), reason });
        }
    }

    /// Kills and removes everything.
    fn end(&mut self) {
        for live in self.live.values() {
            live.kill();
        }
        while let Some((_, live)) = self.live.pop_first() {
            sys::best_effort(rustix::process::waitpid(Some(live.pid), WaitOptions::empty()));
            if let Some(attachment) = live.attachment {
                self.network.detach(attachment);
            }
            self.retiring.push((live.cgroup, 0));
        }
        while !self.retiring.is_empty() {
            self.retire();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.network.tear_down();
        self.layout.tear_down();
    }
}

// === impl Live ===

impl Live {
    /// Lets the program run if the network is there; none while it is not.
    fn run_when_ready(&mut self) -> Option<Result<(), StepError>> {
        let jailed_at = self.jailed_at?;
        // Never waited for here: pasta takes milliseconds, in which others can be started.
        let ready = self.attachment.as_mut().map_or(Ok(()), |net| net.wait_ready(Duration::ZERO));
        if matches!(ready, Err(NetError::PastaSlow { .. })) && jailed_at.elapsed() < NETWORK_WAIT {
            return None;
        }
        self.jailed_at = None;
        Some(step("wait for the network", ready).and_then(|()| {
            let run = protocol::send(&self.status, &Go::Run, &[], SendFlags::DONTWAIT);
            step("talk to pid 1", run)
        }))
    }

    fn kill(&self) {
        self.cgroup.kill();
        // Enough by itself: with pid 1 the kernel kills its namespace.
        sys::best_effort(rustix::process::kill_process(self.pid, Signal::KILL));
    }
}
