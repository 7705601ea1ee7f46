"""Projects of our own command line: templates, bad input, roll-back, development."""

import json
import re
import signal
import subprocess
import threading

import pytest

from test_workshop_projects import curl, deploy

HANDLER = "exports.hello = async () => ({ statusCode: 200, body: JSON.stringify({ answer: 'ANSWER' }) });\n"
SERVICE = """service: SERVICE
provider:
  name: aws
  runtime: nodejs20.x
functions:
  hello:
    handler: handler.hello
    events:
      - http: GET /hello
"""


def project(tmp_path, name, service=SERVICE, handler=HANDLER):
    directory = tmp_path / name
    directory.mkdir()
    (directory / "serverless.yml").write_text(service.replace("SERVICE", name))
    (directory / "handler.js").write_text(handler)
    return directory


def refused(main_server, directory, *command) -> str:
    """What the command says; nothing may have been made."""
    before = stacks(main_server)
    done = main_server.nilas(*(command or ["deploy"]), cwd=directory, check=False)
    assert done.returncode != 0, done.stdout + done.stderr
    assert stacks(main_server) == before
    return done.stderr


def stacks(main_server) -> set:
    found = main_server.client("cloudformation").describe_stacks()["Stacks"]
    return {(stack["StackName"], stack["StackStatus"]) for stack in found}


@pytest.mark.parametrize("template", ["node", "python", "http-api"])
def test_what_init_makes_deploys_as_it_is(main_server, tmp_path, template):
    main_server.nilas("init", template, "app", cwd=tmp_path)
    done = main_server.nilas("deploy", "--json", cwd=tmp_path / "app")
    endpoints = json.loads(done.stdout)["endpoints"]
    assert curl(next(e.split(" - ")[1] for e in endpoints if "{" not in e))
    assert "not empty" in main_server.nilas("init", template, "app", cwd=tmp_path, check=False).stderr
    main_server.nilas("remove", cwd=tmp_path / "app")


