//! Builds the jail around the calling process: what a sandbox can see and do.
//!
//! Runs in pid 1 of new namespaces, single-threaded, forked from the spawner. `build` is one flat list of steps; the
//! order matters, and each step says why it comes now.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::CapabilitySet;

use crate::cgroup::processes_max;
use crate::net;
use crate::protocol::{self, Failure, Go};
use crate::spec::Limits;
use crate::sys;

/// The ids a function runs under inside its user namespace: AWS's own.
pub(crate) const INSIDE_UID: u32 = 993;
pub(crate) const INSIDE_GID: u32 = 990;

/// Where the new root is put together. Only this mount namespace sees it there, and only until the pivot; any
/// directory that every Linux has would do, since the sources are opened before it is covered.
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

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOEXEC: u64 = 8;

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

/// What to build. Made by the spawner before the fork.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) limits: Limits,
    pub(crate) listeners: Vec<u16>,
    pub(crate) mounts: Vec<PlannedMount>,
    pub(crate) symlinks: Vec<(PathBuf, PathBuf)>,
    /// Generated files: path and contents.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Whether a range of ids is mapped, 0 among them, or only the function's own.
    pub(crate) id_range: bool,
}

#[derive(Debug)]
pub(crate) struct PlannedMount {
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) target: PathBuf,
    pub(crate) device: bool,
}

/// A planned mount whose sources are held as detached mounts, attributes set.
#[derive(Debug)]
pub(crate) struct OpenedMount {
    trees: Vec<OwnedFd>,
    target: PathBuf,
    is_dir: bool,
}

/// Descriptors a jail is built with, all opened by the spawner.
#[derive(Debug)]
pub(crate) struct Tools {
    /// `tasks` files of v1 groups to enter.
    pub(crate) cgroup_doors: Vec<fs::File>,
    /// None if the sources have to be opened inside, for want of privilege outside.
    pub(crate) mounts: Option<Vec<OpenedMount>>,
    pub(crate) status: OwnedFd,
}

impl OpenedMount {
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.trees.iter().map(AsRawFd::as_raw_fd)
    }
}

/// Builds the jail around the calling process; gives the listening sockets.
pub(crate) fn build(plan: &Plan, tools: &mut Tools) -> Result<Vec<OwnedFd>, StepError> {
    // Groups first: whatever is allocated from here on counts.
    for door in &mut tools.cgroup_doors {
        step("enter cgroup", door.write_all(b"0"))?;
    }
    // Now that the groups are final, so that the sandbox sees them as its root.
    step("unshare cgroup namespace", sys::unshare_cgroup())?;
    // Ids mean nothing before the spawner has written the maps; files made now would belong to nobody.
    wait_for(Go::Mapped, &tools.status)?;
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
    // Before any mount, so that none of ours shows outside, and none of the host's arrives later.
    step(
        "make mounts private",
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
    )?;
    // Sources before the new root covers anything they may lie under.
    let mounts = match tools.mounts.take() {
        Some(mounts) => mounts,
        None => open_mounts(&plan.mounts)?,
    };
    let root = Path::new(NEW_ROOT);
    mount_tmpfs("mount new root", root, "size=1m,nr_inodes=4096,mode=755")?;
    for (number, mount) in mounts.into_iter().enumerate() {
        attach(root, mount, number)?;
    }
    for (path, contents) in &plan.files {
        write_file(&inside(root, path), contents)?;
    }
    mount_own(root, &plan.limits)?;
    // While the host's proc is still in sight: the kernel gives a new one only to who can see one.
    mount_proc(root)?;
    // Links after mounts: a mount must not be led astray by one.
    for (path, target) in &plan.symlinks {
        make_symlink(&inside(root, path), target)?;
    }
    // Nothing more to create in the root itself.
    let read_only = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    step("make root read-only", mount_remount(root, read_only, c""))?;
    pivot(root)?;
    // Sockets while there are capabilities over the network namespace.
    let listeners = open_listeners(&plan.listeners)?;
    set_limits(&plan.limits)?;
    drop_everything(plan.id_range)?;
    // Last of all, since changing ids clears it: if the spawner dies, so do we, frozen or not.
    step(
        "set parent death signal",
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
    )?;
    Ok(listeners)
}

