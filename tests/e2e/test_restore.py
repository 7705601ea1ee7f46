"""Environments restored from a snapshot: what they have of the init, what is their own, and what becomes of the rest."""

import base64
import concurrent.futures
import os
import re
import signal
import time

import botocore.exceptions
import pytest

from conftest import MODES, Restoring, ancestors, running

NODE_INIT = """
const { registerAfterRestore, registerBeforeSnapshot } = require('snapshot_restore_js');
const crypto = require('crypto'), fs = require('fs'), os = require('os');
const until = Date.now() + 300; while (Date.now() < until);
const born = crypto.randomUUID(), draw = Math.random, hooks = [];
crypto.randomInt(10);
registerBeforeSnapshot(async (name) => hooks.push(name), 'before 1');
registerBeforeSnapshot(() => hooks.push('before 2'));
registerAfterRestore(async () => { await new Promise((resolve) => setTimeout(resolve, 1)); hooks.push('after 1'); });
registerAfterRestore(() => hooks.push('after 2'));
fs.mkdirSync('/tmp/deep/er', { recursive: true });
fs.writeFileSync('/tmp/deep/er/file', 'of the init', { mode: 0o640 });
fs.symlinkSync('er/file', '/tmp/deep/link');
process.env.SET_BY_INIT = 'yes';
process.chdir('/tmp/deep');
exports.handler = async (event) => {
  await new Promise((resolve) => setTimeout(resolve, event.ms || 0));
  const text = fs.readFileSync('link', 'utf8');
  fs.appendFileSync('link', ', changed');
  return {
    born, hooks, text, mode: fs.statSync('link').mode & 0o777, uid: process.getuid(), owner: fs.statSync('link').uid,
    cwd: process.cwd(), set: process.env.SET_BY_INIT, type: process.env.AWS_LAMBDA_INITIALIZATION_TYPE,
    stream: process.env.AWS_LAMBDA_LOG_STREAM_NAME || null, key: process.env.AWS_ACCESS_KEY_ID || null, pid: process.pid,
    parent: process.ppid, unique: [draw(), Math.random(), crypto.randomUUID(), crypto.randomInt(2 ** 47),
      crypto.randomBytes(8).toString('hex'), globalThis.crypto.randomUUID()],
  };
};
"""
PYTHON_INIT = """
import os, random, secrets, stat, tempfile, time, uuid
from snapshot_restore_py import register_after_restore, register_before_snapshot
time.sleep(0.3)
born, hooks, names = str(uuid.uuid4()), [], [tempfile.mktemp()]
register_before_snapshot(hooks.append, 'before 1')
register_before_snapshot(lambda: hooks.append('before 2'))
@register_after_restore
def after():
    hooks.append('after 1')
register_after_restore(hooks.append, 'after 2')
os.makedirs('/tmp/deep/er')
with open('/tmp/deep/er/file', 'w') as file:
    file.write('of the init')
os.chmod('/tmp/deep/er/file', 0o640)
os.symlink('er/file', '/tmp/deep/link')
os.environ['SET_BY_INIT'] = 'yes'
os.chdir('/tmp/deep')
def handler(event, context):
    time.sleep(event.get('ms', 0) / 1000)
    text = open('link').read()
    with open('link', 'a') as file:
        file.write(', changed')
    status = os.stat('link')
    return {
        'born': born, 'hooks': hooks, 'text': text, 'mode': status.st_mode & 0o777, 'uid': os.getuid(), 'owner': status.st_uid,
        'cwd': os.getcwd(), 'set': os.environ.get('SET_BY_INIT'), 'type': os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'],
        'stream': os.environ.get('AWS_LAMBDA_LOG_STREAM_NAME'), 'key': os.environ.get('AWS_ACCESS_KEY_ID'), 'pid': os.getpid(),
        'parent': os.getppid(), 'unique': [random.random(), str(uuid.uuid1()), str(uuid.uuid4()), secrets.token_hex(8), tempfile.mktemp()],
    }
"""
INIT = {"nodejs20.x": NODE_INIT, "python3.12": PYTHON_INIT, "python3.9": PYTHON_INIT}
HOOKS = ["before 2", "before 1", "after 1", "after 2"]


