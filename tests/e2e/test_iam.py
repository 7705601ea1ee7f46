"""IAM's roles and policies, asked as deploy tools ask."""

import json
import uuid

import botocore.exceptions
import pytest

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b & <c>/*"}]}
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def refused(operation, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        operation(**members)
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_a_role_from_its_making_to_its_end(main_server):
    iam, name = main_server.client("iam"), f"r-{uuid.uuid4().hex[:12]}"
    missing = (404, "NoSuchEntity", f"The role with name {name} cannot be found.")
    assert refused(iam.get_role, RoleName=name) == missing
    made = iam.create_role(
        RoleName=name, Path="/p/", AssumeRolePolicyDocument=json.dumps(TRUST), Description="ä & <b>", Tags=[{"Key": "k", "Value": "v"}]
    )["Role"]
    role = iam.get_role(RoleName=name)["Role"]
    assert role == made | {"RoleLastUsed": {}} and role["AssumeRolePolicyDocument"] == TRUST
    assert role["Arn"] == f"arn:aws:iam::000000000000:role/p/{name}" and role["RoleId"].startswith("AROA") and len(role["RoleId"]) == 21
    assert role["MaxSessionDuration"] == 3600 and role["Description"] == "ä & <b>" and role["Tags"] == [{"Key": "k", "Value": "v"}]
    assert refused(iam.create_role, RoleName=name.upper(), AssumeRolePolicyDocument=json.dumps(TRUST))[:2] == (409, "EntityAlreadyExists")

    missing_policy = (404, "NoSuchEntity", "The role policy with name inline cannot be found.")
    assert refused(iam.get_role_policy, RoleName=name, PolicyName="inline") == missing_policy
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(DOCUMENT))
    assert iam.get_role_policy(RoleName=name, PolicyName="inline")["PolicyDocument"] == DOCUMENT
    iam.attach_role_policy(RoleName=name, PolicyArn=BASIC)
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
    assert refused(iam.delete_role, RoleName=name) == (409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
    iam.detach_role_policy(RoleName=name, PolicyArn=BASIC)
    assert refused(iam.delete_role, RoleName=name) == (409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
    iam.delete_role_policy(RoleName=name, PolicyName="inline")
    iam.delete_role(RoleName=name)
    assert refused(iam.get_role, RoleName=name) == missing


def test_a_managed_policy_and_its_versions(main_server):
    iam, name = main_server.client("iam"), f"p-{uuid.uuid4().hex[:12]}"
    policy = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(DOCUMENT))["Policy"]
    arn = policy["Arn"]
    assert arn == f"arn:aws:iam::000000000000:policy/{name}" and policy["DefaultVersionId"] == "v1"
    for number in range(2, 6):
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(DOCUMENT), SetAsDefault=number == 3)
        assert made["PolicyVersion"]["VersionId"] == f"v{number}"
    assert refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=json.dumps(DOCUMENT))[:2] == (409, "LimitExceeded")
    assert [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v5", "v4", "v3", "v2", "v1"]
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v3")["PolicyVersion"]["Document"] == DOCUMENT
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v3")[1] == "DeleteConflict"
    assert refused(iam.delete_policy, PolicyArn=arn)[1] == "DeleteConflict"
    for number in [1, 2, 4, 5]:
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    iam.delete_policy(PolicyArn=arn)
    assert refused(iam.get_policy, PolicyArn=arn) == (404, "NoSuchEntity", f"Policy {arn} was not found.")


def test_lists_come_in_pages(main_server):
    iam, stem = main_server.client("iam"), uuid.uuid4().hex[:12]
    for n in range(5):
        iam.create_role(RoleName=f"{stem}-{n}", Path=f"/{stem}/", AssumeRolePolicyDocument=json.dumps(TRUST))
    pages = list(iam.get_paginator("list_roles").paginate(PathPrefix=f"/{stem}/", PaginationConfig={"PageSize": 2}))
    assert [[role["RoleName"][-1] for role in page["Roles"]] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
    policies = iam.get_paginator("list_policies").paginate(Scope="AWS").search("Policies[].Arn")
    assert BASIC in list(policies)


def test_what_is_wrong_is_told_in_awss_words(main_server):
    iam = main_server.client("iam")
    assert refused(iam.create_role, RoleName="x", AssumeRolePolicyDocument="{") == (400, "MalformedPolicyDocument", "This policy contains invalid Json")
    assert refused(iam.create_policy, PolicyName="x", PolicyDocument="{}") == (400, "MalformedPolicyDocument", "Syntax errors in policy.")
    assert refused(iam.create_user, UserName="x")[:2] == (501, "NotImplemented")
