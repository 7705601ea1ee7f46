"""Runs a bootstrap as the platform does and records what it sends and logs."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass, field

RUNTIMES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NODE_ENTRY = os.path.join(RUNTIMES, "node", "nilas-node.js")
PYTHON_ENTRY = os.path.join(RUNTIMES, "python", "nilas_python.py")

WAIT_S = 20
ARN = "arn:aws:lambda:eu-central-1:000000000000:function:probe"
RELEASE = "AWS_Lambda_nodejs20.x"  # a release with callbacks
KINDS = {1: "ready", 2: "response", 3: "error", 4: "init_error", 6: "stream", 7: "chunk"}


@dataclass
class Row:
    """One function, the events it gets, and what must come of it.

    `expect` has one outcome per event: ("response", value), ("bytes", text),
    ("error", body), ("init_error", body) or ("gone",), where the process ended.
    Stack traces are cut to their first line. `aws_differs` says why AWS's
    client, run on the same row, does something else.
    """

    name: str
    files: object  # source of the handler's file, or {path: source}
    expect: list
    events: list = None
    logs: list = None
    stdout: str = None
    env: dict = field(default_factory=dict)
    header: dict = field(default_factory=dict)
    handler: str = None
    status: int = 0
    pause_s: float = 0
    since: tuple = (0,)
    until: tuple = (999,)
    aws_differs: str = None


@dataclass
class Record:
    outcomes: list
    logs: list
    stdout: str
    status: int
    frame_types: list


def request_id(index):
    return "00000000-0000-4000-8000-%012d" % index


def run_row(command, row, default_file, default_handler, extra_env=None, parse=True):
    with tempfile.TemporaryDirectory(prefix="nilas-row-") as task_root:
        files = row.files if isinstance(row.files, dict) else {default_file: row.files}
        for path, source in files.items():
            target = os.path.join(task_root, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as file:
                file.write(textwrap.dedent(source))
        env = dict(base_environment(task_root), _HANDLER=row.handler or default_handler)
        env.update(extra_env or {})
        env.update(row.env)
        with Process(command, env, task_root) as process:
            record = drive(process, row)
    return normalized(record, os.path.realpath(task_root), parse)


@contextlib.contextmanager
def started(command, file, source):
    """A function that has announced itself, for tests that are no rows."""
    with tempfile.TemporaryDirectory(prefix="nilas-row-") as task_root:
        with open(os.path.join(task_root, file), "w") as target:
            target.write(source)
        env = dict(base_environment(task_root), _HANDLER="index.handler", AWS_EXECUTION_ENV=RELEASE)
        with Process(command, env, task_root) as process:
            assert process.receive()[0] == "ready"
            yield process


def base_environment(task_root):
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": task_root,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_LAMBDA_FUNCTION_NAME": "probe",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/probe",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2024/01/01/[$LATEST]0",
        "_LAMBDA_TELEMETRY_LOG_FD": "4",
    }


def drive(process, row):
    outcomes = []
    first = process.receive()
    if first is not None and first[0] == "init_error":
        outcomes.append(("init_error", first[1]))
    elif first is None:
        outcomes.append(("gone",))
    else:
        assert first == ("ready", b"", b""), first
        for index, event in enumerate(row.events or [{}]):
            process.invoke(index, event, row.header)
            answer = process.receive()
            if answer is None:
                outcomes.append(("gone",))
                break
            kind, answered_id, body = answer
            assert answered_id.decode() == request_id(index), answer
            outcomes.append((kind, body))
            time.sleep(row.pause_s)
    process.hang_up()
    status = process.wait()
    return Record(outcomes, process.logs(), process.stdout(), status, process.frame_types)


class Process:
    """A bootstrap with its socket on descriptor 3 and its log pipe on 4."""

    def __init__(self, command, env, cwd):
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        out_read, out_write = os.pipe()
        # Above the target numbers, or one dup2 would overwrite the next's source.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (theirs.fileno(), log_write, out_write)]
        actions = [(os.POSIX_SPAWN_DUP2, high[2], 1), (os.POSIX_SPAWN_DUP2, high[2], 2)]
        actions += [(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
        with working_directory(cwd):
            self.pid = os.posix_spawn(command[0], command, env, file_actions=actions)
        for fd in high + [log_write, out_write]:
            os.close(fd)
        theirs.close()
        self.socket = ours
        self.socket.settimeout(WAIT_S)
        self.frame_types = []
        self.log_reader = Drain(log_read)
        self.out_reader = Drain(out_read)
        self.exit_status = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self.exit_status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.socket.close()

    def invoke(self, index, event, header, cuts=()):
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        fields = {
            "requestId": request_id(index),
            "deadlineMs": int(time.time() * 1000) + 3000,
            "invokedFunctionArn": ARN,
        }
        text = json.dumps(dict(fields, **header)).encode()
        payload = b"\x01" + struct.pack("<I", len(text)) + text + body
        frame = struct.pack("<I", len(payload)) + payload
        for start, end in zip((0, *cuts), (*cuts, len(frame))):
            self.socket.sendall(frame[start:end])
            if cuts:
                time.sleep(0.01)  # so that the pieces arrive apart

    def receive(self):
        head = self.read(4)
        if len(head) < 4:
            return None
        payload = self.read(struct.unpack("<I", head)[0])
        kind = KINDS[payload[0]]
        if kind == "stream":
            return self.receive_streamed(payload[1:37])
        if kind in ("response", "error"):
            return kind, payload[1:37], payload[37:]
        return (kind, payload[1:]) if kind == "init_error" else (kind, b"", payload[1:])

    def receive_streamed(self, answered_id):
        """The response that the chunks make together, or the error that ends them."""
        body = b""
        while True:
            payload = self.read(struct.unpack("<I", self.read(4))[0])
            kind, chunk = KINDS[payload[0]], payload[37:]
            assert payload[1:37] == answered_id, payload[:40]
            if kind == "error":
                return kind, answered_id, chunk
            body += chunk
            if kind == "response":
                return kind, answered_id, body
            assert kind == "chunk", kind

    def read(self, length):
        data = b""
        while len(data) < length:
            try:
                piece = self.socket.recv(min(length - len(data), 1 << 20))
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data

    def hang_up(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def wait(self):
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_status = os.waitstatus_to_exitcode(status)
                return self.exit_status
            time.sleep(0.002)
        raise TimeoutError("the bootstrap did not exit")

    def logs(self):
        data, events = self.log_reader.finish(), []
        while data:
            frame_type, length, micros = struct.unpack(">IIQ", data[:16])
            assert abs(micros / 1e6 - time.time()) < 600, micros
            self.frame_types.append(frame_type)
            events.append(data[16 : 16 + length].decode())
            data = data[16 + length :]
        return events

    def stdout(self):
        return self.out_reader.finish().decode()


class Drain:
    """Reads a pipe to its end in a thread, so that the writer never blocks."""

    def __init__(self, fd):
        self.data = b""
        self.thread = threading.Thread(target=self.run, args=(fd,), daemon=True)
        self.thread.start()

    def run(self, fd):
        with os.fdopen(fd, "rb", 0) as file:
            while True:
                piece = file.read(65536)
                if not piece:
                    return
                self.data += piece

    def finish(self):
        self.thread.join(WAIT_S)
        return self.data


@contextlib.contextmanager
def working_directory(path):
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


# === making records comparable ===

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
REQUEST_ID = re.compile(r"00000000-0000-4000-8000-0000000000(\d\d)")


def normalized(record, task_root, parse):
    def clean(text):
        text = text.replace(task_root, "/var/task")
        return REQUEST_ID.sub(lambda m: "ID" + str(int(m.group(1))), TIMESTAMP.sub("TIME", text))

    outcomes = []
    for outcome in record.outcomes:
        if len(outcome) == 1:
            outcomes.append(outcome)
            continue
        kind, body = outcome
        if not parse:
            outcomes.append((kind, clean(body.decode())))
            continue
        try:
            value = json.loads(clean(body.decode()))
        except ValueError:
            outcomes.append(("bytes", body.decode("latin-1")))
            continue
        outcomes.append((kind, value if kind == "response" else first_lines(value)))
    logs = [first_lines_in_log(clean(line)) for line in record.logs]
    return Record(outcomes, logs, clean(record.stdout), record.status, record.frame_types)


def first_lines(value):
    """Cuts Node's traces to the line that names the error."""
    if isinstance(value, dict):
        return {
            key: item[:1] if key in ("trace", "stack") and isinstance(item, list) else first_lines(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [first_lines(item) for item in value]
    return value


def first_lines_in_log(line):
    start = line.find("\t{")
    try:
        value = json.loads(line[start + 1 :] if start >= 0 else line)
    except ValueError:
        return line
    if not isinstance(value, dict):
        return line
    if "level" in value and isinstance(value.get("message"), dict):
        cut_stack_trace(value["message"])
    cut_stack_trace(value)
    text = json.dumps(first_lines(value), ensure_ascii=False, separators=(",", ":"))
    end = "\n" if line.endswith("\n") else ""
    return (line[: start + 1] if start >= 0 else "") + text + end


def cut_stack_trace(value):
    """Node's `stackTrace` begins with the error; Python's is compared in full."""
    trace = value.get("stackTrace")
    if isinstance(trace, list) and trace and "\n" not in trace[0]:
        value["stackTrace"] = trace[:1]


def interpreters(default, variable, print_self):
    """The interpreters to test: (path, version), the one of PATH first.

    Asking the program itself for its path sees through version managers' shims.
    """
    named = [path for path in os.environ.get(variable, "").split(":") if path]
    found = []
    for program in ([default] if shutil.which(default) else []) + named:
        answer = subprocess.run(
            [program] + print_self, stdout=subprocess.PIPE, check=True, universal_newlines=True
        ).stdout.split()
        path, version = answer[0], tuple(int(part) for part in answer[1].split(".")[:2])
        if (path, version) not in found:
            found.append((path, version))
    return found


def check(test, row, record):
    pairs = zip(row.expect, record.outcomes)
    outcomes = [(got[0], pick(want[-1], got[-1])) if len(got) > 1 else got for want, got in pairs]
    test.assertEqual(row.expect, outcomes + record.outcomes[len(outcomes) :])
    if row.logs is not None:
        test.assertEqual(row.logs, record.logs)
    if row.stdout is not None:
        test.assertEqual(row.stdout, record.stdout)
    if row.status is not None:
        test.assertEqual(row.status, record.status)


def pick(want, got):
    """A row may give an error by its type alone: messages differ between releases."""
    if isinstance(want, dict) and set(want) == {"errorType"} and isinstance(got, dict):
        return {"errorType": got.get("errorType")}
    return got


def applies(row, version):
    return row.since <= version[: len(row.since)] and version[: len(row.until)] <= row.until


def add_rows(case, rows, runners):
    """Adds one test per row and interpreter to a TestCase class."""
    for label, version, run in runners:
        for row in rows:
            if applies(row, version):
                name = "test_%s [%s]" % (row.name, label)
                assert not hasattr(case, name), name
                setattr(case, name, run(row))


def check_cut_frames(test, command, file, source):
    """An event may arrive in any pieces."""
    with started(command, file, source) as process:
        for index, cuts in enumerate([(1,), (2, 3), (4,), (5, 9), (3, 4, 5, 20, 21), (200,)]):
            process.invoke(index, "e" * 300, {}, cuts)
            test.assertEqual(b"300", process.receive()[2], cuts)
