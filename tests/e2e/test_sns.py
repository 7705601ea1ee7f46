"""SNS, driven by boto3: topics, subscriptions, filters, deliveries and their forms."""

import base64
import http.server
import json
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import botocore.exceptions
import pytest

PRINT = """
import json
def handler(event, context):
    print("saw " + json.dumps(event))
"""


@pytest.fixture
def sns(main_server):
    return main_server.client("sns")


def make(sns, suffix="", **attributes):
    return sns.create_topic(Name=f"t-{uuid.uuid4().hex[:8]}{suffix}", Attributes=attributes)["TopicArn"]


def queue(server, suffix="", **attributes):
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}{suffix}", Attributes=attributes)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(server, url, count):
    sqs, messages, deadline = server.client("sqs"), [], time.monotonic() + 10
    while len(messages) < count and time.monotonic() < deadline:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"], MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            messages.append(message)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert len(messages) == count, messages
    return messages


def refusal(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def text(value, kind="String"):
    return {"DataType": kind, "StringValue": value}


def fetch(server, url):
    """What a link in a message answers, at the address of the server."""
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname == "sns.us-east-1.localhost" and parts.port == server.port, url
    return urllib.request.urlopen(f"{server.url}{parts.path}?{parts.query}", timeout=10).read()


def verify(server, body, names):
    """As AWS's page "Verifying the signatures of Amazon SNS messages" says."""
    signed = "".join(f"{name}\n{body[name]}\n" for name in names if name in body)
    digest = "-sha1" if body["SignatureVersion"] == "1" else "-sha256"
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        (directory / "certificate").write_bytes(fetch(server, body["SigningCertURL"]))
        (directory / "signature").write_bytes(base64.b64decode(body["Signature"]))
        show = ["openssl", "x509", "-in", "certificate", "-pubkey", "-noout", "-out", "key"]
        subprocess.run(show, cwd=directory, check=True)
        check = ["openssl", "dgst", digest, "-verify", "key", "-signature", "signature"]
        subprocess.run(check, cwd=directory, check=True, input=signed.encode(), capture_output=True)


NOTIFICATION = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
CONFIRMATION = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]


class Endpoint:
    """An HTTP endpoint that keeps what it is sent, and answers `statuses` one after the other, then 200."""

    def __init__(self, statuses=()):
        self.posts, statuses = [], list(statuses)
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                posts.append((dict(self.headers.items()), body.decode(), time.monotonic()))
                self.send_response(statuses.pop(0) if statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def wait(self, count):
        deadline = time.monotonic() + 15
        while len(self.posts) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.posts) >= count, self.posts
        return self.posts[count - 1]


