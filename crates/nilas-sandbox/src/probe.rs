//! Tries out, at start, whether this host lets us build a jail at all.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::WaitOptions;

use crate::finding::Finding;
use crate::jail::{self, StepError, step};
use crate::protocol::{self, Failure, FromInit, Go};
use crate::spawner::write_id_maps;
use crate::sys::{self, NAMESPACES, Side};

/// Whether namespaces work here: makes a set and mounts in it what a jail mounts.
pub(crate) fn namespaces(privileged: bool) -> Finding {
    let feature = "namespaces".into();
    match try_namespaces(privileged) {
        Ok(()) => Finding {
            feature,
            ok: true,
            detail: "user, mount, pid, network, ipc, uts and cgroup".to_owned(),
            cost: None,
            remedy: None,
        },
        Err(error) => Finding {
            feature,
            ok: false,
            detail: error.to_string(),
            cost: Some("functions cannot be started".to_owned()),
            remedy: Some(remedy().to_owned()),
        },
    }
}

/// Whether sandboxes have user ids of their own on the host.
pub(crate) fn ids(privileged: bool) -> Finding {
    let cost =
        "all sandboxes run under this user's id on the host; namespaces alone keep them apart";
    Finding {
        feature: "user ids".into(),
        ok: privileged,
        detail: if privileged { "a range of its own per sandbox" } else { "the server's own id" }
            .to_owned(),
        cost: (!privileged).then(|| cost.to_owned()),
        remedy: (!privileged)
            .then(|| "run nilas serve as root; it drops its privileges itself".to_owned()),
    }
}

fn try_namespaces(privileged: bool) -> Result<(), StepError> {
    let (ours, theirs) = step("open socket", protocol::socket_pair())?;
    match step("make namespaces", sys::clone_into(NAMESPACES, None))? {
        Side::Child => {
            let message = match try_mounts(&theirs, privileged) {
                Ok(()) => FromInit::Running,
                Err(error) => FromInit::Failed(error.into()),
            };
            // Nobody listens any more if this fails.
            drop(protocol::send(&theirs, &message, &[], SendFlags::DONTWAIT));
            sys::exit_now(0)
        }
        Side::Parent(pid) => {
            drop(theirs);
            let answer = write_id_maps(pid, 0, privileged).and_then(|()| {
                step(
                    "talk to the probe",
                    protocol::send(&ours, &Go::Mapped, &[], SendFlags::empty()),
                )?;
                step("hear the probe", protocol::receive::<FromInit>(&ours, RecvFlags::empty()))
            });
            drop(ours);
            sys::best_effort(rustix::process::waitpid(Some(pid), WaitOptions::empty()));
            match answer?.0 {
                FromInit::Failed(Failure::Step { step, reason }) => Err(StepError { step, reason }),
                _ => Ok(()),
            }
        }
    }
}

fn try_mounts(spawner: &std::os::fd::OwnedFd, privileged: bool) -> Result<(), StepError> {
    jail::wait_for(&Go::Mapped, spawner)?;
    if privileged {
        step("become root inside", sys::set_process_ids(0, 0))?;
    }
    step(
        "make mounts private",
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
    )?;
    let target = Path::new("/tmp");
    step("mount a tmpfs", mount("tmpfs", target, "tmpfs", MountFlags::NOSUID, None))?;
    step("mount /proc", mount("proc", target, "proc", MountFlags::NOSUID, None))
}

fn remedy() -> &'static str {
    let is =
        |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sudo sysctl kernel.unprivileged_userns_clone=1"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "sudo sysctl user.max_user_namespaces=15000"
    } else {
        "run nilas on the host itself, or in a container started with --privileged"
    }
}
