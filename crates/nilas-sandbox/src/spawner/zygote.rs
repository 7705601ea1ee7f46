//! Zygotes: programs booted once, forked for each sandbox.
//!
//! A zygote sees the files that its sandboxes will, in a mount namespace of its own, has no network and runs nothing of
//! any function's. Where the spawner is root it has one capability, to enter the user namespaces of sandboxes.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::CapabilitySet;

use super::fork::{self, ForkTools};
use super::{FIRST_ZYGOTE_KEY, now, shell};
use crate::init::Executable;
use crate::jail::{self, PlannedMount, StepError, step};
use crate::order::{self, Kind};
use crate::protocol::{self, Failure, Program, ProtocolError};
use crate::rootfs;
use crate::seccomp::{self, Filter};
use crate::spec::Zygote;
use crate::sys::{self, Side};

/// Zygotes kept at once: one an interpreter. The one used longest ago goes first.
const ZYGOTES_MAX: usize = 8;
/// Boots that fail in a row before a zygote is given up.
const FAILURES_MAX: u32 = 3;
/// How long one may take to boot.
const BOOT_WAIT: Duration = Duration::from_secs(10);

const ZYGOTE_NAMESPACES: u64 =
    (libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS) as u64;

#[derive(Debug, Default)]
pub(super) struct Zygotes {
    known: BTreeMap<Zygote, Entry>,
    last_number: u64,
}

/// Names a zygote, whichever process it is; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ZygoteId(u64);

#[derive(Debug)]
struct Entry {
    id: ZygoteId,
    failures: u32,
    used_at: Instant,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    control: OwnedFd,
    booted_at: Instant,
    ready: bool,
}

/// What the spawner's own state has to do with a zygote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host<'a> {
    pub(super) epoll: &'a OwnedFd,
    /// Of its forks.
    pub(super) function_filter: &'a Filter,
    pub(super) template_filter: &'a Filter,
}

// === impl Zygotes ===

impl Zygotes {
    /// Its name, and whether it can fork now.
    pub(super) fn find(&mut self, zygote: &Zygote) -> Option<(ZygoteId, bool)> {
        let entry = self.known.get_mut(zygote)?;
        entry.used_at = now();
        Some((entry.id, entry.is_ready()))
    }

    /// Boots `zygote` unless it runs, boots or has failed too often.
    pub(super) fn warm(&mut self, zygote: &Zygote, host: Host<'_>) -> Result<(), StepError> {
        if !self.known.contains_key(zygote) {
            if self.known.len() >= ZYGOTES_MAX {
                self.forget_oldest();
            }
            self.last_number += 1;
            let id = ZygoteId(self.last_number);
            let entry = Entry { id, failures: 0, used_at: now(), process: None };
            self.known.insert(zygote.clone(), entry);
        }
        let Some(entry) = self.known.get_mut(zygote) else { return Ok(()) };
        if entry.process.is_some() || entry.failures >= FAILURES_MAX {
            return Ok(());
        }
        match boot(zygote, entry.id, host) {
            Ok(process) => {
                entry.process = Some(process);
                Ok(())
            }
            Err(error) => {
                entry.failures += 1;
                Err(error)
            }
        }
    }

    /// Those that can fork now.
    pub(super) fn ready(&self) -> impl Iterator<Item = ZygoteId> {
        self.known.values().filter(|entry| entry.is_ready()).map(|entry| entry.id)
    }

    pub(super) fn knows(&self, id: ZygoteId) -> bool {
        self.known.values().any(|entry| entry.id == id)
    }

    /// Lets the zygote fork into a shell. What goes wrong in the fork is told to its pid 1.
    pub(super) fn fork(
        &self,
        id: ZygoteId,
        tools: &ForkTools,
        privileged: bool,
    ) -> Result<(), Failure> {
        let entry = self.known.values().find(|entry| entry.id == id);
        let process = entry.and_then(|entry| entry.process.as_ref());
        let process = process.ok_or_else(|| fork::failed("the zygote has ended"))?;
        tools.order(&process.control, privileged)
    }

    /// Something has come from a zygote: that it is ready, or its end. Tells what went wrong.
    pub(super) fn hear(&mut self, key: u64) -> Option<String> {
        let id = ZygoteId(key - FIRST_ZYGOTE_KEY);
        let (zygote, entry) = self.known.iter_mut().find(|(_, entry)| entry.id == id)?;
        let process = entry.process.as_mut()?;
        match protocol::receive_bytes(&process.control, RecvFlags::DONTWAIT) {
            Ok(bytes) if bytes == order::READY => {
                process.ready = true;
                entry.failures = 0;
                None
            }
            Err(ProtocolError::Socket(rustix::io::Errno::AGAIN)) => None,
            _ => entry.lose(zygote),
        }
    }

    /// Ends those that take too long to boot. Tells of one that did.
    pub(super) fn check(&mut self) -> Option<String> {
        let late = |process: &Process| !process.ready && process.booted_at.elapsed() > BOOT_WAIT;
        let (zygote, entry) =
            self.known.iter_mut().find(|(_, entry)| entry.process.as_ref().is_some_and(late))?;
        entry.lose(zygote)
    }

