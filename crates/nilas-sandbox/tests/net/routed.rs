//! What a sandbox of a root spawner reaches and what not.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use nilas_sandbox::{Attachment, HostNetwork, NetConfig};

use crate::world::{
    HOST, HOST_SECOND, METADATA, OUTSIDE, SandboxChild, World, count_tcp, hide_program,
    in_namespace, ready, run, serve_tcp, serve_udp,
};

const PROGRAMS: [&str; 3] = ["ip", "nft", "unshare"];
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn config(prefix: &str) -> NetConfig {
    NetConfig {
        subnet: None,
        closed_ports: vec![4222],
        nameservers: Vec::new(),
        prefix: prefix.to_owned(),
    }
}

fn attached(network: &mut HostNetwork, slot: u32) -> (SandboxChild, Attachment) {
    let child = SandboxChild::start();
    let attachment = network.attach(slot, &child.namespaces()).expect("attach");
    assert!(attachment.outbound());
    (child, attachment)
}

#[test]
fn reaches_the_outside_under_the_hosts_address_and_nothing_else() {
    if ready(&PROGRAMS) {
        check_walls(&World::new(), "nla", "nft");
    }
}

#[test]
fn the_walls_stand_with_iptables_where_nft_is_missing() {
    if ready(&["ip", "unshare", "iptables-restore", "mount"]) {
        let world = World::new();
        hide_program("/usr/sbin/nft");
        check_walls(&world, "nlh", "iptables");
        assert!(!run("iptables-save", &[]).contains("nlh"), "rules left behind");
        assert!(!run("ip6tables-save", &[]).contains("nlh"), "rules left behind");
    }
}

/// The routes inside are taken away first, so that the packet filter alone must hold.
fn check_walls(world: &World, prefix: &str, firewall: &str) {
    let web = in_namespace(&world.outside, || {
        serve_tcp(METADATA, 80);
        serve_tcp(OUTSIDE, 4222);
        serve_tcp(OUTSIDE, 0)
    });
    let host_port = serve_tcp(ANY, 0);
    serve_udp(ANY, 5353);
    let mut network = HostNetwork::set_up(&config(prefix)).expect("set up");
    let outbound = &network.findings()[0];
    assert!(outbound.ok && outbound.detail.contains(firewall), "{outbound:?}");
    let (first, a) = attached(&mut network, 0);
    let (second, b) = attached(&mut network, 1);

    assert_eq!(first.reaches(OUTSIDE, web), Ok(HOST.to_string()), "masqueraded");
    assert_eq!(second.reaches(OUTSIDE, web), Ok(HOST.to_string()));
    let inside = second.probe(|| serve_tcp(ANY, 0));
    let neighbour = "10.213.0.3".parse().expect("address of slot 1");
    let gateway = "10.213.0.1".parse().expect("gateway");
    let closed = [
        (HOST, host_port),
        (HOST_SECOND, host_port),
        (gateway, host_port),
        ("127.0.0.2".parse().expect("loopback"), host_port),
        (METADATA, 80),
        (OUTSIDE, 4222),
        (neighbour, inside),
    ];
    let check = |state: &str| {
        for (address, port) in closed {
            assert!(first.reaches(address, port).is_err(), "{address}:{port} is open {state}");
        }
        assert!(!first.asks(HOST, 5353), "the host is open to datagrams {state}");
    };
    check("from inside");
    first.probe(|| {
        run("ip", &["route", "del", "blackhole", "169.254.0.0/16"]);
        run("ip", &["route", "del", "blackhole", &HOST.to_string()]);
        run("ip", &["route", "del", "blackhole", &HOST_SECOND.to_string()]);
        run("ip", &["route", "add", "127.0.0.2/32", "via", "10.213.0.1", "dev", "eth0", "onlink"]);
    });
    check("without the routes inside");
    check_forged_source(world, &first, (neighbour, inside));
    network.detach(a);
    network.detach(b);
    network.tear_down();
}

/// With another sandbox's address nothing goes out, and the outside cannot open connections to sandboxes.
fn check_forged_source(world: &World, forger: &SandboxChild, victim: (Ipv4Addr, u16)) {
    let ear = in_namespace(&world.outside, || UdpSocket::bind((OUTSIDE, 0)).expect("bind"));
    ear.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
    let to = ear.local_addr().expect("address");
    let say = || {
        forger
            .probe(|| UdpSocket::bind("0.0.0.0:0").expect("bind").send_to(b"!", to).expect("send"))
    };
    say();
    ear.recv(&mut [0; 8]).expect("the true source passes");
    let forged = victim.0.to_string();
    forger.probe(|| {
        run("ip", &["addr", "add", &format!("{forged}/32"), "dev", "eth0"]);
        run(
            "ip",
            &[
                "route",
                "replace",
                "default",
                "via",
                "10.213.0.1",
                "dev",
                "eth0",
                "onlink",
                "src",
                &forged,
            ],
        );
    });
    say();
    ear.recv(&mut [0; 8]).expect_err("a forged source passes");
    let opened = in_namespace(&world.outside, || {
        run("ip", &["route", "add", "10.213.0.0/16", "via", &HOST.to_string()]);
        std::net::TcpStream::connect_timeout(&victim.into(), Duration::from_millis(300))
    });
    opened.expect_err("the outside opens connections to sandboxes");
}

