"""Event source mappings of queues, driven by boto3: settings, batches, order, failures, crashes, stacks."""

import json
import time
import uuid

import botocore.exceptions
import pytest

from conftest import MODES, running
from test_async import wait_for

KEEP = """
import json
def handler(event, context):
    records = event["Records"]
    print("batch " + json.dumps([record["body"] for record in records]))
    if any(record["body"] == "throw" for record in records):
        raise ValueError("no good")
    failed = [record["messageId"] for record in records if record["body"].startswith("bad")]
    if any(record["body"] == "unknown" for record in records):
        failed.append("not-a-message")
    return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}
"""
ECHO = """
import json
def handler(event, context):
    print("event " + json.dumps(event))
"""
SLOW = """
import json, time
def handler(event, context):
    print("began " + json.dumps([time.time(), len(event["Records"])]))
    time.sleep(0.5)
    print("ended " + json.dumps([time.time(), len(event["Records"])]))
"""


class Pair:
    """A function, a queue and the mapping between them."""

    def __init__(self, server, code=KEEP, fifo=False, attributes=None, function=None, **mapping):
        self.server, self.lambda_, self.sqs = server, server.lambda_, server.client("sqs")
        self.function = server.deploy(code, runtime="python3.11", **{"Timeout": 3, **(function or {})})
        self.queue = f"q-{uuid.uuid4().hex[:8]}{'.fifo' if fifo else ''}"
        attributes = {"VisibilityTimeout": "3", **(attributes or {})}
        if fifo:
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        self.url = self.sqs.create_queue(QueueName=self.queue, Attributes=attributes)["QueueUrl"]
        self.arn = f"arn:aws:sqs:us-east-1:000000000000:{self.queue}"
        self.created = self.lambda_.create_event_source_mapping(
            FunctionName=self.function, EventSourceArn=self.arn, **mapping
        )
        self.uuid = self.created["UUID"]
        assert self.created["State"] == "Creating"

    def settled(self, uuid=None):
        def found():
            mapping = self.lambda_.get_event_source_mapping(UUID=uuid or self.uuid)
            return mapping if mapping["State"] in ["Enabled", "Disabled"] else None

        return wait_for(found)

    def update(self, **settings):
        self.settled()
        answer = self.lambda_.update_event_source_mapping(UUID=self.uuid, **settings)
        return answer["State"], self.settled()

    def send(self, *bodies, group=None):
        for start in range(0, len(bodies), 10):
            entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies[start : start + 10])]
            if group:
                entries = [{**entry, "MessageGroupId": group} for entry in entries]
            assert not self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries).get("Failed")

    def printed(self, word="batch"):
        logs = self.server.client("logs")
        arguments = {"logGroupName": f"/aws/lambda/{self.function}", "filterPattern": f'"{word} "'}
        try:
            pages = logs.get_paginator("filter_log_events").paginate(**arguments)
            events = [event for page in pages for event in page["events"]]
        except botocore.exceptions.ClientError:
            return []
        return [json.loads(e["message"].split(f"{word} ", 1)[1]) for e in events if e["message"].startswith(word)]

    def counts(self):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return [int(found[name]) for name in names]

    def is_empty(self):
        return self.counts() == [0, 0]


