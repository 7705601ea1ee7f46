"""S3 through boto3 and both AWS CLIs: buckets, objects, uploads in parts, versions, checksums, code of functions."""

import base64
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
import uuid

import botocore.exceptions
import pytest
from conftest import MODES, ROLE, make_zip, running

V2 = os.environ.get("AWS_V2", "aws-v2-is-missing")
MIB = 1_048_576
CLIS = [pytest.param(None, id="v1"), pytest.param(V2, id="v2")]


@pytest.fixture
def s3(main_server):
    return main_server.client("s3")


@pytest.fixture
def bucket(s3):
    name = f"b-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def refused(call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        call(**members)
    answer = refusal.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def test_buckets_come_and_go(main_server, s3, bucket):
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)  # us-east-1 lets its owner do so
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=bucket)[:2] == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert refused(s3.head_bucket, Bucket=bucket)[0] == 404
    missing = (404, "NoSuchBucket", "The specified bucket does not exist")
    assert refused(s3.list_objects_v2, Bucket=bucket) == missing

    west = {"LocationConstraint": "us-west-2"}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=west)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "us-west-2"
    owned = refused(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=west)
    assert owned[:2] == (409, "BucketAlreadyOwnedByYou")
    s3.delete_bucket(Bucket=bucket)


def test_objects_have_what_they_were_put_with(s3, bucket):
    put = s3.put_object(
        Bucket=bucket, Key="a b/ü+&.txt", Body=b"0123456789", ContentType="text/plain", CacheControl="no-cache",
        ContentDisposition="inline", ContentLanguage="de", Metadata={"filesha256": "abc"}, Tagging="t=1&u=2",
    )
    assert put["ETag"] == f'"{hashlib.md5(b"0123456789").hexdigest()}"'
    assert put["ServerSideEncryption"] == "AES256"
    got = s3.get_object(Bucket=bucket, Key="a b/ü+&.txt", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"0123456789"
    assert (got["ContentType"], got["CacheControl"], got["ContentLanguage"]) == ("text/plain", "no-cache", "de")
    assert (got["Metadata"], got["TagCount"], got["AcceptRanges"]) == ({"filesha256": "abc"}, 2, "bytes")
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"] and got["ChecksumType"] == "FULL_OBJECT"
    head = s3.head_object(Bucket=bucket, Key="a b/ü+&.txt")
    assert head["ContentLength"] == 10 and head["Metadata"] == {"filesha256": "abc"}

    part = s3.get_object(Bucket=bucket, Key="a b/ü+&.txt", Range="bytes=2-4")
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert s3.get_object(Bucket=bucket, Key="a b/ü+&.txt", Range="bytes=-3")["Body"].read() == b"789"
    beyond = refused(s3.get_object, Bucket=bucket, Key="a b/ü+&.txt", Range="bytes=20-")
    assert beyond[:2] == (416, "InvalidRange")
    assert refused(s3.get_object, Bucket=bucket, Key="a b/ü+&.txt", IfNoneMatch=put["ETag"])[0] == 304
    assert refused(s3.get_object, Bucket=bucket, Key="a b/ü+&.txt", IfMatch='"x"')[:2] == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="a b/ü+&.txt", Body=b"", IfNoneMatch="*")[0] == 412
    other = s3.get_object(Bucket=bucket, Key="a b/ü+&.txt", ResponseContentType="x/y", ResponseCacheControl="z")
    assert (other["ContentType"], other["CacheControl"]) == ("x/y", "z")
    none = (404, "NoSuchKey", "The specified key does not exist.")
    assert refused(s3.get_object, Bucket=bucket, Key="none") == none
    assert refused(s3.head_object, Bucket=bucket, Key="none")[0] == 404


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept(s3, bucket, algorithm):
    try:
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    except botocore.exceptions.MissingDependencyException:
        pytest.skip(f"botocore computes no {algorithm} here")
    member = f"Checksum{algorithm}"
    assert put[member] == s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[member]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert attributes["Checksum"][member] == put[member] and attributes["ObjectSize"] == 4


