//! Builds the jail around the calling process: what a sandbox can see and do.
//!
//! Runs in pid 1 of new namespaces, single-threaded, forked from the spawner. `prepare` and `fit` are one flat list of
//! steps, cut where it becomes known what the sandbox is for; the order matters, and each step says why it comes now.

mod mounts;
mod tmp_copy;

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_change, mount_remount, unmount,
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::CapabilitySet;

pub(crate) use mounts::{OpenedMount, PlannedMount, open_mounts};

use mounts::{attach, bind_proc, inside, make_symlink, mount_proc, mount_tmpfs, write_file};

use crate::cgroup::processes_max;
use crate::net;
use crate::order::RESOURCES;
use crate::protocol::{self, Failure, Go, Outfit, Tmp};
use crate::spec::Limits;
use crate::sys;

/// The ids a function runs under inside its user namespace: AWS's own.
pub(crate) const INSIDE_UID: u32 = 993;
pub(crate) const INSIDE_GID: u32 = 990;

/// Where the new root is put together. Only this mount namespace sees it there, and only until the pivot; any
/// directory that every Linux has would do.
const NEW_ROOT: &str = "/tmp";
/// Shared memory, bytes: enough for semaphores and queues. It is part of the cgroup's slack.
const SHM_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of `/tmp` that buy one inode. An inode costs kernel memory that the size does not count.
const TMP_BYTES_PER_INODE: u64 = 16 * 1024;
const TMP_INODES_MIN: u64 = 1_024;
const LISTEN_BACKLOG: i32 = 128;
const STACK_BYTES: u64 = 8 * 1024 * 1024;
const MEMLOCK_BYTES: u64 = 64 * 1024;
/// Not 0: that writes no file, but where the host has a handler program for crashes, the kernel would run it, as root
/// and outside of every limit, each time a function crashes. 1 is the kernel's own mark for "no handler either".
pub(crate) const CORE_BYTES: u64 = 1;
const SIGNALS_QUEUED_MAX: u64 = 4_096;
/// Limits of an ordinary user's sandbox, whose use counts against the user's own share: on most hosts 128 instances
/// for all that he runs.
const INOTIFY_LIMITS: [(&str, &str); 2] =
    [("/proc/sys/user/max_inotify_instances", "8"), ("/proc/sys/user/max_inotify_watches", "8192")];

/// A step of the jail that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub(crate) struct StepError {
    pub(crate) step: String,
    pub(crate) reason: String,
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::Step { step: error.step, reason: error.reason }
    }
}

/// What all jails of a host have in common. Made by the spawner before the fork.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) mounts: Vec<PlannedMount>,
    pub(crate) symlinks: Vec<(PathBuf, PathBuf)>,
    /// Generated files: path and contents.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Whether a range of ids is mapped, 0 among them, or only the function's own.
    pub(crate) id_range: bool,
}

/// Descriptors a jail is built with, all opened by the spawner.
#[derive(Debug)]
pub(crate) struct Tools {
    /// `tasks` files of v1 groups to enter.
    pub(crate) cgroup_doors: Vec<fs::File>,
    /// The plan's, in its order.
    pub(crate) mounts: Vec<OpenedMount>,
    pub(crate) status: OwnedFd,
}

/// Builds all of the jail around the calling process that is the same for every sandbox.
pub(crate) fn prepare(plan: &Plan, tools: &mut Tools) -> Result<(), StepError> {
    // Groups first: whatever is allocated from here on counts.
    for door in &mut tools.cgroup_doors {
        step("enter cgroup", door.write_all(b"0"))?;
    }
    // Now that the groups are final, so that the sandbox sees them as its root.
    step("unshare cgroup namespace", sys::unshare_cgroup())?;
    // Ids mean nothing before the spawner has written the maps; files made now would belong to nobody.
    wait_for(&Go::Mapped, &tools.status)?;
    // Become the namespace's root while there is set-up to do. Without a range the only mapped id is ours already.
    if plan.id_range {
        step("drop groups", rustix::thread::set_thread_groups(&[]))?;
        step("become root inside", sys::set_process_ids(0, 0))?;
    }
    // With the host's proc in sight, whose `user` directory shows the namespace of who looks. Kernels without
    // inotify have no such files.
    if !plan.id_range {
        for (path, limit) in INOTIFY_LIMITS {
            drop(fs::write(path, limit));
        }
    }
    step("set hostname", rustix::system::sethostname(b"localhost"))?;
    let root = Path::new(NEW_ROOT);
    make_root(root, plan, std::mem::take(&mut tools.mounts))?;
    let shm = root.join("dev/shm");
    step("make /dev/shm", fs::create_dir_all(&shm))?;
    mount_tmpfs("mount /dev/shm", &shm, &format!("size={SHM_BYTES},nr_inodes=1024,mode=1777"))?;
    step("make /tmp", fs::create_dir_all(root.join("tmp")))?;
    // While the host's proc is still in sight: the kernel gives a new one only to who can see one.
    mount_proc(root)?;
    enter_root(root)?;
    step("bring loopback up", net::loopback_up())
}