def refusal(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_message_starts_the_function_with_the_event_that_aws_documents(main_server):
    pair = Pair(main_server, ECHO)
    sent = pair.sqs.send_message(
        QueueUrl=pair.url,
        MessageBody="Test message.",
        MessageAttributes={
            "myAttribute": {"DataType": "String", "StringValue": "myValue"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        },
    )
    [event] = wait_for(lambda: pair.printed("event"))
    [record] = event["Records"]
    assert list(record) == [
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfMessageAttributes", "md5OfBody",
        "eventSource", "eventSourceARN", "awsRegion",
    ]
    assert list(record["attributes"]) == [
        "ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
    ]
    assert record["messageAttributes"]["myAttribute"] == {
        "stringValue": "myValue", "stringListValues": [], "binaryListValues": [], "dataType": "String",
    }
    assert record["messageAttributes"]["raw"]["binaryValue"] == "AAE="
    assert (record["messageId"], record["body"]) == (sent["MessageId"], "Test message.")
    assert record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert record["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert (record["eventSource"], record["eventSourceARN"], record["awsRegion"]) == ("aws:sqs", pair.arn, "us-east-1")
    assert wait_for(pair.is_empty)


def test_mappings_are_made_listed_changed_and_deleted(main_server):
    pair = Pair(main_server)
    arn = pair.lambda_.get_function(FunctionName=pair.function)["Configuration"]["FunctionArn"]
    mapping = pair.settled()
    expected = {
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "EventSourceArn": pair.arn,
        "FunctionArn": arn,
        "State": "Enabled",
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": [],
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{pair.uuid}",
    }
    assert {name: mapping[name] for name in expected} == expected
    assert set(mapping) == {*expected, "UUID", "LastModified", "ResponseMetadata"}
    for wanted in [{"FunctionName": pair.function}, {"EventSourceArn": pair.arn}]:
        listed = pair.lambda_.list_event_source_mappings(**wanted)["EventSourceMappings"]
        assert [one["UUID"] for one in listed] == [pair.uuid]
    states = [pair.update(**change)[0] for change in [{"Enabled": False}, {"BatchSize": 5}, {"Enabled": True}]]
    assert states == ["Disabling", "Updating", "Enabling"]
    settings = {
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 1,
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]},
        "ScalingConfig": {"MaximumConcurrency": 2},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    _, mapping = pair.update(**settings)
    assert {name: mapping[name] for name in settings} == settings
    _, mapping = pair.update(
        FilterCriteria={}, ScalingConfig={}, MetricsConfig={"Metrics": []}, FunctionResponseTypes=[]
    )
    assert not {"FilterCriteria", "ScalingConfig", "MetricsConfig"} & set(mapping)
    _, mapping = pair.update(ProvisionedPollerConfig={"MinimumPollers": 2})
    assert mapping["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 200}
    tagged = mapping["EventSourceMappingArn"]
    pair.lambda_.tag_resource(Resource=tagged, Tags={"a": "1", "b": "2"})
    pair.lambda_.untag_resource(Resource=tagged, TagKeys=["a"])
    assert pair.lambda_.list_tags(Resource=tagged)["Tags"] == {"b": "2"}
    assert pair.lambda_.delete_event_source_mapping(UUID=pair.uuid)["State"] == "Deleting"
    missing = ("ResourceNotFoundException", "The resource you requested does not exist.")
    assert wait_for(lambda: not pair.lambda_.list_event_source_mappings(FunctionName=pair.function)["EventSourceMappings"])
    assert refusal(pair.lambda_.get_event_source_mapping, UUID=pair.uuid) == missing
    assert refusal(pair.lambda_.update_event_source_mapping, UUID=pair.uuid, BatchSize=1) == missing
    assert refusal(pair.lambda_.delete_event_source_mapping, UUID=pair.uuid) == missing


def test_what_aws_refuses(main_server):
    pair = Pair(main_server)
    pair.settled()
    sqs, create = pair.sqs, pair.lambda_.create_event_source_mapping
    fifo = sqs.create_queue(QueueName=f"f-{uuid.uuid4().hex[:8]}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    fifo = f"arn:aws:sqs:us-east-1:000000000000:{fifo.rsplit('/')[-1]}"
    name = f"n-{uuid.uuid4().hex[:8]}"
    sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "2"})
    brief = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    code, message = refusal(create, FunctionName=pair.function, EventSourceArn=pair.arn)
    assert code == "ResourceConflictException" and message == (
        f'The event source arn (" {pair.arn} ") and function (" {pair.function} ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {pair.uuid}"
    )
    rows = [
        ({"EventSourceArn": brief}, "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds"),
        ({"EventSourceArn": fifo, "MaximumBatchingWindowInSeconds": 1}, "Batching window is not supported for FIFO queues"),
        (
            {"EventSourceArn": brief, "BatchSize": 11},
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ),
        (
            {"EventSourceArn": brief, "FilterCriteria": {"Filters": [{"Pattern": "{"}]}},
            "Invalid filter pattern definition.",
        ),
        (
            {"EventSourceArn": brief, "StartingPosition": "LATEST"},
            "StartingPosition is not valid for SQS event sources.",
        ),
        (
            {"EventSourceArn": f"{brief}-not-there"},
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
            "SQS Error Message: The specified queue does not exist.",
        ),
        ({}, "Unrecognized event source."),
        ({"EventSourceArn": "arn:aws:sns:us-east-1:000000000000:topic"}, "Unrecognized event source."),
        ({"EventSourceArn": brief, "FunctionName": "not-there"}, "Function does not exist"),
        (
            {
                "EventSourceArn": brief,
                "ScalingConfig": {"MaximumConcurrency": 2},
                "ProvisionedPollerConfig": {"MinimumPollers": 2},
            },
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers as the "
            "control mechanism and remove maximum concurrency.",
        ),
    ]
    for members, expected in rows:
        found = refusal(create, **{"FunctionName": pair.function, **members})
        assert found == ("InvalidParameterValueException", expected), members
    stream = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
    code, message = refusal(create, FunctionName=pair.function, EventSourceArn=stream, StartingPosition="LATEST")
    assert code == "NotImplementedException" and stream in message


def test_batches_fill_within_their_window(main_server):
    pair = Pair(main_server, BatchSize=100, MaximumBatchingWindowInSeconds=1)
    pair.settled()
    bodies = [str(number) for number in range(30)]
    pair.send(*bodies)
    assert wait_for(lambda: sum(map(len, pair.printed())) == 30)
    batches = pair.printed()
    assert len(batches) <= 2 and sorted(map(int, sum(batches, []))) == list(range(30))
    assert wait_for(pair.is_empty)


def test_a_batch_is_cut_at_six_megabytes(main_server):
    code = "def handler(event, context):\n    print('batch ' + str([len(r['body']) for r in event['Records']]))\n"
    pair = Pair(main_server, code, BatchSize=100, MaximumBatchingWindowInSeconds=1)
    pair.settled()
    for _ in range(8):
        pair.sqs.send_message(QueueUrl=pair.url, MessageBody="x" * 1_000_000)
    assert wait_for(lambda: sum(map(len, pair.printed())) == 8)
    assert max(map(len, pair.printed())) == 6
    assert wait_for(pair.is_empty)


def test_a_thousand_messages_are_each_run_once(main_server):
    pair = Pair(main_server, attributes={"VisibilityTimeout": "30"})
    pair.send(*map(str, range(1_000)))
    assert wait_for(lambda: sum(map(len, pair.printed())) >= 1_000, seconds=40)
    time.sleep(0.3)
    assert sorted(map(int, sum(pair.printed(), []))) == list(range(1_000))
    assert wait_for(pair.is_empty)


def test_only_messages_that_fail_come_again_and_then_go_to_the_dead_letter_queue(main_server):
    sqs = main_server.client("sqs")
    dead = sqs.create_queue(QueueName=f"d-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:000000000000:{dead.rsplit('/')[-1]}", "maxReceiveCount": 2}
    pair = Pair(
        main_server,
        attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)},
        function={"Timeout": 1},
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    pair.settled()
    pair.send("good-1", "bad-1", "good-2")
    found = wait_for(lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=5).get("Messages"))
    assert [message["Body"] for message in found] == ["bad-1"]
    runs = sum(pair.printed(), [])
    assert (runs.count("good-1"), runs.count("good-2"), runs.count("bad-1")) == (1, 1, 2)
    pair.send("unknown")
    found = wait_for(lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=5).get("Messages"))
    assert [message["Body"] for message in found] == ["unknown"], "a report of what is not there fails the batch"


