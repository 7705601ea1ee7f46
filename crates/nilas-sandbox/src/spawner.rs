//! The spawner: the one process that keeps what building namespaces takes, and does nothing else.
//!
//! It is this binary executed anew, single-threaded, so that it may fork. It knows a handful of typed requests and
//! answers only its server. When the server is gone it kills every sandbox, cleans up and ends.

mod end;
mod fork;
mod shell;
mod start;
mod template;
mod zygote;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::CapabilitySet;

pub(crate) use shell::write_id_maps;

use fork::ForkTools;
use shell::Stock;
use template::Template;
use zygote::{Host, ZygoteId, Zygotes};

use crate::cgroup::{Cgroup, Layout};
use crate::jail::{self, StepError, step};
use crate::launch::SandboxConfig;
use crate::net::{Attachment, HostNetwork, NetConfig};
use crate::probe;
use crate::protocol::{self, Event, Failure, FromInit, Part, Program, ProtocolError, Request};
use crate::seccomp::{self, Filter, Role};
use crate::spec::{Limits, Outbound, SandboxSpec, Zygote};
use crate::sys;

/// The descriptor the server's socket is inherited as.
pub(crate) const SERVER_DESCRIPTOR: i32 = 3;
/// Sandboxes alive at once.
const SLOTS_MAX: u32 = 4_096;
/// How long a network may take, once the jail stands.
const NETWORK_WAIT: Duration = Duration::from_secs(5);
/// How often to look for it meanwhile.
const NETWORK_LOOK: Duration = Duration::from_millis(1);
/// Groups empty a moment after their last process has been reaped; then they can be removed.
const RETIRE_RETRY: Duration = Duration::from_millis(2);
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
    template_filter: Filter,
    /// What forks of templates lack beside.
    restored_filter: Filter,
    init_filter: Filter,
    live: BTreeMap<u32, Live>,
    /// Slots of `live` by what they wait for; none for those that run.
    /// Shells ready to be fitted, the newest last.
    shells: Vec<u32>,
    /// Shells that a zygote has forked into.
    primed: Vec<(ZygoteId, u32)>,
    /// Shells being made ahead.
    preparing: BTreeSet<u32>,
    /// From a request to its answer.
    starting: BTreeSet<u32>,
    /// Pid 1 has closed its connection, and is about to be reaped.
    ending: BTreeSet<u32>,
    next_slot: u32,
    /// Number of shells made, which names their groups.
    serial: u64,
    stock: Stock,
    zygotes: Zygotes,
    retiring: Vec<(Cgroup, u32)>,
    /// Held to the end: see `SandboxConfig::lock`.
    _alone: Option<OwnedFd>,
}

/// A sandbox from its fork to the reaping of its pid 1.
#[derive(Debug)]
struct Live {
    /// The request it is for; none for a shell.
    token: Option<u64>,
    pid: Pid,
    status: OwnedFd,
    cgroup: Cgroup,
    attachment: Option<Attachment>,
    outbound: Outbound,
    stage: Stage,
    /// What to fit it for once it is prepared.
    wanted: Option<Box<SandboxSpec>>,
    /// What the server gets when the sandbox runs; none once it has got it.
    parts: Option<Parts>,
    /// What a zygote needs; none once that has it, or if there is none.
    tools: Option<ForkTools>,
    /// Where a fork hears what it is for.
    go: OwnedFd,
    /// What the fork is to be; none once it has been told.
    fork: Option<(Program, Limits)>,
    /// Who has forked into it, or will.
    parent: Option<Parent>,
    /// The slot of the template whose namespaces its own are below.
    home: Option<u32>,
    /// None for whatever will not be forked.
    template: Option<Template>,
    failure: Option<Failure>,
    ended: Option<(Option<i32>, Option<i32>)>,
}

