//! Which sockets of a process are each other's ends.
//!
//! The kernel does not tell without a right, so each is let say something, to see which other hears it. Done once, by a
//! template that does nothing else: a fork's word would be heard by all its siblings.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use super::kinds::{Identity, identity, option};
use super::open_descriptors;

/// What is unread and kept, of each socket.
const PIECE_BYTES_MAX: usize = 64 * 1_024;
const PIECES_MAX: usize = 64;

/// Pairs of one socket each, with a number of theirs.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<[(RawFd, Identity); 2]>);

impl Pairs {
    /// `but` are sockets whose other ends are outside.
    pub(crate) fn find(but: &[RawFd]) -> Self {
        let mut seen: Vec<Identity> = but.iter().filter_map(|fd| identity(*fd)).collect();
        let mut sockets = Vec::new();
        for fd in open_descriptors() {
            let Some(identity) = identity(fd) else { continue };
            if option(fd, libc::SO_DOMAIN) == Some(libc::AF_UNIX) && !seen.contains(&identity) {
                seen.push(identity);
                sockets.push((fd, identity));
            }
        }
        // Among things unread, one more word could not be found and taken back.
        let mut unread: Vec<(Identity, Vec<Vec<u8>>)> =
            sockets.iter().map(|(fd, identity)| (*identity, take_all(*fd))).collect();
        let mut pairs = Vec::new();
        while let Some(speaker) = sockets.pop() {
            if say(speaker.0, b"?")
                && let Some(place) = sockets.iter().position(|(fd, _)| has_unread(*fd))
            {
                let listener = sockets.swap_remove(place);
                take_all(listener.0);
                pairs.push([speaker, listener]);
            }
        }
        for [one, other] in &pairs {
            for (from, to) in [(one, other), (other, one)] {
                let held = unread.iter_mut().find(|(identity, _)| *identity == to.1);
                for words in held.map(|(_, words)| std::mem::take(words)).into_iter().flatten() {
                    say(from.0, &words);
                }
            }
        }
        Self(pairs)
    }

    pub(super) fn peer(&self, of: Identity) -> Option<RawFd> {
        self.0.iter().find_map(|[one, other]| match of {
            of if of == one.1 => Some(other.0),
            of if of == other.1 => Some(one.0),
            _ => None,
        })
    }
}

fn say(fd: RawFd, words: &[u8]) -> bool {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is valid for its length.
    // JUSTIFICATION: this crate is built without a library of safe system calls.
    unsafe { libc::send(fd, words.as_ptr().cast(), words.len(), flags) >= 0 }
}

/// Receives what has come; of packets each by itself.
fn take_all(fd: RawFd) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    while taken.len() < PIECES_MAX && has_unread(fd) {
        let mut piece = vec![0_u8; PIECE_BYTES_MAX];
        let into: *mut c_void = piece.as_mut_ptr().cast();
        // SAFETY: the buffer is valid for its length.
        // JUSTIFICATION: as above.
        let length = unsafe { libc::recv(fd, into, piece.len(), libc::MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(length) else { break };
        piece.truncate(length);
        taken.push(piece);
    }
    taken
}

fn has_unread(fd: RawFd) -> bool {
    let mut count: c_int = 0;
    // SAFETY: one number is written.
    // JUSTIFICATION: as above.
    unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) };
    count > 0
}
