"""osls 4, the Serverless Framework's open line, with nothing but AWS_ENDPOINT_URL."""

import re

from tools.conftest import NODE_HANDLER, Tool, get, installed

SERVICE = """
service: hello-world-api-3
provider:
  name: aws
  runtime: nodejs22.x
functions:
  hello:
    handler: handler.hello
    events:
      - http: GET /hello
      - httpApi: GET /hello
"""


def test_deploy_update_invoke_logs_info_and_remove(own_server, tmp_path):
    osls = Tool(own_server, installed("node/node_modules/.bin/osls"), tmp_path, SLS_TELEMETRY_DISABLED="1")
    (tmp_path / "serverless.yml").write_text(SERVICE)
    (tmp_path / "handler.js").write_text(NODE_HANDLER)

    deployed = osls.run("deploy")
    # Of a REST API whose address is not https it prints the base.
    base = re.search(r"(http://\S+/dev)\s", deployed).group(1)
    urls = [f"{base}/hello", re.search(r"GET - (http://\S+)", deployed).group(1)]
    for url in urls:
        assert get(own_server, url)["answer"] == "ANSWER"

    (tmp_path / "handler.js").write_text(NODE_HANDLER.replace("ANSWER", "CHANGED"))
    osls.run("deploy")
    assert get(own_server, urls[0])["answer"] == "CHANGED"

    (tmp_path / "handler.js").write_text(NODE_HANDLER.replace("ANSWER", "ALONE"))
    osls.run("deploy", "function", "-f", "hello")
    assert get(own_server, urls[0])["answer"] == "ALONE"

    assert "ALONE" in osls.run("invoke", "-f", "hello", "-d", "{}")
    assert "a line of the function" in osls.run("logs", "-f", "hello")
    assert base in osls.run("info")
    assert "hello" in osls.run("deploy", "list", "functions")

    osls.run("remove")
    assert "does not exist" in osls.run("info", check=False)
    assert own_server.lambda_.list_functions()["Functions"] == []
