//! Which name servers sandboxes ask: the host's, as far as they can be reached from inside.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// glibc and musl ask no more than this many.
const NAMESERVERS_MAX: usize = 3;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// What systemd-resolved itself asks, for hosts whose own resolv.conf names only its stub on the loopback.
const RESOLV_CONF_UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The host's name servers outside its loopback, in order.
pub fn nameservers() -> Vec<IpAddr> {
    [RESOLV_CONF, RESOLV_CONF_UPSTREAM]
        .into_iter()
        .map(|path| parse_nameservers(&read(Path::new(path))))
        .find(|servers| !servers.is_empty())
        .unwrap_or_default()
}

/// The text of a sandbox's `/etc/resolv.conf`: the host's search list and options, and the servers it can reach.
pub fn resolv_conf_text() -> String {
    render(&read(Path::new(RESOLV_CONF)), &nameservers_v4(&nameservers()))
}

/// IPv4 is all a sandbox has; a name server it cannot reach would only cost it seconds.
pub(super) fn nameservers_v4(all: &[IpAddr]) -> Vec<Ipv4Addr> {
    all.iter()
        .filter_map(|server| if let IpAddr::V4(server) = server { Some(*server) } else { None })
        .collect()
}

fn read(path: &Path) -> String {
    // Missing or unreadable is the same as empty: the finding about name servers tells of it.
    std::fs::read_to_string(path).unwrap_or_default()
}

fn parse_nameservers(text: &str) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        // A scope, as in fe80::1%eth0, names an interface that does not exist inside: such a line does not parse.
        let Some(server) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        if !server.is_loopback() && !server.is_unspecified() && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers.truncate(NAMESERVERS_MAX);
    servers
}

fn render(host: &str, servers: &[Ipv4Addr]) -> String {
    let mut text = String::new();
    for line in host.lines() {
        if matches!(line.split_whitespace().next(), Some("search" | "domain" | "options")) {
            text.push_str(line.trim());
            text.push('\n');
        }
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_servers_beyond_the_loopback() {
        let text = "# a comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver\t2001:db8::1\n\
                    nameserver fe80::1%eth0\nnameserver 10.0.0.2\nnameserver ::1\nnameserver 0.0.0.0\nnameservers 1.2.3.4\n";
        let servers: Vec<String> = parse_nameservers(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.2", "2001:db8::1"]);
    }

    #[test]
    fn asks_no_more_servers_than_the_c_library() {
        let text: String = (1..9).map(|last| format!("nameserver 10.0.0.{last}\n")).collect();
        assert_eq!(parse_nameservers(&text).len(), NAMESERVERS_MAX);
    }

    #[test]
    fn copies_search_and_options_but_no_unreachable_server() {
        let host =
            "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\nsortlist 1.2.3.4\n";
        let servers =
            nameservers_v4(&["10.0.0.2".parse().expect("v4"), "2001:db8::1".parse().expect("v6")]);
        assert_eq!(
            render(host, &servers),
            "options edns0 trust-ad\nsearch example.org\nnameserver 10.0.0.2\n"
        );
    }
}
