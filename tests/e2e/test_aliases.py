"""Aliases through boto3 and the AWS CLI: weighted routing, the ARN a function sees, what stands in a deletion's way."""

import json

import botocore.exceptions
import pytest

from conftest import MODES, make_zip, running

WHICH = "exports.handler = async (e, c) => [c.functionVersion, c.invokedFunctionArn]"


@pytest.fixture
def lam(main_server):
    return main_server.client("lambda")


def refused(code, call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**members)
    assert error.value.response["Error"]["Code"] == code, error.value.response
    return error.value.response["Error"]["Message"]


def two_versions(server):
    """A function whose versions 1 and 2 answer with their number and the ARN they were called by."""
    lam, name = server.lambda_, server.deploy(WHICH)
    assert lam.publish_version(FunctionName=name)["Version"] == "1"
    lam.update_function_code(FunctionName=name, ZipFile=make_zip({"index.js": WHICH + "\n"}))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert lam.publish_version(FunctionName=name)["Version"] == "2"
    return name


def test_an_alias_runs_its_version_and_shows_its_own_arn(main_server, lam):
    name = two_versions(main_server)
    made = lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}:live"
    assert made["AliasArn"] == arn and made["ResponseMetadata"]["HTTPStatusCode"] == 201
    for form in [{"FunctionName": f"{name}:live"}, {"FunctionName": name, "Qualifier": "live"}, {"FunctionName": arn}]:
        answer = lam.invoke(**form)
        assert json.loads(answer["Payload"].read()) == ["1", arn] and answer["ExecutedVersion"] == "1"
        assert lam.get_function_configuration(**form)["Version"] == "1"
        assert lam.get_function(**form)["Configuration"]["FunctionArn"] == arn
        assert lam.invoke(**form, InvocationType="DryRun")["StatusCode"] == 204
    lam.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert main_server.invoke(f"{name}:live")[0] == ["2", arn]
    stale = made["RevisionId"]
    assert "Revision Id" in refused(
        "PreconditionFailedException", lam.update_alias, FunctionName=name, Name="live", RevisionId=stale
    )


def test_weights_divide_the_invocations(main_server, lam):
    name = two_versions(main_server)
    routing = {"AdditionalVersionWeights": {"2": 0.3}}
    lam.create_alias(FunctionName=name, Name="canary", FunctionVersion="1", RoutingConfig=routing)
    ran = [main_server.invoke(f"{name}:canary")[2]["ExecutedVersion"] for _ in range(200)]
    # Six standard deviations either way.
    assert 21 <= ran.count("2") <= 99 and ran.count("1") + ran.count("2") == 200
    for weight, version in [(1.0, "2"), (0.0, "1")]:
        routing = {"AdditionalVersionWeights": {"2": weight}}
        lam.update_alias(FunctionName=name, Name="canary", RoutingConfig=routing)
        assert {main_server.invoke(f"{name}:canary")[0][0] for _ in range(20)} == {version}


def test_a_version_with_aliases_is_not_deleted(main_server, lam):
    name = two_versions(main_server)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    message = refused("ResourceConflictException", lam.delete_function, FunctionName=name, Qualifier="1")
    assert message == "Unable to delete version because the following aliases reference it: [live]"
    lam.delete_alias(FunctionName=name, Name="live")
    lam.delete_function(FunctionName=name, Qualifier="1")
    message = refused("ResourceNotFoundException", lam.invoke, FunctionName=name, Qualifier="live")
    assert message == f"Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}:live"


def test_aliases_page_filter_and_survive_a_crash():
    with running(MODES[0]) as server:
        name = two_versions(server)
        for number in range(5):
            version = "2" if number % 2 else "1"
            server.lambda_.create_alias(FunctionName=name, Name=f"a{number}", FunctionVersion=version)
        server.kill()
        server.start()
        pages = server.lambda_.get_paginator("list_aliases").paginate(
            FunctionName=name, PaginationConfig={"PageSize": 2}
        )
        assert [a["Name"] for page in pages for a in page["Aliases"]] == ["a0", "a1", "a2", "a3", "a4"]
        odd = server.lambda_.list_aliases(FunctionName=name, FunctionVersion="2")["Aliases"]
        assert [a["Name"] for a in odd] == ["a1", "a3"]
        assert server.invoke(f"{name}:a1")[0][0] == "2"


def test_the_aws_cli_moves_an_alias(main_server, lam):
    name = two_versions(main_server)
    base = ["--function-name", name, "--name", "live"]
    main_server.aws("lambda", "create-alias", *base, "--function-version", "1")
    weights = '{"AdditionalVersionWeights": {"2": 0.05}}'
    shown = json.loads(main_server.aws("lambda", "update-alias", *base, "--routing-config", weights).stdout)
    assert shown["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.05}}
    shown = main_server.aws("lambda", "update-alias", *base, "--function-version", "2", "--routing-config", "{}").stdout
    assert json.loads(shown)["FunctionVersion"] == "2" and "RoutingConfig" not in json.loads(shown)
