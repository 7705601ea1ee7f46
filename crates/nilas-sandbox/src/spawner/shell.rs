//! Shells: sandboxes made ahead, that lack nothing but what they are for.
//!
//! Namespaces, groups, network and most of the mounts are the same for every sandbox and take milliseconds. A few shells
//! are kept ready; a start then pays for none of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions};

use super::fork::ForkTools;
use super::zygote::ZygoteId;
use super::{FIRST_SLOT_KEY, Live, Parent, Parts, SLOTS_MAX, Spawner, Stage};
use crate::cgroup::Cgroup;
use crate::init::{self, Birth, Stdio};
use crate::jail::{self, INSIDE_GID, INSIDE_UID, StepError, Tools, step};
use crate::net::Namespaces;
use crate::protocol::{self, Failure, Go, Part};
use crate::rootfs;
use crate::spec::Outbound;
use crate::sys::{self, NAMESPACES, Side};

/// First id of slot 0's range on the host: above systemd's container ranges and in nobody's use up to 2^31.
const HOST_ID_BASE: u32 = 1_879_048_192;
const IDS_PER_SLOT: u32 = 65_536;

const _: () = assert!(HOST_ID_BASE as u64 + SLOTS_MAX as u64 * IDS_PER_SLOT as u64 <= 1 << 31);

/// Shells kept ready when little is started, and when a lot is; the same for those that a zygote has forked into, for each.
const SPARE_MIN: usize = 2;
const SPARE_MAX: usize = 16;
/// Of all zygotes together.
const PRIMED_MAX: usize = 32;
/// Rest after the last start before more are made: what has just been started needs the CPU.
const REST: Duration = Duration::from_millis(1);
/// Quiet time after which fewer are kept.
const CALM: Duration = Duration::from_secs(30);

/// How many shells to keep, and when to see to it.
#[derive(Debug)]
pub(super) struct Stock {
    /// What kind; none keeps none.
    outbound: Option<Outbound>,
    target: usize,
    last_start: Instant,
    last_change: Instant,
}

/// The seven namespaces, by their files in `/proc/PID/ns`, in the order of `order::Place`.
const NAMESPACE_FILES: [&str; 7] = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];

// === impl Stock ===

impl Stock {
    pub(super) fn new(outbound: Option<Outbound>) -> Self {
        let now = super::now();
        Self { outbound, target: SPARE_MIN, last_start: now, last_change: now }
    }

    /// A sandbox is asked for; whether what was ready for it was the best.
    pub(super) fn started(&mut self, found: bool) {
        self.last_start = super::now();
        if !found {
            self.target = (self.target * 2).min(SPARE_MAX);
            self.last_change = self.last_start;
        }
    }

    /// None can be made ahead: every start makes its own, and is told what is wrong.
    pub(super) fn give_up(&mut self) {
        self.outbound = None;
    }

    /// The kind of shell to make ahead.
    fn kind(&mut self) -> Option<Outbound> {
        let now = super::now();
        let calm = now - self.last_change >= CALM && now - self.last_start >= CALM;
        if self.target > SPARE_MIN && calm {
            self.target /= 2;
            self.last_change = now;
        }
        self.outbound
    }

    fn rest(&self) -> Duration {
        REST.saturating_sub(self.last_start.elapsed())
    }
}

// === impl Spawner ===

impl Spawner {
    /// Makes or primes one shell if one is lacking and nothing else is to be done.
    pub(super) fn restock(&mut self) {
        self.drop_orphans();
        self.drop_unused();
        if !self.starting.is_empty() || !self.stock.rest().is_zero() {
            return;
        }
        let Some(outbound) = self.stock.kind() else { return };
        if self.spare() >= self.stock.target {
            if let Some(zygote) = self.unprimed() {
                self.prime(zygote);
            } else if let Some((home, outbound)) = self.bare_template()
                && self.make_shell(outbound, Some(home)).is_err()
            {
                // Most likely the template is ending. If not, the next start is told why.
                self.rest_template(home);
            }
        } else if let Err(failure) = self.make_shell(outbound, None) {
            // The next start tries again, and is told why.
            self.stock.give_up();
            self.trouble("make a sandbox ahead", format!("{failure:?}"));
        }
    }

