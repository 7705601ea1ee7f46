//! Control groups: where a host has them, one group a sandbox, and their removal.
//!
//! The target is cgroup v2. On the hybrid layout v2 freezes and kills while v1 controllers limit. What a host lacks
//! is told as findings; the layers above then fall back on signals, rlimits and the memory guard.

mod controller;
mod place;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use controller::Controller;
use place::{Unified, choose_unified, parse_mounts};

pub(crate) use controller::{cpu_share, processes_max};

use crate::finding::Finding;
use crate::protocol::Part;
use crate::spec::Limits;

const DELEGATE: &str =
    "run as root, or in a delegated cgroup: systemd-run --user --scope -p Delegate=yes nilas serve";
/// How long leftovers of an earlier run may take to die, milliseconds.
const LEFTOVER_WAIT_MS: u64 = 1_000;

/// Where the groups of this server's sandboxes are made.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    unified: Option<Unified>,
    v1: Vec<(Controller, PathBuf)>,
    /// Held for the spawner's life: two servers of one name would kill each other's sandboxes as leftovers.
    lock: Option<File>,
}

/// The groups of one sandbox. Not removed on drop: that only works once its processes are gone.
#[derive(Debug)]
pub(crate) struct Cgroup {
    unified: Option<PathBuf>,
    /// Those that limit in v2.
    controllers: Vec<Controller>,
    v1: Vec<(Controller, PathBuf)>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error("another server uses {path}")]
    InUse { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

// === impl Layout ===

impl Layout {
    /// Finds the best place for groups named `name`, and removes what an earlier run left there.
    pub(crate) fn set_up(name: &str, privileged: bool) -> Result<Self, CgroupError> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = parse_mounts(&mountinfo, &own);
        let mut layout = Self::default();
        if let Some(mount) = mounts.iter().find(|mount| mount.controllers.is_empty()) {
            layout.unified = choose_unified(mount, name, privileged);
        }
        for controller in Controller::ALL {
            if layout
                .unified
                .as_ref()
                .is_some_and(|unified| unified.controllers.contains(&controller))
            {
                continue;
            }
            let mount = mounts
                .iter()
                .find(|mount| mount.controllers.iter().any(|name| name == controller.name()));
            let Some(mount) = mount else { continue };
            let parent = if privileged { mount.point.clone() } else { mount.own_dir() };
            let dir = parent.join(name);
            if make_dir(&dir).is_ok() {
                layout.v1.push((controller, dir));
            }
        }
        layout.lock()?;
        layout.remove_leftovers();
        layout.bound_processes();
        Ok(layout)
    }

    /// Makes the groups of one sandbox, without limits, nobody in them.
    pub(crate) fn create(&self, name: &str) -> Result<Cgroup, CgroupError> {
        let mut cgroup = Cgroup { unified: None, controllers: Vec::new(), v1: Vec::new() };
        let made = self.fill(&mut cgroup, name);
        if made.is_err() {
            cgroup.remove();
        }
        made.map(|()| cgroup)
    }

    fn bound_processes(&self) {
        let Some(most) = controller::all_processes_max() else { return };
        self.bound(Controller::Pids, ["pids.max"; 2], most);
    }

    /// Holds all sandboxes together to so much memory: beyond it the kernel ends the largest of them.
    pub(crate) fn bound_memory(&self, bytes: u64) {
        self.bound(Controller::Memory, ["memory.max", "memory.limit_in_bytes"], bytes);
    }

    /// Writes a limit for all sandboxes together to the controller's file, in v2 or in v1.
    fn bound(&self, controller: Controller, files: [&str; 2], most: u64) {
        let v2 = self.unified.iter().filter(|unified| unified.controllers.contains(&controller));
        let v1 = self.v1.iter().filter(|(other, _)| *other == controller);
        let v2 = v2.map(|unified| unified.dir.join(files[0]));
        for file in v2.chain(v1.map(|(_, dir)| dir.join(files[1]))) {
            // The sandboxes' own limits hold without it; together they may only pass what the machine has.
            drop(write(&file, &most.to_string()));
        }
    }

    fn fill(&self, cgroup: &mut Cgroup, name: &str) -> Result<(), CgroupError> {
        if let Some(unified) = &self.unified {
            let dir = unified.dir.join(name);
            fs::create_dir(&dir).map_err(at(&dir))?;
            cgroup.unified = Some(dir);
            cgroup.controllers.clone_from(&unified.controllers);
        }
        for (controller, base) in &self.v1 {
            let dir = base.join(name);
            fs::create_dir(&dir).map_err(at(&dir))?;
            cgroup.v1.push((*controller, dir));
        }
        Ok(())
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.freeze_finding()];
        for controller in Controller::ALL {
            let v2 = self
                .unified
                .as_ref()
                .is_some_and(|unified| unified.controllers.contains(&controller));
            let v1 = self.v1.iter().any(|(other, _)| *other == controller);
            let (feature, cost) = controller.finding();
            findings.push(Finding {
                feature: feature.into(),
                ok: v2 || v1,
                detail: match (v2, v1) {
                    (true, _) => format!("cgroup v2 controller {}", controller.name()),
                    (_, true) => format!("cgroup v1 controller {}", controller.name()),
                    _ => format!("no writable cgroup with the controller {}", controller.name()),
                },
                cost: (!v2 && !v1).then(|| cost.to_owned()),
                remedy: (!v2 && !v1).then(|| DELEGATE.to_owned()),
            });
        }
        findings
    }

    fn freeze_finding(&self) -> Finding {
        let dir = self.unified.as_ref().map(|unified| unified.dir.clone());
        let kill = dir.as_ref().is_some_and(|dir| has_kill(dir));
        Finding {
            feature: "freeze and kill".into(),
            ok: kill,
            detail: match &dir {
                Some(dir) if kill => format!("cgroup v2 at {}", dir.display()),
                Some(_) => "cgroup v2 without cgroup.kill (Linux 5.14)".to_owned(),
                None => "no writable cgroup v2".to_owned(),
            },
            cost: dir.is_none().then(|| {
                "idle environments are stopped by SIGSTOP, which their parents can see, not by the cgroup freezer"
                    .to_owned()
            }),
            remedy: dir.is_none().then(|| DELEGATE.to_owned()),
        }
    }

    /// Takes the directories away, at the end.
    pub(crate) fn tear_down(&self) {
        self.remove_leftovers();
        for dir in self.bases() {
            // Busy if something of another run is in it; the next start tries again.
            drop(fs::remove_dir(dir));
        }
    }

    fn bases(&self) -> impl Iterator<Item = &PathBuf> {
        self.unified.iter().map(|unified| &unified.dir).chain(self.v1.iter().map(|(_, dir)| dir))
    }

    fn lock(&mut self) -> Result<(), CgroupError> {
        let Some(dir) = self.bases().next().cloned() else { return Ok(()) };
        let file = File::open(&dir).map_err(at(&dir))?;
        for _ in 0..LEFTOVER_WAIT_MS / 10 {
            // A spawner that has lost its server may need a moment to clean up.
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    self.lock = Some(file);
                    return Ok(());
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(CgroupError::Io { path: dir, source: error.into() }),
            }
        }
        Err(CgroupError::InUse { path: dir })
    }

    fn remove_leftovers(&self) {
        let Some(unified) = &self.unified else { return self.remove_v1_leftovers() };
        for dir in sub_dirs(&unified.dir) {
            // Without cgroup.kill (before Linux 5.14) their pid 1 has ended them already.
            drop(write(&dir.join("cgroup.kill"), "1"));
            for _ in 0..LEFTOVER_WAIT_MS / 2 {
                if fs::remove_dir(&dir).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.remove_v1_leftovers();
    }

    fn remove_v1_leftovers(&self) {
        for dir in self.v1.iter().flat_map(|(_, base)| sub_dirs(base)) {
            // Busy only if a process outlived both its servers; the next start tries again.
            drop(fs::remove_dir(dir));
        }
    }
}

// === impl Cgroup ===

impl Cgroup {
    /// Sets the limits; who is in it already keeps what it has.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), CgroupError> {
        if let Some(dir) = &self.unified {
            for controller in &self.controllers {
                controller.limit_v2(dir, limits)?;
            }
        }
        for (controller, dir) in &self.v1 {
            controller.limit_v1(dir, limits)?;
        }
        Ok(())
    }

    /// The v2 directory, for clone3 to start the sandbox in.
    pub(crate) fn open_unified(&self) -> Result<Option<File>, CgroupError> {
        self.unified.as_ref().map(|dir| File::open(dir).map_err(at(dir))).transpose()
    }

    /// The list of the v2 group's processes; who may not choose where a process is born moves it through this.
    pub(crate) fn open_procs(&self) -> Result<Option<File>, CgroupError> {
        self.unified.as_ref().map(|dir| open_for_writing(&dir.join("cgroup.procs"))).transpose()
    }

    /// One descriptor a v1 group; a process that writes "0" to each moves in.
    ///
    /// Moving oneself through `tasks` spares the global lock that `cgroup.procs` takes, which costs milliseconds.
    pub(crate) fn open_v1_doors(&self) -> Result<Vec<File>, CgroupError> {
        self.v1.iter().map(|(_, dir)| open_for_writing(&dir.join("tasks"))).collect()
    }

    /// What the server needs to freeze, kill and watch without asking anybody.
    pub(crate) fn open_parts(&self) -> Result<Vec<(Part, OwnedFd)>, CgroupError> {
        let mut parts: Vec<(Part, OwnedFd)> = Vec::new();
        if let Some(dir) = &self.unified {
            parts.push((Part::CgroupFreeze, open_for_writing(&dir.join("cgroup.freeze"))?.into()));
            if has_kill(dir) {
                parts.push((Part::CgroupKill, open_for_writing(&dir.join("cgroup.kill"))?.into()));
            }
            parts.push((Part::CgroupProcs, open_for_reading(&dir.join("cgroup.procs"))?.into()));
            if self.controllers.contains(&Controller::Memory) {
                let stat = open_for_reading(&dir.join("memory.stat"))?;
                parts.push((Part::MemoryStatV2, stat.into()));
            }
            if self.controllers.contains(&Controller::Cpu) {
                parts.push((Part::CpuMaxV2, open_for_writing(&dir.join("cpu.max"))?.into()));
            }
        }
        for (controller, dir) in &self.v1 {
            let (part, file) = match controller {
                Controller::Memory => {
                    (Part::MemoryStatV1, open_for_reading(&dir.join("memory.stat"))?)
                }
                Controller::Cpu => {
                    (Part::CpuQuotaV1, open_for_writing(&dir.join("cpu.cfs_quota_us"))?)
                }
                Controller::Pids => continue,
            };
            parts.push((part, file.into()));
        }
        Ok(parts)
    }

    /// Where there is a v2 group.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        if let Some(dir) = &self.unified {
            // Gone if removed.
            drop(write(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }));
        }
    }

    pub(crate) fn kill(&self) {
        if let Some(dir) = &self.unified {
            // Missing before Linux 5.14, gone if removed; the caller kills pid 1 as well.
            drop(write(&dir.join("cgroup.kill"), "1"));
        }
    }

    /// Whether the kernel's out-of-memory killer has struck in here.
    pub(crate) fn oom_killed(&self) -> bool {
        let v2 = self
            .unified
            .iter()
            .filter(|_| self.controllers.contains(&Controller::Memory))
            .map(|dir| dir.join("memory.events"));
        let v1 = self.v1.iter().filter(|(controller, _)| *controller == Controller::Memory);
        v2.chain(v1.map(|(_, dir)| dir.join("memory.oom_control")))
            .filter_map(|path| fs::read_to_string(path).ok())
            .any(|text| field(&text, "oom_kill").is_some_and(|count| count > 0))
    }

    /// Removes the groups; false if something is still in one.
    pub(crate) fn remove(&self) -> bool {
        let dirs = self.unified.iter().chain(self.v1.iter().map(|(_, dir)| dir));
        let mut gone = true;
        for dir in dirs {
            gone &= fs::remove_dir(dir).is_ok() || !dir.exists();
        }
        gone
    }
}

// === files ===

/// The number after `name` in the `name number` lines of a control file.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn has_kill(dir: &Path) -> bool {
    dir.join("cgroup.kill").exists()
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn sub_dirs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn write(path: &Path, text: &str) -> Result<(), CgroupError> {
    open_for_writing(path)?.write_all(text.as_bytes()).map_err(at(path))
}

fn write_if_there(path: &Path, text: &str) -> Result<(), CgroupError> {
    if path.exists() { write(path, text) } else { Ok(()) }
}

fn open_for_writing(path: &Path) -> Result<File, CgroupError> {
    OpenOptions::new().write(true).open(path).map_err(at(path))
}

fn open_for_reading(path: &Path) -> Result<File, CgroupError> {
    File::open(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CgroupError + use<> {
    let path = path.to_owned();
    move |source| CgroupError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_by_their_whole_name() {
        let text = "anon_thp 5\nanon 4096\noom_kill 1";
        assert_eq!(field(text, "anon"), Some(4_096));
        assert_eq!(field(text, "oom"), None);
        assert_eq!(field(text, "oom_kill"), Some(1));
    }
}
