"""Layers through boto3: Node modules, Python packages and a custom runtime's bootstrap, merged into `/opt` in order."""

import io
import urllib.request
import uuid
import zipfile

import pytest

from conftest import ROLE, make_zip


def publish(server, files, name=None, **members):
    name = name or f"l-{uuid.uuid4().hex[:12]}"
    made = server.lambda_.publish_layer_version(LayerName=name, Content={"ZipFile": make_zip(files)}, **members)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    return made


def test_node_finds_its_modules_in_a_layer(server):
    module = {"nodejs/node_modules/greet/index.js": "module.exports = name => `hello ${name}`"}
    layer = publish(server, module, CompatibleRuntimes=["nodejs20.x"])
    code = "const greet = require('greet'); exports.handler = async e => greet(e)"
    name = server.deploy(code, Layers=[layer["LayerVersionArn"]])
    assert server.invoke(name, "world")[:2] == ("hello world", None)
    configuration = server.lambda_.get_function_configuration(FunctionName=name)
    size = layer["Content"]["CodeSize"]
    assert configuration["Layers"] == [{"Arn": layer["LayerVersionArn"], "CodeSize": size}]


def test_python_finds_its_packages_in_a_layer(server):
    layer = publish(server, {"python/greet.py": "def greet(name): return 'hello ' + name"})
    code = "from greet import greet\ndef handler(e, c): return greet(e)"
    name = server.deploy(code, runtime="python3.12", Layers=[layer["LayerVersionArn"]])
    assert server.invoke(name, "world")[:2] == ("hello world", None)


def test_a_custom_runtime_can_be_a_layer(server):
    bootstrap = (
        "#!/bin/sh\n"
        "api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation\n"
        "while true; do\n"
        "  headers=$(mktemp)\n"
        "  curl -sS -D $headers -o /tmp/event $api/next\n"
        "  id=$(tr -d '\\r' < $headers | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p')\n"
        "  curl -sS -o /dev/null -d \"\\\"$(cat /var/task/greeting) from $0\\\"\" $api/$id/response\n"
        "done\n"
    )
    layer = publish(server, {"bootstrap": (bootstrap.encode(), 0o755)})
    files = {"greeting": "hello"}
    name = server.deploy(files, runtime="provided.al2023", Layers=[layer["LayerVersionArn"]])
    assert server.invoke(name)[:2] == ("hello from /opt/bootstrap", None)


def test_later_layers_lie_over_earlier_ones(server):
    lower = publish(server, {"a/one": "lower", "a/two": "lower", "only": "lower"})
    upper = publish(server, {"a/two": "upper", "a/three": "upper"})
    code = (
        "const fs = require('fs'), read = p => fs.readFileSync('/opt/' + p, 'utf8');"
        "exports.handler = async () => [['only', 'a/one', 'a/two', 'a/three'].map(read), (() => {"
        "  try { fs.writeFileSync('/opt/x', ''); return 'written' } catch (e) { return e.code } })()]"
    )
    arns = [lower["LayerVersionArn"], upper["LayerVersionArn"]]
    name = server.deploy(code, Layers=arns)
    assert server.invoke(name)[0] == [["lower", "lower", "upper", "upper"], "EROFS"]
    server.lambda_.update_function_configuration(FunctionName=name, Layers=arns[::-1])
    server.lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert server.invoke(name)[0][0] == ["lower", "lower", "lower", "upper"]


def test_a_published_version_keeps_its_layer_when_that_is_deleted(server):
    lam = server.lambda_
    layer = publish(server, {"text": "kept"})
    code = "exports.handler = async () => require('fs').readFileSync('/opt/text', 'utf8')"
    name = server.deploy(code, Layers=[layer["LayerVersionArn"]], Publish=True)
    layer_name = layer["LayerArn"].rsplit(":", 1)[1]
    lam.delete_layer_version(LayerName=layer_name, VersionNumber=1)
    lam.update_function_configuration(FunctionName=name, Layers=[])
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert server.invoke(name)[1] == "Unhandled"
    assert server.invoke(f"{name}:1")[:2] == ("kept", None)
    with pytest.raises(lam.exceptions.InvalidParameterValueException, match="does not exist"):
        lam.create_function(
            FunctionName=f"{name}-2",
            Runtime="nodejs20.x",
            Handler="index.handler",
            Role=ROLE,
            Code={"ZipFile": make_zip({"index.js": code})},
            Layers=[layer["LayerVersionArn"]],
        )


def test_layers_work_with_snap_start(main_server):
    layer = publish(main_server, {"python/greet.py": "import os\nPID = os.getpid()\ndef greet(n): return 'hi ' + n"})
    code = "import greet\ndef handler(e, c): return greet.greet(e)"
    members = {"SnapStart": {"ApplyOn": "PublishedVersions"}, "Layers": [layer["LayerVersionArn"]]}
    name = main_server.deploy(code, runtime="python3.12", **members)
    lam = main_server.lambda_
    lam.publish_version(FunctionName=name)
    waiter = lam.get_waiter("published_version_active")
    waiter.wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1})
    assert main_server.invoke(f"{name}:1", "there")[:2] == ("hi there", None)


def test_layers_are_listed_and_their_content_can_be_fetched(main_server):
    lam = main_server.lambda_
    layer = publish(main_server, {"x": "1"}, Description="d", LicenseInfo="MIT", CompatibleArchitectures=["x86_64"])
    name = layer["LayerArn"].rsplit(":", 1)[1]
    publish(main_server, {"x": "2"}, name)
    found = lam.get_layer_version(LayerName=name, VersionNumber=1)
    assert (found["Description"], found["LicenseInfo"], found["Version"]) == ("d", "MIT", 1)
    assert lam.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])["CreatedDate"] == found["CreatedDate"]
    with urllib.request.urlopen(found["Content"]["Location"]) as answer:
        assert zipfile.ZipFile(io.BytesIO(answer.read())).read("x") == b"1"
    versions = lam.list_layer_versions(LayerName=name)["LayerVersions"]
    assert [version["Version"] for version in versions] == [2, 1]
    pages = lam.get_paginator("list_layers").paginate(CompatibleArchitecture="x86_64")
    matching = {l["LayerName"]: l["LatestMatchingVersion"]["Version"] for page in pages for l in page["Layers"]}
    assert matching[name] == 1
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_layer_version(LayerName=name, VersionNumber=3)