/// Makes a prepared jail the one of a certain sandbox, and gives up every right; gives the listening sockets, and `/tmp` if
/// that is lent.
///
/// `trees` are the sources of the outfit's mounts, then the directory to copy if there is one.
pub(crate) fn fit(
    outfit: &Outfit,
    mut trees: Vec<OwnedFd>,
    id_range: bool,
) -> Result<Vec<OwnedFd>, StepError> {
    let root = Path::new("/");
    let template = if outfit.tmp == Tmp::Copied { trees.pop() } else { None };
    for (number, mount) in OpenedMount::received(&outfit.mounts, trees)?.into_iter().enumerate() {
        attach(root, mount, number)?;
    }
    let inodes = (outfit.limits.tmp_bytes / TMP_BYTES_PER_INODE).max(TMP_INODES_MIN);
    let tmp = format!("size={},nr_inodes={inodes},mode=1777", outfit.limits.tmp_bytes);
    mount_tmpfs("mount /tmp", &root.join("tmp"), &tmp)?;
    if let Some(template) = template {
        step("copy /tmp", tmp_copy::copy(&template))?;
    }
    // Links after mounts: a mount must not be led astray by one.
    for (path, target) in &outfit.symlinks {
        make_symlink(path, target)?;
    }
    // Nothing more to create in the root itself.
    close_root()?;
    // Sockets while there are capabilities over the network namespace.
    let mut listeners = open_listeners(&outfit.listeners)?;
    if outfit.tmp == Tmp::Lent {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        listeners.push(step("lend /tmp", rustix::fs::open("/tmp", flags, Mode::empty()))?);
    }
    set_limits(&outfit.limits)?;
    drop_everything(id_range)?;
    // Last of all, since changing ids clears it: if the spawner dies, so do we, frozen or not.
    step(
        "set parent death signal",
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
    )?;
    Ok(listeners)
}

/// The view of a zygote, which lives in no sandbox: the same files at the same places, so that what it loads now is
/// what its forks would load.
pub(crate) fn build_for_zygote(plan: &Plan, mounts: Vec<OpenedMount>) -> Result<(), StepError> {
    let root = Path::new(NEW_ROOT);
    make_root(root, plan, mounts)?;
    let tmp = root.join("tmp");
    step("make /tmp", fs::create_dir_all(&tmp))?;
    mount_tmpfs("mount /tmp", &tmp, "size=16m,nr_inodes=1024,mode=1777")?;
    bind_proc(root)?;
    enter_root(root)?;
    close_root()
}

/// Puts a new root together at `root`: the plan's mounts, files and links.
fn make_root(root: &Path, plan: &Plan, mounts: Vec<OpenedMount>) -> Result<(), StepError> {
    // Before any mount, so that none of ours shows outside, and none of the host's arrives later.
    step(
        "make mounts private",
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
    )?;
    mount_tmpfs("mount new root", root, "size=1m,nr_inodes=4096,mode=755")?;
    for (number, mount) in mounts.into_iter().enumerate() {
        attach(root, mount, number)?;
    }
    for (path, contents) in &plan.files {
        write_file(&inside(root, path), contents)?;
    }
    // Links after mounts: a mount must not be led astray by one.
    for (path, target) in &plan.symlinks {
        make_symlink(&inside(root, path), target)?;
    }
    Ok(())
}

/// Makes `root` the root and lets go of the old one.
fn enter_root(root: &Path) -> Result<(), StepError> {
    step("enter new root", rustix::process::chdir(root))?;
    // Both arguments the same: the old root ends up on top of the new one, to be taken off there.
    step("pivot root", rustix::process::pivot_root(".", "."))?;
    step("detach old root", unmount(".", UnmountFlags::DETACH))?;
    step("enter new root", rustix::process::chdir("/"))
}