def test_topics_are_made_listed_changed_and_deleted(sns):
    arn = make(sns, DisplayName="Alarms")
    name = arn.rsplit(":", 1)[1]
    assert sns.create_topic(Name=name, Attributes={"DisplayName": "Alarms"})["TopicArn"] == arn
    message = "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
    assert refusal(sns.create_topic, Name=name, Attributes={"DisplayName": "x"}) == (400, "InvalidParameter", message)
    assert arn in [topic["TopicArn"] for page in sns.get_paginator("list_topics").paginate() for topic in page["Topics"]]
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (attributes["DisplayName"], attributes["Owner"], attributes["SubscriptionsConfirmed"]) == ("Alarms", "000000000000", "0")
    assert json.loads(attributes["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    for key, value in [
        ("SignatureVersion", "2"), ("TracingConfig", "Active"), ("KmsMasterKeyId", "alias/aws/sns"), ("DisplayName", "y"),
        ("DeliveryPolicy", json.dumps({"http": {"defaultHealthyRetryPolicy": {"numRetries": 5}}})),
    ]:
        sns.set_topic_attributes(TopicArn=arn, AttributeName=key, AttributeValue=value)
        assert sns.get_topic_attributes(TopicArn=arn)["Attributes"][key] == value
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    sns.add_permission(TopicArn=arn, Label="other", AWSAccountId=["111122223333"], ActionName=["Publish"])
    policy = json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["__default_statement_ID", "other"]
    sns.remove_permission(TopicArn=arn, Label="other")
    assert refusal(sns.remove_permission, TopicArn=arn, Label="other")[2] == "Invalid parameter: Statement does not exist"
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    assert refusal(sns.get_topic_attributes, TopicArn=arn) == (404, "NotFound", "Topic does not exist")


def test_what_is_not_right_is_refused_in_awss_words(main_server, sns):
    arn, fifo = make(sns), make(sns, ".fifo", FifoTopic="true")
    missing = arn + "x"
    for expected, call, arguments in [
        ((400, "InvalidParameter", "Invalid parameter: Topic Name"), sns.create_topic, {"Name": "a b"}),
        ((404, "NotFound", "Topic does not exist"), sns.publish, {"TopicArn": missing, "Message": "m"}),
        ((400, "InvalidParameter", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1"), sns.publish, {"TopicArn": "t", "Message": "m"}),
        ((400, "InvalidParameter", "Invalid parameter: Empty message"), sns.publish, {"TopicArn": arn, "Message": ""}),
        ((400, "InvalidParameter", "Invalid parameter: Message too long"), sns.publish, {"TopicArn": arn, "Message": "x" * 262_145}),
        ((400, "InvalidParameter", "Invalid parameter: Subject"), sns.publish, {"TopicArn": arn, "Message": "m", "Subject": "a\nb"}),
        ((400, "InvalidParameter", "Invalid parameter: Subject"), sns.publish, {"TopicArn": arn, "Message": "m", "Subject": "s" * 101}),
        ((400, "InvalidParameter", "Invalid parameter: Message Structure - No default entry in JSON message body"), sns.publish, {"TopicArn": arn, "Message": '{"sqs": "x"}', "MessageStructure": "json"}),
        ((400, "InvalidParameter", "Invalid parameter: Message Structure - JSON message body failed to parse"), sns.publish, {"TopicArn": arn, "Message": "{", "MessageStructure": "json"}),
        ((400, "InvalidParameter", "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"), sns.publish, {"TopicArn": fifo, "Message": "m"}),
        ((400, "InvalidParameter", "Invalid parameter: AttributeName"), sns.set_topic_attributes, {"TopicArn": arn, "AttributeName": "Nothing", "AttributeValue": "1"}),
        ((400, "InvalidParameter", "Invalid parameter: SQS endpoint ARN"), sns.subscribe, {"TopicArn": arn, "Protocol": "sqs", "Endpoint": "q"}),
        ((400, "InvalidParameter", "Invalid parameter: Amazon SNS does not support this protocol string: pigeon"), sns.subscribe, {"TopicArn": arn, "Protocol": "pigeon", "Endpoint": "q"}),
        ((400, "InvalidParameter", "Invalid parameter: Token"), sns.confirm_subscription, {"TopicArn": arn, "Token": "x"}),
        ((404, "ResourceNotFound", "Resource does not exist"), sns.list_tags_for_resource, {"ResourceArn": missing}),
        ((404, "NotFound", "Subscription does not exist"), sns.get_subscription_attributes, {"SubscriptionArn": f"{arn}:x"}),
    ]:
        assert refusal(call, **arguments) == expected
    assert refusal(sns.create_platform_application, Name="a", Platform="GCM", Attributes={})[:2] == (501, "NotImplemented")
    bad = {"n": text("x", "Number")}
    assert refusal(sns.publish, TopicArn=arn, Message="m", MessageAttributes=bad)[1] == "ParameterValueInvalid"
    bad = {"n": text("x", "String.Array")}
    assert refusal(sns.publish, TopicArn=arn, Message="m", MessageAttributes=bad)[1] == "ParameterValueInvalid"
    with pytest.raises(urllib.error.HTTPError) as nobody:
        urllib.request.urlopen(f"{main_server.url}/?Action=Publish&TopicArn={arn}&Message=m")
    assert nobody.value.code == 403


def test_a_queue_gets_a_signed_envelope_or_the_message_itself(main_server, sns):
    arn, (url, queue_arn), (raw_url, raw_arn) = make(sns), queue(main_server), queue(main_server)
    subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)["SubscriptionArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=raw_arn, Attributes={"RawMessageDelivery": "true"})
    assert sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)["SubscriptionArn"] == subscription
    attributes = {"a": text("ü"), "n": text("1.5", "Number"), "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    sent = sns.publish(TopicArn=arn, Message='hello "☃"', Subject="Greeting", MessageAttributes=attributes)
    [message] = receive(main_server, url, 1)
    body = json.loads(message["Body"])
    assert list(body) == [
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL",
        "UnsubscribeURL", "MessageAttributes",
    ]
    assert message["Body"].startswith('{\n  "Type" : "Notification",\n  "MessageId" : "')
    assert (body["MessageId"], body["Message"], body["Subject"], body["SignatureVersion"]) == (sent["MessageId"], 'hello "☃"', "Greeting", "1")
    assert body["MessageAttributes"] == {
        "a": {"Type": "String", "Value": "ü"}, "b": {"Type": "Binary", "Value": "AP8="}, "n": {"Type": "Number", "Value": "1.5"},
    }
    verify(main_server, body, NOTIFICATION)
    [raw] = receive(main_server, raw_url, 1)
    assert (raw["Body"], raw["MessageAttributes"]) == ('hello "☃"', attributes)
    sns.set_topic_attributes(TopicArn=arn, AttributeName="SignatureVersion", AttributeValue="2")
    sns.publish(TopicArn=arn, Message=json.dumps({"default": "d", "sqs": "for queues"}), MessageStructure="json")
    body = json.loads(receive(main_server, url, 1)[0]["Body"])
    assert (body["Message"], body["SignatureVersion"], "Subject" in body) == ("for queues", "2", False)
    verify(main_server, body, NOTIFICATION)
    fetch(main_server, body["UnsubscribeURL"])
    assert [one["Endpoint"] for one in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]] == [raw_arn]


def test_a_function_gets_an_event_if_its_policy_lets_the_topic(main_server, sns):
    arn = make(sns)
    name = main_server.deploy(PRINT, runtime="python3.12")
    function = main_server.lambda_.get_function_configuration(FunctionName=name)["FunctionArn"]
    url, dead = queue(main_server)
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead})}
    subscription = sns.subscribe(TopicArn=arn, Protocol="lambda", Endpoint=function, Attributes=redrive)["SubscriptionArn"]
    sns.publish(TopicArn=arn, Message="refused")
    assert "refused" in receive(main_server, url, 1)[0]["Body"], "a dead letter, since the policy does not let it"
    main_server.lambda_.add_permission(
        FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="sns.amazonaws.com", SourceArn=arn
    )
    sent = sns.publish(TopicArn=arn, Message="seen", MessageAttributes={"a": text("b")})
    logs, deadline, lines = main_server.client("logs"), time.monotonic() + 15, []
    while not lines and time.monotonic() < deadline:
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="saw")["events"]
        except logs.exceptions.ResourceNotFoundException:
            events = []
        lines = [json.loads(event["message"].split("saw ", 1)[1]) for event in events]
        time.sleep(0.1)
    [record] = lines[0]["Records"]
    assert (record["EventSource"], record["EventVersion"], record["EventSubscriptionArn"]) == ("aws:sns", "1.0", subscription)
    message = record["Sns"]
    assert (message["MessageId"], message["Message"], message["Subject"]) == (sent["MessageId"], "seen", None)
    assert message["MessageAttributes"] == {"a": {"Type": "String", "Value": "b"}}
    assert message["SigningCertUrl"].endswith(".pem") and "Unsubscribe" in message["UnsubscribeUrl"]


