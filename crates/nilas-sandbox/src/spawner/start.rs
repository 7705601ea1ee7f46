//! One start: a shell is taken, fitted, given its network, and let run.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::SendFlags;
use rustix::process::Resource;

use super::template::Template;
use super::zygote::ZygoteId;
use super::{Live, NETWORK_WAIT, Parent, Spawner, Stage, fork, now, shell};
use crate::jail::{self, PlannedMount, StepError, step};
use crate::net::NetError;
use crate::order;
use crate::protocol::{self, Failure, Go, LISTENERS_MAX, Outfit, Program, TREES_MAX, Tmp};
use crate::rootfs;
use crate::spec::{Origin, Outbound, SandboxSpec};

/// Sandboxes below one template: its limit of processes is that of so many.
const FORKS_MAX: u64 = 1_024;

impl Spawner {
    pub(super) fn start(&mut self, token: u64, spec: SandboxSpec) -> Result<(), Failure> {
        check(&spec)?;
        if let Origin::Template(id) = &spec.origin {
            let id = id.clone();
            return self.start_below(token, &id, spec);
        }
        let zygote = spec.zygote().and_then(|zygote| self.zygotes.find(zygote));
        if spec.template {
            if !zygote.is_some_and(|(_, ready)| ready) {
                return Err(fork::failed("the zygote is not ready"));
            }
            return self.start_in(token, spec, None);
        }
        let primed = zygote.and_then(|(zygote, _)| self.take_primed(zygote, spec.outbound));
        self.stock.started(primed.is_some() || zygote.is_none() && !self.shells.is_empty());
        if let Some(slot) = primed {
            self.fit_for(slot, token, spec);
            return Ok(());
        }
        self.start_in(token, spec, None)
    }

    /// In a shell that is ready, or in one made for it; below the template of slot `home` if there is one.
    pub(super) fn start_in(
        &mut self,
        token: u64,
        spec: SandboxSpec,
        home: Option<u32>,
    ) -> Result<(), Failure> {
        // What is below a template is not made without a purpose.
        let shell = if home.is_none() { self.take_shell(spec.outbound) } else { None };
        if let Some(slot) = shell {
            self.fit_for(slot, token, spec);
            return Ok(());
        }
        let slot = self.make_shell(spec.outbound, home)?;
        self.preparing.remove(&slot);
        self.starting.insert(slot);
        if let Some(live) = self.live.get_mut(&slot) {
            live.token = Some(token);
            live.wanted = Some(Box::new(spec));
        }
        Ok(())
    }

    fn fit_for(&mut self, slot: u32, token: u64, spec: SandboxSpec) {
        if let Some(live) = self.live.get_mut(&slot) {
            live.token = Some(token);
        }
        self.starting.insert(slot);
        self.fit_or_fail(slot, spec);
    }

    pub(super) fn take_shell(&mut self, outbound: Outbound) -> Option<u32> {
        let live = &self.live;
        let fits = |slot: &u32| live.get(slot).is_some_and(|live| live.outbound == outbound);
        let place = self.shells.iter().rposition(fits)?;
        Some(self.shells.remove(place))
    }

    fn take_primed(&mut self, zygote: ZygoteId, outbound: Outbound) -> Option<u32> {
        let live = &self.live;
        let fits = |(from, slot): &(ZygoteId, u32)| {
            *from == zygote && live.get(slot).is_some_and(|live| live.outbound == outbound)
        };
        let place = self.primed.iter().position(fits)?;
        Some(self.primed.remove(place).1)
    }

    /// Pid 1 has done what needs no knowledge of the function.
    pub(super) fn prepared(&mut self, slot: u32) {
        let Some(live) = self.live.get_mut(&slot) else { return };
        match (shell::open_namespaces(live.pid), &mut live.tools) {
            (Ok(namespaces), Some(tools)) => tools.namespaces = namespaces,
            (Err(error), _) => return self.fail(slot, error.into()),
            (Ok(_), None) => {}
        }
        live.stage = Stage::Idle;
        let (wanted, home) = (live.wanted.take(), live.home);
        if let Some(spec) = wanted {
            return self.fit_or_fail(slot, *spec);
        }
        self.preparing.remove(&slot);
        match home.map(|home| self.fork_spec(home)) {
            None => self.shells.push(slot),
            // Made ahead of a template, whose forks are all alike.
            Some(Some(spec)) => {
                self.starting.insert(slot);
                self.fit_or_fail(slot, spec);
            }
            Some(None) => self.live.get(&slot).into_iter().for_each(Live::kill),
        }
    }

    fn fit_or_fail(&mut self, slot: u32, spec: SandboxSpec) {
        if let Err(error) = self.fit(slot, spec) {
            self.fail(slot, error.into());
        }
    }

