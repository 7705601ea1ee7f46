//! What is inside cannot see or touch what is outside.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use nilas_sandbox::ReadOnlyMount;

use crate::harness::{Outcome, Test, is_root, output, python, shell, start, with_sandbox};

pub(crate) const TESTS: &[Test] = &[
    ("sees_only_its_own_files", sees_only_its_own_files),
    ("sees_only_its_own_processes", sees_only_its_own_processes),
    ("has_no_rights", has_no_rights),
    ("cannot_write_outside_tmp", cannot_write_outside_tmp),
    ("is_refused_dangerous_calls", is_refused_dangerous_calls),
    ("may_do_what_programs_do", may_do_what_programs_do),
    ("runs_node", runs_node),
    ("is_open_to_itself_under_a_strict_umask", is_open_to_itself_under_a_strict_umask),
    ("mounts_and_merges_directories", mounts_and_merges_directories),
    ("has_its_channel_and_telemetry", has_its_channel_and_telemetry),
    ("hands_listeners_out", hands_listeners_out),
];

fn sees_only_its_own_files() -> Outcome {
    with_sandbox(|sandbox| async move {
        let (text, _) = output(&sandbox, shell("echo /* /dev/* /etc/* /tmp/*; ls -A /root /home /sys /var 2>&1; cat /etc/shadow /etc/passwd")).await;
        let first = text.lines().next().unwrap_or_default();
        for hidden in [
            "/home",
            "/root",
            "/sys",
            "/work",
            "/boot",
            "/dev/sda",
            "/dev/kmsg",
            "/dev/mem",
            "/etc/shadow",
            "/etc/ssh",
        ] {
            assert!(!first.split(' ').any(|path| path == hidden), "{hidden} in {text}");
        }
        assert!(text.contains("sbx_user1051:x:993:990"), "{text}");
        let (text, _) =
            output(&sandbox, shell("cat /proc/self/mountinfo; cat /proc/self/cgroup")).await;
        assert!(!text.contains("nilas"), "{text}");
        Outcome::Passed
    })
}

fn sees_only_its_own_processes() -> Outcome {
    with_sandbox(|sandbox| async move {
        let (text, exit) = output(&sandbox, shell("echo /proc/[0-9]*; cat /proc/1/comm; cat /proc/1/environ /proc/1/maps 2>&1; ls /proc/1/fd 2>&1; kill -9 1; kill -STOP 1; hostname 2>/dev/null || cat /proc/sys/kernel/hostname; cat /proc/net/dev")).await;
        let processes = text.lines().next().unwrap_or_default();
        assert_eq!(processes, "/proc/1 /proc/2", "{text}");
        assert!(text.contains("nilas:init"), "{text}");
        assert!(text.contains("Permission denied"), "{text}");
        assert_eq!(exit.code, Some(0), "{text}");
        let interfaces: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(": "))
            .filter(|line| line.trim_start().chars().next().is_some_and(char::is_alphabetic))
            .filter(|line| line.split_whitespace().count() > 10)
            .collect();
        assert_eq!(interfaces.len(), 1, "loopback only: {text}");
        Outcome::Passed
    })
}

fn has_no_rights() -> Outcome {
    with_sandbox(|sandbox| async move {
        let (text, _) = output(
            &sandbox,
            shell("cat /proc/self/status /proc/self/uid_map; ulimit -n; ulimit -c; id"),
        )
        .await;
        for wanted in [
            "Uid:\t993\t993\t993\t993",
            "Gid:\t990\t990\t990\t990",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "CapEff:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "CapInh:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "SigBlk:\t0000000000000000",
            "SigIgn:\t0000000000000000",
            "uid=993(sbx_user1051)",
        ] {
            assert!(text.contains(wanted), "{wanted} not in {text}");
        }
        assert!(text.contains("\n256\n0\n"), "{text}");
        if is_root() {
            assert!(
                text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>()[..1] == ["0"]
                    && line.ends_with("65536")),
                "{text}"
            );
        }
        Outcome::Passed
    })
}

fn cannot_write_outside_tmp() -> Outcome {
    with_sandbox(|sandbox| async move {
        let (text, _) = output(&sandbox, shell("for d in / /usr /etc /dev /proc/sys/kernel/hostname /usr/bin/sh; do if [ -d $d ]; then echo x 2>&1 > $d/probe && echo WROTE $d; else echo x 2>&1 > $d && echo WROTE $d; fi; done; echo fine > /tmp/ok && cat /tmp/ok; echo shm > /dev/shm/ok && cat /dev/shm/ok; echo out > /dev/stdout; mkdir /tmp/m && chmod +x /tmp/m")).await;
        assert!(!text.contains("WROTE"), "{text}");
        for wanted in ["fine", "shm", "out"] {
            assert!(text.lines().any(|line| line == wanted), "{wanted} not in {text}");
        }
        Outcome::Passed
    })
}

