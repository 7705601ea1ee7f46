//! One start: everything opened, the child forked, its ids and network given.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::epoll;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions};

use super::{FIRST_SLOT_KEY, Live, Parts, SLOTS_MAX, Spawner};
use crate::cgroup::Cgroup;
use crate::init::{self, Birth, Program, Stdio};
use crate::jail::{self, INSIDE_GID, INSIDE_UID, StepError, Tools, step};
use crate::protocol::{self, Failure, Go, LISTENERS_MAX, Part};
use crate::rootfs;
use crate::spec::{Outbound, SandboxSpec};
use crate::sys::{self, NAMESPACES, Side};

/// First id of slot 0's range on the host: above systemd's container ranges and in nobody's use up to 2^31.
const HOST_ID_BASE: u32 = 1_879_048_192;
const IDS_PER_SLOT: u32 = 65_536;

const _: () = assert!(HOST_ID_BASE as u64 + SLOTS_MAX as u64 * IDS_PER_SLOT as u64 <= 1 << 31);

impl Spawner {
    pub(super) fn start(&mut self, token: u64, spec: SandboxSpec) -> Result<(), Failure> {
        check(&spec)?;
        let free = (0..SLOTS_MAX).find(|slot| !self.live.contains_key(slot));
        let Some(slot) = free else {
            return Err(Failure::Full { live: SLOTS_MAX });
        };
        let outbound = spec.outbound;
        let cgroup = step("make cgroup", self.layout.create(&spec.id, &spec.limits))?;
        let (pid, status, parts) = match self.fork(slot, spec, &cgroup) {
            Ok(forked) => forked,
            Err(error) => {
                self.retiring.push((cgroup, 0));
                return Err(error.into());
            }
        };
        let parts = Some(parts);
        let live = Live {
            token,
            pid,
            status,
            cgroup,
            attachment: None,
            jailed_at: None,
            parts,
            failure: None,
            ended: None,
        };
        self.live.insert(slot, live);
        // From here on a failure is told when the child has been reaped.
        if let Err(error) = self.admit(slot, pid, outbound) {
            self.fail(slot, error.into());
        }
        Ok(())
    }

    /// Makes the child, with everything it needs already open.
    fn fork(
        &self,
        slot: u32,
        spec: SandboxSpec,
        cgroup: &Cgroup,
    ) -> Result<(Pid, OwnedFd, Parts), StepError> {
        let name = "open descriptors";
        let (channel, function_channel) = step(name, stream_pair())?;
        let (telemetry, function_telemetry) = step(name, self.function_pipe(slot))?;
        let (output, function_output) = step(name, self.function_pipe(slot))?;
        let (status, init_status) = step(name, protocol::socket_pair())?;
        let (orders, init_orders) = step(name, protocol::socket_pair())?;
        let mut parts = vec![
            (Part::Channel, channel),
            (Part::Telemetry, telemetry),
            (Part::Output, output),
            (Part::Orders, orders),
        ];
        parts.extend(step("open cgroup", cgroup.open_parts())?);
        let group = step("open cgroup", cgroup.open_unified())?;
        let program = program(&spec)?;
        let plan = rootfs::plan(spec, self.privileged);
        let birth = Birth {
            tools: Tools {
                cgroup_doors: step("open cgroup", cgroup.open_v1_doors())?,
                mounts: if self.privileged { Some(jail::open_mounts(&plan.mounts)?) } else { None },
                status: init_status,
            },
            plan,
            program,
            stdio: Stdio {
                // Opened anew: flags and owner of a shared open file would pass words between functions.
                null: step(
                    name,
                    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()),
                )?,
                output: function_output,
                channel: function_channel,
                telemetry: function_telemetry,
            },
            orders: init_orders,
            function_filter: self.function_filter.clone(),
            init_filter: self.init_filter.clone(),
        };
        let owner = self.privileged.then(|| host_id_base(slot));
        let group = group.as_ref().map(AsFd::as_fd);
        match step("clone", sys::clone_owned_by(owner, NAMESPACES, group))? {
            Side::Child => init::run(birth),
            Side::Parent(pid) => {
                let data = epoll::EventData::new_u64(FIRST_SLOT_KEY + u64::from(slot));
                if let Err(error) = epoll::add(&self.epoll, &status, data, epoll::EventFlags::IN) {
                    sys::best_effort(rustix::process::kill_process(pid, Signal::KILL));
                    sys::best_effort(rustix::process::waitpid(Some(pid), WaitOptions::empty()));
                    return step("watch sandbox", Err(error));
                }
                Ok((pid, status, parts))
            }
        }
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
        write_id_maps(pid, slot, self.privileged)?;
        die_first(pid)?;
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        // It builds its jail while the network is made.
        let mapped = protocol::send(&live.status, &Go::Mapped, &[], SendFlags::DONTWAIT);
        step("talk to pid 1", mapped)?;
        if outbound == Outbound::Internet {
            let pid = pid.as_raw_nonzero().get();
            live.attachment = Some(step("attach network", self.network.attach(slot, pid))?);
        }
        Ok(())
    }
}

/// Refuses what would be a mistake of the server, before anything is made.
fn check(spec: &SandboxSpec) -> Result<(), StepError> {
    let refuse = |reason: &str| {
        Err(StepError { step: "check the spec".to_owned(), reason: reason.to_owned() })
    };
    let id_ok = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if spec.id.is_empty() || spec.id.len() > 40 || !spec.id.bytes().all(id_ok) {
        return refuse("the id is not 1 to 40 lower-case letters and digits");
    }
    if !spec.argv.first().is_some_and(|path| path.starts_with('/')) {
        return refuse("the executable's path is not absolute");
    }
    if spec.listeners.len() > LISTENERS_MAX {
        return refuse("too many listeners");
    }
    let inside = |path: &Path| {
        path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir)
    };
    let targets = spec.mounts.iter().map(|mount| &mount.target);
    if !targets.chain(spec.symlinks.iter().map(|(path, _)| path)).all(|path| inside(path)) {
        return refuse("a mount or link is not at an absolute path inside the sandbox");
    }
    Ok(())
}

fn program(spec: &SandboxSpec) -> Result<Program, StepError> {
    let string = |text: &str| step("check the spec", CString::new(text));
    let env = spec.env.iter().map(|(name, value)| string(&format!("{name}={value}")));
    Ok(Program {
        argv: spec.argv.iter().map(|argument| string(argument)).collect::<Result<_, _>>()?,
        env: env.collect::<Result<_, _>>()?,
        cwd: spec.cwd.clone(),
    })
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
fn die_first(pid: Pid) -> Result<(), StepError> {
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