def test_wrong_checksums_are_refused(s3, bucket):
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    answer = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"data", ChecksumSHA256=wrong)
    assert answer == (400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"data", ContentMD5=md5)[:2] == (400, "BadDigest")


def test_listings_roll_up_and_go_on(s3, bucket):
    keys = ["a", "b/1", "b/2", "c/1", "c/2/x", "d", "e ü", "f"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    listed = s3.list_objects_v2(Bucket=bucket)
    assert [o["Key"] for o in listed["Contents"]] == keys and listed["KeyCount"] == 8
    rolled = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [o["Key"] for o in rolled["Contents"]] == ["a", "d", "e ü", "f"]
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["b/", "c/"]
    below = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="c/")
    assert [p["Prefix"] for p in below["CommonPrefixes"]] == ["c/2/"] and below["Contents"][0]["Key"] == "c/1"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, StartAfter="d")["Contents"]] == ["e ü", "f"]
    for name in ["list_objects", "list_objects_v2"]:
        pages = s3.get_paginator(name).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
        seen = []
        for page in pages:
            seen += [o["Key"] for o in page.get("Contents", [])] + [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        assert sorted(seen) == ["a", "b/", "c/", "d", "e ü", "f"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="none")["KeyCount"] == 0


def test_copies_and_mass_deletion(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=b"body", Metadata={"m": "1"}, ContentType="text/x", Tagging="t=1")
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    copy = s3.get_object(Bucket=bucket, Key="to")
    assert (copy["Body"].read(), copy["Metadata"], copy["ContentType"]) == (b"body", {"m": "1"}, "text/x")
    assert s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        Bucket=bucket, Key="to", CopySource=f"{bucket}/from", MetadataDirective="REPLACE", Metadata={"m": "2"}
    )
    assert s3.head_object(Bucket=bucket, Key="to")["Metadata"] == {"m": "2"}
    assert refused(s3.copy_object, Bucket=bucket, Key="from", CopySource=f"{bucket}/from")[:2] == (400, "InvalidRequest")
    # The copy outlives its source, whose bytes it shares.
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "from"}, {"Key": "never there"}]})
    assert [d["Key"] for d in done["Deleted"]] == ["from", "never there"]
    time.sleep(2.5)
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == b"body"


def test_uploads_in_parts(s3, bucket):
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"tail"]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", Metadata={"m": "1"}, ContentType="x/y")
    upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    sent = [
        {"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=body)["ETag"]}
        for n, body in enumerate(parts, 1)
    ]
    assert [p["Size"] for p in s3.list_parts(**upload)["Parts"]] == [5 * MIB, 5 * MIB, 4]
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [begun["UploadId"]]
    swapped = {"Parts": [sent[1], sent[0]]}
    assert refused(s3.complete_multipart_upload, **upload, MultipartUpload=swapped)[:2] == (400, "InvalidPartOrder")
    wrong = {"Parts": [{**sent[0], "ETag": '"0"'}]}
    assert refused(s3.complete_multipart_upload, **upload, MultipartUpload=wrong)[:2] == (400, "InvalidPart")
    # Unquoted, as the CLI's transfer client sends them.
    bare = {"Parts": [{**part, "ETag": part["ETag"].strip('"')} for part in sent]}
    whole = s3.complete_multipart_upload(**upload, MultipartUpload=bare)
    sums = b"".join(hashlib.md5(part).digest() for part in parts)
    assert whole["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"".join(parts) and got["Metadata"] == {"m": "1"}
    across = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert across["Body"].read() == parts[0][-2:] + parts[1][:2]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=3)
    assert second["Body"].read() == b"tail" and second["PartsCount"] == 3
    assert refused(s3.list_parts, **upload)[:2] == (404, "NoSuchUpload")


def test_uploads_given_up_and_too_small(s3, bucket):
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    sent = []
    for number in [1, 2]:
        part = s3.upload_part(**upload, PartNumber=number, Body=b"small", ChecksumAlgorithm="SHA256")
        sent.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    small = refused(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": sent})
    assert small[:2] == (400, "EntityTooSmall")
    one = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent[:1]})
    digest = hashlib.sha256(hashlib.sha256(b"small").digest()).digest()
    assert one["ChecksumSHA256"] == base64.b64encode(digest).decode() + "-1" and one["ChecksumType"] == "COMPOSITE"
    begun = s3.create_multipart_upload(Bucket=bucket, Key="other")
    upload = {"Bucket": bucket, "Key": "other", "UploadId": begun["UploadId"]}
    copied = s3.upload_part_copy(**upload, PartNumber=1, CopySource=f"{bucket}/k", CopySourceRange="bytes=1-3")
    assert copied["CopyPartResult"]["ETag"] == f'"{hashlib.md5(b"mal").hexdigest()}"'
    s3.abort_multipart_upload(**upload)
    assert refused(s3.abort_multipart_upload, **upload)[:2] == (404, "NoSuchUpload")


