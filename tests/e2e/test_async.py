"""Asynchronous invocation: kept, tried again, given up, told to destinations."""

import base64
import json
import time
import uuid

import botocore.exceptions
import pytest

from conftest import MODES, running

KEEP = """
import json, os, time
def handler(event, context):
    print("ran " + json.dumps([event.get("id"), context.aws_request_id]))
    if event.get("fail"):
        raise ValueError("no good")
    return {"done": event.get("id")}
"""


def invoke_event(server, name, payload, **arguments):
    answer = server.lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(payload), **arguments)
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    return answer["ResponseMetadata"]["RequestId"]


def runs(server, name):
    """(id, request id) of each run, oldest first."""
    try:
        events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern='"ran "')
    except botocore.exceptions.ClientError:
        return []
    return [tuple(json.loads(event["message"].split("ran ", 1)[1])) for event in events["events"] if "ran " in event["message"]]


def wait_for(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def deploy(server, **settings):
    return server.deploy(KEEP, runtime="python3.11", Timeout=10, **settings)


def test_an_event_is_run_once_under_its_request_id(server):
    name = deploy(server)
    request_id = invoke_event(server, name, {"id": 1})
    assert wait_for(lambda: runs(server, name)) == [(1, request_id)]
    time.sleep(0.3)
    assert runs(server, name) == [(1, request_id)]


def test_a_burst_is_run_to_the_last(main_server):
    name = deploy(main_server)
    ids = {invoke_event(main_server, name, {"id": number}) for number in range(200)}
    assert wait_for(lambda: len(set(runs(main_server, name))) == 200)
    assert {request_id for _, request_id in runs(main_server, name)} == ids


def test_success_and_failure_are_told_to_functions_and_buckets(main_server):
    server = main_server
    name, success = deploy(server), deploy(server)
    arn = server.lambda_.get_function(FunctionName=success)["Configuration"]["FunctionArn"]
    bucket = f"failed-{uuid.uuid4().hex[:8]}"
    s3 = server.client("s3")
    s3.create_bucket(Bucket=bucket)
    config = server.lambda_.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
    )
    assert config["FunctionArn"].endswith(f":function:{name}:$LATEST") and config["MaximumRetryAttempts"] == 0
    invoke_event(server, name, {"id": "good"})
    # The destination gets the record itself, which has no member "id".
    assert wait_for(lambda: [run for run in runs(server, success) if run[0] is None])
    failed = invoke_event(server, name, {"id": "bad", "fail": True})
    objects = wait_for(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"))
    assert objects[0]["Key"].startswith(f"aws/lambda/async/{name}/20")
    record = json.loads(s3.get_object(Bucket=bucket, Key=objects[0]["Key"])["Body"].read())
    assert record["version"] == "1.0" and record["requestPayload"] == {"id": "bad", "fail": True}
    assert record["requestContext"] == {
        "requestId": failed,
        "functionArn": f"{config['FunctionArn']}",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["responsePayload"]["errorMessage"] == "no good"


def test_a_client_context_is_for_synchronous_invocations_only(main_server):
    code = "def handler(event, context):\n    print('ran [\"%s\", \"\"]' % context.client_context)"
    name = main_server.deploy(code, runtime="python3.11")
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()
    invoke_event(main_server, name, {}, ClientContext=context)
    assert wait_for(lambda: runs(main_server, name)) == [("None", "")]


def test_the_configuration_of_an_alias_or_version_goes_with_it(main_server):
    lambda_, name = main_server.lambda_, deploy(main_server)
    for _ in range(2):
        version = lambda_.publish_version(FunctionName=name)["Version"]
        lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
        for qualifier in ("live", version):
            lambda_.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=1)
        lambda_.delete_alias(FunctionName=name, Name="live")
        lambda_.delete_function(FunctionName=name, Qualifier=version)
        assert lambda_.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []


def test_a_record_that_a_destination_refuses_is_given_up(main_server):
    name = deploy(main_server)
    queue = f"arn:aws:sqs:us-east-1:000000000000:gone-{uuid.uuid4().hex[:8]}"
    main_server.lambda_.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": queue}}
    )
    invoke_event(main_server, name, {"id": 1})
    said = wait_for(lambda: [line for line in main_server.log_text().splitlines() if queue in line and "given_up" in line])
    assert [json.loads(line)["given_up"] for line in said] == [True]


