//! The typed messages between server, spawner and a sandbox's pid 1, and the socket that carries them.
//!
//! Server and spawner: `Request` one way, `Event` the other. Spawner and pid 1: `Go` one way, `FromInit` the other.
//! Server and pid 1: single-byte `Order`s. Each message is one SOCK_SEQPACKET packet; descriptors ride along.

use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::launch::SandboxConfig;
use crate::order;
use crate::spec::{Exit, Limits, ReadOnlyMount, SandboxSpec, Zygote};

/// Largest message, bytes. Well under the kernel's default socket buffer of 212,992, which bounds a packet.
pub(crate) const MESSAGE_BYTES_MAX: usize = order::PACKET_BYTES_MAX;
/// Most listeners of one sandbox.
pub(crate) const LISTENERS_MAX: usize = 16;
/// Most mounted trees of one sandbox.
pub(crate) const TREES_MAX: usize = 32;
/// Most descriptors with one message: `Event::Started` with all its parts, `Go::Fit` with all its trees.
const DESCRIPTORS_MAX: usize = 32;
const _: () = assert!(LISTENERS_MAX + 16 <= DESCRIPTORS_MAX && TREES_MAX <= DESCRIPTORS_MAX);

/// Server to spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first message, once.
    Configure(SandboxConfig),
    Start {
        token: u64,
        spec: Box<SandboxSpec>,
    },
    /// Boot it, if it is not.
    Warm(Zygote),
    /// It has done its init: a few forks of it may be made ahead, each for the sandbox of `spec`.
    ExpectForks {
        template: String,
        spec: Box<SandboxSpec>,
    },
    /// The slow way to kill, for hosts without `cgroup.kill`.
    Kill {
        token: u64,
    },
}

/// Spawner to server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The answer to `Configure`: sandboxes can be asked for.
    Ready {
        findings: Vec<Finding>,
    },
    /// The network stands, or cannot be had. Comes once, some time after `Ready`.
    Network {
        findings: Vec<Finding>,
    },
    /// Instead of `Ready` or `Network`: nothing can be started at all.
    Unusable {
        step: String,
        reason: String,
    },
    /// The sandbox runs. One descriptor per element of `parts`, in that order.
    Started {
        token: u64,
        init_pid: i32,
        parts: Vec<Part>,
    },
    Failed {
        token: u64,
        failure: Failure,
    },
    /// The main process has ended and no process of the tree is left.
    Ended {
        token: u64,
        exit: Exit,
    },
    /// Something went wrong that no request waits for; for the log.
    Trouble {
        step: String,
        reason: String,
    },
}

/// What a descriptor of `Event::Started` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Part {
    Channel,
    Telemetry,
    Output,
    /// Takes `Order`s.
    Orders,
    CgroupFreeze,
    CgroupKill,
    /// `cgroup.procs` of the v2 group, to find the tree's processes.
    CgroupProcs,
    /// `cpu.max` of a v2 group.
    CpuMaxV2,
    /// `cpu.cfs_quota_us` of a v1 group.
    CpuQuotaV1,
    /// `memory.stat` of a v2 group.
    MemoryStatV2,
    /// `memory.stat` of a v1 group.
    MemoryStatV1,
    Listener,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    Step {
        step: String,
        reason: String,
    },
    Exec {
        path: String,
        reason: String,
    },
    /// The zygote, or a fork of it; executing the program may do.
    Fork {
        step: String,
        reason: String,
    },
    Full {
        live: u32,
    },
}

/// Spawner to pid 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Go {
    /// The id maps are written: ids mean something now.
    Mapped,
    /// What this sandbox is for. The trees of its mounts' sources come along.
    Fit(Outfit),
    /// The network is attached: the function may run.
    Run,
}

/// What makes a sandbox of an empty shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outfit {
    pub(crate) limits: Limits,
    pub(crate) listeners: Vec<u16>,
    /// Outer ones before those below them.
    pub(crate) mounts: Vec<ReadOnlyMount>,
    pub(crate) symlinks: Vec<(PathBuf, PathBuf)>,
    /// What to execute; none if the main process is forked.
    pub(crate) program: Option<Program>,
    pub(crate) tmp: Tmp,
}

/// What `/tmp` starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tmp {
    Empty,
    /// Likewise, and a descriptor of it goes back after those of the listeners.
    Lent,
    /// With a copy of what is in the directory that comes after the trees.
    Copied,
}

/// What pid 1 executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
}

/// Pid 1 to spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// All is done that can be done without knowing what for.
    Prepared,
    /// The jail stands; one descriptor per listener comes along.
    Jailed,
    /// The executable has been started, or the fork has arrived.
    Running,
    Failed(Failure),
    /// The main process ended.
    Ended {
        code: Option<i32>,
        signal: Option<i32>,
    },
}

