"""Memory of the machine as a budget: who goes when others need it, who waits, who never fits; and what happens when the
machine itself runs short."""

import concurrent.futures
import json
import time

import botocore.exceptions
import pytest

from conftest import IS_ROOT, MODES, running

# Keeps what it is told to, and tells when it was born.
HOLD = """
const born = process.hrtime.bigint().toString() + process.env.AWS_LAMBDA_LOG_STREAM_NAME;
let held;
exports.handler = async (e) => {
  if (e.mib) held = Buffer.alloc(e.mib * 1048576, 1);
  await new Promise((r) => setTimeout(r, e.ms || 0));
  return born;
};
"""
TMP = """
import os
def handler(event, context):
    with open("/tmp/file", "wb") as file:
        for _ in range(event["mib"]):
            file.write(bytes(1048576))
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
"""


def budget(mib, *flags):
    """A server with so much memory for environments, of which each busy one of 128 MB counts as 130."""
    return running(MODES[0], "--memory-mib", str(mib), "--memory-overcommit", "1", *flags)


def frozen(server, count, seconds=5):
    """Waits until so many environments are frozen, and there are no others."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        events = [(cgroup / "cgroup.events").read_text() for cgroup in server.environment_cgroups()]
        if len(events) == count and all("frozen 1" in text for text in events):
            return
        time.sleep(0.02)
    raise AssertionError(f"{count} frozen environments were expected: {events}")


def environments(server, count, seconds=5):
    """Waits until there are so many."""
    deadline = time.monotonic() + seconds
    while len(server.environment_cgroups()) != count:
        assert time.monotonic() < deadline, f"{count} environments were expected"
        time.sleep(0.02)


def test_idle_environments_make_room_the_longest_idle_first():
    with budget(256) as server:
        names = [server.deploy(HOLD) for _ in range(4)]
        born = []
        for number, name in enumerate(names[:3]):
            born.append(server.invoke(name, {"mib": 40})[0])
            frozen(server, number + 1)
        # Three hold about 140 MiB; a fourth that runs does not fit beside them.
        server.invoke(names[3], {"mib": 40})
        frozen(server, 3)
        assert server.invoke(names[1], {})[0] == born[1]
        assert server.invoke(names[2], {})[0] == born[2]
        assert server.invoke(names[0], {})[0] != born[0]
        assert "idle environments were ended" in server.log_text()


def test_small_idle_environments_stay_however_large_their_functions_are():
    with budget(300) as server:
        names = [server.deploy(HOLD, MemorySize=256) for _ in range(4)]
        born = []
        for name in names:
            born.append(server.invoke(name, {})[0])
            frozen(server, len(born))
        for number, name in enumerate(names):
            assert server.invoke(name, {})[0] == born[number]
            frozen(server, 4)


def test_files_in_tmp_count():
    with budget(300) as server:
        first, second = (server.deploy(TMP, runtime="python3.12") for _ in range(2))
        before = server.invoke(first, {"mib": 200})[0]
        frozen(server, 1)
        server.invoke(second, {"mib": 1})
        frozen(server, 1)
        assert server.invoke(first, {"mib": 1})[0] != before


def test_what_is_over_the_budget_waits_and_is_served():
    with budget(150) as server:
        busy, other = server.deploy(HOLD, Timeout=20), server.deploy(HOLD)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            began = time.monotonic()
            running_one = pool.submit(server.invoke, busy, {"ms": 1500})
            time.sleep(0.5)
            waiting_one = pool.submit(server.invoke, other, {})
            assert waiting_one.result()[1] is None
            assert 1.4 < time.monotonic() - began < 5
            assert running_one.result()[1] is None


def test_who_waits_for_memory_too_long_is_throttled():
    with budget(150) as server:
        lam = server.client("lambda", retries={"max_attempts": 0})
        busy, other = server.deploy(HOLD, Timeout=30), server.deploy(HOLD)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running_one = pool.submit(server.invoke, busy, {"ms": 14_000})
            time.sleep(0.5)
            began = time.monotonic()
            with pytest.raises(botocore.exceptions.ClientError) as error:
                lam.invoke(FunctionName=other)
            assert 9 < time.monotonic() - began < 13
            assert error.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"
            assert running_one.result()[1] is None


def test_a_function_that_never_fits_is_told_so_at_once():
    with budget(256) as server:
        name = server.deploy(HOLD, MemorySize=512)
        with pytest.raises(botocore.exceptions.ClientError) as error:
            server.lambda_.invoke(FunctionName=name)
        assert error.value.response["Error"] == {
            "Code": "InvalidParameterValueException",
            "Message": "The function's memory size of 512 MB is more than this server has for functions. Lower "
            "MemorySize, or raise limits.memory_mib or limits.memory_overcommit.",
        }
        server.lambda_.update_function_configuration(FunctionName=name, MemorySize=128)
        server.lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        assert server.invoke(name, {})[1] is None


@pytest.mark.skipif(not IS_ROOT, reason="needs a mount namespace of its own")
def test_a_machine_that_runs_short_loses_idle_environments_and_no_busy_one(tmp_path):
    """The server sees a /proc/meminfo of the test's making."""
    meminfo = tmp_path / "meminfo"
    # Sandboxes may mount a /proc of their own only where one can be seen in full.
    whole = tmp_path / "proc"
    whole.mkdir()

    def available(mib):
        meminfo.write_text(f"MemTotal: {16_384 * 1024} kB\nMemAvailable: {mib * 1024} kB\n")

    available(8_192)
    mounts = f"mount -t proc proc {whole} && mount --bind {meminfo} /proc/meminfo"
    wrapper = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    with running("root", wrapper=wrapper) as server:
        names = [server.deploy(HOLD, Timeout=30) for _ in range(5)]
        born = [server.invoke(name, {"mib": 50})[0] for name in names[:4]]
        frozen(server, 4)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            busy = pool.submit(server.invoke, names[4], {"ms": 8_000})
            environments(server, 5)
            available(400)
            environments(server, 1)
            assert not busy.done()
            available(8_192)
            assert busy.result()[1] is None
        assert "the machine is short of memory" in server.log_text()
        assert server.invoke(names[0], {})[0] != born[0]


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user's group has no memory controller here")
def test_all_environments_together_are_held_to_the_budget():
    """However much they were overcommitted, it is one of them that ends, and not something else on the machine."""
    with running("root", "--memory-mib", "400", "--memory-overcommit", "20") as server:
        name = server.deploy(HOLD, MemorySize=256, Timeout=20)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: server.invoke(name, {"mib": 180, "ms": 2_000}), range(4)))
        failed = [json.dumps(payload) for payload, error, _ in results if error]
        assert 1 <= len(failed) <= 3, results
        assert all("OutOfMemory" in text or "ExitError" in text for text in failed), failed