def test_an_endpoint_confirms_and_is_tried_again(main_server, sns):
    arn, endpoint = make(sns), Endpoint([200, 500, 200])
    answer = sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=endpoint.url)
    assert answer["SubscriptionArn"] == "pending confirmation"
    headers, body, _ = endpoint.wait(1)
    body = json.loads(body)
    assert headers["x-amz-sns-message-type"] == body["Type"] == "SubscriptionConfirmation"
    assert (headers["x-amz-sns-topic-arn"], headers["x-amz-sns-message-id"]) == (arn, body["MessageId"])
    verify(main_server, body, CONFIRMATION)
    [one] = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert one["SubscriptionArn"] == "PendingConfirmation"
    sns.publish(TopicArn=arn, Message="nobody has confirmed yet")
    assert b"<SubscriptionArn>" + arn.encode() in fetch(main_server, body["SubscribeURL"])
    [one] = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    policy = {"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 2}}
    subscription = one["SubscriptionArn"]
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(policy))
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert (attributes["PendingConfirmation"], attributes["ConfirmationWasAuthenticated"]) == ("false", "false")
    sns.publish(TopicArn=arn, Message="twice")
    _, failed, first = endpoint.wait(2)
    headers, body, second = endpoint.wait(3)
    assert failed == body and 0.9 < second - first < 5
    assert (headers["x-amz-sns-message-type"], headers["x-amz-sns-subscription-arn"]) == ("Notification", subscription)
    verify(main_server, json.loads(body), NOTIFICATION)
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=arn, Message="raw")
    headers, body, _ = endpoint.wait(4)
    assert (headers["x-amz-sns-rawdelivery"], body) == ("true", "raw")
    sns.unsubscribe(SubscriptionArn=subscription)
    assert json.loads(endpoint.wait(5)[1])["Type"] == "UnsubscribeConfirmation"


