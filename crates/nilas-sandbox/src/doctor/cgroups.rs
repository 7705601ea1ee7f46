//! Which control groups there are and which of them this user may use. Only looks.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::Finding;

const CONTROLLERS: [(&str, &str); 3] = [
    (
        "memory",
        "memory is measured a few times a second instead of limited by the kernel; a burst can pass the limit",
    ),
    ("cpu", "every function may use all CPUs, whatever its memory size"),
    ("pids", "processes are limited by RLIMIT_NPROC alone"),
];

const DELEGATE: &str =
    "systemd-run --user --scope -p Delegate=yes nilas serve (as root, nothing is needed)";

/// A mounted hierarchy as the current process sees it.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Empty for v2.
    controllers: Vec<String>,
    mount: PathBuf,
    /// The directory of the current process's own group.
    own: PathBuf,
}

pub(super) fn inspect() -> Vec<Finding> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let hierarchies: Vec<Hierarchy> = mounts.lines().filter_map(|line| parse(line, &own)).collect();
    let unified = hierarchies.iter().find(|hierarchy| hierarchy.controllers.is_empty());
    let mut findings = vec![layout(&hierarchies), freezer(unified)];
    findings.extend(CONTROLLERS.iter().map(|(name, cost)| controller(name, cost, &hierarchies)));
    findings
}

fn layout(hierarchies: &[Hierarchy]) -> Finding {
    let v1 =
        hierarchies.iter().any(|hierarchy| CONTROLLERS.iter().any(|(name, _)| hierarchy.has(name)));
    let v2 = hierarchies.iter().any(|hierarchy| hierarchy.controllers.is_empty());
    let (ok, detail, cost) = match (v2, v1) {
        (true, false) => (true, "cgroup v2", None),
        (true, true) => (true, "hybrid: limits from v1, freeze and kill from v2", None),
        (false, true) => (
            false,
            "cgroup v1 only",
            Some("no freezing and no killing of whole environments at once"),
        ),
        (false, false) => (false, "no control groups are mounted", Some("no limits, no freezing")),
    };
    Finding {
        feature: "cgroup layout".into(),
        ok,
        detail: detail.to_owned(),
        cost: cost.map(str::to_owned),
        remedy: (!ok).then(|| {
            "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line".to_owned()
        }),
    }
}

fn freezer(unified: Option<&Hierarchy>) -> Finding {
    let place = unified.and_then(Hierarchy::usable);
    let ok = place.is_some();
    Finding {
        feature: "freeze and kill".into(),
        ok,
        detail: place.map_or_else(
            || "no cgroup v2 directory is writable for this user".to_owned(),
            |place| format!("cgroup v2 at {}", place.display()),
        ),
        cost: (!ok).then(|| {
            "idle environments are stopped by SIGSTOP, not by the cgroup freezer".to_owned()
        }),
        remedy: (!ok).then(|| DELEGATE.to_owned()),
    }
}

fn controller(name: &str, cost: &str, hierarchies: &[Hierarchy]) -> Finding {
    let place =
        hierarchies.iter().filter(|hierarchy| hierarchy.has(name)).find_map(Hierarchy::usable);
    let ok = place.is_some();
    let there = hierarchies.iter().any(|hierarchy| hierarchy.has(name));
    Finding {
        feature: format!("{name} limit").into(),
        ok,
        detail: match (place, there) {
            (Some(place), _) => format!("cgroup at {}", place.display()),
            (None, true) => "not delegated to this user".to_owned(),
            (None, false) => "the controller is in no mounted hierarchy".to_owned(),
        },
        cost: (!ok).then(|| cost.to_owned()),
        remedy: (!ok).then(|| DELEGATE.to_owned()),
    }
}

// === impl Hierarchy ===

impl Hierarchy {
    /// Whether the controller can be had here: mounted with it (v1), or handed down to the own group (v2).
    fn has(&self, controller: &str) -> bool {
        if !self.controllers.is_empty() {
            return self.controllers.iter().any(|name| name == controller);
        }
        let place = self.usable().unwrap_or_else(|| self.own.clone());
        let offered = fs::read_to_string(place.join("cgroup.controllers")).unwrap_or_default();
        offered.split_whitespace().any(|name| name == controller)
    }

    /// Where groups can be made and processes moved to: the root for root, else the own group.
    fn usable(&self) -> Option<PathBuf> {
        let writable = |directory: &Path| {
            let procs = directory.join("cgroup.procs");
            [directory, &procs]
                .iter()
                .all(|path| rustix::fs::access(*path, Access::WRITE_OK).is_ok())
        };
        [&self.mount, &self.own].into_iter().find(|directory| writable(directory)).cloned()
    }
}

/// Reads one line of mountinfo, if it is a cgroup mount; `own` is `/proc/self/cgroup`.
fn parse(line: &str, own: &str) -> Option<Hierarchy> {
    let (fields, filesystem) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(3);
    let (root, mount) = (fields.next()?, Path::new(fields.next()?));
    let mut filesystem = filesystem.split(' ');
    let controllers: Vec<String> = match filesystem.next()? {
        "cgroup2" => Vec::new(),
        "cgroup" => filesystem.nth(1)?.split(',').map(str::to_owned).collect(),
        _ => return None,
    };
    let path = own.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        let matches = if controllers.is_empty() {
            names.is_empty()
        } else {
            names.split(',').any(|name| controllers.iter().any(|controller| controller == name))
        };
        matches.then_some(path)
    })?;
    let below =
        path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/');
    Some(Hierarchy { controllers, mount: mount.to_owned(), own: mount.join(below) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_own_group_in_both_versions() {
        let own = "4:memory:/user.slice\n2:cpu,cpuacct:/\n0::/user.slice/app.scope\n";
        let v2 =
            parse("30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate", own)
                .expect("v2");
        assert_eq!(v2.own, Path::new("/sys/fs/cgroup/user.slice/app.scope"));
        let v1 =
            parse("31 24 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory", own)
                .expect("v1");
        assert_eq!(v1.own, Path::new("/sys/fs/cgroup/memory/user.slice"));
        assert!(v1.has("memory") && !v1.has("cpu"));
        assert_eq!(parse("22 1 254:1 / / rw,relatime - ext4 /dev/root rw", own), None);
    }
}
