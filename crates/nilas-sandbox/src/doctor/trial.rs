//! Makes each namespace and mount a sandbox needs, in a child that ends at once and takes them along.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, write};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// What worked. Each failure carries the kernel's reason.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) namespaces: Vec<(&'static str, io::Result<()>)>,
    pub(super) proc: io::Result<()>,
    pub(super) overlay: io::Result<()>,
}

/// In the order the child makes them: the user namespace gives it the privilege for all others.
const NAMESPACES: [(&str, UnshareFlags); 7] = [
    ("user", UnshareFlags::NEWUSER),
    ("mount", UnshareFlags::NEWNS),
    ("pid", UnshareFlags::NEWPID),
    ("net", UnshareFlags::NEWNET),
    ("ipc", UnshareFlags::NEWIPC),
    ("uts", UnshareFlags::NEWUTS),
    ("cgroup", UnshareFlags::NEWCGROUP),
];

/// One errno a step, zero for success: the namespaces, then proc, then overlay.
type Errnos = [i32; NAMESPACES.len() + 2];
const MOUNT: usize = 1;
const PROC: usize = NAMESPACES.len();
const OVERLAY: usize = NAMESPACES.len() + 1;
const BYTES: usize = size_of::<Errnos>();

pub(super) fn run() -> Report {
    let errnos = try_all()
        .unwrap_or_else(|error| [error.raw_os_error().unwrap_or(libc::EIO); NAMESPACES.len() + 2]);
    let result = |at: usize| {
        if errnos[at] == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errnos[at])) }
    };
    Report {
        namespaces: NAMESPACES
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (*name, result(at)))
            .collect(),
        proc: result(PROC),
        overlay: result(OVERLAY),
    }
}

fn try_all() -> io::Result<Errnos> {
    let uid_map = format!("0 {} 1", rustix::process::geteuid().as_raw());
    let gid_map = format!("0 {} 1", rustix::process::getegid().as_raw());
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: the child calls nothing that allocates or locks: system calls on prepared arguments, then _exit.
    // JUSTIFICATION: a process cannot leave a user namespace, so another one must try it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        in_child(&writer, uid_map.as_bytes(), gid_map.as_bytes());
    }
    let child = Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error)?;
    drop(writer);
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        match read(&reader, &mut bytes[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    waitpid(Some(child), WaitOptions::empty())?;
    if filled < BYTES {
        return Err(io::Error::from_raw_os_error(libc::EPIPE));
    }
    let mut errnos = [0; NAMESPACES.len() + 2];
    for (errno, field) in errnos.iter_mut().zip(bytes.chunks_exact(4)) {
        *errno = i32::from_ne_bytes([field[0], field[1], field[2], field[3]]);
    }
    Ok(errnos)
}

fn in_child(writer: &OwnedFd, uid_map: &[u8], gid_map: &[u8]) -> ! {
    let mut errnos: Errnos = [0; NAMESPACES.len() + 2];
    for (at, (_, flag)) in NAMESPACES.iter().enumerate() {
        // SAFETY: the process has one thread and shares no memory; file descriptors stay valid.
        // JUSTIFICATION: rustix marks every `unshare` as unsafe.
        let made = unsafe { unshare_unsafe(*flag) };
        errnos[at] = errno(made);
        if at == 0 && errnos[0] == 0 {
            errnos[0] = errno(map_ids(uid_map, gid_map));
        }
    }
    // Without a mount namespace of its own, the child's mounts would be the host's.
    let own_mounts = errnos[MOUNT];
    if own_mounts == 0 {
        errnos[OVERLAY] = errno(try_overlay());
        errnos[PROC] = errno(try_proc());
    } else {
        errnos[OVERLAY] = own_mounts;
        errnos[PROC] = own_mounts;
    }
    let mut bytes = [0; BYTES];
    for (field, errno) in bytes.chunks_exact_mut(4).zip(errnos) {
        field.copy_from_slice(&errno.to_ne_bytes());
    }
    let code = i32::from(write(writer, &bytes).is_err());
    // SAFETY: ends the process at once, running no destructors of the parent's.
    // JUSTIFICATION: `std::process::exit` runs handlers registered in the parent.
    unsafe { libc::_exit(code) }
}

/// Two read-only layers merged, as for a function with layers. All on a tmpfs that only this process sees.
fn try_overlay() -> Result<(), Errno> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount(c"tmpfs", c"/tmp", c"tmpfs", MountFlags::empty(), None)?;
    for directory in [c"/tmp/lower", c"/tmp/upper", c"/tmp/merged", c"/tmp/proc"] {
        rustix::fs::mkdir(directory, Mode::RWXU)?;
    }
    mount(
        c"overlay",
        c"/tmp/merged",
        c"overlay",
        MountFlags::RDONLY,
        c"lowerdir=/tmp/upper:/tmp/lower",
    )
}

/// A new pid namespace begins with the next child, and only from within it can its /proc be mounted.
fn try_proc() -> Result<(), Errno> {
    // SAFETY: as for the first fork: nothing but system calls follows in the child.
    // JUSTIFICATION: no other way into the new pid namespace.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mounted = mount(c"proc", c"/tmp/proc", c"proc", MountFlags::empty(), None);
        // SAFETY: ends the process at once, running no destructors of the parent's.
        // JUSTIFICATION: `std::process::exit` runs handlers registered in the parent.
        unsafe { libc::_exit(errno(mounted)) }
    }
    let child = Pid::from_raw(child).filter(|_| child > 0).ok_or(Errno::AGAIN)?;
    let status =
        waitpid(Some(child), WaitOptions::empty())?.and_then(|(_, status)| status.exit_status());
    match status {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(errno)),
        None => Err(Errno::INTR),
    }
}

fn map_ids(uid_map: &[u8], gid_map: &[u8]) -> Result<(), Errno> {
    // An ordinary user may map a group only after giving up setgroups.
    write_file(c"/proc/self/setgroups", b"deny")?;
    write_file(c"/proc/self/uid_map", uid_map)?;
    write_file(c"/proc/self/gid_map", gid_map)
}

fn write_file(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, text)?;
    Ok(())
}

fn errno(result: Result<(), Errno>) -> i32 {
    result.err().map_or(0, Errno::raw_os_error)
}