def test_an_endpoint_that_refuses_has_its_message_in_the_dead_letter_queue(main_server, sns):
    arn, endpoint, (url, dead) = make(sns), Endpoint([200, 500, 500, 403]), queue(main_server)
    attributes = {
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead}),
        "DeliveryPolicy": json.dumps({"healthyRetryPolicy": {"numRetries": 1, "numNoDelayRetries": 1}}),
    }
    subscription = sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=endpoint.url, Attributes=attributes, ReturnSubscriptionArn=True)
    token = json.loads(endpoint.wait(1)[1])["Token"]
    assert sns.confirm_subscription(TopicArn=arn, Token=token)["SubscriptionArn"] == subscription["SubscriptionArn"]
    for text_of in ["out of tries", "refused for good"]:
        sns.publish(TopicArn=arn, Message=text_of)
        assert json.loads(receive(main_server, url, 1)[0]["Body"])["Message"] == text_of
    assert len(endpoint.posts) == 4


def test_mail_is_in_the_outbox(main_server, sns):
    arn, address = make(sns), f"{uuid.uuid4().hex}@example.com"
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=address)

    def mails(count):
        deadline, found = time.monotonic() + 10, []
        while len(found) < count and time.monotonic() < deadline:
            paths = (main_server.data_dir / "outbox").glob("*.eml")
            found = [mail for mail in (path.read_bytes().decode() for path in paths) if f"To: {address}\r\n" in mail]
            time.sleep(0.05)
        return found

    [confirmation] = mails(1)
    [link] = [line for line in confirmation.splitlines() if line.startswith("http://")]
    fetch(main_server, link)
    sns.publish(TopicArn=arn, Message="the text", Subject="The subject")
    [mail] = [mail for mail in mails(2) if "Subject: The subject\r\n" in mail]
    assert "\r\n\r\nthe text\n" in mail


FILTERS = [
    ({"store": ["a"]}, {"store": text("a")}, True),
    ({"store": ["a"]}, {"store": text("b")}, False),
    ({"store": ["a"]}, {}, False),
    ({"store": [{"anything-but": ["a"]}]}, {"store": text("b")}, True),
    ({"store": [{"prefix": "ab"}]}, {"store": text("abc")}, True),
    ({"store": [{"suffix": "bc"}]}, {"store": text("abc")}, True),
    ({"store": [{"equals-ignore-case": "ABC"}]}, {"store": text("abc")}, True),
    ({"store": [{"exists": False}]}, {}, True),
    ({"store": [{"exists": True}]}, {}, False),
    ({"price": [{"numeric": [">", 0, "<=", 10]}]}, {"price": text("10", "Number")}, True),
    ({"price": [{"numeric": [">", 0, "<=", 10]}]}, {"price": text("10.5", "Number")}, False),
    ({"price": [7]}, {"price": text("7.0", "Number")}, True),
    ({"ip": [{"cidr": "10.0.0.0/24"}]}, {"ip": text("10.0.0.9")}, True),
    ({"all": ["x", "y"]}, {"all": text('["z", "y"]', "String.Array")}, True),
    ({"all": ["x"]}, {"all": text('["z", "y"]', "String.Array")}, False),
    ({"$or": [{"a": ["1"]}, {"b": ["2"]}]}, {"b": text("2")}, True),
    ({"a": ["1"], "b": ["2"]}, {"b": text("2")}, False),
]


