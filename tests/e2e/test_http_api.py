"""HTTP APIs: API Gateway's second version, from their control plane to the functions behind them."""

import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

ECHO = "exports.handler = async (event) => event;"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def call(server, api, path, method="GET", body=None, **headers):
    """(status, headers, body as text) of a request to an API, by its host name."""
    request = urllib.request.Request(server.url + path, method=method, data=body)
    request.add_header("Host", f"{api}.execute-api.us-east-1.localhost:{server.port}")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def allow(server, name, api, source="*"):
    server.lambda_.add_permission(
        FunctionName=name, StatementId=f"api-{api}", Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:us-east-1:000000000000:{api}/{source}",
    )


def quick(server, code, **members):
    """A function and an HTTP API in front of it."""
    name = server.deploy(code)
    client = server.client("apigatewayv2")
    api = client.create_api(Name=name, ProtocolType="HTTP", Target=ARN + name, **members)["ApiId"]
    allow(server, name, api)
    return client, api, name


def test_an_event_is_as_format_2_says(main_server):
    client, api, _ = quick(main_server, ECHO)
    status, headers, body = call(
        main_server, api, "/my/path?a=1&a=2&b=%20x", "POST", b'{"x":1}', Content_Type="application/json",
        Cookie="c1=1; c2=2", User_Agent="agent", X_Many="v",
    )
    event = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert event["version"] == "2.0" and event["routeKey"] == "$default" and event["rawPath"] == "/my/path"
    assert event["rawQueryString"] == "a=1&a=2&b=%20x"
    assert event["cookies"] == ["c1=1", "c2=2"] and "cookie" not in event["headers"]
    assert event["queryStringParameters"] == {"a": "1,2", "b": " x"}
    assert event["headers"]["x-many"] == "v" and event["headers"]["content-length"] == "7"
    assert event["body"] == '{"x":1}' and event["isBase64Encoded"] is False
    assert "pathParameters" not in event and "stageVariables" not in event
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "agent",
    }
    assert context["accountId"] == "000000000000" and context["apiId"] == api and context["stage"] == "$default"
    assert context["domainName"] == f"{api}.execute-api.us-east-1.localhost" and context["domainPrefix"] == api
    assert abs(context["timeEpoch"] / 1000 - time.time()) < 60 and context["time"].endswith(" +0000")
    # Whatever does not say that it is text is base64.
    event = json.loads(call(main_server, api, "/", "POST", b"a=b")[2])
    assert event["isBase64Encoded"] is True and event["body"] == "YT1i"


def test_routes_stages_and_deployments(main_server):
    server, client = main_server, main_server.client("apigatewayv2")
    name = server.deploy("exports.handler = async (e) => ({statusCode: 201, headers: {a: 'b'}, cookies: ['x=1'], "
                         "body: JSON.stringify([e.routeKey, e.rawPath, e.pathParameters, e.stageVariables])})")
    api = client.create_api(Name="routes", ProtocolType="HTTP")["ApiId"]
    allow(server, name, api)
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{ARN}{name}/invocations"
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    for key in ["GET /pets/{id}", "ANY /{proxy+}"]:
        client.create_route(ApiId=api, RouteKey=key, Target=f"integrations/{integration}")
    client.create_stage(ApiId=api, StageName="dev", StageVariables={"v": "1"})
    # Nothing is deployed yet.
    assert call(server, api, "/dev/pets/1")[0] == 404
    client.create_deployment(ApiId=api, StageName="dev")
    status, headers, body = call(server, api, "/dev/pets/7")
    assert (status, headers["a"], headers["set-cookie"]) == (201, "b", "x=1")
    assert json.loads(body) == ["GET /pets/{id}", "/dev/pets/7", {"id": "7"}, {"v": "1"}]
    assert json.loads(call(server, api, "/dev/a/b", "POST", b"")[2])[:3] == ["ANY /{proxy+}", "/dev/a/b", {"proxy": "a/b"}]
    assert call(server, api, "/none/pets/7")[0] == 404
    # A stage keeps its deployment until it is given another.
    route = client.create_route(ApiId=api, RouteKey="GET /new", Target=f"integrations/{integration}")
    assert json.loads(call(server, api, "/dev/new")[2])[0] == "ANY /{proxy+}"
    client.update_stage(ApiId=api, StageName="dev", AutoDeploy=True)
    client.update_route(ApiId=api, RouteId=route["RouteId"], RouteKey="GET /newer")
    assert json.loads(call(server, api, "/dev/newer")[2])[0] == "GET /newer"
    with pytest.raises(client.exceptions.ConflictException):
        client.delete_integration(ApiId=api, IntegrationId=integration)
    client.delete_api(ApiId=api)
    with pytest.raises(client.exceptions.NotFoundException, match="Invalid API identifier specified"):
        client.get_api(ApiId=api)
    assert call(server, api, "/dev/newer")[0] == 403


