//! The life of who is forked: waits for orders, and forks for each. Only children come back from it.
//!
//! A zygote is an interpreter that has booted; a template is a fork of one that has run a function's init.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::descriptors::Pairs;
use crate::fork::{self, Birth, DESCRIPTORS_MAX, PLACED, Side};
use crate::order::{CONTROL, Go, Kind, Message, PACKET_BYTES_MAX, Place, READY, Reader};

/// Where a child hears what it is for.
static GO: AtomicI32 = AtomicI32::new(-1);
/// Where a template hears its orders; -1 in whatever is none.
static TEMPLATE: AtomicI32 = AtomicI32::new(-1);

/// A zygote's life. Ends the process when the spawner is gone; returns in each child, which calls `go` next.
pub(crate) fn serve() {
    allow_forks();
    // SAFETY: a static string.
    // JUSTIFICATION: this crate is built without a library of safe system calls.
    unsafe { libc::send(CONTROL, READY.as_ptr().cast(), READY.len(), libc::MSG_NOSIGNAL) };
    obey(CONTROL, &Pairs::default());
}

/// Whether this process is to be a template after its init.
pub(crate) fn is_template() -> bool {
    TEMPLATE.load(Ordering::Relaxed) >= 0
}

/// A template's life, as `serve`. The caller has found no `obstacle`.
pub(crate) fn serve_as_template() {
    let control = TEMPLATE.load(Ordering::Relaxed);
    allow_forks();
    let pairs = Pairs::find(&[control, Place::CHANNEL]);
    let directory = std::env::current_dir();
    obey(control, &pairs);
    fork::close(control);
    TEMPLATE.store(-1, Ordering::Relaxed);
    // A directory that is not there any more was one of `/tmp`; `go` has a better one.
    if let Ok(directory) = directory {
        drop(std::env::set_current_dir(directory));
    }
}

/// Forks for each order. Returns in children.
fn obey(control: RawFd, pairs: &Pairs) {
    let mut packet = vec![0_u8; PACKET_BYTES_MAX];
    let mut filters: [Vec<Vec<u8>>; Kind::COUNT] = Default::default();
    loop {
        let mut descriptors = [-1; DESCRIPTORS_MAX];
        let Some((length, count)) = receive(control, &mut packet, &mut descriptors) else { end() };
        let descriptors = &mut descriptors[..count];
        descriptors.iter_mut().for_each(keep_off_places);
        match Message::decode(&packet[..length]) {
            Some(Message::Rules(kind, body)) => {
                let mut reader = Reader(body);
                filters[kind as usize] =
                    std::iter::from_fn(|| reader.bytes().map(<[u8]>::to_vec)).collect();
            }
            Some(Message::Fork(order)) if count >= order.descriptors() => {
                let blocked = block_signals();
                let filters = &filters[order.kind as usize];
                let birth = Birth { order, descriptors, filters, blocked, pairs };
                if fork::fork(&birth) == Side::Child {
                    GO.store(birth.descriptor(Place::Go), Ordering::Relaxed);
                    TEMPLATE.store(birth.control().unwrap_or(-1), Ordering::Relaxed);
                    return;
                }
                // SAFETY: an initialised set; a null old set is allowed.
                // JUSTIFICATION: as above.
                unsafe {
                    libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut())
                };
            }
            // The spawner is ours and sends nothing else.
            _ => {}
        }
        descriptors.iter().for_each(|descriptor| fork::close(*descriptor));
    }
}

/// A template may have closed what a zygote holds open, so that what comes may have the number of a place.
fn keep_off_places(descriptor: &mut RawFd) {
    if *descriptor < PLACED {
        // SAFETY: touches no memory.
        // JUSTIFICATION: as above.
        let moved = unsafe { libc::fcntl(*descriptor, libc::F_DUPFD_CLOEXEC, PLACED) };
        fork::close(std::mem::replace(descriptor, moved));
    }
}

