"""HTTP APIs in front of other servers: HTTP_PROXY integrations, parameter mapping, custom domains, VPC links."""

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError

from test_http_api import ARN, allow, call


class Echo(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        if self.path.startswith("/slow"):
            time.sleep(2)
        status = int(self.headers.get("x-status", 200))
        said = {"verb": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body}
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("x-backend", "echo")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def api_of(server, routes, **stage):
    """An HTTP API of `routes`: key to integration."""
    client = server.client("apigatewayv2")
    api = client.create_api(Name="backends", ProtocolType="HTTP")["ApiId"]
    for key, integration in routes.items():
        made = client.create_integration(ApiId=api, **integration)["IntegrationId"]
        client.create_route(ApiId=api, RouteKey=key, Target=f"integrations/{made}")
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True, **stage)
    return client, api


def proxy(uri, verb="ANY", **members):
    return {"IntegrationType": "HTTP_PROXY", "IntegrationUri": uri, "IntegrationMethod": verb,
            "PayloadFormatVersion": "1.0", **members}


def refused(operation, **arguments):
    with pytest.raises(ClientError) as error:
        operation(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_requests_go_to_another_server(main_server, backend):
    _, api = api_of(main_server, {
        "ANY /all/{proxy+}": proxy(backend + "/base/{proxy}"),
        "GET /pets/{id}": proxy(backend + "/pets/{id}?own=1", "POST"),
        "GET /slow": proxy(backend + "/slow", "GET", TimeoutInMillis=200),
        "GET /nobody": proxy("http://127.0.0.1:9/", "GET"),
        "GET /variable": proxy("http://${stageVariables.host}/v", "GET"),
        "$default": proxy(backend + "/rest"),
    }, StageVariables={"host": backend.removeprefix("http://")})
    status, headers, body = call(main_server, api, "/all/a%20b/c?x=1&x=2", "PUT", b"hello", Content_Type="text/plain",
                                 X_Mine="m")
    said = json.loads(body)
    assert (status, headers["x-backend"]) == (200, "echo") and headers["apigw-requestid"].endswith("=")
    assert (said["verb"], said["path"], said["body"]) == ("PUT", "/base/a%20b/c?x=1&x=2", "hello")
    assert said["headers"]["x-mine"] == "m" and said["headers"]["host"] == backend.removeprefix("http://")
    assert said["headers"]["via"] == "HTTP/1.1 AmazonAPIGateway" and "x-forwarded-for" not in said["headers"]
    assert f"host={api}.execute-api.us-east-1.localhost;proto=http" in said["headers"]["forwarded"]
    said = json.loads(call(main_server, api, "/pets/7?q=2")[2])
    assert (said["verb"], said["path"]) == ("POST", "/pets/7?own=1&q=2")
    assert json.loads(call(main_server, api, "/variable")[2])["path"] == "/v"
    assert json.loads(call(main_server, api, "/other/x")[2])["path"] == "/rest/other/x"
    # What the backend refuses is passed on as it is.
    assert call(main_server, api, "/all/x", X_Status="418")[0] == 418
    for path in ("/slow", "/nobody"):
        assert call(main_server, api, path)[::2] == (503, '{"message":"Service Unavailable"}')


def test_a_target_that_is_a_url_makes_an_api(main_server, backend):
    client = main_server.client("apigatewayv2")
    api = client.create_api(Name="quick", ProtocolType="HTTP", Target=backend)["ApiId"]
    assert json.loads(call(main_server, api, "/a/b", "DELETE")[2])["path"] == "/a/b"
    integration = client.get_integrations(ApiId=api)["Items"][0]
    assert (integration["IntegrationType"], integration["IntegrationMethod"]) == ("HTTP_PROXY", "ANY")


def test_parameters_are_mapped(main_server, backend):
    client, api = api_of(main_server, {"ANY /m/{id}": proxy(
        backend + "/old", "ANY",
        RequestParameters={
            "append:header.x-id": "$request.path.id",
            "overwrite:header.x-joined": "${request.querystring.a}-${context.routeKey}-${stageVariables.v}",
            "remove:header.x-gone": "''",
            "append:querystring.added": "$request.body.deep.name",
            "remove:querystring.b": "''",
            "overwrite:path": "/new/${request.path.id}",
            "append:header.x-many": "second",
            "append:header.x-absent": "$request.header.nobody-sent",
        },
        ResponseParameters={
            "200": {"append:header.x-from": "$response.header.x-backend", "overwrite:statuscode": "203",
                    "remove:header.x-backend": "''", "append:header.x-verb": "${response.body.verb}!"},
            "404": {"overwrite:header.x-why": "$context.stage"},
        },
    )}, StageVariables={"v": "9"})
    status, headers, body = call(main_server, api, "/m/7?a=1&a=2&b=3", "POST", b'{"deep":{"name":"n m"}}', X_Gone="g",
                                 X_Many="first")
    said = json.loads(body)
    assert (status, headers["x-from"], headers["x-verb"], headers["x-backend"]) == (203, "echo", "POST!", None)
    assert said["path"] == "/new/7?a=1&a=2&added=n%20m"
    got = said["headers"]
    assert got["x-id"] == "7" and got["x-joined"] == "1,2-ANY /m/{id}-9" and got["x-many"] == "first,second"
    assert "x-gone" not in got and "x-absent" not in got
    status, headers, _ = call(main_server, api, "/m/7", X_Status="404")
    assert (status, headers["x-why"], headers["x-backend"]) == (404, "$default", "echo")
    # Mappings are merged; an empty value takes one away.
    integration = client.get_integrations(ApiId=api)["Items"][0]["IntegrationId"]
    changed = client.update_integration(
        ApiId=api, IntegrationId=integration, RequestParameters={"append:header.x-id": ""}, ResponseParameters={"200": {}})
    assert "append:header.x-id" not in changed["RequestParameters"] and list(changed["ResponseParameters"]) == ["404"]
    assert "x-id" not in json.loads(call(main_server, api, "/m/7")[2])["headers"]


def test_a_functions_event_is_mapped_too(main_server):
    name = main_server.deploy("exports.handler = async (e) => ({statusCode: 200, body: JSON.stringify("
                              "[e.headers['x-new'], e.rawQueryString, e.rawPath])})")
    _, api = api_of(main_server, {"GET /f": {
        "IntegrationType": "AWS_PROXY", "IntegrationUri": ARN + name, "PayloadFormatVersion": "2.0",
        "RequestParameters": {"overwrite:header.X-New": "1", "overwrite:querystring.q": "2", "overwrite:path": "/p"},
        "ResponseParameters": {"200": {"overwrite:statuscode": "202"}},
    }})
    allow(main_server, name, api)
    status, _, body = call(main_server, api, "/f?q=1")
    assert (status, json.loads(body)) == (202, ["1", "q=2", "/p"])


def test_integrations_are_checked(main_server):
    client = main_server.client("apigatewayv2")
    api = client.create_api(Name="checks", ProtocolType="HTTP")["ApiId"]
    start = "Invalid mapping expression specified: Validation Result: warnings : [], errors : ["
    for members, message in [
        ({"RequestParameters": {"append:path": "x"}},
         start + "Invalid Request Actioned Parameter destination specified: append:path]"),
        ({"RequestParameters": {"overwrite:header.authorization": "x"}},
         start + "Operations on header authorization are restricted]"),
        ({"RequestParameters": {"append:header.a": "$request.nothing.b"}},
         start + "Invalid mapping expression specified: $request.nothing.b]"),
        ({"ResponseParameters": {"200": {"append:querystring.a": "b"}}},
         start + "Invalid Response Actioned Parameter destination specified: append:querystring.a]"),
        ({"IntegrationUri": "ftp://x"}, "Invalid HTTP endpoint specified for URI"),
    ]:
        code, said = refused(client.create_integration, ApiId=api, **{**proxy("http://x.example/"), **members})
        assert (code, said) == ("BadRequestException", message)
    assert client.get_integrations(ApiId=api)["Items"] == []


def by_domain(server, domain, path):
    request = urllib.request.Request(server.url + path, headers={"Host": f"{domain}:{server.port}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_custom_domains_lead_to_apis(main_server):
    server, client = main_server, main_server.client("apigatewayv2")
    name = server.deploy("exports.handler = async (e) => ({statusCode: 200, body: JSON.stringify("
                         "[e.version, e.rawPath || e.path, e.requestContext.domainName])})")
    routes = {
        "ANY /{proxy+}": {"IntegrationType": "AWS_PROXY", "IntegrationUri": ARN + name, "PayloadFormatVersion": "2.0"},
        "GET /one/{proxy+}": {
            "IntegrationType": "AWS_PROXY", "IntegrationUri": ARN + name, "PayloadFormatVersion": "1.0"},
    }
    _, api = api_of(server, routes)
    allow(server, name, api)
    client.update_api(ApiId=api, DisableExecuteApiEndpoint=True)
    domain = f"d-{uuid.uuid4().hex[:8]}.example.com"
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/c"
    made = client.create_domain_name(
        DomainName=domain, DomainNameConfigurations=[{"CertificateArn": certificate, "EndpointType": "REGIONAL"}],
        Tags={"a": "b"})
    configuration = made["DomainNameConfigurations"][0]
    assert made["ApiMappingSelectionExpression"] == "$request.basepath" and made["Tags"] == {"a": "b"}
    assert (configuration["DomainNameStatus"], configuration["EndpointType"]) == ("AVAILABLE", "REGIONAL")
    assert configuration["CertificateArn"] == certificate and configuration["SecurityPolicy"] == "TLS_1_2"
    # The first version shows the same domain.
    assert server.client("apigateway").get_domain_name(domainName=domain)["regionalCertificateArn"] == certificate
    mapping = client.create_api_mapping(DomainName=domain, ApiId=api, Stage="$default", ApiMappingKey="shop/v1")
    assert mapping["ApiMappingKey"] == "shop/v1"
    assert by_domain(server, domain, "/shop/v1/pets/1") == (200, json.dumps(["2.0", "/pets/1", domain], separators=(",", ":")))
    assert json.loads(by_domain(server, domain, "/shop/v1/one/1")[1])[1] == "/shop/v1/one/1"
    assert by_domain(server, domain, "/shop/v2/pets/1")[0] == 403
    assert call(server, api, "/pets/1")[0] == 404
    assert refused(client.create_api_mapping, DomainName=domain, ApiId=api, Stage="$default", ApiMappingKey="shop/v1") == (
        "ConflictException", "ApiMapping key already exists for this domain name")
    assert refused(client.create_api_mapping, DomainName=domain, ApiId=api, Stage="nope")[1] == (
        "Invalid stage identifier specified")
    assert refused(client.create_api_mapping, DomainName=domain, ApiId="nope", Stage="x")[0] == "NotFoundException"
    client.update_api_mapping(DomainName=domain, ApiId=api, ApiMappingId=mapping["ApiMappingId"], ApiMappingKey="")
    assert json.loads(by_domain(server, domain, "/pets/1")[1])[1] == "/pets/1"
    assert [item["ApiMappingKey"] for item in client.get_api_mappings(DomainName=domain)["Items"]] == [""]
    arn = made["DomainNameArn"]
    client.tag_resource(ResourceArn=arn, Tags={"c": "d"})
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert client.get_tags(ResourceArn=arn)["Tags"] == {"c": "d"}
    client.delete_api_mapping(DomainName=domain, ApiMappingId=mapping["ApiMappingId"])
    client.delete_domain_name(DomainName=domain)
    assert refused(client.get_domain_name, DomainName=domain) == (
        "NotFoundException", "Invalid domain name identifier specified")


def test_vpc_links_are_kept_and_lead_nowhere(main_server):
    client = main_server.client("apigatewayv2")
    link = client.create_vpc_link(Name="l", SubnetIds=["subnet-1"], SecurityGroupIds=["sg-1"], Tags={"a": "b"})
    assert (link["VpcLinkStatus"], link["VpcLinkVersion"], link["SubnetIds"]) == ("AVAILABLE", "V2", ["subnet-1"])
    link = link["VpcLinkId"]
    listener = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/l/1/2"
    _, api = api_of(main_server, {"$default": proxy(listener, ConnectionType="VPC_LINK", ConnectionId=link)})
    assert call(main_server, api, "/")[::2] == (503, '{"message":"Service Unavailable"}')
    assert refused(client.delete_vpc_link, VpcLinkId=link)[0] == "ConflictException"
    assert client.update_vpc_link(VpcLinkId=link, Name="m")["Name"] == "m"
    client.delete_api(ApiId=api)
    client.delete_vpc_link(VpcLinkId=link)
    assert refused(client.get_vpc_link, VpcLinkId=link)[0] == "NotFoundException"


def test_a_stack_maps_a_domain(main_server, backend):
    server, cloud = main_server, main_server.client("cloudformation")
    domain = f"s-{uuid.uuid4().hex[:8]}.example.com"
    kind = "AWS::ApiGatewayV2::"

    def template(parameters, key):
        return json.dumps({"Resources": {
            "Api": {"Type": f"{kind}Api", "Properties": {"Name": "a", "ProtocolType": "HTTP"}},
            "Stage": {"Type": f"{kind}Stage", "Properties": {
                "ApiId": {"Ref": "Api"}, "StageName": "$default", "AutoDeploy": True}},
            "Integration": {"Type": f"{kind}Integration", "Properties": {
                "ApiId": {"Ref": "Api"}, "IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY",
                "IntegrationUri": backend + "/x", "PayloadFormatVersion": "1.0", "RequestParameters": parameters,
                "ResponseParameters": {"200": {"ResponseParameters": [
                    {"Destination": "overwrite:statuscode", "Source": "201"}]}}}},
            "Route": {"Type": f"{kind}Route", "Properties": {
                "ApiId": {"Ref": "Api"}, "RouteKey": "GET /a", "Target": {"Fn::Sub": "integrations/${Integration}"}}},
            "Domain": {"Type": f"{kind}DomainName", "Properties": {
                "DomainName": domain, "DomainNameConfigurations": [{
                    "CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/c", "EndpointType": "REGIONAL"}]}},
            "Mapping": {"Type": f"{kind}ApiMapping", "DependsOn": "Stage", "Properties": {
                "ApiId": {"Ref": "Api"}, "DomainName": {"Ref": "Domain"}, "Stage": "$default", "ApiMappingKey": key}},
            "Link": {"Type": f"{kind}VpcLink", "Properties": {"Name": "l", "SubnetIds": ["subnet-1"]}},
        }, "Outputs": {"Target": {"Value": {"Fn::GetAtt": "Domain.RegionalDomainName"}}}})

    stack, wait = f"s-{uuid.uuid4().hex[:8]}", {"Delay": 1, "MaxAttempts": 60}
    cloud.create_stack(StackName=stack, TemplateBody=template({"append:header.x-a": "1", "append:header.x-b": "2"}, "k"))
    cloud.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=wait)
    status, body = by_domain(server, domain, "/k/a")
    assert status == 201 and json.loads(body)["headers"]["x-a"] == "1"
    target = cloud.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"][0]["OutputValue"]
    assert target.startswith("d-") and target.endswith(".execute-api.us-east-1.amazonaws.com")
    cloud.update_stack(StackName=stack, TemplateBody=template({"append:header.x-b": "2"}, "new/key"))
    cloud.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=wait)
    headers = json.loads(by_domain(server, domain, "/new/key/a")[1])["headers"]
    assert "x-a" not in headers and headers["x-b"] == "2"
    cloud.delete_stack(StackName=stack)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=wait)
    assert by_domain(server, domain, "/new/key/a")[0] != 200