#[test]
fn name_servers_are_open_on_port_53_even_on_the_host_or_link_local() {
    if !ready(&PROGRAMS) {
        return;
    }
    let world = World::new();
    in_namespace(&world.outside, || {
        serve_udp(METADATA, 53);
        serve_tcp(METADATA, 80);
    });
    serve_udp(HOST, 53);
    let other = serve_tcp(HOST, 0);
    let mut config = config("nlc");
    config.nameservers = vec![HOST.into(), METADATA.into()];
    let mut network = HostNetwork::set_up(&config).expect("set up");
    let (sandbox, attachment) = attached(&mut network, 7);
    assert!(sandbox.asks(HOST, 53), "name server on the host");
    assert!(sandbox.asks(METADATA, 53), "link-local name server");
    assert!(sandbox.reaches(METADATA, 80).is_err(), "cloud metadata is open");
    assert!(sandbox.reaches(HOST, other).is_err(), "the host is open");
    network.detach(attachment);
    network.tear_down();
}

#[test]
fn large_segments_fit_a_narrower_way_out() {
    if ready(&PROGRAMS) {
        check_narrow(&World::new(), "nli");
    }
}

#[test]
fn large_segments_fit_with_iptables() {
    if ready(&["ip", "unshare", "iptables-restore", "mount"]) {
        let world = World::new();
        hide_program("/usr/sbin/nft");
        check_narrow(&world, "nlk");
    }
}

fn check_narrow(world: &World, prefix: &str) {
    let sink = in_namespace(&world.outside, || count_tcp(OUTSIDE));
    let mut network = HostNetwork::set_up(&config(prefix)).expect("set up");
    let (sandbox, attachment) = attached(&mut network, 0);
    // As with a VPN that comes up later, and with the source check most distributions switch on: it would drop
    // the host's "fragmentation needed".
    run("ip", &["link", "set", "uplink", "mtu", "1200"]);
    sandbox.probe(|| {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/rp_filter", "2").expect("source check")
    });
    assert_eq!(sandbox.pours(OUTSIDE, sink, 200_000), Ok("200000".to_owned()));
    network.detach(attachment);
    network.tear_down();
}

#[test]
fn loopback_comes_up_before_and_after_the_way_out() {
    if !ready(&PROGRAMS) {
        return;
    }
    let world = World::new();
    let web = in_namespace(&world.outside, || {
        serve_tcp(METADATA, 80);
        serve_tcp(OUTSIDE, 0)
    });
    let mut network = HostNetwork::set_up(&config("nlj")).expect("set up");
    let child = SandboxChild::start();
    let up = || child.probe(|| nilas_sandbox::loopback_up().expect("loopback up"));
    up();
    let inside = child.probe(|| serve_tcp("127.0.0.1".parse().expect("loopback"), 0));
    assert!(child.reaches("127.0.0.1".parse().expect("loopback"), inside).is_ok());
    let attachment = network.attach(0, &child.namespaces()).expect("attach");
    up();
    assert!(child.reaches(OUTSIDE, web).is_ok());
    assert!(child.reaches(METADATA, 80).is_err());
    network.detach(attachment);
    network.tear_down();
}

#[test]
fn passes_a_forwarding_policy_of_drop() {
    if !ready(&[&PROGRAMS[..], &["iptables"]].concat()) {
        return;
    }
    let world = World::new();
    let web = in_namespace(&world.outside, || serve_tcp(OUTSIDE, 0));
    run("iptables", &["-P", "FORWARD", "DROP"]);
    let mut network = HostNetwork::set_up(&config("nld")).expect("set up");
    let (sandbox, attachment) = attached(&mut network, 0);
    assert_eq!(sandbox.reaches(OUTSIDE, web), Ok(HOST.to_string()));
    network.detach(attachment);
    network.tear_down();
    assert!(!run("iptables", &["-S"]).contains("nilas"), "rules left behind");
}

