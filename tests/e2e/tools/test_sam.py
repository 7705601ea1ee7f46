"""The AWS SAM CLI, with nothing but AWS_ENDPOINT_URL."""

from tools.conftest import NODE_HANDLER, Tool, get, installed

TEMPLATE = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: nodejs22.x, Timeout: 10}}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: index.hello
      AutoPublishAlias: live
      FunctionUrlConfig: {AuthType: NONE}
      Events:
        Rest: {Type: Api, Properties: {Path: /hello, Method: get}}
        Http: {Type: HttpApi, Properties: {Path: /hello, Method: get}}
Outputs:
  Rest: {Value: !Sub 'https://${ServerlessRestApi}.execute-api.${AWS::Region}.amazonaws.com/Prod/hello'}
  Http: {Value: !Sub 'https://${ServerlessHttpApi}.execute-api.${AWS::Region}.amazonaws.com/hello'}
  Url: {Value: !GetAtt HelloUrl.FunctionUrl}
"""


def test_deploy_sync_invoke_logs_and_delete(own_server, tmp_path):
    sam = Tool(own_server, installed("sam/bin/sam"), tmp_path, SAM_CLI_TELEMETRY="0", SAM_CLI_POLL_DELAY="1")
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/index.js").write_text(NODE_HANDLER)
    deploy = ["deploy", "--stack-name", "app", "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
              "--no-confirm-changeset", "--no-progressbar"]

    sam.run(*deploy)
    stacks = own_server.client("cloudformation")
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stacks.describe_stacks(StackName="app")["Stacks"][0]["Outputs"]}
    for url in outputs.values():
        assert get(own_server, url)["answer"] == "ANSWER"

    (tmp_path / "src/index.js").write_text(NODE_HANDLER.replace("ANSWER", "CHANGED"))
    sam.run(*deploy)
    assert get(own_server, outputs["Http"])["answer"] == "CHANGED"
    assert "up to date" in sam.run(*deploy, "--no-fail-on-empty-changeset")

    assert "CHANGED" in sam.run("remote", "invoke", "Hello", "--stack-name", "app")
    assert "a line of the function" in sam.run("logs", "-n", "Hello", "--stack-name", "app")
    assert "Hello" in sam.run("list", "resources", "--stack-name", "app", "--output", "json")
    assert "execute-api" in sam.run("list", "stack-outputs", "--stack-name", "app", "--output", "json")

    (tmp_path / "src/index.js").write_text(NODE_HANDLER.replace("ANSWER", "SYNCED"))
    sam.run("sync", "--code", "--stack-name", "app", "--no-dependency-layer", typed="Y\n")
    assert get(own_server, outputs["Http"])["answer"] == "SYNCED"

    sam.run("delete", "--stack-name", "app", "--no-prompts")
    assert own_server.lambda_.list_functions()["Functions"] == []
