//! Memory of the machine: how much there is, how much is left, and whether somebody waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Time that a task was stalled for memory, of the window, before the kernel wakes us: 5 %, both in microseconds. Whoever
/// is not root may only choose windows of two seconds and their multiples.
const TRIGGER: &[u8] = b"some 100000 2000000\0";
const PRESSURE: &str = "/proc/pressure/memory";
const KIB: u64 = 1_024;

/// What `/proc/meminfo` and `/proc/pressure/memory` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostMemory {
    pub total_bytes: u64,
    /// What can be had without swapping.
    pub available_bytes: u64,
    /// Time of the last ten seconds in which some task waited for memory; nothing on kernels that do not tell.
    pub stalled_percent: u64,
}

/// Waits for the kernel to say that tasks wait for memory.
#[derive(Debug)]
pub struct PressureWatch {
    /// None where the kernel has no such thing, or not for us.
    trigger: Option<AsyncFd<File>>,
}

// === impl HostMemory ===

impl HostMemory {
    pub fn read() -> io::Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let pressure = fs::read_to_string(PRESSURE).unwrap_or_default();
        Self::parse(&meminfo, &pressure)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo"))
    }

    fn parse(meminfo: &str, pressure: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Some(line?.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * KIB)
        };
        let some = pressure.lines().find_map(|line| line.strip_prefix("some avg10="));
        let whole = some.and_then(|rest| rest.split('.').next()?.parse().ok());
        Some(Self {
            total_bytes: bytes("MemTotal")?,
            available_bytes: bytes("MemAvailable")?,
            stalled_percent: whole.unwrap_or(0),
        })
    }

    /// Less than a twentieth is left; or less than a fifth, and tasks wait for it. That tasks wait is not enough: a
    /// function that has reached its own limit makes them, whatever the machine has left.
    pub fn is_short(&self, stalled: bool) -> bool {
        let left = |part: u64| self.available_bytes < self.total_bytes / part;
        left(20) || (left(5) && (stalled || self.stalled_percent >= 10))
    }
}

/// What all processes of this server may use, bytes: what the machine has, or its control group, if that has less.
pub fn memory_bytes_total() -> io::Result<u64> {
    let total = HostMemory::read()?.total_bytes;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(group_limits);
    let limits = limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    Ok(limits.chain([total]).min().unwrap_or(total))
}

/// The files with the limits of one group and all above it, for a line of `/proc/self/cgroup`.
fn group_limits(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
    let (mount, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let dirs = Path::new(path).ancestors().filter_map(|dir| dir.strip_prefix("/").ok());
    dirs.map(|dir| Path::new(mount).join(dir).join(file)).collect()
}

// === impl PressureWatch ===

impl PressureWatch {
    /// Within a Tokio runtime.
    pub fn open() -> Self {
        let open = || -> io::Result<AsyncFd<File>> {
            let mut file = OpenOptions::new().read(true).write(true).open(PRESSURE)?;
            file.write_all(TRIGGER)?;
            // SAFETY: a `File` is one open descriptor until it is dropped, and nobody but the `AsyncFd` has this one.
            // JUSTIFICATION: tokio has no safe way to wait for a descriptor's priority events.
            Ok(unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY) }?)
        };
        Self { trigger: open().ok() }
    }

    /// Whether the kernel tells.
    pub fn is_told(&self) -> bool {
        self.trigger.is_some()
    }

    /// True at once when tasks wait for memory; false when none have for so long.
    pub async fn wait(&mut self, at_most: Duration) -> bool {
        let Some(trigger) = &mut self.trigger else {
            tokio::time::sleep(at_most).await;
            return false;
        };
        match tokio::time::timeout(at_most, trigger.ready(Interest::PRIORITY)).await {
            Ok(Ok(mut ready)) => {
                ready.clear_ready();
                true
            }
            Ok(Err(_)) => {
                self.trigger = None;
                false
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str =
        "MemTotal:       24684432 kB\nMemFree:  1 kB\nMemAvailable:   2468440 kB\n";
    const PRESSURE: &str = "some avg10=12.34 avg60=0.15 avg300=0.15 total=27166605\n\
                            full avg10=0.50 avg60=0.13 avg300=0.13 total=12087436\n";

    #[test]
    fn reads_what_the_kernel_tells() {
        let memory = HostMemory::parse(MEMINFO, PRESSURE).unwrap();
        let expected = HostMemory {
            total_bytes: 24_684_432 * 1_024,
            available_bytes: 2_468_440 * 1_024,
            stalled_percent: 12,
        };
        assert_eq!(memory, expected);
        assert_eq!(HostMemory::parse(MEMINFO, "").unwrap().stalled_percent, 0);
        assert_eq!(HostMemory::parse("MemTotal: 1 kB\n", PRESSURE), None);
    }

    #[test]
    fn a_machine_is_short_when_little_is_left_or_little_and_tasks_wait() {
        let left = |available_bytes, stalled_percent| HostMemory {
            total_bytes: 100,
            available_bytes,
            stalled_percent,
        };
        assert!(left(4, 0).is_short(false));
        assert!(!left(19, 9).is_short(false));
        assert!(left(19, 10).is_short(false));
        assert!(left(19, 0).is_short(true));
        assert!(!left(20, 100).is_short(true));
    }

    #[test]
    fn knows_where_the_limits_of_its_groups_are() {
        let files = |line| -> Vec<String> {
            group_limits(line).into_iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a/b"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(files("5:memory:/"), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert!(files("3:cpu,cpuacct:/").is_empty());
    }
}