def test_event_invoke_configs(main_server):
    server = main_server
    lambda_, name = server.lambda_, deploy(server)
    arn = lambda_.get_function(FunctionName=name)["Configuration"]["FunctionArn"]

    def refused(operation, **arguments):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            operation(FunctionName=name, **arguments)
        return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]

    missing = ("ResourceNotFoundException", f"The function {arn}:$LATEST doesn't have an EventInvokeConfig")
    assert refused(lambda_.get_function_event_invoke_config) == missing
    assert refused(lambda_.update_function_event_invoke_config, MaximumRetryAttempts=1) == missing
    assert refused(lambda_.delete_function_event_invoke_config) == missing
    assert refused(lambda_.put_function_event_invoke_config) == (
        "InvalidParameterValueException",
        "You must specify at least one of error handling or destination setting.",
    )
    assert refused(lambda_.put_function_event_invoke_config, Qualifier="7", MaximumRetryAttempts=1) == (
        "ResourceNotFoundException",
        "The function doesn't exist.",
    )
    assert refused(lambda_.put_function_event_invoke_config, DestinationConfig={"OnSuccess": {"Destination": arn}}) == (
        "InvalidParameterValueException",
        "You can't specify the function as a destination for itself.",
    )
    other = arn.rsplit(":", 1)[0] + ":not-there"
    assert refused(lambda_.put_function_event_invoke_config, DestinationConfig={"OnFailure": {"Destination": other}}) == (
        "InvalidParameterValueException",
        f"The destination ARN {other} is invalid.",
    )
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60, MaximumRetryAttempts=1)
    lambda_.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=2)
    config = lambda_.get_function_event_invoke_config(FunctionName=name)
    assert (config["MaximumEventAgeInSeconds"], config["MaximumRetryAttempts"]) == (60, 2)
    assert config["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    lambda_.publish_version(FunctionName=name)
    lambda_.put_function_event_invoke_config(FunctionName=name, Qualifier="1", MaximumRetryAttempts=0)
    listed = lambda_.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert [config["FunctionArn"] for config in listed] == [f"{arn}:$LATEST", f"{arn}:1"]
    lambda_.delete_function_event_invoke_config(FunctionName=name, Qualifier="1")
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    assert "MaximumEventAgeInSeconds" not in lambda_.get_function_event_invoke_config(FunctionName=name)


def test_events_too_large_or_malformed_are_refused(main_server):
    name = deploy(main_server)
    for payload, code in [(b"x", "InvalidRequestContentException"), (json.dumps("x" * 1_048_576).encode(), "RequestEntityTooLargeException")]:
        with pytest.raises(botocore.exceptions.ClientError) as error:
            main_server.lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=payload)
        assert error.value.response["Error"]["Code"] == code
    with pytest.raises(main_server.lambda_.exceptions.ResourceNotFoundException):
        main_server.lambda_.invoke(FunctionName="not-there", InvocationType="Event")


