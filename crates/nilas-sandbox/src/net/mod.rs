//! Networks for sandboxes: the way out, and the walls around it.
//!
//! A spawner run by root gives each sandbox a veth pair (`routed`), one run by an ordinary user a `pasta`
//! process (`pasta`). Where neither is possible, sandboxes have their loopback only, and a finding says why.
//!
//! Invariant: a sandbox reaches neither the host's own addresses, nor its loopback, nor another sandbox, nor
//! 169.254.0.0/16; name servers are excepted on port 53 alone.

mod dns;
mod firewall;
mod message;
mod netlink;
mod pasta;
pub(crate) mod program;
mod routed;
mod subnet;

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub use dns::{nameservers, resolv_conf_text};
pub use program::ProgramError;
pub use subnet::{Subnet, SubnetError};

use crate::Finding;
use netlink::{Batch, Refused, Socket};
use pasta::{Pasta, PastaProcess};
use routed::Routed;

/// Link-local addresses: the metadata services of clouds, which hand out the machine's credentials.
const LINK_LOCAL: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 0, 0), 16);

/// Interface names end at 15 bytes: the prefix, a dash and a serial number of 8 hexadecimal digits.
const PREFIX_BYTES_MAX: usize = 6;

#[derive(Debug, Clone)]
pub struct NetConfig {
    /// Begins the names of all that is made on the host; `[a-z0-9]{1,6}`, different for each data directory.
    pub prefix: String,
    /// Where sandboxes' addresses are from. `None` chooses a block that collides with none of the host's routes.
    pub subnet: Option<Subnet>,
    /// TCP and UDP ports that sandboxes reach on no machine: the control ports of a cluster.
    pub closed_ports: Vec<u16>,
    /// Reachable on port 53 even if they are the host's own addresses.
    pub nameservers: Vec<IpAddr>,
}

/// Where a sandbox's network is to be.
#[derive(Debug)]
pub struct Namespaces {
    /// The sandbox's first process, in the caller's numbering.
    pid: libc::pid_t,
    user: File,
    network: File,
}

/// The host's side of all sandboxes' networks. Dropping it leaves the host as it is; `tear_down` cleans up.
#[derive(Debug)]
pub struct HostNetwork {
    mode: Mode,
    nameservers: Vec<IpAddr>,
    closed_ports: Vec<u16>,
}

#[derive(Debug)]
enum Mode {
    Routed(Routed),
    Pasta(Pasta),
    /// Loopback only, and why.
    Closed {
        reason: String,
        remedy: Option<String>,
    },
}

/// One sandbox's network, to be given back by `HostNetwork::detach`.
#[derive(Debug)]
pub struct Attachment {
    pub slot: u32,
    link: Link,
}

#[derive(Debug)]
enum Link {
    Veth,
    Pasta(PastaProcess),
    Closed,
}

#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error(
        "interface prefix {prefix:?} is not 1 to {PREFIX_BYTES_MAX} lower-case letters and digits"
    )]
    Prefix { prefix: String },
    #[error("slot {slot} has no address: the subnet has {slots}")]
    Slot { slot: u32, slots: u32 },
    #[error("no private subnet is free of the host's routes")]
    NoSubnet,
    #[error("neither nft nor iptables is installed")]
    NoFirewall,
    #[error("cannot set the packet filter's rules")]
    Firewall {
        #[from]
        source: ProgramError,
    },
    #[error("cannot switch on IPv4 forwarding")]
    Forwarding { source: io::Error },
    #[error("cannot open the network namespace of process {pid}")]
    Namespace { pid: libc::pid_t, source: io::Error },
    #[error("netlink: cannot {step}")]
    Netlink { step: &'static str, source: io::Error },
    #[error("cannot close destinations inside process {pid}")]
    CloseInside { pid: libc::pid_t, source: io::Error },
    #[error("cannot start pasta")]
    PastaStart { source: io::Error },
    #[error("pasta ended with {status} before the network was there: {complaint}")]
    PastaEnded { status: String, complaint: String },
    #[error("pasta has set up no network within {waited_ms} ms")]
    PastaSlow { waited_ms: u128 },
}

// === impl NetConfig ===

impl NetConfig {
    /// The usual configuration: a free subnet, the host's name servers, no further closed ports.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            subnet: None,
            closed_ports: Vec::new(),
            nameservers: nameservers(),
        }
    }
}

// === impl Namespaces ===

