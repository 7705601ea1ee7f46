"""Zappa: a Flask application, with nothing but AWS_ENDPOINT_URL."""

import json
import subprocess

from tools.conftest import TOOLS, Tool, get, installed

APPLICATION = """
from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/hello")
def hello():
    print("a line of the function")
    return jsonify(answer="ANSWER")
"""


def test_deploy_update_tail_status_and_undeploy(own_server, tmp_path):
    program = installed("zappa/bin/zappa")
    version = subprocess.run(
        [program.parent / "python", "-c", "import sys; print(f'python{sys.version_info[0]}.{sys.version_info[1]}')"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()
    zappa = Tool(own_server, program, tmp_path, VIRTUAL_ENV=str(TOOLS / "zappa"))
    (tmp_path / "app.py").write_text(APPLICATION)
    settings = {
        "app_function": "app.app", "project_name": "hello", "runtime": version, "s3_bucket": "zappa-hello",
        "aws_region": "us-east-1", "touch": False, "keep_warm": False, "timeout_seconds": 25,
    }
    (tmp_path / "zappa_settings.json").write_text(json.dumps({"dev": settings}))

    deployed = zappa.run("deploy", "dev")
    rest_api = own_server.client("apigateway").get_rest_apis()["items"][0]["id"]
    url = f"http://{rest_api}.execute-api.us-east-1.localhost/dev/hello"
    assert rest_api in deployed
    assert get(own_server, url)["answer"] == "ANSWER"

    (tmp_path / "app.py").write_text(APPLICATION.replace("ANSWER", "CHANGED"))
    zappa.run("update", "dev")
    assert get(own_server, url)["answer"] == "CHANGED"
    assert "Lambda Versions" in zappa.run("status", "dev")
    assert "a line of the function" in zappa.run("tail", "dev", "--disable-keep-open")

    zappa.run("undeploy", "dev", "--yes")
    assert own_server.lambda_.list_functions()["Functions"] == []