    /// Ends forks of zygotes that had to make room for others.
    fn drop_orphans(&mut self) {
        let zygotes = &self.zygotes;
        let orphans = self.primed.extract_if(.., |(zygote, _)| !zygotes.knows(*zygote));
        for (_, slot) in orphans {
            self.live.get(&slot).into_iter().for_each(Live::kill);
        }
    }

    /// When `restock` has something to do.
    pub(super) fn restock_in(&self) -> Option<Duration> {
        let lacking = self.spare() < self.stock.target
            || self.unprimed().is_some()
            || self.bare_template().is_some();
        let wanted = self.stock.outbound.is_some() && lacking && self.starting.is_empty();
        let lacking = wanted.then(|| self.stock.rest().max(Duration::from_millis(1)));
        lacking.into_iter().chain(self.unused_in()).min()
    }

    /// Shells that wait, or are being made.
    fn spare(&self) -> usize {
        let preparing = self.preparing.iter().filter(|slot| self.home_of(**slot).is_none());
        self.shells.len() + preparing.count()
    }

    /// A zygote that should fork into another shell, if there is one for it.
    fn unprimed(&self) -> Option<ZygoteId> {
        if self.primed.len() >= PRIMED_MAX || self.shells.is_empty() {
            return None;
        }
        let primed = |id: ZygoteId| self.primed.iter().filter(|(zygote, _)| *zygote == id).count();
        self.zygotes.ready().find(|id| primed(*id) < self.stock.target)
    }

    /// Lets a zygote fork into a shell ahead of the start that will need it.
    fn prime(&mut self, zygote: ZygoteId) {
        let Some(outbound) = self.stock.outbound else { return };
        let Some(slot) = self.take_shell(outbound) else { return };
        let Some(live) = self.live.get_mut(&slot) else { return };
        let Some(tools) = live.tools.take() else { return };
        live.parent = Some(Parent::Zygote(zygote));
        match self.zygotes.fork(zygote, &tools, self.privileged) {
            Ok(()) => self.primed.push((zygote, slot)),
            // It has ended just now, which is told by its connection: this costs one shell, not the stock.
            Err(_) => live.kill(),
        }
    }

    /// Forks a new shell, below the template of slot `home` if there is one; gives its slot.
    pub(super) fn make_shell(
        &mut self,
        outbound: Outbound,
        home: Option<u32>,
    ) -> Result<u32, Failure> {
        let slot = self.free_slot().ok_or(Failure::Full { live: SLOTS_MAX })?;
        self.serial += 1;
        let name = format!("{:08x}", self.serial);
        let cgroup = step("make cgroup", self.layout.create(&name))?;
        let (pid, status, parts, tools, go) = match self.fork(slot, &cgroup, home) {
            Ok(forked) => forked,
            Err(error) => {
                self.retiring.push((cgroup, 0));
                return Err(error.into());
            }
        };
        let live = Live {
            token: None,
            pid,
            status,
            cgroup,
            attachment: None,
            outbound,
            stage: Stage::Preparing,
            wanted: None,
            parts: Some(parts),
            tools: Some(tools),
            go,
            fork: None,
            parent: None,
            home,
            template: None,
            failure: None,
            ended: None,
        };
        self.live.insert(slot, live);
        self.preparing.insert(slot);
        // From here on a failure is told when the child has been reaped.
        if let Err(error) = self.admit(slot, pid, outbound) {
            self.fail(slot, error.into());
        }
        Ok(slot)
    }

