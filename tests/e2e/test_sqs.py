"""SQS, driven by boto3 (which checks every digest) and the aws CLI."""

import concurrent.futures
import json
import os
import time
import uuid

import botocore.exceptions
import pytest

from conftest import MODES, running
from test_async import deploy, invoke_event, nilas


@pytest.fixture
def sqs(main_server):
    return main_server.client("sqs")


def make(sqs, suffix="", **attributes):
    return sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}{suffix}", Attributes=attributes)["QueueUrl"]


def arn_of(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(sqs, url, **arguments):
    arguments = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"], **arguments}
    return sqs.receive_message(QueueUrl=url, **arguments).get("Messages", [])


def refusal(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_message_is_sent_received_and_deleted(sqs):
    url = make(sqs)
    attributes = {
        "text": {"DataType": "String", "StringValue": "bücher"},
        "number": {"DataType": "Number.int", "StringValue": "17"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = sqs.send_message(QueueUrl=url, MessageBody="hello ☃", MessageAttributes=attributes, MessageSystemAttributes=header)
    [message] = receive(sqs, url)
    assert (message["Body"], message["MessageId"]) == ("hello ☃", sent["MessageId"])
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert message["Attributes"]["AWSTraceHeader"].startswith("Root=1-5759e988")
    assert receive(sqs, url) == [], "nobody else sees it"
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    assert [found[name] for name in counts] == ["0", "1", "0"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_visibility_is_changed_and_ends(sqs):
    url = make(sqs, VisibilityTimeout="1")
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [first] = receive(sqs, url)
    assert receive(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    [second] = receive(sqs, url)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    code, _ = refusal(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=5)
    assert code == "InvalidParameterValue"
    [third] = receive(sqs, url, WaitTimeSeconds=5)
    assert third["Attributes"]["ApproximateReceiveCount"] == "3"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_a_poll_waits_for_a_message(sqs):
    url = make(sqs)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        polled = pool.submit(receive, sqs, url, WaitTimeSeconds=20)
        time.sleep(0.3)
        sqs.send_message(QueueUrl=url, MessageBody="late")
        assert [message["Body"] for message in polled.result(10)] == ["late"]
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    assert receive(sqs, url) == []
    assert [message["Body"] for message in receive(sqs, url, WaitTimeSeconds=10)] == ["later"]


def test_batches(sqs):
    url = make(sqs)
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(9)] + [{"Id": "bad", "MessageBody": "x", "DelaySeconds": 901}]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert len(sent["Successful"]) == 9
    assert [(e["Id"], e["Code"], e["SenderFault"]) for e in sent["Failed"]] == [("bad", "InvalidParameterValue", True)]
    messages = receive(sqs, url)
    assert {message["Body"] for message in messages} == {f"m{n}" for n in range(9)}
    handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
    sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{**handle, "VisibilityTimeout": 60} for handle in handles])
    done = sqs.delete_message_batch(QueueUrl=url, Entries=handles + [{"Id": "no", "ReceiptHandle": "nonsense"}])
    assert len(done["Successful"]) == 9 and done["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    assert refusal(sqs.send_message_batch, QueueUrl=url, Entries=[])[0] == "AWS.SimpleQueueService.EmptyBatchRequest"
    twice = [{"Id": "a", "MessageBody": "x"}] * 2
    assert refusal(sqs.send_message_batch, QueueUrl=url, Entries=twice)[0] == "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"
    many = [{"Id": str(n), "MessageBody": "x"} for n in range(11)]
    assert refusal(sqs.send_message_batch, QueueUrl=url, Entries=many) == (
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 11.",
    )
    large = [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]
    assert refusal(sqs.send_message_batch, QueueUrl=url, Entries=large)[0] == "AWS.SimpleQueueService.BatchRequestTooLong"


def test_what_was_received_too_often_goes_to_the_dead_letter_queue(sqs):
    dead = make(sqs)
    policy = json.dumps({"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": "2"})
    url = make(sqs, RedrivePolicy=policy, VisibilityTimeout="0")
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert [len(receive(sqs, url)) for _ in range(3)] == [1, 1, 0]
    [message] = receive(sqs, dead)
    assert (message["Body"], message["MessageId"]) == ("poison", sent["MessageId"])
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(sqs, url)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    missing = json.dumps({"deadLetterTargetArn": arn_of(sqs, dead) + "-not", "maxReceiveCount": 2})
    assert refusal(sqs.set_queue_attributes, QueueUrl=url, Attributes={"RedrivePolicy": missing})[0] == "InvalidParameterValue"


def test_fifo_keeps_order_and_takes_nothing_twice(sqs):
    url = make(sqs, ".fifo", FifoQueue="true", ContentBasedDeduplication="true")

    def send(body, group, **arguments):
        return sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, **arguments)

    numbers = [send(f"{group}{n}", group)["SequenceNumber"] for n in range(3) for group in "ab"]
    assert numbers == sorted(numbers) and all(len(number) == 20 for number in numbers)
    again = send("a0", "a")
    assert again["SequenceNumber"] == numbers[0]
    [first] = receive(sqs, url, MaxNumberOfMessages=1)
    assert first["Body"] == "a0"
    others = [message["Body"] for message in receive(sqs, url)]
    assert others == ["b0", "b1", "b2"], "the group of what is in flight waits"
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert [message["Body"] for message in receive(sqs, url)] == ["a1", "a2"]
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody="x") == (
        "MissingParameter",
        "The request must contain the parameter MessageGroupId.",
    )
    plain = make(sqs, ".fifo", FifoQueue="true")
    assert refusal(sqs.send_message, QueueUrl=plain, MessageBody="x", MessageGroupId="g")[0] == "InvalidParameterValue"
    assert refusal(sqs.create_queue, QueueName="no-fifo", Attributes={"FifoQueue": "true"})[0] == "InvalidParameterValue"


def test_queues_are_made_listed_changed_and_deleted(main_server, sqs):
    url = make(sqs, VisibilityTimeout="60")
    name = url.rsplit("/", 1)[1]
    assert url.startswith("http://sqs.us-east-1.localhost:") and url.endswith(f"/000000000000/{name}")
    assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"] == url
    assert refusal(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "61"}) == (
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute VisibilityTimeout",
    )
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["b"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "5", "MaximumMessageSize": "2048"})
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (shown["DelaySeconds"], shown["VisibilityTimeout"], shown["MessageRetentionPeriod"]) == ("5", "60", "345600")
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody="x" * 2_049)[0] == "InvalidParameterValue"
    assert refusal(sqs.set_queue_attributes, QueueUrl=url, Attributes={"VisibilityTimeout": "43201"})[0] == "InvalidAttributeValue"
    assert refusal(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["Nonsense"])[0] == "InvalidAttributeName"
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody="\x00")[0] == "InvalidMessageContents"
    listed = json.loads(main_server.aws("sqs", "list-queues", "--queue-name-prefix", name, program=os.environ.get("AWS_V2")).stdout)
    assert listed["QueueUrls"] == [url]
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=0)
    sqs.purge_queue(QueueUrl=url)
    assert receive(sqs, url) == []
    sqs.delete_queue(QueueUrl=url)
    assert refusal(sqs.get_queue_url, QueueName=name) == (
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
    )
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=url, MessageBody="x")


