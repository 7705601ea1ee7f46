//! How much anonymous memory a sandbox uses, from the best source the host has.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::cgroup::field;

/// Larger than any `memory.stat` or list of a sandbox's processes.
const READ_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) enum MemoryGauge {
    /// `memory.stat` of a v2 group: exact.
    StatV2(File),
    /// `memory.stat` of a v1 group: exact.
    StatV1(File),
    /// `cgroup.procs`: the sum over its processes.
    Procs(File),
    /// Likewise, from pid 1 downwards. Orphans are its children, so this misses none.
    Tree { init_pid: i32 },
}

impl MemoryGauge {
    /// Bytes in use; none if the sandbox is gone. Worked out exactly only if it seems to be over `bytes_max`.
    pub(crate) fn read(&self, bytes_max: u64) -> Option<u64> {
        match self {
            Self::StatV2(file) => field(&read_text(file)?, "anon"),
            // Without tmpfs and the page cache, despite the name.
            Self::StatV1(file) => field(&read_text(file)?, "rss"),
            Self::Procs(file) => {
                let pids: Vec<String> = read_text(file)?.lines().map(str::to_owned).collect();
                Some(processes_bytes(&pids, bytes_max))
            }
            Self::Tree { init_pid } => Some(processes_bytes(&tree(*init_pid), bytes_max)),
        }
    }
}

/// Forked processes share most of their pages, which the quick sum counts for each of them.
fn processes_bytes(pids: &[String], bytes_max: u64) -> u64 {
    let quick = pids.iter().filter_map(|pid| private_bytes(pid)).sum();
    if quick <= bytes_max {
        return quick;
    }
    pids.iter().filter_map(|pid| proportional_bytes(pid).or_else(|| private_bytes(pid))).sum()
}

fn read_text(file: &File) -> Option<String> {
    let mut text = vec![0; READ_BYTES_MAX];
    let length = file.read_at(&mut text, 0).ok()?;
    text.truncate(length);
    String::from_utf8(text).ok()
}

/// Resident pages less those of files and shared memory: cheap.
fn private_bytes(pid: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split(' ').skip(1).map(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// The same with each shared page split among its sharers: the kernel walks all page tables for it.
fn proportional_bytes(pid: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
    Some(kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

/// `pid` and all below it.
fn tree(pid: i32) -> Vec<String> {
    let mut found = vec![pid.to_string()];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children: Vec<String> = tasks
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .collect();
        found.extend(children.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned));
        next += 1;
    }
    found
}
