"""Secrets Manager, asked with boto3."""

import json
import uuid

import botocore.exceptions
import pytest


def refused(operation, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        operation(**members)
    response = error.value.response
    return response["Error"]["Code"], response["Error"]["Message"]


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def test_a_secret_from_its_making_to_its_end(main_server):
    secrets, name = main_server.client("secretsmanager"), unique("s")
    missing = ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    assert refused(secrets.get_secret_value, SecretId=name) == missing
    made = secrets.create_secret(Name=name, SecretString="one", Description="d", Tags=[{"Key": "k", "Value": "v"}])
    arn, first = made["ARN"], made["VersionId"]
    assert arn.startswith(f"arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-") and len(arn.rsplit("-", 1)[1]) == 6
    message = f"The operation failed because the secret {name} already exists."
    assert refused(secrets.create_secret, Name=name, SecretString="two") == ("ResourceExistsException", message)
    for id in [name, arn, arn[:-7]]:
        value = secrets.get_secret_value(SecretId=id)
        assert (value["SecretString"], value["VersionId"], value["VersionStages"]) == ("one", first, ["AWSCURRENT"])
    token = str(uuid.uuid4())
    second = secrets.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=token)
    assert (second["VersionId"], second["VersionStages"]) == (token, ["AWSCURRENT"])
    assert secrets.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=token)["VersionId"] == token
    assert refused(secrets.put_secret_value, SecretId=name, SecretString="three", ClientRequestToken=token)[0] == "ResourceExistsException"
    assert secrets.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert secrets.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "one"
    message = "Secrets Manager can't find the specified secret value for staging label: NONE"
    assert refused(secrets.get_secret_value, SecretId=name, VersionStage="NONE") == ("ResourceNotFoundException", message)
    stages = {first: ["AWSPREVIOUS"], token: ["AWSCURRENT"]}
    described = secrets.describe_secret(SecretId=name)
    assert (described["VersionIdsToStages"], described["Tags"], described["Description"]) == (stages, [{"Key": "k", "Value": "v"}], "d")
    secrets.update_secret_version_stage(SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=token, MoveToVersionId=first)
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "one"
    secrets.update_secret(SecretId=name, SecretBinary=b"\x00\xff", Description="e")
    assert secrets.get_secret_value(SecretId=name)["SecretBinary"] == b"\x00\xff"
    secrets.tag_resource(SecretId=name, Tags=[{"Key": "l", "Value": "w"}])
    secrets.untag_resource(SecretId=name, TagKeys=["k"])
    listed = secrets.list_secrets(Filters=[{"Key": "name", "Values": [name]}])["SecretList"]
    assert [(s["Name"], s["Description"], s["Tags"]) for s in listed] == [(name, "e", [{"Key": "l", "Value": "w"}])]

    secrets.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    message = "You can't perform this operation on the secret because it was marked for deletion."
    assert refused(secrets.get_secret_value, SecretId=name) == ("InvalidRequestException", message)
    assert "DeletedDate" in secrets.describe_secret(SecretId=name)
    secrets.restore_secret(SecretId=name)
    assert secrets.get_secret_value(SecretId=name)["SecretBinary"] == b"\x00\xff"
    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert refused(secrets.describe_secret, SecretId=name) == missing
    assert secrets.create_secret(Name=name, SecretString="again")["ARN"] != arn


def test_random_passwords(main_server):
    secrets = main_server.client("secretsmanager")
    assert len(secrets.get_random_password()["RandomPassword"]) == 32
    digits = secrets.get_random_password(PasswordLength=8, ExcludeUppercase=True, ExcludeLowercase=True, ExcludePunctuation=True)
    assert digits["RandomPassword"].isdigit() and len(digits["RandomPassword"]) == 8
    assert refused(secrets.get_random_password, PasswordLength=3)[0] == "InvalidParameterException"


def test_a_stack_with_a_secret(main_server):
    secrets, stacks, name = main_server.client("secretsmanager"), main_server.client("cloudformation"), unique("cfn")
    generate = {"SecretStringTemplate": '{"user":"me"}', "GenerateStringKey": "password", "PasswordLength": 20}
    reference = {"Fn::Sub": "{{resolve:secretsmanager:${S}:SecretString:user}}"}
    template = {
        "Resources": {
            "S": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": name, "GenerateSecretString": generate}},
            "P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Name": f"/{name}", "Value": reference}},
        },
        "Outputs": {"S": {"Value": {"Ref": "S"}}},
    }
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    output = stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"][0]["OutputValue"]
    value = secrets.get_secret_value(SecretId=output)
    content = json.loads(value["SecretString"])
    assert value["ARN"] == output and content["user"] == "me" and len(content["password"]) == 20
    assert main_server.client("ssm").get_parameter(Name=f"/{name}")["Parameter"]["Value"] == "me"
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert refused(secrets.describe_secret, SecretId=name)[0] == "ResourceNotFoundException"
