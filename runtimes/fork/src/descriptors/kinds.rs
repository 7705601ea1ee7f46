//! What can be behind a descriptor, and how another of the same kind is made.

use std::ffi::{CString, c_int, c_void};
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStringExt;

use super::Pairs;

/// Contents of a pipe or socket that are copied, bytes; what is beyond is lost, as a connection's is.
const COPY_BYTES_MAX: usize = 64 * 1_024;

#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing to share by it.
    Stateless,
    /// The sandbox's own output, by another number.
    Output,
    /// A file, directory or device that has a name.
    Named {
        path: CString,
        offset: i64,
    },
    /// A file without a name, of which a copy is made.
    Unnamed {
        bytes: i64,
        offset: i64,
        memory: bool,
    },
    /// By its inode.
    Pipe(u64),
    /// One of two sockets that are each other's ends.
    UnixPair {
        peer: RawFd,
        socket_type: c_int,
    },
    /// Waits for connections, or for datagrams.
    Bound(Box<Socket>),
    /// Was connected to somebody.
    Connection,
    Event {
        count: u64,
    },
    Epoll(Vec<Watch>),
}

#[derive(Debug)]
pub(super) struct Socket {
    family: c_int,
    socket_type: c_int,
    listens: bool,
    local: Address,
    remote: Option<Address>,
}

#[derive(Debug, Clone, Copy)]
struct Address {
    bytes: [u8; 128],
    length: libc::socklen_t,
}

/// One descriptor that an epoll watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    fd: RawFd,
    events: u32,
    data: u64,
}

/// Device and inode: equal exactly for what is shared.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(fd: RawFd) -> Option<Identity> {
    stat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

fn stat(fd: RawFd) -> Option<libc::stat> {
    // SAFETY: an all-zero `stat` is valid, and written by the call.
    // JUSTIFICATION: this crate is built without a library of safe system calls.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(fd, &raw mut stat) == 0).then_some(stat)
    }
}

// === impl Kind ===

impl Kind {
    pub(super) fn of(fd: RawFd, identity: Identity, status_flags: c_int, pairs: &Pairs) -> Self {
        let Some(stat) = stat(fd) else { return Self::Stateless };
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFIFO => Self::Pipe(identity.1),
            libc::S_IFSOCK => Self::of_socket(fd, identity, pairs),
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFCHR => Self::of_file(fd, status_flags, &stat),
            _ => Self::of_anonymous(fd),
        }
    }

    fn of_file(fd: RawFd, status_flags: c_int, stat: &libc::stat) -> Self {
        let Ok(path) = fs::read_link(format!("/proc/self/fd/{fd}")) else { return Self::Stateless };
        let path = path.into_os_string().into_vec();
        // SAFETY: touches no memory.
        // JUSTIFICATION: as above.
        let offset = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) }.max(0);
        let memory = path.starts_with(b"/memfd:");
        if memory || path.ends_with(b" (deleted)") {
            let is_file = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
            let bytes = stat.st_size;
            return if is_file { Self::Unnamed { bytes, offset, memory } } else { Self::Stateless };
        }
        // Opened for its name only, or the pseudo files of a kernel that has none to open.
        if status_flags & libc::O_PATH != 0 || !path.starts_with(b"/") {
            return Self::Stateless;
        }
        CString::new(path).map_or(Self::Stateless, |path| Self::Named { path, offset })
    }

    fn of_socket(fd: RawFd, identity: Identity, pairs: &Pairs) -> Self {
        let Some(socket_type) = option(fd, libc::SO_TYPE) else { return Self::Stateless };
        if let Some(peer) = pairs.peer(identity) {
            return Self::UnixPair { peer, socket_type };
        }
        let listens = option(fd, libc::SO_ACCEPTCONN).unwrap_or(0) != 0;
        let inet = |family: c_int| family == libc::AF_INET || family == libc::AF_INET6;
        match (option(fd, libc::SO_DOMAIN), Address::local(fd)) {
            // A name in the file system is bound already, by the template's own socket.
            (Some(family), Some(local))
                if inet(family) && (listens || socket_type == libc::SOCK_DGRAM) =>
            {
                let remote = Address::remote(fd).filter(|_| !listens);
                let socket = Socket { family, socket_type, listens, local, remote };
                Self::Bound(Box::new(socket))
            }
            (Some(family), _) if inet(family) || family == libc::AF_UNIX => Self::Connection,
            _ => Self::Stateless,
        }
    }

    fn of_anonymous(fd: RawFd) -> Self {
        let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        match link.to_str() {
            Some("anon_inode:[eventfd]") => Self::Event { count: event_count(&info) },
            Some("anon_inode:[eventpoll]") => {
                Self::Epoll(info.lines().filter_map(Watch::parse).collect())
            }
            _ => Self::Stateless,
        }
    }

    /// Another of the kind; none if the old one may stay.
    pub(super) fn make(&self, old: RawFd, status_flags: c_int) -> Result<Option<RawFd>, c_int> {
        match self {
            Self::Output => descriptor(copy_of(1)).map(Some),
            Self::Named { path, offset } => Ok(open_again(path, *offset, status_flags)),
            Self::Unnamed { bytes, offset, memory } => {
                copy_file(old, *bytes, *offset, *memory, status_flags).map(Some)
            }
            Self::Bound(socket) => socket.make().map(Some),
            Self::Connection => closed_connection().map(Some),
            Self::Event { count } => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX - 1);
                // SAFETY: touches no memory.
                // JUSTIFICATION: as above.
                descriptor(unsafe { libc::eventfd(count, libc::EFD_CLOEXEC) }).map(Some)
            }
            Self::Epoll(watches) => watch_again(watches).map(Some),
            Self::Stateless | Self::Pipe(_) | Self::UnixPair { .. } => Ok(None),
        }
    }
}

