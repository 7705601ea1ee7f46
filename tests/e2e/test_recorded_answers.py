"""What AWS was recorded to answer, to the letter: one row a request, compared as it comes over the wire.

A row is (operation, members, status, code, body). In members and texts `F` is the function `recorded` (version 1
published), which every row may read and no row may change. Three body shapes decide which key carries a text:
V validation, U service exceptions, R what is not found.
"""

import json
import re

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip

NAME = "recorded"
F = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"
PREFIX = F.removesuffix(NAME)
ELSEWHERE = F.replace("us-east-1", "eu-west-1")
OTHER_ACCOUNT = F.replace("000000000000", "111111111111")
ZIP = make_zip({"index.js": "exports.handler = async (event) => event"})
NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
)
READ_PATTERN = NAME_PATTERN + r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
WRITE_PATTERN = NAME_PATTERN + r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
ROLE_PATTERN = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
LAYER_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)"
    r"|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
)
TAG_PATTERN = (
    r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"
    r"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}"
    r"|event-source-mapping:[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}|capacity-provider:[a-zA-Z0-9-_]+)"
)
RUNTIMES = (
    "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, python3.11, "
    "java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, "
    "nodejs18.x, provided.al2, java8.al2]"
)
CONFLICT = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest "
    "Revision Id"
)
MISMATCH = "The derived qualifier from the function name does not match the specified qualifier."


def V(*violations):
    many = "" if len(violations) == 1 else "s"
    text = f"{len(violations)} validation error{many} detected: " + "; ".join(violations)
    return 400, "ValidationException", {"message": text}


def violated(value, member, constraint):
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{member}' failed to satisfy constraint: {constraint}"


def pattern(value, member, text):
    return violated(value, member, f"Member must satisfy regular expression pattern: {text}")


def U(text, status=400, code="InvalidParameterValueException", **more):
    return status, code, {"Type": "User", "message": text, **more}


def R(text):
    return 404, "ResourceNotFoundException", {"Type": "User", "Message": text}


def plain(status, code, text):
    return status, code, {"message": text}


def create(**members):
    members = {"FunctionName": "new", "Runtime": "nodejs20.x", "Handler": "index.handler", "Role": ROLE, "Code": {"ZipFile": ZIP}, **members}
    return "create_function", {name: value for name, value in members.items() if value is not None}


def layer(name, version="1", region="us-east-1"):
    return f"arn:aws:lambda:{region}:000000000000:layer:{name}:{version}"


LAYER_LIST = (
    "Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than "
    f"or equal to 1, Member must satisfy regular expression pattern: {LAYER_PATTERN}, Member must not be null]"
)
BIG_ENVIRONMENT = {"LARGE": "x" * 4096}
RESERVED = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided contains "
    "reserved keys that are currently not supported for modification. Reserved keys used in this request: "
)

# Reads, by every operation that has the same answer.
READS = []
for operation in ("get_function", "get_function_configuration", "delete_function", "invoke"):
    missing = f"{PREFIX}missing:$LATEST" if operation == "invoke" else f"{PREFIX}missing"
    READS += [
        (operation, {"FunctionName": "missing"}, R(f"Function not found: {missing}")),
        (operation, {"FunctionName": f"{PREFIX}missing"}, R(f"Function not found: {missing}")),
        (operation, {"FunctionName": "a b"}, V(pattern("a b", "functionName", READ_PATTERN))),
        (operation, {"FunctionName": "a b", "Qualifier": "x y"}, V(pattern("x y", "qualifier", QUALIFIER_PATTERN), pattern("a b", "functionName", READ_PATTERN))),
        (operation, {"FunctionName": "a" * 230}, R(f"Function not found: {PREFIX}{'a' * 230}" + (":$LATEST" if operation == "invoke" else ""))),
        (operation, {"FunctionName": ELSEWHERE}, R("Functions from 'eu-west-1' are not reachable in this region ('us-east-1')")),
        (operation, {"FunctionName": f"{NAME}:1", "Qualifier": "2"}, U(MISMATCH)),
        (operation, {"FunctionName": f"{F}:1", "Qualifier": "$LATEST"}, U(MISMATCH)),
        (operation, {"FunctionName": NAME, "Qualifier": "q" * 129}, V(violated("q" * 129, "qualifier", "Member must have length less than or equal to 128"))),
    ]
