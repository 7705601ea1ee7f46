"""Events of buckets: which are sent to whom, and what they say."""

import json
import time
import uuid

import botocore.exceptions
import pytest

from conftest import running

PRINT = """
import json
def handler(event, context):
    print("saw " + json.dumps(event))
"""


@pytest.fixture
def bucket(main_server):
    name = f"b-{uuid.uuid4().hex[:12]}"
    main_server.client("s3").create_bucket(Bucket=name)
    return name


def queue(server):
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def configure(server, bucket, **configuration):
    server.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


def filtered(**affixes):
    return {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in affixes.items()]}}


def receive(server, url, count):
    """The records of `count` messages, oldest first; whatever else comes is an error."""
    sqs, records, deadline = server.client("sqs"), [], time.monotonic() + 10
    while len(records) < count and time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
            body = json.loads(message["Body"])
            records.append(body if "Event" in body else body["Records"][0])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert len(records) == count, records
    return sorted(records, key=lambda record: record.get("s3", {}).get("object", {}).get("sequencer", ""))


def refused(call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        call(**members)
    answer = refusal.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def test_a_queue_is_told_of_what_happens(main_server, bucket):
    s3 = main_server.client("s3")
    url, arn = queue(main_server)
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"]
    configure(main_server, bucket, QueueConfigurations=[{"Id": "all", "QueueArn": arn, "Events": events, "Filter": filtered(prefix="in/")}])
    [test] = receive(main_server, url, 1)
    assert (test["Service"], test["Event"], test["Bucket"]) == ("Amazon S3", "s3:TestEvent", bucket)
    put = s3.put_object(Bucket=bucket, Key="in/red flower.jpg", Body=b"12345")
    s3.put_object(Bucket=bucket, Key="out/other.jpg", Body=b"1")
    s3.copy_object(Bucket=bucket, Key="in/copy", CopySource={"Bucket": bucket, "Key": "in/red flower.jpg"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="in/parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="in/parts", UploadId=upload, PartNumber=1, Body=b"abc")
    s3.complete_multipart_upload(
        Bucket=bucket, Key="in/parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    s3.put_object_tagging(Bucket=bucket, Key="in/copy", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="in/copy")
    s3.delete_object(Bucket=bucket, Key="in/copy")
    s3.delete_object(Bucket=bucket, Key="in/never was")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "in/parts"}, {"Key": "out/other.jpg"}]})
    records = receive(main_server, url, 7)
    assert sorted(record["eventName"] for record in records) == sorted([
        "ObjectCreated:Put", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload", "ObjectTagging:Put", "ObjectTagging:Delete",
        "ObjectRemoved:Delete", "ObjectRemoved:Delete",
    ])
    [record] = [record for record in records if record["eventName"] == "ObjectCreated:Put"]
    sequencer, stamp = record["s3"]["object"].pop("sequencer"), record.pop("eventTime")
    assert len(sequencer) == 18 and stamp.endswith("Z")
    request_id = put["ResponseMetadata"]["RequestId"]
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:000000000000"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": request_id, "x-amz-id-2": request_id.replace("-", "")},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "all",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "000000000000"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": "in/red+flower.jpg", "size": 5, "eTag": put["ETag"].strip('"')},
        },
    }
    assert receive(main_server, url, 0) == []


def test_versions_are_named(main_server, bucket):
    s3 = main_server.client("s3")
    url, arn = queue(main_server)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    configure(main_server, bucket, QueueConfigurations=[{"QueueArn": arn, "Events": ["s3:ObjectCreated:Put", "s3:ObjectRemoved:*"]}])
    receive(main_server, url, 1)
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
    told = {(record["eventName"], record["s3"]["object"]["versionId"]) for record in receive(main_server, url, 3)}
    assert told == {("ObjectCreated:Put", version), ("ObjectRemoved:DeleteMarkerCreated", marker), ("ObjectRemoved:Delete", version)}


