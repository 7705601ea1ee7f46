"""Shared pieces of the end-to-end tests: a real `nilas serve` as root and as an ordinary user, AWS's own clients.

Environment: NILAS_BIN (the built binary), AWS_V2 (the AWS CLI v2; its tests fail loudly without it).
"""

import atexit
import contextlib
import functools
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
import zipfile

import boto3
import botocore.config
import pytest

BIN = pathlib.Path(os.environ.get("NILAS_BIN", pathlib.Path(__file__).parents[2] / "target/debug/nilas"))
ROLE = "arn:aws:iam::000000000000:role/nilas-test"
# An ordinary user with nothing: no home, no groups, no entry in /etc/passwd.
# One for each worker, and one more for what it restores: a user's inotify instances are few.
USER_ID = 4_242_424 + 2 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
IS_ROOT = os.geteuid() == 0
MODES = ["root", "user"] if IS_ROOT else ["user"]
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_zip(files: dict) -> bytes:
    """{name: text | bytes | (bytes, mode)} as a deployment package."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            content, mode = content if isinstance(content, tuple) else (content, 0o644)
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, content)
    return out.getvalue()


def node_of_path() -> pathlib.Path:
    """Node itself, not the shim of a version manager."""
    ask = ["node", "-p", "process.execPath"]
    return pathlib.Path(subprocess.run(ask, capture_output=True, check=True, text=True).stdout.strip())


def copy_node(prefix: pathlib.Path):
    """The Node of PATH as an installation of its own."""
    for part in ["bin", "lib"]:
        (prefix / part).mkdir(parents=True)
    shutil.copy(node_of_path(), prefix / "bin/node")


@functools.cache
def path_of_ordinary_user() -> str:
    """PATH, with a Node first that the user can execute, wherever the checkout and its `.tools` live."""
    node = node_of_path()
    if all(path.stat().st_mode & stat.S_IXOTH for path in [node, *node.parents]):
        return os.environ["PATH"]
    directory = pathlib.Path(tempfile.mkdtemp(prefix="nilas-e2e-node-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    copy_node(directory / "node")
    return f"{directory}/node/bin:{os.environ['PATH']}"


def cgroup2_root() -> pathlib.Path:
    hybrid = pathlib.Path("/sys/fs/cgroup/unified")
    return hybrid if (hybrid / "cgroup.procs").exists() else pathlib.Path("/sys/fs/cgroup")


class Server:
    """One `nilas serve` with a data directory of its own."""

    def __init__(self, directory: pathlib.Path, mode: str, *flags: str, wrapper: list = (), user_id: int = USER_ID):
        self.mode, self.directory, self.flags, self.wrapper, self.user_id = mode, directory, flags, wrapper, user_id
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = directory / "data"
        self.log_path = directory / "log"
        self.cgroup = None
        self.process = None
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        # Where an ordinary user can execute it, wherever the checkout lives.
        self.binary = directory / "nilas"
        if not self.binary.exists():
            shutil.copy(BIN, self.binary)
            self.binary.chmod(0o755)

    def command(self) -> list:
        serve = [str(self.binary), "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data_dir)]
        serve += list(self.flags)
        if self.mode == "root" or not IS_ROOT:
            return [*self.wrapper, *serve]
        # What `systemd-run --user -p Delegate=yes` does: a cgroup v2 directory that belongs to the user.
        self.cgroup = cgroup2_root() / f"nilas-e2e-{self.port}"
        self.cgroup.mkdir(exist_ok=True)
        for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]:
            os.chown(self.cgroup / name, self.user_id, self.user_id)
        self.data_dir.mkdir(exist_ok=True)
        os.chown(self.data_dir, self.user_id, self.user_id)
        enter = f'echo $$ > {self.cgroup}/cgroup.procs && exec "$@"'
        drop = ["setpriv", "--reuid", str(self.user_id), "--regid", str(self.user_id), "--clear-groups"]
        return ["sh", "-c", enter, "sh", *drop, *serve]

    def start(self) -> "Server":
        environment = {"PATH": os.environ["PATH"], "NILAS_LOG": "json,debug", "HOME": "/nonexistent"}
        if self.mode == "root" or not IS_ROOT:
            environment["HOME"] = os.environ.get("HOME", "/")
        else:
            environment["PATH"] = path_of_ordinary_user()
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            self.command(), stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=environment, cwd="/"
        )
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=2).read()
                return self
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nilas did not start:\n{self.log_text()}")
            time.sleep(0.01)

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")[-20_000:]

    def kill(self):
        """kill -9: what a crash leaves is the next start's problem."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.log.close()
        if self.cgroup:
            remove_cgroup(self.cgroup)
        return self.process.returncode

    def client(self, service: str, **config):
        config = {"retries": {"max_attempts": 1}, "read_timeout": 70, "max_pool_connections": 64, **config}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(**config),
        )

    @property
    def lambda_(self):
        if not hasattr(self, "_lambda"):
            self._lambda = self.client("lambda")
        return self._lambda

    def deploy(self, files, handler="index.handler", runtime="nodejs20.x", name=None, **members) -> str:
        name = name or f"f-{uuid.uuid4().hex[:12]}"
        if isinstance(files, str):
            files = {"index.js" if runtime.startswith("nodejs") else "index.py": files}
        code = {"ZipFile": files if isinstance(files, bytes) else make_zip(files)}
        self.lambda_.create_function(
            FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Code=code, **members
        )
        self.lambda_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        return name

    def invoke(self, name, event=None, **members):
        """(payload as JSON, function error or None, the whole answer)"""
        answer = self.lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **members)
        return json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError"), answer

    def environment_variables(self) -> dict:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }

    def aws(self, *arguments, program=None, check=True, cwd=None, **kwargs):
        """Runs the unmodified AWS CLI (version 1 from PyPI unless `program` says otherwise)."""
        program = program or str(pathlib.Path(sys.executable).parent / "aws")
        done = subprocess.run(
            [program, *arguments], env=self.environment_variables(), capture_output=True, text=True, cwd=cwd,
            timeout=120, **kwargs
        )
        if check and done.returncode:
            raise AssertionError(f"aws {' '.join(arguments)} ended {done.returncode}:\n{done.stderr}")
        return done

    def nilas(self, *arguments, check=True, **kwargs):
        done = subprocess.run(
            [str(self.binary), *arguments], env={**self.environment_variables(), "NILAS_DATA_DIR": str(self.data_dir)},
            capture_output=True, text=True, timeout=60, **kwargs
        )
        if check and done.returncode:
            raise AssertionError(f"nilas {' '.join(arguments)} ended {done.returncode}:\n{done.stderr}")
        return done

    def environment_cgroups(self) -> list:
        """The cgroup v2 directories of this server's environments."""
        found = []
        for directory, _, files in os.walk(self.cgroup or cgroup2_root()):
            path = pathlib.Path(directory)
            with contextlib.suppress(OSError):  # Others' environments come and go.
                if "cgroup.events" in files and self.owns(path) and "populated 1" in (path / "cgroup.events").read_text():
                    found.append(path)
        return found

    def owns(self, cgroup: pathlib.Path) -> bool:
        pids = [int(p) for p in (cgroup / "cgroup.procs").read_text().split()]
        # A sandbox made ahead has no function's code yet.
        if not any(pathlib.Path(f"/proc/{p}/root/var/task").exists() for p in pids):
            return False
        return self.process.pid not in pids and any(self.process.pid in ancestors(p) for p in pids)


