//! Where on this host groups can be made: the mounts, and the v2 directory that gives most.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::controller::Controller;
use super::{make_dir, write};

/// The v2 directory that holds the groups of all sandboxes.
#[derive(Debug)]
pub(super) struct Unified {
    pub(super) dir: PathBuf,
    pub(super) controllers: Vec<Controller>,
}

/// One line of mountinfo that is a cgroup mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    /// The part of the hierarchy that is mounted.
    root: String,
    /// Empty for v2.
    pub(super) controllers: Vec<String>,
    /// The calling process's own path in the hierarchy.
    own: String,
}

impl Mount {
    pub(super) fn own_dir(&self) -> PathBuf {
        let below = self.own.strip_prefix(self.root.trim_end_matches('/')).unwrap_or(&self.own);
        self.point.join(below.trim_start_matches('/'))
    }
}

/// The v2 directory that gives most controllers; none if no place is writable.
pub(super) fn choose_unified(mount: &Mount, name: &str, privileged: bool) -> Option<Unified> {
    let own = mount.own_dir();
    let mut candidates = if privileged { vec![mount.point.clone()] } else { Vec::new() };
    candidates.push(own.clone());
    candidates
        .extend(own.parent().filter(|parent| parent.starts_with(&mount.point)).map(Path::to_owned));
    candidates.dedup();
    let mut best: Option<Unified> = None;
    for parent in candidates {
        // Processes may only be moved by who may write to the common ancestor's cgroup.procs.
        let procs = parent.join("cgroup.procs");
        if rustix::fs::access(&procs, Access::WRITE_OK).is_err()
            || make_dir(&parent.join(name)).is_err()
        {
            continue;
        }
        let unified =
            Unified { controllers: enable_controllers(&parent, name), dir: parent.join(name) };
        if best.as_ref().is_none_or(|best| best.controllers.len() < unified.controllers.len()) {
            if let Some(lesser) = best.replace(unified) {
                drop(fs::remove_dir(lesser.dir));
            }
        } else {
            drop(fs::remove_dir(unified.dir));
        }
    }
    best
}

/// Hands `parent`'s controllers down to `parent/name` and to the groups in it.
fn enable_controllers(parent: &Path, name: &str) -> Vec<Controller> {
    let offered = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    let mut enabled = Vec::new();
    for controller in Controller::ALL {
        if !offered.split_whitespace().any(|offer| offer == controller.name()) {
            continue;
        }
        let order = format!("+{}", controller.name());
        let here = parent.join("cgroup.subtree_control");
        // A group with processes of its own cannot hand controllers down (EBUSY), except the root. If the processes
        // are just this server and its spawner, they move aside.
        let handed = write(&here, &order).is_ok()
            || (move_aside(parent, name) && write(&here, &order).is_ok());
        if handed && write(&parent.join(name).join("cgroup.subtree_control"), &order).is_ok() {
            enabled.push(controller);
        }
    }
    enabled
}

fn move_aside(parent: &Path, name: &str) -> bool {
    let ours = [Some(rustix::process::getpid()), rustix::process::getppid()];
    let ours: Vec<String> =
        ours.into_iter().flatten().map(|pid| pid.as_raw_nonzero().to_string()).collect();
    let procs = fs::read_to_string(parent.join("cgroup.procs")).unwrap_or_default();
    if procs.lines().any(|pid| !ours.iter().any(|own| own == pid)) {
        return false;
    }
    let leaf = parent.join(format!("{name}-server"));
    make_dir(&leaf).is_ok() && ours.iter().all(|pid| write(&leaf.join("cgroup.procs"), pid).is_ok())
}

pub(super) fn parse_mounts(mountinfo: &str, own: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(|line| parse_mount(line, own)).collect()
}

fn parse_mount(line: &str, own: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut filesystem = filesystem.split(' ');
    let kind = filesystem.next()?;
    let options: Vec<String> = filesystem.nth(1)?.split(',').map(str::to_owned).collect();
    let controllers = match kind {
        "cgroup2" => Vec::new(),
        "cgroup" => options,
        _ => return None,
    };
    let own = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        let matches = if controllers.is_empty() {
            names.is_empty()
        } else {
            names.split(',').any(|name| controllers.iter().any(|controller| controller == name))
        };
        matches.then(|| path.to_owned())
    });
    Some(Mount {
        point: point.into(),
        root: root.to_owned(),
        controllers,
        own: own.unwrap_or_else(|| "/".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(mountinfo: &str, own: &str, expected: Expect) {
        let lines: Vec<String> = parse_mounts(mountinfo, own)
            .iter()
            .map(|mount| format!("own {} of {:?}\n", mount.own_dir().display(), mount.controllers))
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn finds_the_own_group_in_each_layout() {
        check(
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
             42 31 0:39 / /tmp rw - tmpfs tmpfs rw",
            "4:memory:/job/7\n0::/",
            expect![[r#"
                own /sys/fs/cgroup/memory/job/7 of ["rw", "memory"]
                own /sys/fs/cgroup/unified/ of []
            "#]],
        );
        check(
            "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run.scope",
            expect![[r#"
                own /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run.scope of []
            "#]],
        );
        check(
            "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
            "0::/docker/abc/inner",
            expect![[r#"
                own /sys/fs/cgroup/inner of []
            "#]],
        );
    }
}
