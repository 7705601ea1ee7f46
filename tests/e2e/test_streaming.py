"""Responses that are streamed: InvokeWithResponseStream through boto3, function URLs and REST APIs through HTTP.

That pieces arrive while the handler runs is shown by a handler that waits, in the middle of its response, for a gate
which the test opens only when it has read the first piece.
"""

import base64
import contextlib
import http.client
import http.server
import json
import pathlib
import threading
import time
import urllib.parse

import botocore.exceptions
import pytest

from conftest import make_zip

# `passed(gate)` is over once the function URL with that id is gone.
GATE = """
const http = require('http');
const { hostname, port } = new URL(process.env.AWS_ENDPOINT_URL);
const look = id => new Promise((resolve, reject) => {
  const headers = { Host: `${id}.lambda-url.us-east-1.localhost` };
  http.get({ hostname, port, headers, agent: false }, answer => {
    let text = '';
    answer.on('data', data => (text += data)).on('end', () => resolve(text));
  }).on('error', reject);
});
const passed = async id => {
  while (!(await look(id)).includes('null')) await new Promise(resolve => setTimeout(resolve, 20));
};
"""
WAITING = GATE + """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/event-stream');
  stream.write('first ');
  await passed(event.gate || event.queryStringParameters.gate);
  stream.write('second');
  stream.end();
});
"""
HTTP = GATE + """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const head = { statusCode: 201, headers: { 'X-A': '1', 'Content-Type': 'text/plain' }, cookies: ['a=1', 'b=2'] };
  stream = awslambda.HttpResponseStream.from(stream, head);
  stream.write('first ');
  await passed(event.queryStringParameters.gate);
  stream.write('second');
  stream.end();
});
"""
FAILING = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.late || event.rawPath || event.httpMethod) {
    await new Promise(done => awslambda.HttpResponseStream.from(stream, {}).write('partial', done));
  }
  throw new TypeError('broken');
});
"""
LARGE = """
const { pipeline } = require('stream/promises');
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  async function* pieces() { for (let i = 0; i < event.count; i++) yield Buffer.alloc(1 << 20, i % 256); }
  await pipeline(pieces(), stream);
});
"""
# A runtime of nothing but the standard library: streams by chunks, and may end in trailers.
CUSTOM = """#!/usr/bin/env python3
import base64, http.client, json, os
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
while True:
    c = http.client.HTTPConnection(api)
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse()
    event, request_id = json.loads(r.read()), r.headers["lambda-runtime-aws-request-id"]
    c = http.client.HTTPConnection(api)
    c.putrequest("POST", f"/2018-06-01/runtime/invocation/{request_id}/response")
    c.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    c.putheader("Transfer-Encoding", "chunked")
    c.putheader("Content-Type", "application/vnd.awslambda.http-integration-response")
    c.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
    c.endheaders()
    for piece in [b'{"statusCode": 202}', b"\\0" * 8, b"one", b"two"]:
        c.send(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
    c.send(b"0\\r\\n")
    if event.get("fail"):
        body = base64.b64encode(json.dumps({"errorType": "Own", "errorMessage": "m"}).encode())
        c.send(b"Lambda-Runtime-Function-Error-Type: Own\\r\\nLambda-Runtime-Function-Error-Body: " + body + b"\\r\\n")
    c.send(b"\\r\\n")
    c.getresponse().read()
"""


@pytest.fixture
def lam(main_server):
    return main_server.lambda_


@pytest.fixture
def gate(main_server):
    """(id, open)"""
    name = main_server.deploy("exports.handler = async () => 1")
    url = main_server.lambda_.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"]
    url_id = urllib.parse.urlsplit(url).hostname.split(".")[0]
    return url_id, lambda: main_server.lambda_.delete_function_url_config(FunctionName=name)


def stream(lam, name, event=None, **members):
    answer = lam.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event or {}), **members)
    assert answer["StatusCode"] == 200
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    return answer, iter(answer["EventStream"])


def whole(events):
    """(payload, InvokeComplete)"""
    events = list(events)
    assert all("PayloadChunk" in event for event in events[:-1])
    return b"".join(event["PayloadChunk"]["Payload"] for event in events[:-1]), events[-1]["InvokeComplete"]


def open_url(server, name):
    made = server.lambda_.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    assert made["InvokeMode"] == "RESPONSE_STREAM"
    server.lambda_.add_permission(
        FunctionName=name, StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE"
    )
    return urllib.parse.urlsplit(made["FunctionUrl"]).netloc


@contextlib.contextmanager
def get(server, host, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def rest_api(server, name):
    """(host, path) of an API whose root streams."""
    client = server.client("apigateway")
    made = client.create_rest_api(name=name)
    at = {"restApiId": made["id"], "resourceId": made["rootResourceId"], "httpMethod": "GET"}
    client.put_method(**at, authorizationType="NONE")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/{arn}/response-streaming-invocations"
    put = client.put_integration(
        **at, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri, responseTransferMode="STREAM"
    )
    assert put["responseTransferMode"] == "STREAM"
    client.create_deployment(restApiId=made["id"], stageName="s")
    server.lambda_.add_permission(
        FunctionName=name, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    return f"{made['id']}.execute-api.us-east-1.localhost", "/s/"


def test_pieces_arrive_while_the_handler_runs(lam, main_server, gate):
    answer, events = stream(lam, main_server.deploy(WAITING, Timeout=30), {"gate": gate[0]})
    assert answer["ExecutedVersion"] == "$LATEST"
    assert next(events) == {"PayloadChunk": {"Payload": b"first "}}
    gate[1]()
    assert whole(events) == (b"second", {})


def test_buffered_handlers_and_what_fails_before_anything_is_written(lam, main_server):
    name = main_server.deploy("exports.handler = async e => { if (e.fail) throw new Error('no'); return { a: e.a } }")
    assert whole(stream(lam, name, {"a": 1})[1]) == (b'{"a":1}', {})
    payload, end = whole(stream(lam, name, {"fail": True}, LogType="Tail")[1])
    assert (payload, end["ErrorCode"]) == (b"", "Unhandled")
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "no"
    assert b"REPORT RequestId" in base64.b64decode(end["LogResult"])
    assert lam.invoke_with_response_stream(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFoundException"):
        lam.invoke_with_response_stream(FunctionName="streaming-nobody")
    with pytest.raises(botocore.exceptions.ClientError, match="failed to satisfy constraint"):
        lam.invoke_with_response_stream(FunctionName=name, InvocationType="Event")


def test_errors_after_something_was_written(lam, main_server):
    name = main_server.deploy(FAILING)
    payload, end = whole(stream(lam, name, {"late": True})[1])
    assert payload == b"{}" + b"\0" * 8 + b"partial" and end["ErrorCode"] == "Unhandled"
    assert json.loads(end["ErrorDetails"])["errorType"] == "TypeError"
    for host, path in [(open_url(main_server, name), "/"), rest_api(main_server, name)]:
        with get(main_server, host, path) as answer:
            assert answer.status == 200
            with pytest.raises(http.client.IncompleteRead) as broken:
                answer.read()
            assert broken.value.partial == b"partial"
    timed_out = """
    exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('x'); await new Promise(r => setTimeout(r, 60000)) })
    """
    payload, end = whole(stream(lam, main_server.deploy(timed_out, Timeout=1))[1])
    assert payload == b"x" and "Task timed out after 1.00 seconds" in end["ErrorDetails"]


def test_a_whole_answer_of_a_streaming_handler(lam, main_server):
    name = main_server.deploy(LARGE)
    answer = lam.invoke(FunctionName=name, Payload=json.dumps({"count": 2}))
    assert answer["Payload"].read() == b"\0" * (1 << 20) + b"\1" * (1 << 20)
    answer = lam.invoke(FunctionName=name, Payload=json.dumps({"count": 7}))
    assert json.loads(answer["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"
    # The environment is as good as before.
    assert whole(stream(lam, name, {"count": 1})[1]) == (b"\0" * (1 << 20), {})


def test_much_passes_through_little_memory(lam, main_server):
    def resident():
        status = pathlib.Path(f"/proc/{main_server.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    name = main_server.deploy(LARGE, Timeout=60, MemorySize=256)
    whole(stream(lam, name, {"count": 1})[1])
    before, taken = resident(), 0
    for event in stream(lam, name, {"count": 50})[1]:
        taken += len(event.get("PayloadChunk", {}).get("Payload", b""))
    assert taken == 50 << 20
    assert resident() - before < 25


def test_a_client_that_goes_away_does_not_stop_the_function(lam, main_server, gate):
    code = WAITING.replace("stream.end();", "console.log('done all the same'); stream.end();")
    name = main_server.deploy(code, Timeout=30)
    answer, events = stream(lam, name, {"gate": gate[0]})
    next(events)
    answer["EventStream"].close()
    gate[1]()
    logs = main_server.client("logs")
    while True:
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            if logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern='"done all the same"')["events"]:
                break
        time.sleep(0.05)


def test_a_custom_runtime_streams(lam, main_server):
    name = main_server.deploy({"bootstrap": (CUSTOM.encode(), 0o755)}, runtime="provided.al2023", handler="x")
    body = b'{"statusCode": 202}' + b"\0" * 8 + b"onetwo"
    assert whole(stream(lam, name)[1]) == (body, {})
    payload, end = whole(stream(lam, name, {"fail": True})[1])
    assert (payload, end["ErrorDetails"]) == (body, '{"errorType": "Own", "errorMessage": "m"}')
    assert lam.invoke(FunctionName=name)["Payload"].read() == body
    with get(main_server, open_url(main_server, name)) as answer:
        assert (answer.status, answer.read()) == (202, b"onetwo")


@pytest.mark.parametrize("front", [open_url, rest_api])
def test_http_front_doors_send_as_the_handler_writes(main_server, gate, front):
    name = main_server.deploy(HTTP, Timeout=30)
    door = front(main_server, name)
    host, path = door if isinstance(door, tuple) else (door, "/")
    with get(main_server, host, f"{path}?gate={gate[0]}") as answer:
        assert (answer.status, answer.headers["x-a"], answer.headers["content-type"]) == (201, "1", "text/plain")
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert answer.read(6) == b"first "
        gate[1]()
        assert answer.read() == b"second"


def test_without_status_and_headers(main_server, gate):
    name = main_server.deploy(WAITING, Timeout=30)
    with get(main_server, open_url(main_server, name), f"/?gate={gate[0]}") as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        assert answer.read(6) == b"first "
        gate[1]()
        assert answer.read() == b"second"
    name = main_server.deploy("exports.handler = async () => ({ statusCode: 404 })")
    with get(main_server, open_url(main_server, name)) as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
        assert answer.read() == b'{"statusCode":404}'
    with get(main_server, *rest_api(main_server, name)) as answer:
        assert (answer.status, answer.read()) == (502, b'{"message": "Internal server error"}')


def test_a_function_invokes_another_with_its_role(lam, main_server):
    name = main_server.deploy(WAITING)
    code = """
