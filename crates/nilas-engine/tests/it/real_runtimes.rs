//! Our bootstraps and AWS's own client, as plain processes on the scripted sandbox's sockets.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nilas_model::{Outcome, RuntimeKind};
use nilas_sandbox::Exit;
use nilas_sandbox::fake::FakeProcess;

use crate::harness::{Bench, tail, text, with_tail, within};

/// A process that plays the inside of a fake sandbox. Killed with it.
struct Guest {
    child: Child,
    process: FakeProcess,
}

impl Guest {
    /// Runs `words` with the sandbox's variables and descriptors: the shell puts those where the contract wants them.
    fn run(process: FakeProcess, words: &[&str], change: &[(&str, String)]) -> Self {
        let channel = process.channel.try_clone().unwrap();
        channel.set_nonblocking(false).unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&2 2>&1 0</dev/null", "sh"])
            .args(words)
            .env_clear()
            .envs(process.spec.env.iter().cloned())
            .envs(change.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(channel)))
            .stdout(process.output.try_clone().unwrap())
            .stderr(process.telemetry.try_clone().unwrap())
            .spawn()
            .unwrap();
        Self { child, process }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.child.kill());
        let status = self.child.wait();
        let code = status.ok().and_then(|status| status.code());
        self.process.exit(Exit { code, signal: None, out_of_memory: false });
    }
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn available(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("SKIPPED: no {program} on this machine");
    }
    found
}

fn bootstrap(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtimes").join(name);
    root.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// Runs `code` once with one of our bootstraps; `words` start it.
async fn answered(kind: RuntimeKind, file: &str, code: &str, words: &[&str]) -> Outcome {
    let bench = Bench::new();
    let snapshot = bench.snapshot(kind);
    std::fs::write(snapshot.code_dir.join(file), code).unwrap();
    let root = snapshot.code_dir.to_str().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let answer = bench.invoke(&Arc::new(snapshot), with_tail("{\"name\":\"you\"}"));
    let process = within(bench.sandbox.next_started()).await;
    let change = [("LAMBDA_TASK_ROOT", root), ("PATH", path)];
    let _guest = Guest::run(process, words, &change);
    within(answer).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_node_bootstrap_answers() {
    if !available("node") {
        return;
    }
    let code = "exports.handler = async (event, context) => {\
                console.log('hello'); return `${event.name} ${context.memoryLimitInMB}`; };";
    let script = bootstrap("node/nilas-node.js");
    let outcome = answered(RuntimeKind::Node, "index.js", code, &["node", &script]).await;
    assert_eq!(text(&outcome), "\"you 128\"", "{}", tail(&outcome));
    let log = tail(&outcome);
    assert!(log.contains("\tID\tINFO\thello\n"), "{log}");
    assert!(log.find("hello") < log.find("END"), "{log}");
}

#[tokio::test]
async fn the_python_bootstrap_answers() {
    if !available("python3") {
        return;
    }
    let code = "def handler(event, context):\n    print('hello')\n    return event['name'] + ' ' + context.aws_request_id\n";
    let script = bootstrap("python/nilas_python.py");
    let outcome = answered(RuntimeKind::Python, "index.py", code, &["python3", &script]).await;
    assert_eq!(text(&outcome), "\"you ID\"", "{}", tail(&outcome));
    let log = tail(&outcome);
    assert!(log.contains("hello\n"), "{log}");
    assert!(log.find("hello") < log.find("END"), "{log}");
}

/// AWS's own Python client. Point `PYTHONPATH` to where it is installed (`pip install --target DIR awslambdaric`).
#[tokio::test]
async fn awslambdaric_runs_unmodified() {
    let found =
        Command::new("python3").args(["-c", "import awslambdaric"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("SKIPPED: python3 cannot import awslambdaric");
        return;
    }
    let bench = Bench::new();
    let snapshot = bench.snapshot(RuntimeKind::Custom);
    let code = "def handler(event, context):\n    print('hello')\n    if event['n'] == 2:\n        raise ValueError('no')\n    \
                return [event, context.aws_request_id, context.invoked_function_arn, context.get_remaining_time_in_millis() > 0]\n";
    std::fs::write(snapshot.code_dir.join("index.py"), code).unwrap();
    let root = snapshot.code_dir.to_str().unwrap().to_owned();
    let snapshot = Arc::new(snapshot);
    let first = bench.invoke(&snapshot, with_tail("{\"n\":1}"));
    let process = within(bench.sandbox.next_started()).await;
    let change = [
        ("AWS_LAMBDA_RUNTIME_API", process.listeners[1].to_string()),
        ("LAMBDA_TASK_ROOT", root.clone()),
        ("PATH", std::env::var("PATH").unwrap()),
        ("PYTHONPATH", format!("{}:{root}", std::env::var("PYTHONPATH").unwrap_or_default())),
    ];
    let words = ["python3", "-m", "awslambdaric", "index.handler"];
    let _guest = Guest::run(process, &words, &change);
    let outcome = within(first).await.unwrap().unwrap();
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:hello";
    assert_eq!(text(&outcome), format!("[{{\"n\": 1}}, \"ID\", \"{arn}\", true]"));
    assert!(tail(&outcome).contains("hello\n"));
    let outcome = within(bench.invoke(&snapshot, with_tail("{\"n\":2}"))).await.unwrap().unwrap();
    assert!(outcome.error.is_some());
    assert!(text(&outcome).contains("\"errorMessage\": \"no\", \"errorType\": \"ValueError\""));
    let outcome = within(bench.invoke(&snapshot, with_tail("{\"n\":3}"))).await.unwrap().unwrap();
    assert!(outcome.error.is_none());
}

/// AWS's Rust client, when `cargo build -p rust-hello` has been run.
#[tokio::test]
async fn lambda_runtime_runs_unmodified() {
    let own = std::env::current_exe().unwrap();
    let example = own.parent().and_then(Path::parent).unwrap().join("rust-hello");
    if !example.exists() {
        println!("SKIPPED: {} is not built", example.display());
        return;
    }
    let bench = Bench::new();
    let snapshot = Arc::new(bench.snapshot(RuntimeKind::Custom));
    let first = bench.invoke(&snapshot, with_tail("{\"name\":\"you\"}"));
    let process = within(bench.sandbox.next_started()).await;
    let change = [("AWS_LAMBDA_RUNTIME_API", process.listeners[1].to_string())];
    let _guest = Guest::run(process, &[example.to_str().unwrap()], &change);
    let outcome = within(first).await.unwrap().unwrap();
    assert_eq!(text(&outcome), "{\"message\":\"Hello you\"}");
    let second = bench.invoke(&snapshot, with_tail("{\"fail\":true}"));
    let outcome = within(second).await.unwrap().unwrap();
    assert!(outcome.error.is_some());
    assert!(text(&outcome).contains("\"errorMessage\":\"asked to fail\""), "{}", text(&outcome));
}
