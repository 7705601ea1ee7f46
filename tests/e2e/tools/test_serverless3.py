"""Serverless Framework 3 with the plugin serverless-localstack."""

import json
import re

from tools.conftest import NODE_HANDLER, TOOLS, Tool, get, installed

SERVICE = """
service: hello-three
frameworkVersion: '3'
provider:
  name: aws
  runtime: nodejs20.x
plugins: [serverless-localstack]
custom:
  localstack: {{stages: [dev], host: 'http://127.0.0.1', edgePort: {port}}}
functions:
  hello:
    handler: handler.hello
    events:
      - http: GET hello
"""


def test_deploy_update_invoke_and_remove(own_server, tmp_path):
    serverless = Tool(
        own_server, installed("serverless3/node_modules/.bin/serverless"), tmp_path, SLS_TELEMETRY_DISABLED="1",
        SLS_NOTIFICATIONS_MODE="off",
    )
    # The Framework looks for plugins beside the service.
    (tmp_path / "node_modules").symlink_to(TOOLS / "serverless3/node_modules")
    (tmp_path / "package.json").write_text(json.dumps({"devDependencies": {"serverless-localstack": "1.4.0"}}))
    service = SERVICE.format(port=own_server.port) + "package: {patterns: ['!node_modules/**']}\n"
    (tmp_path / "serverless.yml").write_text(service)
    (tmp_path / "handler.js").write_text(NODE_HANDLER)

    deployed = serverless.run("deploy", "--verbose")
    url = re.search(r"(http://\S+/dev)\s", deployed).group(1) + "/hello"
    assert get(own_server, url)["answer"] == "ANSWER"
    (tmp_path / "handler.js").write_text(NODE_HANDLER.replace("ANSWER", "CHANGED"))
    serverless.run("deploy")
    assert get(own_server, url)["answer"] == "CHANGED"
    assert "CHANGED" in serverless.run("invoke", "-f", "hello")
    serverless.run("remove")
    assert own_server.lambda_.list_functions()["Functions"] == []
