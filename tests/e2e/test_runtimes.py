"""What runs inside: environment variables, errors, time-outs, custom runtimes with AWS's own clients."""

import base64
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest


def log_tail(answer) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def test_environment_variables_are_aws_s(server):
    name = server.deploy("exports.handler = async () => process.env", Environment={"Variables": {"MINE": "1"}}, MemorySize=256)
    seen, _, _ = server.invoke(name)
    expected = {
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "LAMBDA_RUNTIME_DIR": "/var/runtime", "LAMBDA_TASK_ROOT": "/var/task", "LANG": "en_US.UTF-8", "TZ": ":UTC",
        "_HANDLER": "index.handler", "MINE": "1",
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", seen["AWS_LAMBDA_LOG_STREAM_NAME"])
    assert seen["AWS_ACCESS_KEY_ID"].startswith("ASIA") and seen["AWS_SESSION_TOKEN"] and seen["AWS_ENDPOINT_URL"]
    assert seen["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    leaked = [key for key in seen if key.startswith("NILAS") or key == "HOME" and seen[key] == os.environ.get("HOME")]
    assert leaked == []


@pytest.mark.parametrize(
    "runtime, source, error_type, error_message",
    [
        ("nodejs20.x", "exports.handler = async () => { throw new TypeError('boom') }", "TypeError", "boom"),
        ("nodejs20.x", "exports.handler = (e, c, cb) => cb(new Error('by callback'))", "Error", "by callback"),
        ("nodejs20.x", "exports.other = 1", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        ("nodejs20.x", "exports.handler = {", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected end of input"),
        ("nodejs20.x", "throw new RangeError('at init')", "RangeError", "at init"),
        ("nodejs20.x", "require('nowhere')", "Runtime.ImportModuleError", "Error: Cannot find module 'nowhere'"),
        ("python3.11", "def handler(e, c):\n    raise ValueError('boom')", "ValueError", "boom"),
        ("python3.11", "import nowhere", "Runtime.ImportModuleError", "Unable to import module 'index': No module named 'nowhere'"),
        ("python3.11", "x = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'index'"),
        ("python3.11", "def handler(e, c):\n    return object()", "Runtime.MarshalError", "Unable to marshal response: Object of type object is not JSON serializable"),
    ],
)
def test_errors_of_the_function(main_server, runtime, source, error_type, error_message):
    name = main_server.deploy(source, runtime=runtime)
    for _ in range(2):  # The second answers from a new environment where init failed.
        payload, error, _ = main_server.invoke(name, {})
        assert error == "Unhandled"
        assert payload["errorType"] == error_type, payload
        assert payload["errorMessage"].startswith(error_message), payload


@pytest.mark.parametrize("runtime, source", [("nodejs20.x", "exports.handler = () => process.exit(1)"), ("python3.11", "import os\ndef handler(e, c):\n    os._exit(1)")])
def test_exit_of_the_process(server, runtime, source):
    name = server.deploy(source, runtime=runtime)
    payload, error, answer = server.invoke(name, {}, LogType="Tail")
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert error == "Unhandled"
    assert payload == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: exit status 1"}


def test_timeout_and_a_fresh_environment_afterwards(server):
    name = server.deploy(
        "const id = Math.random(); exports.handler = async (e) => { if (e.hang) await new Promise(r => setTimeout(r, 60000)); return id }",
        Timeout=1,
    )
    first, _, _ = server.invoke(name, {})
    payload, error, answer = server.invoke(name, {"hang": True}, LogType="Tail")
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert error == "Unhandled"
    assert payload == {"errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds"}
    assert "Task timed out after 1.00 seconds" in log_tail(answer)
    second, error, _ = server.invoke(name, {})
    assert error is None and second != first


def test_init_longer_than_the_timeout_is_bounded(server):
    name = server.deploy("const end = Date.now() + 60000; while (Date.now() < end);\nexports.handler = async () => 1", Timeout=1)
    began = time.monotonic()
    payload, error, _ = server.invoke(name, {})
    assert error == "Unhandled" and payload["errorType"] == "Sandbox.Timedout"
    assert time.monotonic() - began < 20


def test_report_line(main_server):
    name = main_server.deploy("exports.handler = async () => 1")
    for cold in (True, False):
        _, _, answer = main_server.invoke(name, {}, LogType="Tail")
        request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
        report = next(line for line in log_tail(answer).splitlines() if line.startswith("REPORT"))
        pattern = rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: (\d+) MB\t"
        match = re.match(pattern, report)
        assert match and 0 < int(match[1]) <= 128, report
        assert ("Init Duration:" in report) == cold


def test_python_context_logging_and_decimal(main_server):
    source = """
import logging
logging.getLogger().setLevel(logging.INFO)
def handler(event, context):
    logging.info("from logging")
    print("from print")
    return [context.function_name, context.memory_limit_in_mb, context.get_remaining_time_in_millis() > 0, context.aws_request_id]
"""
    name = main_server.deploy(source, runtime="python3.11")
    payload, error, answer = main_server.invoke(name, {}, LogType="Tail")
    assert error is None
    assert payload[:3] == [name, "128", True]
    tail = log_tail(answer)
    assert re.search(rf"\[INFO\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{payload[3]}\tfrom logging", tail) and "from print" in tail


def test_es_modules_and_nested_paths(main_server):
    name = main_server.deploy({"src/app.mjs": "export const handler = async () => 'esm'"}, handler="src/app.handler")
    assert main_server.invoke(name)[0] == "esm"


AWSLAMBDARIC = """#!/bin/sh
exec /usr/bin/python3 -m awslambdaric app.handler
"""


def test_awslambdaric_runs_unmodified_as_a_custom_runtime(server):
    """AWS's Python runtime interface client from PyPI, in the package, started by a bootstrap."""
    import awslambdaric

    if not pathlib.Path("/usr/bin/python3").exists():
        pytest.fail("needs /usr/bin/python3")
    site = pathlib.Path(awslambdaric.__file__).parent.parent
    version = subprocess.run(["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True).stdout.strip()
    if version != "%d.%d" % sys.version_info[:2]:
        pytest.skip(f"awslambdaric was built for this test's Python, /usr/bin/python3 is {version}")
    files = {"bootstrap": (AWSLAMBDARIC, 0o755), "app.py": "def handler(event, context):\n    return {'ric': event, 'id': context.aws_request_id}\n"}
    for path in [*site.glob("awslambdaric/**/*"), *site.glob("runtime_client*.so"), *site.glob("snapshot_restore_py/**/*"), *site.glob("simplejson/**/*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            files[str(path.relative_to(site))] = (path.read_bytes(), 0o755 if path.suffix == ".so" else 0o644)
    name = server.deploy(files, runtime="provided.al2023", handler="app.handler", Timeout=15, MemorySize=256)
    for number in range(3):
        payload, error, answer = server.invoke(name, {"n": number})
        assert error is None, payload
        assert payload == {"ric": {"n": number}, "id": answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]}


def test_the_rust_lambda_runtime_crate_runs_unmodified(server):
    binary = pathlib.Path(os.environ["NILAS_EXAMPLES_BIN"]) / "rust-hello"
    name = server.deploy({"bootstrap": (binary.read_bytes(), 0o755)}, runtime="provided.al2023", handler="bootstrap", Timeout=10)
    payload, error, _ = server.invoke(name, {"name": "nilas"})
    assert error is None and payload == {"message": "Hello nilas"}
    payload, error, _ = server.invoke(name, {"fail": True})
    assert error == "Unhandled" and "asked to fail" in payload["errorMessage"]


def test_a_package_without_bootstrap(server):
    name = server.deploy({"x": "y"}, runtime="provided.al2023", handler="x")
    payload, error, _ = server.invoke(name, {})
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.InvalidEntrypoint", payload
    assert "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]" in payload["errorMessage"]


def test_concurrency_scales_out_and_back_in(server):
    import concurrent.futures

    name = server.deploy("const id = Math.random(); exports.handler = () => new Promise(r => setTimeout(() => r(id), 500))")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: server.invoke(name)[0], range(8)))) == 8
        assert len({server.invoke(name)[0] for _ in range(3)}) == 1, "last used first"
