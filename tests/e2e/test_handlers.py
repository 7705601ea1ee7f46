"""What handlers see and what their logs look like: context, JSON logs and levels, real packages from npm and PyPI."""

import base64
import io
import json
import pathlib
import re
import subprocess
import time
import zipfile

import pytest



ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def tail_of(server, name, event=None, **members):
    payload, error, answer = server.invoke(name, event, LogType="Tail", **members)
    log = base64.b64decode(answer["LogResult"]).decode()
    return payload, error, log, answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]


def events_of(server, name, count=1) -> list:
    """Messages of the function's log group once it has `count` reports."""
    logs, deadline = server.client("logs"), time.monotonic() + 10
    while True:
        try:
            found = [e["message"] for e in logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]]
        except logs.exceptions.ResourceNotFoundException:
            found = []
        if sum("REPORT " in m or "platform.report" in m for m in found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


# === Context ===


def test_the_whole_context_of_node(server):
    source = """
exports.handler = (event, context, callback) => {
  const members = Object.fromEntries(Object.entries(context).filter(([, v]) => typeof v !== 'function'));
  callback(null, {members, functions: Object.keys(context).filter(k => typeof context[k] === 'function').sort(),
    left: context.getRemainingTimeInMillis(), waits: context.callbackWaitsForEmptyEventLoop});
};"""
    name = server.deploy(source, Timeout=20, MemorySize=256)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    payload, error, _, request_id = tail_of(server, name)
    assert error is None, payload
    members = payload["members"]
    assert members.pop("logStreamName").startswith("20") and 15_000 < payload["left"] <= 20_000
    assert payload["waits"] is True
    assert members == {
        "callbackWaitsForEmptyEventLoop": True, "functionVersion": "$LATEST", "functionName": name, "memoryLimitInMB": "256",
        "logGroupName": f"/aws/lambda/{name}", "invokedFunctionArn": arn, "awsRequestId": request_id,
    }
    assert payload["functions"] == ["done", "fail", "getRemainingTimeInMillis", "succeed"]


def test_the_whole_context_of_python(server):
    source = """
def handler(event, context):
    return {"members": {k: getattr(context, k) for k in ("function_name", "function_version", "invoked_function_arn",
        "memory_limit_in_mb", "aws_request_id", "log_group_name", "client_context")},
        "stream": context.log_stream_name, "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "left": context.get_remaining_time_in_millis()}
"""
    name = server.deploy(source, runtime="python3.11", Timeout=20)
    payload, error, _, request_id = tail_of(server, name)
    assert error is None, payload
    assert payload["members"] == {
        "function_name": name, "function_version": "$LATEST", "memory_limit_in_mb": "128", "aws_request_id": request_id,
        "invoked_function_arn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "log_group_name": f"/aws/lambda/{name}", "client_context": None,
    }
    assert payload["identity"] == [None, None] and 15_000 < payload["left"] <= 20_000


@pytest.mark.parametrize(
    "runtime, source, expected",
    [
        ("nodejs20.x", "exports.handler = async (e, c) => c.clientContext", {"Custom": {"a": "1"}, "client": {"app_title": "t"}, "env": {"locale": "de"}}),
        (
            "python3.11",
            "def handler(e, c):\n    return [c.client_context.custom, c.client_context.env, c.client_context.client.app_title]",
            [{"a": "1"}, {"locale": "de"}, "t"],
        ),
    ],
    ids=["node", "python"],
)
def test_client_context(main_server, runtime, source, expected):
    given = {"custom" if runtime.startswith("python") else "Custom": {"a": "1"}, "client": {"app_title": "t"}, "env": {"locale": "de"}}
    name = main_server.deploy(source, runtime=runtime)
    payload, error, _ = main_server.invoke(name, ClientContext=base64.b64encode(json.dumps(given).encode()).decode())
    assert error is None and payload == expected


@pytest.mark.parametrize(
    "result, expected",
    [
        ("decimal.Decimal('1.50')", 1.5),
        ("{'d': decimal.Decimal('7')}", {"d": 7}),
        ("{1: 'one', None: 2}", {"1": "one", "null": 2}),
        ("(1, 2)", [1, 2]),
        ("'ü'", "ü"),
        ("None", None),
        ("float('nan')", None),
    ],
)
def test_results_of_python(main_server, result, expected):
    name = main_server.deploy(f"import decimal\ndef handler(e, c):\n    return {result}\n", runtime="python3.11")
    payload = main_server.lambda_.invoke(FunctionName=name)["Payload"].read().decode()
    if result.startswith("float"):
        assert payload == "NaN"  # As AWS's client writes it, though it is no JSON.
    else:
        assert json.loads(payload) == expected


# === Logs ===


def test_text_lines_and_errors_of_node(main_server):
    source = """exports.handler = async (e) => {
  console.debug('d'); console.log('l %s', 'x'); console.info({a: 1}); console.warn('w'); console.error('e'); console.trace('t');
  process.stdout.write('raw\\n'); throw new TypeError('boom') };"""
    name = main_server.deploy(source)
    _, error, log, request_id = tail_of(main_server, name, {})
    assert error == "Unhandled"
    for level, text in [("DEBUG", "d"), ("INFO", "l x"), ("INFO", r"\{ a: 1 \}"), ("WARN", "w"), ("ERROR", "e"), ("TRACE", "t")]:
        assert re.search(rf"^{ISO}\t{request_id}\t{level}\t{text}$", log, re.M), (level, log)
    assert "\nraw\n" in log
    line = re.search(rf"^{ISO}\t{request_id}\tERROR\tInvoke Error \t(.*)$", log, re.M)
    fields = json.loads(line[1])
    assert fields["errorType"] == "TypeError" and fields["errorMessage"] == "boom" and fields["stack"][0] == "TypeError: boom"


JSON_LOGS = {"LogFormat": "JSON"}


def json_events(server, name, count=1):
    found = []
    for message in events_of(server, name, count):
        found.append(json.loads(message))
    return found


def test_json_logs_of_node(main_server):
    source = """exports.handler = async () => { console.log('text %d', 7); console.debug('hidden'); console.warn({k: 'v'});
  console.error('bad', new TypeError('inner')); return 1 };"""
    name = main_server.deploy(source, LoggingConfig=JSON_LOGS)
    _, error, _, request_id = tail_of(main_server, name)
    assert error is None
    found = json_events(main_server, name)
    lines = [e for e in found if "level" in e]
    for line in lines:
        assert re.fullmatch(ISO, line.pop("timestamp")) and line.pop("requestId") == request_id
    stack = lines[2].pop("stackTrace")
    assert stack[0] == "TypeError: inner"
    assert lines[2].pop("message").startswith("bad TypeError: inner")
    assert lines == [
        {"level": "INFO", "message": "text 7"}, {"level": "WARN", "message": {"k": "v"}},
        {"level": "ERROR", "errorType": "TypeError", "errorMessage": "inner"},
    ]
    platform = {e["type"]: e for e in found if "type" in e}
    assert set(platform) == {"platform.initStart", "platform.start", "platform.report"}
    assert all(re.fullmatch(ISO, e["time"]) and set(e) == {"time", "type", "record"} for e in platform.values())
    assert platform["platform.start"]["record"] == {"requestId": request_id, "version": "$LATEST"}
    report = platform["platform.report"]["record"]
    assert report["requestId"] == request_id and report["status"] == "success"
    assert set(report["metrics"]) == {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"}
    start = platform["platform.initStart"]["record"]
    assert start["initializationType"] == "on-demand" and start["phase"] == "init" and start["functionName"] == name
    assert start["functionVersion"] == "$LATEST" and start["runtimeVersion"].startswith("nodejs:20")


def test_levels_of_json_logs(main_server):
    source = """exports.handler = async (e) => { console.debug('d'); console.info('i'); console.warn('w'); console.error('e'); if (e.fail) throw Error('x') };"""
    name = main_server.deploy(source, LoggingConfig={**JSON_LOGS, "ApplicationLogLevel": "ERROR", "SystemLogLevel": "WARN"})
    main_server.invoke(name, {})
    main_server.invoke(name, {"fail": True})
    time.sleep(1)
    found = json_events(main_server, name, 0)
    assert [e["level"] for e in found if "level" in e] == ["ERROR", "ERROR", "ERROR"]
    assert {e["type"] for e in found if "type" in e} <= {"platform.report"}, "INFO events of the platform are filtered"
    main_server.lambda_.update_function_configuration(FunctionName=name, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "DEBUG"})
    main_server.lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    main_server.invoke(name, {})
    time.sleep(1)
    levels = [e["level"] for e in json_events(main_server, name, 0) if "level" in e]
    assert levels[3:] == ["DEBUG", "INFO", "WARN", "ERROR"]


def test_json_logs_of_python(main_server):
    source = """
import logging
logger = logging.getLogger()
def handler(event, context):
    logger.debug("hidden")
    logger.info("told %s", "so", extra={"more": 1})
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("failed")
    print("raw")
    return 1
"""
    name = main_server.deploy(source, runtime="python3.11", LoggingConfig=JSON_LOGS)
    _, error, _, request_id = tail_of(main_server, name)
    assert error is None
    messages = events_of(main_server, name)
    assert any(m.strip() == "raw" for m in messages)
    found = [json.loads(m) for m in messages if m.startswith("{")]
    told, failed = [e for e in found if "level" in e]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told.pop("timestamp"))
    assert told == {"level": "INFO", "message": "told so", "logger": "root", "requestId": request_id, "more": 1}
    assert failed["level"] == "ERROR" and failed["errorType"] == "ZeroDivisionError" and failed["errorMessage"] == "division by zero"
    assert any("1 / 0" in line for line in failed["stackTrace"])


