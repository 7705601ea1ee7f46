//! One fork: from the booted interpreter into the namespaces of a sandbox whose pid 1 waits for it.
//!
//! ```text
//! zygote ──borrow──► helper 1 ──borrow──► helper 2 ──fork──► child
//!   waits             joins the user       is in the pid       joins the rest, drops
//!                     and pid namespace    namespace; ends     every right, goes on
//! ```
//!
//! The zygote itself joins nothing and stays what it was. A user namespace gives its capabilities to whom joins it, and
//! a pid namespace takes in only who is born after the joining; so it takes one helper for each. When the second one
//! ends, the child's parent is the sandbox's pid 1, as if that had started it.
//!
//! A template is forked in the same way. It is a function's own process, without any right; it may join the namespaces of
//! sandboxes that were made for it, since they are below its own and belong to its user.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use crate::descriptors::{Held, Pairs};
use crate::order::{
    ForkOrder, INSTRUCTION_BYTES, Kind, LOW_DESCRIPTORS, PLACES, Place, REPORT_BYTES,
    REPORT_FAILED, REPORT_FORKED, REPORT_RUNNING, Step,
};
use crate::vfork;

/// Most descriptors of one order.
pub(crate) const DESCRIPTORS_MAX: usize = PLACES + 8;

/// Numbers below this are the child's.
pub(crate) const PLACED: RawFd = 5;

/// Everything a fork needs, prepared before the first helper exists.
pub(crate) struct Birth<'a> {
    pub(crate) order: ForkOrder,
    pub(crate) descriptors: &'a [RawFd],
    pub(crate) filters: &'a [Vec<u8>],
    /// What the interpreter had blocked.
    pub(crate) blocked: libc::sigset_t,
    /// Of a template: its sockets that are each other's ends.
    pub(crate) pairs: &'a Pairs,
}

/// Which process this is afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Zygote,
    Child,
}

/// A step that failed, and why.
type Failed = (Step, c_int);

/// Forks. What fails is told to the sandbox's pid 1, not here.
pub(crate) fn fork(birth: &Birth<'_>) -> Side {
    let group = birth.order.group.then(|| birth.descriptors[PLACES]);
    let mut cx = Helpers { birth, group };
    // SAFETY: the helpers below keep to what `borrow` asks, and `cx` lives until they have ended.
    // JUSTIFICATION: see `vfork`.
    let pid = unsafe { vfork::borrow(join_namespaces, (&raw mut cx).cast(), None) };
    if pid == 0 {
        let result = become_child(birth);
        if let Err(failed) = result {
            fail(birth, failed);
        }
        report(birth, REPORT_RUNNING, 0);
        close(birth.descriptor(Place::Report));
        return Side::Child;
    }
    match c_int::try_from(pid) {
        // SAFETY: a null status is allowed.
        // JUSTIFICATION: this file is built without a library of safe system calls.
        Ok(pid) if pid > 0 => drop(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }),
        failed => {
            let errno = failed.map_or(libc::EAGAIN, |failed| -failed);
            report(birth, REPORT_FAILED + Step::Clone as i32, errno);
        }
    }
    Side::Zygote
}

struct Helpers<'a, 'b> {
    birth: &'a Birth<'b>,
    group: Option<RawFd>,
}

/// The first helper.
unsafe extern "C" fn join_namespaces(argument: *mut c_void) {
    // SAFETY: `fork` passes a `Helpers`, which it keeps.
    // JUSTIFICATION: see `vfork`.
    let cx = unsafe { &*argument.cast::<Helpers<'_, '_>>() };
    let joined = join(cx.birth, Place::User, libc::CLONE_NEWUSER, Step::JoinUser)
        .and_then(|()| join(cx.birth, Place::Pid, libc::CLONE_NEWPID, Step::JoinPid));
    if let Err(failed) = joined {
        fail(cx.birth, failed);
    }
    // SAFETY: as in `fork`.
    // JUSTIFICATION: as in `fork`.
    let pid = unsafe { vfork::borrow(fork_child, argument, cx.group) };
    if pid == 0 {
        return;
    }
    match c_int::try_from(pid) {
        // SAFETY: as in `fork`.
        // JUSTIFICATION: as in `fork`.
        Ok(pid) if pid > 0 => drop(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }),
        failed => fail(cx.birth, (Step::Clone, failed.map_or(libc::EAGAIN, |failed| -failed))),
    }
    end(0)
}