/// Makes the root itself read-only.
fn close_root() -> Result<(), StepError> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    step("make root read-only", mount_remount("/", flags, c""))
}

fn open_listeners(ports: &[u16]) -> Result<Vec<OwnedFd>, StepError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = || rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
    let mut listeners = Vec::new();
    for port in ports {
        let name = format!("listen on port {port}");
        let listener = step(&name, socket())?;
        step(&name, rustix::net::sockopt::set_socket_reuseaddr(&listener, true))?;
        let address = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, *port);
        step(&name, rustix::net::bind(&listener, &address))?;
        step(&name, rustix::net::listen(&listener, LISTEN_BACKLOG))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// What the kernel limits per process, soft and hard alike.
pub(crate) fn resource_limits(limits: &Limits) -> [(Resource, u64); RESOURCES] {
    [
        (Resource::Nofile, limits.files),
        // Counted per user namespace since Linux 5.14, so it bounds this sandbox alone, with or without a pids cgroup.
        (Resource::Nproc, u64::from(processes_max(limits))),
        // The filter keeps the function from changing it.
        (Resource::Core, CORE_BYTES),
        // Counted against the server's user as well, where that is an ordinary one.
        (Resource::Sigpending, SIGNALS_QUEUED_MAX),
        (Resource::Memlock, MEMLOCK_BYTES),
        (Resource::Stack, STACK_BYTES),
    ]
}

fn set_limits(limits: &Limits) -> Result<(), StepError> {
    for (resource, value) in resource_limits(limits) {
        // The host's hard limit cannot be raised from in here.
        let hard = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let value = Some(value.min(hard));
        step(
            "set rlimits",
            rustix::process::setrlimit(resource, Rlimit { current: value, maximum: value }),
        )?;
    }
    Ok(())
}

/// Gives up every right that building needed.
fn drop_everything(id_range: bool) -> Result<(), StepError> {
    // The bounding set while CAP_SETPCAP is still there: nothing executed later can gain a capability.
    drop_bounding_set()?;
    if id_range {
        step("become the function's user", sys::set_process_ids(INSIDE_UID, INSIDE_GID))?;
    }
    // Without a range the id did not change, so the capabilities have to be dropped by name.
    drop_capabilities()?;
    step("set no_new_privs", rustix::thread::set_no_new_privs(true))?;
    // Same user as the function: without this it could open our descriptors and memory.
    step("become undumpable", rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))
}

pub(crate) fn drop_bounding_set() -> Result<(), StepError> {
    keep_in_bounding_set(CapabilitySet::empty())
}

/// Nothing executed later can have more than `kept`.
pub(crate) fn keep_in_bounding_set(kept: CapabilitySet) -> Result<(), StepError> {
    for bit in (0..u64::BITS).filter(|bit| kept.bits() & (1 << bit) == 0) {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << bit,
        )) {
            Ok(()) => {}
            // Past the last capability this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return step("drop bounding set", Err(error)),
        }
    }
    Ok(())
}

pub(crate) fn drop_capabilities() -> Result<(), StepError> {
    step("clear ambient capabilities", rustix::thread::clear_ambient_capability_set())?;
    let none = rustix::thread::CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    step("drop capabilities", rustix::thread::set_capabilities(None, none))
}

pub(crate) fn wait_for(wanted: &Go, status: &OwnedFd) -> Result<(), StepError> {
    let (go, _) =
        step("wait for the spawner", protocol::receive::<Go>(status, RecvFlags::empty()))?;
    if go == *wanted { Ok(()) } else { Err(unexpected(&go)) }
}

/// Waits, as an empty shell does, for what the sandbox is to be.
pub(crate) fn wait_for_outfit(status: &OwnedFd) -> Result<(Outfit, Vec<OwnedFd>), StepError> {
    match step("wait for the spawner", protocol::receive::<Go>(status, RecvFlags::empty()))? {
        (Go::Fit(outfit), trees) => Ok((outfit, trees)),
        (other, _) => Err(unexpected(&other)),
    }
}

fn unexpected(go: &Go) -> StepError {
    StepError { step: "wait for the spawner".to_owned(), reason: format!("unexpected {go:?}") }
}

/// Names the step in the error.
pub(crate) fn step<T, E: std::fmt::Display>(
    name: &str,
    result: Result<T, E>,
) -> Result<T, StepError> {
    result.map_err(|error| StepError { step: name.to_owned(), reason: error.to_string() })
}
