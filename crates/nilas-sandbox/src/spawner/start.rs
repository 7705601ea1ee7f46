//! One start: a shell is taken, fitted, given its network, and let run.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::SendFlags;

use super::{Live, NETWORK_WAIT, Spawner, Stage, now, shell};
use crate::jail::{self, PlannedMount, StepError, step};
use crate::net::NetError;
use crate::protocol::{self, Failure, Go, LISTENERS_MAX, Outfit, Program, TREES_MAX};
use crate::rootfs;
use crate::spec::SandboxSpec;

impl Spawner {
    pub(super) fn start(&mut self, token: u64, spec: SandboxSpec) -> Result<(), Failure> {
        check(&spec)?;
        let ready = self.shells.iter().rposition(|slot| {
            self.live.get(slot).is_some_and(|live| live.outbound == spec.outbound)
        });
        self.stock.started(ready.is_some());
        if let Some(place) = ready {
            let slot = self.shells.remove(place);
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
        let zygote = spec.zygote.as_ref().and_then(|zygote| self.zygotes.find(zygote));
        let Some(live) = self.live.get_mut(&slot) else { return Ok(()) };
        live.token = Some(token);
        live.stage = Stage::Fitted;
        step("limit cgroup", live.cgroup.limit(&spec.limits))?;
        let mounts = rootfs::in_order(spec.mounts);
        let mut trees: Vec<OwnedFd> = Vec::new();
        if self.privileged {
            let planned: Vec<PlannedMount> = mounts.iter().cloned().map(Into::into).collect();
            let opened = jail::open_mounts(&planned)?;
            trees = opened.into_iter().flat_map(jail::OpenedMount::into_trees).collect();
        }
        let program = Program { argv: spec.argv, env: spec.env, cwd: spec.cwd };
        let (program, fork) = match zygote {
            Some(zygote) => (None, Some((zygote, program))),
            None => (Some(program), None),
        };
        let outfit = Outfit {
            limits: spec.limits,
            listeners: spec.listeners,
            mounts,
            symlinks: spec.symlinks,
            program,
        };
        live.fork = fork.map(|(zygote, program)| (zygote, program, outfit.limits.clone()));
        live.forked = live.fork.is_some();
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
        if let (Some((zygote, program, limits)), Some(tools)) =
            (live.fork.take(), live.tools.take())
        {
            self.zygotes.fork(zygote, &program, &limits, tools, self.privileged)?;
        }
        Ok(())
    }
}

// === impl Live ===

impl Live {
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
