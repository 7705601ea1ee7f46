//! Networks for sandboxes of an ordinary user: one `pasta` process each (from the package passt), which passes
//! packets between a tap device inside and plain sockets outside.
//!
//! pasta finds the namespaces by the number of a process in them. That cannot be the sandbox's first one, which
//! makes itself undumpable at a moment of its own and may not be looked at from then on: a `Holder` stands in.
//!
//! Invariant: no port is forwarded in either direction, and the host's loopback is not mapped.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::read;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, kill_process, set_dumpable_behavior,
    set_parent_process_death_signal, waitpid,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::netlink::{Batch, Socket};
use super::{Namespaces, NetError, close_destinations, program, routed};
use crate::sys::{self, Side};

pub(crate) const TUN_DEVICE: &str = "/dev/net/tun";

/// How long the wait for pasta sleeps between looks.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// How much of pasta's complaint is kept, in bytes.
const COMPLAINT_BYTES: u64 = 1024;

#[derive(Debug)]
pub(super) struct Pasta {
    program: PathBuf,
    socket: Socket,
}

/// Why there can be no pasta.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lack {
    #[error("pasta is not installed")]
    Program,
    #[error("{TUN_DEVICE} cannot be opened by this user: {source}")]
    Tun { source: io::Error },
    #[error("cannot open a netlink socket: {source}")]
    Netlink { source: io::Error },
}

/// A running pasta. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct PastaProcess {
    child: Child,
    sandbox: libc::pid_t,
    /// Until the network is there.
    making: Option<Making>,
}

/// What pasta needs while it starts, and where it says what went wrong.
#[derive(Debug)]
struct Making {
    complaint: File,
    _holder: Holder,
}

/// A process of ours that does nothing in a sandbox's user and network namespaces. Dropping it ends the process.
#[derive(Debug)]
struct Holder(Pid);

// === impl Pasta ===

impl Pasta {
    pub(super) fn find() -> Result<Self, Lack> {
        let program = find_usable()?;
        let socket = Socket::open().map_err(|source| Lack::Netlink { source })?;
        Ok(Self { program, socket })
    }

    /// None while the host itself is offline: pasta would end at once for want of an address to borrow.
    pub(super) fn attach(&self, sandbox: &Namespaces) -> Result<Option<PastaProcess>, NetError> {
        let routes = self
            .socket
            .routes()
            .map_err(|source| NetError::Netlink { step: "list routes", source })?;
        if !routes.iter().any(|route| route.bits == 0 && route.link != 0) {
            return Ok(None);
        }
        // The wall before the way out.
        let holder = self.close_inside(sandbox)?;
        let complaint = complaint_file().map_err(|source| NetError::PastaStart { source })?;
        let stderr = complaint.try_clone().map_err(|source| NetError::PastaStart { source })?;
        let mut command = Command::new(&self.program);
        command
            .args(["--quiet", "--foreground", "--ipv4-only", "--config-net", "--no-map-gw"])
            .args([
                "--tcp-ports",
                "none",
                "--udp-ports",
                "none",
                "--tcp-ns",
                "none",
                "--udp-ns",
                "none",
            ])
            .args(["--ns-ifname", "eth0"])
            // The holder goes first.
            .arg("--no-netns-quit")
            .arg(holder.0.as_raw_nonzero().to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        // SAFETY: between fork and exec only `prctl` is called, which is async-signal-safe.
        // JUSTIFICATION: the standard library has no parent-death signal, and a pasta that outlives a killed
        // spawner would be a leftover nobody finds.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                Ok(())
            });
        }
        let child = command.spawn().map_err(|source| NetError::PastaStart { source })?;
        let making = Some(Making { complaint, _holder: holder });
        Ok(Some(PastaProcess { child, sandbox: sandbox.pid, making }))
    }

    pub(super) fn describe(&self) -> String {
        format!("one {} per environment", self.program.display())
    }

    /// Routes of the sandbox's namespace can only be set by who is in its user namespace, which nobody leaves
    /// again: a child goes there, and stays.
    fn close_inside(&self, sandbox: &Namespaces) -> Result<Holder, NetError> {
        let mut batch = Batch::default();
        close_destinations(&mut batch, &routed::host_addresses(&self.socket)?);
        Holder::start(sandbox, &batch)
            .map_err(|source| NetError::CloseInside { pid: sandbox.pid, source })
    }
}

// === impl Lack ===

impl Lack {
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Program => "apt-get install passt (Debian, Ubuntu) or dnf install passt (Fedora)",
            Self::Tun { .. } => "sudo chmod 0666 /dev/net/tun",
            Self::Netlink { .. } => "allow AF_NETLINK sockets to this user",
        }
    }
}

// === impl PastaProcess ===