/// Server to pid 1, one byte each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// SIGTERM to the main process.
    Terminate = b'T',
    /// SIGSTOP to everyone but pid 1: freezing without a cgroup.
    Stop = b'S',
    /// SIGCONT, likewise.
    Continue = b'C',
    /// End the namespace: killing without a cgroup.
    Kill = b'K',
}

impl Order {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Terminate, Self::Stop, Self::Continue, Self::Kill]
            .into_iter()
            .find(|order| *order as u8 == byte)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("the other end is gone")]
    Closed,
    #[error("socket: {0}")]
    Socket(#[from] Errno),
    #[error("message of {0} bytes is over the limit of {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    #[error("message: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A connected pair of packet sockets, closed on exec.
pub(crate) fn socket_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one message with `descriptors`. With `SendFlags::DONTWAIT` in `flags` a full socket answers `Errno::AGAIN`.
pub(crate) fn send<T: Serialize>(
    socket: &OwnedFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), ProtocolError> {
    send_bytes(socket, &serde_json::to_vec(message)?, descriptors, flags)
}

/// `send` for a message that has its bytes already.
pub(crate) fn send_bytes(
    socket: &OwnedFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), ProtocolError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(ProtocolError::TooLarge(bytes.len()));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(ProtocolError::TooLarge(descriptors.len()));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    match retry(|| rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)) {
        Ok(_) => Ok(()),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(ProtocolError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// Receives one message. With `RecvFlags::DONTWAIT` in `flags` an empty socket answers `Errno::AGAIN`.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: &OwnedFd,
    flags: RecvFlags,
) -> Result<(T, Vec<OwnedFd>), ProtocolError> {
    let (bytes, descriptors) = receive_packet(socket, flags)?;
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}

/// `receive` for a message that is only bytes.
pub(crate) fn receive_bytes(socket: &OwnedFd, flags: RecvFlags) -> Result<Vec<u8>, ProtocolError> {
    receive_packet(socket, flags).map(|(bytes, _)| bytes)
}

fn receive_packet(
    socket: &OwnedFd,
    flags: RecvFlags,
) -> Result<(Vec<u8>, Vec<OwnedFd>), ProtocolError> {
    // Kept, for only what messages fill of it is ever touched: every sandbox's pid 1 keeps a copy of what its spawner
    // has touched.
    thread_local!(static SPACE: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE_BYTES_MAX]));
    SPACE.with_borrow_mut(|bytes| receive_into(bytes, socket, flags))
}

fn receive_into(
    bytes: &mut [u8],
    socket: &OwnedFd,
    flags: RecvFlags,
) -> Result<(Vec<u8>, Vec<OwnedFd>), ProtocolError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = match retry(|| {
        rustix::net::recvmsg(socket.as_fd(), &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)
    }) {
        Ok(received) => received,
        Err(Errno::CONNRESET) => return Err(ProtocolError::Closed),
        Err(error) => return Err(error.into()),
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    // Messages are never empty, so an empty packet is the end.
    match bytes.get(..received.bytes) {
        Some(bytes) if !bytes.is_empty() => Ok((bytes.to_vec(), descriptors)),
        _ => Err(ProtocolError::Closed),
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_messages_and_descriptors() {
        let (left, right) = socket_pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        send(&left, &Go::Run, &[write.as_fd()], SendFlags::empty()).unwrap();
        let (message, mut descriptors) = receive::<Go>(&right, RecvFlags::empty()).unwrap();
        assert_eq!(message, Go::Run);
        rustix::io::write(descriptors.remove(0), b"x").unwrap();
        assert_eq!(rustix::io::read(&read, &mut [0; 4][..]).unwrap(), 1);
    }

    #[test]
    fn tells_a_closed_peer_from_an_empty_socket() {
        let (left, right) = socket_pair().unwrap();
        let empty = receive::<Go>(&right, RecvFlags::DONTWAIT);
        assert!(matches!(empty, Err(ProtocolError::Socket(Errno::AGAIN))), "{empty:?}");
        drop(left);
        assert!(matches!(receive::<Go>(&right, RecvFlags::empty()), Err(ProtocolError::Closed)));
        assert!(matches!(
            send(&right, &Go::Run, &[], SendFlags::empty()),
            Err(ProtocolError::Closed)
        ));
    }

    #[test]
    fn refuses_a_message_over_the_limit() {
        let (left, _right) = socket_pair().unwrap();
        let text = "x".repeat(MESSAGE_BYTES_MAX);
        assert!(matches!(
            send(&left, &text, &[], SendFlags::empty()),
            Err(ProtocolError::TooLarge(_))
        ));
    }
}