/// Takes hold of the sources of `planned` as seen by the caller.
///
/// A privileged spawner does this itself, since the sandbox's ids may not walk the way to the sources.
pub(crate) fn open_mounts(planned: &[PlannedMount]) -> Result<Vec<OpenedMount>, StepError> {
    planned.iter().map(open_mount).collect()
}

fn open_mount(planned: &PlannedMount) -> Result<OpenedMount, StepError> {
    let name = format!("mount {}", planned.target.display());
    let Some(last) = planned.sources.last() else {
        return Err(StepError { step: name, reason: "no source".to_owned() });
    };
    let is_dir = step(&format!("{name}: look at {}", last.display()), fs::metadata(last))?.is_dir();
    // Files cannot be merged; the last one is the top.
    let sources = if is_dir { &planned.sources[..] } else { std::slice::from_ref(last) };
    let attributes = match planned.device {
        true => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        false => MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mut trees = Vec::new();
    for source in sources {
        let tree =
            step(&format!("{name}: open {}", source.display()), open_tree(CWD, source, flags))?;
        step(
            &format!("{name}: set attributes"),
            sys::mount_setattr(tree.as_fd(), attributes, true),
        )?;
        trees.push(tree);
    }
    Ok(OpenedMount { trees, target: planned.target.clone(), is_dir })
}

fn attach(root: &Path, opened: OpenedMount, number: usize) -> Result<(), StepError> {
    let name = format!("mount {}", opened.target.display());
    let target = inside(root, &opened.target);
    if !opened.is_dir {
        write_file(&target, "")?;
    } else {
        step(&name, fs::create_dir_all(&target))?;
    }
    if let [tree] = &opened.trees[..] {
        return step(&name, move_tree(tree, &target));
    }
    // Several sources: an overlay of them. It takes lower layers by path only, so each gets one for a moment.
    let mut layers = Vec::new();
    for (layer, tree) in opened.trees.iter().enumerate() {
        let path = root.join(format!(".layer-{number}-{layer}"));
        step(&name, fs::create_dir(&path))?;
        step(&name, move_tree(tree, &path))?;
        layers.push(path);
    }
    // The overlay lists its layers top first.
    let lower: Vec<String> = layers.iter().rev().map(|path| path.display().to_string()).collect();
    let options = format!("lowerdir={}", lower.join(":"));
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    let options = step(&name, std::ffi::CString::new(options))?;
    step(
        &format!("{name}: merge"),
        mount("overlay", &target, "overlay", flags, options.as_c_str()),
    )?;
    for path in layers {
        step(&name, unmount(&path, UnmountFlags::DETACH))?;
        step(&name, fs::remove_dir(&path))?;
    }
    Ok(())
}

fn move_tree(tree: &OwnedFd, target: &Path) -> rustix::io::Result<()> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// File systems of the sandbox's own: what a function may write to.
fn mount_own(root: &Path, limits: &Limits) -> Result<(), StepError> {
    let shm = root.join("dev/shm");
    step("make /dev/shm", fs::create_dir_all(&shm))?;
    mount_tmpfs("mount /dev/shm", &shm, &format!("size={SHM_BYTES},nr_inodes=1024,mode=1777"))?;
    let tmp = root.join("tmp");
    step("make /tmp", fs::create_dir_all(&tmp))?;
    let inodes = (limits.tmp_bytes / TMP_BYTES_PER_INODE).max(TMP_INODES_MIN);
    mount_tmpfs(
        "mount /tmp",
        &tmp,
        &format!("size={},nr_inodes={inodes},mode=1777", limits.tmp_bytes),
    )
}

fn mount_tmpfs(name: &str, target: &Path, options: &str) -> Result<(), StepError> {
    let options = step(name, std::ffi::CString::new(options))?;
    step(
        name,
        mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str()),
    )
}

