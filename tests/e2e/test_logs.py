"""CloudWatch Logs as log tools use it."""

import time
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def written(main_server):
    """A function that has written known lines, and a logs client that sees them."""
    name = main_server.deploy("exports.handler = async (e) => { for (const line of e) console.log(line) }")
    main_server.invoke(name, ["alpha ERROR one", "beta two", '{"level": "warn", "n": 7}'])
    logs, group = main_server.client("logs"), f"/aws/lambda/{name}"
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if any("REPORT" in e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]):
                break
        except botocore.exceptions.ClientError:
            pass
        time.sleep(0.05)
    return logs, group


def test_groups_streams_and_events(written):
    logs, group = written
    described = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]
    assert described["logGroupName"] == group and isinstance(described["creationTime"], int)
    stream = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"][0]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    messages = [e["message"] for e in events["events"]]
    order = [next(i for i, m in enumerate(messages) if part in m) for part in ("START", "alpha", "beta", "END", "REPORT")]
    assert order == sorted(order)
    again = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], nextToken=events["nextForwardToken"])
    assert again["events"] == [] and again["nextForwardToken"] == events["nextForwardToken"]


@pytest.mark.parametrize("pattern, count", [("ERROR", 1), ("?alpha ?beta", 2), ('"alpha ERROR"', 1), ("alpha -ERROR", 0), ("nowhere", 0)])
def test_filter_patterns(written, pattern, count):
    logs, group = written
    events = logs.filter_log_events(logGroupName=group, filterPattern=pattern)["events"]
    assert len([e for e in events if "RequestId:" not in e["message"]]) == count


def test_retention_and_deletion(written):
    logs, group = written
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["retentionInDays"] == 7
    logs.delete_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName=group)


def test_own_groups(main_server):
    logs, group = main_server.client("logs"), f"/own/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now, "message": "put"}])
    assert logs.filter_log_events(logGroupName=group)["events"][0]["message"] == "put"
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
