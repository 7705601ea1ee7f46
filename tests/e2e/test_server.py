"""The server as a process: start, one per data directory, HTTP/1.1 and HTTP/2, shutdown, crash."""

import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from conftest import BIN, MODES, Server, cgroup2_root, running


@pytest.fixture(params=MODES)
def own_server(request):
    """A server this test may stop and kill."""
    with running(request.param) as server:
        yield server


def test_health(main_server):
    assert json.load(urllib.request.urlopen(f"{main_server.url}/health"))["status"] == "ok"
    health = json.load(urllib.request.urlopen(f"{main_server.url}/_localstack/health"))
    assert health["services"]["lambda"] == "running"


def test_http2_with_prior_knowledge(main_server):
    import h2.config
    import h2.connection
    import h2.events

    s = socket.create_connection(("127.0.0.1", main_server.port), timeout=5)
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    c.initiate_connection()
    headers = [(":method", "GET"), (":path", "/health"), (":scheme", "http"), (":authority", "127.0.0.1")]
    c.send_headers(1, headers, end_stream=True)
    s.sendall(c.data_to_send())
    body = b""
    while True:
        for event in c.receive_data(s.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            if isinstance(event, h2.events.StreamEnded):
                assert json.loads(body)["status"] == "ok"
                return
        s.sendall(c.data_to_send())


def test_expect_100_continue(main_server):
    s = socket.create_connection(("127.0.0.1", main_server.port), timeout=5)
    s.sendall(
        b"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
        b"Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00\r\n\r\n"
    )
    first = s.recv(4096)
    assert first.startswith((b"HTTP/1.1 100", b"HTTP/1.1 403")), first


def test_an_unsigned_request_is_refused(main_server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{main_server.url}/2015-03-31/functions/")
    assert refused.value.code == 403
    assert refused.value.headers["x-amzn-ErrorType"].startswith("MissingAuthenticationToken")


@pytest.mark.parametrize(
    "key, secret, code",
    [
        ("AKIAIOSFODNN7EXAMPLE", "x", "UnrecognizedClientException"),
        ("test", "wrong", "InvalidSignatureException"),
    ],
)
def test_wrong_credentials(main_server, key, secret, code):
    import boto3

    client = boto3.client(
        "lambda", endpoint_url=main_server.url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.list_functions()
    assert refused.value.response["Error"]["Code"] == code


def test_unknown_services_answer_in_their_own_shape(main_server):
    for service, call in [
        ("dynamodb", lambda c: c.list_tables()),
        ("ses", lambda c: c.list_identities()),
        ("kinesis", lambda c: c.list_streams()),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            call(main_server.client(service))
        error = refused.value.response["Error"]
        assert error["Code"] and error["Message"] and not error["Code"].isdigit(), (service, error)


def test_sts_get_caller_identity(main_server):
    identity = main_server.client("sts").get_caller_identity()
    assert identity["Account"] == "000000000000" and identity["Arn"] == "arn:aws:iam::000000000000:root"


def test_ready_and_stopped_cleanly(own_server):
    name = own_server.deploy("exports.handler = () => new Promise(r => setTimeout(() => r('finished'), 1500))", Timeout=10)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(own_server.invoke(name)[0]))
    thread.start()
    time.sleep(0.7)
    assert own_server.stop() == 0, own_server.log_text()
    thread.join(10)
    assert answers == ["finished"], "what runs is finished before the exit"
    assert leftovers(own_server) == []
    assert '"ready' in own_server.log_text().lower() or "ready" in own_server.log_text()


def test_a_second_server_on_the_same_data_directory_is_refused(own_server):
    second = subprocess.run(
        [str(BIN), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(own_server.data_dir)],
        capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
    )
    assert second.returncode != 0
    assert "error:" in second.stderr and "in use" in second.stderr, second.stderr
    assert own_server.client("lambda").list_functions()["Functions"] == []


def test_kill_9_leaves_nothing_and_the_next_start_has_every_function(own_server):
    name = own_server.deploy("exports.handler = async () => 'kept'")
    own_server.invoke(name)
    assert own_server.environment_cgroups()
    own_server.kill()
    deadline = time.monotonic() + 10
    while leftovers(own_server, running=False) and time.monotonic() < deadline:
        time.sleep(0.05)
    own_server.start()
    assert own_server.invoke(name)[0] == "kept"
    assert len(own_server.environment_cgroups()) == 1
    own_server.stop()
    assert leftovers(own_server) == []


def leftovers(server, running=False) -> list:
    """Processes, cgroups and mounts that mention this server's data directory or were its environments'."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                line = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(server.directory) in line and int(process.name) != os.getpid():
                found.append(f"process {process.name}: {line}")
    found += [line for line in open("/proc/self/mountinfo") if str(server.directory) in line]
    if server.cgroup and server.cgroup.exists():
        found += [str(p) for p in server.cgroup.rglob("cgroup.events") if "populated 1" in p.read_text()]
    return found


def test_many_idle_connections_do_no_harm(main_server):
    idle = [socket.create_connection(("127.0.0.1", main_server.port)) for _ in range(200)]
    for s in idle[:100]:
        s.sendall(b"GET /he")
    assert json.load(urllib.request.urlopen(f"{main_server.url}/health"))["status"] == "ok"
    for s in idle:
        s.close()


def test_no_access_to_the_api_from_inside_with_test_credentials(server):
    """`test`/`test` is root for the loopback of the host only: a function has its role's credentials."""
    name = server.deploy(
        """
import json, os, urllib.request, urllib.error, datetime, hashlib, hmac
def call(key, secret, token):
    host = os.environ['AWS_ENDPOINT_URL'].split('//')[1]
    now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')
    body = b'Action=GetCallerIdentity&Version=2011-06-15'
    headers = {'host': host, 'x-amz-date': now, 'content-type': 'application/x-www-form-urlencoded'}
    if token: headers['x-amz-security-token'] = token
    names = ';'.join(sorted(headers))
    canonical = '\\n'.join(['POST', '/', '', *(f'{k}:{headers[k]}' for k in sorted(headers)), '', names, hashlib.sha256(body).hexdigest()])
    scope = f'{now[:8]}/us-east-1/sts/aws4_request'
    to_sign = '\\n'.join(['AWS4-HMAC-SHA256', now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    k = ('AWS4' + secret).encode()
    for part in scope.split('/'): k = hmac.new(k, part.encode(), 'sha256').digest()
    headers['authorization'] = f'AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature=' + hmac.new(k, to_sign.encode(), 'sha256').hexdigest()
    try:
        return urllib.request.urlopen(urllib.request.Request('http://' + host + '/', body, headers), timeout=5).read().decode()
    except urllib.error.HTTPError as e:
        return e.read().decode()
def handler(event, context):
    e = os.environ
    return [call('test', 'test', None), call(e['AWS_ACCESS_KEY_ID'], e['AWS_SECRET_ACCESS_KEY'], e['AWS_SESSION_TOKEN'])]
""",
        runtime="python3.11",
        Timeout=15,
    )
    (as_test, as_role), error, _ = server.invoke(name, {})
    assert error is None
    assert "InvalidClientTokenId" in as_test, as_test
    assert re.search(r"arn:aws:sts::000000000000:assumed-role/nilas-test/", as_role), as_role