def test_an_error_fails_the_whole_batch_and_without_a_report_answers_mean_nothing(main_server):
    pair = Pair(main_server, attributes={"VisibilityTimeout": "1"}, function={"Timeout": 1})
    pair.settled()
    pair.send("bad-but-nobody-asks")
    assert wait_for(pair.is_empty)
    pair.send("throw")
    assert wait_for(lambda: sum(pair.printed(), []).count("throw") >= 2)
    pair.sqs.purge_queue(QueueUrl=pair.url)


def test_groups_of_a_fifo_queue_keep_their_order(main_server):
    pair = Pair(main_server, fifo=True, FunctionResponseTypes=["ReportBatchItemFailures"])
    pair.settled()
    for group in "ab":
        pair.send(*[f"{group}{number:02}" for number in range(25)], group=group)
    assert wait_for(lambda: sum(map(len, pair.printed())) == 50)
    bodies = sum(pair.printed(), [])
    for group in "ab":
        ours = [body for body in bodies if body.startswith(group)]
        assert ours == sorted(ours) and len(ours) == 25
    assert wait_for(pair.is_empty)


def test_messages_that_no_filter_admits_are_deleted(main_server):
    pattern = json.dumps({"body": {"kind": ["order"], "price": [{"numeric": [">", 10]}]}})
    pair = Pair(main_server, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    pair.settled()
    wanted = json.dumps({"kind": "order", "price": 11})
    pair.send(json.dumps({"kind": "order", "price": 9}), "plain text", wanted, json.dumps({"kind": "offer"}))
    assert wait_for(lambda: pair.printed() and pair.is_empty())
    assert pair.printed() == [[wanted]]


def test_no_more_run_at_once_than_the_mapping_allows(main_server):
    pair = Pair(main_server, SLOW, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2}, attributes={"VisibilityTimeout": "30"})
    pair.settled()
    pair.send(*map(str, range(8)))
    assert wait_for(lambda: len(pair.printed("ended")) == 8)
    marks = sorted([(at, 1) for at, _ in pair.printed("began")] + [(at, -1) for at, _ in pair.printed("ended")])
    running, most = 0, 0
    for _, step in marks:
        running += step
        most = max(most, running)
    assert most == 2