def test_a_template_of_sam(main_server, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/index.js").write_text(HANDLER)
    (tmp_path / "template.yaml").write_text("""
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: index.hello
      Runtime: nodejs20.x
      Events: {Get: {Type: Api, Properties: {Path: /hello, Method: get}}}
Outputs:
  Url: {Value: !Sub 'https://${ServerlessRestApi}.execute-api.${AWS::Region}.amazonaws.com/Prod/hello'}
""")
    done = json.loads(main_server.nilas("deploy", "--json", "--stack", "sam-app", cwd=tmp_path).stdout)
    assert curl(done["outputs"]["Url"]) == {"answer": "ANSWER"}
    assert "ANSWER" in main_server.nilas("invoke", "-f", "Hello", "--stack", "sam-app", cwd=tmp_path).stdout
    main_server.nilas("remove", "--stack", "sam-app", cwd=tmp_path)


def test_a_redeployment_keeps_the_url_and_can_be_rolled_back(main_server, tmp_path):
    directory = project(tmp_path, "rolled")
    url = deploy(main_server, directory)
    (directory / "handler.js").write_text(HANDLER.replace("ANSWER", "CHANGED"))
    assert deploy(main_server, directory) == url
    assert curl(url) == {"answer": "CHANGED"}
    kept = json.loads(main_server.nilas("rollback", "--json", cwd=directory).stdout)
    assert len(kept) == 2
    main_server.nilas("rollback", "-t", str(kept[1]["timestamp"]), cwd=directory)
    assert curl(url) == {"answer": "ANSWER"}
    main_server.nilas("remove", cwd=directory)


def test_dev_deploys_every_change_and_shows_what_functions_print(main_server, tmp_path):
    handler = HANDLER.replace("async () =>", "async () => (console.log('a line'), 1) &&")
    directory = project(tmp_path, "watched", handler=handler)
    command = [str(main_server.binary), "dev"]
    with subprocess.Popen(
        command, cwd=directory, env=main_server.environment_variables(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            url = until(process, r"GET - (http://\S+)")
            until(process, "Watching for changes")
            assert curl(url) == {"answer": "ANSWER"}
            until(process, "hello  .*a line")
            (directory / "handler.js").write_text(handler.replace("ANSWER", "CHANGED"))
            until(process, "watched-dev deployed in")
            assert curl(url) == {"answer": "CHANGED"}
            (directory / "serverless.yml").write_text("service: [")
            until(process, r"error: \./serverless.yml:\d:")
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    (directory / "serverless.yml").write_text(SERVICE.replace("SERVICE", "watched"))
    main_server.nilas("remove", cwd=directory)


def until(process, pattern: str) -> str:
    """The line with `pattern`, or its group; a process that does not say it is ended."""
    seen, timer = "", threading.Timer(20, process.kill)
    timer.start()
    for line in process.stdout:
        seen += line
        found = re.search(pattern, line)
        if found:
            timer.cancel()
            return found.group(1) if found.groups() else found.group(0)
    raise AssertionError(f"it did not say {pattern}:\n{seen}")


def test_bad_input_says_where_it_is_and_makes_nothing(main_server, tmp_path):
    rows = {
        "yaml": (SERVICE + "  : [", r"serverless\.yml:\d+:\d+: "),
        "variable": (SERVICE.replace("handler.hello", "${env:NOT_THERE_AT_ALL}"), r"serverless\.yml:7:14: [\s\S]*functions.hello.handler"),
        "circle": (SERVICE + "custom: {a: '${self:custom.b}', b: '${self:custom.a}'}\n", r"serverless\.yml:10:[\s\S]*[Cc]ircular"),
        "handler": (SERVICE.replace("handler.hello", "nowhere.hello"), r"serverless\.yml:7:.*nowhere"),
        "plugin": (SERVICE + "plugins: [serverless-webpack]\n", r"serverless-webpack[\s\S]*osls"),
        "provider": (SERVICE.replace("name: aws", "name: google"), r"serverless\.yml:3:.*google"),
    }
    for name, (service, expected) in rows.items():
        said = refused(main_server, project(tmp_path, f"bad-{name}", service))
        assert re.search(expected, said), f"{name}: {said}"


def test_unknown_keys_are_named_with_their_line(main_server, tmp_path):
    directory = project(tmp_path, "unknown-key", SERVICE.replace("    handler:", "    colour: red\n    handler:"))
    done = main_server.nilas("package", cwd=directory)
    assert re.search(r"serverless\.yml:7:\d+: .*colour", done.stderr), done.stderr


def test_what_is_not_part_of_the_deployment_is_said(main_server, tmp_path):
    event = "      - http: {method: get, path: hello, response: {headers: {X-A: b}}}\n"
    service = SERVICE.partition("    events:")[0] + "    events:\n" + event
    done = main_server.nilas("deploy", cwd=project(tmp_path, "passed-over", service))
    assert "warning: You're using the AWS_PROXY in combination with response configuration in your function \"hello\"" in done.stderr


def test_templates_that_are_wrong(main_server, tmp_path):
    def template(text: str) -> str:
        (tmp_path / "template.yaml").write_text(text)
        return refused(main_server, tmp_path, "deploy", "--stack", "wrong")

    assert "Unrecognized resource types: [AWS::Not::There]" in template("Resources: {A: {Type: 'AWS::Not::There'}}")
    group = "{Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Ref %s}}"
    circle = f"Resources:\n  A: {group % 'B'}\n  B: {group % 'A'}\n"
    assert "Circular dependency between resources: [A, B]" in template(circle)
    assert "Unresolved resource dependencies [C]" in template(f"Resources:\n  A: {group % 'C'}\n")
    assert "template.yaml:2:" in template("Resources:\n  A: !Nothing x\n")
    assert "a template has a Resources section" in template("A: 1\n")


def test_a_directory_without_a_project(main_server, tmp_path):
    assert "there is no serverless.yml and no template.yaml" in refused(main_server, tmp_path)
