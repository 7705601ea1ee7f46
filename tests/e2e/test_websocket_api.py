"""WebSocket APIs: clients that connect, messages that take routes, functions that answer and push."""

import concurrent.futures
import json
import time
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
URI = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{}/invocations"
# Answers what it got; `$connect` lets in whoever does not say no.
ECHO = """exports.handler = async (e) => {
  const {routeKey} = e.requestContext;
  if (routeKey === '$connect') return {statusCode: (e.queryStringParameters || {}).no ? 403 : 200, body: 'no'};
  if (routeKey === 'fail') throw new Error('x');
  return {statusCode: 200, body: JSON.stringify(e)};
}"""


def make(server, code, keys, responds=(), **connect_route):
    """A function and a WebSocket API whose routes `keys` lead to it: (client, API, function)."""
    name = server.deploy(code)
    client = server.client("apigatewayv2")
    api = client.create_api(Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    assert api["ApiEndpoint"] == f"ws://{api['ApiId']}.execute-api.us-east-1.localhost:{server.port}"
    api = api["ApiId"]
    server.lambda_.add_permission(
        FunctionName=name, StatementId=f"api-{api}", Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com", SourceArn=f"arn:aws:execute-api:us-east-1:000000000000:{api}/*",
    )
    integration = client.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=URI.format(ARN + name))
    for key in keys:
        more = {"RouteResponseSelectionExpression": "$default"} if key in responds else {}
        more |= connect_route if key == "$connect" else {}
        route = client.create_route(ApiId=api, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}", **more)
        if key in responds:
            client.create_route_response(ApiId=api, RouteId=route["RouteId"], RouteResponseKey="$default")
    client.create_stage(ApiId=api, StageName="dev")
    client.create_deployment(ApiId=api, StageName="dev")
    return client, api, name


def dial(server, api, query="", **options):
    return connect(f"ws://localhost:{server.port}/_aws/execute-api/{api}/dev{query}", **options)


def management(server, api):
    return boto3.client(
        "apigatewaymanagementapi", endpoint_url=f"http://localhost:{server.port}/_aws/execute-api/{api}/dev",
        region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test",
        config=botocore.config.Config(retries={"max_attempts": 1}),
    )


def ask(socket, message):
    socket.send(message if isinstance(message, str) else json.dumps(message))
    return json.loads(socket.recv(timeout=30))


def test_messages_take_their_routes(main_server):
    routes = ["$connect", "$default", "join", "fail", "quiet"]
    _, api, _ = make(main_server, ECHO, routes, responds=["$default", "join", "fail"])
    with dial(main_server, api) as socket:
        event = ask(socket, {"action": "join", "x": 1})
        context = event["requestContext"]
        assert event["body"] == '{"action": "join", "x": 1}' and event["isBase64Encoded"] is False
        assert (context["routeKey"], context["eventType"], context["messageDirection"]) == ("join", "MESSAGE", "IN")
        assert (context["stage"], context["apiId"]) == ("dev", api)
        assert context["domainName"] == f"{api}.execute-api.us-east-1.localhost"
        assert context["identity"]["sourceIp"] == "127.0.0.1" and context["messageId"] and "headers" not in event
        assert abs(context["connectedAt"] / 1000 - time.time()) < 60
        for other in ["no JSON", {"action": "none"}, {"action": "$connect"}]:
            assert ask(socket, other)["requestContext"]["routeKey"] == "$default"
        failed = ask(socket, {"action": "fail"})
        assert failed["message"] == "Internal server error" and failed["connectionId"] == context["connectionId"]
        # A route without a response answers nothing: the next answer is another's.
        socket.send('{"action":"quiet"}')
        assert ask(socket, {"action": "join"})["requestContext"]["routeKey"] == "join"
    with pytest.raises(InvalidStatus) as refused:
        dial(main_server, api, "?no=1")
    assert refused.value.response.status_code == 403


def test_a_message_without_a_route_is_refused(main_server):
    _, api, _ = make(main_server, ECHO, ["join"])
    with dial(main_server, api) as socket:
        assert ask(socket, {"action": "none"})["message"] == "Forbidden"


def test_connections_are_managed(main_server):
    _, api, _ = make(main_server, ECHO, ["$default"], responds=["$default"])
    manage = management(main_server, api)
    with dial(main_server, api, user_agent_header="agent") as socket:
        connection = ask(socket, "x")["requestContext"]["connectionId"]
        manage.post_to_connection(ConnectionId=connection, Data=b"pushed")
        assert socket.recv(timeout=30) == "pushed"
        known = manage.get_connection(ConnectionId=connection)
        assert known["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "agent"}
        assert known["ConnectedAt"] <= known["LastActiveAt"]
        with pytest.raises(manage.exceptions.PayloadTooLargeException):
            manage.post_to_connection(ConnectionId=connection, Data=b"x" * 131_073)
        url = f"http://localhost:{main_server.port}/_aws/execute-api/{api}/dev/@connections/{connection}"
        with pytest.raises(urllib.error.HTTPError) as unsigned:
            urllib.request.urlopen(urllib.request.Request(url, data=b"x"), timeout=30)
        assert unsigned.value.code == 403
        manage.delete_connection(ConnectionId=connection)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
    for gone in [connection, "nobody="]:
        with pytest.raises(manage.exceptions.GoneException):
            manage.post_to_connection(ConnectionId=gone, Data=b"x")
    with pytest.raises(urllib.error.HTTPError) as plain:
        urllib.request.urlopen(f"http://localhost:{main_server.port}/_aws/execute-api/{api}/dev", timeout=30)
    assert plain.value.code == 426


def test_the_end_of_a_connection_is_told(main_server):
    code = """exports.handler = async (e) => {
      if (e.requestContext.eventType === 'DISCONNECT') console.log('ended ' + JSON.stringify(e));
      return {statusCode: 200};
    }"""
    _, api, name = make(main_server, code, ["$connect", "$disconnect"])
    with dial(main_server, api) as socket:
        socket.close(4000, "enough")
    logs, found = main_server.client("logs"), []
    for _ in range(100):
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="ended")["events"]
        except logs.exceptions.ResourceNotFoundException:
            pass
        if found:
            break
        time.sleep(0.1)
    message = found[0]["message"]
    context = json.loads(message[message.index("{"):])["requestContext"]
    assert (context["routeKey"], context["disconnectStatusCode"], context["disconnectReason"]) == ("$disconnect", 4000, "enough")


def test_messages_are_bounded_and_text(main_server):
    _, api, _ = make(main_server, ECHO, ["$default"])
    for message, code in [(b"binary", 1003), ("x" * 40_000, 1009)]:
        with dial(main_server, api) as socket:
            socket.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=30)
            assert closed.value.rcvd.code == code


def test_many_clients_speak_at_once(main_server):
    _, api, _ = make(main_server, ECHO, ["$default"], responds=["$default"])

    def talk(n):
        with dial(main_server, api) as socket:
            return [ask(socket, f"{n}-{k}")["body"] for k in range(3)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(8))) == [[f"{n}-{k}" for k in range(3)] for n in range(8)]


def test_an_authorizer_guards_connections(main_server):
    server = main_server
    guard = server.deploy("""exports.handler = async (e) => ({principalId: 'p', context: {k: 'v'}, policyDocument: {
      Version: '2012-10-17', Statement: [{Action: 'execute-api:Invoke', Effect: e.queryStringParameters.key === 'yes'
        ? 'Allow' : 'Deny', Resource: e.methodArn}]}})""")
    client, api, _ = make(server, ECHO, ["$connect", "$default"], responds=["$default"])
    server.lambda_.add_permission(
        FunctionName=guard, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    authorizer = client.create_authorizer(
        ApiId=api, Name="a", AuthorizerType="REQUEST", AuthorizerUri=URI.format(ARN + guard),
        IdentitySource=["route.request.querystring.key"],
    )["AuthorizerId"]
    routes = {route["RouteKey"]: route["RouteId"] for route in client.get_routes(ApiId=api)["Items"]}
    guarded = {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer}
    client.update_route(ApiId=api, RouteId=routes["$connect"], **guarded)
    with pytest.raises(client.exceptions.BadRequestException, match="restricted to the .connect route"):
        client.update_route(ApiId=api, RouteId=routes["$default"], **guarded)
    client.create_deployment(ApiId=api, StageName="dev")
    for query, status in [("", 401), ("?key=no", 403)]:
        with pytest.raises(InvalidStatus) as refused:
            dial(server, api, query)
        assert refused.value.response.status_code == status
    with dial(server, api, "?key=yes") as socket:
        assert ask(socket, "x")["requestContext"]["authorizer"] == {"k": "v", "principalId": "p"}


def test_a_stack_makes_a_websocket_api(main_server):
    server, cloud = main_server, main_server.client("cloudformation")
    name = server.deploy(ECHO)
    kind, part = "AWS::ApiGatewayV2::", {"ApiId": {"Ref": "Api"}}
    template = {"Resources": {
        "Api": {"Type": f"{kind}Api", "Properties": {
            "Name": "w", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"}},
        "Integration": {"Type": f"{kind}Integration", "Properties": {
            **part, "IntegrationType": "AWS_PROXY", "IntegrationUri": URI.format(ARN + name)}},
        "Route": {"Type": f"{kind}Route", "Properties": {
            **part, "RouteKey": "$default", "RouteResponseSelectionExpression": "$default",
            "Target": {"Fn::Sub": "integrations/${Integration}"}}},
        "Response": {"Type": f"{kind}RouteResponse", "Properties": {
            **part, "RouteId": {"Ref": "Route"}, "RouteResponseKey": "$default"}},
        "Deployment": {"Type": f"{kind}Deployment", "Properties": part, "DependsOn": ["Route", "Response"]},
        "Stage": {"Type": f"{kind}Stage", "Properties": {
            **part, "StageName": "dev", "DeploymentId": {"Ref": "Deployment"}}},
        "Permission": {"Type": "AWS::Lambda::Permission", "Properties": {
            "FunctionName": name, "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}},
    }, "Outputs": {
        "Id": {"Value": {"Ref": "Api"}},
        "Url": {"Value": {"Fn::Sub": "wss://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/dev"}},
    }}
    stack, wait = f"w-{name}", {"Delay": 1, "MaxAttempts": 60}
    cloud.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    cloud.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=wait)
    outputs = cloud.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    assert outputs["Url"] == f"ws://{outputs['Id']}.execute-api.us-east-1.localhost:{server.port}/dev"
    with dial(server, outputs["Id"]) as socket:
        assert ask(socket, "hello")["body"] == "hello"
    cloud.delete_stack(StackName=stack)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=wait)