    /// Makes the shell the sandbox of `spec`.
    fn fit(&mut self, slot: u32, spec: SandboxSpec) -> Result<(), StepError> {
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        live.stage = Stage::Fitted;
        live.parent = match (live.parent, live.home) {
            (None, Some(home)) => Some(Parent::Template(home)),
            (None, None) => {
                let zygote = spec.zygote().and_then(|zygote| self.zygotes.find(zygote));
                zygote.filter(|(_, ready)| *ready).map(|(zygote, _)| Parent::Zygote(zygote))
            }
            (parent, _) => parent,
        };
        if spec.template
            && let Some(tools) = &mut live.tools
        {
            let filter = self.restored_filter.bytes();
            live.template = Some(Template::new(&spec.id, tools, &filter)?);
        }
        step("limit cgroup", live.cgroup.limit(&spec.limits))?;
        let mounts = rootfs::in_order(spec.mounts);
        let planned: Vec<PlannedMount> = mounts.iter().cloned().map(Into::into).collect();
        let opened = jail::open_mounts(&planned)?;
        let mut trees: Vec<OwnedFd> =
            opened.into_iter().flat_map(jail::OpenedMount::into_trees).collect();
        let mut tmp = if live.template.is_some() { Tmp::Lent } else { Tmp::Empty };
        let mut program = Program { argv: spec.argv, env: spec.env, cwd: spec.cwd };
        if let Some(home) = live.home {
            // It stays where its template was.
            program.cwd = PathBuf::new();
            if let Some(lent) = self.tmp_of(home)? {
                trees.push(lent);
                tmp = Tmp::Copied;
            }
        }
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        let (program, fork) = match live.parent {
            Some(_) => (None, Some((program, spec.limits.clone()))),
            None => (Some(program), None),
        };
        let outfit = Outfit {
            limits: spec.limits,
            listeners: spec.listeners,
            mounts,
            symlinks: spec.symlinks,
            program,
            tmp,
        };
        live.fork = fork;
        if live.fork.is_none() {
            // Its ends of the pipes must not outlive the function's own.
            live.tools = None;
        }
        let trees: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
        let fit = protocol::send(&live.status, &Go::Fit(outfit), &trees, SendFlags::DONTWAIT);
        step("talk to pid 1", fit)
    }

    /// Lets those run whose network is there.
    pub(super) fn release_jailed(&mut self) {
        let slots: Vec<u32> = self.starting.iter().copied().collect();
        for slot in slots {
            let Some(live) = self.live.get_mut(&slot) else { continue };
            if let Some(Err(error)) = live.network_ready() {
                self.fail(slot, error.into());
                continue;
            }
            let Some(live) = self.live.get_mut(&slot) else { continue };
            if live.stage == Stage::Ready
                && let Err(failure) = self.run(slot)
            {
                self.fail(slot, failure);
            }
        }
    }

    /// The jail stands and has its network.
    fn run(&mut self, slot: u32) -> Result<(), Failure> {
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        live.stage = Stage::Released;
        let run = protocol::send(&live.status, &Go::Run, &[], SendFlags::DONTWAIT);
        step("talk to pid 1", run)?;
        match (live.parent, live.tools.take()) {
            (Some(Parent::Template(home)), Some(tools)) => self.fork_template(home, &tools),
            (Some(Parent::Zygote(zygote)), Some(tools)) => {
                live.tell_fork()?;
                self.zygotes.fork(zygote, &tools, self.privileged)
            }
            // Forked ahead, or executed.
            (_, None) | (None, _) => live.tell_fork(),
        }
    }

    /// The `/tmp` of a template, for another process.
    fn tmp_of(&self, home: u32) -> Result<Option<OwnedFd>, StepError> {
        let template = self.live.get(&home).and_then(|live| live.template.as_ref());
        let tmp = template.and_then(|template| template.tmp.as_ref());
        step("lend /tmp", tmp.map(OwnedFd::try_clone).transpose())
    }
}

// === impl Live ===

impl Live {
    /// Tells a fork what it is for, once.
    pub(super) fn tell_fork(&mut self) -> Result<(), Failure> {
        let Some((program, limits)) = self.fork.take() else { return Ok(()) };
        let variables = program.env.iter().map(|(name, value)| format!("{name}={value}\0"));
        let environment: String = variables.collect();
        // The kernel counts what is below a template for it as well.
        let share = if self.template.is_some() { FORKS_MAX } else { 1 };
        let limits = jail::resource_limits(&limits).map(|(resource, value)| match resource {
            Resource::Nproc => (resource as u32, value * share),
            resource => (resource as u32, value),
        });
        let go = order::Go {
            limits,
            directory: program.cwd.as_os_str().as_encoded_bytes(),
            environment: environment.as_bytes(),
        };
        let bytes = go.encode();
        // A pipe takes far more than a function's environment.
        match rustix::io::write(&self.go, &bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            other => Err(Failure::Fork {
                step: "tell the fork what it is for".to_owned(),
                reason: format!("{other:?} of {} bytes", bytes.len()),
            }),
        }
    }

    /// Whether the network has come, for a jail that waits for it: none while it has not.
    fn network_ready(&mut self) -> Option<Result<(), StepError>> {
        let Stage::Jailed { since } = self.stage else { return None };
        // Never waited for here: pasta takes milliseconds, in which others can be started.
        let ready = self.attachment.as_mut().map_or(Ok(()), |net| net.wait_ready(Duration::ZERO));
        if matches!(ready, Err(NetError::PastaSlow { .. })) && now() - since < NETWORK_WAIT {
            return None;
        }
        self.stage = Stage::Ready;
        Some(step("wait for the network", ready))
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
    let texts = spec.argv.iter().chain(spec.env.iter().flat_map(|(name, value)| [name, value]));
    if texts.into_iter().any(|text| text.contains('\0')) {
        return refuse("an argument or variable has a zero byte");
    }
    if spec.listeners.len() > LISTENERS_MAX {
        return refuse("too many listeners");
    }
    // One place is that of a template's `/tmp`.
    if spec.mounts.iter().map(|mount| mount.sources.len()).sum::<usize>() >= TREES_MAX {
        return refuse("too many mounts");
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