def test_code_of_functions_comes_from_buckets(main_server, s3, bucket):
    lam = main_server.lambda_
    code = make_zip({"index.js": "exports.handler = async () => 'from s3'"})
    s3.put_object(Bucket=bucket, Key="code.zip", Body=code)
    name = f"f-{uuid.uuid4().hex[:12]}"
    members = {"FunctionName": name, "Runtime": "nodejs20.x", "Handler": "index.handler", "Role": ROLE}
    where = {"S3Bucket": bucket, "S3Key": "code.zip"}
    missing = refused(lam.create_function, **members, Code={**where, "S3Key": "none"})
    assert missing == (400, "InvalidParameterValueException", "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")
    created = lam.create_function(**members, Code=where)
    assert created["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert main_server.invoke(name)[0] == "from s3"
    # The object goes; the package, which is the same blob, stays.
    s3.delete_object(Bucket=bucket, Key="code.zip")
    s3.put_object(Bucket=bucket, Key="new.zip", Body=make_zip({"index.js": "exports.handler = async () => 'new'"}))
    time.sleep(2.5)
    assert urllib.request.urlopen(lam.get_function(FunctionName=name)["Code"]["Location"]).read() == code
    lam.update_function_code(FunctionName=name, S3Bucket=bucket, S3Key="new.zip")
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert main_server.invoke(name)[0] == "new"
    # The other way round: the function goes, the object stays.
    lam.delete_function(FunctionName=name)
    time.sleep(2.5)
    assert s3.get_object(Bucket=bucket, Key="new.zip")["ContentLength"] > 0


@pytest.mark.parametrize("program", CLIS)
def test_the_cli_copies_lists_and_removes(main_server, s3, tmp_path, program):
    aws = lambda *arguments: main_server.aws(*arguments, program=program).stdout
    name = f"cli-{uuid.uuid4().hex[:12]}"
    aws("s3", "mb", f"s3://{name}")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/one.txt").write_text("one")
    (tmp_path / "tree/sub/two.txt").write_text("two")
    big = os.urandom(17 * MIB)
    (tmp_path / "big").write_bytes(big)
    aws("s3", "cp", str(tmp_path / "big"), f"s3://{name}/big")
    assert s3.head_object(Bucket=name, Key="big")["ETag"].endswith('-3"')
    aws("s3", "cp", f"s3://{name}/big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == big
    aws("s3", "sync", str(tmp_path / "tree"), f"s3://{name}/tree")
    assert aws("s3", "sync", str(tmp_path / "tree"), f"s3://{name}/tree") == ""
    listed = aws("s3", "ls", "--recursive", f"s3://{name}")
    assert [line.split()[-1] for line in listed.splitlines()] == ["big", "tree/one.txt", "tree/sub/two.txt"]
    assert "PRE tree/" in aws("s3", "ls", f"s3://{name}/")
    url = aws("s3", "presign", f"s3://{name}/tree/one.txt").strip()
    assert urllib.request.urlopen(url).read() == b"one"
    aws("s3", "rb", "--force", f"s3://{name}")
    assert refused(s3.head_bucket, Bucket=name)[0] == 404


def test_presigned_urls_of_both_kinds(main_server, bucket):
    for version in ["s3", "s3v4"]:
        client = main_server.client("s3", signature_version=version)
        put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
        request = urllib.request.Request(put, data=b"signed", method="PUT", headers={"content-type": ""})
        assert urllib.request.urlopen(request).status == 200
        get = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": "k", "ResponseContentType": "text/x"}
        )
        answer = urllib.request.urlopen(get)
        assert (answer.read(), answer.headers["content-type"]) == (b"signed", "text/x")


def test_versions_and_delete_markers(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second")["VersionId"]
    read = lambda **which: s3.get_object(Bucket=bucket, Key="k", **which)["Body"].read()
    assert read() == b"second"
    assert [read(VersionId=v) for v in [first, second, "null"]] == [b"first", b"second", b"null"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] is True
    assert refused(s3.get_object, Bucket=bucket, Key="k")[:2] == (404, "NoSuchKey")
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"])[:2] == (405, "MethodNotAllowed")
    listed = s3.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in listed["Versions"]] == [second, first, "null"]
    assert [m["IsLatest"] for m in listed["DeleteMarkers"]] == [True]
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    seen = [v["VersionId"] for page in pages for v in page.get("Versions", []) + page.get("DeleteMarkers", [])]
    assert seen == [marker["VersionId"], second, first, "null"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert read() == b"second"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    assert read() == b"first"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"new null")
    assert [v["VersionId"] for v in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["null", first]
    assert refused(s3.delete_bucket, Bucket=bucket)[:2] == (409, "BucketNotEmpty")
    for version in ["null", first]:
        s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
    s3.delete_bucket(Bucket=bucket)


def test_sub_resources_of_buckets(s3, bucket):
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=kms)
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"")["ServerSideEncryption"] == "aws:kms"
    s3.delete_bucket_encryption(Bucket=bucket)
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    missing = [
        (s3.get_bucket_policy, "NoSuchBucketPolicy"), (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"), (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
    ]
    for call, code in missing:
        assert refused(call, Bucket=bucket)[:2] == (404, code)
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 3}]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=cors)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == cors["CORSRules"]
    rules = [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "p"}, "Expiration": {"Days": 3}}]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    site = {"IndexDocument": {"Suffix": "index.html"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
    assert s3.get_bucket_website(Bucket=bucket)["IndexDocument"] == site["IndexDocument"]
    grants = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert [g["Permission"] for g in grants] == ["FULL_CONTROL"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    target = {"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:ObjectCreated:*"]}]}
    answer = refused(s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=target)
    assert answer[:2] == (400, "InvalidArgument")  # There is no such queue.
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


