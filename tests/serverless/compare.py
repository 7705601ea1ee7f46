#!/usr/bin/env python3
"""Compares the templates that nilas makes of serverless.yml files with those of the Serverless Framework.

    tests/serverless/compare.py FRAMEWORK [SERVICE...]

FRAMEWORK is the Framework's executable: `osls` 4 or `serverless` 3, installed anywhere by npm. (Version 3 cannot package
`functions`: for its layers it asks AWS itself.) Each SERVICE is a
directory beside this file; all of them without any. The driver is `cargo run --example compile_service`, or the
executable in COMPILE_SERVICE. What differs on purpose is in `deliberate`, with its reason. Exits with 1 if anything else
differs.
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = {
    **os.environ,
    "SLS_TELEMETRY_DISABLED": "1",
    "SLS_NOTIFICATIONS_MODE": "off",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "FROM_ENVIRONMENT": "from the environment",
}


class NoStack(http.server.BaseHTTPRequestHandler):
    """CloudFormation without any stack: version 4 asks for the layers of the last deployment."""

    def do_POST(self):
        body = (
            b"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
            b"<Message>Stack with id X does not exist</Message></Error></ErrorResponse>"
        )
        self.send_response(400)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def framework(executable, service):
    """The Framework's template and the directory with its archives."""
    run = subprocess.run([executable, "package"], cwd=service, env=ENVIRONMENT, capture_output=True, text=True)
    template = service / ".serverless" / "cloudformation-template-update-stack.json"
    if run.returncode != 0 or not template.exists():
        return None, run.stdout + run.stderr
    return json.loads(template.read_text()), service / ".serverless"


def nilas(service, archives):
    driver = os.environ.get("COMPILE_SERVICE")
    command = [driver] if driver else ["cargo", "run", "-q", "-p", "nilas-deploy", "--example", "compile_service", "--"]
    run = subprocess.run([*command, str(service), str(archives)], env=ENVIRONMENT, capture_output=True, text=True)
    if run.returncode != 0:
        return None, run.stderr
    return json.loads(run.stdout), ""


def normalized(template):
    """Without what is another at each deployment."""
    text = json.dumps(template)
    text = re.sub(r"ApiGatewayDeployment(\d+|TIME)", "ApiGatewayDeploymentTIME", text)
    text = re.sub(r"WebsocketsDeployment(?!Stage)[0-9A-Za-z]+", "WebsocketsDeploymentHASH", text)
    text = re.sub(r"(serverless/[^/]+/[^/]+)/[^/]+/", r"\1/TIME/", text)
    return json.loads(text)


def deliberate(template):
    """Takes out what nilas does otherwise than the Framework, and is meant to."""
    resources = template["Resources"]
    for name in list(resources):
        resource = resources[name]
        properties = resource.get("Properties", {})
        kind = resource["Type"]
        # The Framework sets tags, tracing and logs of a stage by API calls after the deployment.
        if kind == "AWS::ApiGateway::Deployment":
            properties.pop("StageDescription", None)
        # The request templates of the lambda integration make the same event of a text of our own.
        if kind == "AWS::ApiGateway::Method":
            templates = properties.get("Integration", {}).get("RequestTemplates", {})
            for content in templates:
                if "cognitoPoolClaims" in templates[content]:
                    templates[content] = "THE WHOLE REQUEST"
        # Existing buckets are told by the command, not by a function that the stack brings along.
        if kind == "Custom::S3" or name.endswith("LambdaPermissionExistingS3") or name.startswith("Custom"):
            del resources[name]
        if name == "IamRoleCustomResourcesLambdaExecution":
            del resources[name]
        # Version 3 knows no InvokedViaFunctionUrl.
        if kind == "AWS::Lambda::Permission" and properties.get("InvokedViaFunctionUrl"):
            del resources[name]
        # The hash in a target group's name is another.
        if kind == "AWS::ElasticLoadBalancingV2::TargetGroup":
            properties["Name"] = re.sub(r"[0-9a-f]+$", "HASH", properties["Name"])
        # The layer's hash is over the archive's hash.
        if kind == "AWS::Lambda::LayerVersion" and resource.get("DeletionPolicy") == "Retain":
            resources[re.sub(r"[0-9a-f]{40}$", "HASH", name)] = resources.pop(name)
        if kind == "AWS::Lambda::LayerVersionPermission" and resource.get("DeletionPolicy") == "Retain":
            resources[re.sub(r"[0-9a-f]{40}$", "HASH", name)] = resources.pop(name)
    for name, output in template["Outputs"].items():
        if name.endswith("LambdaLayerHash"):
            output["Value"] = "HASH"
    text = json.dumps(template)
    text = re.sub(r"(LambdaLayer)[0-9a-f]{40}", r"\1HASH", text)
    return json.loads(text)


# Settings that version 3 does not know, or takes otherwise; osls has them as nilas does.
VERSION_3 = [
    r"/Integration/TimeoutInMillis: too much",
    r"/ApiGatewayRestApi/Properties/Tags: too much",
    r"/WebsocketsApi/Properties/Tags: too much",
    r"/HttpApi/Properties/Description: too much",
    r"/LoggingConfig: too much",
    r"SchedulerSchedule\d+/Properties/GroupName: too much",
    r"SnsSubscription\w+/DependsOn: too much",
    r"EventBridgeLambdaPermission\d+/Properties/SourceArn",
    # Version 3 adds SnapStart after it has computed the version's hash.
    r"RestDashofDashitLambda(Version|FunctionQualifiedArn)",
    r"SnapStartLambdaAlias/Properties/FunctionVersion",
]


def is_version_3(executable):
    run = subprocess.run([executable, "--version"], env=ENVIRONMENT, capture_output=True, text=True)
    return "Core: 3." in run.stdout


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours:
                yield f"{path}/{key}: missing: {json.dumps(theirs[key])[:300]}"
            elif key not in theirs:
                yield f"{path}/{key}: too much: {json.dumps(ours[key])[:300]}"
            else:
                yield from differences(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{path}/{index}")
    elif ours != theirs:
        yield f"{path}: {json.dumps(ours)[:300]} instead of {json.dumps(theirs)[:300]}"


def compare(executable, name):
    with tempfile.TemporaryDirectory() as scratch:
        service = pathlib.Path(scratch) / name
        shutil.copytree(HERE / name, service)
        theirs, archives = framework(executable, service)
        if theirs is None:
            return [f"the Framework fails: {archives}"]
        ours, error = nilas(service, archives)
        if ours is None:
            return [f"nilas fails: {error}"]
        return list(differences(deliberate(normalized(ours)), deliberate(normalized(theirs))))


def main():
    executable, *names = sys.argv[1:]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoStack)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ENVIRONMENT["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
    names = names or sorted(path.parent.name for path in HERE.glob("*/serverless.yml"))
    failed = False
    known = re.compile("|".join(VERSION_3) if is_version_3(executable) else "(?!)")
    for name in names:
        found = [line for line in compare(executable, name) if not known.search(line)]
        print(f"{name}: {'same' if not found else f'{len(found)} differences'}")
        for line in found:
            print(f"  {line}")
        failed |= bool(found)
    sys.exit(failed)


if __name__ == "__main__":
    main()
