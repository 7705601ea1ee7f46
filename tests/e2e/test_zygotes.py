"""Forks of booted interpreters: like processes started anew, unlike each other, and no single point of failure."""

import os
import pathlib
import signal
import time

import pytest

from conftest import MODES, ancestors, running

NODE_SELF = """
const fs = require('fs');
exports.handler = async () => ({
  forked: fs.readFileSync('/proc/self/cmdline', 'utf8').includes('--single-threaded'),
  pid: process.pid, parent: process.ppid, arguments: process.argv, options: process.execArgv, directory: process.cwd(),
  uptime: process.uptime(), random: [Math.random(), Math.random()], uuid: require('crypto').randomUUID(),
  bytes: require('crypto').randomBytes(8).toString('hex'), tz: new Date(2026, 6, 1).getTimezoneOffset(),
  key: process.env.KEY, zygote: process.env.NILAS_ZYGOTE, variables: Object.keys(process.env).length,
});
"""
PYTHON_SELF = """
import os, random, secrets, sys, time, uuid
def handler(event, context):
    return {
        "pid": os.getpid(), "parent": os.getppid(), "arguments": sys.argv, "directory": os.getcwd(),
        "random": [random.random(), random.random()], "uuid": str(uuid.uuid4()), "bytes": secrets.token_hex(8),
        "tz": time.tzname[0], "key": os.environ.get("KEY"), "zygote": os.environ.get("NILAS_ZYGOTE"),
        "variables": len(os.environ),
    }
"""
SELF = {"nodejs20.x": NODE_SELF, "python3.11": PYTHON_SELF}


@pytest.fixture(params=MODES)
def forking(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(params=MODES)
def own_server(request):
    with running(request.param) as server:
        yield server


def zygotes(server):
    """Children of the spawner that are not the first process of a sandbox."""
    found = []
    for directory in pathlib.Path("/proc").iterdir():
        if directory.name.isdigit() and server.process.pid in ancestors(int(directory.name)):
            command = (directory / "cmdline").read_bytes()
            # Of its own sandbox's processes every one but the first is in a pid namespace of its own.
            spaces = (directory / "status").read_text().split("NSpid:")[1].split("\n")[0].split()
            if b"/var/runtime/" in command and len(spaces) == 1:
                found.append(int(directory.name))
    return found


def forked_function(server, runtime, **members):
    """A function whose first environment is forked: its runtime's zygote is ready."""
    deadline = time.monotonic() + 30
    while True:
        name = server.deploy(SELF[runtime], runtime=runtime, **members)
        seen, error, _ = server.invoke(name)
        assert error is None, seen
        # A forked process comes after two helpers, one that is started after none.
        if seen["pid"] > 2:
            return name, seen
        assert time.monotonic() < deadline, server.log_text()
        time.sleep(0.1)


@pytest.mark.parametrize("runtime", SELF)
def test_a_fork_looks_like_a_process_of_its_own(forking, runtime):
    variables = {"Variables": {"KEY": "value", "TZ": "Europe/Berlin"}}
    _, forked = forked_function(forking, runtime, Environment=variables)
    at_boot = {"NODE_OPTIONS": "--no-warnings", "PYTHONDONTWRITEBYTECODE": "1"}
    plain_name = forking.deploy(
        SELF[runtime], runtime=runtime, Environment={"Variables": {**variables["Variables"], **at_boot}}
    )
    plain, error, _ = forking.invoke(plain_name)
    assert error is None and plain["pid"] == 2, "what is said to the interpreter at its boot means that it is booted"
    assert forked["parent"] == plain["parent"] == 1
    assert forked.get("zygote") is None
    assert forked["variables"] == plain["variables"] - len(at_boot)
    for same in ("arguments", "directory", "tz", "key", "options"):
        assert forked.get(same) == plain.get(same), same
    if runtime.startswith("nodejs"):
        assert forked["forked"] and not plain["forked"]
        assert forked["uptime"] < 30


@pytest.mark.parametrize("runtime", SELF)
def test_no_two_forks_draw_the_same_numbers(forking, runtime):
    seen = [forked_function(forking, runtime)[1] for _ in range(6)]
    for kind in ("random", "uuid", "bytes"):
        drawn = [str(self[kind]) for self in seen]
        assert len(set(drawn)) == len(drawn), (kind, drawn)


def test_a_function_may_have_modules_named_as_the_standard_library_s(forking):
    forked_function(forking, "python3.11")
    files = {
        "index.py": "import uuid, queue\ndef handler(event, context): return [uuid.MINE, hasattr(queue, 'Queue')]",
        "uuid.py": "MINE = 'mine'",
    }
    for _ in range(3):
        assert forking.invoke(forking.deploy(files, runtime="python3.11"))[0] == ["mine", True]


def test_a_zygote_that_dies_is_booted_anew(own_server):
    forked_function(own_server, "nodejs20.x")
    before = zygotes(own_server)
    assert len(before) == 1
    os.kill(before[0], signal.SIGKILL)
    # What had been forked already may serve a few more; then come plain starts, then forks of the new one.
    name, _ = forked_function(own_server, "nodejs20.x")
    deadline = time.monotonic() + 30
    while not (after := [z for z in zygotes(own_server) if z not in before]):
        own_server.invoke(own_server.deploy(NODE_SELF))
        assert time.monotonic() < deadline, own_server.log_text()
    assert len(after) == 1
    assert own_server.invoke(name)[1] is None


def test_without_zygotes_there_are_none(plain_server):
    name = plain_server.deploy(NODE_SELF)
    for _ in range(2):
        seen, error, _ = plain_server.invoke(name)
        assert error is None and not seen["forked"] and seen["pid"] == 2
    assert zygotes(plain_server) == []