for operation in ("get_function", "get_function_configuration", "invoke"):
    READS += [
        (operation, {"FunctionName": NAME, "Qualifier": "7"}, R(f"Function not found: {F}:7")),
        (operation, {"FunctionName": NAME, "Qualifier": "nobody"}, R(f"Function not found: {F}:nobody")),
        (operation, {"FunctionName": f"{NAME}:nobody"}, R(f"Function not found: {F}:nobody")),
        (operation, {"FunctionName": NAME, "Qualifier": "$latest"}, R(f"Function not found: {F}:$latest")),
        (operation, {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function", "Qualifier": "7"}, R(f"Function not found: {PREFIX}function:7")),
    ]

CREATES = [
    (*create(Runtime="nodejs99.x"), U(f"Value nodejs99.x at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: {RUNTIMES} or be a valid ARN")),
    (*create(Runtime="NODEJS20.X"), U(f"Value NODEJS20.X at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: {RUNTIMES} or be a valid ARN")),
    *[
        (*create(Runtime=runtime), U(f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions."))
        for runtime in ("java8", "go1.x", "ruby2.7", "dotnetcore3.1")
    ],
    (*create(Role="r"), V(pattern("r", "role", ROLE_PATTERN))),
    (*create(Architectures=["x86_64", "arm64"]), V(violated("[x86_64, arm64]", "architectures", "Member must have length less than or equal to 1"))),
    (*create(Architectures=["X86_64"]), V(violated("[X86_64]", "architectures", "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"))),
    (*create(SnapStart={"ApplyOn": "Sometimes"}), V(violated("Sometimes", "snapStart.applyOn", "Member must satisfy enum value set: [PublishedVersions, None]"))),
    (*create(Timeout=0, MemorySize=20000), V(violated(0, "timeout", "Member must have value greater than or equal to 1"), violated(20000, "memorySize", "Member must have value less than or equal to 10240"))),
    (*create(Code={"ZipFile": b"no zip"}), U("Could not unzip uploaded file. Please check your file, then try to upload again.")),
    (*create(Code={"S3Bucket": "missing-bucket", "S3Key": "k"}), U("Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")),
    (*create(Environment={"Variables": BIG_ENVIRONMENT}), U(
        "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the "
        "4KB limit. String measured: " + json.dumps(BIG_ENVIRONMENT, separators=(",", ":")))),
    (*create(Environment={"Variables": {"AWS_REGION": "r", "MINE": "1"}}), U(RESERVED + "AWS_REGION")),
    (*create(Environment={"Variables": {"_HANDLER": "h"}}), U(RESERVED + "_HANDLER")),
    (*create(FunctionName="n" * 65), U(violated("n" * 65, "functionName", "Member must have length less than or equal to 64").join(["1 validation error detected: ", ""]))),
    (*create(FunctionName="n" * 141), V(violated("n" * 141, "functionName", "Member must have length less than or equal to 140"))),
    (*create(FunctionName="a.b"), V(pattern("a.b", "functionName", WRITE_PATTERN))),
    (*create(FunctionName=NAME), U(f"Function already exist: {NAME}", 409, "ResourceConflictException")),
    (*create(FunctionName=ELSEWHERE), R("Functions from 'eu-west-1' are not reachable in this region ('us-east-1')")),
    (*create(FunctionName=OTHER_ACCOUNT), (403, "AccessDeniedException", {"Message": ""})),
    (*create(Layers=[layer("l", n) for n in range(6)]), U("Cannot reference more than 5 layers.")),
    (*create(Layers=[layer("l", region="eu-west-1")]), U("Layers are not in the same region as the function. Layers are expected to be in region us-east-1.")),
    (*create(Layers=[layer("l")]), U(f"Layer version {layer('l')} does not exist.")),
    (*create(VpcConfig={"SubnetIds": ["subnet-1234"], "SecurityGroupIds": ["sg-1"]}), U("Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet ID 'subnet-1234' does not exist")),
    (*create(VpcConfig={"SubnetIds": ["net"], "SecurityGroupIds": []}), V(violated("[net]", "vpcConfig.subnetIds", "Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: subnet-[0-9a-z]*, Member must not be null]"))),
    (*create(Tags={f"k{n}": "v" for n in range(51)}), U("Number of tags exceeds resource tag limit.")),
    ("create_function", {"FunctionName": "new", "Runtime": "nodejs20.x", "Handler": "index.handler"}, V(violated(None, "role", "Member must not be null"), violated(None, "code", "Member must not be null"))),
    (*create(Timeout="3s"), plain(400, "SerializationException", "STRING_VALUE can not be converted to an Integer")),
    (*create(Description=5), plain(400, "SerializationException", "NUMBER_VALUE can not be converted to a String")),
]

UPDATES = [
    ("update_function_code", {"FunctionName": "missing", "ZipFile": ZIP}, R(f"Function not found: {PREFIX}missing")),
    ("update_function_code", {"FunctionName": NAME, "ZipFile": b"no zip"}, U("Could not unzip uploaded file. Please check your file, then try to upload again.")),
    ("update_function_code", {"FunctionName": NAME, "ZipFile": ZIP, "RevisionId": "stale"}, U(CONFLICT, 412, "PreconditionFailedException")),
    ("update_function_code", {"FunctionName": NAME, "ImageUri": "i"}, U("Please don't provide ImageUri when updating a function with packageType Zip.")),
    ("update_function_code", {"FunctionName": NAME, "S3Bucket": "missing-bucket", "S3Key": "k"}, U("Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")),
    ("update_function_code", {"FunctionName": NAME, "ZipFile": ZIP, "Architectures": ["x"]}, V(violated("[x]", "architectures", "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"))),
    ("update_function_configuration", {"FunctionName": "missing"}, R(f"Function not found: {PREFIX}missing")),
    ("update_function_configuration", {"FunctionName": NAME, "RevisionId": "stale"}, U(CONFLICT, 412, "PreconditionFailedException")),
    ("update_function_configuration", {"FunctionName": NAME, "Runtime": "cobol"}, U(f"Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: {RUNTIMES} or be a valid ARN")),
    ("update_function_configuration", {"FunctionName": NAME, "Role": "r"}, V(pattern("r", "role", ROLE_PATTERN))),
    ("update_function_configuration", {"FunctionName": NAME, "Layers": [layer("l").removesuffix(":1")]}, V(violated(f"[{layer('l').removesuffix(':1')}]", "layers", LAYER_LIST))),
    ("update_function_configuration", {"FunctionName": NAME, "LoggingConfig": {"LogFormat": "XML"}}, V(violated("XML", "loggingConfig.logFormat", "Member must satisfy enum value set: [JSON, Text]"))),
    ("update_function_configuration", {"FunctionName": NAME, "Environment": {"Variables": {"AWS_REGION": "r"}}}, U(RESERVED + "AWS_REGION")),
    ("delete_function", {"FunctionName": NAME, "Qualifier": "$LATEST"}, U("$LATEST version cannot be deleted without deleting the function.")),
    ("delete_function", {"FunctionName": NAME, "Qualifier": "live"}, U("Deletion of aliases is not currently supported.")),
    ("delete_function", {"FunctionName": "missing", "Qualifier": "7"}, R(f"Function not found: {PREFIX}missing")),
    ("delete_function", {"FunctionName": NAME, "Qualifier": "7"}, (204, None, None)),
    ("delete_function", {"FunctionName": NAME, "Qualifier": "7"}, (204, None, None)),
    ("publish_version", {"FunctionName": "missing"}, R(f"Function not found: {PREFIX}missing")),
    ("publish_version", {"FunctionName": NAME, "RevisionId": "stale"}, U(CONFLICT, 412, "PreconditionFailedException")),
    ("publish_version", {"FunctionName": NAME, "CodeSha256": "other"}, U("CodeSHA256 (other) is different from current CodeSHA256 in $LATEST (SHA256). Please try again with the CodeSHA256 in $LATEST.")),
    ("list_functions", {"FunctionVersion": "SOME"}, V(violated("SOME", "functionVersion", "Member must satisfy enum value set: [ALL]"))),
    ("list_functions", {"MaxItems": 10001}, V(violated(10001, "maxItems", "Member must have value less than or equal to 10000"))),
    ("list_functions", {"MaxItems": 0}, V(violated(0, "maxItems", "Member must have value greater than or equal to 1"))),
    ("list_versions_by_function", {"FunctionName": "missing"}, R(f"Function not found: {PREFIX}missing")),
]

TAGS = [
    ("tag_resource", {"Resource": F, "Tags": {}}, U("An error occurred and the request cannot be processed.")),
    ("tag_resource", {"Resource": f"{F}:1", "Tags": {"a": "b"}}, U("Tags on function aliases and versions are not supported. Please specify a function ARN.")),
    ("tag_resource", {"Resource": f"{PREFIX}missing", "Tags": {"a": "b"}}, R(f"Function not found: {PREFIX}missing")),
    ("tag_resource", {"Resource": F, "Tags": {f"k{n}": "v" for n in range(51)}}, U("Number of tags exceeds resource tag limit.")),
    ("tag_resource", {"Resource": "nothing", "Tags": {"a": "b"}}, V(pattern("nothing", "resource", TAG_PATTERN))),
    ("untag_resource", {"Resource": F, "TagKeys": []}, V(violated(None, "tagKeys", "Member must not be null"))),
    ("untag_resource", {"Resource": f"{PREFIX}missing", "TagKeys": ["a"]}, R(f"Function not found: {PREFIX}missing")),
    ("list_tags", {"Resource": F}, (200, None, {"Tags": {}})),
    ("list_tags", {"Resource": f"{PREFIX}missing"}, R(f"Function not found: {PREFIX}missing")),
    ("list_tags", {"Resource": f"{F}:1"}, U("Tags on function aliases and versions are not supported. Please specify a function ARN.")),
]

EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
REDACTED = "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"


def unreadable(words):
    text = f"Could not parse request body into json: Could not parse payload into json: {words}\n at [Source: {REDACTED}; line: 1, column: 1]"
    return U(text, code="InvalidRequestContentException")


INVOKES = [
    ("invoke", {"FunctionName": NAME, "InvocationType": "DryRun"}, (204, None, None)),
    ("invoke", {"FunctionName": NAME, "InvocationType": "Sometimes"}, V(violated("Sometimes", "invocationType", "Member must satisfy enum value set: [Event, RequestResponse, DryRun]"))),
    ("invoke", {"FunctionName": NAME, "LogType": "Head"}, V(violated("Head", "logType", "Member must satisfy enum value set: [None, Tail]"))),
    ("invoke", {"FunctionName": NAME, "Payload": b"\x99"}, unreadable(f"Unexpected character ((CTRL-CHAR, code 153)): expected a valid value {EXPECTED}")),
    ("invoke", {"FunctionName": NAME, "Payload": b"[1]"}, (200, None, [1])),
    ("invoke", {"FunctionName": NAME}, (200, None, {})),
    ("invoke", {"FunctionName": NAME, "Payload": b"null"}, (200, None, None)),
    ("invoke", {"FunctionName": f"{NAME}:1", "Payload": b'"\xc3\xbc"'}, (200, None, "ü")),
]


@pytest.fixture(scope="module")
def recorded(request):
    """A client that answers (status, error code, body) exactly as they came."""
    from conftest import MODES

    server = request.getfixturevalue(f"{MODES[0]}_server")
    client = server.client("lambda", parameter_validation=False)
    try:
        server.deploy(ZIP, name=NAME)
    except client.exceptions.ResourceConflictException:
        pass
    sha256 = client.publish_version(FunctionName=NAME)["CodeSha256"]
    seen = {}

    def keep(response_dict, **_):
        seen.update(response_dict, body=response_dict["body"])

    client.meta.events.register("before-parse.lambda", keep)

    def call(operation, members):
        streamed = None
        try:
            answer = getattr(client, operation)(**members)
            if "Payload" in answer:
                streamed = answer["Payload"].read()
        except botocore.exceptions.ClientError:
            pass
        body = streamed if streamed is not None else seen["body"]
        code = seen["headers"].get("x-amzn-errortype")
        return seen["status_code"], code, json.loads(body) if body else None

    call.sha256 = sha256
    yield call
    client.delete_function(FunctionName=NAME)


def shown(row):
    operation, members, _ = row
    return re.sub(r"[^\w:.,'{}-]+", "_", f"{operation}-{members}")[:90]


@pytest.mark.parametrize("row", READS + CREATES + UPDATES + TAGS + INVOKES, ids=shown)
def test_answer(recorded, row):
    operation, members, expected = row
    status, code, body = recorded(operation, members)
    body = json.loads(json.dumps(body).replace(recorded.sha256, "SHA256"))
    assert (status, code, body) == expected
