//! One start: a shell is taken, fitted, given its network, and let run.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::SendFlags;

use super::zygote::ZygoteId;
use super::{Live, NETWORK_WAIT, Spawner, Stage, now, shell};
use crate::jail::{self, PlannedMount, StepError, step};
use crate::net::NetError;
use crate::order;
use crate::protocol::{self, Failure, Go, LISTENERS_MAX, Outfit, Program, TREES_MAX};
use crate::rootfs;
use crate::spec::{Outbound, SandboxSpec};

impl Spawner {
    pub(super) fn start(&mut self, token: u64, spec: SandboxSpec) -> Result<(), Failure> {
        check(&spec)?;
        let zygote = spec.zygote.as_ref().and_then(|zygote| self.zygotes.find(zygote));
        let primed = zygote.and_then(|(zygote, _)| self.take_primed(zygote, spec.outbound));
        let best = primed.is_some();
        let found = primed.or_else(|| self.take_shell(spec.outbound));
        self.stock.started(best || zygote.is_none() && found.is_some());
        if let Some(slot) = found {
            self.starting.insert(slot);
            self.fit_or_fail(slot, token, spec);
            return Ok(());
        }
        let slot = self.make_shell(spec.outbound)?;
        self.preparing.remove(&slot);
        self.starting.insert(slot);
        if let Some(live) = self.live.get_mut(&slot) {
            live.token = Some(token);
            live.wanted = Some(Box::new(spec));
        }
        Ok(())
    }

    fn take_shell(&mut self, outbound: Outbound) -> Option<u32> {
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
        match (live.wanted.take(), live.token) {
            (Some(spec), Some(token)) => self.fit_or_fail(slot, token, *spec),
            _ => {
                self.preparing.remove(&slot);
                self.shells.push(slot);
            }
        }
    }

    fn fit_or_fail(&mut self, slot: u32, token: u64, spec: SandboxSpec) {
        if let Err(error) = self.fit(slot, token, spec) {
            self.fail(slot, error.into());
        }
    }

    /// Makes the shell the sandbox of `spec`.
    fn fit(&mut self, slot: u32, token: u64, spec: SandboxSpec) -> Result<(), StepError> {
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        live.token = Some(token);
        live.stage = Stage::Fitted;
        if live.forked_from.is_none() {
            let zygote = spec.zygote.as_ref().and_then(|zygote| self.zygotes.find(zygote));
            live.forked_from = zygote.filter(|(_, ready)| *ready).map(|(zygote, _)| zygote);
        }
        step("limit cgroup", live.cgroup.limit(&spec.limits))?;
        let mounts = rootfs::in_order(spec.mounts);
        let planned: Vec<PlannedMount> = mounts.iter().cloned().map(Into::into).collect();
        let opened = jail::open_mounts(&planned)?;
        let trees: Vec<OwnedFd> =
            opened.into_iter().flat_map(jail::OpenedMount::into_trees).collect();
        let program = Program { argv: spec.argv, env: spec.env, cwd: spec.cwd };
        let (program, fork) = match live.forked_from {
            Some(_) => (None, Some((program, spec.limits.clone()))),
            None => (Some(program), None),
        };
        let outfit = Outfit {
            limits: spec.limits,
            listeners: spec.listeners,
            mounts,
            symlinks: spec.symlinks,
            program,
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
        if let (Some(zygote), Some(tools)) = (live.forked_from, live.tools.take()) {
            self.zygotes.fork(zygote, &tools, self.privileged)?;
        }
        live.tell_fork()
    }
}

// === impl Live ===

impl Live {
    /// Tells a fork what it is for.
    fn tell_fork(&mut self) -> Result<(), Failure> {
        let Some((program, limits)) = self.fork.take() else { return Ok(()) };
        let variables = program.env.iter().map(|(name, value)| format!("{name}={value}\0"));
        let environment: String = variables.collect();
        let go = order::Go {
            limits: jail::resource_limits(&limits)
                .map(|(resource, value)| (resource as u32, value)),
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
    if spec.mounts.iter().map(|mount| mount.sources.len()).sum::<usize>() > TREES_MAX {
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