/// What a main process is forked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Zygote(ZygoteId),
    /// By its slot, which is not given away while there are sandboxes below it.
    Template(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preparing,
    /// A shell that waits for its purpose.
    Idle,
    Fitted,
    /// The jail stands since then, and waits for its network.
    Jailed {
        since: Instant,
    },
    Ready,
    Released,
    Running,
    /// It was made ahead and nobody wants it any more.
    Ending,
}

type Parts = Vec<(Part, OwnedFd)>;

const SERVER_KEY: u64 = 0;
const CHILDREN_KEY: u64 = 1;
const FIRST_SLOT_KEY: u64 = 2;
const FIRST_ZYGOTE_KEY: u64 = 1 << 32;
const _: () = assert!(FIRST_SLOT_KEY + (SLOTS_MAX as u64) < FIRST_ZYGOTE_KEY);

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

/// The spawner's only clock; nothing it decides by it reaches a sandbox.
fn now() -> Instant {
    Instant::now()
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
        let mut namespaces = probe::namespaces(capable);
        let privileged = capable && namespaces.ok;
        if capable && !privileged {
            namespaces = probe::namespaces(false);
        }
        // Without namespaces there is nothing to enter, and the server is told so.
        if !privileged && namespaces.ok {
            step("enter a user namespace", sys::enter_own_user_namespace())?;
        }
        let alone = config.lock.as_deref().map(wait_for_predecessor).transpose()?;
        let layout = step("set up cgroups", Layout::set_up(&config.name, privileged))?;
        config.memory_bytes_max.iter().for_each(|bytes| layout.bound_memory(*bytes));
        let mut findings = vec![namespaces, probe::ids(privileged)];
        findings.extend(layout.findings());
        tell(server, &Event::Ready { findings });
        let network = NetConfig {
            subnet: config.subnet,
            closed_ports: config.closed_ports.clone(),
            ..NetConfig::new(&config.network_prefix)
        };
        let network = match config.network {
            true => step("set up the network", HostNetwork::set_up(&network))?,
            false => HostNetwork::none(&network),
        };
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
            template_filter: step("compile filter", seccomp::compile(Role::Template))?,
            restored_filter: step("compile filter", seccomp::without_setns())?,
            init_filter: step("compile filter", seccomp::compile(Role::Init))?,
            live: BTreeMap::new(),
            shells: Vec::new(),
            primed: Vec::new(),
            preparing: BTreeSet::new(),
            starting: BTreeSet::new(),
            ending: BTreeSet::new(),
            next_slot: 0,
            serial: 0,
            stock: Stock::new(config.shells),
            zygotes: Zygotes::default(),
            retiring: Vec::new(),
            _alone: alone,
        })
    }

    /// Until the server is gone.
    fn serve(&mut self) {
        loop {
            let timeout = self.look_again_in().map(|wait| Timespec {
                tv_sec: wait.as_secs().cast_signed(),
                tv_nsec: wait.subsec_nanos().into(),
            });
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
                    CHILDREN_KEY => {
                        sys::best_effort(rustix::io::read(&self.children, &mut [0; 1_024]));
                    }
                    key if key >= FIRST_ZYGOTE_KEY => {
                        if let Some(reason) = self.zygotes.hear(key) {
                            self.trouble("keep a zygote", reason);
                        }
                    }
                    key => self.hear(u32::try_from(key - FIRST_SLOT_KEY).unwrap_or(u32::MAX)),
                }
            }
            self.reap();
            self.release_jailed();
            self.retire();
            if let Some(reason) = self.zygotes.check() {
                self.trouble("boot a zygote", reason);
            }
            self.restock();
        }
    }

    /// When to go on although nothing has happened.
    fn look_again_in(&self) -> Option<Duration> {
        let waits = |slot: &u32| {
            self.live.get(slot).is_some_and(|live| matches!(live.stage, Stage::Jailed { .. }))
        };
        let network = self.starting.iter().any(waits).then_some(NETWORK_LOOK);
        let retiring = (!self.retiring.is_empty()).then_some(RETIRE_RETRY);
        [network, retiring, self.restock_in(), self.zygotes.look_again_in()]
            .into_iter()
            .flatten()
            .min()
    }

    fn take_request(&mut self) -> Result<(), ProtocolError> {
        let (request, _) = match protocol::receive::<Request>(&self.server, RecvFlags::DONTWAIT) {
            Err(ProtocolError::Socket(Errno::AGAIN)) => return Ok(()),
            other => other?,
        };
        match request {
            Request::Start { token, spec } => {
                if let Some(zygote) = spec.zygote() {
                    self.warm(zygote);
                }
                if let Err(failure) = self.start(token, *spec) {
                    self.tell(&Event::Failed { token, failure });
                }
            }
            Request::Warm(zygote) => self.warm(&zygote),
            Request::ExpectForks { template, spec } => self.expect_forks(&template, *spec),
            Request::Kill { token } => {
                if let Some(live) = self.live.values().find(|live| live.token == Some(token)) {
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

    fn trouble(&self, step: &str, reason: String) {
        self.tell(&Event::Trouble { step: step.to_owned(), reason });
    }

    fn warm(&mut self, zygote: &Zygote) {
        let host = Host {
            epoll: &self.epoll,
            function_filter: &self.function_filter,
            template_filter: &self.template_filter,
        };
        if let Err(error) = self.zygotes.warm(zygote, host) {
            self.trouble("boot a zygote", error.to_string());
        }
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
                    self.ending.insert(slot);
                    self.thaw_home(slot);
                    return;
                }
            }
        }
    }

    fn heed(&mut self, slot: u32, message: FromInit, descriptors: Vec<OwnedFd>) {
        let Some(live) = self.live.get_mut(&slot) else { return };
        if live.stage == Stage::Ending {
            return;
        }
        match message {
            FromInit::Prepared => self.prepared(slot),
            FromInit::Jailed => {
                let mut descriptors = descriptors;
                if let Some(template) = &mut live.template {
                    template.tmp = descriptors.pop();
                }
                if let Some(parts) = &mut live.parts {
                    parts
                        .extend(descriptors.into_iter().map(|listener| (Part::Listener, listener)));
                }
                live.stage = Stage::Jailed { since: now() };
            }
            FromInit::Running => {
                live.stage = Stage::Running;
                self.starting.remove(&slot);
                self.hand_over(slot);
                self.settle_home(slot);
            }
            FromInit::Failed(failure) => {
                live.failure.get_or_insert(failure);
            }
            FromInit::Ended { code, signal } => live.ended = Some((code, signal)),
        }
    }

    /// Gives the server what it has asked for, if it has.
    fn hand_over(&mut self, slot: u32) {
        let Some(live) = self.live.get_mut(&slot) else { return };
        let Some(token) = live.token else { return };
        // What has failed is told when it has ended, even if its pid 1 has meanwhile got as far as this.
        if live.failure.is_some() {
            return;
        }
        // It is in its groups: from here on it may do as it likes.
        if let Err(failure) = live.tell_fork() {
            return self.fail(slot, failure);
        }
        let Some(parts) = live.parts.take() else { return };
        let (parts, descriptors): (Vec<Part>, Vec<OwnedFd>) = parts.into_iter().unzip();
        let init_pid = live.pid.as_raw_nonzero().get();
        let event = Event::Started { token, init_pid, parts };
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        drop(protocol::send(&self.server, &event, &descriptors, SendFlags::empty()));
    }

    fn fail(&mut self, slot: u32, failure: Failure) {
        if let Some(live) = self.live.get_mut(&slot) {
            live.failure.get_or_insert(failure);
            live.kill();
        }
    }
}

// === impl Live ===

impl Live {
    fn kill(&self) {
        self.cgroup.kill();
        // Enough by itself: with pid 1 the kernel kills its namespace.
        sys::best_effort(rustix::process::kill_process(self.pid, Signal::KILL));
    }
}