def several(server, name, event, count):
    """Answers of as many environments at once."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: server.invoke(name, event, LogType="Tail"), range(count)))
    for payload, error, _ in answers:
        assert error is None, payload
    return [payload for payload, _, _ in answers], [base64.b64decode(a["LogResult"]).decode() for _, _, a in answers]


@pytest.mark.parametrize("runtime", INIT)
def test_restored_environments_share_the_init_and_nothing_else(restoring, runtime):
    name = restoring.deploy(INIT[runtime], runtime=runtime)
    seen, tails = several(restoring, name, {"ms": 700}, 4)
    assert len({one["born"] for one in seen}) == 1
    for one in seen:
        assert one["hooks"] == HOOKS and one["type"] == "snap-start"
        assert (one["text"], one["mode"], one["cwd"], one["set"]) == ("of the init", 0o640, "/tmp/deep", "yes")
        assert one["uid"] == one["owner"] == 993 and one["parent"] == 1
        # Not known before the snapshot: AWS gives neither to functions with SnapStart.
        assert one["stream"] is None and one["key"] is None
    for drawn in zip(*(one["unique"] for one in seen)):
        assert len(set(drawn)) == len(seen), drawn
    for tail in tails:
        assert re.search(r"\tRestore Duration: \d+\.\d\d ms\tBilled Restore Duration: \d+ ms\t\n", tail), tail
        assert "Init Duration" not in tail
    again, _, answer = restoring.invoke(name, {}, LogType="Tail")
    assert again["text"] == "of the init, changed" and again["hooks"] == HOOKS
    assert "Restore" not in base64.b64decode(answer["LogResult"]).decode()


@pytest.mark.parametrize("runtime", ["nodejs20.x", "python3.12"])
def test_the_log_tells_of_init_and_restores(restoring, runtime):
    name = restoring.deploy(INIT[runtime], runtime=runtime).partition(":")[0]
    restoring.invoke(f"{name}:1", {})
    logs = restoring.client("logs")
    deadline = time.monotonic() + 10
    while True:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        lines = [event["message"] for event in events]
        if sum(line.startswith("REPORT") for line in lines) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["INIT_START", "INIT_REPORT", "RESTORE_START", "RESTORE_REPORT", "START", "END", "REPORT"], lines
    assert re.fullmatch(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: success\n", lines[1])
    assert lines[2].startswith("RESTORE_START Runtime Version: ") and "\tRuntime Version ARN: arn:aws:lambda:" in lines[2]
    assert re.fullmatch(r"RESTORE_REPORT Restore Duration: \d+\.\d\d ms\n", lines[3])
    # The init has a stream of its own, as it has an environment of its own.
    assert len({event["logStreamName"] for event in events}) == 2


FAILING = {
    "nodejs20.x": ("require('snapshot_restore_js').register%s(() => { %s });\nexports.handler = async () => 1;", "throw new TypeError('no')", "for (;;);"),
    "python3.12": ("from snapshot_restore_py import register_%s as register\ndef hook():\n    %s\nregister(hook)\ndef handler(event, context):\n    return 1\n", "raise TypeError('no')", "while True: pass"),
}


@pytest.mark.parametrize("runtime", FAILING)
def test_a_hook_that_fails(restoring, runtime):
    source, raises, hangs = FAILING[runtime]
    after = "AfterRestore" if runtime.startswith("node") else "after_restore"
    before = "BeforeSnapshot" if runtime.startswith("node") else "before_snapshot"
    with pytest.raises(botocore.exceptions.WaiterError):
        restoring.deploy(source % (before, raises), runtime=runtime)
    name = restoring.deploy(source % (after, raises), runtime=runtime)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        restoring.invoke(name, {})
    assert error.value.response["Error"]["Code"] == "SnapStartException"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    name = restoring.deploy(source % (after, hangs), runtime=runtime)
    began = time.monotonic()
    with pytest.raises(botocore.exceptions.ClientError) as error:
        restoring.invoke(name, {})
    assert error.value.response["Error"]["Code"] == "SnapStartTimeoutException"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 408
    assert 9 < time.monotonic() - began < 20


# Whatever a process can hold open, held open by the init.
OPEN = """
import asyncio, mmap, os, select, socket, tempfile, threading, time
named = open('/tmp/named', 'w+'); named.write('0123456789'); named.flush(); named.seek(4)
unnamed = tempfile.TemporaryFile(); unnamed.write(b'unnamed'); unnamed.seek(2)
memory = os.memfd_create('m'); os.write(memory, b'memory')
code = open(__file__); code.read(3)
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); listener.bind(('127.0.0.1', 8123)); listener.listen(5)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.bind(('127.0.0.1', 8124))
connected = socket.create_connection(('127.0.0.1', 8123)); accepted, _ = listener.accept()
one, other = socket.socketpair(); one.send(b'waiting')
reader, writer = os.pipe(); os.write(writer, b'piped')
loop = asyncio.new_event_loop()
poll = select.epoll(); poll.register(reader, select.EPOLLIN)
copy_of_output = os.dup(1)
def handler(event, context):
    seen = {'named': named.read(3), 'unnamed': unnamed.read().decode(), 'code': code.read(3)}
    named.write(event['mark']); named.flush()
    os.write(memory, event['mark'].encode()); os.lseek(memory, 0, 0)
    seen['memory'] = os.read(memory, 100).decode()
    connected.settimeout(2)
    try:
        seen['connected'] = connected.recv(1).decode()
    except OSError as error:
        seen['connected'] = error.errno
    client = socket.create_connection(('127.0.0.1', 8123), timeout=2)
    seen['accepted'] = listener.accept()[0].getpeername()[0]
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sender.sendto(b'hello', ('127.0.0.1', 8124))
    datagrams.settimeout(2); seen['datagram'] = datagrams.recv(10).decode()
    seen['pair'] = other.recv(100).decode(); other.send(event['mark'].encode()); seen['back'] = one.recv(100).decode()
    seen['polled'] = [fd for fd, _ in poll.poll(1)] == [reader]
    seen['piped'] = os.read(reader, 100).decode(); os.write(writer, event['mark'].encode())
    async def later():
        await asyncio.sleep(0.01)
        return await loop.run_in_executor(None, lambda: 'from a thread')
    seen['loop'] = loop.run_until_complete(later())
    os.write(copy_of_output, b'by the copy\\n')
    time.sleep(event['ms'] / 1000)
    seen['file'] = open('/tmp/named').read(); seen['rest'] = os.read(reader, 100).decode()
    return seen
