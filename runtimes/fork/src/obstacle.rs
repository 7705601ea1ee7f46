//! Why a process cannot be forked as it is.
//!
//! A fork has one thread, no children, and shares what is mapped as shared. Told before the process becomes a template, so
//! that its function is started plainly instead.

use std::fs;

/// Threads and children that are not there in a fork, and memory that would be its siblings' as well. `may_lose` tells of
/// a number of threads whether they may be lost, since their library makes them anew.
pub(crate) fn obstacle(may_lose: impl Fn(usize) -> bool) -> Option<String> {
    let threads = entries("/proc/self/task").count().saturating_sub(1);
    if threads > 0 && !may_lose(threads) {
        return Some(format!("it has {threads} threads of its own"));
    }
    let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    // Pid 1, and the process itself.
    let others = entries("/proc").filter(is_process).count().saturating_sub(2);
    if others > 0 {
        return Some(format!("it has started {others} other processes"));
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let shared = maps.lines().find(|line| is_shared(line))?;
    let name = shared.split_ascii_whitespace().nth(5).unwrap_or("memory");
    Some(format!("it has mapped {name} as shared"))
}

fn entries(directory: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// `55d0c5400000-55d0c5421000 rw-s 00000000 00:01 1024 /dev/zero (deleted)`
fn is_shared(line: &str) -> bool {
    let rights = line.split_ascii_whitespace().nth(1).unwrap_or_default();
    rights.ends_with('s') && rights.contains('w')
}

#[cfg(test)]
mod tests {
    use super::is_shared;

    #[test]
    fn tells_shared_memory_that_can_be_written() {
        assert!(is_shared("7f00-7f01 rw-s 00000000 00:01 1024 /dev/zero (deleted)"));
        assert!(!is_shared("7f00-7f01 r--s 00000000 00:01 1024 /usr/lib/x.cache"));
        assert!(!is_shared("7f00-7f01 rw-p 00000000 00:00 0"));
    }
}