def test_a_throttled_batch_is_tried_until_it_runs(main_server):
    pair = Pair(main_server, attributes={"VisibilityTimeout": "30"})
    pair.settled()
    pair.lambda_.put_function_concurrency(FunctionName=pair.function, ReservedConcurrentExecutions=0)
    pair.send("patient")
    assert wait_for(lambda: pair.counts() == [0, 1])
    time.sleep(0.5)
    assert pair.printed() == []
    pair.lambda_.delete_function_concurrency(FunctionName=pair.function)
    assert wait_for(lambda: pair.printed() == [["patient"]] and pair.is_empty())


def test_a_disabled_mapping_leaves_messages_alone(main_server):
    pair = Pair(main_server, Enabled=False)
    assert pair.settled()["State"] == "Disabled"
    pair.send("later")
    time.sleep(0.5)
    assert pair.counts() == [1, 0]
    pair.update(Enabled=True)
    assert wait_for(lambda: pair.printed() == [["later"]])


def test_a_queue_or_function_that_is_gone_disables_the_mapping(main_server):
    pair = Pair(main_server)
    pair.settled()
    pair.sqs.delete_queue(QueueUrl=pair.url)
    assert wait_for(lambda: pair.settled()["State"] == "Disabled")
    mapping = pair.settled()
    assert mapping["StateTransitionReason"] == "LAMBDA_INITIATED"
    assert mapping["LastProcessingResult"] == f"PROBLEM: The queue {pair.arn} does not exist."
    pair.sqs.create_queue(QueueName=pair.queue, Attributes={"VisibilityTimeout": "3"})
    _, mapping = pair.update(Enabled=True)
    assert mapping["State"] == "Enabled" and "LastProcessingResult" not in mapping
    pair.send("again")
    assert wait_for(lambda: pair.printed() == [["again"]])
    pair.lambda_.delete_function(FunctionName=pair.function)
    pair.send("nobody")
    assert wait_for(lambda: pair.settled()["State"] == "Disabled")
    assert "The function" in pair.settled()["LastProcessingResult"]
    assert wait_for(lambda: pair.counts() == [1, 0]), "the message is back at once"


def test_an_alias_is_invoked_as_such(main_server):
    pair = Pair(main_server, Enabled=False)
    pair.lambda_.publish_version(FunctionName=pair.function)
    pair.lambda_.create_alias(FunctionName=pair.function, Name="live", FunctionVersion="1")
    made = pair.lambda_.create_event_source_mapping(FunctionName=f"{pair.function}:live", EventSourceArn=pair.arn)
    assert made["FunctionArn"].endswith(f":function:{pair.function}:live")
    pair.send("to the alias")
    assert wait_for(lambda: pair.printed() == [["to the alias"]])
    listed = pair.lambda_.list_event_source_mappings(FunctionName=f"{pair.function}:live")["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [made["UUID"]]


def test_moved_time_brings_messages_back():
    with running(MODES[0], "--virtual-clock", "on") as server:
        pair = Pair(server, attributes={"VisibilityTimeout": "600"})
        pair.settled()
        pair.send("throw")
        assert wait_for(lambda: pair.printed() == [["throw"]])
        server.nilas("clock", "advance", "9m")
        time.sleep(0.3)
        assert pair.printed() == [["throw"]]
        server.nilas("clock", "advance", "2m")
        assert wait_for(lambda: pair.printed() == [["throw"]] * 2)


def test_mappings_and_messages_survive_kill_9():
    with running(MODES[0]) as server:
        pair = Pair(server, SLOW, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2}, attributes={"VisibilityTimeout": "30"})
        pair.settled()
        pair.send(*map(str, range(6)))
        assert wait_for(lambda: pair.printed("began"))
        server.kill()
        server.start()
        assert pair.settled()["State"] == "Enabled"
        assert wait_for(pair.is_empty)
        # What ran when the server died has run again; nothing is lost.
        assert len(pair.printed("began")) >= 6


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Work:
    Type: AWS::SQS::Queue
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: index.handler
      InlineCode: |
        import json
        def handler(event, context):
            print("batch " + json.dumps([record["body"] for record in event["Records"]]))
      Events:
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            BatchSize: %d
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 3}
Outputs:
  Url: {Value: !Ref Work}
  Worker: {Value: !Ref Worker}
  Mapping: {Value: !Ref WorkerQueue}