const CALLS: &str = r#"
import ctypes, errno, os, socket, platform
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == 'x86_64'
def call(name, nr, *args):
    ctypes.set_errno(0)
    result = libc.syscall(nr[0] if x86 else nr[1], *args)
    print(name, errno.errorcode.get(ctypes.get_errno(), 'ok') if result < 0 else 'ok', flush=True)
call('mount', (165, 40), b'none', b'/tmp', b'tmpfs', 0, None)
call('umount2', (166, 39), b'/tmp', 0)
call('ptrace', (101, 117), 16, 1, 0, 0)
call('process_vm_readv', (310, 270), 1, 0, 0, 0, 0, 0)
call('bpf', (321, 280), 0, 0, 0)
call('perf_event_open', (298, 241), 0, 0, 0, 0, 0)
call('keyctl', (250, 219), 0, 0)
call('userfaultfd', (323, 282), 0)
call('io_uring_setup', (425, 425), 1, 0)
call('setns', (308, 268), 0, 0)
call('unshare', (272, 97), 0x10000000)
call('clone_newuser', (56, 220), 0x10000000 | 17, 0, 0, 0, 0)
call('clone3', (435, 435), 0, 0)
call('open_by_handle_at', (304, 265), 0, 0, 0)
call('reboot', (169, 142), 0, 0, 0)
call('personality', (135, 92), 0x0040000)
def sock(name, *args):
    try:
        socket.socket(*args).close()
        print(name, 'ok')
    except OSError as e:
        print(name, errno.errorcode[e.errno])
sock('raw', socket.AF_INET, socket.SOCK_RAW, 1)
sock('packet', 17, socket.SOCK_RAW, 0)
sock('alg', 38, 5, 0)
sock('vsock', 40, socket.SOCK_STREAM, 0)
sock('netfilter', 16, socket.SOCK_RAW, 12)
sock('route', 16, socket.SOCK_RAW, 0)
sock('sctp', socket.AF_INET, socket.SOCK_STREAM, 132)
sock('tcp', socket.AF_INET, socket.SOCK_STREAM)
sock('udp6', socket.AF_INET6, socket.SOCK_DGRAM)
"#;

fn is_refused_dangerous_calls() -> Outcome {
    let Some(spec) = python(CALLS) else {
        return Outcome::Skipped("no python3 readable by this user".to_owned());
    };
    with_sandbox(|sandbox| async move {
        let (text, _) = output(&sandbox, spec).await;
        let expected = "mount EPERM\numount2 EPERM\nptrace EPERM\nprocess_vm_readv EPERM\nbpf EPERM\nperf_event_open EPERM\n\
            keyctl EPERM\nuserfaultfd EPERM\nio_uring_setup EPERM\nsetns EPERM\nunshare EPERM\nclone_newuser EPERM\n\
            clone3 ENOSYS\nopen_by_handle_at EPERM\nreboot EPERM\npersonality EPERM\nraw EPERM\npacket EPERM\nalg EPERM\n\
            vsock EPERM\nnetfilter EPERM\nroute ok\nsctp ENOSYS\ntcp ok\nudp6 ok\n";
        assert_eq!(text, expected);
        Outcome::Passed
    })
}

const ORDINARY: &str = r#"
import threading, subprocess, multiprocessing, socket, tempfile, time, os, getpass
t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()
print(subprocess.check_output(['/bin/echo', 'child']).decode().strip())
with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, [-1, 2])))
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); c = socket.create_connection(s.getsockname()); print('tcp')
with tempfile.NamedTemporaryFile() as f: f.write(b'x'); f.flush(); print(os.path.getsize(f.name))
print(getpass.getuser(), os.getcwd(), time.tzname[0], socket.gethostname(), socket.gethostbyname('localhost'))
"#;

fn may_do_what_programs_do() -> Outcome {
    let Some(spec) = python(ORDINARY) else {
        return Outcome::Skipped("no python3 readable by this user".to_owned());
    };
    with_sandbox(|sandbox| async move {
        let (text, _) = output(&sandbox, spec).await;
        assert_eq!(text, "thread\nchild\n3\ntcp\n1\nsbx_user1051 / UTC localhost 127.0.0.1\n");
        Outcome::Passed
    })
}