class Restoring:
    """A server whose functions are published with SnapStart, so that their environments are forks of a template."""

    def __init__(self, server: Server):
        self._server = server

    def __getattr__(self, name):
        return getattr(self._server, name)

    def deploy(self, *arguments, **members) -> str:
        """The function's name with its version, as an invocation may name it."""
        if members.get("runtime", "").startswith("provided"):
            return self._server.deploy(*arguments, **members)  # Nothing is restored of those, here as on AWS.
        lam = self._server.lambda_
        name = self._server.deploy(*arguments, SnapStart={"ApplyOn": "PublishedVersions"}, **members)
        version = lam.publish_version(FunctionName=name)["Version"]
        waiter = lam.get_waiter("published_version_active")
        waiter.wait(FunctionName=name, Qualifier=version, WaiterConfig={"Delay": 0.05})
        return f"{name}:{version}"


def ancestors(pid: int) -> set:
    seen = set()
    while pid > 1 and pid not in seen:
        seen.add(pid)
        try:
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            break
    return seen


def remove_cgroup(path: pathlib.Path):
    deadline = time.monotonic() + 5
    while path.exists() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        time.sleep(0.02)


@contextlib.contextmanager
def running(mode: str, *flags: str, wrapper: list = (), user_id: int = USER_ID):
    """`wrapper`: a command that executes the one it is followed by."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"nilas-e2e-{mode}-"))
    server = Server(directory, mode, *flags, wrapper=wrapper, user_id=user_id)
    try:
        yield server.start()
    finally:
        if server.process:
            server.stop()
        if os.environ.get("NILAS_KEEP"):
            print(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _server(mode):
    with running(mode) as server:
        yield server


@pytest.fixture(scope="session")
def root_server():
    if not IS_ROOT:
        pytest.skip("needs root")
    yield from _server("root")


@pytest.fixture(scope="session")
def user_server():
    # Each environment of an ordinary user has a pasta, which has one of the 128 inotify instances of that user's, whom
    # all servers of a run share: those of tests long past make room.
    with running("user", "--idle-ms", "45000") as server:
        yield server


@pytest.fixture(scope="session")
def restoring_user_server():
    """Of another user: templates and the forks made ahead of them have a pasta each, too."""
    with running("user", "--idle-ms", "45000", user_id=USER_ID + 1) as server:
        yield server


@pytest.fixture(scope="session")
def plain_server():
    with running(MODES[0], "--zygotes", "off") as server:
        yield server


@pytest.fixture(params=[*MODES, "plain"])
def server(request):
    """The same test against a server started as root, one started by an ordinary user, and one that starts every
    interpreter anew instead of forking it."""
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(params=MODES)
def restoring(request):
    """As `server`, with functions whose environments are restored from snapshots."""
    of_mode = {"root": "root_server", "user": "restoring_user_server"}
    return Restoring(request.getfixturevalue(of_mode[request.param]))


@pytest.fixture
def main_server(request):
    """For what does not depend on how the server was started."""
    return request.getfixturevalue(f"{MODES[0]}_server")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for name in ("server", "root_server", "user_server", "restoring_user_server", "main_server"):
            if server := item.funcargs.get(name):
                report.sections.append(("nilas log", server.log_text()[-4_000:]))
                break