/// In a child: waits for what it is for, and takes that on; gives the environment, `NAME=VALUE`, each with a zero byte after
/// it. Ends the process if nobody is left to say so.
pub(crate) fn go() -> Vec<u8> {
    const LENGTH_BYTES: usize = 4;
    let descriptor = GO.load(Ordering::Relaxed);
    let mut length = [0; LENGTH_BYTES];
    read_all(descriptor, &mut length);
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(0);
    let mut body = vec![0; length.min(PACKET_BYTES_MAX)];
    read_all(descriptor, &mut body);
    fork::close(descriptor);
    let Some(go) = Go::decode(&body) else { end() };
    let directory = [go.directory, &[0]].concat();
    let limited = go.limits.into_iter().all(|(resource, value)| set_limit(resource, value));
    // SAFETY: a string that ends in a zero byte.
    // JUSTIFICATION: this crate is built without a library of safe system calls.
    let entered = go.directory.is_empty() || unsafe { libc::chdir(directory.as_ptr().cast()) } == 0;
    if !limited || !entered {
        end()
    }
    go.environment.to_vec()
}

fn read_all(descriptor: RawFd, mut buffer: &mut [u8]) {
    while !buffer.is_empty() {
        // SAFETY: the buffer is valid for its length.
        // JUSTIFICATION: this crate is built without a library of safe system calls.
        let read = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(read) {
            Ok(read) if read > 0 => buffer = &mut buffer[read..],
            Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            _ => end(),
        }
    }
}

fn set_limit(resource: u32, value: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for reads and writes.
    // JUSTIFICATION: this crate is built without a library of safe system calls.
    unsafe {
        libc::getrlimit(resource, &raw mut limit);
        // The host's hard limit cannot be raised from in here.
        let value = value.min(limit.rlim_max);
        // The filter refuses to change one of them, which is what it has to be since long.
        if (limit.rlim_cur, limit.rlim_max) == (value, value) {
            return true;
        }
        limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        libc::setrlimit(resource, &raw const limit) == 0
    }
}

/// V8 marks its heap as not to be inherited by forks.
fn allow_forks() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let Some((from, to)) = line.split(' ').next().and_then(|range| range.split_once('-'))
        else {
            continue;
        };
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        if let (Some(from), Some(to)) = (number(from), number(to)) {
            // SAFETY: changes nothing but what a later fork copies; a mapping that refuses (the kernel's own) is not ours.
            // JUSTIFICATION: as above.
            unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DOFORK) };
        }
    }
}

/// Blocks all; gives what was blocked before.
fn block_signals() -> libc::sigset_t {
    // SAFETY: signal sets are plain integers, initialised before they are read.
    // JUSTIFICATION: as above.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

/// One packet and its descriptors: their lengths. None when the spawner is gone.
fn receive(
    control_socket: RawFd,
    packet: &mut [u8],
    descriptors: &mut [RawFd],
) -> Option<(usize, usize)> {
    // Aligned as control messages have to be.
    let mut control = [0_u64; 32];
    const _: () = assert!(DESCRIPTORS_MAX * size_of::<RawFd>() + 32 <= 32 * 8);
    let mut part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: all pointers are to live buffers of the lengths given; the descriptors are read from within the control
    // message's own length, which the kernel wrote.
    // JUSTIFICATION: as above.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let length = loop {
            let length = libc::recvmsg(control_socket, &raw mut message, libc::MSG_CMSG_CLOEXEC);
            let interrupted = std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
            if length >= 0 || !interrupted {
                break length;
            }
        };
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        let mut count = 0;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
            let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            count = (bytes / size_of::<RawFd>()).min(descriptors.len());
            let data = libc::CMSG_DATA(header);
            std::ptr::copy_nonoverlapping(
                data,
                descriptors.as_mut_ptr().cast(),
                count * size_of::<RawFd>(),
            );
        }
        Some((length, count))
    }
}

fn end() -> ! {
    // SAFETY: no preconditions.
    // JUSTIFICATION: the interpreter's own exit would wait for threads that are none of its concern here.
    unsafe { libc::_exit(0) }
}
