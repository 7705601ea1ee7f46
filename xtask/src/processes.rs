//! What the kernel tells of processes: who started whom, and how much memory each takes.

use std::collections::HashMap;
use std::fs;

pub(crate) fn children_by_parent() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(2))
            .and_then(|ppid| ppid.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

pub(crate) fn tree_pss_kib(pid: u32, children: &HashMap<u32, Vec<u32>>) -> Result<u64, String> {
    let mut total = pss_kib(pid)?;
    for child in children.get(&pid).into_iter().flatten() {
        total += tree_pss_kib(*child, children)?;
    }
    Ok(total)
}

pub(crate) fn pss_kib(pid: u32) -> Result<u64, String> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .map_err(|e| format!("smaps of {pid}: {e}"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("smaps of {pid}: {line}"))
}

/// Sandboxes with a function in them, by their pid 1, of the server `server`. Those made ahead have none yet.
pub(crate) fn environments(server: u32, children: &HashMap<u32, Vec<u32>>) -> Vec<u32> {
    let spawners = children.get(&server).into_iter().flatten();
    let inits = spawners.flat_map(|spawner| children.get(spawner).into_iter().flatten());
    let has_code = |init: &u32| fs::exists(format!("/proc/{init}/root/var/task")).unwrap_or(false);
    inits.copied().filter(has_code).collect()
}

/// A figure of `/proc/meminfo`, MiB.
pub(crate) fn host_memory_mib(name: &str) -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

pub(crate) fn rss_mib(pid: u32) -> Result<f64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("status of {pid}: {e}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| line.to_owned())?;
    Ok(kib / 1024.0)
}
