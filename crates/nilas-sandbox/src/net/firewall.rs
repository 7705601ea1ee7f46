//! What sandboxes may reach, as rules of the kernel's packet filter, set once at start.
//!
//! Invariant: every rule names our interfaces or our subnet, so that no other traffic of the host changes.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::program::{self, ProgramError};
use super::subnet::Subnet;

/// Destinations closed whatever the host's routes say: this-network, loopback, link-local (cloud metadata),
/// multicast and reserved.
const CLOSED: [&str; 4] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

/// Tracked connections of one sandbox; further new ones are dropped. The host's table is shared by all of them.
const CONNECTIONS_MAX: u32 = 4096;

/// What the rules are made from.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// Interfaces of ours are named `{prefix}-{serial}`.
    pub(super) prefix: &'a str,
    pub(super) subnet: Subnet,
    /// Open on port 53 wherever they are, even on the host itself.
    pub(super) resolvers: &'a [Ipv4Addr],
    /// TCP and UDP ports closed on every destination.
    pub(super) closed_ports: &'a [u16],
}

/// The program that talks to the kernel's packet filter.
#[derive(Debug)]
pub(super) enum Firewall {
    Nft(PathBuf),
    Iptables(PathBuf),
}

// === impl Firewall ===

impl Firewall {
    /// `nft` where it is installed, else `iptables`.
    pub(super) fn find() -> Option<Self> {
        let nft = program::find("nft").map(Self::Nft);
        nft.or_else(|| program::find("iptables-restore").map(Self::Iptables))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Nft(_) => "nft",
            Self::Iptables(_) => "iptables",
        }
    }

    /// Replaces whatever rules of this prefix there were.
    pub(super) fn set_up(&self, rules: &Rules<'_>) -> Result<(), ProgramError> {
        match self {
            Self::Nft(nft) => program::run(nft, &["-f", "-"], &nft_text(rules)).map(drop),
            Self::Iptables(restore) => {
                remove_iptables(rules.prefix)?;
                program::run(restore, &["--noflush", "--wait", "5"], &iptables_text(rules))?;
                match program::find("ip6tables-restore") {
                    Some(restore) if Path::new("/proc/net/if_inet6").exists() => {
                        let text = ip6tables_text(rules.prefix);
                        program::run(&restore, &["--noflush", "--wait", "5"], &text).map(drop)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    pub(super) fn remove(&self, prefix: &str) -> Result<(), ProgramError> {
        match self {
            // Declaring first makes the deletion succeed where there is nothing to delete.
            Self::Nft(nft) => {
                let table = format!("table inet nilas-{prefix}");
                program::run(nft, &["-f", "-"], &format!("{table}\ndelete {table}\n"))?;
                remove_admission(prefix)
            }
            Self::Iptables(_) => remove_iptables(prefix),
        }
    }

    /// Lets our traffic through forwarding chains that drop by default, as Docker and ufw leave them.
    /// Gives the name of a firewall that cannot be told this way.
    pub(super) fn admit(&self, prefix: &str) -> Result<Option<String>, ProgramError> {
        let Self::Nft(nft) = self else {
            // The iptables rules sit at the head of the very chain whose policy could drop.
            return Ok(None);
        };
        let mut foreign = None;
        let mut iptables = legacy_filter_drops();
        for chain in forward_chains_that_drop(&program::run(nft, &["-j", "list", "chains"], "")?) {
            match chain.as_str() {
                "ip filter FORWARD" => {
                    iptables = iptables.or_else(|| program::find("iptables-restore"))
                }
                _ => foreign = Some(chain),
            }
        }
        if let Some(restore) = iptables {
            remove_admission(prefix)?;
            program::run(&restore, &["--noflush", "--wait", "5"], &admission_text(prefix))?;
        }
        Ok(foreign)
    }
}

// === nft ===

fn nft_text(rules: &Rules<'_>) -> String {
    let Rules { prefix, subnet, .. } = rules;
    let closed = CLOSED.join(", ");
    let resolvers = set_elements(rules.resolvers);
    let ports = set_elements(rules.closed_ports);
    format!(
        r#"table inet nilas-{prefix}
delete table inet nilas-{prefix}
table inet nilas-{prefix} {{
  set resolvers {{ type ipv4_addr; {resolvers} }}
  set ports {{ type inet_service; {ports} }}
  set closed {{ type ipv4_addr; flags interval; elements = {{ {closed}, {subnet} }} }}
  set flows {{ type ipv4_addr; flags dynamic; size 65536; }}

  # Before connection tracking and anybody's address translation, so that a port published by a
  # container engine does not open the host's own addresses.
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{prefix}-*" jump arriving
  }}
  chain arriving {{
    meta nfproto != ipv4 drop
    fib saddr . iif oif missing drop
    ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr @closed drop
    fib daddr type != unicast drop
    meta l4proto {{ tcp, udp }} th dport @ports drop
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{prefix}-*" ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname "{prefix}-*" drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{prefix}-*" oifname "{prefix}-*" drop
    iifname "{prefix}-*" ct state new add @flows {{ ip saddr ct count over {CONNECTIONS_MAX} }} drop
    oifname "{prefix}-*" ct state != {{ established, related }} drop
    # A narrower way out, such as a VPN: the host's "fragmentation needed" does not pass the source check inside.
    iifname "{prefix}-*" tcp flags syn tcp option maxseg size set rt mtu
    oifname "{prefix}-*" tcp flags syn tcp option maxseg size set rt mtu
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != "{prefix}-*" masquerade
  }}
}}
"#
    )
}

/// nft refuses an empty `elements`.
fn set_elements<T: ToString>(elements: &[T]) -> String {
    if elements.is_empty() {
        return String::new();
    }
    let list: Vec<String> = elements.iter().map(T::to_string).collect();
    format!("elements = {{ {} }}", list.join(", "))
}

/// `family table chain` of each base chain on the forwarding path that drops what no rule accepts.
fn forward_chains_that_drop(json: &str) -> Vec<String> {
    let listing: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let objects = listing.get("nftables").and_then(|objects| objects.as_array());
    let chains = objects.into_iter().flatten().filter_map(|object| object.get("chain"));
    let field = |chain: &serde_json::Value, name: &str| {
        chain.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    chains
        .filter(|chain| field(chain, "hook") == "forward" && field(chain, "family") != "ip6")
        // firewalld keeps the policy at accept and ends its chain with a reject.
        .filter(|chain| field(chain, "policy") == "drop" || field(chain, "table") == "firewalld")
        .map(|chain| {
            format!("{} {} {}", field(chain, "family"), field(chain, "table"), field(chain, "name"))
        })
        .collect()
}

// === iptables ===

fn iptables_text(rules: &Rules<'_>) -> String {
    let Rules { prefix, subnet, .. } = rules;
    let mut dns = String::new();
    let mut dns_in = String::new();
    for resolver in rules.resolvers {
        for protocol in ["tcp", "udp"] {
            let accept = format!("-d {resolver} -p {protocol} --dport 53 -j ACCEPT");
            dns.push_str(&format!("-A nilas-{prefix}-raw {accept}\n"));
            dns_in.push_str(&format!("-A nilas-{prefix}-in {accept}\n"));
        }
    }
    let mut closed = String::new();
    for block in CLOSED.into_iter().map(str::to_owned).chain([subnet.to_string()]) {
        closed.push_str(&format!("-A nilas-{prefix}-raw -d {block} -j DROP\n"));
    }
    for port in rules.closed_ports {
        for protocol in ["tcp", "udp"] {
            closed
                .push_str(&format!("-A nilas-{prefix}-raw -p {protocol} --dport {port} -j DROP\n"));
        }
    }
    format!(
        "*raw
:nilas-{prefix}-raw - [0:0]
-A nilas-{prefix}-raw -m rpfilter --invert -j DROP
{dns}{closed}-A nilas-{prefix}-raw -m addrtype ! --dst-type UNICAST -j DROP
-I PREROUTING -i {prefix}-+ -j nilas-{prefix}-raw
COMMIT
*nat
:nilas-{prefix}-nat - [0:0]
-A nilas-{prefix}-nat -s {subnet} ! -o {prefix}-+ -j MASQUERADE
-I POSTROUTING -j nilas-{prefix}-nat
COMMIT
*mangle
:nilas-{prefix}-mss - [0:0]
-A nilas-{prefix}-mss -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-I FORWARD -i {prefix}-+ -j nilas-{prefix}-mss
-I FORWARD -o {prefix}-+ -j nilas-{prefix}-mss
COMMIT
*filter
:nilas-{prefix}-in - [0:0]
:nilas-{prefix}-out - [0:0]
:nilas-{prefix}-back - [0:0]
{dns_in}-A nilas-{prefix}-in -j DROP
-A nilas-{prefix}-out -o {prefix}-+ -j DROP
-A nilas-{prefix}-out -m conntrack --ctstate NEW -m connlimit --connlimit-above {CONNECTIONS_MAX} --connlimit-mask 32 -j DROP
-A nilas-{prefix}-out -j ACCEPT
-A nilas-{prefix}-back -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A nilas-{prefix}-back -j DROP
-I INPUT -i {prefix}-+ -j nilas-{prefix}-in
-I FORWARD -o {prefix}-+ -j nilas-{prefix}-back
-I FORWARD -i {prefix}-+ -j nilas-{prefix}-out
COMMIT
"
    )
}

fn ip6tables_text(prefix: &str) -> String {
    format!(
        "*filter
:nilas-{prefix}-in - [0:0]
-A nilas-{prefix}-in -j DROP
-I INPUT -i {prefix}-+ -j nilas-{prefix}-in
-I FORWARD -i {prefix}-+ -j nilas-{prefix}-in
COMMIT
"
    )
}

fn admission_text(prefix: &str) -> String {
    format!(
        "*filter
:nilas-{prefix}-fwd - [0:0]
-A nilas-{prefix}-fwd -i {prefix}-+ -j ACCEPT
-A nilas-{prefix}-fwd -o {prefix}-+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-I FORWARD -j nilas-{prefix}-fwd
COMMIT
"
    )
}

fn remove_iptables(prefix: &str) -> Result<(), ProgramError> {
    let from = |chain: &str| format!("{chain} -i {prefix}-+ ");
    let to = |chain: &str| format!("{chain} -o {prefix}-+ ");
    remove_chain("iptables", prefix, "raw", "raw", &[from("PREROUTING")])?;
    remove_chain("iptables", prefix, "nat", "nat", &["POSTROUTING ".to_owned()])?;
    remove_chain("iptables", prefix, "mangle", "mss", &[from("FORWARD"), to("FORWARD")])?;
    remove_chain("iptables", prefix, "filter", "in", &[from("INPUT")])?;
    remove_chain("iptables", prefix, "filter", "out", &[from("FORWARD")])?;
    remove_chain("iptables", prefix, "filter", "back", &[to("FORWARD")])?;
    remove_chain("ip6tables", prefix, "filter", "in", &[from("INPUT"), from("FORWARD")])
}

fn remove_admission(prefix: &str) -> Result<(), ProgramError> {
    remove_chain("iptables", prefix, "filter", "fwd", &["FORWARD ".to_owned()])
}

/// Deletes the jumps to `nilas-{prefix}-{name}` and the chain, if the chain is there.
fn remove_chain(
    program: &str,
    prefix: &str,
    table: &str,
    name: &str,
    jumps: &[String],
) -> Result<(), ProgramError> {
    let chain = format!("nilas-{prefix}-{name}");
    let (Some(iptables), Some(restore)) =
        (program::find(program), program::find(&format!("{program}-restore")))
    else {
        return Ok(());
    };
    // Listing a chain that is not there fails: then there is nothing to remove.
    if program::run(&iptables, &["-w", "5", "-t", table, "-S", &chain], "").is_err() {
        return Ok(());
    }
    let mut text = format!("*{table}\n");
    for jump in jumps {
        text.push_str(&format!("-D {jump}-j {chain}\n"));
    }
    text.push_str(&format!("-F {chain}\n-X {chain}\nCOMMIT\n"));
    program::run(&restore, &["--noflush", "--wait", "5"], &text).map(drop)
}

/// The program to use where the older iptables drops forwarded packets by default. nft does not list its chains.
fn legacy_filter_drops() -> Option<PathBuf> {
    let tables =
        std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
    if !tables.lines().any(|table| table == "filter") {
        return None;
    }
    let legacy = program::find("iptables-legacy")?;
    let listing = program::run(&legacy, &["-w", "5", "-S", "FORWARD"], "").ok()?;
    if listing.starts_with("-P FORWARD DROP") {
        program::find("iptables-legacy-restore")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules<'a>(resolvers: &'a [Ipv4Addr], closed_ports: &'a [u16]) -> Rules<'a> {
        Rules {
            prefix: "nlab",
            subnet: "10.213.0.0/16".parse().expect("subnet"),
            resolvers,
            closed_ports,
        }
    }

    #[test]
    fn every_nft_rule_is_bound_to_our_interfaces_or_subnet() {
        let text = nft_text(&rules(&[Ipv4Addr::new(10, 0, 0, 2)], &[4222]));
        let hooks = text.lines().skip_while(|line| !line.contains("chain prerouting"));
        let mut within_arriving = false;
        for line in hooks.filter(|line| line.starts_with("    ") && !line.trim().starts_with('#')) {
            within_arriving = text.find("chain arriving") < text.find(line)
                && text.find(line) < text.find("chain input");
            let bound = line.contains("\"nlab-*\"") || line.contains("type ") || within_arriving;
            assert!(bound, "{line}");
        }
        assert!(!within_arriving, "the walk went past the jump target");
    }

    #[test]
    fn leaves_out_empty_sets() {
        let text = nft_text(&rules(&[], &[]));
        assert!(text.contains("set resolvers { type ipv4_addr;  }"), "{text}");
        assert!(!text.contains("elements = {  }"), "{text}");
    }

    #[test]
    fn finds_the_chains_that_would_drop_our_packets() {
        let listing = r#"{"nftables": [{"metainfo": {}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "drop"}},
            {"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
            {"chain": {"family": "inet", "table": "firewalld", "name": "filter_FORWARD", "hook": "forward", "policy": "accept"}},
            {"chain": {"family": "inet", "table": "nilas-nlab", "name": "forward", "hook": "forward", "policy": "accept"}}]}"#;
        assert_eq!(
            forward_chains_that_drop(listing),
            ["ip filter FORWARD", "inet firewalld filter_FORWARD"]
        );
        assert!(forward_chains_that_drop("not json").is_empty());
    }
}