def test_the_error_lines_of_python(main_server):
    name = main_server.deploy("def handler(e, c):\n    raise ValueError('boom')\n", runtime="python3.11")
    payload, error, log, request_id = tail_of(main_server, name)
    assert error == "Unhandled"
    assert payload["errorType"] == "ValueError" and payload["requestId"] == request_id
    assert payload["stackTrace"] == ['  File "/var/task/index.py", line 2, in handler\n    raise ValueError(\'boom\')\n']
    assert "[ERROR] ValueError: boom\nTraceback (most recent call last):\n" in log.replace("\r", "\n"), log


# === Packages ===


def zip_directory(directory: pathlib.Path, more: dict = {}) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                z.write(path.resolve(), path.relative_to(directory))
        for name, text in more.items():
            z.writestr(name, text)
    return out.getvalue()


def npm_install(directory, *packages):
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages]
    subprocess.run(command, cwd=directory, check=True, timeout=300, stdin=subprocess.DEVNULL)


def test_the_workshops_uuid_from_npm(server, tmp_path):
    """`const uuid = require('uuid/v1')`, with node_modules in the package as the workshop zips it."""
    npm_install(tmp_path, "uuid@3")
    source = "const uuid = require('uuid/v1');\nexports.handler = (event, context, callback) => callback(null, uuid());\n"
    name = server.deploy(zip_directory(tmp_path, {"index.js": source}), runtime="nodejs8.10")
    first, error, _ = server.invoke(name)
    assert error is None and re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", first)
    assert server.invoke(name)[0] != first


