"""STS, Parameter Store, and what deploy tools ask of ECR and EventBridge, asked with boto3."""

import json
import uuid

import boto3
import botocore.exceptions
import pytest

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}]}


def refused(operation, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        operation(**members)
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def as_session(server, service, credentials):
    keys = {"aws_access_key_id": credentials["AccessKeyId"], "aws_secret_access_key": credentials["SecretAccessKey"]}
    token = credentials["SessionToken"]
    return boto3.client(service, endpoint_url=server.url, region_name="us-east-1", aws_session_token=token, **keys)


def test_a_role_is_assumed(main_server):
    sts, iam, name = main_server.client("sts"), main_server.client("iam"), unique("r")
    arn = f"arn:aws:iam::000000000000:role/{name}"
    message = f"User: arn:aws:iam::000000000000:root is not authorized to perform: sts:AssumeRole on resource: {arn}"
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="s1") == (403, "AccessDenied", message)
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="s1", DurationSeconds=900)
    session_arn = f"arn:aws:sts::000000000000:assumed-role/{name}/s1"
    assert answer["AssumedRoleUser"] == {"AssumedRoleId": f"{role['RoleId']}:s1", "Arn": session_arn}
    credentials = answer["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA") and credentials["Expiration"].timestamp() > 0
    identity = as_session(main_server, "sts", credentials).get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (session_arn, f"{role['RoleId']}:s1")
    # A session that root asked for may do what root may.
    assert "Functions" in as_session(main_server, "lambda", credentials).list_functions()
    chained = as_session(main_server, "sts", credentials)
    assert refused(chained.assume_role, RoleArn=arn, RoleSessionName="s2", DurationSeconds=3601)[1] == "ValidationError"
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="s1", DurationSeconds=7200)[:2] == (400, "ValidationError")
    assert refused(chained.get_session_token)[:2] == (403, "AccessDenied")
    tampered = credentials | {"SessionToken": credentials["SessionToken"][:-4] + "AAAA"}
    assert refused(as_session(main_server, "sts", tampered).get_caller_identity)[0] == 403


def test_a_session_of_root(main_server):
    credentials = main_server.client("sts").get_session_token()["Credentials"]
    identity = as_session(main_server, "sts", credentials).get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"


def test_a_parameter_from_its_making_to_its_end(main_server):
    ssm, name = main_server.client("ssm"), f"/{unique('p')}/a"
    assert refused(ssm.get_parameter, Name=name)[:2] == (400, "ParameterNotFound")
    assert ssm.put_parameter(Name=name, Value="1", Type="String", Tags=[{"Key": "k", "Value": "v"}])["Version"] == 1
    assert refused(ssm.put_parameter, Name=name, Value="2", Type="String")[:2] == (400, "ParameterAlreadyExists")
    assert ssm.put_parameter(Name=name, Value="2", Overwrite=True, Description="d")["Version"] == 2
    found = ssm.get_parameter(Name=name)["Parameter"]
    arn = f"arn:aws:ssm:us-east-1:000000000000:parameter{name}"
    assert (found["Value"], found["Version"], found["ARN"], found["DataType"]) == ("2", 2, arn, "text")
    assert ssm.get_parameter(Name=f"{name}:1")["Parameter"]["Value"] == "1"
    assert ssm.get_parameter(Name=f"{arn}:1")["Parameter"]["Selector"] == ":1"
    message = f"Systems Manager could not find version 9 of {name}. Verify the version and try again."
    assert refused(ssm.get_parameter, Name=f"{name}:9") == (400, "ParameterVersionNotFound", message)
    ssm.label_parameter_version(Name=name, ParameterVersion=1, Labels=["old"])
    assert ssm.get_parameter(Name=f"{name}:old")["Parameter"]["Version"] == 1
    history = ssm.get_parameter_history(Name=name)["Parameters"]
    assert [(p["Version"], p["Value"], p["Labels"]) for p in history] == [(1, "1", ["old"]), (2, "2", [])]
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=[{"Key": "l", "Value": "w"}])
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=name, TagKeys=["k"])
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"] == [{"Key": "l", "Value": "w"}]
    filters = [{"Key": "Name", "Values": [name]}]
    assert [p["Description"] for p in ssm.describe_parameters(ParameterFilters=filters)["Parameters"]] == ["d"]
    ssm.delete_parameter(Name=name)
    assert refused(ssm.delete_parameter, Name=name)[:2] == (400, "ParameterNotFound")


def test_secure_strings_are_told_when_asked_for(main_server):
    ssm, name = main_server.client("ssm"), unique("secret")
    ssm.put_parameter(Name=name, Value="pässword", Type="SecureString")
    sealed = ssm.get_parameter(Name=name)["Parameter"]
    assert sealed["Type"] == "SecureString" and "ssword" not in sealed["Value"]
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == "pässword"
    several = ssm.get_parameters(Names=[name, "none"], WithDecryption=True)
    assert several["InvalidParameters"] == ["none"] and several["Parameters"][0]["Value"] == "pässword"


