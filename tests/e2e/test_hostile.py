"""Hostile functions on the real kernel: each is contained, answers AWS's error where AWS has one, and harms nobody else."""

import http.server
import os
import pathlib
import subprocess
import threading
import time

import pytest

from conftest import IS_ROOT

CONTAINED = "def handler(event, context):\n    return 'unharmed'\n"


@pytest.fixture
def bystander(server):
    """Another function, warm before the attack, that must still answer after it, from the same environment or a new one."""
    name = server.deploy(CONTAINED, runtime="python3.11")
    assert server.invoke(name)[0] == "unharmed"
    yield name
    assert server.invoke(name)[0] == "unharmed"
    assert server.process.poll() is None


def attack(server, source, **members):
    name = server.deploy(source, runtime="python3.11", **{"Timeout": 30, **members})
    payload, error, _ = server.invoke(name, {})
    return payload, error


def test_fork_bomb(server, bystander):
    source = """
import os, time
def handler(event, context):
    children = 0
    try:
        while children < 5000:
            if os.fork() == 0:
                time.sleep(60); os._exit(0)
            children += 1
    except OSError as error:
        return {"children": children, "errno": error.errno}
    return {"children": children}
"""
    payload, error = attack(server, source, MemorySize=3008)
    assert error is None, payload
    assert payload["errno"] == 11 and payload["children"] < 1100


def test_doubling_fork_bomb_is_stopped_by_the_timeout(server, bystander):
    name = server.deploy("import os\ndef handler(event, context):\n    while True:\n        try:\n            os.fork()\n        except OSError:\n            pass\n", runtime="python3.11", Timeout=2)
    payload, error, _ = server.invoke(name, {})
    assert error == "Unhandled"
    assert "Task timed out after 2.00 seconds" in payload["errorMessage"]


@pytest.mark.parametrize("runtime", ["python3.11", "nodejs20.x"])
def test_memory_hog(server, bystander, runtime):
    source = {
        "python3.11": "def handler(event, context):\n    hog = []\n    while True:\n        hog.append(bytearray(b'x' * (4 << 20)))\n",
        "nodejs20.x": "exports.handler = async () => { const hog = []; for (;;) hog.push(Buffer.alloc(4 << 20, 1)); }",
    }[runtime]
    name = server.deploy(source, runtime=runtime, Timeout=30)
    payload, error, answer = server.invoke(name, {}, LogType="Tail")
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.OutOfMemory", payload
    assert payload["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")


def test_fd_hog(server, bystander):
    payload, error = attack(server, """
import os
def handler(event, context):
    fds = []
    try:
        while len(fds) < 100000:
            fds.append(os.open('/dev/null', os.O_RDONLY))
    except OSError as error:
        n = len(fds)
        for fd in fds: os.close(fd)
        return {"errno": error.errno, "count": n}
""")
    assert error is None and payload["errno"] == 24 and payload["count"] <= 1024


def test_tmp_filler_gets_no_space_and_not_out_of_memory(server, bystander):
    payload, error = attack(server, """
import os
def handler(event, context):
    written = 0
    try:
        with open('/tmp/fill', 'wb', buffering=0) as f:
            while written < 2 << 30:
                written += f.write(b'\\1' * (1 << 20))
    except OSError as error:
        return {"errno": error.errno, "written_mib": written >> 20}
""")
    assert error is None, payload
    assert payload["errno"] == 28 and 480 <= payload["written_mib"] <= 512


