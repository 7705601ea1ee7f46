"""Resource types in stacks: each is made, changed, rolled back and deleted, and its service is asked what it has."""

import io
import json
import time
import uuid
import zipfile

import botocore.exceptions
import pytest

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ROLE = "arn:aws:iam::000000000000:role/any"
NODE = "exports.handler = async () => 'VALUE'"


@pytest.fixture
def name():
    return f"t{uuid.uuid4().hex[:10]}"


def declared(kind, properties, **members):
    return {"Type": f"AWS::{kind}", "Properties": properties, **members}


def at(logical_id, attribute):
    return {"Fn::GetAtt": [logical_id, attribute]}


def ref(logical_id):
    return {"Ref": logical_id}


def policy(*actions, resource="*"):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, text in files.items():
            archive.writestr(file.replace("__", "."), text)
    return buffer.getvalue()


class Stack:
    """One stack, deployed again and again."""

    def __init__(self, server, name):
        self.cfn, self.name, self.id = server.client("cloudformation"), name, name

    def deploy(self, resources, expected=None, tags=(), **sections):
        body = json.dumps({"Resources": resources, **sections})
        arguments = {
            "StackName": self.name,
            "TemplateBody": body,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Tags": [{"Key": key, "Value": value} for key, value in tags],
        }
        if self.id == self.name:
            self.id = self.cfn.create_stack(**arguments)["StackId"]
            expected = expected or "CREATE_COMPLETE"
        else:
            self.cfn.update_stack(**arguments)
            expected = expected or "UPDATE_COMPLETE"
        assert self.settled() == expected, self.reasons()
        stack = self.cfn.describe_stacks(StackName=self.id)["Stacks"][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def settled(self):
        deadline = time.monotonic() + 60
        while True:
            status = self.cfn.describe_stacks(StackName=self.id)["Stacks"][0]["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                return status
            assert time.monotonic() < deadline, status
            time.sleep(0.05)

    def reasons(self):
        events = self.cfn.describe_stack_events(StackName=self.id)["StackEvents"]
        failed = [e for e in events if e["ResourceStatus"].endswith("_FAILED")]
        return [f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in failed]

    def physical(self, logical_id):
        found = self.cfn.describe_stack_resource(StackName=self.id, LogicalResourceId=logical_id)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    def rolls_back(self, resources, on="Bad"):
        """An update to `resources` with one more that fails after all others."""
        bad = declared("Logs::LogGroup", {"LogGroupName": "/bad", "RetentionInDays": 2}, DependsOn=list(resources))
        self.deploy({**resources, on: bad}, "UPDATE_ROLLBACK_COMPLETE")

    def delete(self):
        self.cfn.delete_stack(StackName=self.id)
        assert self.settled() == "DELETE_COMPLETE", self.reasons()


@pytest.fixture
def stack(main_server, name):
    return Stack(main_server, name)


def gone(call):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == 404, caught.value


def bucket_with(server, name, **files):
    s3 = server.client("s3")
    s3.create_bucket(Bucket=name)
    for key, body in files.items():
        s3.put_object(Bucket=name, Key=key, Body=body)
    return name


def function(code, **properties):
    return declared("Lambda::Function", {"Role": ROLE, "Runtime": "nodejs20.x", "Handler": "index.handler", "Code": code, **properties})


def answer(server, name, **members):
    payload, error, _ = server.invoke(name, **members)
    assert error is None, payload
    return payload


def test_a_function(main_server, stack, name):
    lambda_ = main_server.lambda_
    bucket = bucket_with(main_server, name, one=zipped(index__js=NODE.replace("VALUE", "one")), layer=zipped(**{"nodejs/x__js": "1"}))
    layer = declared("Lambda::LayerVersion", {"LayerName": name, "Content": {"S3Bucket": bucket, "S3Key": "layer"}, "CompatibleRuntimes": ["nodejs20.x"]})
    full = function(
        {"S3Bucket": bucket, "S3Key": "one"},
        FunctionName=name,
        Description="d",
        Environment={"Variables": {"AA": "1"}},
        EphemeralStorage={"Size": 1024},
        KmsKeyArn="arn:aws:kms:us-east-1:000000000000:key/k",
        Layers=[ref("L")],
        LoggingConfig={"LogFormat": "JSON", "LogGroup": f"/own/{name}"},
        MemorySize="256",
        ReservedConcurrentExecutions=3,
        Tags=[{"Key": "own", "Value": "1"}],
        Timeout=9,
        TracingConfig={"Mode": "Active"},
    )
    outputs = {"Arn": {"Value": at("F", "Arn")}}
    assert stack.deploy({"F": full, "L": layer}, tags=[("wide", "w")], Outputs=outputs)["Arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    found = lambda_.get_function(FunctionName=name)
    has = found["Configuration"]
    assert (has["Description"], has["MemorySize"], has["Timeout"], has["EphemeralStorage"]["Size"]) == ("d", 256, 9, 1024)
    assert has["Environment"]["Variables"] == {"AA": "1"} and has["Layers"][0]["Arn"] == stack.physical("L")
    assert (has["TracingConfig"]["Mode"], has["LoggingConfig"]["LogGroup"], has["KMSKeyArn"][-5:]) == ("Active", f"/own/{name}", "key/k")
    assert found["Concurrency"] == {"ReservedConcurrentExecutions": 3}
    assert {"own": "1", "wide": "w", "aws:cloudformation:logical-id": "F"}.items() <= found["Tags"].items()
    assert answer(main_server, name) == "one"

    # What fails is undone.
    main_server.client("s3").put_object(Bucket=bucket, Key="two", Body=zipped(index__js=NODE.replace("VALUE", "two")))
    changed = function({"S3Bucket": bucket, "S3Key": "two"}, FunctionName=name, Timeout=5)
    stack.rolls_back({"F": changed, "L": layer})
    again = lambda_.get_function(FunctionName=name)
    volatile = ["LastModified", "RevisionId"]
    assert {k: v for k, v in again["Configuration"].items() if k not in volatile} == {k: v for k, v in has.items() if k not in volatile}
    assert again["Concurrency"] == found["Concurrency"] and again["Tags"]["own"] == "1"
    assert answer(main_server, name) == "one"

    # What the template no longer has is as if it had never been there.
    stack.deploy({"F": function({"ZipFile": NODE.replace("VALUE", "three")}, FunctionName=name)})
    found = lambda_.get_function(FunctionName=name)
    has = found["Configuration"]
    assert (has["Description"], has["MemorySize"], has["Timeout"], has["EphemeralStorage"]["Size"]) == ("", 128, 3, 512)
    assert not has.get("Environment", {}).get("Variables") and "Layers" not in has and "KMSKeyArn" not in has
    assert has["TracingConfig"] == {"Mode": "PassThrough"}
    assert has["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    assert "Concurrency" not in found and "own" not in found["Tags"] and "wide" not in found["Tags"]
    assert answer(main_server, name) == "three"
    gone(lambda: lambda_.get_layer_version(LayerName=name, VersionNumber=1))

    # Another name is another function.
    stack.deploy({"F": function({"ZipFile": NODE}, FunctionName=f"{name}b")})
    gone(lambda: lambda_.get_function(FunctionName=name))
    stack.delete()
    gone(lambda: lambda_.get_function(FunctionName=f"{name}b"))


def test_how_events_are_handled(main_server, stack, name):
    get = main_server.lambda_.get_function_event_invoke_config

    def resources(**properties):
        code = {"ZipFile": NODE.replace("VALUE", "one")}
        config = {"FunctionName": ref("F"), "Qualifier": "$LATEST", **properties}
        return {"F": function(code, FunctionName=name), "G": function(code), "E": declared("Lambda::EventInvokeConfig", config)}

    to_other = {"OnSuccess": {"Destination": at("G", "Arn")}}
    stack.deploy(resources(MaximumRetryAttempts=0, DestinationConfig=to_other))
    config = get(FunctionName=name)
    assert config["MaximumRetryAttempts"] == 0 and ":function:" in config["DestinationConfig"]["OnSuccess"]["Destination"]
    stack.rolls_back(resources(MaximumRetryAttempts=1))
    assert get(FunctionName=name)["MaximumRetryAttempts"] == 0
    stack.deploy(resources(MaximumEventAgeInSeconds=60))
    config = get(FunctionName=name)
    assert "MaximumRetryAttempts" not in config and config["DestinationConfig"] == {"OnFailure": {}, "OnSuccess": {}}
    stack.delete()


def test_queues(main_server, stack, name):
    sqs = main_server.client("sqs")

    def resources(**properties):
        redrive = {"deadLetterTargetArn": at("Dead", "Arn"), "maxReceiveCount": 3}
        return {
            "Dead": declared("SQS::Queue", {"FifoQueue": True}),
            "Q": declared("SQS::Queue", {"QueueName": f"{name}.fifo", "FifoQueue": True, "RedrivePolicy": redrive, **properties}),
            "P": declared("SQS::QueuePolicy", {"Queues": [ref("Q")], "PolicyDocument": policy("sqs:SendMessage")}),
        }

    def attributes():
        return sqs.get_queue_attributes(QueueUrl=stack.physical("Q"), AttributeNames=["All"])["Attributes"]

    outputs = {"Arn": {"Value": at("Q", "Arn")}, "Url": {"Value": ref("Q")}}
    made = stack.deploy(resources(VisibilityTimeout="45", Tags=[{"Key": "a", "Value": "1"}]), Outputs=outputs)
    assert made["Arn"] == f"arn:aws:sqs:us-east-1:000000000000:{name}.fifo" and made["Url"].endswith(f"/{name}.fifo")
    assert attributes()["VisibilityTimeout"] == "45" and "SendMessage" in attributes()["Policy"]
    assert json.loads(attributes()["RedrivePolicy"])["maxReceiveCount"] == 3
    assert sqs.list_queue_tags(QueueUrl=made["Url"])["Tags"] == {"a": "1"}
    stack.rolls_back(resources(VisibilityTimeout=50))
    assert attributes()["VisibilityTimeout"] == "45"
    stack.deploy(resources(DelaySeconds=2))
    assert (attributes()["VisibilityTimeout"], attributes()["DelaySeconds"]) == ("30", "2")
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=made["Url"])
    stack.delete()
    assert sqs.list_queues(QueueNamePrefix=name).get("QueueUrls") is None


def test_versions_aliases_permissions_and_urls(main_server, stack, name):
    lambda_ = main_server.lambda_

    def version(**properties):
        return declared("Lambda::Version", {"FunctionName": ref("F"), **properties}, DeletionPolicy="Retain")

    def alias(number, **properties):
        return declared("Lambda::Alias", {"FunctionName": ref("F"), "FunctionVersion": at(number, "Version"), "Name": "live", **properties})

    first = {
        "F": function({"ZipFile": NODE.replace("VALUE", "one")}, FunctionName=name),
        "V1": version(Description="first"),
        "A": alias("V1", Description="d"),
        "P": declared("Lambda::Permission", {"FunctionName": ref("A"), "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com", "SourceAccount": "000000000000"}),
        "U": declared("Lambda::Url", {"TargetFunctionArn": at("F", "Arn"), "Qualifier": "live", "AuthType": "NONE", "Cors": {"AllowOrigins": ["*"], "MaxAge": 5}, "InvokeMode": "BUFFERED"}, DependsOn="A"),
    }
    made = stack.deploy(first, Outputs={"U": {"Value": at("U", "FunctionUrl")}, "V": {"Value": at("V1", "Version")}})
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert made["V"] == "1" and made["U"].startswith("http://")
    assert [stack.physical(i) for i in ["V1", "A", "U"]] == [f"{arn}:1", f"{arn}:live", f"{arn}:live"]
    statements = json.loads(lambda_.get_policy(FunctionName=name, Qualifier="live")["Policy"])["Statement"]
    assert [(s["Sid"], s["Principal"]["Service"]) for s in statements] == [(stack.physical("P"), "s3.amazonaws.com")]

    # A new version, the alias between both, the permission another, the URL's members dropped.
    second = {
        "F": function({"ZipFile": NODE.replace("VALUE", "two")}, FunctionName=name),
        "V2": version(),
        "A": alias("V2", RoutingConfig={"AdditionalVersionWeights": [{"FunctionVersion": "1", "FunctionWeight": 0.25}]}),
        "P": declared("Lambda::Permission", {"FunctionName": ref("A"), "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"}),
        "U": declared("Lambda::Url", {"TargetFunctionArn": at("F", "Arn"), "Qualifier": "live", "AuthType": "AWS_IAM"}, DependsOn="A"),
    }
    stack.rolls_back(second)
    has = lambda_.get_alias(FunctionName=name, Name="live")
    assert (has["FunctionVersion"], has["Description"], has.get("RoutingConfig")) == ("1", "d", None)
    url = lambda_.get_function_url_config(FunctionName=name, Qualifier="live")
    assert (url["AuthType"], url["InvokeMode"], url["Cors"]["MaxAge"]) == ("NONE", "BUFFERED", 5)
    statements = json.loads(lambda_.get_policy(FunctionName=name, Qualifier="live")["Policy"])["Statement"]
    assert [s["Principal"]["Service"] for s in statements] == ["s3.amazonaws.com"]

    second["F"] = function({"ZipFile": NODE.replace("VALUE", "three")}, FunctionName=name)
    stack.deploy(second)
    has = lambda_.get_alias(FunctionName=name, Name="live")
    assert has["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 0.25}} and has["Description"] == ""
    assert answer(main_server, name, Qualifier="1") == "one"
    url = lambda_.get_function_url_config(FunctionName=name, Qualifier="live")
    assert (url["AuthType"], url["InvokeMode"], url.get("Cors") or None) == ("AWS_IAM", "BUFFERED", None)
    statements = json.loads(lambda_.get_policy(FunctionName=name, Qualifier="live")["Policy"])["Statement"]
    assert [s["Principal"]["Service"] for s in statements] == ["sns.amazonaws.com"]
    # The version that the template dropped is retained.
    kept = [v["Version"] for v in lambda_.list_versions_by_function(FunctionName=name)["Versions"]]
    assert "1" in kept and has["FunctionVersion"] in kept

    del second["A"]["Properties"]["RoutingConfig"]
    stack.deploy(second)
    assert "RoutingConfig" not in lambda_.get_alias(FunctionName=name, Name="live")
    stack.delete()
    gone(lambda: lambda_.get_function(FunctionName=name))


def test_layers_are_replaced(main_server, stack, name):
    bucket = bucket_with(main_server, name, a=zipped(x="1"))

    def layer(**properties):
        properties = {"LayerName": name, "Content": {"S3Bucket": bucket, "S3Key": "a"}, **properties}
        return {
            "L": declared("Lambda::LayerVersion", properties),
            "P": declared("Lambda::LayerVersionPermission", {"LayerVersionArn": ref("L"), "Action": "lambda:GetLayerVersion", "Principal": "*"}),
        }

    stack.deploy(layer(Description="one"))
    assert stack.physical("L").endswith(f":layer:{name}:1")
    stack.deploy(layer(Description="two", LicenseInfo="MIT"))
    assert stack.physical("L").endswith(f":layer:{name}:2")
    assert json.loads(main_server.lambda_.get_layer_version_policy(LayerName=name, VersionNumber=2)["Policy"])["Statement"][0]["Principal"] == "*"
    gone(lambda: main_server.lambda_.get_layer_version(LayerName=name, VersionNumber=1))
    stack.delete()
    assert main_server.lambda_.list_layer_versions(LayerName=name)["LayerVersions"] == []


def test_a_bucket(main_server, stack, name):
    s3 = main_server.client("s3")
    block = {"BlockPublicAcls": False, "BlockPublicPolicy": False, "IgnorePublicAcls": False, "RestrictPublicBuckets": False}
    full = {
        "BucketName": name,
        "VersioningConfiguration": {"Status": "Enabled"},
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [{"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}]},
        "PublicAccessBlockConfiguration": {key: str(value).lower() for key, value in block.items()},
        "Tags": [{"Key": "own", "Value": "1"}],
        "CorsConfiguration": {"CorsRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAge": 7}]},
        "LifecycleConfiguration": {"Rules": [{"Id": "r", "Status": "Enabled", "ExpirationInDays": 3, "Prefix": "p/"}]},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
    }
    public = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": {"Fn::Sub": "${B.Arn}/*"}}]}
    resources = {"B": declared("S3::Bucket", full), "P": declared("S3::BucketPolicy", {"Bucket": ref("B"), "PolicyDocument": public})}
    made = stack.deploy(resources, tags=[("wide", "w")], Outputs={k: {"Value": at("B", k)} for k in ["Arn", "DomainName"]})
    assert made == {"Arn": f"arn:aws:s3:::{name}", "DomainName": f"{name}.s3.amazonaws.com"}

    def state():
        def of(call, member):
            try:
                return call(Bucket=name)[member]
            except botocore.exceptions.ClientError as error:
                return error.response["Error"]["Code"]

        return {
            "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
            "encryption": of(s3.get_bucket_encryption, "ServerSideEncryptionConfiguration"),
            "block": of(s3.get_public_access_block, "PublicAccessBlockConfiguration"),
            "tags": of(s3.get_bucket_tagging, "TagSet"),
            "cors": of(s3.get_bucket_cors, "CORSRules"),
            "lifecycle": of(s3.get_bucket_lifecycle_configuration, "Rules"),
            "ownership": of(s3.get_bucket_ownership_controls, "OwnershipControls"),
            "policy": of(s3.get_bucket_policy, "Policy"),
        }

    before = state()
    assert before["versioning"] == "Enabled" and before["block"] == block
    assert before["encryption"]["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}
    assert {(t["Key"], t["Value"]) for t in before["tags"]} == {("own", "1"), ("wide", "w")}
    assert before["cors"][0]["MaxAgeSeconds"] == 7 and before["lifecycle"][0]["Expiration"] == {"Days": 3}
    assert json.loads(before["policy"])["Statement"][0]["Resource"] == f"arn:aws:s3:::{name}/*"

    bare = {"B": declared("S3::Bucket", {"BucketName": name})}
    stack.rolls_back(bare)
    assert state() == before
    stack.deploy(bare)
    after = state()
    assert after["versioning"] == "Suspended" and all(after["block"].values())
    assert after["encryption"]["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert after["ownership"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert [after[k] for k in ["tags", "cors", "lifecycle", "policy"]] == [
        "NoSuchTagSet", "NoSuchCORSConfiguration", "NoSuchLifecycleConfiguration", "NoSuchBucketPolicy"
    ]
    stack.deploy({"B": declared("S3::Bucket", {})})
    other = stack.physical("B")
    assert other.startswith(f"{name}-b-")
    gone(lambda: s3.head_bucket(Bucket=name))
    # A bucket with something in it stays, and so does its stack.
    s3.put_object(Bucket=other, Key="k", Body=b"v")
    stack.cfn.delete_stack(StackName=stack.id)
    assert stack.settled() == "DELETE_FAILED"
    s3.delete_object(Bucket=other, Key="k")
    stack.delete()
    gone(lambda: s3.head_bucket(Bucket=other))


def test_roles_and_policies(main_server, stack, name):
    iam = main_server.client("iam")
    role = {
        "RoleName": name,
        "AssumeRolePolicyDocument": TRUST,
        "Description": "d",
        "MaxSessionDuration": 7200,
        "Policies": [{"PolicyName": "in", "PolicyDocument": policy("s3:GetObject")}],
        "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"],
        "Tags": [{"Key": "own", "Value": "1"}],
    }
    full = {
        "R": declared("IAM::Role", role),
        "P": declared("IAM::Policy", {"PolicyName": "inline", "PolicyDocument": policy("sqs:*"), "Roles": [ref("R")]}),
        "Q": declared("IAM::RolePolicy", {"PolicyName": "own", "RoleName": ref("R"), "PolicyDocument": policy("sns:*")}),
        "M": declared("IAM::ManagedPolicy", {"ManagedPolicyName": name, "PolicyDocument": policy("kms:*"), "Roles": [ref("R")]}),
    }
    made = stack.deploy(full, tags=[("wide", "w")], Outputs={"A": {"Value": at("R", "Arn")}, "I": {"Value": at("R", "RoleId")}, "M": {"Value": ref("M")}})
    assert made["A"] == f"arn:aws:iam::000000000000:role/{name}" and made["I"].startswith("AROA")
    assert made["M"] == f"arn:aws:iam::000000000000:policy/{name}" and stack.physical("R") == name

    def state():
        has = iam.get_role(RoleName=name)["Role"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return {
            "description": has.get("Description"),
            "session": has["MaxSessionDuration"],
            "trust": has["AssumeRolePolicyDocument"],
            "tags": {t["Key"]: t["Value"] for t in iam.list_role_tags(RoleName=name)["Tags"]},
            "inline": {p: iam.get_role_policy(RoleName=name, PolicyName=p)["PolicyDocument"] for p in inline},
            "attached": sorted(p["PolicyName"] for p in attached),
        }

    def managed():
        return iam.get_policy_version(PolicyArn=made["M"], VersionId=iam.get_policy(PolicyArn=made["M"])["Policy"]["DefaultVersionId"])["PolicyVersion"]["Document"]

    before = state()
    assert (before["description"], before["session"], before["trust"]) == ("d", 7200, TRUST)
    assert before["tags"] == {"own": "1", "wide": "w"}
    assert before["inline"] == {"in": policy("s3:GetObject"), "inline": policy("sqs:*"), "own": policy("sns:*")}
    assert before["attached"] == sorted(["AWSLambdaBasicExecutionRole", name])

    other = json.loads(json.dumps(TRUST).replace("lambda.", "events."))
    less = {
        "R": declared("IAM::Role", {"RoleName": name, "AssumeRolePolicyDocument": other}),
        "Q": declared("IAM::RolePolicy", {"PolicyName": "own", "RoleName": ref("R"), "PolicyDocument": policy("sns:Publish")}),
        "M": declared("IAM::ManagedPolicy", {"ManagedPolicyName": name, "PolicyDocument": policy("kms:Decrypt")}),
    }
    stack.rolls_back(less)
    assert state() == before and managed() == policy("kms:*")
    stack.deploy(less)
    assert state() == {"description": "", "session": 3600, "trust": other, "tags": {}, "inline": {"own": policy("sns:Publish")}, "attached": []} | {"description": state()["description"]}
    assert not state()["description"] and managed() == policy("kms:Decrypt")
    for n in range(6):
        less["M"]["Properties"]["PolicyDocument"] = policy(f"kms:Get{n}")
        stack.deploy(less)
    assert managed() == policy("kms:Get5")

    # A role of another name takes the policies with it.
    full["R"]["Properties"]["RoleName"] = f"{name}b"
    stack.deploy(full)
    assert stack.physical("R") == f"{name}b"
    gone(lambda: iam.get_role(RoleName=name))
    assert sorted(iam.list_role_policies(RoleName=f"{name}b")["PolicyNames"]) == ["in", "inline", "own"]
    stack.delete()
    gone(lambda: iam.get_role(RoleName=f"{name}b"))
    gone(lambda: iam.get_policy(PolicyArn=made["M"]))


def test_parts_of_an_api(main_server, stack, name):
    api = main_server.client("apigateway")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:{name}/invocations"

    def part(kind, **properties):
        return declared(f"ApiGateway::{kind}", {"RestApiId": ref("Api"), **properties})

    def base(**parts):
        return {
            "Api": declared("ApiGateway::RestApi", {"Name": name}),
            "Root": part("Method", ResourceId=at("Api", "RootResourceId"), HttpMethod="GET", AuthorizationType="NONE", Integration={"Type": "MOCK"}),
            "Deployment": declared("ApiGateway::Deployment", {"RestApiId": ref("Api")}, DependsOn="Root"),
            "Stage": part("Stage", DeploymentId=ref("Deployment"), StageName="dev"),
            **parts,
        }

    full = base(
        Auth=part("Authorizer", Name="a", Type="REQUEST", AuthorizerUri=uri, IdentitySource="method.request.header.X", AuthorizerResultTtlInSeconds=60),
        Model=part("Model", Name="M", ContentType="application/json", Description="d", Schema={"type": "object"}),
        Valid=part("RequestValidator", Name="v", ValidateRequestBody=True, ValidateRequestParameters=True),
        Answer=part("GatewayResponse", ResponseType="DEFAULT_4XX", StatusCode="418", ResponseParameters={"gatewayresponse.header.X": "'y'"}, ResponseTemplates={"application/json": "{}"}),
    )
    stack.deploy(full)
    rest = stack.physical("Api")

    def state():
        ids = {"restApiId": rest}
        parts = [
            api.get_authorizer(authorizerId=stack.physical("Auth"), **ids),
            api.get_model(modelName="M", **ids),
            api.get_request_validator(requestValidatorId=stack.physical("Valid"), **ids),
            api.get_gateway_response(responseType="DEFAULT_4XX", **ids),
        ]
        for one in parts:
            del one["ResponseMetadata"]
        return parts

    before = state()
    auth, model, validator, response = before
    assert (auth["type"], auth["authorizerResultTtlInSeconds"], auth["identitySource"]) == ("REQUEST", 60, "method.request.header.X")
    assert json.loads(model["schema"]) == {"type": "object"} and model["description"] == "d"
    assert (validator["validateRequestBody"], validator["validateRequestParameters"]) == (True, True)
    assert (response["statusCode"], response["responseParameters"]) == ("418", {"gatewayresponse.header.X": "'y'"})

    less = base(
        Auth=part("Authorizer", Name="b", Type="TOKEN", AuthorizerUri=uri, IdentitySource="method.request.header.Y", IdentityValidationExpression="^x"),
        Model=part("Model", Name="M", ContentType="application/json", Schema={"type": "array"}),
        Valid=part("RequestValidator", Name="v", ValidateRequestParameters=False),
        Answer=part("GatewayResponse", ResponseType="DEFAULT_4XX"),
    )
    stack.rolls_back(less)
    assert state() == before
    stack.deploy(less)
    auth, model, validator, response = state()
    assert (auth["name"], auth["type"], auth["identityValidationExpression"]) == ("b", "TOKEN", "^x")
    assert auth["authorizerResultTtlInSeconds"] == 300
    assert json.loads(model["schema"]) == {"type": "array"} and not model.get("description")
    assert (validator["validateRequestBody"], validator["validateRequestParameters"]) == (False, False)
    assert not response.get("responseParameters") and response.get("statusCode") is None

    less["Valid"] = part("RequestValidator", Name="w", ValidateRequestBody=True)
    old = stack.physical("Valid")
    stack.deploy(less)
    assert stack.physical("Valid") != old
    gone(lambda: api.get_request_validator(restApiId=rest, requestValidatorId=old))
    stack.deploy(base())
    assert api.get_authorizers(restApiId=rest)["items"] == [] and api.get_request_validators(restApiId=rest)["items"] == []
    assert api.get_gateway_response(restApiId=rest, responseType="DEFAULT_4XX")["defaultResponse"]
    gone(lambda: api.get_model(restApiId=rest, modelName="M"))
    stack.delete()
    gone(lambda: api.get_rest_api(restApiId=rest))


def test_usage_plans_and_domain_names(main_server, stack, name):
    api = main_server.client("apigateway")
    domain = f"{name}.example.com"
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/c"

    def resources(plan, mapping, domain_tags=()):
        tags = [{"Key": key, "Value": "1"} for key in domain_tags]
        return {
            "Api": declared("ApiGateway::RestApi", {"Name": name}),
            "Root": declared("ApiGateway::Method", {"RestApiId": ref("Api"), "ResourceId": at("Api", "RootResourceId"), "HttpMethod": "GET", "AuthorizationType": "NONE", "Integration": {"Type": "MOCK"}}),
            "Deployment": declared("ApiGateway::Deployment", {"RestApiId": ref("Api")}, DependsOn="Root"),
            "Stage": declared("ApiGateway::Stage", {"RestApiId": ref("Api"), "DeploymentId": ref("Deployment"), "StageName": "dev"}),
            "Plan": declared("ApiGateway::UsagePlan", plan, DependsOn="Stage"),
            "Key": declared("ApiGateway::ApiKey", {"Name": name, "Enabled": True}),
            "Both": declared("ApiGateway::UsagePlanKey", {"KeyId": ref("Key"), "KeyType": "API_KEY", "UsagePlanId": ref("Plan")}),
            "Domain": declared("ApiGateway::DomainName", {"DomainName": domain, "RegionalCertificateArn": certificate, "EndpointConfiguration": {"Types": ["REGIONAL"]}, "SecurityPolicy": "TLS_1_2", "Tags": tags}),
            "Map": declared("ApiGateway::BasePathMapping", {"DomainName": ref("Domain"), "RestApiId": ref("Api"), **mapping}, DependsOn="Stage"),
        }

    stages = [{"ApiId": ref("Api"), "Stage": ref("Stage"), "Throttle": {"//GET": {"RateLimit": 2, "BurstLimit": 3}}}]
    full = resources(
        {"UsagePlanName": name, "Description": "d", "ApiStages": stages, "Quota": {"Limit": 10, "Period": "DAY"}, "Throttle": {"RateLimit": 5, "BurstLimit": 6}},
        {"BasePath": "v1", "Stage": "dev"},
        ["own"],
    )
    stack.deploy(full)
    plan_id = stack.physical("Plan")

    def state():
        plan = api.get_usage_plan(usagePlanId=plan_id)
        has = api.get_domain_name(domainName=domain)
        keys = [key["id"] for key in api.get_usage_plan_keys(usagePlanId=plan_id)["items"]]
        mappings = api.get_base_path_mappings(domainName=domain)["items"]
        del plan["ResponseMetadata"], has["ResponseMetadata"]
        return plan, has, keys, mappings

    before = state()
    plan, has, keys, mappings = before
    assert (plan["name"], plan["description"], plan["quota"]) == (name, "d", {"limit": 10, "offset": 0, "period": "DAY"})
    assert plan["throttle"] == {"rateLimit": 5.0, "burstLimit": 6} and keys == [stack.physical("Key")]
    assert plan["apiStages"][0]["throttle"] == {"//GET": {"rateLimit": 2.0, "burstLimit": 3}}
    assert mappings == [{"basePath": "v1", "restApiId": stack.physical("Api"), "stage": "dev"}]
    assert has["endpointConfiguration"]["types"] == ["REGIONAL"] and has["tags"]["own"] == "1"

    changed = resources(
        {"UsagePlanName": f"{name}b", "ApiStages": stages, "Quota": {"Limit": 20, "Period": "WEEK"}, "Throttle": {"RateLimit": 7, "BurstLimit": 8}},
        {"BasePath": "v1"},
    )
    stack.rolls_back(changed)
    assert state() == before
    stack.deploy(changed)
    plan, has, keys, mappings = state()
    assert (plan["name"], plan["quota"]["limit"], plan["quota"]["period"], plan["throttle"]) == (f"{name}b", 20, "WEEK", {"rateLimit": 7.0, "burstLimit": 8})
    assert not plan.get("description") and "own" not in has.get("tags", {}) and not mappings[0].get("stage")
    stack.deploy(resources({"UsagePlanName": name}, {"BasePath": "v2"}))
    plan, _, keys, mappings = state()
    assert not plan.get("quota") and not plan.get("throttle") and plan.get("apiStages", []) == []
    assert keys == [stack.physical("Key")] and [m["basePath"] for m in mappings] == ["v2"]
    stack.delete()
    gone(lambda: api.get_usage_plan(usagePlanId=plan_id))
    gone(lambda: api.get_domain_name(domainName=domain))


def test_a_log_group(main_server, stack, name):
    logs = main_server.client("logs")

    def group(**properties):
        return {"G": declared("Logs::LogGroup", {"LogGroupName": f"/{name}/a", **properties})}

    def found():
        return [(g["logGroupName"], g.get("retentionInDays")) for g in logs.describe_log_groups(logGroupNamePrefix=f"/{name}/")["logGroups"]]

    stack.deploy(group(RetentionInDays="7"))
    assert found() == [(f"/{name}/a", 7)]
    stack.rolls_back(group(RetentionInDays=14))
    assert found() == [(f"/{name}/a", 7)]
    stack.deploy(group())
    assert found() == [(f"/{name}/a", None)]
    stack.deploy(group(LogGroupName=f"/{name}/b"))
    assert found() == [(f"/{name}/b", None)]
    stack.delete()
    assert found() == []
