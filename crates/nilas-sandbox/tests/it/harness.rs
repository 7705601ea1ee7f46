//! A small test runner, and helpers to start sandboxes and hear what they say.

use std::future::Future;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nilas_sandbox::{
    Exit, Limits, LinuxSandbox, Origin, Outbound, ReadOnlyMount, Sandbox, SandboxConfig,
    SandboxSpec, StartError, Started,
};

pub(crate) const MIB: u64 = 1024 * 1024;

/// An ordinary user that owns nothing.
const ORDINARY_UID: u32 = 12_345;
const ORDINARY_ARGUMENT: &str = "--as-ordinary-user";

pub(crate) type Test = (&'static str, fn() -> Outcome);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// The host lacks something, named here.
    Skipped(String),
}

/// Runs the tests that match the arguments, one after the other, once as we are and once as an ordinary user.
pub(crate) fn run(tests: &[Test]) -> ! {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ordinary = arguments.iter().any(|argument| argument == ORDINARY_ARGUMENT);
    let filters: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let who = if rustix::process::geteuid().is_root() { "root" } else { "user" };
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        exit(0);
    }
    let (mut failed, mut skipped) = (0, 0);
    for (name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(test));
        let took = began.elapsed();
        match outcome {
            Ok(Outcome::Passed) => println!("test {who}::{name} ... ok ({took:.0?})"),
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                println!("test {who}::{name} ... SKIPPED: {why}");
            }
            Err(_) => {
                failed += 1;
                println!("test {who}::{name} ... FAILED");
            }
        }
    }
    println!("{who}: {failed} failed, {skipped} skipped");
    let mut failed = failed > 0;
    if who == "root" && !ordinary {
        failed |= !again_as_ordinary_user("no cgroup of its own", &arguments);
        failed |= !again_in_delegated_cgroup(&arguments);
    }
    exit(u8::from(failed))
}

#[expect(clippy::exit, reason = "this is the test binary's main")]
fn exit(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

fn again_as_ordinary_user(how: &str, arguments: &[String]) -> bool {
    println!("as an ordinary user, {how}:");
    // The binary lies where an ordinary user may not look, so a copy runs.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let copy = dir.path().join("it");
    std::fs::copy("/proc/self/exe", &copy).unwrap();
    for path in [dir.path(), &copy] {
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&copy);
    command.args(arguments).arg(ORDINARY_ARGUMENT).current_dir("/").env("TMPDIR", "/tmp");
    command.uid(ORDINARY_UID).gid(ORDINARY_UID).status().unwrap().success()
}

/// As systemd delegates: a v2 group that belongs to the user, with the user's processes in it.
fn again_in_delegated_cgroup(arguments: &[String]) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let v2 = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(mount) = v2.and_then(|line| line.split(' ').nth(4)) else {
        println!("SKIPPED as an ordinary user in a delegated cgroup: no cgroup v2");
        return true;
    };
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let home = PathBuf::from(mount).join(own).join("cgroup.procs");
    let group = PathBuf::from(mount).join(format!("nilas-it-{}", std::process::id()));
    std::fs::create_dir(&group).unwrap();
    for path in [group.clone(), group.join("cgroup.procs"), group.join("cgroup.subtree_control")] {
        std::os::unix::fs::chown(path, Some(ORDINARY_UID), Some(ORDINARY_UID)).unwrap();
    }
    std::fs::write(group.join("cgroup.procs"), "0").unwrap();
    let passed = again_as_ordinary_user("in a delegated cgroup v2", arguments);
    std::fs::write(home, "0").unwrap();
    drop(std::fs::remove_dir(group));
    passed
}

// === sandboxes ===

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

fn serial() -> u32 {
    SERIAL.fetch_add(1, Ordering::SeqCst)
}

/// A configuration that collides with no other test's.
pub(crate) fn config() -> SandboxConfig {
    numbered_config(serial())
}

/// What `config` has given last.
pub(crate) fn last_config() -> SandboxConfig {
    numbered_config(LAST_CONFIG.load(Ordering::SeqCst))
}

static LAST_CONFIG: AtomicU32 = AtomicU32::new(0);

fn numbered_config(number: u32) -> SandboxConfig {
    LAST_CONFIG.store(number, Ordering::SeqCst);
    let unique = format!("/test/{}/{number}", std::process::id());
    SandboxConfig::for_data_dir(&PathBuf::from(unique))
}