def test_filters_of_attributes_let_through_what_matches(main_server, sns):
    url, queue_arn = queue(main_server)
    expected = []
    for number, (policy, attributes, passes) in enumerate(FILTERS):
        arn = make(sns)
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes={"FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"})
        sns.publish(TopicArn=arn, Message=str(number), MessageAttributes=attributes)
        expected += [number] if passes else []
    assert sorted(int(message["Body"]) for message in receive(main_server, url, len(expected))) == expected


def test_filters_of_bodies_and_filters_that_are_none(main_server, sns):
    arn, (url, queue_arn) = make(sns), queue(main_server)
    attributes = {"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps({"a": {"b": [1]}}), "RawMessageDelivery": "true"}
    subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes=attributes)["SubscriptionArn"]
    for message in ["no JSON", '{"a": {"b": 2}}', '{"a": {"b": 1}}', "[1]"]:
        sns.publish(TopicArn=arn, Message=message)
    assert receive(main_server, url, 1)[0]["Body"] == '{"a": {"b": 1}}'
    set_policy = lambda policy: refusal(sns.set_subscription_attributes, SubscriptionArn=subscription, AttributeName="FilterPolicy", AttributeValue=policy)
    assert set_policy("{")[1:] == ("InvalidParameter", "Invalid parameter: FilterPolicy: failed to parse JSON.")
    assert set_policy(json.dumps({str(n): ["a"] for n in range(6)}))[2].endswith("can not have more than 5 keys")
    assert set_policy(json.dumps({str(n): list("abcdef") for n in range(3)}))[2].endswith("Filter policy is too complex")
    assert set_policy('{"a": [{"nothing": 1}]}')[2].startswith("Invalid parameter: FilterPolicy: Unrecognized match type nothing")
    other = {"FilterPolicy": '{"a": {"b": [1]}}'}
    message = "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"
    assert refusal(sns.subscribe, TopicArn=arn, Protocol="sqs", Endpoint=queue(main_server)[1], Attributes=other)[2] == message


def test_fifo_topics_keep_order_and_take_nothing_twice(main_server, sns):
    arn = make(sns, ".fifo", FifoTopic="true", ContentBasedDeduplication="true")
    url, queue_arn = queue(main_server, ".fifo", FifoQueue="true")
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    sent = [sns.publish(TopicArn=arn, Message=str(n), MessageGroupId="g") for n in range(5)]
    again = sns.publish(TopicArn=arn, Message="0", MessageGroupId="g")
    assert (again["MessageId"], again["SequenceNumber"]) == (sent[0]["MessageId"], sent[0]["SequenceNumber"])
    numbers = [one["SequenceNumber"] for one in sent]
    assert numbers == sorted(numbers) and all(len(number) == 20 for number in numbers)
    messages = receive(main_server, url, 5)
    assert [json.loads(message["Body"])["Message"] for message in messages] == list("01234")
    assert json.loads(messages[0]["Body"])["SequenceNumber"] == numbers[0]
    assert messages[0]["Attributes"]["MessageGroupId"] == "g"
    assert refusal(sns.subscribe, TopicArn=arn, Protocol="email", Endpoint="a@b")[1] == "InvalidParameter"


