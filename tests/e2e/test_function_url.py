"""Function URLs: their configuration through boto3, and what an HTTP client gets at them."""

import base64
import http.client
import json
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

ECHO = "exports.handler = async e => e"
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


def fetch(url, path="/", method="GET", body=None, headers=()):
    """(status, headers, body), whether or not the machine resolves names below localhost."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    body = body.encode() if isinstance(body, str) else body
    for name, value in [("Host", parts.netloc), *headers]:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def open_url(server, name, qualifier=None, **members):
    """A URL that anybody may call."""
    target = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}
    made = server.lambda_.create_function_url_config(AuthType="NONE", **target, **members)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    server.lambda_.add_permission(
        StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE", **target
    )
    return made["FunctionUrl"]


def test_a_request_becomes_an_event(main_server):
    url = open_url(main_server, main_server.deploy(ECHO))
    url_id = urllib.parse.urlsplit(url).hostname.split(".")[0]
    assert url == f"http://{url_id}.lambda-url.us-east-1.localhost:{main_server.port}/"
    headers = [("User-Agent", "tests"), ("Cookie", "a=1; b=2"), ("X-Two", "1"), ("X-Two", "2")]
    status, answer, body = fetch(url, "/a%20b/c?q=1&q=%2Fbar&r", headers=headers)
    event = json.loads(body)
    assert (status, answer["content-type"]) == (200, "application/json")
    assert (event["rawPath"], event["rawQueryString"]) == ("/a%20b/c", "q=1&q=%2Fbar&r")
    assert event["queryStringParameters"] == {"q": "1,/bar", "r": ""}
    assert event["cookies"] == ["a=1", "b=2"] and event["headers"]["x-two"] == "1,2"
    assert event["headers"]["x-forwarded-port"] == str(main_server.port)
    assert (event["version"], event["routeKey"], event["isBase64Encoded"]) == ("2.0", "$default", False)
    context = event["requestContext"]
    assert context["http"] == {
        "method": "GET",
        "path": "/a%20b/c",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "tests",
    }
    assert (context["accountId"], context["apiId"], context["stage"]) == ("anonymous", url_id, "$default")
    assert context["domainName"] == f"{url_id}.lambda-url.us-east-1.localhost" and "authorizer" not in context
    assert "body" not in event


def test_text_comes_as_it_is_and_the_rest_in_base64(main_server):
    url = open_url(main_server, main_server.deploy(ECHO))
    sent = json.dumps({"ü": 1}, ensure_ascii=False)
    event = json.loads(fetch(url, method="POST", body=sent, headers=[("Content-Type", "application/json")])[2])
    assert (event["body"], event["isBase64Encoded"]) == (sent, False)
    event = json.loads(fetch(url, method="POST", body=b"\xff\0", headers=[("Content-Type", "image/png")])[2])
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (b"\xff\0", True)


def test_what_is_returned_becomes_the_answer(main_server):
    code = "exports.handler = async e => { const r = JSON.parse(e.body); if (r === 'throw') throw 1; return r }"
    url = open_url(main_server, main_server.deploy(code))

    def answer(result):
        kind = [("Content-Type", "application/json")]
        return fetch(url, method="POST", body=json.dumps(result), headers=kind)

    result = {"statusCode": 418, "headers": {"X-A": "1"}, "cookies": ["a=1", "b=2; Secure"], "body": "tea"}
    status, headers, body = answer(result)
    assert (status, headers["x-a"], headers.get_all("set-cookie"), body) == (418, "1", ["a=1", "b=2; Secure"], b"tea")
    assert answer({"statusCode": 200, "body": "/w==", "isBase64Encoded": True})[2] == b"\xff"
    assert answer({"hello": "world"})[2] == b'{"hello":"world"}'
    assert answer("hello")[2] == b"hello"
    assert answer("throw")[0::2] == (502, b"Internal Server Error")
    assert answer({"statusCode": "x"})[0::2] == (502, b"Internal Server Error")


def test_only_who_is_allowed_comes_in(main_server):
    lam, name = main_server.lambda_, main_server.deploy(ECHO)
    url = lam.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    status, headers, body = fetch(url)
    assert (status, json.loads(body)) == (403, {"Message": FORBIDDEN})
    lam.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert fetch(url)[0] == 403
    request = botocore.awsrequest.AWSRequest("GET", url + "x")
    credentials = botocore.credentials.Credentials("test", "test")
    botocore.auth.SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    signed = [(name, request.headers[name]) for name in ["Authorization", "X-Amz-Date"]]
    status, _, body = fetch(url, "/x", headers=signed)
    assert status == 200, body
    iam = json.loads(body)["requestContext"]["authorizer"]["iam"]
    assert (iam["accessKey"], iam["userArn"]) == ("test", "arn:aws:iam::000000000000:root")
    assert fetch(url, "/y", headers=signed)[0] == 403
    other = url.replace(urllib.parse.urlsplit(url).hostname.split(".")[0], "nobodys")
    status, headers, body = fetch(other)
    assert (status, body, headers["x-amzn-errortype"]) == (403, b'{"Message":null}', "AccessDeniedException")


def test_an_alias_has_a_url_of_its_own(main_server):
    lam = main_server.lambda_
    name = main_server.deploy("exports.handler = async (e, c) => [c.functionVersion, c.invokedFunctionArn]", Publish=True)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    url = open_url(main_server, name, "live")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}:live"
    assert json.loads(fetch(url)[2]) == ["1", arn]
    assert lam.get_function_url_config(FunctionName=arn)["FunctionArn"] == arn
    lam.delete_alias(FunctionName=name, Name="live")
    assert fetch(url)[0] == 403


def test_cors_is_answered_for_the_function(main_server):
    code = "exports.handler = async () => ({ statusCode: 200, headers: { 'access-control-allow-origin': 'x' } })"
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET", "POST"], "AllowHeaders": ["x-a"]}
    cors |= {"AllowCredentials": True, "ExposeHeaders": ["x-b"], "MaxAge": 60}
    url = open_url(main_server, main_server.deploy(code), Cors=cors)
    asks = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")]
    status, headers, body = fetch(url, method="OPTIONS", headers=asks)
    assert (status, body) == (200, b"")
    got = {name: headers[f"access-control-{name}"] for name in ["allow-origin", "allow-methods", "allow-headers"]}
    assert got == {"allow-origin": "https://a.example", "allow-methods": "GET,POST", "allow-headers": "x-a"}
    assert (headers["access-control-max-age"], headers["access-control-allow-credentials"]) == ("60", "true")
    _, headers, _ = fetch(url, headers=asks[:1])
    assert headers.get_all("access-control-allow-origin") == ["https://a.example"]
    assert headers["access-control-expose-headers"] == "x-b"
    _, headers, _ = fetch(url, method="OPTIONS", headers=[("Origin", "https://b.example"), asks[1]])
    assert "access-control-allow-origin" not in headers


def test_configurations_are_made_read_changed_and_deleted(main_server):
    lam, name = main_server.lambda_, main_server.deploy(ECHO)
    made = lam.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert "InvokeMode" not in made and "Cors" not in made
    with pytest.raises(lam.exceptions.ResourceConflictException, match="FunctionUrlConfig exists for this Lambda"):
        lam.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    found = lam.get_function_url_config(FunctionName=name)
    assert (found["FunctionUrl"], found["AuthType"]) == (made["FunctionUrl"], "AWS_IAM")
    changed = lam.update_function_url_config(FunctionName=name, Cors={"AllowOrigins": ["*"]}, InvokeMode="BUFFERED")
    assert (changed["Cors"], changed["InvokeMode"]) == ({"AllowOrigins": ["*"]}, "BUFFERED")
    assert [u["FunctionUrl"] for u in lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]] == [
        made["FunctionUrl"]
    ]
    with pytest.raises(botocore.exceptions.ClientError, match="failed to satisfy constraint"):
        lam.update_function_url_config(FunctionName=name, InvokeMode="STREAM")
    with pytest.raises(lam.exceptions.ResourceNotFoundException, match="Function does not exist"):
        lam.create_function_url_config(FunctionName=name, Qualifier="gone", AuthType="NONE")
    assert lam.delete_function_url_config(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(lam.exceptions.ResourceNotFoundException, match="The resource you requested does not exist."):
        lam.get_function_url_config(FunctionName=name)
    assert fetch(made["FunctionUrl"])[0::2] == (403, b'{"Message":null}')