/// Launches a spawner and runs `test` on a runtime, as the server does.
pub(crate) fn with_sandbox<F: Future<Output = Outcome>>(
    test: impl FnOnce(LinuxSandbox) -> F,
) -> Outcome {
    let sandbox = LinuxSandbox::launch(&config()).unwrap();
    if let Some(lack) =
        sandbox.capabilities().into_iter().find(|found| found.feature == "namespaces" && !found.ok)
    {
        return Outcome::Skipped(format!("namespaces: {}", lack.detail));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test(sandbox)).await.expect("in time")
    })
}

pub(crate) fn has(sandbox: &LinuxSandbox, feature: &str) -> bool {
    sandbox.capabilities().iter().any(|found| found.feature == feature && found.ok)
}

pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 128 * MIB,
        cpu_millis: 1_000,
        processes: 64,
        files: 256,
        tmp_bytes: 64 * MIB,
    }
}

/// Runs `argv` with `/usr/bin/python3` among the base system's programs.
pub(crate) fn spec(argv: &[&str]) -> SandboxSpec {
    SandboxSpec {
        id: format!("t{}", serial()),
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: vec![
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ],
        cwd: "/".into(),
        mounts: Vec::new(),
        symlinks: Vec::new(),
        limits: limits(),
        origin: Origin::Program,
        template: false,
        listeners: Vec::new(),
        outbound: Outbound::None,
    }
}

pub(crate) fn shell(script: &str) -> SandboxSpec {
    spec(&["/bin/sh", "-c", script])
}

/// Python, found where this host has it.
pub(crate) fn python(script: &str) -> Option<SandboxSpec> {
    interpreter("python3", "-c", "import sys; print(sys.base_prefix)", script)
}

/// Node, found where this host has it.
pub(crate) fn node(script: &str) -> Option<SandboxSpec> {
    let prefix = "console.log(require('path').resolve(process.execPath, '../..'))";
    interpreter("node", "-e", prefix, script)
}

/// Among the base system's programs if it is there, else with its tree mounted at `/var/lang`.
fn interpreter(program: &str, flag: &str, print_prefix: &str, script: &str) -> Option<SandboxSpec> {
    let system = format!("/usr/bin/{program}");
    if Path::new(&system).exists() {
        return Some(spec(&[&system, flag, script]));
    }
    let find = Command::new(program).args([flag, print_prefix]).output().ok()?;
    let prefix = PathBuf::from(String::from_utf8(find.stdout).ok()?.trim());
    if !prefix.join("bin").join(program).exists()
        || rustix::fs::access(&prefix, rustix::fs::Access::READ_OK).is_err()
    {
        return None;
    }
    let mut spec = spec(&[&format!("/var/lang/bin/{program}"), flag, script]);
    spec.mounts.push(ReadOnlyMount { sources: vec![prefix], target: "/var/lang".into() });
    spec.env.push(("LD_LIBRARY_PATH".to_owned(), "/var/lang/lib".to_owned()));
    Some(spec)
}

pub(crate) async fn start(sandbox: &LinuxSandbox, spec: SandboxSpec) -> Started {
    sandbox.start(spec).await.unwrap_or_else(|error: StartError| panic!("{error}"))
}

/// Runs to the end; gives what it wrote and how it ended.
pub(crate) async fn output(sandbox: &LinuxSandbox, spec: SandboxSpec) -> (String, Exit) {
    let started = start(sandbox, spec).await;
    started.control.watch_memory(true);
    let exit = started.control.exited().await;
    (read_all(started.output), exit)
}

/// What is in the pipe now.
pub(crate) fn read_all(pipe: OwnedFd) -> String {
    let mut text = Vec::new();
    // A full read ends with WouldBlock if a writer is still there.
    drop(std::fs::File::from(pipe).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}
/// Waits for the next line a running sandbox writes.
pub(crate) async fn line(pipe: &OwnedFd) -> String {
    let mut text = String::new();
    eventually("a line", || {
        let mut byte = [0; 1];
        while let Ok(1) = rustix::io::read(pipe, &mut byte[..]) {
            if byte[0] == b'\n' {
                return true;
            }
            text.push(char::from(byte[0]));
        }
        false
    })
    .await;
    text
}

/// Waits until `done` holds.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not in ten seconds: {what}");
}
