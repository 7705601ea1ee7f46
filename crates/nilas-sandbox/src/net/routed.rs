//! Networks for sandboxes of a root spawner: one veth pair each, host routes, address translation.
//!
//! No bridge: a bridge ends at 1,024 ports. No ARP: both ends know each other for good. The host's end
//! has no address at all, so there is nothing on it to talk to.
//!
//! Invariant: no link exists before the packet filter's rules do.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::firewall::{Firewall, Rules};
use super::netlink::{Batch, End, ROUTE_PROTOCOL, Socket};
use super::subnet::Subnet;
use super::{NetConfig, NetError, dns};

/// How the outside end of a pair looks to the sandbox, and its own end to the host. Locally administered, and
/// the same for all: nobody ever sees two of them.
const HOST_MAC: [u8; 6] = [0x02, 0x6e, 0x6c, 0, 0, 1];
const INSIDE_MAC: [u8; 6] = [0x02, 0x6e, 0x6c, 0, 0, 2];

/// The name AWS's environments show too.
const INSIDE_NAME: &str = "eth0";

/// Host addresses closed inside each sandbox as a second wall. The packet filter closes all, however many.
const HOST_ADDRESSES_CLOSED_MAX: usize = 64;

/// How often to look whether a new link passes packets, on kernels that do not make sure of it: at most 10 ms.
const LOOKS_MAX: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// How long to wait for another server to have chosen its subnet, which takes it a millisecond: at most 1 s.
const TURN_LOOKS_MAX: u32 = 1_000;
const TURN_LOOK_EVERY: Duration = Duration::from_millis(1);

const MTU_DEFAULT: u32 = 1500;
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// The host's side: rules, routes and the socket to change them.
#[derive(Debug)]
pub(super) struct Routed {
    prefix: String,
    subnet: Subnet,
    resolvers: Vec<Ipv4Addr>,
    firewall: Firewall,
    socket: Socket,
    /// The spawner's own network namespace, to come back to.
    home: File,
    mtu: u32,
    ipv6: bool,
    /// Number of links made so far: their names are never used twice, however slowly the kernel removes them.
    serial: u32,
    pub(super) forwarding_switched_on: bool,
    /// A firewall of somebody else's that drops forwarded packets and cannot be told not to.
    pub(super) foreign_firewall: Option<String>,
}

// === impl Routed ===

impl Routed {
    pub(super) fn set_up(config: &NetConfig) -> Result<Self, NetError> {
        let firewall = Firewall::find().ok_or(NetError::NoFirewall)?;
        let socket =
            Socket::open().map_err(|source| NetError::Netlink { step: "open socket", source })?;
        let home = namespace("/proc/thread-self/ns/net")
            .map_err(|source| NetError::Namespace { pid: 0, source })?;
        let mut routed = Self {
            prefix: config.prefix.clone(),
            subnet: claim_subnet(&socket, config)?,
            resolvers: dns::nameservers_v4(&config.nameservers),
            mtu: uplink_mtu(&socket),
            home,
            ipv6: fs::exists("/proc/sys/net/ipv6").unwrap_or(false),
            firewall,
            socket,
            serial: 0,
            forwarding_switched_on: false,
            foreign_firewall: None,
        };
        if let Err(error) = routed.open_paths(config) {
            routed.tear_down();
            return Err(error);
        }
        Ok(routed)
    }

    fn open_paths(&mut self, config: &NetConfig) -> Result<(), NetError> {
        let rules = Rules {
            prefix: &self.prefix,
            subnet: self.subnet,
            resolvers: &self.resolvers,
            closed_ports: &config.closed_ports,
        };
        // Rules before forwarding: there is no moment in which a packet of a sandbox passes unfiltered.
        self.firewall.set_up(&rules)?;
        self.foreign_firewall = self.firewall.admit(&self.prefix)?;
        self.forwarding_switched_on =
            forwarding_on().map_err(|source| NetError::Forwarding { source })?;
        Ok(())
    }

