"""AWS's own clients on the whole way: both versions of the CLI, boto3, the JavaScript SDK v3, and what they cannot have."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time

import botocore.exceptions
import pytest

from conftest import MODES, ROLE, make_zip

V1 = str(pathlib.Path(sys.executable).parent / "aws")
V2 = os.environ.get("AWS_V2", "aws-v2-is-missing")
ECHO = "exports.handler = async (event, context) => ({event, arn: context.invokedFunctionArn, client: context.clientContext})"


@pytest.fixture(params=[V1, V2], ids=["cli-v1", "cli-v2"])
def cli(request, main_server, tmp_path):
    def run(*arguments, **kwargs):
        return main_server.aws(*arguments, program=request.param, cwd=tmp_path, **kwargs)

    run.is_v2 = request.param == V2
    run.client_error = 254 if run.is_v2 else 255
    run.dir = tmp_path
    return run


@pytest.fixture(scope="module")
def echo(request):
    server = request.getfixturevalue(f"{MODES[0]}_server")
    name = server.deploy(ECHO)
    server.lambda_.publish_version(FunctionName=name)
    return name


def cli_invoke(cli, *arguments):
    meta = json.loads(cli("lambda", "invoke", *arguments, "out.json").stdout)
    return meta, json.loads((cli.dir / "out.json").read_text() or "null")


def test_the_life_of_a_function_with_waiters(cli, main_server):
    name = f"life-{'v2' if cli.is_v2 else 'v1'}"
    (cli.dir / "one.zip").write_bytes(make_zip({"index.js": "exports.handler = async () => 1"}))
    (cli.dir / "two.zip").write_bytes(make_zip({"index.js": "exports.handler = async () => 2"}))
    create = ["--function-name", name, "--runtime", "nodejs20.x", "--handler", "index.handler", "--role", ROLE]
    created = json.loads(cli("lambda", "create-function", *create, "--zip-file", "fileb://one.zip").stdout)
    assert created["State"] == "Pending"
    for waiter in ("function-active-v2", "function-updated-v2") if cli.is_v2 else ("function-exists", "function-active"):
        cli("lambda", "wait", waiter, "--function-name", name)
    assert cli_invoke(cli, "--function-name", name) == ({"StatusCode": 200, "ExecutedVersion": "$LATEST"}, 1)
    cli("lambda", "update-function-code", "--function-name", name, "--zip-file", "fileb://two.zip", "--publish")
    looks = {
        waiter: looks_of(cli, waiter, "--function-name", name, *more)
        for waiter, more in {"function-updated": [], "published-version-active": ["--qualifier", "1"]}.items()
    }
    assert looks == {"function-updated": 1, "published-version-active": 1}, "after the first look waiters sleep for seconds"
    assert cli_invoke(cli, "--function-name", name, "--qualifier", "1") == ({"StatusCode": 200, "ExecutedVersion": "1"}, 2)
    configure = ["--timeout", "9", "--environment", "Variables={KEY=value}", "--logging-config", "LogFormat=JSON"]
    configured = json.loads(cli("lambda", "update-function-configuration", "--function-name", name, *configure).stdout)
    assert configured["LoggingConfig"] == {
        "LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": f"/aws/lambda/{name}"
    }
    cli("lambda", "wait", "function-updated-v2", "--function-name", name)
    listed = json.loads(cli("lambda", "list-functions", "--max-items", "1").stdout)
    assert len(listed["Functions"]) == 1
    assert json.loads(cli("lambda", "list-versions-by-function", "--function-name", name).stdout)["Versions"][1]["Version"] == "1"
    cli("lambda", "delete-function", "--function-name", name)
    refused = cli("lambda", "get-function", "--function-name", name, check=False)
    assert refused.returncode == cli.client_error and "(ResourceNotFoundException)" in refused.stderr and f"function:{name}" in refused.stderr


def looks_of(cli, waiter, *arguments):
    """How many times a waiter of the CLI asks until it is content."""
    done = cli("lambda", "wait", waiter, *arguments, "--debug")
    return done.stderr.count("Sending http request")


def test_forms_of_the_payload(cli, echo):
    event = {"text": "ü €", "n": 1.5}
    text = json.dumps(event, ensure_ascii=False)
    (cli.dir / "event.json").write_text(text)
    raw = ["--cli-binary-format", "raw-in-base64-out"] if cli.is_v2 else []
    forms = [[*raw, "--payload", text], [*raw, "--payload", "file://event.json"], ["--payload", "fileb://event.json"]]
    if cli.is_v2:
        forms.append(["--payload", base64.b64encode(text.encode()).decode()])
    for form in forms:
        meta, answer = cli_invoke(cli, "--function-name", echo, *form)
        assert meta["StatusCode"] == 200 and answer["event"] == event
    assert cli_invoke(cli, "--function-name", echo)[1]["event"] == {}


@pytest.mark.parametrize("cli", [V2], ids=["cli-v2"], indirect=True)
def test_forms_of_the_name_and_the_context(cli, echo):
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{echo}"
    for form, more, seen in [
        (echo, [], arn),
        (arn, [], arn),
        (f"000000000000:function:{echo}", [], arn),
        (f"{echo}:1", [], f"{arn}:1"),
        (f"{arn}:$LATEST", [], f"{arn}:$LATEST"),
        (echo, ["--qualifier", "1"], f"{arn}:1"),
    ]:
        assert cli_invoke(cli, "--function-name", form, *more)[1]["arn"] == seen
    client = {"client": {"installation_id": "i", "app_title": "t"}, "custom": {"key": "v"}, "env": {"locale": "de"}}
    encoded = base64.b64encode(json.dumps(client).encode()).decode()
    assert cli_invoke(cli, "--function-name", echo, "--client-context", encoded)[1]["client"] == client


def test_log_tail_and_dry_run(cli, main_server):
    name = main_server.deploy("exports.handler = async () => { for (let i = 0; i < 400; i++) console.log('line', i, 'x'.repeat(40)) }")
    meta, _ = cli_invoke(cli, "--function-name", name, "--log-type", "Tail")
    tail = base64.b64decode(meta["LogResult"])
    assert len(tail) <= 4096 and b"REPORT RequestId" in tail and b"line 399" in tail and b"line 0 " not in tail
    assert cli_invoke(cli, "--function-name", name, "--invocation-type", "DryRun") == ({"StatusCode": 204}, None)


def test_a_function_error_and_an_error_of_the_call(cli, main_server):
    name = main_server.deploy("exports.handler = async () => { throw new RangeError('far') }")
    meta, answer = cli_invoke(cli, "--function-name", name)
    assert meta == {"StatusCode": 200, "FunctionError": "Unhandled", "ExecutedVersion": "$LATEST"}
    assert answer["errorType"] == "RangeError" and answer["errorMessage"] == "far" and answer["trace"][0] == "RangeError: far"
    refused = cli("lambda", "invoke", "--function-name", "missing", "out.json", check=False)
    assert refused.returncode == cli.client_error
    assert "An error occurred (ResourceNotFoundException) when calling the Invoke operation: Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:$LATEST" in refused.stderr


# === The JavaScript SDK v3 ===


@pytest.fixture(scope="session")
def javascript(tmp_path_factory):
    """Runs a script with AWS's SDK v3 from npm; it prints one JSON value."""
    directory = tmp_path_factory.mktemp("sdk-v3")
    packages = ["client-lambda", "client-cloudwatch-logs", "client-sts", "client-kinesis", "client-dynamodb", "client-ses"]
    install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *(f"@aws-sdk/{name}" for name in packages)]
    subprocess.run(install, cwd=directory, check=True, timeout=300, stdin=subprocess.DEVNULL)

    def run(server, script):
        path = directory / f"script-{time.monotonic_ns()}.mjs"
        path.write_text(script)
        done = subprocess.run(["node", path], env=server.environment_variables(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_javascript_sdk_takes_a_stream(javascript, main_server):
    name = main_server.deploy(
        "exports.handler = awslambda.streamifyResponse(async (e, s) => {"
        " s.write('a'); s.write('b'); if (e.fail) throw new RangeError('far'); s.end() })"
    )
    answer = javascript(main_server, f"""
import {{ LambdaClient, InvokeWithResponseStreamCommand }} from '@aws-sdk/client-lambda';
const client = new LambdaClient({{}});
const answers = [];
for (const fail of [false, true]) {{
  const made = await client.send(new InvokeWithResponseStreamCommand({{FunctionName: '{name}', Payload: JSON.stringify({{fail}})}}));
  let text = '', end;
  for await (const event of made.EventStream) {{
    if (event.PayloadChunk) text += Buffer.from(event.PayloadChunk.Payload).toString();
    if (event.InvokeComplete) end = event.InvokeComplete.ErrorCode || 'well';
  }}
  answers.push([made.StatusCode, made.ExecutedVersion, text, end]);
}}
console.log(JSON.stringify(answers));
""")
    assert answer == [[200, "$LATEST", "ab", "well"], [200, "$LATEST", "ab", "Unhandled"]]


def test_javascript_sdk_deploys_and_invokes(javascript, main_server):
    package = base64.b64encode(make_zip({"index.js": ECHO})).decode()
    answer = javascript(main_server, f"""
import * as lambda from '@aws-sdk/client-lambda';
const client = new lambda.LambdaClient({{}});
const FunctionName = 'from-javascript';
const created = await client.send(new lambda.CreateFunctionCommand({{
  FunctionName, Runtime: 'nodejs20.x', Handler: 'index.handler', Role: '{ROLE}', Code: {{ZipFile: Buffer.from('{package}', 'base64')}} }}));
await lambda.waitUntilFunctionActiveV2({{client, maxWaitTime: 20}}, {{FunctionName}});
const invoked = await client.send(new lambda.InvokeCommand({{FunctionName, Payload: JSON.stringify({{from: 'js'}}), LogType: 'Tail'}}));
await client.send(new lambda.UpdateFunctionConfigurationCommand({{FunctionName, Timeout: 7}}));
await lambda.waitUntilFunctionUpdatedV2({{client, maxWaitTime: 20}}, {{FunctionName}});
const names = [];
for await (const page of lambda.paginateListFunctions({{client, pageSize: 2}}, {{}})) names.push(...page.Functions.map(f => f.FunctionName));
let refused;
try {{ await client.send(new lambda.GetFunctionCommand({{FunctionName: 'missing'}})) }} catch (e) {{ refused = e }}
await client.send(new lambda.DeleteFunctionCommand({{FunctionName}}));
console.log(JSON.stringify({{
  state: created.State, payload: JSON.parse(Buffer.from(invoked.Payload)), log: Buffer.from(invoked.LogResult, 'base64').toString(),
  listed: names.includes(FunctionName),
  refused: [refused instanceof lambda.ResourceNotFoundException, refused.name, refused.message, refused.Type, refused.$metadata.httpStatusCode, !!refused.$metadata.requestId],
}}));
""")
    assert answer["state"] == "Pending" and answer["payload"]["event"] == {"from": "js"} and answer["listed"]
    assert "REPORT RequestId" in answer["log"]
    missing = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing"
    assert answer["refused"] == [True, "ResourceNotFoundException", missing, "User", 404, True]


def test_javascript_sdk_meets_services_that_are_not_there(javascript, main_server):
    """Kinesis opens HTTP/2 with prior knowledge; the others are JSON 1.0 and the query protocol."""
    answer = javascript(main_server, """
import {KinesisClient, ListStreamsCommand} from '@aws-sdk/client-kinesis';
import {DynamoDBClient, ListTablesCommand} from '@aws-sdk/client-dynamodb';
import {SESClient, ListIdentitiesCommand} from '@aws-sdk/client-ses';
import {STSClient, GetCallerIdentityCommand} from '@aws-sdk/client-sts';
import {CloudWatchLogsClient, DescribeLogGroupsCommand} from '@aws-sdk/client-cloudwatch-logs';
const refused = {};
for (const [client, command] of [
  [new KinesisClient({}), new ListStreamsCommand({})], [new DynamoDBClient({}), new ListTablesCommand({})], [new SESClient({}), new ListIdentitiesCommand({})],
]) {
  try { await client.send(command) } catch (e) { refused[client.constructor.name] = [e.name, e.message, e.$metadata.httpStatusCode] }
}
const identity = await new STSClient({}).send(new GetCallerIdentityCommand({}));
const groups = await new CloudWatchLogsClient({}).send(new DescribeLogGroupsCommand({limit: 1}));
console.log(JSON.stringify({refused, account: identity.Account, groups: groups.logGroups.length}));
process.exit(0);
""")
    words = "nilas does not have the service '%s'."
    assert answer["refused"] == {
        "KinesisClient": ["UnknownOperationException", words % "kinesis", 400],
        "DynamoDBClient": ["UnknownOperationException", words % "dynamodb", 400],
        "SESClient": ["InvalidAction", words % "ses", 400],
    }
    assert answer["account"] == "000000000000"


# === What is not there ===


@pytest.mark.parametrize(
    "service, operation, members",
    [
        ("dynamodb", "list_tables", {}),
        ("ses", "list_identities", {}),
        ("apigateway", "get_vpc_links", {}),
        ("events", "list_archives", {}),
        ("lambda", "list_code_signing_configs", {}),
        ("s3", "head_bucket", {"Bucket": "b"}),
        ("s3", "get_object", {"Bucket": "b", "Key": "k"}),
        ("cloudwatch", "list_metrics", {}),
        ("iam", "list_users", {}),
        ("ec2", "describe_instances", {}),
        ("kinesis", "list_streams", {}),
        ("stepfunctions", "list_state_machines", {}),
        ("scheduler", "list_schedules", {}),
        ("route53", "list_hosted_zones", {}),
        ("cloudfront", "list_distributions", {}),
        ("logs", "describe_queries", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_there_says_so_in_its_own_shape(main_server, service, operation, members):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(main_server.client(service, retries={"max_attempts": 0}), operation)(**members)
    response = refused.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403, 404, 501), response
    if operation != "head_bucket":  # A HEAD has no body to say it in.
        assert response["Error"]["Code"] and not response["Error"]["Code"].isdigit(), response
        assert response["Error"]["Message"], response


@pytest.mark.parametrize("protocol", ["json", "query", "smithy-rpc-v2-cbor"])
def test_an_unknown_service_in_every_protocol_of_cloudwatch(main_server, protocol, monkeypatch):
    """botocore picks one; other SDKs pick others of the same model."""
    import boto3

    session = boto3.Session(region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    loader = session._session.get_component("data_loader")
    model = loader.load_service_model("cloudwatch", "service-2")
    if protocol not in model["metadata"].get("protocols", []):
        pytest.skip(f"this botocore's model of cloudwatch has no {protocol}")
    model = {**model, "metadata": {**model["metadata"], "protocol": protocol, "protocols": [protocol]}}
    original = loader.load_service_model
    monkeypatch.setattr(loader, "load_service_model", lambda name, kind, *a, **k: model if (name, kind) == ("cloudwatch", "service-2") else original(name, kind, *a, **k))
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        session.client("cloudwatch", endpoint_url=main_server.url).list_metrics()
    error = refused.value.response["Error"]
    assert "monitoring" in error["Message"] and not error["Code"].isdigit(), error


def test_sts_in_both_versions_of_the_cli(cli):
    assert json.loads(cli("sts", "get-caller-identity").stdout) == {
        "UserId": "000000000000", "Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root"
    }
