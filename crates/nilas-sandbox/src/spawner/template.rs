//! Templates: sandboxes whose main process has run its init, and is forked for other sandboxes of the same function.
//!
//! A template is hostile, as every function. So it has no right over anything but what is made for its forks: their
//! namespaces are below its own and belong to its user, which is what the kernel lets a process enter. Two things follow.
//! The kernel ends them with their template; and they share its range of ids, which therefore is nobody else's as long
//! as one of them lives.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, WaitOptions};
use rustix::thread::{CapabilitiesSecureBits, LinkNameSpaceType};

use super::fork::{self, ForkTools};
use super::{Live, Spawner, Stage, now};
use crate::jail::{INSIDE_GID, INSIDE_UID, StepError, step};
use crate::order::{self, Kind};
use crate::protocol::{self, Failure};
use crate::spec::{Outbound, SandboxSpec};
use crate::sys::{self, NAMESPACES, Side};

/// Forks made ahead of a template, as long as it is in use.
const AHEAD: usize = 2;
/// Of all templates together.
const AHEAD_MAX: usize = 64;
/// Since the last fork of it, or since it was made.
const IN_USE: Duration = Duration::from_secs(60);

/// What the spawner keeps of a sandbox whose main process will be forked.
#[derive(Debug)]
pub(super) struct Template {
    /// Of its spec.
    id: String,
    /// Nothing is heard from here: what is at the other end is a function.
    control: OwnedFd,
    home: Home,
    /// Its `/tmp`; none before its jail stands.
    pub(super) tmp: Option<OwnedFd>,
    /// What its forks are. None before its init is over: nothing is made below a template that could still see it.
    fork: Option<SandboxSpec>,
    /// The last fork; none if nothing is to be made ahead before the next.
    used_at: Option<Instant>,
}

/// The namespaces that those of its forks are below.
#[derive(Debug)]
struct Home {
    user: OwnedFd,
    pid: OwnedFd,
}

impl Template {
    /// Takes the template's own end of its control connection into `tools`.
    pub(super) fn new(
        id: &str,
        tools: &mut ForkTools,
        filter: &[Vec<u8>],
    ) -> Result<Self, StepError> {
        let name = "make a template";
        let (control, theirs) = step(name, protocol::socket_pair())?;
        // There for the time when it listens.
        let rules = order::encode_rules(Kind::Restored, filter);
        step(name, protocol::send_bytes(&control, &rules, &[], SendFlags::DONTWAIT))?;
        let missing = || StepError { step: name.to_owned(), reason: "no namespaces".to_owned() };
        let [user, pid, ..] = &tools.namespaces[..] else { return Err(missing()) };
        let home = Home { user: step(name, user.try_clone())?, pid: step(name, pid.try_clone())? };
        tools.control = Some(theirs);
        Ok(Self { id: id.to_owned(), control, home, tmp: None, fork: None, used_at: None })
    }
}

impl Live {
    /// Whether it is below the template of slot `home`, and nobody has asked for it yet.
    fn is_ahead_of(&self, home: u32) -> bool {
        self.home == Some(home) && self.token.is_none() && self.stage != Stage::Ending
    }

    /// When it was last forked, if it is a template and that was not long ago.
    fn used_at(&self) -> Option<Instant> {
        let template = self.template.as_ref().filter(|template| template.fork.is_some())?;
        template.used_at.filter(|at| at.elapsed() < IN_USE)
    }
}

impl Spawner {
    /// Starts a sandbox whose main process is forked from the template `id`.
    pub(super) fn start_below(
        &mut self,
        token: u64,
        id: &str,
        spec: SandboxSpec,
    ) -> Result<(), Failure> {
        let home = self.use_template(id).ok_or_else(|| fork::failed("the template has ended"))?;
        let ahead =
            |(_, live): &(&u32, &mut Live)| live.is_ahead_of(home) && live.stage == Stage::Running;
        let Some((slot, live)) = self.live.iter_mut().find(ahead) else {
            return self.start_in(token, spec, Some(home));
        };
        let slot = *slot;
        live.token = Some(token);
        if let Some((program, _)) = &mut live.fork {
            program.env = spec.env;
        }
        self.hand_over(slot);
        Ok(())
    }

