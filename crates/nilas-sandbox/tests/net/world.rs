//! The pieces tests build networks from: a host, an outside, sandboxes, probes and servers.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nilas_sandbox::Namespaces;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Addresses of the test's outside; documentation ranges, so that a mistake reaches nobody.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
pub(crate) const HOST_SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Long enough for a packet, short enough to wait for one that never comes.
const PROBE: Duration = Duration::from_millis(300);

/// True if the test can run; says why not otherwise.
pub(crate) fn ready(programs: &[&str]) -> bool {
    let root = rustix::process::geteuid().is_root();
    let missing: Vec<_> = programs.iter().filter(|program| !installed(program)).collect();
    if root && missing.is_empty() {
        return true;
    }
    println!("SKIPPED: needs root (is {root}) and the programs {missing:?}");
    false
}

fn installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists())
}

/// Puts the calling thread into a fresh network namespace that plays the host, with an uplink to an outside.
pub(crate) struct World {
    pub(crate) outside: OwnedFd,
}

impl World {
    pub(crate) fn new() -> Self {
        fresh_network();
        let outside = std::thread::spawn(|| {
            fresh_network();
            own_network()
        })
        .join()
        .expect("outside");
        let world = Self { outside };
        run("ip", &["link", "add", "uplink", "type", "veth", "peer", "name", "world"]);
        // A child's process id is all `ip` takes without names under /run: let one stand in the outside.
        let holder = in_namespace(&world.outside, || {
            KillOnDrop(Command::new("sleep").arg("60").spawn().expect("sleep"))
        });
        run("ip", &["link", "set", "world", "netns", &holder.0.id().to_string()]);
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["addr", "add", &format!("{HOST}/24"), "dev", "uplink"]);
        run("ip", &["addr", "add", &format!("{HOST_SECOND}/32"), "dev", "lo"]);
        run("ip", &["link", "set", "uplink", "up"]);
        run("ip", &["route", "add", "default", "via", &OUTSIDE.to_string()]);
        in_namespace(&world.outside, || {
            run("ip", &["link", "set", "lo", "up"]);
            run("ip", &["addr", "add", &format!("{OUTSIDE}/24"), "dev", "world"]);
            run("ip", &["addr", "add", &format!("{METADATA}/32"), "dev", "lo"]);
            run("ip", &["link", "set", "world", "up"]);
        });
        world
    }
}

/// A process with a user and a network namespace of its own, as the spawner makes them.
pub(crate) struct SandboxChild(KillOnDrop);

pub(crate) struct KillOnDrop(pub(crate) Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("reap");
    }
}

impl SandboxChild {
    pub(crate) fn start() -> Self {
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "sh", "-c", "echo; exec sleep 120"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut line = [0];
        child.stdout.take().expect("stdout").read_exact(&mut line).expect("sandbox is up");
        Self(KillOnDrop(child))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.0.id().cast_signed()
    }

    pub(crate) fn namespaces(&self) -> Namespaces {
        Namespaces::of(self.pid()).expect("a live child")
    }

    /// Runs `probe` in the sandbox's network namespace, with more privilege than a sandbox ever has.
    pub(crate) fn probe<T: Send>(&self, probe: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid())).expect("namespace");
        in_namespace(&namespace.into(), probe)
    }

    /// Whether a TCP connection comes to be, and the server's greeting.
    pub(crate) fn reaches(&self, address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
        self.probe(move || {
            connect(SocketAddr::new(IpAddr::V4(address), port)).map_err(|error| error.kind())
        })
    }

    /// Sends so many bytes at once, and gives the server's count of them.
    pub(crate) fn pours(
        &self,
        address: Ipv4Addr,
        port: u16,
        bytes: usize,
    ) -> Result<String, ErrorKind> {
        self.probe(move || {
            let pour = || {
                let mut stream = TcpStream::connect_timeout(&(address, port).into(), PROBE)?;
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                stream.set_write_timeout(Some(Duration::from_secs(2)))?;
                stream.write_all(&vec![0; bytes])?;
                stream.shutdown(std::net::Shutdown::Write)?;
                let mut count = String::new();
                stream.read_to_string(&mut count)?;
                Ok(count)
            };
            pour().map_err(|error: io::Error| error.kind())
        })
    }

    /// Whether a datagram is answered.
    pub(crate) fn asks(&self, address: Ipv4Addr, port: u16) -> bool {
        self.probe(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
            socket.set_read_timeout(Some(PROBE)).expect("timeout");
            socket.send_to(b"?", (address, port)).is_ok() && socket.recv(&mut [0; 8]).is_ok()
        })
    }
}

/// Tells each connection how many bytes it has sent, until the test ends.
pub(crate) fn count_tcp(address: Ipv4Addr) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("listen");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let count = io::copy(&mut stream, &mut io::sink()).unwrap_or_default();
            stream.write_all(count.to_string().as_bytes()).expect("tell");
        }
    });
    port
}

fn connect(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
    stream.set_read_timeout(Some(PROBE))?;
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting)?;
    Ok(greeting)
}

/// Greets each connection with the address it comes from, until the test ends.
pub(crate) fn serve_tcp(address: Ipv4Addr, port: u16) -> u16 {
    let listener = TcpListener::bind((address, port)).expect("listen");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let peer = stream.peer_addr().expect("peer").ip();
            stream.write_all(peer.to_string().as_bytes()).expect("greet");
        }
    });
    port
}

/// Answers each datagram with itself, until the test ends.
pub(crate) fn serve_udp(address: Ipv4Addr, port: u16) {
    let socket = UdpSocket::bind((address, port)).expect("bind");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], peer).expect("answer");
        }
    });
}

/// Runs `act` on a thread in the given network namespace; threads it starts stay there.
pub(crate) fn in_namespace<T: Send>(namespace: &OwnedFd, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("setns");
                act()
            })
            .join()
            .expect("probe")
    })
}

fn fresh_network() {
    // SAFETY: a network namespace of its own has no bearing on the thread's memory or descriptors.
    // JUSTIFICATION: rustix marks every `unshare` as unsafe, and each test needs a host of its own.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("unshare");
}

fn own_network() -> OwnedFd {
    File::open("/proc/thread-self/ns/net").expect("namespace").into()
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes the calling thread an ordinary user's, with a tap device that user may open.
pub(crate) fn become_user_with_tun() {
    own_mounts();
    let directory = tempfile::tempdir().expect("scratch");
    let node = directory.path().join("tun").display().to_string();
    run("mount", &["-t", "tmpfs", "tmpfs", &directory.path().display().to_string()]);
    run("mknod", &["-m", "666", &node, "c", "10", "200"]);
    run("mount", &["--bind", &node, "/dev/net/tun"]);
    run("umount", &[&directory.path().display().to_string()]);
    let user = rustix::process::Uid::from_raw(65_533);
    let group = rustix::process::Gid::from_raw(65_533);
    rustix::thread::set_thread_groups(&[]).expect("no groups");
    rustix::thread::set_thread_res_gid(group, group, group).expect("group");
    rustix::thread::set_thread_res_uid(user, user, user).expect("user");
}

/// Makes the calling thread, and what it starts, see no program at `path`.
pub(crate) fn hide_program(path: &str) {
    own_mounts();
    if Path::new(path).exists() {
        run("mount", &["--bind", "/dev/null", path]);
    }
}

fn own_mounts() {
    // SAFETY: a mount namespace of its own has no bearing on the thread's memory or descriptors.
    // JUSTIFICATION: rustix marks every `unshare` as unsafe; the machine's own mounts must not change.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.expect("unshare");
    run("mount", &["--make-rprivate", "/"]);
}