    fn free_slot(&mut self) -> Option<u32> {
        let from = self.next_slot;
        // Below a template that has ended somebody may still use its ids.
        let homes: BTreeSet<u32> = self.live.values().filter_map(|live| live.home).collect();
        let free = (0..SLOTS_MAX)
            .map(|step| (from + step) % SLOTS_MAX)
            .find(|slot| !self.live.contains_key(slot) && !homes.contains(slot))?;
        self.next_slot = (free + 1) % SLOTS_MAX;
        Some(free)
    }

    /// Makes the child, with everything it needs already open.
    fn fork(
        &self,
        slot: u32,
        cgroup: &Cgroup,
        home: Option<u32>,
    ) -> Result<(Pid, OwnedFd, Parts, ForkTools, OwnedFd), StepError> {
        let name = "open descriptors";
        let (mut parts, stdio) = self.function_ends(home.unwrap_or(slot))?;
        let (status, init_status) = step(name, protocol::socket_pair())?;
        let (orders, init_orders) = step(name, protocol::socket_pair())?;
        let (report, zygote_report) = step(name, pipe_with(PipeFlags::CLOEXEC))?;
        let (fork_go, go) = step(name, pipe_with(PipeFlags::CLOEXEC))?;
        step(name, rustix::fs::fcntl_setfl(&go, OFlags::NONBLOCK))?;
        parts.push((Part::Orders, orders));
        parts.extend(step("open cgroup", cgroup.open_parts())?);
        let group = step("open cgroup", cgroup.open_unified())?;
        let group = group.map(OwnedFd::from);
        let (group, born_in, procs) = match home {
            Some(_) => (None, group, step("open cgroup", cgroup.open_procs())?),
            None => (group, None, None),
        };
        let plan = rootfs::plan(self.privileged);
        let birth = Birth {
            tools: Tools {
                cgroup_doors: step("open cgroup", cgroup.open_v1_doors())?,
                mounts: jail::open_mounts(&plan.mounts)?,
                status: init_status,
            },
            plan,
            report,
            procs: procs.map(OwnedFd::from),
            stdio: step(name, stdio.try_clone())?,
            orders: init_orders,
            function_filter: self.function_filter.clone(),
            init_filter: self.init_filter.clone(),
        };
        let tools = ForkTools {
            namespaces: Vec::new(),
            stdio,
            report: zygote_report,
            go: fork_go,
            doors: step("open cgroup", cgroup.open_v1_doors())?,
            group,
            below: home.is_some(),
            control: None,
        };
        let group = tools.group.as_ref().or(born_in.as_ref()).map(AsFd::as_fd);
        let side = match home {
            Some(home) => self.clone_below(home, group)?,
            None => {
                let owner = self.privileged.then(|| host_id_base(slot));
                step("clone", sys::clone_owned_by(owner, NAMESPACES, group))?
            }
        };
        let pid = match side {
            Side::Child => init::run(birth),
            Side::Parent(pid) => pid,
        };
        let data = epoll::EventData::new_u64(FIRST_SLOT_KEY + u64::from(slot));
        if let Err(error) = epoll::add(&self.epoll, &status, data, epoll::EventFlags::IN) {
            sys::best_effort(rustix::process::kill_process(pid, Signal::KILL));
            sys::best_effort(rustix::process::waitpid(Some(pid), WaitOptions::empty()));
            return step("watch sandbox", Err(error));
        }
        Ok((pid, status, parts, tools, go))
    }

    /// Both ends of what connects a function with the server. `slot` is that of its ids.
    fn function_ends(&self, slot: u32) -> Result<(Parts, Stdio), StepError> {
        let name = "open descriptors";
        let (channel, function_channel) = step(name, stream_pair())?;
        let (telemetry, function_telemetry) = step(name, self.function_pipe(slot))?;
        let (output, function_output) = step(name, self.function_pipe(slot))?;
        // Opened anew: flags and owner of a shared open file would pass words between functions.
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let stdio = Stdio {
            null: step(name, null)?,
            output: function_output,
            channel: function_channel,
            telemetry: function_telemetry,
        };
        let parts =
            vec![(Part::Channel, channel), (Part::Telemetry, telemetry), (Part::Output, output)];
        Ok((parts, stdio))
    }

