//! The three controllers that limit a sandbox, in both versions' terms.

use std::path::Path;
use std::sync::LazyLock;

use super::{CgroupError, write, write_if_there};
use crate::protocol::Part;
use crate::spec::Limits;

/// Kernel memory (page tables, sockets, inodes) and `/dev/shm` of a sandbox, bytes, on top of what its limits name.
const MEMORY_SLACK_BYTES: u64 = 64 * 1024 * 1024;
/// Period of the CPU quota, microseconds: short, so that a small function waits often and briefly.
///
/// What an idle period leaves over is kept, up to one quota, which is the most the kernel keeps: after a rest a
/// function with a quarter of a CPU runs for 10 ms before it waits at all.
const CPU_PERIOD_US: u64 = 20_000;
/// The kernel refuses a smaller quota, microseconds.
const CPU_QUOTA_US_MIN: u64 = 1_000;
/// Our pid 1, which counts as well.
const INIT_PROCESSES: u32 = 1;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    pub(super) fn finding(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => (
                "memory limit",
                "memory is measured every few milliseconds, not limited by the kernel: a burst can pass the limit for a moment, and shared memory (memfd) is not counted",
            ),
            Self::Cpu => ("cpu share", "every function may use all CPUs, whatever its memory size"),
            Self::Pids => ("process limit", "processes are limited by RLIMIT_NPROC alone"),
        }
    }

    pub(super) fn limit_v2(self, dir: &Path, limits: &Limits) -> Result<(), CgroupError> {
        match self {
            Self::Memory => {
                write(&dir.join("memory.max"), &memory_bytes_max(limits).to_string())?;
                write_if_there(&dir.join("memory.swap.max"), "0")?;
                write_if_there(&dir.join("memory.oom.group"), "1")
            }
            // The quota itself comes later, by `cpu_share`.
            Self::Cpu => match cpu_quota_us(limits) {
                Some(quota) => write_if_there(&dir.join("cpu.max.burst"), &quota.to_string()),
                None => Ok(()),
            },
            Self::Pids => write(&dir.join("pids.max"), &processes_max(limits).to_string()),
        }
    }

    pub(super) fn limit_v1(self, dir: &Path, limits: &Limits) -> Result<(), CgroupError> {
        match self {
            Self::Memory => {
                let bytes = memory_bytes_max(limits).to_string();
                write(&dir.join("memory.limit_in_bytes"), &bytes)?;
                write_if_there(&dir.join("memory.memsw.limit_in_bytes"), &bytes)?;
                // Apart from the rest in v1, and without a limit not even counted: one function could take all the
                // memory the machine has for TCP.
                let sockets = MEMORY_SLACK_BYTES.to_string();
                write_if_there(&dir.join("memory.kmem.tcp.limit_in_bytes"), &sockets)
            }
            Self::Cpu => match cpu_quota_us(limits) {
                Some(quota) => {
                    write(&dir.join("cpu.cfs_period_us"), &CPU_PERIOD_US.to_string())?;
                    write_if_there(&dir.join("cpu.cfs_burst_us"), &quota.to_string())
                }
                None => Ok(()),
            },
            Self::Pids => write(&dir.join("pids.max"), &processes_max(limits).to_string()),
        }
    }
}

/// What the kernel lets the group use. `/tmp` and shared memory are charged to it too, so they are added: the exact
/// limit on anonymous memory is the memory guard's, and this is the backstop behind it.
fn memory_bytes_max(limits: &Limits) -> u64 {
    limits.memory_bytes.saturating_add(limits.tmp_bytes).saturating_add(MEMORY_SLACK_BYTES)
}

/// What to write, to which file of the group, to hold it to its share. None if the share is above what the machine has.
pub(crate) fn cpu_share(part: Part, limits: &Limits) -> Option<String> {
    let quota = cpu_quota_us(limits)?;
    match part {
        Part::CpuMaxV2 => Some(format!("{quota} {CPU_PERIOD_US}")),
        Part::CpuQuotaV1 => Some(quota.to_string()),
        _ => None,
    }
}

fn cpu_quota_us(limits: &Limits) -> Option<u64> {
    // Finding out takes a dozen system calls.
    static CPUS: LazyLock<u64> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64));
    let millis = u64::from(limits.cpu_millis);
    (millis < *CPUS * 1_000).then(|| (millis * CPU_PERIOD_US / 1_000).max(CPU_QUOTA_US_MIN))
}

/// Of all sandboxes together: half of the ids the machine has for processes, so that it can always start another.
pub(super) fn all_processes_max() -> Option<u64> {
    let ids = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok()?;
    Some(ids.trim().parse::<u64>().ok()? / 2)
}

pub(crate) fn processes_max(limits: &Limits) -> u32 {
    limits.processes.saturating_add(INIT_PROCESSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_above_the_machine_is_no_quota() {
        let limits = |cpu_millis| Limits {
            memory_bytes: 1,
            cpu_millis,
            processes: 1,
            files: 1,
            tmp_bytes: 1,
        };
        assert_eq!(cpu_quota_us(&limits(72)), Some(1_440));
        assert_eq!(cpu_quota_us(&limits(1)), Some(CPU_QUOTA_US_MIN));
        assert_eq!(cpu_quota_us(&limits(u32::MAX)), None);
    }
}
