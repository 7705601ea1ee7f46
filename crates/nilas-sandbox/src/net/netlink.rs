//! The few rtnetlink messages the network needs, encoded by hand, and a socket that sends them.
//!
//! Invariant: no wait. The kernel answers a request inside `send`, so every receive is non-blocking.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::{
    Link, NETLINK_HEADER_BYTES, Route, address_header, attributes, decode_address, decode_link,
    decode_route, link_header, messages, nest, pad, put, put_text, route_header,
};

/// Room for one datagram of a dump; the kernel never makes larger ones for a reader that asks for less than 32 KiB.
const DATAGRAM_BYTES_MAX: usize = 32 * 1024;

/// Room for all the kernel tells of one link.
const LINK_BYTES_MAX: usize = 8 * 1024;

// Not in the libc crate. Values from linux/if.h, linux/veth.h, linux/if_link.h and linux/rtnetlink.h.
const IF_OPER_UP: u8 = 6;
const RTNH_F_ONLINK: u32 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IPV4_DEVCONF_FORWARDING: u16 = 1;

/// Routes of ours carry this as their protocol, so that leftovers can be told from the administrator's.
pub(super) const ROUTE_PROTOCOL: u8 = 0x6e;

/// A connection to the routing part of the network namespace it was opened in.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// Messages sent with one system call; each is acknowledged on its own.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    steps: Vec<&'static str>,
}

/// The kernel said no to one message of a batch.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) step: &'static str,
    pub(super) source: io::Error,
}

/// One end of a veth pair to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) mac: [u8; 6],
}

// === impl Socket ===

impl Socket {
    /// Opens in the calling thread's network namespace; the socket stays there wherever the thread goes.
    pub(super) fn open() -> io::Result<Self> {
        let kind = SocketType::RAW;
        Ok(Self(rustix::net::socket_with(
            AddressFamily::NETLINK,
            kind,
            SocketFlags::CLOEXEC,
            None,
        )?))
    }