    /// How long until `check` has to look again.
    pub(super) fn look_again_in(&self) -> Option<Duration> {
        let booting = self.processes().filter(|process| !process.ready);
        booting.map(|process| BOOT_WAIT.saturating_sub(process.booted_at.elapsed())).min()
    }

    pub(super) fn end(&mut self) {
        for entry in std::mem::take(&mut self.known).into_values() {
            entry.process.into_iter().for_each(Process::end);
        }
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.known.values().filter_map(|entry| entry.process.as_ref())
    }

    fn forget_oldest(&mut self) {
        let oldest = self.known.iter().min_by_key(|(_, entry)| entry.used_at);
        let Some(zygote) = oldest.map(|(zygote, _)| zygote.clone()) else { return };
        let entry = self.known.remove(&zygote);
        entry.and_then(|entry| entry.process).into_iter().for_each(Process::end);
    }
}

impl Entry {
    fn is_ready(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ready)
    }

    /// Its process has ended, or has to. The next start that wants it boots another. Tells what people should know.
    fn lose(&mut self, zygote: &Zygote) -> Option<String> {
        let process = self.process.take()?;
        let booting = !process.ready;
        process.end();
        self.failures += u32::from(booting);
        let name = &zygote.name;
        if !booting {
            return Some(format!("{name} has ended; the next start boots it anew"));
        }
        let given_up = self.failures >= FAILURES_MAX;
        given_up.then(|| format!("{name} does not boot; its functions are started plainly"))
    }
}

impl Process {
    fn end(self) {
        sys::best_effort(rustix::process::kill_process(self.pid, Signal::KILL));
        sys::best_effort(rustix::process::waitpid(Some(self.pid), WaitOptions::empty()));
    }
}

fn boot(zygote: &Zygote, id: ZygoteId, host: Host<'_>) -> Result<Process, StepError> {
    let (control, theirs) = step("open socket", protocol::socket_pair())?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = step("open /dev/null", null)?;
    let mut plan = rootfs::plan(true);
    plan.mounts.extend(rootfs::in_order(zygote.mounts.clone()).into_iter().map(PlannedMount::from));
    plan.symlinks.extend(zygote.symlinks.iter().cloned());
    let mounts = jail::open_mounts(&plan.mounts)?;
    let program = Executable::of(&Program {
        argv: zygote.argv.clone(),
        env: zygote.env.clone(),
        cwd: "/".into(),
    })?;
    match step("clone", sys::clone_into(ZYGOTE_NAMESPACES, None))? {
        Side::Child => {
            // Whoever waits sees the connection end.
            drop(become_zygote(&plan, mounts, &program, &theirs, &null));
            sys::exit_now(127)
        }
        Side::Parent(pid) => {
            let process = Process { pid, control, booted_at: now(), ready: false };
            let admitted = shell::die_first(pid).and_then(|()| {
                for (kind, filter) in
                    [(Kind::Function, host.function_filter), (Kind::Template, host.template_filter)]
                {
                    let rules = order::encode_rules(kind, &filter.bytes());
                    let sent =
                        protocol::send_bytes(&process.control, &rules, &[], SendFlags::DONTWAIT);
                    step("talk to the zygote", sent)?;
                }
                let data = epoll::EventData::new_u64(FIRST_ZYGOTE_KEY + id.0);
                let flags = epoll::EventFlags::IN;
                step("watch zygote", epoll::add(host.epoll, &process.control, data, flags))
            });
            match admitted {
                Ok(()) => Ok(process),
                Err(error) => {
                    process.end();
                    Err(error)
                }
            }
        }
    }
}

/// In the child. Returns only if something fails.
fn become_zygote(
    plan: &jail::Plan,
    mounts: Vec<jail::OpenedMount>,
    program: &Executable,
    control: &OwnedFd,
    null: &OwnedFd,
) -> Result<(), StepError> {
    let mut keep = vec![control.as_raw_fd(), null.as_raw_fd()];
    keep.extend(mounts.iter().flat_map(jail::OpenedMount::descriptors));
    step("close the spawner's descriptors", sys::close_all_but(sys::LOW_DESCRIPTORS, &keep))?;
    jail::build_for_zygote(plan, mounts)?;
    step("start session", rustix::process::setsid())?;
    step("reset signals", sys::reset_signals())?;
    // The one it needs where its sandboxes' namespaces are not its own user's.
    jail::keep_in_bounding_set(CapabilitySet::SYS_ADMIN)?;
    // All that a child has to place later is taken, so that nothing of the program's own is there.
    for place in 0..order::LOW_DESCRIPTORS {
        let descriptor = if place == order::CONTROL { control } else { null };
        step("place descriptor", sys::dup_to(descriptor.as_raw_fd(), place))?;
    }
    let filter = step("compile filter", seccomp::without_io_uring())?;
    step("filter the zygote", seccomp::install(&filter))?;
    step("execute", Err::<(), _>(program.execute()))
}