def test_a_function_is_invoked_if_it_allows_the_bucket(main_server, bucket):
    s3, arn = main_server.client("s3"), None
    name = main_server.deploy(PRINT, runtime="python3.11")
    arn = main_server.lambda_.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    configuration = {"LambdaFunctionConfigurations": [{"Id": "f", "LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": filtered(Suffix=".txt")}]}
    put = s3.put_bucket_notification_configuration
    message = "Unable to validate the following destination configurations"
    assert refused(put, Bucket=bucket, NotificationConfiguration=configuration) == (400, "InvalidArgument", message)
    main_server.lambda_.add_permission(
        FunctionName=name, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}"
    )
    put(Bucket=bucket, NotificationConfiguration=configuration)
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert shown["LambdaFunctionConfigurations"] == configuration["LambdaFunctionConfigurations"]
    s3.put_object(Bucket=bucket, Key="a.png", Body=b"x")
    s3.put_object(Bucket=bucket, Key="a.txt", Body=b"x")
    logs, deadline, seen = main_server.client("logs"), time.monotonic() + 15, []
    while not seen and time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern='"saw "')["events"]
            seen = [json.loads(event["message"].split("saw ", 1)[1]) for event in found]
        except logs.exceptions.ResourceNotFoundException:
            pass
    assert [event["Records"][0]["s3"]["object"]["key"] for event in seen] == ["a.txt"]


def test_bad_configurations_are_refused(main_server, bucket):
    put = main_server.client("s3").put_bucket_notification_configuration
    _, arn = queue(main_server)
    created = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    for configurations, message in [
        ([created, {"QueueArn": arn, "Events": ["s3:ObjectCreated:Put"]}],
         "Configurations overlap. Configurations on the same bucket cannot share a common event type."),
        ([{"QueueArn": arn, "Events": ["s3:Nothing:*"]}], "The event is not supported for notifications"),
        ([created | {"Filter": filtered(infix="x")}], "filter rule name must be either prefix or suffix"),
        ([created | {"QueueArn": arn + "-gone"}], "Unable to validate the following destination configurations"),
    ]:
        assert refused(put, Bucket=bucket, NotificationConfiguration={"QueueConfigurations": configurations}) == (400, "InvalidArgument", message)
    assert refused(put, Bucket="no-such-bucket-here", NotificationConfiguration={})[:2] == (404, "NoSuchBucket")
    put(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [created | {"QueueArn": arn + "-gone"}]}, SkipDestinationValidation=True)
    put(Bucket=bucket, NotificationConfiguration={})
    assert "QueueConfigurations" not in main_server.client("s3").get_bucket_notification_configuration(Bucket=bucket)


def test_acknowledged_uploads_are_told_of_after_a_crash():
    with running("root") as server:
        s3, bucket = server.client("s3"), "crashing"
        s3.create_bucket(Bucket=bucket)
        url, arn = queue(server)
        configure(server, bucket, QueueConfigurations=[{"QueueArn": arn, "Events": ["s3:ObjectCreated:Put"]}])
        keys = {f"k{number}" for number in range(20)}
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        server.kill()
        server.start()
        records = receive(server, url, 21)
        assert {record["s3"]["object"]["key"] for record in records if "s3" in record} == keys


def test_a_stack_configures_a_bucket(main_server):
    cloudformation, name = main_server.client("cloudformation"), f"s-{uuid.uuid4().hex[:8]}"
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "NotificationConfiguration": {
                        "QueueConfigurations": [
                            {"Event": "s3:ObjectCreated:*", "Queue": {"Fn::GetAtt": ["Queue", "Arn"]},
                             "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "in/"}]}}}
                        ]
                    }
                },
            },
        },
        "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}, "Queue": {"Value": {"Ref": "Queue"}}},
    }
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = {one["OutputKey"]: one["OutputValue"] for one in cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]}
    main_server.client("s3").put_object(Bucket=outputs["Bucket"], Key="in/a", Body=b"x")
    records = receive(main_server, outputs["Queue"], 2)
    assert [record.get("eventName", record.get("Event")) for record in records] == ["s3:TestEvent", "ObjectCreated:Put"]