impl PastaProcess {
    /// pasta in the foreground does not tell when it is done, but the default route inside does.
    pub(super) fn wait_ready(&mut self, within: Duration) -> Result<(), NetError> {
        let routes = format!("/proc/{}/net/route", self.sandbox);
        let start = Instant::now();
        loop {
            let table = fs::read_to_string(&routes)
                .map_err(|source| NetError::Namespace { pid: self.sandbox, source })?;
            if has_default_route(&table) {
                self.making = None;
                return Ok(());
            }
            if let Some(status) =
                self.child.try_wait().map_err(|source| NetError::PastaStart { source })?
            {
                let said = self.making.take().map(|making| said(&making.complaint));
                return Err(NetError::PastaEnded {
                    status: status.to_string(),
                    complaint: said.unwrap_or_default(),
                });
            }
            if start.elapsed() >= within {
                return Err(NetError::PastaSlow { waited_ms: within.as_millis() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for PastaProcess {
    fn drop(&mut self) {
        // Both fail only if the process is gone and reaped already.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::debug!(sandbox = self.sandbox, error = %error, "pasta was gone already");
        }
    }
}

// === impl Holder ===

impl Holder {
    /// Sends `batch` from within the namespaces. Returns when the kernel has done what it asks for.
    fn start(sandbox: &Namespaces, batch: &Batch) -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        match sys::fork()? {
            Side::Child => hold(sandbox, batch, &writer),
            Side::Parent(pid) => {
                let holder = Self(pid);
                drop(writer);
                let mut errno = [0];
                match read(&reader, &mut errno)? {
                    0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    _ if errno[0] == 0 => Ok(holder),
                    _ => Err(io::Error::from_raw_os_error(errno[0].into())),
                }
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Not reaped by anybody else, so the number is still its own.
        let ended = kill_process(self.0, Signal::KILL)
            .and_then(|()| waitpid(Some(self.0), WaitOptions::empty()));
        if let Err(error) = ended {
            tracing::debug!(holder = ?self.0, error = %error, "namespace holder was gone already");
        }
    }
}

/// The holder's whole life. Nothing here allocates or locks: the memory is that of a forked process.
fn hold(sandbox: &Namespaces, batch: &Batch, writer: &OwnedFd) -> ! {
    let entered = enter_and_run(sandbox, batch);
    let errno = entered.err().map_or(0, errno_byte);
    if rustix::io::write(writer, &[errno]).is_err() || errno != 0 {
        sys::exit_now(1);
    }
    // Among them are ends of pipes and sockets of other sandboxes, which must be able to see them closed.
    sys::best_effort(sys::close_all_but(0, &[]));
    loop {
        rustix::event::pause();
    }
}

fn enter_and_run(sandbox: &Namespaces, batch: &Batch) -> io::Result<()> {
    move_into_link_name_space(sandbox.user.as_fd(), Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(sandbox.network.as_fd(), Some(LinkNameSpaceType::Network))?;
    // The new capabilities have taken both away.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    Socket::open()?.run_unallocated(batch)
}

/// For pasta's stderr, of which nobody reads more than the beginning. A pipe would stop or kill a pasta that writes
/// when nobody reads.
fn complaint_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("pasta-stderr", flags)?);
    file.set_len(COMPLAINT_BYTES)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file)
}

fn said(complaint: &File) -> String {
    let mut bytes = [0; COMPLAINT_BYTES as usize];
    match complaint.read_at(&mut bytes, 0) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&bytes[..length]);
            text.trim_end_matches('\0').trim().replace('\n', "; ")
        }
        Err(error) => error.to_string(),
    }
}

/// The program, if this user can run it with success.
pub(crate) fn find_usable() -> Result<PathBuf, Lack> {
    let program = program::find("pasta").ok_or(Lack::Program)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(TUN_DEVICE)
        .map_err(|source| Lack::Tun { source })?;
    Ok(program)
}

fn has_default_route(table: &str) -> bool {
    let default = Ipv4Addr::UNSPECIFIED;
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace();
        let interface = columns.next();
        let hex = columns.next().and_then(|column| u32::from_str_radix(column, 16).ok());
        // A closed destination is listed with the interface `*`.
        interface.is_some_and(|name| name != "*") && hex == Some(u32::from(default))
    })
}

/// Every errno of Linux that matters here fits a byte.
fn errno_byte(error: io::Error) -> u8 {
    error
        .raw_os_error()
        .and_then(|errno| u8::try_from(errno).ok())
        .filter(|errno| *errno > 0)
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_default_route_when_it_comes() {
        let header = "Iface\tDestination\tGateway \tFlags\n";
        let closed = "*\t0000FEA9\t00000000\t0201\n";
        assert!(!has_default_route(header));
        assert!(!has_default_route(&format!("{header}{closed}*\t00000000\t00000000\t0201\n")));
        assert!(has_default_route(&format!("{header}{closed}eth0\t00000000\t0100000A\t0003\n")));
    }
}