def test_batches_answer_for_each_entry(main_server, sns):
    arn, (url, queue_arn) = make(sns), queue(main_server)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
    entries = [{"Id": "a", "Message": "1"}, {"Id": "b", "Message": "2", "Subject": "a\nb"}, {"Id": "c", "Message": "3"}]
    answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["a", "c"]
    [failed] = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("b", "InvalidParameter", True)
    assert sorted(message["Body"] for message in receive(main_server, url, 2)) == ["1", "3"]
    publish = lambda entries: refusal(sns.publish_batch, TopicArn=arn, PublishBatchRequestEntries=entries)[1]
    assert publish([{"Id": str(n), "Message": "m"} for n in range(11)]) == "TooManyEntriesInBatchRequest"
    assert publish([{"Id": "a", "Message": "m"}] * 2) == "BatchEntryIdsNotDistinct"
    assert publish([{"Id": "a b", "Message": "m"}]) == "InvalidBatchEntryId"
    assert publish([{"Id": str(n), "Message": "m" * 140_000} for n in range(2)]) == "BatchRequestTooLong"


def test_a_topic_is_told_how_events_of_functions_end(main_server, sns):
    arn, (url, queue_arn) = make(sns), queue(main_server)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    fails = "exports.handler = async () => { throw new Error('no') }"
    name = main_server.deploy(fails, DeadLetterConfig={"TargetArn": arn})
    main_server.lambda_.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    main_server.lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a":1}')
    bodies = [json.loads(message["Body"]) for message in receive(main_server, url, 2)]
    [letter] = [body for body in bodies if body["Message"] == '{"a":1}']
    assert sorted(letter["MessageAttributes"]) == ["ErrorCode", "ErrorMessage", "RequestID"]
    [record] = [json.loads(body["Message"]) for body in bodies if body is not letter]
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_a_stack_makes_topics_and_subscriptions(main_server, sns):
    cloudformation, name = main_server.client("cloudformation"), f"s-{uuid.uuid4().hex[:8]}"
    policy = {"Version": "2012-10-17", "Statement": []}

    def template(**topic):
        return json.dumps({
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue"},
                "Other": {"Type": "AWS::SQS::Queue"},
                "Topic": {"Type": "AWS::SNS::Topic", "Properties": {
                    "Subscription": [{"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]}}],
                    "Tags": [{"Key": "a", "Value": "b"}], **topic,
                }},
                "Subscription": {"Type": "AWS::SNS::Subscription", "Properties": {
                    "TopicArn": {"Ref": "Topic"}, "Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Other", "Arn"]},
                    "RawMessageDelivery": True, "FilterPolicy": {"a": ["b"]},
                }},
                "Policy": {"Type": "AWS::SNS::TopicPolicy", "Properties": {"PolicyDocument": policy, "Topics": [{"Ref": "Topic"}]}},
                "Fifo": {"Type": "AWS::SNS::Topic", "Properties": {"FifoTopic": True, "ContentBasedDeduplication": True}},
                "Inline": {"Type": "AWS::SNS::TopicInlinePolicy", "Properties": {"PolicyDocument": policy, "TopicArn": {"Ref": "Fifo"}}},
            },
            "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}, "Fifo": {"Value": {"Fn::GetAtt": ["Fifo", "TopicName"]}}},
        })

    cloudformation.create_stack(StackName=name, TemplateBody=template(DisplayName="One"))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
    outputs = {one["OutputKey"]: one["OutputValue"] for one in cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]}
    arn = outputs["Topic"]
    assert outputs["Fifo"].endswith(".fifo")
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (attributes["DisplayName"], attributes["SubscriptionsConfirmed"], json.loads(attributes["Policy"])) == ("One", "2", policy)
    assert {"Key": "a", "Value": "b"} in sns.list_tags_for_resource(ResourceArn=arn)["Tags"]
    cloudformation.update_stack(StackName=name, TemplateBody=template(DisplayName="Two", Subscription=[]))
    cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])["Attributes"]
    assert (json.loads(attributes["FilterPolicy"]), attributes["RawMessageDelivery"]) == ({"a": ["b"]}, "true")
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "Two"
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})
    assert refusal(sns.get_topic_attributes, TopicArn=arn)[1] == "NotFound"
