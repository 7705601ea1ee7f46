//! Fills the `/tmp` of a restored sandbox with what its template's held.
//!
//! What is copied is the function's own and hostile: nothing in it is followed, and it is no more than what fits.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::{INSIDE_GID, INSIDE_UID};

/// Directories below each other; what lies deeper is left out.
const DEPTH_MAX: usize = 64;
const TMP: &str = "/tmp";

/// Copies what is in `from`. As the namespace's root, or as the function's user where that is all there is.
pub(super) fn copy(from: &OwnedFd) -> Result<(), Errno> {
    let into = rustix::fs::openat(CWD, TMP, directory_flags(), Mode::empty())?;
    copy_directory(from, &into, DEPTH_MAX)
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW
}

fn copy_directory(from: &OwnedFd, into: &OwnedFd, depth: usize) -> Result<(), Errno> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, into, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, into: &OwnedFd, name: &CStr, depth: usize) -> Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if depth > 0 => {
            let inner = rustix::fs::openat(from, name, directory_flags(), Mode::empty())?;
            rustix::fs::mkdirat(into, name, Mode::from_raw_mode(0o700))?;
            let copy = rustix::fs::openat(into, name, directory_flags(), Mode::empty())?;
            copy_directory(&inner, &copy, depth - 1)?;
            finish(&copy, &stat, mode)
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let original = rustix::fs::openat(from, name, flags, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let copy = rustix::fs::openat(into, name, flags, Mode::from_raw_mode(0o600))?;
            copy_contents(&original, &copy, u64::try_from(stat.st_size).unwrap_or(0))?;
            finish(&copy, &stat, mode)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, into, name)?;
            let (uid, gid) = owner();
            rustix::fs::chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        }
        FileType::Fifo => {
            rustix::fs::mknodat(into, name, FileType::Fifo, mode, 0)?;
            let (uid, gid) = owner();
            rustix::fs::chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        }
        // A socket is nothing without who listens on it.
        _ => Ok(()),
    }
}

/// Holes stay holes.
fn copy_contents(original: &OwnedFd, copy: &OwnedFd, bytes: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(copy, bytes)?;
    let mut at = 0;
    while at < bytes {
        let data = match rustix::fs::seek(original, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error),
        };
        let hole = rustix::fs::seek(original, SeekFrom::Hole(data))?;
        rustix::fs::seek(copy, SeekFrom::Start(data))?;
        let mut from = data;
        while from < hole {
            let length = usize::try_from(hole - from).unwrap_or(usize::MAX);
            if rustix::fs::sendfile(copy, original, Some(&mut from), length)? == 0 {
                break;
            }
        }
        at = hole;
    }
    Ok(())
}

/// Owner, rights and times, which writing has changed.
fn finish(copy: &OwnedFd, stat: &Stat, mode: Mode) -> Result<(), Errno> {
    let (uid, gid) = owner();
    rustix::fs::fchown(copy.as_fd(), Some(uid), Some(gid))?;
    rustix::fs::fchmod(copy, mode)?;
    // To the second, as far as all platforms agree on the types.
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: 0 },
    };
    rustix::fs::futimens(copy, &times)
}

/// All that a template could write belongs to its function.
fn owner() -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(INSIDE_UID), rustix::fs::Gid::from_raw(INSIDE_GID))
}
