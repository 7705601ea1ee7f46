"""The workshop's first lessons, in its own words: quick dive, instance reuse, parallel instances, freeze and thaw."""

import base64
import concurrent.futures
import json
import os
import time

import pytest

from conftest import make_zip

HELLO = """module.exports.handler = (event, context, callback) => {
  callback(null, "Hello World");
};
"""

# The workshop requires `uuid/v1`; what it shows does not depend on where the id comes from.
REUSE = """const id = require('crypto').randomBytes(16).toString('hex');
module.exports.hello = (event, context, callback) => {
  const response = { statusCode: 200, body: JSON.stringify({ "id": id }) };
  setTimeout(() => callback(null, response), event.wait || 0);
};
"""


def test_quick_dive_with_the_aws_cli(server, tmp_path):
    (tmp_path / "1_hello_world.zip").write_bytes(make_zip({"1_hello_world.js": HELLO}))
    line = (
        "lambda create-function --function-name 1_hello_world --runtime nodejs8.10 "
        "--role arn:aws:iam::299928122988:role/lambda_basic_execution "
        "--handler 1_hello_world.handler --zip-file fileb://1_hello_world.zip"
    )
    created = json.loads(server.aws(*line.split(), cwd=tmp_path).stdout)
    assert created["Runtime"] == "nodejs8.10" and created["State"] == "Pending"
    server.aws("lambda", "wait", "function-active-v2", "--function-name", "1_hello_world")
    server.aws("lambda", "invoke", "--function-name", "1_hello_world", "out.json", cwd=tmp_path)
    assert (tmp_path / "out.json").read_text() == '"Hello World"'

    (tmp_path / "2.zip").write_bytes(make_zip({"1_hello_world.js": HELLO.replace("World", "again")}))
    server.aws("lambda", "update-function-code", "--function-name", "1_hello_world", "--zip-file", "fileb://2.zip", cwd=tmp_path)
    server.aws("lambda", "wait", "function-updated-v2", "--function-name", "1_hello_world")
    done = server.aws(
        "lambda", "invoke", "--function-name", "1_hello_world", "--log-type", "Tail", "--query", "LogResult",
        "--output", "text", "out.json", cwd=tmp_path,
    )
    assert (tmp_path / "out.json").read_text() == '"Hello again"'
    tail = base64.b64decode(done.stdout).decode()
    assert "START RequestId:" in tail and "REPORT RequestId:" in tail and "Init Duration:" in tail
    server.aws("lambda", "delete-function", "--function-name", "1_hello_world")


def test_logs_tail_with_the_current_aws_cli(server, tmp_path):
    name = server.deploy("exports.handler = async () => { console.log('a line of the function'); return 1 }")
    server.invoke(name)
    deadline = time.monotonic() + 10
    while True:
        done = server.aws("logs", "tail", f"/aws/lambda/{name}", "--format", "short", program=os.environ["AWS_V2"])
        if "REPORT" in done.stdout or time.monotonic() > deadline:
            break
    assert "a line of the function" in done.stdout
    assert done.stdout.index("START RequestId") < done.stdout.index("a line of") < done.stdout.index("REPORT")


def test_two_invocations_in_a_row_give_one_id(server):
    name = server.deploy(REUSE, handler="index.hello")
    first, second = (server.invoke(name, {})[0] for _ in range(2))
    assert first == second


def test_parallel_invocations_give_as_many_ids_and_frozen_environments(server):
    count = 4
    name = server.deploy(REUSE, handler="index.hello", Timeout=10)
    before = {path for path in server.environment_cgroups()}
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: server.invoke(name, {"wait": 6000})[0]["body"], range(count)))
    assert len(set(answers)) == count
    time.sleep(0.5)
    mine = [path for path in server.environment_cgroups() if path not in before]
    assert len(mine) == count
    for path in mine:
        assert "frozen 1" in (path / "cgroup.events").read_text(), path
    used = [cpu_usage(path) for path in mine]
    time.sleep(1)
    assert [cpu_usage(path) for path in mine] == used


def cpu_usage(cgroup) -> int:
    """CPU time of every process of the cgroup, clock ticks: cpu.stat needs a controller some hosts have in v1."""
    total = 0
    for pid in (cgroup / "cgroup.procs").read_text().split():
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def test_a_timer_left_behind_fires_only_in_the_next_invocation(server):
    name = server.deploy(
        """let fired = 0; let armed = false;
        exports.handler = (event, context, callback) => {
          context.callbackWaitsForEmptyEventLoop = false;
          if (!armed) { armed = true; const t0 = Date.now(); setTimeout(() => { fired = Date.now(); console.log('timer fired'); }, 1000); }
          setTimeout(() => callback(null, { fired, now: Date.now() }), event.wait);
        };"""
    )
    # The first returns at once; for two seconds nothing runs; the third lets the event loop turn and sees it.
    first, _, _ = server.invoke(name, {"wait": 0})
    assert first["fired"] == 0
    time.sleep(2.5)
    began = time.time() * 1000
    second, _, _ = server.invoke(name, {"wait": 100})
    assert second["fired"] >= began - 50, "the timer fired while the environment was to be frozen"
    messages = []
    deadline = time.monotonic() + 5
    while not any("timer fired" in m for m in messages) and time.monotonic() < deadline:
        events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        messages = [event["message"] for event in events]
    starts = [i for i, m in enumerate(messages) if m.startswith("START")]
    fired = next(i for i, m in enumerate(messages) if "timer fired" in m)
    assert len(starts) == 2 and fired > starts[1]


@pytest.mark.parametrize("style", ["callback", "promise", "async"])
def test_handler_styles(main_server, style):
    source = {
        "callback": "exports.handler = (e, c, cb) => cb(null, {got: e})",
        "promise": "exports.handler = (e) => Promise.resolve({got: e})",
        "async": "exports.handler = async (e) => ({got: e})",
    }[style]
    name = main_server.deploy(source)
    assert main_server.invoke(name, {"a": [1, "ü"]})[0] == {"got": {"a": [1, "ü"]}}
