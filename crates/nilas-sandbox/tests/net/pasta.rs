//! What a sandbox of an ordinary user's spawner reaches and what not.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nilas_sandbox::{HostNetwork, NetConfig};

use crate::world::{
    HOST, HOST_SECOND, METADATA, OUTSIDE, SandboxChild, World, become_user_with_tun, in_namespace,
    ready, run, serve_tcp,
};

const ANY: std::net::Ipv4Addr = std::net::Ipv4Addr::UNSPECIFIED;

#[test]
fn an_ordinary_user_reaches_the_outside_and_nothing_else() {
    if !ready(&["ip", "unshare", "mount", "pasta"]) {
        return;
    }
    let world = World::new();
    let web = in_namespace(&world.outside, || {
        serve_tcp(METADATA, 80);
        serve_tcp(OUTSIDE, 0)
    });
    let host_port = serve_tcp(ANY, 0);
    let (give, sandboxes) = mpsc::channel();
    let (done, wait) = mpsc::channel::<()>();
    // The spawner is a thread that has become an ordinary user. Probes stay with root, outside it.
    let spawner = std::thread::spawn(move || {
        become_user_with_tun();
        let mut network = HostNetwork::set_up(&config()).expect("set up");
        assert!(network.findings()[0].ok, "{:?}", network.findings());
        let mut attachments = Vec::new();
        for slot in 0..2 {
            let sandbox = SandboxChild::start();
            let start = Instant::now();
            let mut attachment = network.attach(slot, &sandbox.namespaces()).expect("attach");
            let attached = start.elapsed();
            attachment.wait_ready(Duration::from_secs(5)).expect("ready");
            println!(
                "pasta: attach returns after {attached:?}, network there after {:?}",
                start.elapsed()
            );
            attachments.push(attachment);
            give.send(sandbox).expect("test waits");
        }
        wait.recv().expect("test is done");
        for attachment in attachments {
            network.detach(attachment);
        }
        network.tear_down();
    });
    let first = sandboxes.recv().expect("first sandbox");
    let second = sandboxes.recv().expect("second sandbox");

    assert_eq!(first.reaches(OUTSIDE, web), Ok(HOST.to_string()), "as the host");
    let inside = second.probe(|| serve_tcp(ANY, 0));
    for (closed, port) in [
        (HOST, host_port),
        (HOST_SECOND, host_port),
        ("127.0.0.1".parse().expect("lo"), host_port),
        (METADATA, 80),
        (HOST, inside),
    ] {
        assert!(first.reaches(closed, port).is_err(), "{closed}:{port} is open");
    }
    assert_eq!(
        [helpers_of(&first), helpers_of(&second)],
        [1, 1],
        "one pasta each, and nothing that started it"
    );
    done.send(()).expect("spawner waits");
    spawner.join().expect("spawner");
    assert_eq!([helpers_of(&first), helpers_of(&second)], [0, 0], "pasta is left");
}

/// How many children of this process are in the sandbox's user namespace, besides the sandbox.
///
/// Reads `/proc` itself: `ps` is missing from minimal systems.
fn helpers_of(sandbox: &SandboxChild) -> usize {
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/user")).ok();
    let is_ours = |process: &Path| {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:").map(str::trim));
        parent.and_then(|parent| parent.parse().ok()) == Some(std::process::id())
    };
    let itself = Path::new("/proc").join(sandbox.pid().to_string());
    let inside = namespace(&itself).expect("a live sandbox");
    let processes = std::fs::read_dir("/proc").expect("processes");
    let processes = processes.filter_map(|process| Some(process.ok()?.path()));
    processes
        .filter(|process| *process != itself && is_ours(process))
        .filter(|process| namespace(process).as_ref() == Some(&inside))
        .count()
}

#[test]
fn sandboxes_start_while_the_host_is_offline() {
    if !ready(&["ip", "unshare", "mount", "pasta"]) {
        return;
    }
    let _world = World::new();
    run("ip", &["route", "del", "default"]);
    std::thread::spawn(|| {
        become_user_with_tun();
        let mut network = HostNetwork::set_up(&config()).expect("set up");
        let sandbox = SandboxChild::start();
        let mut attachment = network.attach(0, &sandbox.namespaces()).expect("attach");
        attachment.wait_ready(Duration::from_secs(1)).expect("ready");
        assert!(!attachment.outbound());
        network.detach(attachment);
    })
    .join()
    .expect("spawner");
}

fn config() -> NetConfig {
    NetConfig {
        subnet: None,
        closed_ports: Vec::new(),
        nameservers: Vec::new(),
        prefix: "nlp".to_owned(),
    }
}
