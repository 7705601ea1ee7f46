"""The command line for people."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import BIN, copy_node


def test_a_function_s_life(main_server, tmp_path):
    code = tmp_path / "hello"
    code.mkdir()
    (code / "index.js").write_text("exports.handler = async (event) => { console.log('seen', event); return { hello: event.name } }")
    nilas = lambda *a, **k: main_server.nilas(*a, "--endpoint", main_server.url, **k)
    nilas("function", "create", "people", "--runtime", "nodejs20.x", "--handler", "index.handler", "--code", str(code))
    assert "people" in nilas("function", "list").stdout
    assert json.loads(nilas("function", "show", "people", "--json").stdout)
    assert json.loads(nilas("invoke", "people", "--payload", '{"name": "you"}').stdout) == {"hello": "you"}
    (tmp_path / "event.json").write_text('{"name": "file"}')
    assert json.loads(nilas("invoke", "people", "--payload", f"@{tmp_path}/event.json").stdout) == {"hello": "file"}
    assert json.loads(nilas("invoke", "people", "--payload", "-", input='{"name": "stdin"}').stdout) == {"hello": "stdin"}
    deadline = time.monotonic() + 5
    while "seen" not in (out := nilas("logs", "people").stdout) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "seen" in out and "REPORT RequestId" in out
    (code / "index.js").write_text("exports.handler = async () => { throw new Error('broken') }")
    nilas("function", "update", "people", "--code", str(code))
    failed = nilas("invoke", "people", check=False)
    assert failed.returncode == 1 and "broken" in failed.stderr + failed.stdout
    nilas("function", "delete", "people")
    gone = nilas("invoke", "people", check=False)
    assert gone.returncode != 0 and gone.stderr.startswith("error:")


def test_following_logs(main_server):
    name = main_server.deploy("exports.handler = async (e) => console.log('number', e)")
    main_server.invoke(name, 0)
    follower = subprocess.Popen(
        [str(BIN), "logs", name, "-t", "--endpoint", main_server.url], stdout=subprocess.PIPE, text=True,
        env=main_server.environment_variables(),
    )
    try:
        for number in range(1, 4):
            main_server.invoke(name, number)
            while f"number {number}" not in follower.stdout.readline():
                pass
    finally:
        follower.kill()
        follower.wait()


@pytest.mark.parametrize("command", [["function", "list"], ["bench"]])
def test_no_server_is_a_clear_error_with_a_hint(command):
    done = subprocess.run([str(BIN), *command, "--endpoint", "http://127.0.0.1:1"], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("error:") and "hint:" in done.stderr and "nilas serve" in done.stderr
    assert "may be left" not in done.stderr


def test_env_config_doctor_completions(main_server, tmp_path):
    exports = main_server.nilas("env", "--endpoint", main_server.url).stdout
    assert f"AWS_ENDPOINT_URL=" in exports and "AKIA" in exports
    config = json.loads(main_server.nilas("config", "--json").stdout)
    assert config
    doctor = main_server.nilas("doctor", check=False)
    assert "node" in doctor.stdout and "cgroup" in doctor.stdout
    assert "was forked and answered" in doctor.stdout
    assert "_nilas" in main_server.nilas("completions", "bash").stdout


def test_doctor_tells_of_a_node_that_cannot_be_forked_and_leaves_nothing(tmp_path):
    node = tmp_path / "node/bin/node"
    copy_node(tmp_path / "node")
    # A function that a zygote needs goes by another name in this one. Its end is that of another name, fork.
    node.write_bytes(node.read_bytes().replace(b"\0uv_loop_fork\0", b"\0uw_loop_fork\0"))
    (tmp_path / "nilas.toml").write_text(f'[runtimes]\n"nodejs20.x" = "{node}"\n')
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [str(BIN), "doctor", "--json", "--config", str(tmp_path / "nilas.toml")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    findings = {finding["feature"]: finding for finding in json.loads(done.stdout)["findings"]}
    zygotes = findings["zygotes"]
    assert not zygotes["ok"] and "cannot be forked" in zygotes["detail"], zygotes
    assert zygotes["cost"] and zygotes["remedy"]
    assert not list(tmp_path.glob("nilas-doctor-*"))


@pytest.mark.parametrize("flag", ["--help", "help"])
def test_help(flag):
    done = subprocess.run([str(BIN), flag], capture_output=True, text=True)
    assert done.returncode == 0 and "serve" in done.stdout


BENCH = ["bench", "--cold-starts", "2", "--at-once", "3", "--requests", "20", "--seconds", "1"]


def left_of_bench(server) -> list:
    functions = server.lambda_.list_functions()["Functions"]
    groups = server.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/nilas-bench-")["logGroups"]
    return [f["FunctionName"] for f in functions if f["FunctionName"].startswith("nilas-bench-")] + groups


def test_bench_measures_and_leaves_nothing(main_server):
    answer = main_server.nilas(*BENCH, "--json", "--endpoint", main_server.url)
    node, python = json.loads(answer.stdout)
    assert node["runtime"].startswith("nodejs") and python["runtime"].startswith("python")
    for figures in (node, python):
        assert 0 < figures["cold_ms"]["p50"] <= figures["cold_ms"]["p99"]
        assert figures["bare_ms"]["p50"] > 0 and figures["warm_ms"]["p50"] > 0
        assert figures["at_once"]["functions"] == 3 and figures["at_once"]["wall_ms"] > 0
        assert figures["throughput"]["answers_per_s"] > 0
    assert left_of_bench(main_server) == []


def test_bench_that_is_interrupted_leaves_nothing(main_server):
    bench = subprocess.Popen(
        [str(main_server.binary), "bench", "--seconds", "60", "--endpoint", main_server.url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=main_server.environment_variables(),
    )
    try:
        deadline = time.monotonic() + 20
        while not left_of_bench(main_server) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left_of_bench(main_server)
        bench.send_signal(signal.SIGINT)
        out, err = bench.communicate(timeout=30)
    finally:
        bench.kill()
    assert bench.returncode == 1 and out == "" and "error: ended by SIGINT" in err
    assert left_of_bench(main_server) == []