def test_sees_neither_the_host_nor_other_functions(server, bystander):
    payload, error = attack(server, f"""
import os, glob
def readable(path):
    try:
        if os.path.isdir(path): return os.listdir(path)
        with open(path, 'rb') as f: return len(f.read(64))
    except OSError as error:
        return None
def handler(event, context):
    return {{
        "seen": {{p: readable(p) for p in ["/etc/shadow", "/root", "/home", "/data", "/var/lib", "/srv", {str(server.data_dir)!r}, {str(server.directory)!r}, "/proc/1/environ", "/proc/1/root/etc/shadow", "/proc/kcore", "/proc/kallsyms", "/sys/kernel", "/dev/mem", "/dev/kmsg", "/proc/sysrq-trigger"] if readable(p) }},
        "processes": sorted(int(p) for p in os.listdir('/proc') if p.isdigit()),
        "task": os.listdir('/var/task'), "uid": os.getuid(), "mounts": open('/proc/self/mountinfo').read(),
        "status": open('/proc/self/status').read(), "fds": [os.readlink('/proc/self/fd/' + f) for f in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + f)],
        "root": os.listdir('/'),
    }}
""")
    assert error is None, payload
    assert payload["seen"] == {}
    assert payload["task"] == ["index.py"]
    assert len(payload["processes"]) <= 3, payload["processes"]
    status = dict(line.split(":\t", 1) for line in payload["status"].splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert payload["uid"] != 0
    assert not {"home", "root", "srv", "media"} & set(payload["root"])


def test_cannot_trace_signal_mount_or_unshare(server, bystander):
    payload, error = attack(server, """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    ctypes.set_errno(0)
    result = function(*arguments)
    return 0 if result != -1 else ctypes.get_errno()
def handler(event, context):
    signalled = []
    for pid in range(1, 70000):
        if pid == os.getpid(): continue
        try:
            os.kill(pid, 0); signalled.append(pid)
        except OSError: pass
    def kill(pid):
        try: os.kill(pid, signal.SIGKILL); return 0
        except OSError as e: return e.errno
    return {
        "signalled": signalled,
        "init": kill(1),
        "ptrace": call(libc.ptrace, 16, 1, 0, 0),
        "mount": call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None),
        "umount": call(libc.umount2, b"/var/task", 2),
        "unshare": call(libc.unshare, 0x10000000),
        "setns": call(libc.setns, 0, 0),
        "chroot": call(libc.chroot, b"/tmp"),
        "setuid": call(libc.setuid, 0),
        "sethostname": call(libc.sethostname, b"x", 1),
        "reboot": call(libc.reboot, 0x1234567),
        "keyctl": call(libc.syscall, 250, 0, 0, 0, 0, 0),
        "bpf": call(libc.syscall, 321, 0, 0, 0),
        "io_uring": call(libc.syscall, 425, 1, 0),
        "clone3_userns": call(libc.syscall, 435, 0, 0),
    }
""")
    assert error is None, payload
    assert set(payload.pop("signalled")) <= {1, 2, 3}
    payload.pop("init")  # A pid 1 of its own namespace ignores it; that we still answer is the proof.
    allowed = {name: errno for name, errno in payload.items() if errno == 0}
    assert allowed == {}, allowed


def test_no_raw_sockets(server, bystander):
    payload, error = attack(server, """
import socket as s
def handler(event, context):
    made = []
    for family, kind, proto in [(2, 3, 1), (2, 3, 255), (10, 3, 58), (17, 3, 0x300), (17, 2, 3), (38, 5, 0), (40, 1, 0), (16, 3, 9)]:
        try:
            s.socket(family, kind, proto).close(); made.append([family, kind, proto])
        except OSError: pass
    return made
""")
    assert error is None, payload
    assert payload == []


def test_code_is_read_only(server, bystander):
    payload, error = attack(server, """
import os
def handler(event, context):
    results = {}
    for path in ["/var/task/x", "/var/task/index.py", "/opt/x", "/var/runtime/x", "/usr/bin/x", "/etc/hosts", "/x", "/var/lang/bin/x"]:
        try:
            open(path, "a").close(); results[path] = 0
        except OSError as e: results[path] = e.errno
    try:
        os.chmod("/var/task/index.py", 0o777); results["chmod"] = 0
    except OSError as e: results["chmod"] = e.errno
    open("/tmp/allowed", "w").close()
    return results
""")
    assert error is None
    assert all(errno in (1, 2, 13, 30) for errno in payload.values()), payload


def test_reaches_no_service_of_the_host_nor_the_metadata_address(server, bystander):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.client_address)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    hits = []
    listener = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    port = listener.server_address[1]
    addresses = ["127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", *host_addresses()]
    targets = [f"{a}:{port}" for a in addresses] + [f"{a}:{server.port}" for a in addresses if a != "127.0.0.1"]
    targets += ["169.254.169.254:80", "169.254.170.2:80"]
    try:
        payload, error = attack(server, f"""
import socket, concurrent.futures, subprocess
def gateway():
    import struct
    for line in open('/proc/net/route').read().splitlines()[1:]:
        f = line.split()
        if f[1] == '00000000': return socket.inet_ntoa(struct.pack('<L', int(f[2], 16)))
def probe(target):
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close(); return target
    except OSError: return None
def handler(event, context):
    targets = {targets!r}
    g = gateway()
    if g: targets += [g + ':{port}', g + ':{server.port}', g + ':22']
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return [t for t in pool.map(probe, targets) if t]
""", Timeout=30)
    finally:
        listener.shutdown()
    assert error is None, payload
    assert payload == [] and hits == []


def host_addresses() -> list:
    out = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}).stdout
    return [line.split()[3].split("/")[0] for line in out.splitlines() if " lo " not in line]