// === files ===

fn copy_of(fd: RawFd) -> c_int {
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, super::PLACED) }
}

/// None if the file is not there any more, which leaves the old one.
fn open_again(path: &CString, offset: i64, status_flags: c_int) -> Option<RawFd> {
    let once = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC;
    let flags = status_flags & !once | libc::O_CLOEXEC;
    // SAFETY: a string that ends in a zero byte.
    // JUSTIFICATION: as above.
    unsafe {
        let fd = descriptor(libc::open(path.as_ptr(), flags)).ok()?;
        libc::lseek(fd, offset, libc::SEEK_SET);
        Some(fd)
    }
}

fn copy_file(
    old: RawFd,
    bytes: i64,
    offset: i64,
    memory: bool,
    status_flags: c_int,
) -> Result<RawFd, c_int> {
    const TMP_MODE: libc::c_uint = 0o600;
    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC | status_flags & libc::O_APPEND;
    // SAFETY: static strings.
    // JUSTIFICATION: as above.
    let copy = descriptor(unsafe {
        if memory {
            libc::memfd_create(c"nilas".as_ptr(), libc::MFD_CLOEXEC)
        } else {
            libc::open(c"/tmp".as_ptr(), flags, TMP_MODE)
        }
    })?;
    let mut from = 0;
    while from < bytes {
        let length = usize::try_from(bytes - from).unwrap_or(usize::MAX);
        // SAFETY: `from` is valid for the call.
        // JUSTIFICATION: as above.
        let sent = unsafe { libc::sendfile(copy, old, &raw mut from, length) };
        if sent < 0 {
            return Err(errno());
        }
        if sent == 0 {
            break;
        }
    }
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    unsafe { libc::lseek(copy, offset, libc::SEEK_SET) };
    Ok(copy)
}

// === pipes and pairs ===