#[test]
fn leftovers_of_a_killed_server_are_removed_and_others_kept() {
    if !ready(&PROGRAMS) {
        return;
    }
    let _world = World::new();
    let mut killed = HostNetwork::set_up(&config("nle")).expect("set up");
    let mut other = HostNetwork::set_up(&config("nle2")).expect("set up");
    let (_first, _lost) = attached(&mut killed, 0);
    let (_second, kept) = attached(&mut other, 0);
    drop(killed);
    assert_eq!(links_of("nle"), 1);

    let mut next = HostNetwork::set_up(&config("nle")).expect("set up again");
    assert_eq!(links_of("nle"), 0, "the link is left");
    assert_eq!(links_of("nle2"), 1, "the other server's link is gone");
    let routes = run("ip", &["route"]);
    assert_eq!(routes.matches("unreachable").count(), 2, "{routes}");
    next.tear_down();
    other.detach(kept);
    other.tear_down();
    assert_nothing_left(&["nle", "nle2"]);
}

#[test]
fn servers_that_start_together_share_no_subnet() {
    if !ready(&PROGRAMS) {
        return;
    }
    let _world = World::new();
    let prefixes = ["nli", "nlj", "nlk"];
    let together = std::sync::Barrier::new(prefixes.len());
    let set_up = |prefix| {
        together.wait();
        HostNetwork::set_up(&config(prefix)).expect("set up")
    };
    let mut networks: Vec<HostNetwork> = std::thread::scope(|scope| {
        let servers: Vec<_> =
            prefixes.map(|prefix| scope.spawn(move || set_up(prefix))).into_iter().collect();
        servers.into_iter().map(|server| server.join().expect("no panic")).collect()
    });
    let claims = run("ip", &["route", "show", "type", "unreachable"]);
    let mut subnets: Vec<&str> =
        claims.lines().filter_map(|claim| claim.split(' ').nth(1)).collect();
    subnets.sort_unstable();
    subnets.dedup();
    assert_eq!(subnets.len(), prefixes.len(), "{claims}");
    networks.iter_mut().for_each(HostNetwork::tear_down);
    assert_nothing_left(&prefixes);
}

#[test]
fn two_hundred_slots_come_and_go() {
    if !ready(&PROGRAMS) {
        return;
    }
    let _world = World::new();
    let mut network = HostNetwork::set_up(&config("nlf")).expect("set up");
    let mut held = Vec::new();
    let mut attach_times = Vec::new();
    for slot in 0..200 {
        let child = SandboxChild::start();
        let start = Instant::now();
        let attachment = network.attach(slot, &child.namespaces()).expect("attach");
        attach_times.push(start.elapsed());
        held.push((child, attachment));
    }
    assert_eq!(links_of("nlf"), 200);
    let mut detach_times = Vec::new();
    for (child, attachment) in held {
        drop(child);
        let start = Instant::now();
        network.detach(attachment);
        detach_times.push(start.elapsed());
    }
    println!("attach {}", spread(attach_times));
    println!("detach {}", spread(detach_times));
    let start = Instant::now();
    wait_for_links("nlf", 0);
    println!("all links gone after {:?}", start.elapsed());
    network.tear_down();
    assert_nothing_left(&["nlf"]);
}

#[test]
fn a_slot_is_usable_again_at_once() {
    if !ready(&PROGRAMS) {
        return;
    }
    let world = World::new();
    let web = in_namespace(&world.outside, || serve_tcp(OUTSIDE, 0));
    let mut network = HostNetwork::set_up(&config("nlg")).expect("set up");
    let (old, first) = attached(&mut network, 3);
    // The old sandbox still lives: its address now belongs to the new one.
    let (new, second) = attached(&mut network, 3);
    assert_eq!(new.reaches(OUTSIDE, web), Ok(HOST.to_string()));
    network.detach(first);
    drop(old);
    wait_for_links("nlg", 1);
    assert_eq!(new.reaches(OUTSIDE, web), Ok(HOST.to_string()));
    network.detach(second);
    assert!(network.attach(1 << 16, &new.namespaces()).is_err(), "no such slot");
    network.tear_down();
}

fn links_of(prefix: &str) -> usize {
    run("ip", &["-o", "link"]).lines().filter(|line| line.contains(&format!(": {prefix}-"))).count()
}

/// The kernel removes links in its own time.
fn wait_for_links(prefix: &str, count: usize) {
    let start = Instant::now();
    while links_of(prefix) != count {
        assert!(start.elapsed() < Duration::from_secs(20), "{} links left", links_of(prefix));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn assert_nothing_left(prefixes: &[&str]) {
    let links = run("ip", &["-o", "link"]);
    let tables = run("nft", &["list", "tables"]);
    for prefix in prefixes {
        assert_eq!(links_of(prefix), 0, "{links}");
        assert!(!tables.contains(&format!("nilas-{prefix}\n")), "{tables}");
    }
    let routes = run("ip", &["route"]);
    assert!(!routes.contains("10.21"), "{routes}");
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    format!("p50 {:?}, p99 {:?}, worst {:?}", at(50), at(99), times[times.len() - 1])
}