impl Namespaces {
    /// Those of a live child with a user namespace of its own, which must not have made itself undumpable yet.
    pub fn of(pid: libc::pid_t) -> Result<Self, NetError> {
        let open = |name| {
            File::open(format!("/proc/{pid}/ns/{name}"))
                .map_err(|source| NetError::Namespace { pid, source })
        };
        Ok(Self { pid, user: open("user")?, network: open("net")? })
    }
}

// === impl HostNetwork ===

impl HostNetwork {
    /// Removes what an earlier server with this prefix left, and makes the best network the host and the caller's
    /// privileges allow. Fails only for a bad configuration: what the host cannot give is told by `findings`.
    pub fn set_up(config: &NetConfig) -> Result<Self, NetError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let length = config.prefix.len();
        if length == 0 || length > PREFIX_BYTES_MAX || !config.prefix.bytes().all(allowed) {
            return Err(NetError::Prefix { prefix: config.prefix.clone() });
        }
        let mode = if may_administer_network() {
            routed::clean_leftovers(&config.prefix)?;
            match Routed::set_up(config) {
                Ok(routed) => Mode::Routed(routed),
                Err(error) => Mode::closed(&error),
            }
        } else {
            match Pasta::find() {
                Ok(pasta) => Mode::Pasta(pasta),
                Err(lack) => Mode::Closed {
                    reason: lack.to_string(),
                    remedy: Some(lack.remedy().to_owned()),
                },
            }
        };
        Ok(Self {
            mode,
            nameservers: config.nameservers.clone(),
            closed_ports: config.closed_ports.clone(),
        })
    }

    /// Loopback only, as it was asked for.
    pub fn none(config: &NetConfig) -> Self {
        Self {
            mode: Mode::Closed { reason: "it was not asked for".to_owned(), remedy: None },
            nameservers: config.nameservers.clone(),
            closed_ports: config.closed_ports.clone(),
        }
    }

    /// Connects a network namespace. The caller has one thread: a process may be forked into the namespace.
    ///
    /// With `pasta` this returns while the network is still being made; `wait_ready` waits for it.
    pub fn attach(&mut self, slot: u32, sandbox: &Namespaces) -> Result<Attachment, NetError> {
        let link = match &mut self.mode {
            Mode::Routed(routed) => {
                routed.attach(slot, &sandbox.network)?;
                Link::Veth
            }
            Mode::Pasta(pasta) => pasta.attach(sandbox)?.map_or(Link::Closed, Link::Pasta),
            Mode::Closed { .. } => Link::Closed,
        };
        Ok(Attachment { slot, link })
    }

    /// Gives the slot back. Call it when the sandbox's processes are killed: a veth pair goes with the last
    /// process and socket of its namespace, without anybody waiting for it.
    pub fn detach(&mut self, attachment: Attachment) {
        match attachment.link {
            // Dropping the handle ends pasta.
            Link::Pasta(process) => drop(process),
            Link::Veth | Link::Closed => {}
        }
    }

    /// How sandboxes reach the outside here, and what is missing.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.outbound_finding()];
        if let Mode::Routed(routed) = &self.mode {
            findings.push(forwarding_finding(routed));
        }
        if matches!(self.mode, Mode::Pasta(_)) && !self.closed_ports.is_empty() {
            findings.push(closed_ports_finding(&self.closed_ports));
        }
        findings.push(nameserver_finding(&self.nameservers));
        findings
    }

    /// Removes everything this server made on the host. IPv4 forwarding stays on: others may rely on it by now.
    pub fn tear_down(&mut self) {
        if let Mode::Routed(routed) = &mut self.mode {
            routed.tear_down();
        }
    }

    /// Removes what a server that ended without `tear_down` left under this prefix.
    pub fn clean_leftovers(prefix: &str) -> Result<(), NetError> {
        if may_administer_network() { routed::clean_leftovers(prefix) } else { Ok(()) }
    }

    fn outbound_finding(&self) -> Finding {
        let feature = "outbound network".into();
        match &self.mode {
            Mode::Routed(routed) => {
                Finding { feature, ok: true, detail: routed.describe(), cost: None, remedy: None }
            }
            Mode::Pasta(pasta) => {
                Finding { feature, ok: true, detail: pasta.describe(), cost: None, remedy: None }
            }
            Mode::Closed { reason, remedy } => Finding {
                feature,
                ok: false,
                detail: reason.clone(),
                cost: Some("functions reach nothing but nilas itself".to_owned()),
                remedy: remedy.clone(),
            },
        }
    }
}

// === impl Mode ===

