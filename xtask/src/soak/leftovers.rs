//! What a server holds while nothing runs, and what is left of one that has ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bench::processes;
use crate::bench::target::Nilas;

/// How long environments may take to expire and to be cleared away.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// The server keeps fewer sandboxes ready once nothing has been started for so long; code nobody uses is swept.
const CALM: Duration = Duration::from_secs(35);
/// Descriptors that come and go with what the server does by itself, such as reading its store.
const FILES_SLACK: usize = 12;
/// Descriptors of the spawner for one sandbox made ahead, at most.
const FILES_PER_SHELL: usize = 20;
/// Memory of a process at rest may differ by so much, and by a quarter.
const RSS_SLACK_MIB: f64 = 16.0;

/// How the server's things are named on the host.
pub(super) struct Names {
    /// Directories that hold the sandboxes' control groups.
    groups: Vec<PathBuf>,
    /// The beginning of its network links' names.
    link_prefix: String,
    server: u32,
    spawner: u32,
}

/// What a server holds at rest.
pub(super) struct Holdings {
    server_files: usize,
    spawner_files: usize,
    server_threads: usize,
    server_rss_mib: f64,
    spawner_rss_mib: f64,
    /// Sandboxes made ahead and zygotes.
    children: usize,
    groups: usize,
    links: usize,
    packages: usize,
    mounts: usize,
}

/// Waits until no environment and no template is left and the server has nothing more to clear away.
pub(super) fn rest(nilas: &Nilas) -> Result<Names, String> {
    let began = Instant::now();
    loop {
        let children = processes::children_by_parent();
        let alive = nilas.environments(&children);
        if alive.is_empty() {
            break;
        }
        if began.elapsed() > REST_WITHIN {
            return Err(format!("{} idle environments or templates do not end", alive.len()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(CALM);
    Names::find(nilas)
}

// === impl Names ===

impl Names {
    fn find(nilas: &Nilas) -> Result<Self, String> {
        let server = nilas.pid();
        let children = processes::children_by_parent();
        let spawner = *children.get(&server).and_then(|all| all.first()).ok_or("no spawner")?;
        let sandboxes = children.get(&spawner).ok_or("no sandbox is kept ready")?;
        let name = sandboxes.iter().find_map(|pid| group_name(*pid)).ok_or("no control group")?;
        let hash = name.get(name.len().saturating_sub(5)..).unwrap_or_default();
        let mounts = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let places = mounts.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        let groups = places.map(|place| place.join(&name)).filter(|dir| dir.is_dir()).collect();
        Ok(Self { groups, link_prefix: format!("n{hash}-"), server, spawner })
    }

    /// What there still is although the server has ended.
    pub(super) fn leftovers(&self, data_dir: &Path) -> Vec<String> {
        let mut left: Vec<String> = self
            .groups
            .iter()
            .filter(|dir| dir.exists())
            .map(|dir| format!("control group {}", dir.display()))
            .collect();
        let links = links(&self.link_prefix);
        left.extend(links.into_iter().map(|link| format!("network link {link}")));
        left.extend(mounts(data_dir).into_iter().map(|mount| format!("mount {mount}")));
        for (what, pid) in [("server", self.server), ("spawner", self.spawner)] {
            if Path::new(&format!("/proc/{pid}/fd")).exists() {
                left.push(format!("the {what}, {pid}"));
            }
        }
        left
    }
}

/// Of the server, as the first part of a sandbox's group in whatever hierarchy it has one.
fn group_name(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let parts = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut names =
        parts.flat_map(|path| path.split('/')).filter(|name| name.starts_with("nilas-"));
    names.next().map(str::to_owned)
}

fn links(prefix: &str) -> Vec<String> {
    let links = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = links.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Of the host that have to do with the directory.
fn mounts(data_dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let name = data_dir.display().to_string();
    table.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
}

// === impl Holdings ===

impl Holdings {
    pub(super) fn of(nilas: &Nilas, names: &Names) -> Result<Self, String> {
        let (server, spawner) = (names.server, names.spawner);
        let children = processes::children_by_parent();
        let count = |dir: PathBuf| fs::read_dir(dir).map_or(0, Iterator::count);
        let dirs = |dir: &PathBuf| {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter(|entry| entry.path().is_dir()).count()
        };
        Ok(Self {
            server_files: count(format!("/proc/{server}/fd").into()),
            spawner_files: count(format!("/proc/{spawner}/fd").into()),
            server_threads: count(format!("/proc/{server}/task").into()),
            server_rss_mib: processes::rss_mib(server)?,
            spawner_rss_mib: processes::rss_mib(spawner)?,
            children: children.get(&spawner).map_or(0, Vec::len),
            groups: names.groups.iter().map(dirs).max().unwrap_or(0),
            links: links(&names.link_prefix).len(),
            packages: count(nilas.data_dir().join("packages")),
            mounts: mounts(nilas.data_dir()).len(),
        })
    }

    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("server, open files", self.server_files.to_string()),
            ("spawner, open files", self.spawner_files.to_string()),
            ("server, threads", self.server_threads.to_string()),
            ("server, resident memory, MiB", format!("{:.1}", self.server_rss_mib)),
            ("spawner, resident memory, MiB", format!("{:.1}", self.spawner_rss_mib)),
            ("sandboxes made ahead, and zygotes", self.children.to_string()),
            ("control groups in a hierarchy", self.groups.to_string()),
            ("network links", self.links.to_string()),
            ("unpacked packages", self.packages.to_string()),
            ("mounts on the host", self.mounts.to_string()),
        ]
    }

    /// What has become more, apart from what sandboxes made ahead account for.
    pub(super) fn growth_since(&self, early: &Self) -> Vec<String> {
        let ahead = self.children.saturating_sub(early.children);
        let mut grown = Vec::new();
        let mut check = |what: &str, before: usize, after: usize, slack: usize| {
            if after > before + slack {
                grown.push(format!("grown: {what}, from {before} to {after}"));
            }
        };
        check("open files of the server", early.server_files, self.server_files, FILES_SLACK);
        let slack = FILES_SLACK + ahead * FILES_PER_SHELL;
        check("open files of the spawner", early.spawner_files, self.spawner_files, slack);
        check("threads of the server", early.server_threads, self.server_threads, 4);
        check("mounts on the host", early.mounts, self.mounts, 0);
        // Nothing but what is kept ready has any of these.
        check("control groups", self.children, self.groups, 0);
        check("network links", self.children, self.links, 0);
        for (what, before, after) in [
            ("server", early.server_rss_mib, self.server_rss_mib),
            ("spawner", early.spawner_rss_mib, self.spawner_rss_mib),
        ] {
            if after > before * 1.25 + RSS_SLACK_MIB {
                grown.push(format!("grown: memory of the {what}, {before:.1} to {after:.1} MiB"));
            }
        }
        grown
    }
}
