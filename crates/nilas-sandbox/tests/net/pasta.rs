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
            let mut attachment = network.attach(slot, sandbox.pid()).expect("attach");
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
    let pastas = pastas_of(&first) + pastas_of(&second);
    assert_eq!(pastas, 2);
    done.send(()).expect("spawner waits");
    spawner.join().expect("spawner");
    assert_eq!(pastas_of(&first) + pastas_of(&second), 0, "pasta is left");
}

/// Reads `/proc` itself: `ps` is missing from minimal systems. What a pasta clones for a moment, to open a socket inside,
/// is a part of it.
fn pastas_of(sandbox: &SandboxChild) -> usize {
    let end = format!("\0{}\0", sandbox.pid());
    let is_pasta = |process: &Path| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("pasta") && line.ends_with(&end)
    };
    let parent = |process: &Path| {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:").map(str::trim));
        Path::new("/proc").join(line.unwrap_or("0"))
    };
    let processes = std::fs::read_dir("/proc").expect("processes");
    let processes = processes.filter_map(|process| Some(process.ok()?.path()));
    processes.filter(|process| is_pasta(process) && !is_pasta(&parent(process))).count()
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
        let mut attachment = network.attach(0, sandbox.pid()).expect("attach");
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
