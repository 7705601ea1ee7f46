//! The system calls no safe library wraps. All other files but `launch` (a hook between fork
//! and exec) are safe code.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};
use rustix::process::Pid;

use crate::order;

/// Which side of a fork or clone this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Child,
    Parent(Pid),
}

/// Every namespace a sandbox has of its own.
pub(crate) const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// libc's constant of this name has overflowed to 0.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into new namespaces and, if given, straight into a cgroup.
///
/// Must be called from a single-threaded process: the child goes on running ordinary code.
pub(crate) fn clone_into(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    // SAFETY: all-zero is a valid `clone_args`; it has integer fields only.
    // JUSTIFICATION: libc gives the struct no constructor and adds fields over time.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no stack, so this is a fork: the child has its own copy of all memory. The caller is
    // single-threaded, so no lock is held by a thread that the child lacks.
    // JUSTIFICATION: no library offers clone3, and fork cannot create namespaces or enter a cgroup at birth.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    side(pid)
}

/// As `clone_into`, but of a child of the caller's parent.
pub(crate) fn clone_sibling(namespaces: u64) -> Result<Side> {
    // SAFETY: as in `clone_into`.
    // JUSTIFICATION: as in `clone_into`.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    // The signal at its end is the caller's own, and may not be named.
    args.flags = namespaces | libc::CLONE_PARENT as u64;
    // SAFETY: as in `clone_into`.
    // JUSTIFICATION: as in `clone_into`.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    side(pid)
}

/// `clone_into`, with `owner` as the owner of the new user namespace.
///
/// The kernel counts some of what a namespace's processes use (inotify instances, queued signals) against the
/// namespace's owner, too. That must not be root, whose share the machine's own services need.
pub(crate) fn clone_owned_by(
    owner: Option<u32>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Side> {
    let Some(owner) = owner else { return clone_into(namespaces, cgroup) };
    // Otherwise the capabilities would be lost on the way, CAP_SYS_ADMIN for the cgroup among them.
    let kept = rustix::thread::CapabilitiesSecureBits::NO_SETUID_FIXUP;
    rustix::thread::set_capabilities_secure_bits(kept)?;
    set_effective_uid(owner)?;
    let side = clone_into(namespaces, cgroup);
    // The child's securebits are new with its namespace, and it sets its own ids.
    if !matches!(side, Ok(Side::Child)) {
        set_effective_uid(0)?;
    }
    side
}

/// The calling thread's, which is the only one.
fn set_effective_uid(uid: u32) -> Result<()> {
    const KEEP: u32 = u32::MAX;
    // SAFETY: touches no memory.
    // JUSTIFICATION: rustix's wrapper takes no "keep" for the other two ids.
    check(unsafe { libc::setresuid(KEEP, uid, KEEP) }.into())
}

/// Plain fork. Must be called from a single-threaded process.
pub(crate) fn fork() -> Result<Side> {
    // SAFETY: the caller is single-threaded, so the child may run any code.
    // JUSTIFICATION: rustix offers no fork, since it cannot check for threads.
    side(i64::from(unsafe { libc::fork() }))
}

fn side(pid: i64) -> Result<Side> {
    check(pid)?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(pid.map_or(Side::Child, Side::Parent))
}

/// Leaves at once, without destructors or `atexit`: a forked child shares both with its parent.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    // JUSTIFICATION: `std::process::exit` runs handlers that belong to the parent.
    unsafe { libc::_exit(code) }
}

