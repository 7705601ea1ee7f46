"""CloudWatch Logs through the AWS CLI and through polling as deployment tools do it."""

import json
import os
import re
import subprocess
import time

import pytest

V2 = os.environ.get("AWS_V2", "aws-v2-is-missing")
TALK = "exports.handler = async (e) => { console.log(e.say); return 1 }"


def said(server, group, text, within=10):
    logs, deadline = server.client("logs"), time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if any(text in e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]):
                return
        except logs.exceptions.ResourceNotFoundException:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{text!r} is not in {group}")


@pytest.fixture
def talker(main_server):
    name = main_server.deploy(TALK)
    group = f"/aws/lambda/{name}"
    main_server.invoke(name, {"say": "before the tail"})
    said(main_server, group, "before the tail")
    return main_server, name, group


def test_tail_follows_what_is_said_meanwhile(talker):
    server, name, group = talker
    environment = {**server.environment_variables(), "PYTHONUNBUFFERED": "1"}
    tail = subprocess.Popen(
        [V2, "logs", "tail", group, "--follow", "--since", "5m", "--format", "short", "--color", "off"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        os.set_blocking(tail.stdout.fileno(), False)
        seen = ""

        def wait_for(text):
            nonlocal seen
            deadline = time.monotonic() + 40
            while text not in seen and tail.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
                seen += (tail.stdout.read() or b"").decode(errors="replace")
            assert text in seen, seen

        wait_for("before the tail")
        for number in range(3):
            server.invoke(name, {"say": f"meanwhile {number}"})
            wait_for(f"meanwhile {number}")
        assert seen.count("before the tail") == 1, "no event comes twice"
    finally:
        tail.terminate()
        tail.wait(10)


def test_formats_and_filters_of_tail(talker):
    server, name, group = talker
    server.invoke(name, {"say": '{"level": "warn", "n": 7}'})
    said(server, group, '"n": 7')
    tail = ["logs", "tail", group, "--since", "10m"]
    detailed = server.aws(*tail, program=V2).stdout
    assert re.search(r"^\S+ \d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32} .*before the tail$", detailed, re.M), detailed
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d .*before the tail$", server.aws(*tail, "--format", "short", program=V2).stdout, re.M)
    assert '"n": 7' in server.aws(*tail, "--format", "json", program=V2).stdout
    found = server.aws(*tail, "--filter-pattern", "before", program=V2).stdout
    assert "before the tail" in found and "REPORT" not in found
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert server.aws("logs", "tail", group, "--since", later, program=V2).stdout == ""
    missing = server.aws("logs", "tail", "/aws/lambda/missing", program=V2, check=False)
    assert missing.returncode != 0 and "ResourceNotFoundException" in missing.stderr


@pytest.mark.parametrize("program", [None, V2], ids=["cli-v1", "cli-v2"])
def test_groups_streams_and_events_through_the_cli(talker, program):
    server, _, group = talker

    def run(*arguments):
        return json.loads(server.aws("logs", *arguments, program=program).stdout)

    (described,) = run("describe-log-groups", "--log-group-name-prefix", group)["logGroups"]
    assert described["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    assert described["logGroupArn"] == described["arn"].removesuffix(":*")
    (stream,) = run("describe-log-streams", "--log-group-name", group, "--order-by", "LastEventTime", "--descending")["logStreams"]
    assert stream["lastEventTimestamp"] >= stream["firstEventTimestamp"]
    events = run("get-log-events", "--log-group-name", group, "--log-stream-name", stream["logStreamName"], "--start-from-head")
    assert any("before the tail" in e["message"] for e in events["events"])
    found = run("filter-log-events", "--log-group-name", group, "--filter-pattern", "tail")["events"]
    assert [e["message"].endswith("before the tail\n") for e in found] == [True]


def test_get_log_events_pages_both_ways(main_server):
    logs, group = main_server.client("logs"), f"/paging/{time.monotonic_ns()}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now + n, "message": str(n)} for n in range(25)])

    def walk(token_name, **members):
        pages, token = [], None
        while True:
            page = logs.get_log_events(logGroupName=group, logStreamName="s", limit=10, **members, **({"nextToken": token} if token else {}))
            if page[token_name] == token:
                return pages
            pages.append([int(e["message"]) for e in page["events"]])
            token = page[token_name]

    forward = walk("nextForwardToken", startFromHead=True)
    assert [n for page in forward for n in page] == list(range(25))
    backward = [page for page in walk("nextBackwardToken") if page]
    assert backward == [list(range(15, 25)), list(range(5, 15)), list(range(5))]
    seen = []
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 4}):
        seen += [int(e["message"]) for e in page["events"]]
    assert seen == list(range(25))


def test_polling_as_the_serverless_framework_does(talker):
    """DescribeLogStreams for the newest streams, FilterLogEvents on them from the last time seen, each second."""
    server, name, group = talker
    logs, since, seen = server.client("logs"), int(time.time() * 1000) - 60_000, {}
    for number in range(3):
        server.invoke(name, {"say": f"poll {number}"})
        said(server, group, f"poll {number}")
        streams = logs.describe_log_streams(logGroupName=group, descending=True, limit=50, orderBy="LastEventTime")["logStreams"]
        names = [s["logStreamName"] for s in streams]
        answer = logs.filter_log_events(logGroupName=group, logStreamNames=names, interleaved=True, startTime=since)
        for event in answer["events"]:
            assert isinstance(event["timestamp"], int) and event["logStreamName"] in names
            assert event["eventId"] not in seen, "an event after the last time seen is new"
            seen[event["eventId"]] = event["message"]
        since = max(e["timestamp"] for e in answer["events"]) + 1
    assert [m.split("\t")[3].strip() for m in seen.values() if "poll" in m] == [f"poll {n}" for n in range(3)]