def test_events_survive_kill_9():
    """Ends are counted, not log lines, which a crash may take."""
    with running(MODES[0]) as server:
        name, sqs = deploy(server), server.client("sqs")
        url = sqs.create_queue(QueueName="ended")["QueueUrl"]
        destination = {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:000000000000:ended"}}
        server.lambda_.put_function_event_invoke_config(FunctionName=name, DestinationConfig=destination)
        server.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
        ids, ended = set(), set()
        for round in range(3):
            ids |= {invoke_event(server, name, {"id": number}) for number in range(20)}
            server.kill()
            server.start()
            sqs = server.client("sqs")

        def all_ended():
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
            ended.update(json.loads(message["Body"])["requestContext"]["requestId"] for message in messages)
            return ended >= ids

        assert wait_for(all_ended, 60), len(ids - ended)
        assert ended == ids


def nilas(server, *arguments):
    return json.loads(server.nilas("--json", *arguments).stdout)


def waiting(server, name):
    functions = nilas(server, "events", "--function", name)["Functions"]
    return functions[0]["Events"] if functions else []


def test_an_event_that_fails_is_tried_twice_more_after_one_and_two_minutes():
    """The workshop's rule, in hours of nobody's time."""
    with running(MODES[0], "--virtual-clock", "on") as server:
        name = deploy(server)
        bucket = "given-up"
        server.client("s3").create_bucket(Bucket=bucket)
        destination = {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
        server.lambda_.put_function_event_invoke_config(FunctionName=name, DestinationConfig=destination)
        request_id = invoke_event(server, name, {"id": 1, "fail": True})
        for attempts, wait_s in [(1, 60), (2, 120)]:
            assert wait_for(lambda: [event for event in waiting(server, name) if event["Errors"] == attempts])
            nilas(server, "clock", "advance", f"{wait_s - 5}s")
            time.sleep(0.3)
            assert len(runs(server, name)) == attempts
            nilas(server, "clock", "advance", "6s")
            assert wait_for(lambda: len(runs(server, name)) == attempts + 1)
        assert wait_for(lambda: not waiting(server, name))
        nilas(server, "clock", "advance", "1d")
        time.sleep(0.3)
        assert runs(server, name) == [(1, request_id)] * 3
        found = wait_for(lambda: server.client("s3").list_objects_v2(Bucket=bucket).get("Contents"))
        record = json.loads(server.client("s3").get_object(Bucket=bucket, Key=found[0]["Key"])["Body"].read())
        assert record["requestContext"]["condition"] == "RetriesExhausted"
        assert record["requestContext"]["approximateInvokeCount"] == 3


def test_an_event_that_fails_is_tried_twice_more_in_real_time(main_server):
    """The only test that waits for three minutes: the others move the clock."""
    server, sqs = main_server, main_server.client("sqs")
    url = sqs.create_queue(QueueName=f"dead-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = deploy(server, DeadLetterConfig={"TargetArn": arn})
    request_id = invoke_event(server, name, {"id": 1, "fail": True})
    letter = wait_for(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"]).get("Messages"), 300)
    assert [message["MessageAttributes"]["RequestID"]["StringValue"] for message in letter] == [request_id]
    found = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern='"ran "')["events"]
    first, second, third = [event["timestamp"] / 1000 for event in found]
    # A machine that is busy may be late, never early.
    assert 59.9 < second - first < 75 and 119.9 < third - second < 140, (first, second, third)


def test_an_event_that_is_too_old_is_given_up_and_one_that_waits_can_be_tried_at_once():
    with running(MODES[0], "--virtual-clock", "on") as server:
        name = deploy(server)
        server.lambda_.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=90)
        invoke_event(server, name, {"id": 1, "fail": True})
        assert wait_for(lambda: [event for event in waiting(server, name) if event["Errors"] == 1])
        assert nilas(server, "events", "--function", name, "retry") == {"Retried": 1}
        assert wait_for(lambda: [event for event in waiting(server, name) if event["Errors"] == 2])
        nilas(server, "clock", "advance", "3m")
        assert wait_for(lambda: not waiting(server, name))
        assert len(runs(server, name)) == 2


def test_a_clock_that_only_runs_is_not_moved(main_server):
    clock = nilas(main_server, "clock")
    assert (clock["IsVirtual"], clock["AheadMilliseconds"]) == (False, 0)
    done = main_server.nilas("clock", "advance", "1m", check=False)
    assert done.returncode == 1 and "--virtual-clock on" in done.stderr


def test_a_function_that_may_not_run_gives_its_events_up():
    with running(MODES[0]) as server:
        name = deploy(server)
        server.client("s3").create_bucket(Bucket="never-run")
        server.lambda_.put_function_event_invoke_config(
            FunctionName=name, DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::never-run"}}
        )
        server.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        invoke_event(server, name, {"id": 1})
        assert wait_for(lambda: server.client("s3").list_objects_v2(Bucket="never-run").get("Contents"))
        assert runs(server, name) == []