def test_only_public_objects_are_read_without_a_signature(main_server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="open/k", Body=b"open")
    s3.put_object(Bucket=bucket, Key="closed", Body=b"closed")

    def fetch(path, host=None):
        request = urllib.request.Request(f"{main_server.url}{path}", headers={"host": host} if host else {})
        try:
            return urllib.request.urlopen(request).read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, "<Code>AccessDenied</Code>" in refusal.read().decode()

    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert fetch(f"/{bucket}/open/k") == (403, True)
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=policy)[:2] == (403, "AccessDenied")
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    assert fetch(f"/{bucket}/open/k") == b"open"
    assert fetch("/open/k", host=f"{bucket}.localhost") == b"open"
    assert fetch(f"/{bucket}/closed") == (403, True)
    assert fetch(f"/{bucket}/open/none") == (404, False)
    assert fetch("/", host=f"{bucket}.localhost") == (403, True)


def test_objects_survive_a_crash():
    with running(MODES[0]) as own_server:
        s3 = own_server.client("s3")
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="k", Body=b"body", Metadata={"m": "1"})
        s3.put_object(Bucket="kept", Key="gone", Body=b"other")
        s3.delete_object(Bucket="kept", Key="gone")
        own_server.kill()
        own_server.start()
        got = s3.get_object(Bucket="kept", Key="k")
        assert got["Body"].read() == b"body" and got["Metadata"] == {"m": "1"}
        blobs = lambda: sorted(p.name for p in (own_server.data_dir / "blobs").rglob("*") if p.is_file())
        deadline = time.monotonic() + 10
        while len(blobs()) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert blobs() == [hashlib.sha256(b"body").hexdigest()]
