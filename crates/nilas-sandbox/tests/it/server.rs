//! What becomes of sandboxes when the server drops its privileges, crashes, or comes twice.
//!
//! The server is this binary executed anew, playing a role.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nilas_sandbox::{LaunchError, LinuxSandbox, SandboxConfig, drop_privileges};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Outcome, Test, config, has, is_root, line, read_all, shell, spec, start};
use crate::life::{marker, runs};

pub(crate) const TESTS: &[Test] = &[
    ("works_after_privileges_are_dropped", works_after_privileges_are_dropped),
    ("cleans_up_after_a_killed_server", cleans_up_after_a_killed_server),
    ("cleans_up_after_a_killed_spawner_and_server", cleans_up_after_a_killed_spawner_and_server),
    ("tells_when_the_spawner_is_killed", tells_when_the_spawner_is_killed),
    ("refuses_a_second_server_of_one_name", refuses_a_second_server_of_one_name),
    ("cleans_up_at_shut_down", cleans_up_at_shut_down),
];

const ROLE: &str = "NILAS_IT_ROLE";
const NOBODY: u32 = 65_534;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Launches, drops privileges, uses a sandbox, says what it saw.
    Unprivileged,
    /// Launches under the given name, starts a sandbox that sleeps for the given time, says so, and hangs.
    Hanging,
}

pub(crate) fn role() -> Option<Role> {
    match std::env::var(ROLE).ok()?.as_str() {
        "unprivileged" => Some(Role::Unprivileged),
        "hanging" => Some(Role::Hanging),
        _ => None,
    }
}

pub(crate) fn play(role: Role) -> ! {
    match role {
        Role::Unprivileged => unprivileged(),
        Role::Hanging => hanging(),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time")
    })
}

