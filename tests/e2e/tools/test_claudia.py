"""Claudia.js, which calls Lambda, IAM and API Gateway without CloudFormation.

Its SDK (version 2) reads no endpoint from the environment, so a preload of a few lines tells it.
"""

import json

from tools.conftest import TOOLS, Tool, get, installed

PRELOAD = """
const path = require('path');
const AWS = require(path.join(process.env.CLAUDIA_MODULES, 'aws-sdk'));
AWS.config.update({ endpoint: process.env.AWS_ENDPOINT_URL, s3ForcePathStyle: true });
"""

API = """
const ApiBuilder = require('claudia-api-builder');
const api = new ApiBuilder();
module.exports = api;
api.get('/hello', () => ({ answer: 'ANSWER' }));
"""


def test_create_update_invoke_and_destroy(own_server, tmp_path):
    modules = TOOLS / "node/node_modules"
    claudia = Tool(
        own_server, installed("node/node_modules/.bin/claudia"), tmp_path, CLAUDIA_MODULES=str(modules),
        NODE_OPTIONS=f"--require {tmp_path}/preload.js",
    )
    (tmp_path / "preload.js").write_text(PRELOAD)
    project = tmp_path / "project"
    project.mkdir()
    builder = json.loads((modules / "claudia-api-builder/package.json").read_text())["version"]
    manifest = {"name": "hello", "version": "1.0.0", "files": ["api.js"], "dependencies": {"claudia-api-builder": builder}}
    (project / "package.json").write_text(json.dumps(manifest))
    (project / "api.js").write_text(API)
    where = ["--source", str(project)]

    claudia.run("create", *where, "--region", "us-east-1", "--api-module", "api", "--runtime", "nodejs20.x")
    settings = json.loads((project / "claudia.json").read_text())
    url = f"http://{settings['api']['id']}.execute-api.us-east-1.localhost/latest/hello"
    assert get(own_server, url)["answer"] == "ANSWER"

    (project / "api.js").write_text(API.replace("ANSWER", "CHANGED"))
    claudia.run("update", *where)
    assert get(own_server, url)["answer"] == "CHANGED"
    claudia.run("set-version", *where, "--version", "production")
    assert get(own_server, url.replace("/latest/", "/production/"))["answer"] == "CHANGED"

    claudia.run("destroy", *where)
    assert own_server.lambda_.list_functions()["Functions"] == []