    /// A pipe whose write end the function may also open by name, as `/dev/stdout`.
    fn function_pipe(&self, slot: u32) -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        if self.privileged {
            let base = host_id_base(slot);
            let (uid, gid) = (Uid::from_raw(base + INSIDE_UID), Gid::from_raw(base + INSIDE_GID));
            rustix::fs::fchown(&write, Some(uid), Some(gid))?;
        }
        Ok((read, write))
    }

    /// Gives the child its ids and its network.
    fn admit(&mut self, slot: u32, pid: Pid, outbound: Outbound) -> Result<(), StepError> {
        if self.home_of(slot).is_none() {
            write_id_maps(pid, slot, self.privileged)?;
        }
        die_first(pid)?;
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        let pid = pid.as_raw_nonzero().get();
        let namespaces = (outbound == Outbound::Internet).then(|| Namespaces::of(pid)).transpose();
        let namespaces = step("open network namespace", namespaces)?;
        // It builds its jail while the network is made, and becomes undumpable.
        let mapped = protocol::send(&live.status, &Go::Mapped, &[], SendFlags::DONTWAIT);
        step("talk to pid 1", mapped)?;
        if let Some(namespaces) = namespaces {
            let attached = self.network.attach(slot, &namespaces);
            live.attachment = Some(step("attach network", attached)?);
        }
        Ok(())
    }
}

/// While pid 1 may still be looked at: later it makes itself undumpable.
pub(super) fn open_namespaces(pid: Pid) -> Result<Vec<OwnedFd>, StepError> {
    let pid = pid.as_raw_nonzero();
    let open = |name: &&str| {
        let path = format!("/proc/{pid}/ns/{name}");
        step("open namespaces", File::open(path).map(OwnedFd::from))
    };
    NAMESPACE_FILES.iter().map(open).collect()
}

/// Server's end first, non-blocking.
fn stream_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (server, function) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::fs::fcntl_setfl(&server, OFlags::NONBLOCK)?;
    Ok((server, function))
}

fn host_id_base(slot: u32) -> u32 {
    HOST_ID_BASE + slot * IDS_PER_SLOT
}

/// Short of memory, the kernel kills functions before the server, the spawner and whatever else the machine does.
pub(super) fn die_first(pid: Pid) -> Result<(), StepError> {
    const OOM_SCORE_ADJ: &str = "800";
    // Written by the privileged spawner, this is also the least that the function itself can set.
    let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
    match fs::write(path, OOM_SCORE_ADJ) {
        // An ordinary user cannot take back what his session is already offered with, if that is more.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        written => step("offer the sandbox to the out-of-memory killer", written),
    }
}

/// Says which ids of the host the sandbox's ids are: a range of the slot's own, or just ours as the function's.
pub(crate) fn write_id_maps(pid: Pid, slot: u32, privileged: bool) -> Result<(), StepError> {
    let pid = pid.as_raw_nonzero();
    let write = |file: &str, text: String| {
        step(&format!("write {file}"), fs::write(format!("/proc/{pid}/{file}"), text))
    };
    if privileged {
        let base = host_id_base(slot);
        write("uid_map", format!("0 {base} {IDS_PER_SLOT}"))?;
        return write("gid_map", format!("0 {base} {IDS_PER_SLOT}"));
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    write("uid_map", format!("{INSIDE_UID} {uid} 1"))?;
    // The kernel lets an ordinary user map a group only if groups can no longer be dropped.
    write("setgroups", "deny".to_owned())?;
    write("gid_map", format!("{INSIDE_GID} {gid} 1"))
}
