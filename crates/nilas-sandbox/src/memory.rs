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
    /// `cgroup.procs`: the sum over its processes, which counts shared pages twice.
    Procs(File),
    /// Likewise, from pid 1 downwards. Orphans are its children, so this misses none.
    Tree { init_pid: i32 },
}

impl MemoryGauge {
    /// Bytes in use; none if the sandbox is gone.
    pub(crate) fn read(&self) -> Option<u64> {
        match self {
            Self::StatV2(file) => field(&read_text(file)?, "anon"),
            // Without tmpfs and the page cache, despite the name.
            Self::StatV1(file) => field(&read_text(file)?, "rss"),
            Self::Procs(file) => Some(read_text(file)?.lines().filter_map(process_bytes).sum()),
            Self::Tree { init_pid } => Some(tree_bytes(*init_pid)),
        }
    }
}

fn read_text(file: &File) -> Option<String> {
    let mut text = vec![0; READ_BYTES_MAX];
    let length = file.read_at(&mut text, 0).ok()?;
    text.truncate(length);
    String::from_utf8(text).ok()
}

/// Resident pages less those of files and shared memory.
fn process_bytes(pid: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split(' ').skip(1).map(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

fn tree_bytes(pid: i32) -> u64 {
    let mut bytes = 0;
    let mut open = vec![pid.to_string()];
    while let Some(pid) = open.pop() {
        bytes += process_bytes(&pid).unwrap_or_default();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().map(str::to_owned));
        }
    }
    bytes
}