    pub(super) fn expect_forks(&mut self, id: &str, spec: SandboxSpec) {
        let Some(home) = self.use_template(id) else { return };
        if let Some(template) = self.live.get_mut(&home).and_then(|live| live.template.as_mut()) {
            template.fork = Some(spec);
        }
        self.settle(home);
    }

    /// Its slot. From now on forks are made ahead, for a while.
    fn use_template(&mut self, id: &str) -> Option<u32> {
        self.live.iter_mut().find_map(|(slot, live)| {
            let template = live.template.as_mut().filter(|template| template.id == id)?;
            template.used_at = Some(now());
            Some(*slot)
        })
    }

    /// Nothing is made ahead of it before its next fork.
    pub(super) fn rest_template(&mut self, home: u32) {
        if let Some(template) = self.live.get_mut(&home).and_then(|live| live.template.as_mut()) {
            template.used_at = None;
        }
    }

    /// Lets a template fork into a shell below it.
    pub(super) fn fork_template(&self, home: u32, tools: &ForkTools) -> Result<(), Failure> {
        let ended = || fork::failed("the template has ended");
        let live = self.live.get(&home).ok_or_else(ended)?;
        let template = live.template.as_ref().ok_or_else(ended)?;
        live.cgroup.set_frozen(false);
        tools.order(&template.control, self.privileged)
    }

    /// The sandbox of `slot` has been forked, or has ended.
    pub(super) fn settle_home(&self, slot: u32) {
        self.home_of(slot).into_iter().for_each(|home| self.settle(home));
    }

    /// Freezes a template unless it is to fork, or a fork of it is ending. Where there is no v2 group it is not: signals would
    /// reach its forks, too.
    pub(super) fn settle(&self, home: u32) {
        let needs = |(slot, live): (&u32, &Live)| {
            let busy = live.stage == Stage::Released || self.ending.contains(slot);
            live.home == Some(home) && busy
        };
        let Some(live) = self.live.get(&home) else { return };
        let done = live.template.as_ref().is_some_and(|template| template.fork.is_some());
        if done && !self.live.iter().any(needs) {
            live.cgroup.set_frozen(true);
        }
    }

    /// The sandbox of `slot` is ending. A template may still be the parent of something in it, which it has to reap.
    pub(super) fn thaw_home(&self, slot: u32) {
        let home = self.home_of(slot).and_then(|home| self.live.get(&home));
        home.into_iter().for_each(|home| home.cgroup.set_frozen(false));
    }

    /// A template that lacks a fork made ahead.
    pub(super) fn bare_template(&self) -> Option<(u32, Outbound)> {
        let below = self.live.values().filter(|live| live.home.is_some() && live.token.is_none());
        if below.count() >= AHEAD_MAX {
            return None;
        }
        let shares = self.shares_ahead().into_iter();
        let counted = shares.map(|(home, share)| (self.ahead_of(home).count(), share, home));
        // One for each before a second for any.
        let lacking = counted.filter(|(count, share, _)| count < share);
        let (.., home) = lacking.min_by_key(|(count, ..)| *count)?;
        Some((home, self.live.get(&home)?.outbound))
    }

    /// How many forks to have ahead of which templates: those used last, as many as there is room for.
    fn shares_ahead(&self) -> BTreeMap<u32, usize> {
        let used = self.live.iter().filter_map(|(slot, live)| Some((live.used_at()?, *slot)));
        let mut used: Vec<(Instant, u32)> = used.collect();
        used.sort_unstable_by_key(|(at, _)| Reverse(*at));
        let share = (AHEAD_MAX / used.len().max(1)).clamp(1, AHEAD);
        used.into_iter().take(AHEAD_MAX / share).map(|(_, home)| (home, share)).collect()
    }