    /// Sends all, then reports the first refusal. Messages after a refused one are still carried out by the kernel.
    pub(super) fn run(&self, batch: &Batch) -> Result<(), Refused> {
        let step = batch.steps.first().copied().unwrap_or("send nothing");
        self.send(&batch.bytes).map_err(|source| Refused { step, source })?;
        let mut answered = 0;
        let mut first: Option<(usize, i32)> = None;
        let mut buffer = [0; 4096];
        while answered < batch.steps.len() {
            let length = self.receive(&mut buffer).map_err(|source| Refused { step, source })?;
            for (kind, sequence, body) in messages(&buffer[..length]) {
                if kind != libc::NLMSG_ERROR as u16 {
                    continue;
                }
                answered += 1;
                let errno = body
                    .get(..4)
                    .map_or(-libc::EPROTO, |b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
                if errno != 0 && first.is_none() {
                    first = Some((sequence as usize, -errno));
                }
            }
        }
        match first {
            None => Ok(()),
            Some((at, errno)) => Err(Refused {
                step: batch.steps.get(at).copied().unwrap_or(step),
                source: io::Error::from_raw_os_error(errno),
            }),
        }
    }

    /// Sends a batch made earlier and reads one acknowledgement, without allocating: for use after `fork`.
    pub(super) fn run_unallocated(&self, batch: &Batch) -> io::Result<()> {
        self.send(&batch.bytes)?;
        let mut buffer = [0; 4096];
        for _ in &batch.steps {
            let length = self.receive(&mut buffer)?;
            let errno = buffer[..length].get(NETLINK_HEADER_BYTES..NETLINK_HEADER_BYTES + 4);
            match errno.map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]])) {
                Some(0) => {}
                Some(errno) => return Err(io::Error::from_raw_os_error(-errno)),
                None => return Err(io::Error::from_raw_os_error(libc::EPROTO)),
            }
        }
        Ok(())
    }

    /// The index of the link with this name, in the socket's namespace.
    pub(super) fn link_index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.0, name)?)
    }

    /// Whether the link passes packets by now. Newer kernels make it so before they answer.
    pub(super) fn link_is_up(&self, link: u32) -> io::Result<bool> {
        let mut batch = Batch::default();
        batch.add("look at link", libc::RTM_GETLINK, 0, |message| {
            message.extend_from_slice(&link_header(link, 0, 0));
        });
        self.send(&batch.bytes)?;
        let mut up = false;
        let mut buffer = [0; LINK_BYTES_MAX];
        loop {
            let length = self.receive(&mut buffer)?;
            for (kind, _, body) in messages(&buffer[..length]) {
                if kind == libc::NLMSG_ERROR as u16 {
                    return Ok(up);
                }
                let mut fields = attributes(body.get(16..).unwrap_or_default());
                up |= fields
                    .any(|(kind, value)| kind == libc::IFLA_OPERSTATE && value == [IF_OPER_UP]);
            }
        }
    }

    pub(super) fn links(&self) -> io::Result<Vec<Link>> {
        let header = link_header(0, 0, 0);
        self.dump(libc::RTM_GETLINK, libc::RTM_NEWLINK, &header, decode_link)
    }

    pub(super) fn routes(&self) -> io::Result<Vec<Route>> {
        let header = route_header(0, 0, 0, 0, 0);
        self.dump(libc::RTM_GETROUTE, libc::RTM_NEWROUTE, &header, decode_route)
    }

    /// Every IPv4 address of the namespace with its prefix length, loopback's too.
    pub(super) fn addresses(&self) -> io::Result<Vec<(Ipv4Addr, u8)>> {
        let header = address_header(0, 0, 0);
        self.dump(libc::RTM_GETADDR, libc::RTM_NEWADDR, &header, decode_address)
    }

    fn dump<T>(
        &self,
        request: u16,
        answer: u16,
        header: &[u8],
        decode: fn(&[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut batch = Batch::default();
        let flags = libc::NLM_F_DUMP as u16;
        batch.add("dump", request, flags, |message| message.extend_from_slice(header));
        self.send(&batch.bytes)?;
        let mut found = Vec::new();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let length = self.receive(&mut buffer)?;
            for (kind, _, body) in messages(&buffer[..length]) {
                if kind == libc::NLMSG_DONE as u16 {
                    return Ok(found);
                }
                if kind == libc::NLMSG_ERROR as u16 {
                    return Err(io::Error::from_raw_os_error(libc::EPROTO));
                }
                if kind == answer {
                    found.extend(decode(body));
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.0, bytes, SendFlags::empty())?;
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, _) = rustix::net::recv(&self.0, buffer, RecvFlags::DONTWAIT)?;
        Ok(length)
    }
}

// === impl Batch ===

impl Batch {
    /// A veth pair: `host` here and in `group`, `inside` in the namespace behind `namespace`.
    pub(super) fn veth(
        &mut self,
        host: End<'_>,
        group: u32,
        inside: End<'_>,
        namespace: BorrowedFd<'_>,
        mtu: u32,
    ) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        self.add("create veth", libc::RTM_NEWLINK, flags, |message| {
            message.extend_from_slice(&link_header(0, 0, 0));
            put_end(message, host, mtu);
            put(message, libc::IFLA_GROUP, &group.to_ne_bytes());
            nest(message, libc::IFLA_LINKINFO, |info| {
                put(info, libc::IFLA_INFO_KIND, b"veth");
                nest(info, libc::IFLA_INFO_DATA, |data| {
                    nest(data, VETH_INFO_PEER, |peer| {
                        peer.extend_from_slice(&link_header(0, 0, 0));
                        put_end(peer, inside, mtu);
                        put(peer, libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
                    });
                });
            });
        });
    }

    /// Keeps the kernel from giving the link an IPv6 address when it comes up.
    pub(super) fn no_ipv6_address(&mut self, link: u32) {
        self.add("close IPv6 on link", libc::RTM_NEWLINK, 0, |message| {
            message.extend_from_slice(&link_header(link, 0, 0));
            nest(message, libc::IFLA_AF_SPEC, |spec| {
                nest(spec, libc::AF_INET6 as u16, |inet6| {
                    put(inet6, IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
                });
            });
        });
    }

    /// Lets the kernel forward what arrives on the link, even where new links do not by default.
    pub(super) fn forwarding(&mut self, link: u32) {
        self.add("forward from link", libc::RTM_NEWLINK, 0, |message| {
            message.extend_from_slice(&link_header(link, 0, 0));
            nest(message, libc::IFLA_AF_SPEC, |spec| {
                nest(spec, libc::AF_INET as u16, |inet| {
                    nest(inet, IFLA_INET_CONF, |conf| {
                        put(conf, IPV4_DEVCONF_FORWARDING, &1_u32.to_ne_bytes());
                    });
                });
            });
        });
    }

    pub(super) fn up(&mut self, link: u32) {
        let up = libc::IFF_UP as u32;
        self.add("bring link up", libc::RTM_NEWLINK, 0, |message| {
            message.extend_from_slice(&link_header(link, up, up));
        });
    }

    pub(super) fn delete_link(&mut self, name: &str) {
        self.add("delete link", libc::RTM_DELLINK, 0, |message| {
            message.extend_from_slice(&link_header(0, 0, 0));
            put_text(message, libc::IFLA_IFNAME, name);
        });
    }

    /// All links of `group` at once; one by one, each would cost tens of milliseconds.
    pub(super) fn delete_group(&mut self, group: u32) {
        self.add("delete links", libc::RTM_DELLINK, 0, |message| {
            message.extend_from_slice(&link_header(0, 0, 0));
            put(message, libc::IFLA_GROUP, &group.to_ne_bytes());
        });
    }

    pub(super) fn address(&mut self, link: u32, address: Ipv4Addr) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        self.add("give address", libc::RTM_NEWADDR, flags, |message| {
            message.extend_from_slice(&address_header(32, libc::RT_SCOPE_UNIVERSE, link));
            put(message, libc::IFA_LOCAL, &address.octets());
            put(message, libc::IFA_ADDRESS, &address.octets());
        });
    }

    /// `address` is at the other end of `link`; an older route to it is replaced.
    pub(super) fn host_route(&mut self, link: u32, address: Ipv4Addr) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        self.add("add host route", libc::RTM_NEWROUTE, flags, |message| {
            message.extend_from_slice(&route_header(
                32,
                libc::RTN_UNICAST,
                libc::RT_SCOPE_LINK,
                0,
                ROUTE_PROTOCOL,
            ));
            put(message, libc::RTA_DST, &address.octets());
            put(message, libc::RTA_OIF, &link.to_ne_bytes());
        });
    }

    /// Everything of `destination`/`bits` goes to `gateway`, which need not be in a subnet of the link.
    pub(super) fn route_via(
        &mut self,
        link: u32,
        destination: Ipv4Addr,
        bits: u8,
        gateway: Ipv4Addr,
    ) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        self.add("add route", libc::RTM_NEWROUTE, flags, |message| {
            let scope = libc::RT_SCOPE_UNIVERSE;
            message.extend_from_slice(&route_header(
                bits,
                libc::RTN_UNICAST,
                scope,
                RTNH_F_ONLINK,
                ROUTE_PROTOCOL,
            ));
            put(message, libc::RTA_DST, &destination.octets());
            put(message, libc::RTA_GATEWAY, &gateway.octets());
            put(message, libc::RTA_OIF, &link.to_ne_bytes());
        });
    }

    /// Packets to `destination`/`bits` are dropped without a word.
    pub(super) fn blackhole(&mut self, destination: Ipv4Addr, bits: u8) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        let header =
            route_header(bits, libc::RTN_BLACKHOLE, libc::RT_SCOPE_UNIVERSE, 0, ROUTE_PROTOCOL);
        self.add("close destination", libc::RTM_NEWROUTE, flags, |message| {
            message.extend_from_slice(&header);
            put(message, libc::RTA_DST, &destination.octets());
        });
    }

    /// Packets to `destination`/`bits` are refused unless a narrower route knows better.
    pub(super) fn unreachable(&mut self, destination: Ipv4Addr, bits: u8, metric: u32) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        self.subnet_route("claim subnet", libc::RTM_NEWROUTE, flags, destination, bits, metric);
    }

    pub(super) fn delete_unreachable(&mut self, destination: Ipv4Addr, bits: u8, metric: u32) {
        self.subnet_route("release subnet", libc::RTM_DELROUTE, 0, destination, bits, metric);
    }

    fn subnet_route(
        &mut self,
        step: &'static str,
        kind: u16,
        flags: u16,
        destination: Ipv4Addr,
        bits: u8,
        metric: u32,
    ) {
        let header =
            route_header(bits, libc::RTN_UNREACHABLE, libc::RT_SCOPE_UNIVERSE, 0, ROUTE_PROTOCOL);
        self.add(step, kind, flags, |message| {
            message.extend_from_slice(&header);
            put(message, libc::RTA_DST, &destination.octets());
            put(message, libc::RTA_PRIORITY, &metric.to_ne_bytes());
        });
    }

    /// `address` has hardware address `mac`, for good: no ARP, and no share in the kernel's limited neighbour table.
    pub(super) fn neighbour(&mut self, link: u32, address: Ipv4Addr, mac: [u8; 6]) {
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        self.add("add neighbour", libc::RTM_NEWNEIGH, flags, |message| {
            message.extend_from_slice(&[libc::AF_INET as u8, 0, 0, 0]);
            message.extend_from_slice(&link.to_ne_bytes());
            message.extend_from_slice(&libc::NUD_PERMANENT.to_ne_bytes());
            message.extend_from_slice(&[0, 0]);
            put(message, libc::NDA_DST, &address.octets());
            put(message, libc::NDA_LLADDR, &mac);
        });
    }

    fn add(&mut self, step: &'static str, kind: u16, flags: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        let acknowledge = if flags & libc::NLM_F_DUMP as u16 == libc::NLM_F_DUMP as u16 {
            0
        } else {
            libc::NLM_F_ACK
        };
        let flags = flags | (libc::NLM_F_REQUEST | acknowledge) as u16;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        // The sequence number is the place in the batch: it names the step when the kernel refuses.
        self.bytes.extend_from_slice(&(self.steps.len() as u32).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        fill(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        pad(&mut self.bytes);
        self.steps.push(step);
    }
}