pub(super) fn pipe() -> Result<(RawFd, RawFd), c_int> {
    let mut ends = [-1; 2];
    // SAFETY: two numbers are written.
    // JUSTIFICATION: as above.
    descriptor(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok((ends[0], ends[1]))
}

/// What nobody has read yet, without reading it.
pub(super) fn copy_pipe(from: RawFd, into: RawFd) {
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    unsafe { libc::tee(from, into, COPY_BYTES_MAX, libc::SPLICE_F_NONBLOCK) };
}

pub(super) fn socket_pair(socket_type: c_int) -> Result<(RawFd, RawFd), c_int> {
    let mut ends = [-1; 2];
    let kind = socket_type | libc::SOCK_CLOEXEC;
    // SAFETY: two numbers are written.
    // JUSTIFICATION: as above.
    descriptor(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok((ends[0], ends[1]))
}

/// What nobody has received yet, without receiving it: of packets, the first.
pub(super) fn copy_socket(from: RawFd, into: RawFd) {
    let mut buffer = vec![0_u8; COPY_BYTES_MAX];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let bytes: *mut c_void = buffer.as_mut_ptr().cast();
    // SAFETY: the buffer is valid for the lengths given.
    // JUSTIFICATION: as above.
    unsafe {
        let length = libc::recv(from, bytes, buffer.len(), flags);
        if let Ok(length) = usize::try_from(length)
            && length > 0
        {
            libc::send(into, bytes, length, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        }
    }
}

// === sockets ===

/// A stream whose other end is closed.
fn closed_connection() -> Result<RawFd, c_int> {
    let (near, far) = socket_pair(libc::SOCK_STREAM)?;
    crate::fork::close(far);
    Ok(near)
}

impl Socket {
    fn make(&self) -> Result<RawFd, c_int> {
        const BACKLOG: c_int = 128;
        // SAFETY: addresses are those the kernel has given, of the lengths it has given.
        // JUSTIFICATION: as above.
        unsafe {
            let fd =
                descriptor(libc::socket(self.family, self.socket_type | libc::SOCK_CLOEXEC, 0))?;
            let on: c_int = 1;
            let length = size_of::<c_int>() as libc::socklen_t;
            let option = (&raw const on).cast();
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, option, length);
            let (address, length) = self.local.parts();
            // An address that only the template's network had: it waits where whatever is free.
            libc::bind(fd, address, length);
            if self.listens {
                libc::listen(fd, BACKLOG);
            }
            if let Some(remote) = &self.remote {
                let (address, length) = remote.parts();
                libc::connect(fd, address, length);
            }
            Ok(fd)
        }
    }
}

impl Address {
    fn local(fd: RawFd) -> Option<Self> {
        let mut address = Self { bytes: [0; 128], length: 128 };
        let bytes = address.bytes.as_mut_ptr().cast();
        // SAFETY: the buffer is valid for the length given.
        // JUSTIFICATION: as above.
        let got = unsafe { libc::getsockname(fd, bytes, &raw mut address.length) };
        (got == 0).then_some(address)
    }

    fn remote(fd: RawFd) -> Option<Self> {
        let mut address = Self { bytes: [0; 128], length: 128 };
        let bytes = address.bytes.as_mut_ptr().cast();
        // SAFETY: the buffer is valid for the length given.
        // JUSTIFICATION: as above.
        let got = unsafe { libc::getpeername(fd, bytes, &raw mut address.length) };
        (got == 0).then_some(address)
    }

    fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (self.bytes.as_ptr().cast(), self.length.min(128))
    }
}

/// A number that the socket tells of itself.
pub(super) fn option(fd: RawFd, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    let into: *mut c_void = (&raw mut value).cast();
    // SAFETY: the value is valid for the length given.
    // JUSTIFICATION: as above.
    let got = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, into, &raw mut length) };
    (got == 0).then_some(value)
}

// === what waits ===

fn watch_again(watches: &[Watch]) -> Result<RawFd, c_int> {
    // SAFETY: touches no memory.
    // JUSTIFICATION: as above.
    let epoll = descriptor(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    for watch in watches {
        let mut event = libc::epoll_event { events: watch.events, u64: watch.data };
        // A descriptor that was closed while a copy of it lived is watched no more.
        // SAFETY: the event is valid for the call.
        // JUSTIFICATION: as above.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, watch.fd, &raw mut event) };
    }
    Ok(epoll)
}

impl Watch {
    /// A line of an epoll's `fdinfo`: `tfd:        6 events:       19 data:                6  pos:0 ino:1 sdev:9`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let mut value = |name: &str| (words.next()? == name).then(|| words.next()).flatten();
        let fd = value("tfd:")?.parse().ok()?;
        let events = u32::from_str_radix(value("events:")?, 16).ok()?;
        let data = u64::from_str_radix(value("data:")?, 16).ok()?;
        Some(Self { fd, events, data })
    }
}

/// Of an eventfd's `fdinfo`: `eventfd-count: 0000000000000001`, in hexadecimal.
fn event_count(info: &str) -> u64 {
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"));
    count.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0)
}

/// A descriptor, or why there is none.
fn descriptor(result: c_int) -> Result<RawFd, c_int> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

pub(super) fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_epoll_watches() {
        let line = "tfd:       17 events: 8000201d data:               11  pos:0 ino:41b sdev:9";
        let watch = Watch { fd: 17, events: 0x8000_201d, data: 0x11 };
        assert_eq!(Watch::parse(line), Some(watch));
        assert_eq!(Watch::parse("pos:\t0"), None);
    }

    #[test]
    fn reads_the_count_of_an_event() {
        assert_eq!(event_count("pos:\t0\nflags:\t02\neventfd-count:               1f\n"), 0x1f);
        assert_eq!(event_count(""), 0);
    }
}