    fn ahead_of(&self, home: u32) -> impl Iterator<Item = &Live> {
        self.live.values().filter(move |live| live.is_ahead_of(home))
    }

    /// Ends what was made ahead of templates that nobody uses, or that others need more.
    pub(super) fn drop_unused(&mut self) {
        let shares = self.shares_ahead();
        let mut unused: Vec<u32> = Vec::new();
        for (home, _) in self.live.iter().filter(|(_, live)| live.template.is_some()) {
            let kept = shares.get(home).copied().unwrap_or(0);
            let ahead = self.live.iter().filter(|(_, live)| live.is_ahead_of(*home));
            unused.extend(ahead.skip(kept).map(|(slot, _)| *slot));
        }
        for slot in unused {
            if let Some(live) = self.live.get_mut(&slot) {
                live.stage = Stage::Ending;
                live.kill();
            }
        }
    }

    /// When `drop_unused` may have something to do.
    pub(super) fn unused_in(&self) -> Option<Duration> {
        let templates = self.live.iter().filter(|(slot, _)| self.ahead_of(**slot).next().is_some());
        let used = templates.filter_map(|(_, live)| live.template.as_ref()?.used_at);
        used.map(|at| (at + IN_USE).saturating_duration_since(now())).min()
    }

    /// What a shell below the template, made ahead, is to be.
    pub(super) fn fork_spec(&self, home: u32) -> Option<SandboxSpec> {
        self.live.get(&home)?.template.as_ref()?.fork.clone()
    }

    pub(super) fn home_of(&self, slot: u32) -> Option<u32> {
        self.live.get(&slot).and_then(|live| live.home)
    }

    /// Makes a child in new namespaces below the template's, in `group` if there is one, with its ids mapped.
    pub(super) fn clone_below(
        &self,
        home: u32,
        group: Option<BorrowedFd<'_>>,
    ) -> Result<Side, StepError> {
        let template = self.live.get(&home).and_then(|live| live.template.as_ref());
        let template = template.ok_or_else(|| StepError {
            step: "find the template".to_owned(),
            reason: "it has ended".to_owned(),
        })?;
        let name = "clone below the template";
        let (heard, told) = step(name, pipe_with(PipeFlags::CLOEXEC))?;
        match step(name, sys::clone_into(0, group))? {
            Side::Child => match descend(&template.home, self.privileged, &told) {
                Ok(Descended::Child) => Ok(Side::Child),
                Ok(Descended::Helper) => sys::exit_now(0),
                Err(error) => {
                    Word::Failed(error.to_string()).tell(&told);
                    sys::exit_now(1)
                }
            },
            Side::Parent(first) => {
                drop(told);
                let words = read_all(heard);
                let (mut helpers, mut child) = (vec![first], None);
                let mut reason = "its helpers have ended".to_owned();
                for word in words.lines().filter_map(Word::read) {
                    match word {
                        Word::Helper(pid) => helpers.push(pid),
                        Word::Child(pid) => child = Some(pid),
                        Word::Failed(text) => reason = text,
                    }
                }
                for helper in helpers {
                    sys::best_effort(rustix::process::waitpid(Some(helper), WaitOptions::empty()));
                }
                child.map(Side::Parent).ok_or_else(|| StepError { step: name.to_owned(), reason })
            }
        }
    }
}

/// Which process goes on.
enum Descended {
    Helper,
    Child,
}