"""


def test_nothing_open_is_shared(restoring):
    name = restoring.deploy(OPEN, runtime="python3.12")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        events = [{"mark": mark, "ms": 700} for mark in ["A", "B", "C"]]
        answers = list(pool.map(lambda event: restoring.invoke(name, event, LogType="Tail"), events))
    for event, (seen, error, answer) in zip(events, answers):
        mark = event["mark"]
        assert error is None, seen
        assert (seen["named"], seen["unnamed"], seen["memory"], seen["code"]) == ("456", "named", "memory" + mark, "por")
        assert seen["file"] == "0123456789" + mark
        # The other end was the init's: as on AWS, a connection is there no more.
        assert seen["connected"] in ("", 104)
        assert (seen["accepted"], seen["datagram"]) == ("127.0.0.1", "hello")
        assert (seen["pair"], seen["back"]) == ("waiting", mark)
        assert (seen["polled"], seen["piped"], seen["rest"]) == (True, "piped", mark)
        assert seen["loop"] == "from a thread"
        tail = base64.b64decode(answer["LogResult"]).decode()
        assert tail.count("by the copy") == 1 and "Restore Duration" in tail, tail


NODE_OPEN = """
const fs = require('fs'), http = require('http'), net = require('net'), zlib = require('zlib');
const server = http.createServer((request, response) => response.end('served'));
const agent = new http.Agent({ keepAlive: true });
const get = () => new Promise((resolve, reject) => http.get({ port: 8125, agent }, (response) => {
  let text = ''; response.on('data', (part) => (text += part)); response.on('end', () => resolve(text));
}).on('error', reject));
let ticks = 0;
const ready = (async () => {
  await new Promise((resolve) => server.listen(8125, '127.0.0.1', resolve));
  await get();
  await fs.promises.readFile(__filename);
  zlib.gzipSync('x'); await new Promise((resolve) => zlib.gzip('x', resolve));
  setInterval(() => (ticks += 1), 10).unref();
})();
module.exports.handler = async () => {
  await ready;
  const before = ticks;
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { served: await get(), read: (await fs.promises.readFile(__filename)).length > 0, ticked: ticks > before,
    zipped: await new Promise((resolve, reject) => zlib.gzip('x'.repeat(1e5), (error, bytes) => error ? reject(error) : resolve(bytes.length > 0))) };
};
"""


def test_node_goes_on_with_its_servers_timers_and_thread_pool(restoring):
    name = restoring.deploy(NODE_OPEN, runtime="nodejs20.x")
    seen, tails = several(restoring, name, {}, 3)
    assert seen == [{"served": "served", "read": True, "ticked": True, "zipped": True}] * 3
    assert all("Restore Duration" in tail for tail in tails), tails


UNFORKABLE = {
    "a thread": ("python3.12", "import threading, time\nthreading.Thread(target=time.sleep, args=(9999,), daemon=True).start()\n"),
    "a child": ("python3.12", "import subprocess\nsubprocess.Popen(['sleep', '9999'])\n"),
    "shared memory": ("python3.12", "import mmap\nm = mmap.mmap(-1, 4096)\n"),
    "a worker": ("nodejs20.x", "const { Worker } = require('worker_threads'); new Worker('setInterval(() => {}, 1000)', { eval: true });\n"),
}


@pytest.mark.parametrize("what", UNFORKABLE)
def test_what_cannot_be_forked_is_initialised_each_time(restoring, what):
    runtime, init = UNFORKABLE[what]
    handler = "exports.handler = async () => 'ran';" if runtime.startswith("node") else "def handler(event, context):\n    return 'ran'\n"
    name = restoring.deploy(init + handler, runtime=runtime)
    payload, error, answer = restoring.invoke(name, {}, LogType="Tail")
    assert (payload, error) == ("ran", None)
    assert "Init Duration" in base64.b64decode(answer["LogResult"]).decode()


def mains(server):
    """Pids of the main processes of this server's environments and templates, with how deep their namespaces are."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if server.process.pid in ancestors(int(pid)) and b"/var/runtime/" in open(f"/proc/{pid}/cmdline", "rb").read():
                spaces = open(f"/proc/{pid}/status").read().split("NSpid:")[1].split("\n")[0].split()
                found[int(pid)] = len(spaces)
        except OSError:
            pass
    return found