#[expect(clippy::exit, reason = "a main of its own")]
fn unprivileged() -> ! {
    let sandbox = LinuxSandbox::launch(&config()).unwrap();
    drop_privileges(NOBODY, NOBODY).unwrap();
    block_on(async {
        let started = start(&sandbox, shell("while :; do echo tick; sleep 0.01; done")).await;
        assert_eq!(line(&started.output).await, "tick");
        started.control.freeze().unwrap();
        started.control.thaw().unwrap();
        assert!(started.control.memory_peak_bytes() > 0);
        started.control.terminate().unwrap();
        assert_eq!(started.control.exited().await.signal, Some(15));
        let started = start(&sandbox, shell("sleep 60")).await;
        started.control.freeze().unwrap();
        started.control.kill();
        assert_eq!(started.control.exited().await.signal, Some(9));
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for wanted in [
        "Uid:\t65534\t65534\t65534\t65534",
        "Groups:\t \n",
        "CapBnd:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(wanted), "{wanted:?} not in {status}");
    }
    drop(sandbox);
    println!("fine");
    std::process::exit(0)
}

fn hanging() -> ! {
    let name = std::env::args().nth(1).unwrap();
    let sleep = std::env::args().nth(2).unwrap();
    let sandbox = LinuxSandbox::launch(&SandboxConfig::for_data_dir(Path::new(&name))).unwrap();
    block_on(async {
        let started = start(&sandbox, spec(&["/bin/sleep", &sleep])).await;
        let frozen = start(&sandbox, spec(&["/bin/sleep", &sleep])).await;
        frozen.control.freeze().unwrap();
        println!("started");
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
        drop((started, frozen));
    });
    unreachable!("pending for ever")
}

fn execute(role: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("nilas-it").args(arguments).env(ROLE, role).stdout(Stdio::piped()).spawn().unwrap()
}

/// A hanging server with two sandboxes asleep, one of them frozen; the data directory it believes in.
fn hang(marker: &str) -> (Child, String) {
    let data_dir = format!("/test/hanging/{marker}");
    let mut server = execute("hanging", &[&data_dir, marker]);
    let mut said = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "started\n");
    // The server itself has it among its arguments.
    assert!(runs(marker));
    (server, data_dir)
}

/// Nothing with the marker runs any more, and no cgroup of that name is there.
fn gone(marker: &str) {
    for _ in 0..400 {
        if !runs(marker) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("still running: {marker}");
}

fn groups(data_dir: &str) -> Vec<String> {
    let name = SandboxConfig::for_data_dir(Path::new(data_dir)).name;
    let find = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &format!("{name}*")])
        .output()
        .unwrap();
    String::from_utf8(find.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn spawner_of(server: &Child) -> Pid {
    let id = server.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

fn works_after_privileges_are_dropped() -> Outcome {
    if !is_root() {
        return Outcome::Skipped("there are no privileges to drop".to_owned());
    }
    let server = execute("unprivileged", &[]).wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&server.stdout), "fine\n");
    Outcome::Passed
}

fn cleans_up_after_a_killed_server() -> Outcome {
    let marker = marker(10);
    let (mut server, data_dir) = hang(&marker);
    server.kill().unwrap();
    server.wait().unwrap();
    gone(&marker);
    for _ in 0..400 {
        if groups(&data_dir).is_empty() {
            return Outcome::Passed;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("left behind: {:?}", groups(&data_dir));
}

fn cleans_up_after_a_killed_spawner_and_server() -> Outcome {
    let marker = marker(11);
    let (mut server, data_dir) = hang(&marker);
    let spawner = spawner_of(&server);
    // Stopped first, so that neither can clean up after the other.
    kill_process(spawner, Signal::STOP).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    kill_process(spawner, Signal::KILL).unwrap();
    gone(&marker);
    let sandbox = LinuxSandbox::launch(&SandboxConfig::for_data_dir(Path::new(&data_dir))).unwrap();
    let left: Vec<String> = groups(&data_dir)
        .into_iter()
        .filter(|path| path.ends_with("/t0") || path.ends_with("/t1"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    drop(sandbox);
    assert!(groups(&data_dir).is_empty(), "{:?}", groups(&data_dir));
    Outcome::Passed
}

fn tells_when_the_spawner_is_killed() -> Outcome {
    let config = config();
    let sandbox = LinuxSandbox::launch(&config).unwrap();
    let marker = marker(12);
    block_on(async {
        let started = start(&sandbox, spec(&["/bin/sleep", &marker])).await;
        let id = std::process::id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let spawner = children.split_whitespace().last().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(spawner).unwrap(), Signal::KILL).unwrap();
        assert_eq!(started.control.exited().await.signal, Some(9));
        let error = nilas_sandbox::Sandbox::start(&sandbox, shell("true")).await.unwrap_err();
        assert_eq!(error.to_string(), "the spawner is gone");
        assert_eq!(read_all(started.output), "");
    });
    gone(&marker);
    drop(sandbox);
    // What the killed one could not remove, the next one does.
    drop(LinuxSandbox::launch(&config).unwrap());
    let find =
        Command::new("find").args(["/sys/fs/cgroup", "-name", &config.name]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&find.stdout), "");
    Outcome::Passed
}

fn refuses_a_second_server_of_one_name() -> Outcome {
    let config = config();
    let first = LinuxSandbox::launch(&config).unwrap();
    if !has(&first, "freeze and kill") {
        return Outcome::Skipped("no cgroup to collide in".to_owned());
    }
    match LinuxSandbox::launch(&config) {
        Err(LaunchError::Unusable { reason, .. }) => {
            assert!(reason.contains("another server uses"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    LinuxSandbox::launch(&config).unwrap();
    Outcome::Passed
}

fn cleans_up_at_shut_down() -> Outcome {
    let config = config();
    let sandbox = LinuxSandbox::launch(&config).unwrap();
    let marker = marker(13);
    block_on(async {
        let started = start(&sandbox, spec(&["/bin/sleep", &marker])).await;
        sandbox.shut_down();
        assert_eq!(started.control.exited().await.signal, Some(9));
    });
    assert!(!runs(&marker));
    let find =
        Command::new("find").args(["/sys/fs/cgroup", "-name", &config.name]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&find.stdout), "");
    Outcome::Passed
}