fn put_end(message: &mut Vec<u8>, end: End<'_>, mtu: u32) {
    put_text(message, libc::IFLA_IFNAME, end.name);
    put(message, libc::IFLA_ADDRESS, &end.mac);
    put(message, libc::IFLA_MTU, &mtu.to_ne_bytes());
    // By default a veth gets one queue a CPU at each end: memory and time for nothing here.
    put(message, libc::IFLA_NUM_TX_QUEUES, &1_u32.to_ne_bytes());
    put(message, libc::IFLA_NUM_RX_QUEUES, &1_u32.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// One message as hexadecimal words, native order made little-endian by construction on the machines we build for.
    fn encoded(fill: impl FnOnce(&mut Batch)) -> Vec<u8> {
        let mut batch = Batch::default();
        fill(&mut batch);
        assert_eq!(batch.bytes.len() % 4, 0, "messages are aligned");
        batch.bytes
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn encodes_an_address_as_iproute2_does() {
        let bytes = encoded(|batch| batch.address(7, Ipv4Addr::new(10, 213, 0, 2)));
        #[rustfmt::skip]
        let expected = [
            40, 0, 0, 0,  20, 0,  5, 6,  0, 0, 0, 0,  0, 0, 0, 0, // RTM_NEWADDR, REQUEST|ACK|CREATE|EXCL
            2, 32, 0, 0,  7, 0, 0, 0,
            8, 0,  2, 0,  10, 213, 0, 2, // IFA_LOCAL
            8, 0,  1, 0,  10, 213, 0, 2, // IFA_ADDRESS
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn nested_attributes_carry_their_whole_length() {
        let bytes = encoded(|batch| {
            let host = End { name: "nl-1", mac: [2; 6] };
            let inside = End { name: "eth0", mac: [4; 6] };
            let namespace = std::fs::File::open("/proc/self/ns/net").expect("own namespace");
            batch.veth(host, 77, inside, namespace.as_fd(), 1400);
        });
        let (kind, _, body) = messages(&bytes).next().expect("one message");
        assert_eq!(kind, libc::RTM_NEWLINK);
        let find = |bytes, wanted| {
            attributes(bytes).find(|(kind, _)| *kind == wanted).expect("attribute").1
        };
        let data = find(find(&body[16..], libc::IFLA_LINKINFO), libc::IFLA_INFO_DATA);
        let peer = find(data, VETH_INFO_PEER);
        assert_eq!(find(&peer[16..], libc::IFLA_IFNAME), b"eth0\0");
    }

    #[test]
    fn cut_short_datagrams_end_the_walk() {
        let bytes = encoded(|batch| batch.up(3));
        for length in 0..bytes.len() {
            assert_eq!(messages(&bytes[..length]).count(), 0, "{length} bytes");
        }
        assert_eq!(messages(&bytes).count(), 1);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "an attribute shorter than its header");
        assert_eq!(messages(&[0; 32]).count(), 0, "a message of length zero");
    }

    #[test]
    fn names_the_step_the_kernel_refused() {
        let socket = Socket::open().expect("netlink");
        let mut batch = Batch::default();
        batch.delete_link("nilas-no-link");
        let refused = socket.run(&batch).expect_err("no such link");
        assert_eq!(refused.step, "delete link");
        assert!(
            matches!(refused.source.raw_os_error(), Some(libc::ENODEV | libc::EPERM)),
            "{refused:?}"
        );
    }

    #[test]
    fn dumps_know_loopback() {
        let socket = Socket::open().expect("netlink");
        assert!(
            socket.links().expect("links").iter().any(|link| link.name == "lo" && link.index == 1)
        );
        socket.routes().expect("routes");
        let addresses = socket.addresses().expect("addresses");
        assert!(addresses.iter().all(|(_, bits)| *bits <= 32), "{addresses:?}");
    }
}