def test_response_over_six_megabytes(server, bystander):
    name = server.deploy("exports.handler = async (e) => 'x'.repeat(e.size)")
    payload, error, _ = server.invoke(name, {"size": 6_291_556 - 2})
    assert error is None and len(payload) == 6_291_554
    payload, error, _ = server.invoke(name, {"size": 6_291_556})
    assert error == "Unhandled"
    assert payload == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }


def test_log_flood_never_blocks(server, bystander):
    payload, error = attack(server, """
import sys
def handler(event, context):
    line = 'x' * 1000 + '\\n'
    for _ in range(100_000): sys.stdout.write(line)
    sys.stdout.write('y' * 3_000_000)
    return 'done'
""")
    assert error is None and payload == "done"


GARBAGE = r'''#!/usr/bin/python3
import http.client, os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request(method, "/2018-06-01/runtime/" + path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer
def raw(data):
    s = socket.create_connection((host, int(port)), timeout=2)
    s.settimeout(1)
    try:
        s.sendall(data); s.recv(100)
    except OSError: pass
    s.close()
seen = [call("POST", "invocation/00000000-0000-0000-0000-000000000000/response", "1")[:2]]
raw(b"\x00\xff" * 5000); raw(b"GET " + b"a" * 200000 + b" HTTP/1.1\r\n\r\n"); raw(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
for _ in range(200):
    try: socket.create_connection((host, int(port)), timeout=1)
    except OSError: break
while True:
    status, event, answer = call("GET", "invocation/next")
    rid = answer.getheader("Lambda-Runtime-Aws-Request-Id")
    seen.append(call("POST", "invocation/not-the-id/response", "1")[:2])
    seen.append(call("POST", "invocation/" + rid + "/nonsense", "1")[:2])
    seen.append(call("DELETE", "invocation/" + rid + "/response")[:2])
    seen.append(call("POST", "init/error", "{}")[:2])
    import json
    call("POST", "invocation/" + rid + "/response", json.dumps(seen))
    seen = [call("POST", "invocation/" + rid + "/response", "2")[:2]]
'''


def test_garbage_and_out_of_order_calls_on_the_runtime_api(server, bystander):
    name = server.deploy({"bootstrap": (GARBAGE, 0o755)}, runtime="provided.al2023", handler="x", Timeout=10)
    payload, error, _ = server.invoke(name, {})
    assert error is None, payload
    statuses = [status for status, _ in payload]
    assert all(400 <= status < 500 for status in statuses), payload
    second, error, _ = server.invoke(name, {})
    assert error is None and 400 <= second[0][0] < 500, "a second answer to the same invocation is refused"


def test_killing_everything_it_can_see(server, bystander):
    name = server.deploy("import os\ndef handler(event, context):\n    try:\n        os.kill(-1, 9)\n    except OSError: pass\n    os.kill(os.getpid(), 9)\n", runtime="python3.11")
    payload, error, _ = server.invoke(name, {})
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.ExitError" and "signal: killed" in payload["errorMessage"]


@pytest.mark.skipif(not IS_ROOT, reason="makes a network namespace as the outside world")
def test_outbound_network_reaches_the_outside(root_server):
    """The outside is a network namespace of the test's own, routed like any other host."""
    tag = f"e2e{os.getpid() % 10000}"
    run = lambda line: subprocess.run(line.split(), check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    run(f"ip netns add {tag}")
    try:
        run(f"ip link add {tag}h type veth peer name {tag}o")
        run(f"ip link set {tag}o netns {tag}")
        run(f"ip addr add 198.18.77.1/24 dev {tag}h")
        run(f"ip link set {tag}h up")
        run(f"ip -n {tag} addr add 198.18.77.2/24 dev {tag}o")
        run(f"ip -n {tag} link set {tag}o up")
        outside = subprocess.Popen(
            ["ip", "netns", "exec", tag, "python3", "-m", "http.server", "8000", "--bind", "198.18.77.2"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/usr/share/common-licenses" if pathlib.Path("/usr/share/common-licenses").exists() else "/usr/share",
        )
        try:
            time.sleep(1)
            payload, error = attack(root_server, """
import urllib.request
def handler(event, context):
    return urllib.request.urlopen('http://198.18.77.2:8000/', timeout=5).status
""")
            assert error is None and payload == 200, payload
        finally:
            outside.kill()
            outside.wait()
    finally:
        subprocess.run(["/usr/sbin/ip", "link", "del", f"{tag}h"])
        subprocess.run(["/usr/sbin/ip", "netns", "del", tag])
