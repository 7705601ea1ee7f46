"""SnapStart as AWS's clients see it: the setting, the states of a version, what is refused."""

import json
import os
import time
import uuid

import botocore.exceptions
import pytest

from conftest import MODES, ROLE, make_zip, running

V2 = os.environ.get("AWS_V2", "aws-v2-is-missing")
ON = {"ApplyOn": "PublishedVersions"}
NODE = "exports.handler = async (event) => event"
PYTHON = "def handler(event, context):\n    return event\n"
REFUSED = "The operation cannot be performed at this time. The function is currently in the following state: "


def refused(code, call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**members)
    assert error.value.response["Error"]["Code"] == code, error.value.response
    return error.value.response["Error"]["Message"]


def wait_for_version(lam, name, version="1"):
    waiter = lam.get_waiter("published_version_active")
    waiter.wait(FunctionName=name, Qualifier=version, WaiterConfig={"Delay": 0.05})
    lam.get_waiter("function_active_v2").wait(FunctionName=f"{name}:{version}", WaiterConfig={"Delay": 0.05})
    return lam.get_function_configuration(FunctionName=name, Qualifier=version)


def failed(lam, name, version="1"):
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure state"):
        wait_for_version(lam, name, version)
    return lam.get_function_configuration(FunctionName=name, Qualifier=version)


def create(lam, code=NODE, **members):
    """Created and not waited for."""
    members = {
        "FunctionName": f"f-{uuid.uuid4().hex[:12]}", "Runtime": "nodejs20.x", "Handler": "index.handler", "Role": ROLE,
        "Code": {"ZipFile": make_zip({"index.js": code, "index.py": code})}, "SnapStart": ON, **members,
    }
    return lam.create_function(**members)


@pytest.mark.parametrize("runtime, code", [("nodejs20.x", NODE), ("python3.12", PYTHON), ("python3.9", PYTHON)])
def test_a_version_becomes_active_with_its_snapshot(server, runtime, code):
    lam, name = server.lambda_, server.deploy(code, runtime=runtime, SnapStart=ON)
    latest = lam.get_function_configuration(FunctionName=name)
    assert latest["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    published = lam.publish_version(FunctionName=name)
    assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
    assert published["StateReason"] == "The function is being created."
    assert published["SnapStart"]["OptimizationStatus"] == "Off" and "LastUpdateStatus" not in published
    version = wait_for_version(lam, name)
    assert (version["State"], version["LastUpdateStatus"]) == ("Active", "Successful")
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert "StateReason" not in version and "StateReasonCode" not in version
    assert lam.get_function(FunctionName=f"{name}:1")["Configuration"]["SnapStart"] == version["SnapStart"]
    listed = lam.list_versions_by_function(FunctionName=name)["Versions"]
    assert [v["SnapStart"]["OptimizationStatus"] for v in listed] == ["Off", "On"]
    pages = lam.get_paginator("list_functions").paginate()
    mine = [f for page in pages for f in page["Functions"] if f["FunctionName"] == name]
    assert mine[0]["SnapStart"] == latest["SnapStart"]
    assert server.invoke(name, {"a": 1}, Qualifier="1")[0] == {"a": 1}


def test_every_way_to_publish(main_server):
    lam = main_server.lambda_
    created = create(lam, Publish=True)
    name = created["FunctionName"]
    assert (created["Version"], created["State"]) == ("1", "Pending")
    assert wait_for_version(lam, name)["SnapStart"]["OptimizationStatus"] == "On"
    updated = lam.update_function_code(FunctionName=name, ZipFile=make_zip({"index.js": NODE + "\n"}), Publish=True)
    assert (updated["Version"], updated["State"]) == ("2", "Pending")
    assert wait_for_version(lam, name, "2")["SnapStart"]["OptimizationStatus"] == "On"
    # What is as it was is published already.
    assert lam.publish_version(FunctionName=name)["Version"] == "2"
    off = lam.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "None"})
    assert off["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    third = lam.publish_version(FunctionName=name)
    assert (third["Version"], third["State"]) == ("3", "Active")
    assert third["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    lam.update_function_configuration(FunctionName=name, SnapStart=ON)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert lam.publish_version(FunctionName=name)["Version"] == "4"
    assert wait_for_version(lam, name, "4")["SnapStart"]["OptimizationStatus"] == "On"


@pytest.mark.parametrize(
    "runtime, code",
    [
        ("nodejs20.x", "throw new Error('no')"),
        ("nodejs20.x", "process.exit(3)"),
        ("python3.12", "raise ValueError('no')"),
        ("python3.12", "nothing = 1"),
    ],
)
def test_an_init_that_fails(server, runtime, code):
    lam, name = server.lambda_, server.deploy(code, runtime=runtime, SnapStart=ON)
    assert lam.publish_version(FunctionName=name)["State"] == "Pending"
    version = failed(lam, name)
    reason = "An error occurred during function initialization."
    assert (version["State"], version["StateReasonCode"], version["StateReason"]) == ("Failed", "FunctionError", reason)
    update = [version[f"LastUpdateStatus{part}"] for part in ["", "ReasonCode", "Reason"]]
    assert update == ["Failed", "FunctionError", reason]
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    invoke = {"FunctionName": name, "Qualifier": "1"}
    assert refused("ResourceConflictException", lam.invoke, **invoke) == REFUSED + "Failed"
    alias = {"FunctionName": name, "Name": "live", "FunctionVersion": "1"}
    refused("ResourceConflictException", lam.create_alias, **alias)
    # $LATEST has no part in it, and neither has the next version.
    assert lam.get_function_configuration(FunctionName=name)["State"] == "Active"
    file, good = ("index.js", NODE) if runtime.startswith("nodejs") else ("index.py", PYTHON)
    lam.update_function_code(FunctionName=name, ZipFile=make_zip({file: good}), Publish=True)
    assert wait_for_version(lam, name, "2")["SnapStart"]["OptimizationStatus"] == "On"
    lam.delete_function(FunctionName=name, Qualifier="1")


def test_a_pending_version_is_not_invoked(main_server):
    slow = "const end = Date.now() + 3000; while (Date.now() < end); exports.handler = async () => 1"
    lam, name = main_server.lambda_, main_server.deploy(slow, SnapStart=ON)
    lam.publish_version(FunctionName=name)
    assert refused("ResourceConflictException", lam.invoke, FunctionName=f"{name}:1") == REFUSED + "Pending"
    # Meanwhile $LATEST may change, which starts nothing anew.
    lam.update_function_configuration(FunctionName=name, Timeout=9)
    wait_for_version(lam, name)
    assert main_server.invoke(f"{name}:1")[0] == 1


def test_the_log_tells_why_an_init_failed(main_server):
    lam, name = main_server.lambda_, main_server.deploy("throw new TypeError('no')", SnapStart=ON)
    lam.publish_version(FunctionName=name)
    failed(lam, name)
    logs, deadline, text = main_server.client("logs"), time.monotonic() + 10, ""
    while "INIT_REPORT" not in text and time.monotonic() < deadline:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        text = "".join(event["message"] for event in events)
        streams = {event["logStreamName"] for event in events}
        time.sleep(0.05)
    assert "INIT_START" in text and "Status: error" in text and "TypeError" in text
    assert all("[1]" in stream for stream in streams)


def test_what_snap_start_does_not_go_with(main_server):
    lam, invalid = main_server.lambda_, "InvalidParameterValueException"

    def no(call=create, **members):
        return refused(invalid, call, **members)

    message = no(lam=lam, Runtime="provided.al2023")
    assert message == "provided.al2023 is not supported for SnapStart enabled functions."
    assert "512 MB" in no(lam=lam, EphemeralStorage={"Size": 1024})
    assert "java21" in no(lam=lam, Runtime="java21")
    no(lam=lam, FileSystemConfigs=[{"Arn": "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-" + "0" * 17,
                                    "LocalMountPath": "/mnt/x"}])
    no(lam=lam, PackageType="Image", Code={"ImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/x:1"})
    name = main_server.deploy(NODE, SnapStart=ON)
    update = {"call": lam.update_function_configuration, "FunctionName": name}
    assert "512 MB" in no(**update, EphemeralStorage={"Size": 1024})
    assert "provided.al2 is not supported" in no(**update, Runtime="provided.al2")
    lam.publish_version(FunctionName=name)
    wait_for_version(lam, name)
    put = {"FunctionName": name, "ProvisionedConcurrentExecutions": 1}
    message = no(lam.put_provisioned_concurrency_config, **put, Qualifier="1")
    assert message == "Provisioned Concurrency is not supported for SnapStart enabled functions."
    lam.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "None"})
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    lam.put_provisioned_concurrency_config(**put, Qualifier="live")
    assert no(lam.update_alias, FunctionName=name, Name="live", FunctionVersion="1") == message