/// The second helper, which is in the pid namespace and in the cgroup.
unsafe extern "C" fn fork_child(argument: *mut c_void) {
    // SAFETY: as in `join_namespaces`.
    // JUSTIFICATION: see `vfork`.
    let cx = unsafe { &*argument.cast::<Helpers<'_, '_>>() };
    // libc's own, unlike everywhere else: the child goes on as an ordinary program, so the library's locks, its list of
    // threads and its idea of the own thread id have to be put in order.
    // SAFETY: the zygote has one thread that runs, which waits for us; no lock is held.
    // JUSTIFICATION: see `vfork`.
    match unsafe { libc::fork() } {
        0 => {}
        pid if pid > 0 => {
            report(cx.birth, REPORT_FORKED, pid);
            end(0)
        }
        _ => fail(cx.birth, (Step::Fork, errno())),
    }
}

/// The rest, in the child's own memory. The order is the jail's: see `jail::fit` and `init::become_main` of nilas-sandbox.
fn become_child(birth: &Birth<'_>) -> Result<(), Failed> {
    let order = &birth.order;
    let restored = order.kind == Kind::Restored;
    if restored {
        // Joining a user namespace has made this process one that may not even look at itself.
        // SAFETY: touches no memory.
        // JUSTIFICATION: this file is built without a library of safe system calls.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    }
    // While the old view is there, in which files have the names they were opened by.
    let held = restored.then(|| Held::take(birth.descriptors, birth.pairs));
    // Groups first: whatever is allocated from here on counts.
    let first_door = order.first_door();
    for door in &birth.descriptors[first_door..first_door + usize::from(order.doors)] {
        // SAFETY: one byte of a static string.
        // JUSTIFICATION: this file is built without a library of safe system calls.
        done(unsafe { libc::write(*door, c"0".as_ptr().cast(), 1) as i64 }, Step::EnterCgroup)?;
    }
    for (place, kind, step) in [
        (Place::Mount, libc::CLONE_NEWNS, Step::JoinMount),
        (Place::Network, libc::CLONE_NEWNET, Step::JoinNetwork),
        (Place::Ipc, libc::CLONE_NEWIPC, Step::JoinIpc),
        (Place::Uts, libc::CLONE_NEWUTS, Step::JoinUts),
        (Place::Cgroup, libc::CLONE_NEWCGROUP, Step::JoinCgroup),
    ] {
        join(birth, place, kind, step)?;
    }
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    done(unsafe { libc::setsid() }.into(), Step::Session)?;
    place_descriptors(birth)?;
    drop_rights(order)?;
    if let Some(held) = held {
        held.restore().map_err(|errno| (Step::Restore, errno))?;
    }
    for filter in birth.filters {
        install(filter)?;
    }
    // SAFETY: an initialised set; a null old set is allowed.
    // JUSTIFICATION: as above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const birth.blocked, std::ptr::null_mut()) };
    Ok(())
}

fn place_descriptors(birth: &Birth<'_>) -> Result<(), Failed> {
    for (place, number) in [
        (Place::Null, 0),
        (Place::Output, 1),
        (Place::Output, 2),
        (Place::Channel, Place::CHANNEL),
        (Place::Telemetry, 4),
    ] {
        // The third is the zygote's own connection to the spawner, which ends here for the child.
        // SAFETY: touches no memory. Received descriptors have numbers above these, which the zygote holds open.
        // JUSTIFICATION: as above.
        done(unsafe { libc::dup2(birth.descriptor(place), number) }.into(), Step::Descriptors)?;
    }
    if birth.order.kind != Kind::Restored {
        // What kept these places free in the zygote.
        for number in PLACED..LOW_DESCRIPTORS {
            close(number);
        }
    }
    let kept =
        [Some(birth.descriptor(Place::Report)), Some(birth.descriptor(Place::Go)), birth.control()];
    birth
        .descriptors
        .iter()
        .filter(|descriptor| !kept.contains(&Some(**descriptor)))
        .for_each(|fd| close(*fd));
    Ok(())
}

/// By bare system calls: libc's wrappers would ask all threads it remembers to change too.
fn drop_rights(order: &ForkOrder) -> Result<(), Failed> {
    const CAPABILITY_VERSION: u32 = 0x2008_0522;
    for bit in 0..64_u64 {
        // SAFETY: touches no memory.
        // JUSTIFICATION: as above.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, bit, 0, 0, 0) } != 0 {
            break;
        }
    }
    let (uid, gid) = (order.uid, order.gid);
    if order.change_ids {
        // SAFETY: an empty list; the rest touches no memory.
        // JUSTIFICATION: as above.
        unsafe {
            done(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()), Step::Ids)?;
            done(libc::syscall(libc::SYS_setresgid, gid, gid, gid), Step::Ids)?;
            done(libc::syscall(libc::SYS_setresuid, uid, uid, uid), Step::Ids)?;
        }
    }
    let header = [CAPABILITY_VERSION, 0];
    let none = [0_u32; 6];
    // SAFETY: the structures of version 3 are two and six words; they outlive the call.
    // JUSTIFICATION: as above.
    unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        let dropped = libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr());
        done(dropped, Step::Capabilities)?;
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into(), Step::Privileges)?;
        // What exec does to a plainly started function: its own files in /proc belong to it.
        done(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0).into(), Step::Privileges)
    }
}