    /// Connects the network namespace of `pid`. Both ends go when that namespace does, in the kernel's own time:
    /// deleting them ourselves would hold up the caller for 30 ms and more, since the kernel waits for all its
    /// readers. Until then a route to a reused slot is replaced by the newer one.
    pub(super) fn attach(&mut self, slot: u32, inside: &File) -> Result<(), NetError> {
        let address =
            self.subnet.address(slot).ok_or(NetError::Slot { slot, slots: self.subnet.slots() })?;
        self.serial = self.serial.wrapping_add(1);
        let name = format!("{}-{:x}", self.prefix, self.serial);

        let mut pair = Batch::default();
        let host_end = End { name: &name, mac: HOST_MAC };
        let inside_end = End { name: INSIDE_NAME, mac: INSIDE_MAC };
        pair.veth(host_end, mark(&self.prefix), inside_end, inside.as_fd(), self.mtu);
        self.socket.run(&pair)?;

        let connected = self.connect(&name, address, inside);
        if connected.is_err() {
            self.delete(&name);
        }
        connected
    }

    fn connect(&self, name: &str, address: Ipv4Addr, inside: &File) -> Result<(), NetError> {
        let host_link = self
            .socket
            .link_index(name)
            .map_err(|source| NetError::Netlink { step: "find link", source })?;
        let mut host = Batch::default();
        host.forwarding(host_link);
        if self.ipv6 {
            host.no_ipv6_address(host_link);
        }
        host.up(host_link);
        host.host_route(host_link, address);
        host.neighbour(host_link, address, INSIDE_MAC);
        self.socket.run(&host)?;

        let socket = self
            .socket_inside(inside)
            .map_err(|source| NetError::Netlink { step: "enter namespace", source })?;
        // Not always 2: some tunnel drivers put a device of theirs into each new namespace.
        let link = socket
            .link_index(INSIDE_NAME)
            .map_err(|source| NetError::Netlink { step: "find link", source })?;
        socket.run(&self.inside(link, address)?)?;
        self.wait_up(host_link)
    }