def test_a_native_addon_from_npm(main_server, tmp_path):
    npm_install(tmp_path, "@node-rs/crc32")
    source = "const {crc32} = require('@node-rs/crc32'); exports.handler = async (text) => crc32(text)"
    name = main_server.deploy(zip_directory(tmp_path, {"index.js": source}), Timeout=10)
    payload, error, _ = main_server.invoke(name, "hello")
    assert error is None and payload == 0x3610A686, payload


def test_a_c_extension_from_pypi(main_server, tmp_path):
    from sys import executable

    install = [executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    subprocess.run([*install, "--python-version", "3.11", "--implementation", "cp", "--target", tmp_path, "orjson"], check=True, timeout=300)
    source = "import orjson\ndef handler(e, c):\n    return orjson.dumps(e).decode()\n"
    name = main_server.deploy(zip_directory(tmp_path, {"index.py": source}), runtime="python3.11", Timeout=10)
    payload, error, _ = main_server.invoke(name, {"a": [1]})
    assert error is None and payload == '{"a":[1]}', payload


@pytest.mark.parametrize(
    "runtime, handler, files",
    [
        ("nodejs20.x", "src/deep/app.handler", {"src/deep/app.js": "exports.handler = async () => 'here'"}),
        ("nodejs20.x", "index.nested.inner.run", {"index.js": "exports.nested = {inner: {run: async () => 'here'}}"}),
        ("nodejs20.x", "index.handler", {"index.cjs": "exports.handler = async () => 'here'"}),
        ("nodejs20.x", "index.handler", {"package.json": '{"type": "module"}', "index.js": "export const handler = async () => 'here'"}),
        ("nodejs20.x", "index.handler", {"index.mjs": "const here = await Promise.resolve('here'); export const handler = async () => here"}),
        ("python3.11", "src/deep/app.handler", {"src/deep/app.py": "def handler(e, c):\n    return 'here'"}),
        ("python3.11", "src.deep.app.handler", {"src/deep/app.py": "def handler(e, c):\n    return 'here'"}),
        ("python3.11", "package.handler", {"package/__init__.py": "from .inner import handler", "package/inner.py": "def handler(e, c):\n    return 'here'"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_where_handlers_may_be(main_server, runtime, handler, files):
    name = main_server.deploy(files, handler=handler, runtime=runtime)
    payload, error, _ = main_server.invoke(name)
    assert error is None and payload == "here", payload


def test_node_path_reaches_the_layers(main_server):
    name = main_server.deploy("exports.handler = async () => process.env.NODE_PATH")
    parts = main_server.invoke(name)[0].split(":")
    assert parts[:2] == ["/opt/nodejs/node20/node_modules", "/opt/nodejs/node_modules"]