def test_a_restart_keeps_the_states():
    with running(MODES[0]) as server:
        lam, good, bad = server.lambda_, server.deploy(NODE, SnapStart=ON), server.deploy("no", SnapStart=ON)
        slow = server.deploy("while (true);", SnapStart=ON)
        for name in [good, bad, slow]:
            lam.publish_version(FunctionName=name)
        wait_for_version(lam, good)
        failed(lam, bad)
        for end in [server.stop, server.kill]:
            end()
            server.start()
            version = wait_for_version(lam, good)
            assert version["SnapStart"]["OptimizationStatus"] == "On"
            assert lam.get_function_configuration(FunctionName=f"{bad}:1")["StateReasonCode"] == "FunctionError"
            assert lam.get_function_configuration(FunctionName=f"{slow}:1")["State"] == "Pending"
            assert server.invoke(good, {"a": 1}, Qualifier="1")[0] == {"a": 1}
            assert refused("ResourceConflictException", lam.invoke, FunctionName=f"{bad}:1") == REFUSED + "Failed"


def test_with_the_aws_cli(main_server, tmp_path):
    (tmp_path / "f.zip").write_bytes(make_zip({"index.js": NODE}))
    name = f"f-{uuid.uuid4().hex[:12]}"

    def aws(*arguments, **options):
        done = main_server.aws("lambda", *arguments, "--function-name", name, program=V2, cwd=tmp_path, **options)
        return json.loads(done.stdout) if done.stdout.strip() else done

    created = aws(
        "create-function", "--runtime", "nodejs20.x", "--handler", "index.handler", "--role", ROLE, "--zip-file",
        "fileb://f.zip", "--snap-start", "ApplyOn=PublishedVersions",
    )
    assert created["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    aws("wait", "function-active-v2")
    assert aws("publish-version")["State"] == "Pending"
    aws("wait", "published-version-active", "--qualifier", "1")
    version = aws("get-function-configuration", "--qualifier", "1")
    assert (version["State"], version["SnapStart"]["OptimizationStatus"]) == ("Active", "On")
    refusal = aws("update-function-configuration", "--ephemeral-storage", "Size=1024", check=False)
    assert refusal.returncode and "InvalidParameterValueException" in refusal.stderr
    assert aws("update-function-configuration", "--snap-start", "ApplyOn=None")["SnapStart"]["ApplyOn"] == "None"