/// In the helper. A pid namespace takes in only who is born after the joining, and is to be where a new one's maker is; so
/// it takes a second helper, which joins the user namespace, becomes the template's user, and makes the child. All are
/// children of the spawner.
fn descend(home: &Home, privileged: bool, told: &OwnedFd) -> Result<Descended, StepError> {
    let join = |namespace: &OwnedFd, kind: LinkNameSpaceType, name: &str| {
        let joined = rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind));
        step(name, joined)
    };
    join(&home.pid, LinkNameSpaceType::ProcessID, "join the template's pid namespace")?;
    if let Side::Parent(second) = step("clone", sys::clone_sibling(0))? {
        Word::Helper(second).tell(told);
        return Ok(Descended::Helper);
    }
    join(&home.user, LinkNameSpaceType::User, "join the template's user namespace")?;
    if privileged {
        // What is to be done below needs the rights of who administers the namespace.
        let kept = CapabilitiesSecureBits::NO_SETUID_FIXUP;
        step("keep capabilities", rustix::thread::set_capabilities_secure_bits(kept))?;
        step("drop groups", rustix::thread::set_thread_groups(&[]))?;
        step("become the template's user", sys::set_process_ids(INSIDE_UID, INSIDE_GID))?;
    }
    // Whoever joins a namespace loses sight of its own files in /proc, and those of its children.
    let dumpable = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
    step("become dumpable", dumpable)?;
    let (heard, born) = step("open pipe", pipe_with(PipeFlags::CLOEXEC))?;
    if let Side::Child = step("clone", sys::clone_sibling(NAMESPACES))? {
        // Only the host's own view, which is still in sight, knows the number that the spawner needs.
        let number = step("read the own pid", fs::read_link("/proc/self"))?;
        step("tell the own pid", rustix::io::write(&born, number.as_os_str().as_encoded_bytes()))?;
        return Ok(Descended::Child);
    }
    drop(born);
    let number = read_all(heard).parse().ok().and_then(Pid::from_raw);
    let missing = || StepError { step: "clone".to_owned(), reason: "it has ended".to_owned() };
    let child = number.ok_or_else(missing)?;
    map_ids(child, privileged)?;
    Word::Child(child).tell(told);
    Ok(Descended::Helper)
}

/// What the helpers tell the spawner, a line each.
enum Word {
    Helper(Pid),
    Child(Pid),
    Failed(String),
}

impl Word {
    fn tell(&self, told: &OwnedFd) {
        let line = match self {
            Self::Helper(pid) => format!("helper {}\n", pid.as_raw_nonzero()),
            Self::Child(pid) => format!("child {}\n", pid.as_raw_nonzero()),
            Self::Failed(reason) => format!("failed {reason}\n"),
        };
        // If the spawner is gone there is nobody left to tell.
        sys::best_effort(rustix::io::write(told, line.as_bytes()));
    }

    fn read(line: &str) -> Option<Self> {
        let (what, value) = line.split_once(' ')?;
        let pid = || value.parse().ok().and_then(Pid::from_raw);
        match what {
            "helper" => pid().map(Self::Helper),
            "child" => pid().map(Self::Child),
            _ => Some(Self::Failed(value.to_owned())),
        }
    }
}

/// Until nobody can write any more.
fn read_all(heard: OwnedFd) -> String {
    let mut text = String::new();
    // What cannot be read is missed by who looks for it.
    drop(std::io::Read::read_to_string(&mut fs::File::from(heard), &mut text));
    text
}

/// The same ids as above. Only who is in the namespace above may write this.
fn map_ids(pid: Pid, privileged: bool) -> Result<(), StepError> {
    let pid = pid.as_raw_nonzero();
    let write = |file: &str, text: &str| {
        step(&format!("write {file}"), fs::write(format!("/proc/{pid}/{file}"), text))
    };
    if privileged {
        write("uid_map", "0 0 65536")?;
        return write("gid_map", "0 0 65536");
    }
    write("uid_map", &format!("{INSIDE_UID} {INSIDE_UID} 1"))?;
    write("setgroups", "deny")?;
    write("gid_map", &format!("{INSIDE_GID} {INSIDE_GID} 1"))
}