    /// The host's end came up before its peer. The kernel notices the peer a moment later, and drops until then
    /// what is for the sandbox: its first connection would wait a second for its SYN to be sent again.
    fn wait_up(&self, link: u32) -> Result<(), NetError> {
        for _ in 0..LOOKS_MAX {
            let up = self.socket.link_is_up(link);
            if up.map_err(|source| NetError::Netlink { step: "look at link", source })? {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Everything the sandbox's own namespace needs, in the order the kernel wants it.
    fn inside(&self, link: u32, address: Ipv4Addr) -> Result<Batch, NetError> {
        let gateway = self.subnet.gateway();
        let mut batch = Batch::default();
        batch.up(1);
        if self.ipv6 {
            batch.no_ipv6_address(link);
        }
        batch.up(link);
        batch.address(link, address);
        batch.neighbour(link, gateway, HOST_MAC);
        super::close_destinations(&mut batch, &host_addresses(&self.socket)?);
        batch.route_via(link, Ipv4Addr::UNSPECIFIED, 0, gateway);
        // After the closed ones, to replace them: a name server may be on the host or link-local, as in clouds.
        // The packet filter opens nothing of it but port 53.
        for resolver in &self.resolvers {
            batch.route_via(link, *resolver, 32, gateway);
        }
        Ok(batch)
    }

    /// A netlink socket that belongs to the sandbox's namespace. The thread is there only while it opens it.
    fn socket_inside(&self, inside: &File) -> io::Result<Socket> {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(inside.as_fd(), network)?;
        let socket = Socket::open();
        if move_into_link_name_space(self.home.as_fd(), network).is_err() {
            // Going on would build the next sandbox's network inside this one's. The kernel has no reason to
            // refuse: the namespace is our own, and the privilege that let us leave it lets us return.
            std::process::abort();
        }
        socket
    }

    fn delete(&self, name: &str) {
        let mut batch = Batch::default();
        batch.delete_link(name);
        if let Err(refused) = self.socket.run(&batch)
            && refused.source.raw_os_error() != Some(libc::ENODEV)
        {
            tracing::warn!(link = name, error = %refused.source, "cannot delete link");
        }
    }

    pub(super) fn tear_down(&mut self) {
        clean(&self.socket, &self.prefix);
    }

    pub(super) fn describe(&self) -> String {
        format!("veth pairs in {}, filtered by {}", self.subnet, self.firewall.name())
    }

    pub(super) fn subnet(&self) -> Subnet {
        self.subnet
    }
}

/// Removes what a server with this prefix left behind: links, the claim on a subnet, rules.
pub(super) fn clean_leftovers(prefix: &str) -> Result<(), NetError> {
    let socket =
        Socket::open().map_err(|source| NetError::Netlink { step: "open socket", source })?;
    clean(&socket, prefix);
    Ok(())
}

/// Does as much as can be done: one leftover that resists must not keep the others.
fn clean(socket: &Socket, prefix: &str) {
    let mark = mark(prefix);
    let mut links = Batch::default();
    links.delete_group(mark);
    if let Err(refused) = socket.run(&links)
        && refused.source.raw_os_error() != Some(libc::ENODEV)
    {
        tracing::warn!(prefix, error = %refused.source, "cannot delete links");
    }
    let claims = socket.routes().unwrap_or_default();
    for claim in
        claims.iter().filter(|route| route.protocol == ROUTE_PROTOCOL && route.metric == mark)
    {
        let mut batch = Batch::default();
        batch.delete_unreachable(claim.destination, claim.bits, mark);
        if let Err(refused) = socket.run(&batch) {
            tracing::warn!(subnet = %claim.destination, error = %refused.source, "cannot release subnet");
        }
    }
    if let Some(firewall) = Firewall::find()
        && let Err(error) = firewall.remove(prefix)
    {
        tracing::warn!(prefix, error = %error, "cannot remove packet filter rules");
    }
}

/// The host's addresses that are not loopback, and not all of very many.
pub(super) fn host_addresses(socket: &Socket) -> Result<Vec<Ipv4Addr>, NetError> {
    let all = socket
        .addresses()
        .map_err(|source| NetError::Netlink { step: "list addresses", source })?;
    let outside =
        all.into_iter().map(|(address, _)| address).filter(|address| !address.is_loopback());
    Ok(outside.take(HOST_ADDRESSES_CLOSED_MAX).collect())
}

/// Takes the subnet of the configuration, or else one that is free, and shows by a route that it is taken.
fn claim_subnet(socket: &Socket, config: &NetConfig) -> Result<Subnet, NetError> {
    // Servers that look at the same time would all find the same one.
    let _turn = take_turn();
    let subnet = match config.subnet {
        Some(subnet) => subnet,
        None => free_subnet(socket)?,
    };
    let mut batch = Batch::default();
    batch.unreachable(subnet.base(), subnet.bits(), mark(&config.prefix));
    socket.run(&batch)?;
    Ok(subnet)
}

/// Waits until no other server of this network namespace is choosing a subnet; the turn ends with the socket.
///
/// An abstract socket name is a lock with just that scope, and is gone with its process. None if somebody keeps it: going
/// on risks a clash, not going on would let anybody on the host keep the server from its network.
fn take_turn() -> Option<OwnedFd> {
    let name = SocketAddrUnix::new_abstract_name(b"nilas-subnet").ok()?;
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).ok()?;
    for _ in 0..TURN_LOOKS_MAX {
        match bind(&socket, &name) {
            Ok(()) => return Some(socket),
            Err(_) => std::thread::sleep(TURN_LOOK_EVERY),
        }
    }
    None
}

fn free_subnet(socket: &Socket) -> Result<Subnet, NetError> {
    let list = |step| move |source| NetError::Netlink { step, source };
    let mut taken = socket.addresses().map_err(list("list addresses"))?;
    let routes = socket.routes().map_err(list("list routes"))?;
    // The default route overlaps everything and claims nothing.
    taken.extend(
        routes.iter().filter(|route| route.bits > 0).map(|route| (route.destination, route.bits)),
    );
    Subnet::free(&taken).ok_or(NetError::NoSubnet)
}

/// The MTU of the way out, so that what sandboxes send needs no fragments.
fn uplink_mtu(socket: &Socket) -> u32 {
    let routes = socket.routes().unwrap_or_default();
    let uplink = routes.iter().find(|route| route.bits == 0 && route.table == libc::RT_TABLE_MAIN);
    let links = socket.links().unwrap_or_default();
    let link = uplink.and_then(|uplink| links.iter().find(|link| link.index == uplink.link));
    link.map_or(MTU_DEFAULT, |link| link.mtu.clamp(576, MTU_DEFAULT))
}

/// Tells apart what servers with different data directories made: FNV-1a of the prefix. The group of our links
/// and the metric of our claim.
fn mark(prefix: &str) -> u32 {
    prefix
        .bytes()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        | 1 << 31
}

/// Makes the host forward IPv4; true if it did not before. Per-interface switches would not do: replies arrive
/// on whatever interface leads out, and that changes while we run.
fn forwarding_on() -> io::Result<bool> {
    if fs::read_to_string(IP_FORWARD)?.trim() == "1" {
        return Ok(false);
    }
    fs::write(IP_FORWARD, "1")?;
    Ok(true)
}

fn namespace(path: &str) -> io::Result<File> {
    File::open(path)
}
