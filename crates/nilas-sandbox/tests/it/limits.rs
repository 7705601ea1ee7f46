//! Greedy programs are held to their limits, and the next sandbox is unharmed.

use nilas_sandbox::{Exit, LinuxSandbox, SandboxSpec};

use crate::harness::{MIB, Outcome, Test, has, line, output, python, shell, start, with_sandbox};

pub(crate) const TESTS: &[Test] = &[
    ("holds_a_memory_hog", holds_a_memory_hog),
    ("tells_a_peak_that_is_over", tells_a_peak_that_is_over),
    ("holds_a_shared_memory_hog", holds_a_shared_memory_hog),
    ("holds_a_fork_bomb", holds_a_fork_bomb),
    ("holds_a_thread_hog", holds_a_thread_hog),
    ("holds_a_descriptor_hog", holds_a_descriptor_hog),
    ("lets_tmp_fill_up_beside_the_memory", lets_tmp_fill_up_beside_the_memory),
    ("bounds_the_files_of_tmp", bounds_the_files_of_tmp),
    ("shares_the_cpu", shares_the_cpu),
];

fn with_python(
    script: &str,
    check: impl AsyncFnOnce(&LinuxSandbox, SandboxSpec) -> Outcome,
) -> Outcome {
    let Some(spec) = python(script) else {
        return Outcome::Skipped("no python3 readable by this user".to_owned());
    };
    with_sandbox(async |sandbox| {
        let outcome = check(&sandbox, spec).await;
        let (text, _) = output(&sandbox, shell("echo fine")).await;
        assert_eq!(text, "fine\n", "the next one is unharmed");
        outcome
    })
}

fn holds_a_memory_hog() -> Outcome {
    with_python("hog = []\nwhile True: hog.append(b'x' * 1048576)", async |sandbox, spec| {
        let limit = spec.limits.memory_bytes;
        let started = start(sandbox, spec).await;
        started.control.watch_memory(true);
        let exit = started.control.exited().await;
        assert_eq!(exit, Exit { code: exit.code, signal: exit.signal, out_of_memory: true });
        assert_eq!(started.control.memory_peak_bytes(), limit);
        Outcome::Passed
    })
}

/// Nobody has looked while the memory was in use.
fn tells_a_peak_that_is_over() -> Outcome {
    let script = "
import time
peak = b'x' * (40 << 20)
del peak
open('/tmp/file', 'wb').write(b'x' * (30 << 20))
print('done', flush=True)
time.sleep(60)
";
    with_python(script, async |sandbox, spec| {
        let started = start(sandbox, spec).await;
        assert_eq!(line(&started.output).await, "done");
        let peak = started.control.memory_peak_bytes();
        // The 40 MiB and an interpreter of about ten; neither /tmp nor our pid 1.
        assert!((40 * MIB..65 * MIB).contains(&peak), "{peak} bytes");
        Outcome::Passed
    })
}

/// Shared memory is not anonymous memory; the kernel's limit behind the guard's holds it.
fn holds_a_shared_memory_hog() -> Outcome {
    let script = "
import os
hog = os.memfd_create('hog')
while True: os.write(hog, b'x' * 1048576)
";
    with_python(script, async |sandbox, spec| {
        if !has(sandbox, "memory limit") {
            return Outcome::Skipped("no memory controller".to_owned());
        }
        let (_, exit) = output(sandbox, spec).await;
        assert_eq!(exit, Exit { code: None, signal: Some(9), out_of_memory: true });
        Outcome::Passed
    })
}

fn holds_a_fork_bomb() -> Outcome {
    let script = "
import os, sys, time
count = 0
try:
    while True:
        if os.fork() == 0: time.sleep(60); os._exit(0)
        count += 1
except OSError as error:
    print(count, error.strerror, flush=True)
";
    with_python(script, async |sandbox, spec| {
        let processes = spec.limits.processes;
        let (text, exit) = output(sandbox, spec).await;
        // The main process is one of them.
        assert_eq!(text, format!("{} Resource temporarily unavailable\n", processes - 1));
        assert_eq!(exit.code, Some(0));
        let bomb = shell("bomb() { bomb | bomb & }; bomb; sleep 60");
        let started = start(sandbox, bomb).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        started.control.kill();
        assert_eq!(started.control.exited().await.signal, Some(9));
        Outcome::Passed
    })
}

fn holds_a_thread_hog() -> Outcome {
    let script = "
import threading, time
count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        count += 1
except RuntimeError:
    print(count, flush=True)
";
    with_python(script, async |sandbox, spec| {
        let processes = spec.limits.processes;
        let (text, _) = output(sandbox, spec).await;
        assert_eq!(text, format!("{}\n", processes - 1));
        Outcome::Passed
    })
}

fn holds_a_descriptor_hog() -> Outcome {
    let script = "
import os
try:
    while True: last = os.open('/dev/null', os.O_RDONLY)
except OSError as error:
    print(last + 1, error.strerror)
";
    with_python(script, async |sandbox, spec| {
        let (text, _) = output(sandbox, spec).await;
        assert_eq!(text, "256 Too many open files\n");
        Outcome::Passed
    })
}

fn lets_tmp_fill_up_beside_the_memory() -> Outcome {
    with_sandbox(|sandbox| async move {
        let mut spec = shell(
            "dd if=/dev/zero of=/tmp/big bs=1M count=400 2>&1 | grep -o 'No space left'; stat -c %s /tmp/big; echo alive",
        );
        spec.limits.memory_bytes = 128 * MIB;
        spec.limits.tmp_bytes = 300 * MIB;
        let (text, exit) = output(&sandbox, spec).await;
        assert_eq!(text, format!("No space left\n{}\nalive\n", 300 * MIB));
        assert_eq!(exit, Exit { code: Some(0), signal: None, out_of_memory: false });
        Outcome::Passed
    })
}

fn bounds_the_files_of_tmp() -> Outcome {
    let script = "
import os
count = 0
try:
    while True: os.close(os.open(f'/tmp/{count}', os.O_CREAT)); count += 1
except OSError as error:
    print(count, error.strerror)
";
    with_python(script, async |sandbox, spec| {
        let (text, _) = output(sandbox, spec).await;
        // 64 MiB of 16 KiB each, less the root directory.
        assert_eq!(text, "4095 No space left on device\n");
        Outcome::Passed
    })
}

fn shares_the_cpu() -> Outcome {
    let script = "
import time
def burn():
    before, end = time.process_time(), time.monotonic() + 1
    while time.monotonic() < end: pass
    print(time.process_time() - before, flush=True)
burn()
burn()
";
    with_python(script, async |sandbox, mut spec| {
        if !has(sandbox, "cpu share") {
            return Outcome::Skipped("no cpu controller".to_owned());
        }
        spec.limits.cpu_millis = 100;
        let started = start(sandbox, spec).await;
        let seconds: f64 = line(&started.output).await.parse().unwrap();
        assert!(seconds > 0.3, "{seconds} s of CPU in the first second, without a limit");
        started.control.share_cpu().unwrap();
        let seconds: f64 = line(&started.output).await.parse().unwrap();
        assert!((0.05..0.2).contains(&seconds), "{seconds} s of CPU in about one second");
        Outcome::Passed
    })
}