def test_messages_survive_kill_9_and_expire_by_virtual_time():
    with running(MODES[0], "--virtual-clock", "on") as server:
        sqs = server.client("sqs")
        url = make(sqs, MessageRetentionPeriod="3600")
        sent = [sqs.send_message(QueueUrl=url, MessageBody=str(n))["MessageId"] for n in range(20)]
        [gone, *_] = receive(sqs, url, MaxNumberOfMessages=1)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=gone["ReceiptHandle"])
        server.kill()
        server.start()
        sqs = server.client("sqs")
        left = []
        while messages := receive(sqs, url):
            left += [message["MessageId"] for message in messages]
        assert sorted(left) == sorted(set(sent) - {gone["MessageId"]})
        nilas(server, "clock", "advance", "31s")
        assert len(receive(sqs, url)) == 10, "invisible for 30 s"
        nilas(server, "clock", "advance", "1h")
        assert receive(sqs, url) == []


def test_events_that_fail_go_to_their_dead_letter_queue_and_destination(main_server, sqs):
    dead, failed = make(sqs), make(sqs)
    name = deploy(main_server, DeadLetterConfig={"TargetArn": arn_of(sqs, dead)})
    destination = {"OnFailure": {"Destination": arn_of(sqs, failed)}}
    main_server.lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig=destination)
    request_id = invoke_event(main_server, name, {"id": 1, "fail": True})
    [letter] = receive(sqs, dead, WaitTimeSeconds=20)
    assert json.loads(letter["Body"]) == {"id": 1, "fail": True}
    assert {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()} == {
        "RequestID": request_id,
        "ErrorCode": "200",
        "ErrorMessage": "no good",
    }
    [record] = receive(sqs, failed, WaitTimeSeconds=20)
    assert json.loads(record["Body"])["requestContext"]["requestId"] == request_id