fn install(filter: &[u8]) -> Result<(), Failed> {
    let length = filter.len() / INSTRUCTION_BYTES;
    let program = libc::sock_fprog {
        len: u16::try_from(length).map_err(|_| (Step::Filter, libc::EINVAL))?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the kernel copies `length` instructions, which `filter` holds. Their alignment does not matter to it.
    // JUSTIFICATION: as above.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) };
    done(installed.into(), Step::Filter)
}

impl Birth<'_> {
    pub(crate) fn descriptor(&self, place: Place) -> RawFd {
        self.descriptors[place as usize]
    }

    /// A template's connection to the spawner.
    pub(crate) fn control(&self) -> Option<RawFd> {
        (self.order.kind == Kind::Template).then(|| self.descriptors[self.order.descriptors() - 1])
    }
}

fn join(birth: &Birth<'_>, place: Place, kind: c_int, step: Step) -> Result<(), Failed> {
    // SAFETY: touches no memory.
    // JUSTIFICATION: this file is built without a library of safe system calls.
    done(unsafe { libc::setns(birth.descriptor(place), kind) }.into(), step)
}

fn report(birth: &Birth<'_>, what: i32, value: i32) {
    let mut bytes = [0; REPORT_BYTES];
    bytes[..4].copy_from_slice(&what.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_le_bytes());
    // If pid 1 is gone, so is the sandbox.
    // SAFETY: the buffer is valid for its length.
    // JUSTIFICATION: as above.
    unsafe { libc::write(birth.descriptor(Place::Report), bytes.as_ptr().cast(), bytes.len()) };
}

fn fail(birth: &Birth<'_>, (step, errno): Failed) -> ! {
    report(birth, REPORT_FAILED + step as i32, errno);
    end(1)
}

fn end(code: c_int) -> ! {
    // SAFETY: no preconditions.
    // JUSTIFICATION: destructors and handlers belong to the zygote.
    unsafe { libc::_exit(code) }
}

pub(crate) fn close(descriptor: RawFd) {
    // SAFETY: the caller owns the number and forgets it.
    // JUSTIFICATION: as above.
    unsafe { libc::close(descriptor) };
}

fn done(result: i64, step: Step) -> Result<(), Failed> {
    if result < 0 { Err((step, errno())) } else { Ok(()) }
}

fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
