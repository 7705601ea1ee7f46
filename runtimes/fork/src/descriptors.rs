//! The open descriptors of a fork of a template: what must not be shared with its siblings is made anew.
//!
//! Numbers, flags and contents stay; what is behind them becomes the fork's own. A connection is not restored, as on AWS
//! (see "Lambda SnapStart", "Networking"): whoever uses it finds that the other end has closed it. What is not known here
//! stays as it is, which is right for whatever has no state.

mod kinds;
mod pairs;

use std::ffi::c_int;
use std::fs;
use std::os::fd::RawFd;

use kinds::{Kind, errno};
pub(crate) use pairs::Pairs;

use crate::fork::{PLACED, close};

/// Descriptors looked at: as many as a function may have.
const HELD_MAX: usize = 4_096;

/// What a fork has inherited, found out while it still sees what its template saw.
pub(crate) struct Held {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    fd: RawFd,
    /// `FD_CLOEXEC` or 0.
    descriptor_flags: c_int,
    /// As `F_GETFL` gives them.
    status_flags: c_int,
    kind: Kind,
}

impl Held {
    /// `own` are the fork's own, which came with its order.
    pub(crate) fn take(own: &[RawFd], pairs: &Pairs) -> Self {
        let output = kinds::identity(1);
        let mut entries = Vec::new();
        for fd in open_descriptors() {
            if fd < PLACED || own.contains(&fd) {
                continue;
            }
            let Some((descriptor_flags, status_flags)) = flags(fd) else { continue };
            let kind = match kinds::identity(fd) {
                Some(identity) if Some(identity) == output => Kind::Output,
                Some(identity) => Kind::of(fd, identity, status_flags, pairs),
                None => continue,
            };
            entries.push(Entry { fd, descriptor_flags, status_flags, kind });
        }
        Self { entries }
    }

    /// In the fork's own namespaces.
    pub(crate) fn restore(&self) -> Result<(), c_int> {
        // What watches others comes after them.
        let (watchers, watched): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|entry| matches!(entry.kind, Kind::Epoll(_)));
        let mut done: Vec<RawFd> = Vec::new();
        for entry in watched {
            if done.contains(&entry.fd) {
                continue;
            }
            match &entry.kind {
                Kind::Stateless => {}
                Kind::Pipe(inode) => done.extend(self.restore_pipe(*inode)?),
                Kind::UnixPair { peer, socket_type } => {
                    done.extend(self.restore_pair(entry, *peer, *socket_type)?);
                }
                kind => {
                    if let Some(fresh) = kind.make(entry.fd, entry.status_flags)? {
                        entry.take_over(fresh)?;
                    }
                }
            }
        }
        for entry in watchers {
            let Some(fresh) = entry.kind.make(entry.fd, entry.status_flags)? else { continue };
            entry.take_over(fresh)?;
        }
        Ok(())
    }

    /// All ends of one pipe.
    fn restore_pipe(&self, inode: u64) -> Result<Vec<RawFd>, c_int> {
        let (read, write) = kinds::pipe()?;
        let ends: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::Pipe(of) if of == inode))
            .collect();
        if let Some(reader) =
            ends.iter().find(|entry| entry.status_flags & libc::O_ACCMODE == libc::O_RDONLY)
        {
            kinds::copy_pipe(reader.fd, write);
        }
        for entry in &ends {
            let reads = entry.status_flags & libc::O_ACCMODE == libc::O_RDONLY;
            entry.become_copy_of(if reads { read } else { write })?;
        }
        close(read);
        close(write);
        Ok(ends.iter().map(|entry| entry.fd).collect())
    }

    /// Both ends of a pair of sockets, with all their copies.
    fn restore_pair(
        &self,
        entry: &Entry,
        peer: RawFd,
        socket_type: c_int,
    ) -> Result<Vec<RawFd>, c_int> {
        let (near, far) = kinds::socket_pair(socket_type)?;
        kinds::copy_socket(entry.fd, far);
        kinds::copy_socket(peer, near);
        // Before the first one changes.
        let [near_ends, far_ends] = [entry.fd, peer].map(|end| self.copies(end));
        for (ends, fresh) in [(&near_ends, near), (&far_ends, far)] {
            ends.iter().try_for_each(|end| end.become_copy_of(fresh))?;
        }
        let done = near_ends.iter().chain(&far_ends).map(|end| end.fd).collect();
        close(near);
        close(far);
        Ok(done)
    }

    /// All numbers of what is behind `fd`.
    fn copies(&self, fd: RawFd) -> Vec<&Entry> {
        let identity = kinds::identity(fd);
        self.entries.iter().filter(|entry| kinds::identity(entry.fd) == identity).collect()
    }
}

impl Entry {
    /// `fresh` gets this number, and is no more under its own.
    fn take_over(&self, fresh: RawFd) -> Result<(), c_int> {
        let taken = self.become_copy_of(fresh);
        close(fresh);
        taken
    }

    fn become_copy_of(&self, fresh: RawFd) -> Result<(), c_int> {
        let cloexec =
            if self.descriptor_flags & libc::FD_CLOEXEC == 0 { 0 } else { libc::O_CLOEXEC };
        // SAFETY: touches no memory; what was behind the number is given up on purpose.
        // JUSTIFICATION: this crate is built without a library of safe system calls.
        unsafe {
            if libc::dup3(fresh, self.fd, cloexec) < 0 {
                return Err(errno());
            }
            if libc::fcntl(self.fd, libc::F_SETFL, self.status_flags) < 0 {
                return Err(errno());
            }
        }
        Ok(())
    }
}

/// Numbers of all open descriptors, but that of the listing itself.
fn open_descriptors() -> Vec<RawFd> {
    let Ok(listing) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let numbers: Vec<RawFd> = numbers.take(HELD_MAX).collect();
    numbers.into_iter().filter(|fd| flags(*fd).is_some()).collect()
}

/// Of the descriptor, and of what is behind it; none if it is not open.
fn flags(fd: RawFd) -> Option<(c_int, c_int)> {
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    let (own, status) = unsafe { (libc::fcntl(fd, libc::F_GETFD), libc::fcntl(fd, libc::F_GETFL)) };
    (own >= 0 && status >= 0).then_some((own, status))
}
