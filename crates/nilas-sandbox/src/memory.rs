//! How much memory a sandbox uses, from the best source the host has.
//!
//! Three figures. The limit is on *anonymous* memory, now: what a function allocates. The report is of *resident*
//! memory, at its highest. What the machine could have back is what the sandbox *holds*, files in `/tmp` included.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::cgroup::field;

/// Larger than any `memory.stat` or list of a sandbox's processes.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Processes whose peak is read; a tree of more is measured by its anonymous memory alone.
const PEAK_PROCESSES_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct MemoryGauge {
    /// Exact.
    pub(crate) stat: Option<GroupStat>,
    /// `cgroup.procs`. Without it, from pid 1 downwards: orphans are its children, so this misses none.
    pub(crate) processes: Option<File>,
    pub(crate) init_pid: i32,
}

/// `memory.stat` of a group.
#[derive(Debug)]
pub(crate) enum GroupStat {
    V2(File),
    V1(File),
}

impl MemoryGauge {
    /// Anonymous bytes in use; none if the sandbox is gone. Without a controller worked out exactly only if they seem to
    /// be over `bytes_max`.
    pub(crate) fn anonymous_bytes(&self, bytes_max: u64) -> Option<u64> {
        match &self.stat {
            Some(GroupStat::V2(file)) => read_text(file, |text| field(text, "anon")),
            // Without tmpfs and the page cache, despite the name.
            Some(GroupStat::V1(file)) => read_text(file, |text| field(text, "rss")),
            None => Some(processes_bytes(&self.pids()?, bytes_max)),
        }
    }

    /// What the machine has back once the sandbox has ended, but for what the kernel keeps for it.
    pub(crate) fn held_bytes(&self) -> u64 {
        let of_group = |file: &File, anonymous: &str| {
            read_text(file, |text| {
                Some(field(text, anonymous)? + field(text, "shmem").unwrap_or(0))
            })
        };
        let of_group = match &self.stat {
            Some(GroupStat::V2(file)) => of_group(file, "anon"),
            Some(GroupStat::V1(file)) => of_group(file, "rss"),
            None => None,
        };
        of_group.unwrap_or_else(|| {
            let pids = self.pids().unwrap_or_default();
            let own: u64 = pids.iter().filter_map(|pid| proportional_bytes(pid)).sum();
            own + tmp_bytes(self.init_pid)
        })
    }

    /// Resident bytes at their highest, of the processes that are alive: what AWS's "Max Memory Used" shows, which for
    /// a function that does nothing is the size of its runtime, code included.
    ///
    /// The groups' own peaks (`memory.peak`, `memory.max_usage_in_bytes`) will not do. They have in them what `/tmp`
    /// held and the page cache, at the time of the peak, which nothing tells afterwards; and they lack the pages of the
    /// interpreter, which are charged to whichever group touched them first.
    pub(crate) fn resident_peak_bytes(&self) -> u64 {
        let pids = self.pids().unwrap_or_default();
        if pids.len() > PEAK_PROCESSES_MAX {
            return 0;
        }
        let init = self.init_pid.to_string();
        let peaks =
            pids.iter().filter(|pid| **pid != init).filter_map(|pid| ProcessPeak::read(pid));
        // Processes of one tree map the same files: the largest counts for all of them.
        let (own, mapped) = peaks.fold((0, 0), |(own, mapped): (u64, u64), peak| {
            (own + peak.own_bytes, mapped.max(peak.mapped_bytes))
        });
        own + mapped
    }

    fn pids(&self) -> Option<Vec<String>> {
        match &self.processes {
            Some(file) => read_text(file, |text| Some(text.lines().map(str::to_owned).collect())),
            None => Some(tree(self.init_pid)),
        }
    }
}

/// The peak of one process, as the kernel keeps it.
#[derive(Debug, PartialEq, Eq)]
struct ProcessPeak {
    own_bytes: u64,
    /// Pages of files.
    mapped_bytes: u64,
}

impl ProcessPeak {
    fn read(pid: &str) -> Option<Self> {
        read_text(&File::open(format!("/proc/{pid}/status")).ok()?, Self::parse)
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
        };
        let (mapped_bytes, shared_memory) = (bytes("RssFile:")?, bytes("RssShmem:")?);
        // Mapped parts of `/tmp` are no memory of the function's.
        let own_bytes = bytes("VmHWM:")?.saturating_sub(mapped_bytes + shared_memory);
        Some(Self { own_bytes, mapped_bytes })
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

/// Hands a small file's text on. One read, for the kernel writes such files whole, into memory that is kept and never
/// cleared.
fn read_text<T>(file: &File, take: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
    }
    SCRATCH.with_borrow_mut(|text| {
        let length = file.read_at(text, 0).ok()?;
        take(str::from_utf8(&text[..length]).ok()?)
    })
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

/// What is in the sandbox's `/tmp`; nothing where the kernel lets us not look.
fn tmp_bytes(init_pid: i32) -> u64 {
    rustix::fs::statvfs(format!("/proc/{init_pid}/root/tmp"))
        .map_or(0, |tmp| tmp.f_blocks.saturating_sub(tmp.f_bfree) * tmp.f_frsize)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_told_apart_from_files_and_shared_memory() {
        let status = "Name:\tnode\nVmHWM:\t   50000 kB\nVmRSS:\t   40000 kB\nRssAnon:\t   20000 kB\n\
                      RssFile:\t   19000 kB\nRssShmem:\t    1000 kB\n";
        let peak = ProcessPeak { own_bytes: 30_000 * 1_024, mapped_bytes: 19_000 * 1_024 };
        assert_eq!(ProcessPeak::parse(status), Some(peak));
        // A kernel thread or a process that has ended has no memory to tell of.
        assert_eq!(ProcessPeak::parse("Name:\tgone\n"), None);
    }
}