const { createHmac, createHash } = require('crypto');
const http = require('http');
exports.handler = async event => {
  const { hostname, port, host } = new URL(process.env.AWS_ENDPOINT_URL);
  const path = `/2021-11-15/functions/${event.name}/response-streaming-invocations`;
  const date = new Date().toISOString().replace(/[-:]|\\.\\d+/g, ''), day = date.slice(0, 8);
  const hex = text => createHash('sha256').update(text).digest('hex');
  const mac = (key, text) => createHmac('sha256', key).update(text).digest();
  const names = 'host;x-amz-date;x-amz-invocation-type;x-amz-security-token', token = process.env.AWS_SESSION_TOKEN;
  const canonical = ['POST', path, '', `host:${host}`, `x-amz-date:${date}`, 'x-amz-invocation-type:DryRun', `x-amz-security-token:${token}`, '', names, hex('')];
  const scope = `${day}/us-east-1/lambda/aws4_request`;
  let key = 'AWS4' + process.env.AWS_SECRET_ACCESS_KEY;
  for (const part of scope.split('/')) key = mac(key, part);
  const signature = mac(key, ['AWS4-HMAC-SHA256', date, scope, hex(canonical.join('\\n'))].join('\\n')).toString('hex');
  const headers = {
    Host: host, 'X-Amz-Date': date, 'X-Amz-Security-Token': token, 'X-Amz-Invocation-Type': 'DryRun',
    Authorization: `AWS4-HMAC-SHA256 Credential=${process.env.AWS_ACCESS_KEY_ID}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
  return new Promise(resolve => http.request({ hostname, port, path, method: 'POST', headers }, r => resolve(r.statusCode)).end());
};
"""
    caller = main_server.deploy(code)
    assert lam.invoke(FunctionName=caller, Payload=json.dumps({"name": name}))["Payload"].read() == b"204"


@pytest.fixture
def backend():
    """(port, event that lets it go on)"""
    go_on = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in [b"first ", b"second", b""]:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                go_on.wait(30)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, go_on
        go_on.set()
        server.shutdown()


def test_an_http_integration_streams(main_server, backend):
    client = main_server.client("apigateway")
    made = client.create_rest_api(name="streaming-http")
    at = {"restApiId": made["id"], "resourceId": made["rootResourceId"], "httpMethod": "GET"}
    client.put_method(**at, authorizationType="NONE")
    uri = f"http://127.0.0.1:{backend[0]}/"
    http_proxy = {"integrationHttpMethod": "GET", "uri": uri, "responseTransferMode": "STREAM", "timeoutInMillis": 900_000}
    with pytest.raises(botocore.exceptions.ClientError, match="only supported for AWS_PROXY and HTTP_PROXY"):
        client.put_integration(**at, type="HTTP", **http_proxy)
    client.put_integration(**at, type="HTTP_PROXY", **http_proxy)
    client.create_deployment(restApiId=made["id"], stageName="s")
    with get(main_server, f"{made['id']}.execute-api.us-east-1.localhost", "/s/") as answer:
        assert answer.read(6) == b"first "
        backend[1].set()
        assert answer.read() == b"second"


SERVERLESS = """service: streaming
provider:
  name: aws
  runtime: nodejs20.x
functions:
  hello:
    handler: handler.hello
    url:
      invokeMode: RESPONSE_STREAM
    events:
      - http:
          method: GET
          path: /hello
          response:
            transferMode: STREAM
"""


def test_a_serverless_project(main_server, tmp_path):
    (tmp_path / "serverless.yml").write_text(SERVERLESS)
    (tmp_path / "handler.js").write_text(
        "exports.hello = awslambda.streamifyResponse(async (e, s) => {"
        " s = awslambda.HttpResponseStream.from(s, { statusCode: 203 }); s.write('hi'); s.end() })"
    )
    endpoints = json.loads(main_server.nilas("deploy", "--json", cwd=tmp_path).stdout)["endpoints"]
    assert len(endpoints) == 2
    for endpoint in endpoints:
        url = urllib.parse.urlsplit(next(word for word in endpoint.split() if word.startswith("http")))
        with get(main_server, url.netloc, url.path or "/") as answer:
            assert (answer.status, answer.read()) == (203, b"hi")
    main_server.nilas("remove", cwd=tmp_path)


def test_the_mode_of_a_url_can_be_changed(lam, main_server):
    name = main_server.deploy("exports.handler = async () => ({ statusCode: 404 })")
    host = open_url(main_server, name)
    assert lam.update_function_url_config(FunctionName=name, InvokeMode="BUFFERED")["InvokeMode"] == "BUFFERED"
    with get(main_server, host) as answer:
        assert answer.status == 404


def test_a_stack_makes_what_streams(main_server):
    cfn, name = main_server.client("cloudformation"), "streaming-stack"
    resources = {
        "F": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "nodejs22.x",
                "Handler": "index.handler",
                "InlineCode": "exports.handler = awslambda.streamifyResponse(async (e, s) => {"
                " s = awslambda.HttpResponseStream.from(s, { statusCode: 203 }); s.write('hi'); s.end() })",
                "FunctionUrlConfig": {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"},
                "Events": {
                    "Api": {
                        "Type": "Api",
                        "Properties": {"Path": "/", "Method": "get", "ResponseTransferMode": "RESPONSE_STREAM"},
                    }
                },
            },
        }
    }
    outputs = {"Url": {"Value": {"Fn::GetAtt": ["FUrl", "FunctionUrl"]}}, "Api": {"Value": {"Ref": "ServerlessRestApi"}}}
    body = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources, "Outputs": outputs}
    cfn.create_stack(
        StackName=name, TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    )
    cfn.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    made = {o["OutputKey"]: o["OutputValue"] for o in cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]}
    with get(main_server, urllib.parse.urlsplit(made["Url"]).netloc) as answer:
        assert (answer.status, answer.read()) == (203, b"hi")
    with get(main_server, f"{made['Api']}.execute-api.us-east-1.localhost", "/Prod/") as answer:
        assert (answer.status, answer.read()) == (203, b"hi")