const NODE: &str = r#"
const { Worker } = require('worker_threads');
const { promisify } = require('util');
(async () => {
  await promisify(require('crypto').pbkdf2)('a', 'b', 10, 8, 'sha256'); console.log('thread pool');
  await require('dns').promises.lookup('localhost', { family: 4 }); console.log('dns');
  await new Promise((done) => new Worker('1', { eval: true }).on('exit', done)); console.log('worker');
  console.log(require('child_process').execSync('echo child').toString().trim());
  await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); console.log('wasm');
  const server = require('http').createServer((_, answer) => answer.end('http')).listen(0, async () => {
    console.log(await (await fetch(`http://127.0.0.1:${server.address().port}`)).text()); server.close();
  });
  console.log(require('os').userInfo().username, Object.keys(require('os').networkInterfaces()).join());
})();
"#;

fn runs_node() -> Outcome {
    let Some(mut spec) = crate::harness::node(NODE) else {
        return Outcome::Skipped("no node readable by this user".to_owned());
    };
    with_sandbox(|sandbox| async move {
        spec.limits.memory_bytes = 256 * crate::harness::MIB;
        let (text, _) = output(&sandbox, spec).await;
        assert_eq!(text, "thread pool\ndns\nworker\nchild\nwasm\nsbx_user1051 lo\nhttp\n");
        Outcome::Passed
    })
}

fn is_open_to_itself_under_a_strict_umask() -> Outcome {
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let outcome = with_sandbox(|sandbox| async move {
        let (text, _) =
            output(&sandbox, shell("umask; cat /etc/hostname; touch /tmp/x && stat -c %a /tmp/x"))
                .await;
        assert_eq!(text, "0022\nlocalhost\n644\n");
        Outcome::Passed
    });
    rustix::process::umask(before);
    outcome
}

fn mounts_and_merges_directories() -> Outcome {
    // Only root reaches sources that the sandbox's own ids may not walk to: the spawner opens them.
    let mode = if is_root() { 0o700 } else { 0o755 };
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    let file = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("code/index.js", "code\n");
    file("bottom/both", "bottom\n");
    file("bottom/lib/a", "a\n");
    file("top/both", "top\n");
    file("top/lib/b", "b\n");
    file("one.txt", "file\n");
    let mount = |sources: &[&str], target: &str| ReadOnlyMount {
        sources: sources.iter().map(|source| dir.path().join(source)).collect(),
        target: target.into(),
    };
    let mut spec = shell(
        "cat index.js /opt/both /opt/lib/a /opt/lib/b /var/one.txt /var/link; touch /var/task/x /opt/x 2>&1; ls -A /",
    );
    spec.cwd = "/var/task".into();
    spec.mounts = vec![
        mount(&["code"], "/var/task"),
        mount(&["bottom", "top"], "/opt"),
        mount(&["one.txt"], "/var/one.txt"),
    ];
    spec.symlinks = vec![("/var/link".into(), "/var/one.txt".into())];
    with_sandbox(|sandbox| async move {
        let (text, _) = output(&sandbox, spec).await;
        assert!(text.starts_with("code\ntop\na\nb\nfile\nfile\n"), "{text}");
        assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
        assert!(!text.contains(".layer"), "{text}");
        Outcome::Passed
    })
}

fn has_its_channel_and_telemetry() -> Outcome {
    with_sandbox(|sandbox| async move {
        let mut started =
            start(&sandbox, shell("echo log >&4; read x <&3; echo $x; echo answer >&3")).await;
        started.channel.set_nonblocking(false).unwrap();
        started.channel.write_all(b"question\n").unwrap();
        let mut answer = [0; 7];
        started.channel.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer\n");
        let exit = started.control.exited().await;
        assert_eq!(crate::harness::read_all(started.telemetry), "log\n");
        assert_eq!(crate::harness::read_all(started.output), "question\n");
        assert_eq!(exit.code, Some(0));
        let (text, _) = output(&sandbox, shell("ls /proc/self/fd")).await;
        // 5 is ls's own.
        assert_eq!(text, "0\n1\n2\n3\n4\n5\n", "nothing else is inherited");
        Outcome::Passed
    })
}

fn hands_listeners_out() -> Outcome {
    let Some(mut spec) = python(
        "import socket; c = socket.create_connection(('127.0.0.1', 9001)); print(c.recv(5).decode())",
    ) else {
        return Outcome::Skipped("no python3 readable by this user".to_owned());
    };
    spec.listeners = vec![9001, 4566];
    with_sandbox(|sandbox| async move {
        let started = start(&sandbox, spec).await;
        assert_eq!(started.listeners.len(), 2);
        assert_eq!(started.listeners[1].local_addr().unwrap().port(), 4566);
        started.listeners[0].set_nonblocking(false).unwrap();
        let (mut connection, _) = started.listeners[0].accept().unwrap();
        connection.write_all(b"hello").unwrap();
        started.control.exited().await;
        assert_eq!(crate::harness::read_all(started.output), "hello\n");
        Outcome::Passed
    })
}
