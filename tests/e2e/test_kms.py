"""KMS, asked with boto3."""

import json
import uuid

import botocore.exceptions
import pytest


def refused(operation, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        operation(**members)
    return error.value.response["Error"]["Code"]


def test_a_key_encrypts_and_decrypts(main_server):
    kms = main_server.client("kms")
    key = kms.create_key(Description="d", Tags=[{"TagKey": "k", "TagValue": "v"}])["KeyMetadata"]
    id, arn = key["KeyId"], key["Arn"]
    assert arn == f"arn:aws:kms:us-east-1:000000000000:key/{id}" and key["KeyState"] == "Enabled"
    alias = f"alias/{uuid.uuid4().hex}"
    kms.create_alias(AliasName=alias, TargetKeyId=id)
    assert refused(kms.create_alias, AliasName=alias, TargetKeyId=id) == "AlreadyExistsException"
    assert [a["AliasName"] for a in kms.list_aliases(KeyId=id)["Aliases"]] == [alias]
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == arn
    context = {"b": "2", "a": "1"}
    sealed = kms.encrypt(KeyId=alias, Plaintext=b"secret", EncryptionContext=context)["CiphertextBlob"]
    assert b"secret" not in sealed
    answer = kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"a": "1", "b": "2"})
    assert (answer["Plaintext"], answer["KeyId"]) == (b"secret", arn)
    assert refused(kms.decrypt, CiphertextBlob=sealed) == "InvalidCiphertextException"
    assert refused(kms.decrypt, CiphertextBlob=sealed[:-1] + bytes([sealed[-1] ^ 1]), EncryptionContext=context) == "InvalidCiphertextException"
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    assert refused(kms.decrypt, CiphertextBlob=sealed, EncryptionContext=context, KeyId=other) == "IncorrectKeyException"
    data = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    assert len(data["Plaintext"]) == 32 and kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
    assert json.loads(kms.get_key_policy(KeyId=id)["Policy"])["Statement"][0]["Action"] == "kms:*"
    assert kms.list_resource_tags(KeyId=id)["Tags"] == [{"TagKey": "k", "TagValue": "v"}]
    kms.disable_key(KeyId=id)
    assert refused(kms.encrypt, KeyId=id, Plaintext=b"x") == "DisabledException"
    kms.enable_key(KeyId=id)
    kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=7)
    assert refused(kms.encrypt, KeyId=id, Plaintext=b"x") == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=id)
    assert kms.describe_key(KeyId=id)["KeyMetadata"]["KeyState"] == "Disabled"
    assert refused(kms.describe_key, KeyId=str(uuid.uuid4())) == "NotFoundException"
    assert refused(kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY") == "UnsupportedOperationException"
    assert refused(kms.sign, KeyId=id, Message=b"x", SigningAlgorithm="RSASSA_PSS_SHA_256") == "UnknownOperationException"


def test_a_stack_with_a_key(main_server):
    kms, stacks, name = main_server.client("kms"), main_server.client("cloudformation"), f"kms-{uuid.uuid4().hex[:12]}"
    template = {
        "Resources": {
            "K": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": []}, "PendingWindowInDays": 7}},
            "A": {"Type": "AWS::KMS::Alias", "Properties": {"AliasName": f"alias/{name}", "TargetKeyId": {"Ref": "K"}}},
        },
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["K", "Arn"]}}},
    }
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    arn = stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"][0]["OutputValue"]
    assert kms.describe_key(KeyId=f"alias/{name}")["KeyMetadata"]["Arn"] == arn
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion"
