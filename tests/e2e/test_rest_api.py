"""REST APIs of API Gateway: the control plane with boto3, and requests to stages in each form of URL."""

import base64
import contextlib
import http.client
import json
import pathlib
import time
import uuid

import botocore.exceptions
import pytest

from conftest import MODES, running

GOLDEN = pathlib.Path(__file__).parent / "golden"
ECHO = """
exports.handler = async event => ({ statusCode: 200, body: JSON.stringify(event) });
"""


@pytest.fixture
def server(main_server):
    return main_server


@pytest.fixture
def apigateway(server):
    return server.client("apigateway")


@pytest.fixture
def echo(server):
    if not hasattr(server, "_rest_echo"):
        server._rest_echo = server.deploy(ECHO)
    return server._rest_echo


def send(server, method, path, host=None, headers=None, body=None):
    """(status, headers with lower-case names, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Host": host or f"127.0.0.1:{server.port}", **(headers or {})}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, answer.read()


def uri_of(function):
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function}"
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"


class Api:
    """An API with a few conveniences."""

    def __init__(self, server, client, **members):
        self.server, self.client = server, client
        made = client.create_rest_api(name=f"api-{uuid.uuid4().hex[:8]}", **members)
        self.id, self.resources = made["id"], {"/": made["rootResourceId"]}

    def resource(self, path):
        if path not in self.resources:
            parent, _, part = path.rpartition("/")
            parent = self.resource(parent or "/")
            made = self.client.create_resource(restApiId=self.id, parentId=parent, pathPart=part)
            self.resources[path] = made["id"]
        return self.resources[path]

    def method(self, verb, path, integration, **members):
        at = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": verb}
        self.client.put_method(**at, **{"authorizationType": "NONE", **members})
        self.client.put_integration(**at, **integration)
        return at

    def proxy(self, verb, path, function, **members):
        allow(self.server, function)
        integration = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri_of(function)}
        return self.method(verb, path, integration, **members)

    def deploy(self, stage="dev", **members):
        return self.client.create_deployment(restApiId=self.id, stageName=stage, **members)["id"]

    def call(self, method, path, stage="dev", **members):
        return send(self.server, method, f"/_aws/execute-api/{self.id}/{stage}{path}", **members)


def allow(server, function):
    try:
        server.lambda_.add_permission(
            FunctionName=function, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
        )
    except server.lambda_.exceptions.ResourceConflictException:
        pass


def error(call, *arguments, **members):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **members)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def test_a_proxy_gets_the_documented_event_by_every_url(server, apigateway, echo):
    api = Api(server, apigateway)
    api.proxy("ANY", "/pets/{id}", echo)
    deployment = api.deploy(variables={"lamp": "on"})
    host = f"{api.id}.execute-api.us-east-1.localhost:{server.port}"
    query = "a=1&a=2&b=x%20y"
    for path, at in [
        (f"/dev/pets/7%208?{query}", host),
        (f"/_aws/execute-api/{api.id}/dev/pets/7%208?{query}", None),
        (f"/restapis/{api.id}/dev/_user_request_/pets/7%208?{query}", None),
    ]:
        status, headers, body = send(
            server, "POST", path, at, {"Content-Type": "application/json", "User-Agent": "test", "X-Two": "2"}, b'{"k": 1}'
        )
        assert status == 200, body
        assert headers["content-type"] == "application/json"
        assert headers["x-amzn-trace-id"].startswith("Root=1-")
        event = json.loads(body)
        context = event["requestContext"]
        assert headers["x-amz-apigw-id"] == context["extendedRequestId"]
        assert headers["x-amzn-requestid"] == context["requestId"]
        assert context["deploymentId"] == deployment
        assert context["resourceId"] == api.resources["/pets/{id}"]
        shown = normalised(body.decode(), api.id, server.port)
        golden = GOLDEN / "rest_api_proxy_event.json"
        assert shown == golden.read_text().strip()


def normalised(text, api, port):
    """The event with what differs from run to run replaced."""
    event = json.loads(text)
    context = event["requestContext"]
    for name in ["resourceId", "extendedRequestId", "requestTime", "requestTimeEpoch", "requestId", "deploymentId"]:
        context[name] = name
    for headers in [event["headers"], event["multiValueHeaders"]]:
        value = headers["X-Amzn-Trace-Id"]
        headers["X-Amzn-Trace-Id"] = ["trace"] if isinstance(value, list) else "trace"
        host = f"{api}.execute-api.us-east-1.localhost:{port}"
        headers["Host"] = [host] if isinstance(headers["Host"], list) else host
    return json.dumps(event, indent=2).replace(api, "API").replace(str(port), "PORT")


def test_routes_prefer_literals(server, apigateway, echo):
    api = Api(server, apigateway)
    for verb, path in [("GET", "/"), ("GET", "/a/b"), ("GET", "/a/{x}"), ("ANY", "/{proxy+}")]:
        api.proxy(verb, path, echo)
    api.deploy()
    for path, resource, parameters in [
        ("", "/", None),
        ("/a/b", "/a/b", None),
        ("/a/c", "/a/{x}", {"x": "c"}),
        ("/a/c/d", "/{proxy+}", {"proxy": "a/c/d"}),
    ]:
        status, _, body = api.call("GET", path)
        event = json.loads(body)
        assert (status, event["resource"], event["pathParameters"]) == (200, resource, parameters)


def test_answers_of_functions_are_taken_as_aws_takes_them(server, apigateway):
    function = server.deploy(
        """
        exports.handler = async event => {
            if (event.body === 'throw') throw new Error('boom');
            return JSON.parse(event.body);
        };
        """
    )
    api = Api(server, apigateway, binaryMediaTypes=["image/png"])
    api.proxy("POST", "/", function)
    api.deploy()

    def answer(value, **headers):
        body = value if isinstance(value, str) else json.dumps(value)
        return api.call("POST", "/", body=body.encode(), headers=headers)

    status, headers, body = answer({"statusCode": 201, "headers": {"X-A": "1", "Server": "s"}, "body": "hi"})
    assert (status, headers["x-a"], headers["x-amzn-remapped-server"], body) == (201, "1", "s", b"hi")
    png = base64.b64encode(b"\x89PNG").decode()
    binary = {"body": png, "isBase64Encoded": True, "headers": {"Content-Type": "image/png"}}
    assert answer(binary, Accept="image/png")[2] == b"\x89PNG"
    assert answer(binary, Accept="text/html")[2] == png.encode()
    for value in ["throw", {"body": {}}, {"other": 1}, "[]", {"statusCode": "x"}]:
        status, headers, body = answer(value)
        assert (status, body) == (502, b'{"message": "Internal server error"}')
        assert headers["x-amzn-errortype"] == "InternalServerErrorException"


def test_a_slow_function_times_out_and_one_without_permission_is_not_called(server, apigateway, echo):
    slow = server.deploy("exports.handler = () => new Promise(done => setTimeout(done, 3000));")
    other = server.deploy(ECHO)
    api = Api(server, apigateway)
    allow(server, slow)
    proxy = {"type": "AWS_PROXY", "integrationHttpMethod": "POST"}
    api.method("GET", "/slow", {**proxy, "uri": uri_of(slow), "timeoutInMillis": 100})
    api.method("GET", "/other", {**proxy, "uri": uri_of(other)})
    api.deploy()
    status, _, body = api.call("GET", "/slow")
    assert (status, body) == (504, b'{"message": "Endpoint request timed out"}')
    status, _, body = api.call("GET", "/other")
    assert (status, body) == (500, b'{"message": "Internal server error"}')


def test_what_is_not_there_is_refused_as_aws_does(server, apigateway, echo):
    api = Api(server, apigateway)
    api.proxy("GET", "/a", echo)
    api.deploy()
    for method, path, headers, expected in [
        ("GET", "/b", {}, b'{"message":"Missing Authentication Token"}'),
        ("POST", "/a", {}, b'{"message":"Missing Authentication Token"}'),
    ]:
        status, found, body = api.call(method, path, headers=headers)
        assert (status, body) == (403, expected)
        assert found["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    status, found, body = api.call("GET", "/b", headers={"Authorization": "Bearer x"})
    assert status == 403 and found["x-amzn-errortype"] == "IncompleteSignatureException"
    assert b"not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer x'" in body
    for path in [f"/_aws/execute-api/{api.id}/other/a", "/_aws/execute-api/nothing/dev/a"]:
        status, _, body = send(server, "GET", path)
        assert (status, body) == (403, b'{"message":"Forbidden"}')


def test_cors_by_mock(server, apigateway):
    api = Api(server, apigateway)
    template = {"application/json": "{statusCode:200}"}
    at = api.method("OPTIONS", "/", {"type": "MOCK", "requestTemplates": template})
    origin = "method.response.header.Access-Control-Allow-Origin"
    apigateway.put_method_response(**at, statusCode="200", responseParameters={origin: False})
    apigateway.put_integration_response(**at, statusCode="200", responseParameters={origin: "'*'"})
    api.deploy()
    status, headers, body = api.call("OPTIONS", "", headers={"Origin": "https://example.com"})
    assert (status, headers["access-control-allow-origin"], body) == (200, "*", b"")


def test_functions_behind_templates(server, apigateway):
    function = server.deploy(
        """
        exports.handler = async event => {
            if (event.fail) throw new Error('teapot: ' + event.fail);
            return { got: event };
        };
        """
    )
    allow(server, function)
    api = Api(server, apigateway)
    template = '{"name": "$input.params(\'name\')", "fail": $input.json(\'$.fail\'), "stage": "$context.stage"}'
    integration = {
        "type": "AWS", "integrationHttpMethod": "POST", "uri": uri_of(function),
        "requestTemplates": {"application/json": template}, "passthroughBehavior": "NEVER",
    }
    at = api.method("POST", "/{name}", integration)
    for status in ["200", "418"]:
        apigateway.put_method_response(**at, statusCode=status)
    apigateway.put_integration_response(
        **at, statusCode="200", responseTemplates={"application/json": '{"wrapped": $input.json("$.got")}'}
    )
    apigateway.put_integration_response(
        **at, statusCode="418", selectionPattern="teapot.*",
        responseTemplates={"application/json": '{"error": "$input.path(\'$.errorMessage\')"}'},
    )
    api.deploy()
    json_type = {"Content-Type": "application/json"}
    status, _, body = api.call("POST", "/rex", body=b'{"fail": false}', headers=json_type)
    assert (status, json.loads(body)) == (200, {"wrapped": {"name": "rex", "fail": False, "stage": "dev"}})
    status, _, body = api.call("POST", "/rex", body=b'{"fail": 1}', headers=json_type)
    assert (status, json.loads(body)) == (418, {"error": "teapot: 1"})
    status, _, body = api.call("POST", "/rex", body=b"x", headers={"Content-Type": "text/plain"})
    assert (status, body) == (415, b'{"message":"Unsupported Media Type"}')


def test_a_function_that_nobody_waits_for(server, apigateway):
    function = server.deploy("exports.handler = async event => { console.log('ran ' + event.id); }")
    api = Api(server, apigateway)
    at = api.method("POST", "/", {
        "type": "AWS", "integrationHttpMethod": "POST", "uri": uri_of(function),
        "requestParameters": {"integration.request.header.X-Amz-Invocation-Type": "'Event'"},
    })
    apigateway.put_method_response(**at, statusCode="202")
    apigateway.put_integration_response(**at, statusCode="202")
    api.deploy()
    json_type = {"Content-Type": "application/json"}
    assert api.call("POST", "", body=b'{"id": 7}', headers=json_type)[0] == 500, "its policy does not allow it"
    allow(server, function)
    status, _, body = api.call("POST", "", body=b'{"id": 8}', headers=json_type)
    assert (status, body) == (202, b"")
    logs, deadline = server.client("logs"), time.monotonic() + 20
    ran = []
    while not ran and time.monotonic() < deadline:
        time.sleep(0.1)
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}", filterPattern='"ran "')
            ran = [event["message"].strip().rsplit("ran ", 1)[1] for event in found["events"]]
    assert ran == ["8"]


def test_stage_variables_choose_the_function(server, apigateway, echo):
    allow(server, echo)
    api = Api(server, apigateway)
    uri = uri_of(echo).replace(echo, "${stageVariables.name}")
    api.method("GET", "/", {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri})
    api.deploy(variables={"name": echo})
    status, _, body = api.call("GET", "")
    assert status == 200 and json.loads(body)["stageVariables"] == {"name": echo}
    apigateway.update_stage(
        restApiId=api.id, stageName="dev", patchOperations=[{"op": "replace", "path": "/variables/name", "value": "nobody"}]
    )
    assert api.call("GET", "")[0] == 500


def test_a_deployment_is_a_copy(server, apigateway, echo):
    api = Api(server, apigateway)
    api.proxy("GET", "/a", echo)
    first = api.deploy()
    api.proxy("GET", "/b", echo)
    assert api.call("GET", "/b")[0] == 403
    second = api.deploy()
    assert api.call("GET", "/b")[0] == 200
    patch = [{"op": "replace", "path": "/deploymentId", "value": first}]
    apigateway.update_stage(restApiId=api.id, stageName="dev", patchOperations=patch)
    assert api.call("GET", "/b")[0] == 403
    status, code, text = error(apigateway.delete_deployment, restApiId=api.id, deploymentId=first)
    assert (status, code) == (400, "BadRequestException") and text.startswith("Active stages")
    apigateway.delete_deployment(restApiId=api.id, deploymentId=second)
    assert [item["id"] for item in apigateway.get_deployments(restApiId=api.id)["items"]] == [first]


def test_the_control_plane_refuses_as_aws_does(server, apigateway):
    api = Api(server, apigateway)
    api.resource("/x")
    assert error(apigateway.get_rest_api, restApiId="nothing000") == (
        404, "NotFoundException", "Invalid API identifier specified 000000000000:nothing000",
    )
    assert error(apigateway.get_resource, restApiId=api.id, resourceId="nothin") == (
        404, "NotFoundException", "Invalid Resource identifier specified",
    )
    assert error(apigateway.create_resource, restApiId=api.id, parentId=api.resources["/"], pathPart="x") == (
        409, "ConflictException", "Another resource with the same parent already has this name: x",
    )
    assert error(apigateway.create_deployment, restApiId=api.id) == (
        400, "BadRequestException", "The REST API doesn't contain any methods",
    )
    assert error(apigateway.get_stage, restApiId=api.id, stageName="dev") == (
        404, "NotFoundException", "Invalid stage identifier specified",
    )
    assert error(apigateway.create_vpc_link, name="v", targetArns=["arn:aws:x"])[:2] == (400, "BadRequestException")


def test_patches_and_pages(server, apigateway):
    api = Api(server, apigateway)
    patched = apigateway.update_rest_api(
        restApiId=api.id,
        patchOperations=[
            {"op": "add", "path": "/binaryMediaTypes/image~1png"},
            {"op": "replace", "path": "/name", "value": "renamed"},
        ],
    )
    assert (patched["binaryMediaTypes"], patched["name"]) == (["image/png"], "renamed")
    for n in range(4):
        api.resource(f"/r{n}")
    api.method("GET", "/r0", {"type": "MOCK"})
    first = apigateway.get_resources(restApiId=api.id, limit=3, embed=["methods"])
    rest = apigateway.get_resources(restApiId=api.id, limit=3, position=first["position"], embed=["methods"])
    assert len(first["items"]) == 3 and len(rest["items"]) == 2 and "position" not in rest
    methods = [item["resourceMethods"] for item in first["items"] + rest["items"] if "resourceMethods" in item]
    assert [list(method) for method in methods] == [["GET"]] and methods[0]["GET"]["authorizationType"] == "NONE"
    api.deploy()
    stage = apigateway.update_stage(
        restApiId=api.id, stageName="dev",
        patchOperations=[{"op": "replace", "path": "/*/*/logging/loglevel", "value": "INFO"}],
    )
    assert stage["methodSettings"]["*/*"]["loggingLevel"] == "INFO"


def authorizer(server, kind):
    return server.deploy(
        """
        let calls = 0;
        exports.handler = async event => {
            calls += 1;
            const token = event.authorizationToken || event.headers['X-Token'];
            if (token === 'bad') throw new Error('Unauthorized');
            if (token === 'broken') return {};
            const policyDocument = { Version: '2012-10-17', Statement: [
                { Action: 'execute-api:Invoke', Effect: token === 'no' ? 'Deny' : 'Allow', Resource: event.methodArn } ] };
            return { principalId: 'me', policyDocument, context: { calls, is: true } };
        };
        """
    )


def test_lambda_authorizers(server, apigateway, echo):
    function = authorizer(server, "TOKEN")
    allow(server, function)
    api = Api(server, apigateway)
    ids = {}
    for kind, source in [("TOKEN", "method.request.header.Authorization"), ("REQUEST", "method.request.header.X-Token")]:
        ids[kind] = apigateway.create_authorizer(
            restApiId=api.id, name=kind, type=kind, authorizerUri=uri_of(function), identitySource=source
        )["id"]
        api.proxy("GET", f"/{kind}", echo, authorizationType="CUSTOM", authorizerId=ids[kind])
    api.deploy()
    for kind, header in [("TOKEN", "Authorization"), ("REQUEST", "X-Token")]:
        def call(token):
            return api.call("GET", f"/{kind}", headers={header: token} if token else {})

        status, _, body = call("yes")
        context = json.loads(body)["requestContext"]["authorizer"]
        assert (status, context["principalId"], context["is"]) == (200, "me", "true")
        again = json.loads(call("yes")[2])["requestContext"]["authorizer"]
        assert again["calls"] == context["calls"], "the decision is kept"
        assert (call(None)[0], call(None)[2]) == (401, b'{"message":"Unauthorized"}')
        assert (call("bad")[0], call("bad")[2]) == (401, b'{"message":"Unauthorized"}')
        status, headers, body = call("no")
        assert (status, body) == (
            403, b'{"message":"User is not authorized to access this resource with an explicit deny"}',
        )
        assert headers["x-amzn-errortype"] == "AccessDeniedException"
        status, _, body = call("broken")
        assert (status, body) == (500, b'{"message":null}')


def test_keys_plans_and_rates(server, apigateway, echo):
    api = Api(server, apigateway)
    api.proxy("GET", "/key", echo, apiKeyRequired=True)
    api.proxy("GET", "/rate", echo)
    api.deploy()
    assert (api.call("GET", "/key")[0], api.call("GET", "/key")[2]) == (403, b'{"message":"Forbidden"}')
    key = apigateway.create_api_key(name="k", enabled=True)
    plan = apigateway.create_usage_plan(
        name="p", apiStages=[{"apiId": api.id, "stage": "dev"}], quota={"limit": 2, "period": "DAY"},
        throttle={"rateLimit": 100, "burstLimit": 100},
    )
    apigateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    headers = {"x-api-key": key["value"]}
    status, _, body = api.call("GET", "/key", headers=headers)
    assert status == 200 and json.loads(body)["requestContext"]["identity"]["apiKeyId"] == key["id"]
    assert api.call("GET", "/key", headers=headers)[0] == 200
    status, found, body = api.call("GET", "/key", headers=headers)
    assert (status, body) == (429, b'{"message":"Limit Exceeded"}')
    assert found["x-amzn-errortype"] == "LimitExceededException"
    patch = [
        {"op": "replace", "path": "/~1rate/GET/throttling/rateLimit", "value": "0.001"},
        {"op": "replace", "path": "/~1rate/GET/throttling/burstLimit", "value": "1"},
    ]
    apigateway.update_stage(restApiId=api.id, stageName="dev", patchOperations=patch)
    assert api.call("GET", "/rate")[0] == 200
    status, _, body = api.call("GET", "/rate")
    assert (status, body) == (429, b'{"message":"Too Many Requests"}')


def test_validators_and_gateway_responses(server, apigateway, echo):
    api = Api(server, apigateway)
    schema = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    apigateway.create_model(restApiId=api.id, name="Pet", contentType="application/json", schema=json.dumps(schema))
    validator = apigateway.create_request_validator(
        restApiId=api.id, name="all", validateRequestBody=True, validateRequestParameters=True
    )["id"]
    api.proxy(
        "POST", "/pets", echo, requestValidatorId=validator, requestModels={"application/json": "Pet"},
        requestParameters={"method.request.querystring.q": True},
    )
    apigateway.put_gateway_response(
        restApiId=api.id, responseType="DEFAULT_4XX", statusCode="418",
        responseParameters={"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"},
        responseTemplates={"application/json": '{"e": $context.error.messageString, "at": "$context.resourcePath"}'},
    )
    apigateway.put_gateway_response(
        restApiId=api.id, responseType="BAD_REQUEST_BODY", responseTemplates={"application/json": '{"body": "bad"}'}
    )
    api.deploy()
    headers = {"Content-Type": "application/json"}
    assert api.call("POST", "/pets?q=1", headers=headers, body=b'{"name": "rex"}')[0] == 200
    status, _, body = api.call("POST", "/pets?q=1", headers=headers, body=b'{"name": 1}')
    assert (status, body) == (400, b'{"body": "bad"}')
    status, found, body = api.call("POST", "/pets", headers=headers, body=b'{"name": "rex"}')
    assert (status, found["access-control-allow-origin"]) == (418, "*")
    assert json.loads(body) == {"e": "Missing required request parameters: [q]", "at": "/pets"}


def test_http_backends(server, apigateway, echo):
    backend = Api(server, apigateway)
    backend.proxy("ANY", "/{proxy+}", echo)
    backend.deploy()
    base = f"{server.url}/_aws/execute-api/{backend.id}/dev"
    api = Api(server, apigateway)
    api.method(
        "ANY", "/{proxy+}",
        {"type": "HTTP_PROXY", "integrationHttpMethod": "ANY", "uri": f"{base}/{{proxy}}",
         "requestParameters": {"integration.request.path.proxy": "method.request.path.proxy"}},
        requestParameters={"method.request.path.proxy": True},
    )
    api.deploy()
    status, _, body = api.call("PUT", "/a/b?x=1", body=b"hello", headers={"X-A": "1"})
    event = json.loads(body)
    assert (status, event["path"], event["httpMethod"], event["body"]) == (200, "/a/b", "PUT", "hello")
    assert event["queryStringParameters"] == {"x": "1"} and event["headers"]["X-A"] == "1"


def test_import(server, apigateway, echo):
    allow(server, echo)
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": uri_of(echo)}
    swagger = {
        "swagger": "2.0",
        "info": {"title": "pets", "version": "1"},
        "x-amazon-apigateway-binary-media-types": ["image/png"],
        "definitions": {"Pet": {"type": "object", "required": ["name"]}},
        "x-amazon-apigateway-request-validators": {"body": {"validateRequestBody": True}},
        "paths": {
            "/pets/{id}": {
                "x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": integration},
                "post": {
                    "x-amazon-apigateway-request-validator": "body",
                    "parameters": [{"in": "body", "name": "b", "schema": {"$ref": "#/definitions/Pet"}}],
                    "x-amazon-apigateway-integration": integration,
                },
                "options": {
                    "responses": {"200": {"headers": {"A": {"type": "string"}}}},
                    "x-amazon-apigateway-integration": {
                        "type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'},
                        "responses": {"default": {"statusCode": "200", "responseParameters": {"method.response.header.A": "'b'"}}},
                    },
                },
            }
        },
    }
    api = Api.__new__(Api)
    api.server, api.client = server, apigateway
    api.id = apigateway.import_rest_api(body=json.dumps(swagger))["id"]
    api.deploy()
    assert api.call("GET", "/pets/1")[0] == 200
    assert api.call("OPTIONS", "/pets/1")[1]["a"] == "b"
    assert api.call("POST", "/pets/1", body=b"{}")[2] == b'{"message":"Invalid request body"}'
    assert api.call("POST", "/pets/1", body=b'{"name": 1}')[0] == 200
    openapi = (
        "openapi: 3.0.1\ninfo:\n  title: second\n  version: '2'\npaths:\n  /only:\n    get:\n"
        f"      x-amazon-apigateway-integration: {json.dumps(integration)}\n"
    )
    put = apigateway.put_rest_api(restApiId=api.id, mode="overwrite", body=openapi)
    assert put["name"] == "second"
    paths = sorted(item["path"] for item in apigateway.get_resources(restApiId=api.id)["items"])
    assert paths == ["/", "/only"]


def test_custom_domains(server, apigateway, echo):
    api = Api(server, apigateway)
    api.proxy("GET", "/a", echo)
    api.deploy()
    domain = f"{uuid.uuid4().hex[:8]}.example.com"
    apigateway.create_domain_name(domainName=domain, endpointConfiguration={"types": ["REGIONAL"]})
    apigateway.create_base_path_mapping(domainName=domain, basePath="v1", restApiId=api.id, stage="dev")
    status, _, body = send(server, "GET", "/v1/a", host=domain)
    event = json.loads(body)
    assert (status, event["path"], event["requestContext"]["path"]) == (200, "/v1/a", "/v1/a")
    assert event["requestContext"]["domainName"] == domain
    assert send(server, "GET", "/v2/a", host=domain)[0] == 403


def test_iam(server, apigateway, echo):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    api = Api(server, apigateway)
    api.proxy("GET", "/a", echo, authorizationType="AWS_IAM")
    api.deploy()
    path = f"/_aws/execute-api/{api.id}/dev/a"
    status, _, body = send(server, "GET", path)
    assert (status, body) == (403, b'{"message":"Missing Authentication Token"}')
    for secret, expected in [("test", 200), ("wrong", 403)]:
        request = AWSRequest("GET", server.url + path)
        SigV4Auth(Credentials("test", secret), "execute-api", "us-east-1").add_auth(request)
        status, _, body = send(server, "GET", path, headers=dict(request.headers))
        assert status == expected
        if secret == "test":
            identity = json.loads(body)["requestContext"]["identity"]
            assert identity["userArn"] == "arn:aws:iam::000000000000:root"




def stack(server, template):
    """Outputs of a stack, and what deletes it."""
    client, name = server.client("cloudformation"), f"s-{uuid.uuid4().hex[:8]}"
    client.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])

    def outputs():
        found = client.describe_stacks(StackName=name)["Stacks"][0]
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event.get("ResourceStatusReason") for event in events if "FAILED" in event["ResourceStatus"]]
        assert found["StackStatus"].endswith("_COMPLETE") and "ROLLBACK" not in found["StackStatus"], reasons
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})
    return client, name, outputs


def test_a_stack_as_serverless_writes_it(server, apigateway, echo):
    allow(server, echo)
    integration = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": uri_of(echo)}
    api = {"Ref": "Api"}
    template = {
        "Resources": {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "n", "EndpointConfiguration": {"Types": ["EDGE"]}}},
            "Hello": {
                "Type": "AWS::ApiGateway::Resource",
                "Properties": {"ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]}, "PathPart": "hello", "RestApiId": api},
            },
            "Get": {
                "Type": "AWS::ApiGateway::Method",
                "Properties": {
                    "HttpMethod": "GET", "ResourceId": {"Ref": "Hello"}, "RestApiId": api, "AuthorizationType": "NONE",
                    "ApiKeyRequired": False, "MethodResponses": [], "Integration": integration,
                },
            },
            "Options": {
                "Type": "AWS::ApiGateway::Method",
                "Properties": {
                    "HttpMethod": "OPTIONS", "ResourceId": {"Ref": "Hello"}, "RestApiId": api, "AuthorizationType": "NONE",
                    "MethodResponses": [{"StatusCode": "200", "ResponseParameters": {"method.response.header.A": True}}],
                    "Integration": {
                        "Type": "MOCK", "RequestTemplates": {"application/json": "{statusCode:200}"},
                        "IntegrationResponses": [{"StatusCode": "200", "ResponseParameters": {"method.response.header.A": "'*'"}}],
                    },
                },
            },
            "Deployment1": {
                "Type": "AWS::ApiGateway::Deployment", "DependsOn": ["Get", "Options"],
                "Properties": {"RestApiId": api, "StageName": "dev"},
            },
        },
        "Outputs": {"Id": {"Value": api}},
    }
    client, name, outputs = stack(server, template)
    made = outputs()["Id"]
    path = f"/_aws/execute-api/{made}/dev/hello"
    assert send(server, "GET", path)[0] == 200
    assert send(server, "OPTIONS", path)[1]["a"] == "*"
    # The next deploy has another method and another name for its deployment.
    template["Resources"]["Post"] = json.loads(json.dumps(template["Resources"]["Get"]))
    template["Resources"]["Post"]["Properties"]["HttpMethod"] = "POST"
    template["Resources"]["Deployment2"] = template["Resources"].pop("Deployment1")
    template["Resources"]["Deployment2"]["DependsOn"].append("Post")
    client.update_stack(StackName=name, TemplateBody=json.dumps(template))
    client.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})
    assert outputs()["Id"] == made and send(server, "POST", path)[0] == 200
    assert len(apigateway.get_deployments(restApiId=made)["items"]) == 1
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})
    assert error(apigateway.get_rest_api, restApiId=made)[0] == 404


def test_a_stack_with_a_document_a_stage_and_a_plan(server, apigateway, echo):
    allow(server, echo)
    document = {
        "swagger": "2.0", "info": {"title": "pets", "version": "1"},
        "paths": {"/pets": {"get": {"x-amazon-apigateway-integration": {
            "type": "aws_proxy", "httpMethod": "POST", "uri": uri_of(echo)}}}},
    }
    api = {"Ref": "Api"}
    template = {
        "Resources": {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": document, "BinaryMediaTypes": ["image/png"]}},
            "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": api}},
            "Stage": {
                "Type": "AWS::ApiGateway::Stage",
                "Properties": {
                    "RestApiId": api, "DeploymentId": {"Ref": "Deployment"}, "StageName": "Prod", "Variables": {"a": "b"},
                    "MethodSettings": [{"ResourcePath": "/*", "HttpMethod": "*", "LoggingLevel": "INFO"}],
                },
            },
            "Plan": {
                "Type": "AWS::ApiGateway::UsagePlan", "DependsOn": "Stage",
                "Properties": {"ApiStages": [{"ApiId": api, "Stage": "Prod"}], "Quota": {"Limit": 5, "Period": "DAY"}},
            },
            "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True}},
            "PlanKey": {
                "Type": "AWS::ApiGateway::UsagePlanKey",
                "Properties": {"KeyId": {"Ref": "Key"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}},
            },
            "Response": {
                "Type": "AWS::ApiGateway::GatewayResponse",
                "Properties": {"RestApiId": api, "ResponseType": "DEFAULT_4XX", "StatusCode": "418"},
            },
            "Account": {"Type": "AWS::ApiGateway::Account", "Properties": {"CloudWatchRoleArn": "arn:aws:iam::000000000000:role/r"}},
        },
        "Outputs": {"Id": {"Value": api}},
    }
    client, name, outputs = stack(server, template)
    made = outputs()["Id"]
    shown = apigateway.get_rest_api(restApiId=made)
    assert shown["name"] == "pets" and shown["binaryMediaTypes"] == ["image/png"]
    assert shown["tags"]["aws:cloudformation:logical-id"] == "Api"
    status, _, body = send(server, "GET", f"/_aws/execute-api/{made}/Prod/pets")
    assert status == 200 and json.loads(body)["stageVariables"] == {"a": "b"}
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})


def test_apis_survive_a_crash():
    with running(MODES[0]) as server:
        client = server.client("apigateway")
        api = Api(server, client)
        template = {"application/json": '{"statusCode": 204}'}
        at = api.method("GET", "/", {"type": "MOCK", "requestTemplates": template})
        client.put_integration_response(**at, statusCode="204")
        api.deploy(variables={"a": "b"})
        key = client.create_api_key(name="k")["id"]
        server.kill()
        server.start()
        assert api.call("GET", "")[0] == 204
        assert client.get_stage(restApiId=api.id, stageName="dev")["variables"] == {"a": "b"}
        assert client.get_api_key(apiKey=key)["name"] == "k"
