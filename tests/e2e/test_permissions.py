"""Resource policies of functions through boto3: what tools add before they let another service invoke a function."""

import json

import botocore.exceptions
import pytest

HELLO = "exports.handler = async () => 'hello'"


def test_a_permission_is_added_read_and_removed(main_server):
    lam, name = main_server.lambda_, main_server.deploy(HELLO)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    members = {"FunctionName": name, "StatementId": "api", "Action": "lambda:InvokeFunction"}
    members |= {"Principal": "apigateway.amazonaws.com", "SourceAccount": "000000000000"}
    members |= {"SourceArn": "arn:aws:execute-api:us-east-1:000000000000:abcdefghij/*/GET/hello"}
    added = lam.add_permission(**members)
    assert added["ResponseMetadata"]["HTTPStatusCode"] == 201
    statement = {
        "Sid": "api",
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "000000000000"},
            "ArnLike": {"AWS:SourceArn": members["SourceArn"]},
        },
    }
    assert json.loads(added["Statement"]) == statement
    policy = lam.get_policy(FunctionName=arn)
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    assert policy["RevisionId"] == lam.get_function_configuration(FunctionName=name)["RevisionId"]
    with pytest.raises(lam.exceptions.ResourceConflictException, match=r"The statement id \(api\) provided already"):
        lam.add_permission(**members)
    with pytest.raises(lam.exceptions.PreconditionFailedException, match="Call the GetPolicy API"):
        lam.remove_permission(FunctionName=name, StatementId="api", RevisionId="stale")
    removed = lam.remove_permission(FunctionName=name, StatementId="api", RevisionId=policy["RevisionId"])
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_policy(FunctionName=name)


def test_a_url_needs_two_statements_of_its_own_kind(main_server):
    lam, name = main_server.lambda_, main_server.deploy(HELLO)
    lam.add_permission(
        FunctionName=name,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    lam.add_permission(
        FunctionName=name,
        StatementId="invoke",
        Action="lambda:InvokeFunction",
        Principal="*",
        InvokedViaFunctionUrl=True,
    )
    statements = json.loads(lam.get_policy(FunctionName=name)["Policy"])["Statement"]
    assert [(s["Principal"], s["Condition"]) for s in statements] == [
        ("*", {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        ("*", {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ]


def test_an_alias_that_is_not_there_has_no_policy(main_server):
    lam, name = main_server.lambda_, main_server.deploy(HELLO)
    with pytest.raises(botocore.exceptions.ClientError, match="Cannot find alias arn: .*:gone"):
        lam.add_permission(
            FunctionName=name,
            Qualifier="gone",
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
        )