def test_a_template_that_dies_is_made_anew(restoring):
    name = restoring.deploy("import os, time\ntime.sleep(0.2)\ndef handler(event, context):\n    return event or os._exit(3)\n", runtime="python3.12")
    assert restoring.invoke(name, "ran")[0] == "ran"
    # Those of zygotes and of environments that were forked from them, among which is the template.
    for pid in [pid for pid, deep in mains(restoring).items() if deep == 2]:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    restored = False
    while not restored and time.monotonic() < deadline:
        # Ends its environment, so that the next one is a new one.
        restoring.invoke(name, None)
        payload, error, answer = restoring.invoke(name, "ran", LogType="Tail")
        assert (payload, error) == ("ran", None)
        restored = "Restore Duration" in base64.b64decode(answer["LogResult"]).decode()
    assert restored, restoring.log_text()


def test_a_restart_makes_snapshots_anew_when_they_are_wanted():
    mode = "root" if os.geteuid() == 0 else "user"
    with running(mode) as server:
        name = Restoring(server).deploy("import time\ntime.sleep(0.2)\ndef handler(event, context):\n    time.sleep(1)\n    return 'ran'\n", runtime="python3.12")
        server.kill()
        server.start()
        _, _, first = server.invoke(name, {}, LogType="Tail")
        assert "Init Duration" in base64.b64decode(first["LogResult"]).decode()
        _, tails = several(server, name, {}, 2)
        assert any("Restore Duration" in tail for tail in tails), tails


@pytest.mark.parametrize("mode", MODES)
def test_a_template_is_frozen_between_forks_and_gone_with_its_version(mode):
    with running(mode) as server:
        name = Restoring(server).deploy("def handler(event, context):\n    return 'ran'\n", runtime="python3.12")
        assert server.invoke(name, {})[0] == "ran"
        frozen = 0
        deadline = time.monotonic() + 10
        # The template and the environment; what is forked ahead waits to be told what for.
        while frozen < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
            frozen = sum("frozen 1" in (group / "cgroup.events").read_text() for group in server.environment_cgroups())
        assert frozen == 2
        server.lambda_.delete_function(FunctionName=name.partition(":")[0])
        deadline = time.monotonic() + 10
        while server.environment_cgroups() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not server.environment_cgroups()
