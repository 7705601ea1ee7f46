//! Networks for sandboxes of an ordinary user: one `pasta` process each (from the package passt), which passes
//! packets between a tap device inside and plain sockets outside.
//!
//! Invariant: no port is forwarded in either direction, and the host's loopback is not mapped.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::netlink::{Batch, Socket};
use super::{NetError, close_destinations, program, routed};

pub(crate) const TUN_DEVICE: &str = "/dev/net/tun";

/// How long the wait for pasta sleeps between looks.
const LOOK_EVERY: Duration = Duration::from_micros(500);

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
}

// === impl Pasta ===

impl Pasta {
    pub(super) fn find() -> Result<Self, Lack> {
        let program = find_usable()?;
        let socket = Socket::open().map_err(|source| Lack::Netlink { source })?;
        Ok(Self { program, socket })
    }

    /// None while the host itself is offline: pasta would end at once for want of an address to borrow.
    pub(super) fn attach(&self, pid: libc::pid_t) -> Result<Option<PastaProcess>, NetError> {
        let routes = self
            .socket
            .routes()
            .map_err(|source| NetError::Netlink { step: "list routes", source })?;
        if !routes.iter().any(|route| route.bits == 0 && route.link != 0) {
            return Ok(None);
        }
        // The wall before the way out.
        self.close_inside(pid)?;
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
            .arg(pid.to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: between fork and exec only `prctl` is called, which is async-signal-safe.
        // JUSTIFICATION: the standard library has no parent-death signal, and a pasta that outlives a killed
        // spawner would be a leftover nobody finds.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::KILL,
                ))?;
                Ok(())
            });
        }
        let child = command.spawn().map_err(|source| NetError::PastaStart { source })?;
        Ok(Some(PastaProcess { child, sandbox: pid }))
    }

    pub(super) fn describe(&self) -> String {
        format!("one {} per environment", self.program.display())
    }

    /// Routes of the sandbox's namespace can only be set by who is in its user namespace, which nobody leaves
    /// again: a short-lived child goes there.
    fn close_inside(&self, pid: libc::pid_t) -> Result<(), NetError> {
        let mut batch = Batch::default();
        close_destinations(&mut batch, &routed::host_addresses(&self.socket)?);
        let target = Pid::from_raw(pid)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .map_err(|errno| NetError::Namespace { pid, source: errno.into() })?;
        run_inside(&target, &batch).map_err(|source| NetError::CloseInside { pid, source })
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
                return Ok(());
            }
            if let Some(status) =
                self.child.try_wait().map_err(|source| NetError::PastaStart { source })?
            {
                return Err(NetError::PastaEnded { status: status.to_string() });
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

/// Sends `batch` from within the user and network namespaces of the process behind `target`.
fn run_inside(target: &OwnedFd, batch: &Batch) -> io::Result<()> {
    // SAFETY: the child calls nothing that allocates or locks: setns, socket, send, recv and _exit.
    // JUSTIFICATION: a process that has entered a user namespace cannot return, so another one must go.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = i32::from(enter_and_run(target, batch).err().map_or(0, errno_byte));
        // SAFETY: ends the process at once, running no destructors of the parent's.
        // JUSTIFICATION: `std::process::exit` runs handlers registered in the parent.
        unsafe { libc::_exit(code) }
    }
    let child = Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error)?;
    let ended = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::from(io::ErrorKind::Interrupted)),
    }
}

fn enter_and_run(target: &OwnedFd, batch: &Batch) -> io::Result<()> {
    move_into_thread_name_spaces(
        target.as_fd(),
        ThreadNameSpaceType::USER | ThreadNameSpaceType::NETWORK,
    )?;
    Socket::open()?.run_unallocated(batch)
}

/// Every errno of Linux that matters here fits an exit code.
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