/// Replaces the process image. Returns only on failure.
pub(crate) fn execve(path: &CString, argv: &[CString], env: &[CString]) -> Errno {
    let argv = pointers(argv);
    let env = pointers(env);
    // SAFETY: both arrays end in a null pointer and outlive the call, as do the strings they point to.
    // JUSTIFICATION: rustix's execve is unsafe as well and hidden; std's `Command` forks.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    last_errno()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Makes `target` another name of `fd`, inherited over exec.
pub(crate) fn dup_to(fd: RawFd, target: RawFd) -> Result<()> {
    // SAFETY: `dup2` touches no memory; the caller owns both numbers as it is about to exec.
    // JUSTIFICATION: rustix wants an `OwnedFd` for the target, which would close it on drop.
    check(unsafe { libc::dup2(fd, target) }.into())
}

/// As `dup_to`, also if `fd` is `target` already but closes on exec.
pub(crate) fn hand_over(fd: RawFd, target: RawFd) -> Result<()> {
    if fd != target {
        return dup_to(fd, target);
    }
    // SAFETY: F_SETFD touches no memory.
    // JUSTIFICATION: rustix wants a borrowed descriptor, whose owner is not at hand between fork and exec.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into())
}

/// Takes over a descriptor that was inherited over exec under a fixed number.
pub(crate) fn inherited(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_GETFD touches no memory.
    // JUSTIFICATION: whether the number is open must be known before an `OwnedFd` may be made of it.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }.into())?;
    // SAFETY: open, as just checked, and by contract of the caller nobody else's.
    // JUSTIFICATION: descriptors inherited over exec arrive as bare numbers.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Numbers below this are held back for what a child of the spawner has to place there.
pub(crate) const LOW_DESCRIPTORS: u32 = order::LOW_DESCRIPTORS.unsigned_abs();

/// Occupies the free numbers below `LOW_DESCRIPTORS` with `filler` and copies of it for good, so that no real
/// descriptor ever has a number that is someone's place after exec.
pub(crate) fn hold_low_descriptors(filler: OwnedFd) -> Result<()> {
    loop {
        let copy = rustix::io::fcntl_dupfd_cloexec(&filler, 3)?;
        if copy.as_raw_fd().unsigned_abs() >= LOW_DESCRIPTORS {
            break;
        }
        // Never closed: that is the purpose.
        let _held = copy.into_raw_fd();
    }
    let _held = filler.into_raw_fd();
    Ok(())
}

/// Closes every descriptor from `first` on but those of `keep`. What held the others must never be dropped afterwards.
pub(crate) fn close_all_but(first: u32, keep: &[RawFd]) -> Result<()> {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut next = first;
    for fd in keep {
        if fd > next {
            close_range(next, fd - 1)?;
        }
        next = fd + 1;
    }
    close_range(next, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: touches no memory; the callers (forked children that never return) drop no owner of a closed number.
    // JUSTIFICATION: no library wraps close_range.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// Sets attributes such as `MOUNT_ATTR_RDONLY` on a mount, and on all below it if `recursive`.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and `attr` a valid struct of the size given; both outlive the call.
    // JUSTIFICATION: rustix 1.1 does not wrap mount_setattr.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })
}

/// Blocks `signals` and gives a descriptor on which they arrive.
pub(crate) fn signal_fd(signals: &[libc::c_int]) -> Result<OwnedFd> {
    let set = signal_set(signals);
    block(&set, libc::SIG_BLOCK)?;
    // SAFETY: `set` is an initialised signal set that outlives the call; -1 asks for a new descriptor.
    // JUSTIFICATION: rustix does not wrap signalfd.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd.into())?;
    // SAFETY: a fresh descriptor that nothing else owns.
    // JUSTIFICATION: signalfd gives a bare number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What `exec` must not inherit of our signal set-up: nothing blocked, nothing ignored.
pub(crate) fn reset_signals() -> Result<()> {
    // Zero in the handler is SIG_DFL, whatever order the architecture keeps the fields in.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: `default` is as large as the kernel's `sigaction` and outlives the call; a null old action is
        // allowed. SIGKILL and SIGSTOP answer EINVAL.
        // JUSTIFICATION: libc's wrapper refuses the signals it uses itself, which may be ignored just as well.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8,
            )
        };
    }
    block(&signal_set(&[]), libc::SIG_SETMASK)
}

fn block(set: &libc::sigset_t, how: libc::c_int) -> Result<()> {
    // SAFETY: `set` is initialised and outlives the call; a null old set is allowed.
    // JUSTIFICATION: rustix does not wrap sigprocmask.
    let result = unsafe { libc::sigprocmask(how, set, std::ptr::null_mut()) };
    check(result.into())
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: all-zero is a valid bit pattern for the plain-integer `sigset_t`, and sigemptyset initialises it anyway.
    // JUSTIFICATION: libc has no safe constructor for it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writes.
    // JUSTIFICATION: signal sets are only made by these functions.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: `set` is initialised; a bad number only answers EINVAL.
        // JUSTIFICATION: as above.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

/// Signals every process of the own pid namespace but pid 1 and the caller. Only meaningful in pid 1.
pub(crate) fn signal_everyone_else(signal: libc::c_int) -> Result<()> {
    // SAFETY: kill touches no memory; -1 is bounded by the pid namespace.
    // JUSTIFICATION: rustix's `Pid` cannot say -1.
    match check(unsafe { libc::kill(-1, signal) }.into()) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}

/// Gives the caller a cgroup namespace rooted at its present cgroups.
pub(crate) fn unshare_cgroup() -> Result<()> {
    // SAFETY: touches no memory; a cgroup namespace does not share descriptors or memory with anything.
    // JUSTIFICATION: rustix marks unshare unsafe as a whole, for CLONE_FILES.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())
}

/// Makes the caller the administrator of a user namespace of its own, in which its ids are what they were, with a mount
/// namespace to take hold of mounts in.
///
/// An ordinary user's zygotes and sandboxes have this one namespace above them: so a zygote may enter a sandbox's.
pub(crate) fn enter_own_user_namespace() -> std::io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: touches no memory; the caller is single-threaded.
    // JUSTIFICATION: rustix marks unshare unsafe as a whole, for CLONE_FILES.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) }.into())?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    // Mounting is all that is needed of it, and giving up the rest for others.
    let kept = rustix::thread::CapabilitySet::SYS_ADMIN | rustix::thread::CapabilitySet::SETPCAP;
    let mounting = rustix::thread::CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: rustix::thread::CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, mounting)?;
    Ok(())
}

/// The process-wide (not only the thread's) ids.
pub(crate) fn set_process_ids(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: touches no memory.
    // JUSTIFICATION: rustix sets one thread's ids only; libc's wrapper reaches all threads.
    check(unsafe { libc::setresgid(gid, gid, gid) }.into())?;
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    check(unsafe { libc::setresuid(uid, uid, uid) }.into())
}

/// For calls whose failure changes nothing; the comment at the call says why.
pub(crate) fn best_effort<T>(_result: Result<T>) {}

fn check(result: i64) -> Result<()> {
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