def test_parameters_by_path(main_server):
    ssm, path = main_server.client("ssm"), f"/{unique('path')}"
    for name in [f"{path}/a", f"{path}/b", f"{path}/c/d", f"{path}x"]:
        ssm.put_parameter(Name=name, Value=name, Type="String")
    def names(**members):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, **members)
        return [p["Name"] for page in pages for p in page["Parameters"]]
    assert names() == [f"{path}/a", f"{path}/b"]
    assert names(Recursive=True, PaginationConfig={"PageSize": 1}) == [f"{path}/a", f"{path}/b", f"{path}/c/d"]
    deleted = ssm.delete_parameters(Names=[f"{path}/a", "none"])
    assert (deleted["DeletedParameters"], deleted["InvalidParameters"]) == ([f"{path}/a"], ["none"])


def test_parameters_that_are_refused(main_server):
    ssm, name = main_server.client("ssm"), unique("bad")
    rows = [
        ({"Type": "String", "Value": "x" * 4097}, "ValidationException"),
        ({"Value": "x"}, "ValidationException"),
        ({"Type": "String", "Value": "x", "AllowedPattern": "\\d+"}, "ParameterPatternMismatchException"),
        ({"Type": "String", "Value": "x", "AllowedPattern": "("}, "InvalidAllowedPatternException"),
        ({"Type": "String", "Value": "x", "DataType": "aws:ec2:image"}, "ValidationException"),
    ]
    for members, code in rows:
        assert refused(ssm.put_parameter, Name=name, **members)[:2] == (400, code), members
    assert ssm.put_parameter(Name=name, Type="String", Value="x" * 4097, Tier="Intelligent-Tiering")["Tier"] == "Advanced"
    assert refused(ssm.put_parameter, Name=name, Type="StringList", Value="x", Overwrite=True)[1] == "HierarchyTypeMismatchException"


def test_a_stack_with_parameters(main_server):
    ssm, stacks, name = main_server.client("ssm"), main_server.client("cloudformation"), unique("cfn")
    ssm.put_parameter(Name=f"/{name}/in", Value="from outside", Type="String")
    template = {
        "Parameters": {"In": {"Type": "AWS::SSM::Parameter::Value<String>"}},
        "Resources": {
            "P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Name": f"/{name}/out", "Value": {"Ref": "In"}, "Tags": {"k": "v"}}},
            "Q": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": f"<{{{{resolve:ssm:/{name}/in:1}}}}>"}},
            "R": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": name, "RepositoryPolicyText": {"Version": "2012-10-17", "Statement": []}}},
        },
        "Outputs": {
            "Q": {"Value": {"Ref": "Q"}},
            "V": {"Value": {"Fn::GetAtt": ["P", "Value"]}},
            "Uri": {"Value": {"Fn::GetAtt": ["R", "RepositoryUri"]}},
        },
    }
    parameters = [{"ParameterKey": "In", "ParameterValue": f"/{name}/in"}]
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template), Parameters=parameters)
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]}
    assert outputs["V"] == "from outside" and outputs["Uri"] == f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert ssm.get_parameter(Name=f"/{name}/out")["Parameter"]["Value"] == "from outside"
    assert ssm.get_parameter(Name=outputs["Q"])["Parameter"]["Value"] == "<from outside>"
    template["Resources"]["P"]["Properties"] |= {"Value": "new", "Tags": {"l": "w"}}
    stacks.update_stack(StackName=name, TemplateBody=json.dumps(template), Parameters=parameters)
    stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    changed = ssm.get_parameter(Name=f"/{name}/out")["Parameter"]
    assert (changed["Value"], changed["Version"]) == ("new", 2)
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=f"/{name}/out")["TagList"]
    assert tags == [{"Key": "l", "Value": "w"}]
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert refused(ssm.get_parameter, Name=f"/{name}/out")[1] == "ParameterNotFound"
    assert refused(main_server.client("ecr").describe_repositories, repositoryNames=[name])[1] == "RepositoryNotFoundException"


def test_there_are_no_repositories_and_no_rules(main_server):
    ecr, events = main_server.client("ecr"), main_server.client("events")
    message = "The repository with name 'none' does not exist in the registry with id '000000000000'"
    assert refused(ecr.describe_repositories, repositoryNames=["none"]) == (400, "RepositoryNotFoundException", message)
    assert refused(ecr.get_authorization_token)[1] == "UnknownOperationException"
    assert events.list_rules()["Rules"] == [] and events.list_rule_names_by_target(TargetArn="arn:aws:lambda:us-east-1:000000000000:function:f")["RuleNames"] == []
    message = "Rule r does not exist on EventBus default."
    assert refused(events.describe_rule, Name="r") == (400, "ResourceNotFoundException", message)
    assert refused(events.list_targets_by_rule, Rule="r") == (400, "ResourceNotFoundException", message)
    message = "nilas does not support the operation PutRule of events."
    assert refused(events.put_rule, Name="r", ScheduleExpression="rate(1 minute)") == (400, "UnknownOperationException", message)
    events.delete_rule(Name="r")