def test_cors_is_answered_by_the_api(main_server):
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "AllowHeaders": ["x-a"], "MaxAge": 9}
    client, api, _ = quick(main_server, ECHO, CorsConfiguration=cors)
    ask = {"Access_Control_Request_Method": "GET"}
    status, headers, _ = call(main_server, api, "/", "OPTIONS", Origin="https://a.example", **ask)
    assert status == 204 and headers["access-control-allow-origin"] == "https://a.example"
    assert headers["access-control-allow-methods"] == "GET" and headers["access-control-max-age"] == "9"
    status, headers, _ = call(main_server, api, "/", "OPTIONS", Origin="https://b.example", **ask)
    assert status == 204 and headers["access-control-allow-origin"] is None
    headers = call(main_server, api, "/", Origin="https://a.example")[1]
    assert headers["access-control-allow-origin"] == "https://a.example"


def test_failures_are_as_aws_words_them(main_server):
    client, api, name = quick(main_server, "exports.handler = async () => { throw new Error('x') }")
    assert call(main_server, api, "/")[::2] == (500, '{"message":"Internal Server Error"}')
    main_server.lambda_.remove_permission(FunctionName=name, StatementId=f"api-{api}")
    assert call(main_server, api, "/")[0] == 500


def test_authorizers_decide(main_server):
    server, client = main_server, main_server.client("apigatewayv2")
    name = server.deploy("exports.handler = async (e) => e.requestContext.authorizer")
    guard = server.deploy("exports.handler = async (e) => ({isAuthorized: e.identitySource[0] === 'yes', context: {k: 1}})")
    api = client.create_api(Name="guarded", ProtocolType="HTTP", Target=ARN + name)["ApiId"]
    allow(server, name, api)
    authorizer = client.create_authorizer(
        ApiId=api, Name="a", AuthorizerType="REQUEST", AuthorizerUri=ARN + guard, EnableSimpleResponses=True,
        AuthorizerPayloadFormatVersion="2.0", IdentitySource=["$request.header.Authorization"],
    )["AuthorizerId"]
    allow(server, guard, api, f"authorizers/{authorizer}")
    route = client.get_routes(ApiId=api)["Items"][0]["RouteId"]
    client.update_route(ApiId=api, RouteId=route, AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    assert call(server, api, "/")[::2] == (401, '{"message":"Unauthorized"}')
    assert call(server, api, "/", Authorization="no")[::2] == (403, '{"message":"Forbidden"}')
    status, _, body = call(server, api, "/", Authorization="yes")
    assert (status, json.loads(body)) == (200, {"lambda": {"k": 1}})
    client.update_route(ApiId=api, RouteId=route, AuthorizationType="AWS_IAM")
    assert call(server, api, "/")[::2] == (403, '{"message":"Forbidden"}')


def test_authorizers_answers_are_kept(main_server):
    server, client = main_server, main_server.client("apigatewayv2")
    name = server.deploy("exports.handler = async (e) => e.requestContext.authorizer.lambda")
    guard = server.deploy("let n = 0; exports.handler = async () => ({isAuthorized: true, context: {n: ++n}})")
    api = client.create_api(Name="kept", ProtocolType="HTTP", Target=ARN + name)["ApiId"]
    allow(server, name, api)
    members = dict(
        Name="a", AuthorizerType="REQUEST", AuthorizerUri=ARN + guard, EnableSimpleResponses=True,
        AuthorizerPayloadFormatVersion="2.0", AuthorizerResultTtlInSeconds=300,
    )
    with pytest.raises(client.exceptions.BadRequestException, match="Identity source must be specified"):
        client.create_authorizer(ApiId=api, IdentitySource=[], **members)
    authorizer = client.create_authorizer(ApiId=api, IdentitySource=["$request.header.Authorization"], **members)
    allow(server, guard, api, f"authorizers/{authorizer['AuthorizerId']}")
    route = client.get_routes(ApiId=api)["Items"][0]["RouteId"]
    client.update_route(ApiId=api, RouteId=route, AuthorizationType="CUSTOM", AuthorizerId=authorizer["AuthorizerId"])
    answers = [call(server, api, "/", Authorization=who)[2] for who in ("a", "a", "b", "a")]
    assert answers == ['{"n":1}', '{"n":1}', '{"n":2}', '{"n":1}']


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


@pytest.fixture
def issuer(tmp_path):
    """An issuer of tokens: its URL, and a function that makes them."""
    key = str(tmp_path / "key.pem")
    openssl("genrsa", "-out", key, "2048")
    modulus = openssl("rsa", "-in", key, "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
    keys = {"keys": [{"kid": "k", "kty": "RSA", "use": "sig", "n": encoded(bytes.fromhex(modulus)), "e": "AQAB"}]}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            is_keys = self.path == "/keys"
            body = json.dumps(keys if is_keys else {"jwks_uri": url + "/keys"}).encode()
            self.send_response(200 if is_keys or self.path == "/.well-known/openid-configuration" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{web.server_port}"
    threading.Thread(target=web.serve_forever, daemon=True).start()

    def token(kid="k", **claims):
        header = {"alg": "RS256", "kid": kid}
        claims = {"iss": url, "aud": "me", "exp": int(time.time()) + 60, **claims}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{encoded(openssl('dgst', '-sha256', '-sign', key, data=signed.encode()))}"

    yield url, token
    web.shutdown()


def test_tokens_are_verified(main_server, issuer):
    server, client = main_server, main_server.client("apigatewayv2")
    url, token = issuer
    api = quick(server, "exports.handler = async (e) => e.requestContext.authorizer")[1]
    authorizer = client.create_authorizer(
        ApiId=api, Name="j", AuthorizerType="JWT", IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Audience": ["me"], "Issuer": url},
    )["AuthorizerId"]
    route = client.get_routes(ApiId=api)["Items"][0]["RouteId"]
    client.update_route(ApiId=api, RouteId=route, AuthorizationType="JWT", AuthorizerId=authorizer)
    status, _, body = call(server, api, "/", Authorization=f"Bearer {token(groups=['a', 'b'], n=1)}")
    said = json.loads(body)["jwt"]
    assert (status, said["scopes"]) == (200, None)
    assert said["claims"]["groups"] == "[a b]" and said["claims"]["n"] == "1" and said["claims"]["iss"] == url
    good = token()
    tampered = good[:-8] + ("A" if good[-8] != "A" else "B") + good[-7:]
    for bad in ["", "x", tampered, token(exp=1), token(aud="you"), token(iss=url + "/"), token(kid="other"), token(nbf=2**40)]:
        status, headers, body = call(server, api, "/", Authorization=f"Bearer {bad}")
        assert (status, body) == (401, '{"message":"Unauthorized"}') and "Bearer" in headers["www-authenticate"]
    client.update_route(ApiId=api, RouteId=route, AuthorizationScopes=["read", "all"])
    assert call(server, api, "/", Authorization=good)[::2] == (403, '{"message":"Forbidden"}')
    body = call(server, api, "/", Authorization=token(scope="write read"))[2]
    assert json.loads(body)["jwt"]["scopes"] == ["read", "all"]


def test_rates_are_limited(main_server):
    client, api, _ = quick(main_server, ECHO)
    client.create_route(ApiId=api, RouteKey="GET /own", Target=client.get_routes(ApiId=api)["Items"][0]["Target"])
    client.update_stage(
        ApiId=api, StageName="$default", DefaultRouteSettings={"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": 0.01},
        RouteSettings={"GET /own": {"ThrottlingBurstLimit": 1}},
    )
    assert [call(main_server, api, "/")[0] for _ in range(3)] == [200, 200, 429]
    assert call(main_server, api, "/own")[0] == 200
    assert call(main_server, api, "/own")[::2] == (429, '{"message":"Too Many Requests"}')


def test_an_openapi_document_is_imported(main_server):
    server, client = main_server, main_server.client("apigatewayv2")
    name = server.deploy(ECHO)
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{ARN}{name}/invocations"
    integration = {"httpMethod": "POST", "type": "aws_proxy", "uri": uri, "payloadFormatVersion": "1.0"}
    document = {
        "openapi": "3.0.1", "info": {"title": "imported", "version": "1.0"},
        "paths": {"/h/{x}": {"x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": integration}}},
        "tags": [{"name": "t", "x-amazon-apigateway-tag-value": "v"}],
    }
    made = client.import_api(Body=json.dumps(document))
    api = made["ApiId"]
    assert made["Name"] == "imported" and made["Tags"] == {"t": "v"}
    assert [route["RouteKey"] for route in client.get_routes(ApiId=api)["Items"]] == ["ANY /h/{x}"]
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    allow(server, name, api, "*/*/h/*")
    # Format 1.0 has no inferred answers: an event is none.
    assert call(server, api, "/h/1")[0] == 500
    assert call(server, api, "/other")[::2] == (404, '{"message":"Not Found"}')


def test_a_stack_makes_an_api(main_server):
    server, client, cloud = main_server, main_server.client("apigatewayv2"), main_server.client("cloudformation")
    name = server.deploy("exports.handler = async (e) => ({statusCode: 200, body: e.routeKey})")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{ARN}{name}/invocations"
    by_body = {
        "openapi": "3.0.1", "info": {"title": "sam", "version": "1"},
        "paths": {"/": {"get": {"x-amazon-apigateway-integration": {
            "httpMethod": "POST", "type": "aws_proxy", "uri": uri, "payloadFormatVersion": "2.0"}}}},
    }
    api = "AWS::ApiGatewayV2::"
    part = {"ApiId": {"Ref": "Api"}}
    stage = {"StageName": "$default", "AutoDeploy": True}
    allowed = {"FunctionName": name, "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}
    template = {"Resources": {
        "Sam": {"Type": f"{api}Api", "Properties": {"Body": by_body}},
        "SamStage": {"Type": f"{api}Stage", "Properties": {"ApiId": {"Ref": "Sam"}, **stage}},
        "Api": {"Type": f"{api}Api", "Properties": {
            "Name": "a", "ProtocolType": "HTTP", "CorsConfiguration": {"AllowOrigins": ["*"]}}},
        "Stage": {"Type": f"{api}Stage", "Properties": {**part, **stage}},
        "Integration": {"Type": f"{api}Integration", "Properties": {
            **part, "IntegrationType": "AWS_PROXY", "IntegrationUri": ARN + name, "PayloadFormatVersion": "2.0"}},
        "Route": {"Type": f"{api}Route", "Properties": {
            **part, "RouteKey": "GET /a", "Target": {"Fn::Sub": "integrations/${Integration}"}}},
        "Permission": {"Type": "AWS::Lambda::Permission", "Properties": allowed},
    }, "Outputs": {
        "Id": {"Value": {"Ref": "Api"}}, "Sam": {"Value": {"Ref": "Sam"}},
        "Endpoint": {"Value": {"Fn::GetAtt": "Api.ApiEndpoint"}},
    }}
    stack = f"s-{name}"
    cloud.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    wait = {"Delay": 1, "MaxAttempts": 60}
    cloud.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=wait)
    outputs = cloud.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    assert outputs["Endpoint"].startswith(f"http://{outputs['Id']}.execute-api.us-east-1.localhost:")
    status, headers, body = call(server, outputs["Id"], "/a", Origin="https://x.example")
    assert (status, body, headers["access-control-allow-origin"]) == (200, "GET /a", "*")
    assert call(server, outputs["Sam"], "/")[::2] == (200, "GET /")
    cloud.delete_stack(StackName=stack)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=wait)
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_api(ApiId=outputs["Id"])