impl Mode {
    fn closed(error: &NetError) -> Self {
        let cause = std::error::Error::source(error)
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        let remedy = matches!(error, NetError::NoFirewall).then(|| {
            "apt-get install nftables (Debian, Ubuntu) or dnf install nftables (Fedora)".to_owned()
        });
        Self::Closed { reason: format!("{error}{cause}"), remedy }
    }
}

// === impl Attachment ===

impl Attachment {
    /// Whether anything but the sandbox's own loopback is there, or will be.
    pub fn outbound(&self) -> bool {
        !matches!(self.link, Link::Closed)
    }

    /// Waits until the sandbox can reach the outside. At once, but with `pasta`: call it last before the sandbox's
    /// program starts, so that the wait overlaps with the making of the jail.
    pub fn wait_ready(&mut self, within: Duration) -> Result<(), NetError> {
        match &mut self.link {
            Link::Pasta(process) => process.wait_ready(within),
            Link::Veth | Link::Closed => Ok(()),
        }
    }
}

/// Brings up the loopback of the calling thread's network namespace and closes link-local addresses there.
/// For the sandbox's first process, while it still has the privileges of its user namespace.
pub fn loopback_up() -> io::Result<()> {
    let mut batch = Batch::default();
    batch.up(1);
    close_destinations(&mut batch, &[]);
    Socket::open()?.run(&batch).map_err(|refused| refused.source)
}

/// The wall inside: it stands even if somebody takes down the one outside, as the sandbox has no privilege over it.
fn close_destinations(batch: &mut Batch, hosts: &[Ipv4Addr]) {
    batch.blackhole(LINK_LOCAL.0, LINK_LOCAL.1);
    for host in hosts {
        batch.blackhole(*host, 32);
    }
}

/// Why an ordinary user's sandboxes have no way out on this host, and what mends it.
pub(crate) fn pasta_lack() -> Option<(String, &'static str)> {
    pasta::find_usable().err().map(|lack| (lack.to_string(), lack.remedy()))
}

fn may_administer_network() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| {
        sets.effective.contains(
            rustix::thread::CapabilitySet::NET_ADMIN | rustix::thread::CapabilitySet::SYS_ADMIN,
        )
    })
}

fn forwarding_finding(routed: &Routed) -> Finding {
    let state = if routed.forwarding_switched_on { "was off, switched on by nilas" } else { "on" };
    let mut finding = Finding {
        feature: "packet forwarding".into(),
        ok: true,
        detail: format!("net.ipv4.ip_forward {state}"),
        cost: None,
        remedy: None,
    };
    if let Some(chain) = &routed.foreign_firewall {
        let subnet = routed.subnet();
        finding.ok = false;
        finding.detail = format!("the firewall chain {chain} drops what it does not know");
        finding.cost = Some("functions may reach nothing outside this machine".to_owned());
        finding.remedy = Some(if chain.contains("firewalld") {
            format!(
                "firewall-cmd --permanent --zone=trusted --add-source={subnet} && firewall-cmd --reload"
            )
        } else {
            format!(
                "nft insert rule {chain} ip saddr {subnet} accept && nft insert rule {chain} ip daddr {subnet} ct state established,related accept"
            )
        });
    }
    finding
}

/// pasta knows no packet filter.
fn closed_ports_finding(ports: &[u16]) -> Finding {
    let list: Vec<String> = ports.iter().map(u16::to_string).collect();
    Finding {
        feature: "closed ports".into(),
        ok: false,
        detail: format!("pasta cannot close ports {}", list.join(", ")),
        cost: Some("functions reach these ports on other machines".to_owned()),
        remedy: Some("run nilas as root".to_owned()),
    }
}

fn nameserver_finding(nameservers: &[IpAddr]) -> Finding {
    let usable = dns::nameservers_v4(nameservers);
    let list: Vec<String> = usable.iter().map(Ipv4Addr::to_string).collect();
    let ok = !usable.is_empty();
    Finding {
        feature: "name servers".into(),
        ok,
        detail: if ok {
            list.join(", ")
        } else {
            "no IPv4 name server outside the loopback".to_owned()
        },
        cost: (!ok).then(|| "functions cannot resolve names".to_owned()),
        remedy: (!ok).then(|| "echo nameserver ADDRESS >> /etc/resolv.conf".to_owned()),
    }
}

impl From<Refused> for NetError {
    fn from(refused: Refused) -> Self {
        Self::Netlink { step: refused.step, source: refused.source }
    }
}
