"""The Lambda control plane through boto3: shapes, states, names, paging, packages, errors."""

import base64
import hashlib
import io
import stat
import urllib.request
import uuid
import zipfile

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip

HELLO = "exports.handler = async (event) => event"


@pytest.fixture
def lam(main_server):
    return main_server.client("lambda", parameter_validation=False)


def fails(code, call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**members)
    assert refused.value.response["Error"]["Code"] == code, refused.value.response
    return refused.value.response["Error"]["Message"]


def create(lam, name=None, **members):
    members = {
        "FunctionName": name or f"f-{uuid.uuid4().hex[:12]}", "Runtime": "nodejs20.x", "Handler": "index.handler",
        "Role": ROLE, "Code": {"ZipFile": make_zip({"index.js": HELLO})}, **members,
    }
    return lam.create_function(**{k: v for k, v in members.items() if v is not None})


def active(lam, name):
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})


def updated(lam, name):
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})


def test_defaults_of_create_function(lam):
    package = make_zip({"index.js": HELLO})
    answer = create(lam, "defaults", Code={"ZipFile": package})
    meta = answer.pop("ResponseMetadata")
    assert meta["HTTPStatusCode"] == 201
    for member in ("RevisionId", "LastModified", "RuntimeVersionConfig"):
        assert answer.pop(member)
    assert answer == {
        "FunctionName": "defaults", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:defaults",
        "Runtime": "nodejs20.x", "Role": ROLE, "Handler": "index.handler", "CodeSize": len(package), "Description": "",
        "Timeout": 3, "MemorySize": 128, "CodeSha256": base64.b64encode(hashlib.sha256(package).digest()).decode(),
        "Version": "$LATEST", "TracingConfig": {"Mode": "PassThrough"}, "State": "Pending",
        "StateReason": "The function is being created.", "StateReasonCode": "Creating", "PackageType": "Zip",
        "Architectures": ["x86_64"], "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/defaults"},
    }
    active(lam, "defaults")
    got = lam.get_function(FunctionName="defaults")
    assert got["Configuration"]["State"] == "Active" and got["Configuration"]["LastUpdateStatus"] == "Successful"
    assert got["Code"]["RepositoryType"] == "S3"
    assert urllib.request.urlopen(got["Code"]["Location"]).read() == package
    assert "already exist" in fails("ResourceConflictException", create, lam=lam, name="defaults")


def test_update_publish_and_versions(lam):
    name = create(lam)["FunctionName"]
    active(lam, name)
    first = lam.publish_version(FunctionName=name, Description="one")
    assert first["Version"] == "1" and first["FunctionArn"].endswith(f":{name}:1")
    assert lam.publish_version(FunctionName=name)["Version"] == "1", "nothing changed"
    updated(lam, name)
    answer = lam.update_function_code(FunctionName=name, ZipFile=make_zip({"index.js": HELLO + "\n"}))
    assert answer["LastUpdateStatus"] == "InProgress"
    updated(lam, name)
    lam.update_function_configuration(FunctionName=name, Timeout=9, Environment={"Variables": {"KEY": "v"}})
    updated(lam, name)
    assert lam.publish_version(FunctionName=name)["Version"] == "2"
    versions = lam.list_versions_by_function(FunctionName=name)["Versions"]
    assert [v["Version"] for v in versions] == ["$LATEST", "1", "2"]
    assert lam.get_function_configuration(FunctionName=name, Qualifier="1")["Timeout"] == 3
    assert lam.get_function_configuration(FunctionName=f"{name}:2")["Timeout"] == 9
    lam.delete_function(FunctionName=name, Qualifier="1")
    assert "Function not found" in fails("ResourceNotFoundException", lam.get_function, FunctionName=name, Qualifier="1")
    lam.delete_function(FunctionName=name)
    fails("ResourceNotFoundException", lam.get_function, FunctionName=name)


def test_every_form_of_the_name(lam, main_server):
    name = create(lam)["FunctionName"]
    active(lam, name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    for form in [name, f"{name}:$LATEST", f"function:{name}", f"000000000000:function:{name}", arn, f"{arn}:$LATEST"]:
        assert lam.get_function(FunctionName=form)["Configuration"]["FunctionName"] == name
        assert lam.invoke(FunctionName=form, Payload=b"1")["StatusCode"] == 200
    message = fails("InvalidParameterValueException", lam.get_function, FunctionName=f"{name}:1", Qualifier="2")
    assert message == "The derived qualifier from the function name does not match the specified qualifier."
    message = fails("ResourceNotFoundException", lam.get_function, FunctionName=arn.replace("us-east-1", "eu-west-1"))
    assert message == "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"


def test_the_context_arn_carries_the_qualifier_the_caller_gave(lam, main_server):
    name = main_server.deploy("exports.handler = async (e, c) => c.invokedFunctionArn")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert main_server.invoke(name)[0] == arn
    assert main_server.invoke(name, Qualifier="$LATEST")[0] == arn + ":$LATEST"


def test_list_functions_pages(lam):
    names = sorted(create(lam, f"page-{i}")["FunctionName"] for i in range(5))
    seen = []
    for page in lam.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}):
        assert len(page["Functions"]) <= 2
        seen += [f["FunctionName"] for f in page["Functions"]]
    assert [n for n in seen if n in names] == names and len(seen) == len(set(seen))