/// Entries of `/proc` that tell about the machine or steer it. They take root, which nobody here is; hidden all the same.
const PROC_FILES_HIDDEN: [&str; 8] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
];
const PROC_DIRS_HIDDEN: [&str; 6] = ["acpi", "bus", "driver", "fs", "irq", "scsi"];

fn mount_proc(root: &Path) -> Result<(), StepError> {
    let proc = root.join("proc");
    step("make /proc", fs::create_dir_all(&proc))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    step("mount /proc", mount("proc", &proc, "proc", flags, None))?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    for name in PROC_FILES_HIDDEN {
        let target = proc.join(name);
        if target.exists() {
            let null = step("hide in /proc", open_tree(CWD, root.join("dev/null"), clone))?;
            step(&format!("hide /proc/{name}"), move_tree(&null, &target))?;
        }
    }
    for name in PROC_DIRS_HIDDEN {
        let target = proc.join(name);
        if target.exists() {
            let flags = flags | MountFlags::RDONLY;
            let options = c"size=4k,nr_inodes=2,mode=555";
            step(&format!("hide /proc/{name}"), mount("tmpfs", &target, "tmpfs", flags, options))?;
        }
    }
    let sys = proc.join("sys");
    let tree = step("make /proc/sys read-only", open_tree(CWD, &sys, clone))?;
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    step("make /proc/sys read-only", sys::mount_setattr(tree.as_fd(), attributes, false))?;
    step("make /proc/sys read-only", move_tree(&tree, &sys))
}

/// Makes `root` the root and lets go of the old one.
fn pivot(root: &Path) -> Result<(), StepError> {
    step("enter new root", rustix::process::chdir(root))?;
    // Both arguments the same: the old root ends up on top of the new one, to be taken off there.
    step("pivot root", rustix::process::pivot_root(".", "."))?;
    step("detach old root", unmount(".", UnmountFlags::DETACH))?;
    step("enter new root", rustix::process::chdir("/"))
}

fn open_listeners(ports: &[u16]) -> Result<Vec<OwnedFd>, StepError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = || rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
    step("bring loopback up", net::loopback_up())?;
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

fn set_limits(limits: &Limits) -> Result<(), StepError> {
    let wanted = [
        (Resource::Nofile, limits.files),
        // Counted per user namespace since Linux 5.14, so it bounds this sandbox alone, with or without a pids cgroup.
        (Resource::Nproc, u64::from(processes_max(limits))),
        // The filter keeps the function from changing it.
        (Resource::Core, CORE_BYTES),
        // Counted against the server's user as well, where that is an ordinary one.
        (Resource::Sigpending, SIGNALS_QUEUED_MAX),
        (Resource::Memlock, MEMLOCK_BYTES),
        (Resource::Stack, STACK_BYTES),
    ];
    for (resource, value) in wanted {
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
    for bit in 0..u64::BITS {
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

pub(crate) fn wait_for(wanted: Go, status: &OwnedFd) -> Result<(), StepError> {
    let (go, _) =
        step("wait for the spawner", protocol::receive::<Go>(status, RecvFlags::empty()))?;
    if go == wanted {
        return Ok(());
    }
    Err(StepError {
        step: "wait for the spawner".to_owned(),
        reason: format!("{go:?} instead of {wanted:?}"),
    })
}

/// Names the step in the error.
pub(crate) fn step<T, E: std::fmt::Display>(
    name: &str,
    result: Result<T, E>,
) -> Result<T, StepError> {
    result.map_err(|error| StepError { step: name.to_owned(), reason: error.to_string() })
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn write_file(path: &Path, contents: &str) -> Result<(), StepError> {
    let name = format!("make {}", path.display());
    if let Some(parent) = path.parent() {
        step(&name, fs::create_dir_all(parent))?;
    }
    step(&name, fs::write(path, contents))?;
    step(&name, fs::set_permissions(path, fs::Permissions::from_mode(0o644)))
}

fn make_symlink(path: &Path, target: &Path) -> Result<(), StepError> {
    let name = format!("link {}", path.display());
    if let Some(parent) = path.parent() {
        step(&name, fs::create_dir_all(parent))?;
    }
    step(&name, symlink(target, path))
}