"""


def test_sam_connects_a_queue_and_a_function(main_server):
    cfn, lambda_, sqs = (main_server.client(name) for name in ["cloudformation", "lambda", "sqs"])
    name = f"s{uuid.uuid4().hex[:10]}"

    def deploy(change, waiter, size):
        capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
        change(StackName=name, TemplateBody=TEMPLATE % size, Capabilities=capabilities)
        cfn.get_waiter(waiter).wait(StackName=name, WaiterConfig={"Delay": 0.2})
        outputs = cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    outputs = deploy(cfn.create_stack, "stack_create_complete", 5)
    mapping = lambda_.get_event_source_mapping(UUID=outputs["Mapping"])
    assert (mapping["State"], mapping["BatchSize"]) == ("Enabled", 5)
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 3}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    sqs.send_message(QueueUrl=outputs["Url"], MessageBody="from SAM")
    logs = main_server.client("logs")

    def seen():
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{outputs['Worker']}", filterPattern='"from SAM"')
        except botocore.exceptions.ClientError:
            return []
        return found["events"]

    assert wait_for(seen)
    assert deploy(cfn.update_stack, "stack_update_complete", 7)["Mapping"] == outputs["Mapping"]
    assert lambda_.get_event_source_mapping(UUID=outputs["Mapping"])["BatchSize"] == 7
    cfn.delete_stack(StackName=name)
    cfn.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
    code, _ = refusal(lambda_.get_event_source_mapping, UUID=outputs["Mapping"])
    assert code == "ResourceNotFoundException"


SERVICE = """service: SERVICE
provider:
  name: aws
  runtime: python3.11
functions:
  worker:
    handler: handler.handler
    events:
      - sqs:
          arn: !GetAtt Work.Arn
          batchSize: 3
          maximumConcurrency: 2
          functionResponseType: ReportBatchItemFailures
          filterPatterns:
            - body: {kind: [order]}
resources:
  Resources:
    Work:
      Type: AWS::SQS::Queue
      Properties: {QueueName: SERVICE-work}
"""


def test_serverless_yml_connects_a_queue_and_a_function(main_server, tmp_path):
    name = f"s{uuid.uuid4().hex[:10]}"
    (tmp_path / "serverless.yml").write_text(SERVICE.replace("SERVICE", name))
    (tmp_path / "handler.py").write_text(KEEP)
    main_server.nilas("deploy", cwd=tmp_path)
    lambda_, sqs = main_server.client("lambda"), main_server.client("sqs")
    [mapping] = lambda_.list_event_source_mappings(FunctionName=f"{name}-dev-worker")["EventSourceMappings"]
    assert (mapping["BatchSize"], mapping["ScalingConfig"]) == (3, {"MaximumConcurrency": 2})
    assert json.loads(mapping["FilterCriteria"]["Filters"][0]["Pattern"]) == {"body": {"kind": ["order"]}}
    url = sqs.get_queue_url(QueueName=f"{name}-work")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"kind": "order", "from": "serverless.yml"}')
    logs, group = main_server.client("logs"), f"/aws/lambda/{name}-dev-worker"
    assert wait_for(lambda: logs.filter_log_events(logGroupName=group, filterPattern='"serverless.yml"')["events"])
    main_server.nilas("remove", cwd=tmp_path)
    assert refusal(lambda_.get_event_source_mapping, UUID=mapping["UUID"])[0] == "ResourceNotFoundException"