def test_tags_and_account_settings(lam):
    created = create(lam, Tags={"a": "1"})
    arn = created["FunctionArn"]
    lam.tag_resource(Resource=arn, Tags={"b": "2"})
    lam.untag_resource(Resource=arn, TagKeys=["a"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    limits = lam.get_account_settings()
    assert limits["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert limits["AccountUsage"]["FunctionCount"] >= 1


def test_dry_run(lam):
    name = create(lam)["FunctionName"]
    active(lam, name)
    assert lam.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204


@pytest.mark.parametrize(
    "members, code, message",
    [
        ({"Runtime": "nodejs99.x"}, "InvalidParameterValueException", "Value nodejs99.x at 'runtime' failed to satisfy constraint"),
        ({"Runtime": "cobol"}, "InvalidParameterValueException", "Value cobol at 'runtime' failed to satisfy constraint"),
        ({"Runtime": "java21", "Handler": "a::b"}, "InvalidParameterValueException", "java21"),
        ({"Role": "nobody"}, "ValidationException", "Value 'nobody' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern"),
        ({"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"),
        ({"MemorySize": 64}, "ValidationException", "'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"),
        ({"Code": {"ZipFile": b"not a zip"}}, "InvalidParameterValueException", "Could not unzip uploaded file. Please check your file, then try to upload again."),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION"),
        ({"Environment": {"Variables": {"KEY": "x" * 5000}}}, "InvalidParameterValueException", "exceeded the 4KB limit"),
        ({"FunctionName": "a" * 65}, "InvalidParameterValueException", "Member must have length less than or equal to 64"),
    ],
)
def test_refusals_of_create_function(lam, members, code, message):
    assert message in fails(code, create, lam=lam, **({"name": members.pop("FunctionName")} if "FunctionName" in members else {}), **members)


def symlink(target):
    return stat.S_IFLNK | 0o777, target


def raw_zip(entries):
    """[(name, content, unix mode)], names exactly as given, duplicates included."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content, mode in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.create_system = 3
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, content)
    return out.getvalue()


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", "x", FILE)],
        [("a/../../evil", "x", FILE)],
        [("/etc/evil", "x", FILE)],
        [("link", "/etc/passwd", LINK)],
        [("link", "../../outside", LINK)],
        [("dir", "..", LINK), ("dir/evil", "x", FILE)],
        [("twice", "1", FILE), ("twice", "2", FILE)],
        [("a/b", "1", FILE), ("./a/b", "2", FILE)],
        [("a", "1", FILE), ("a/b", "2", FILE)],
        [("fifo", "", stat.S_IFIFO | 0o644)],
    ],
    ids=lambda entries: entries[-1][0],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_packages_are_refused_before_anything_lands(lam, main_server, entries):
    before = sorted(p.name for p in main_server.data_dir.rglob("packages/*"))
    fails("InvalidParameterValueException", create, lam=lam, Code={"ZipFile": raw_zip(entries)})
    assert sorted(p.name for p in main_server.data_dir.rglob("packages/*")) == before


def test_a_zip_bomb_is_refused(lam):
    bomb = raw_zip([(f"zeros{i}", bytes(64 << 20), FILE) for i in range(5)])
    message = fails("InvalidParameterValueException", create, lam=lam, Code={"ZipFile": bomb})
    assert message == "Unzipped size must be smaller than 262144000 bytes"


def test_invoke_errors(lam):
    name = create(lam)["FunctionName"]
    active(lam, name)
    message = fails("ResourceNotFoundException", lam.invoke, FunctionName="missing")
    assert message == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:$LATEST"
    assert "Could not parse request body into json" in fails("InvalidRequestContentException", lam.invoke, FunctionName=name, Payload=b"{nonsense")
    message = fails("RequestEntityTooLargeException", lam.invoke, FunctionName=name, Payload=b'"' + b"x" * 6_291_456 + b'"')
    assert "6291456" in message


def test_what_is_not_implemented_says_so(lam):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        lam.list_code_signing_configs()
    assert "ListCodeSigningConfigs" in refused.value.response["Error"]["Message"]


def test_code_update_gives_a_fresh_environment(lam, main_server):
    source = "const id = Math.random(); exports.handler = async () => id"
    name = main_server.deploy(source)
    first = main_server.invoke(name)[0]
    assert main_server.invoke(name)[0] == first
    lam.update_function_configuration(FunctionName=name, Environment={"Variables": {"KEY": "changed"}})
    updated(lam, name)
    assert main_server.invoke(name)[0] != first
