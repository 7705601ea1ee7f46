"""CloudFormation as deploy tools use it: stacks, change sets, events, roll-back, exports."""

import contextlib
import json
import time
import urllib.error
import urllib.request
import uuid

import botocore.exceptions
import pytest
from conftest import MODES, running

GROUP = "AWS::Logs::LogGroup"


def group(name=None, retention=None, **members):
    properties = {k: v for k, v in {"LogGroupName": name, "RetentionInDays": retention}.items() if v is not None}
    return {"Type": GROUP, "Properties": properties, **members}


def template(resources, **sections):
    return json.dumps({"Resources": resources, **sections})


@pytest.fixture
def cfn(main_server):
    return main_server.client("cloudformation")


@pytest.fixture
def logs(main_server):
    return main_server.client("logs")


@pytest.fixture
def name():
    return f"t{uuid.uuid4().hex[:10]}"


def refused(call, code="ValidationError"):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def events(cfn, stack):
    return [(e["LogicalResourceId"], e["ResourceStatus"]) for e in cfn.describe_stack_events(StackName=stack)["StackEvents"]]


def groups(logs, prefix):
    return {g["logGroupName"]: g.get("retentionInDays") for g in logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]}


def status(cfn, stack):
    return cfn.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]


def test_a_stack_is_there_before_the_answer_and_gone_after_its_deletion(cfn, logs, name):
    body = template(
        {"A": group(f"/{name}/a", 7), "B": group({"Fn::Sub": "/${AWS::StackName}/b"}, DependsOn="A"), "C": group()},
        Outputs={"Arn": {"Value": {"Fn::GetAtt": ["A", "Arn"]}}, "Api": {"Value": "https://abcde12345.execute-api.us-east-1.amazonaws.com/x"}},
    )
    stack_id = cfn.create_stack(StackName=name, TemplateBody=body, Tags=[{"Key": "k", "Value": "v"}])["StackId"]
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE" and stack["StackId"] == stack_id
    assert stack["Tags"] == [{"Key": "k", "Value": "v"}]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    assert outputs["Arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:/{name}/a:*"
    assert outputs["Api"].startswith("http://abcde12345.execute-api.us-east-1.localhost:") and outputs["Api"].endswith("/x")
    assert groups(logs, f"/{name}/") == {f"/{name}/a": 7, f"/{name}/b": None}
    seen = events(cfn, stack_id)
    assert seen[0] == (name, "CREATE_COMPLETE") and seen[-1] == (name, "CREATE_IN_PROGRESS")
    assert seen.index(("A", "CREATE_COMPLETE")) > seen.index(("B", "CREATE_IN_PROGRESS"))
    resources = {r["LogicalResourceId"]: r for r in cfn.list_stack_resources(StackName=name)["StackResourceSummaries"]}
    made = resources["C"]["PhysicalResourceId"]
    assert made.startswith(f"{name}-C-") and len(made) == len(name) + 15
    detail = cfn.describe_stack_resource(StackName=name, LogicalResourceId="A")["StackResourceDetail"]
    assert detail["PhysicalResourceId"] == f"/{name}/a" and detail["ResourceStatus"] == "CREATE_COMPLETE"
    assert cfn.get_template(StackName=name)["TemplateBody"] == json.loads(body)
    cfn.get_waiter("stack_create_complete").wait(StackName=name)

    cfn.delete_stack(StackName=name)
    assert refused(lambda: cfn.describe_stacks(StackName=name)) == f"Stack with id {name} does not exist"
    assert status(cfn, stack_id) == "DELETE_COMPLETE"
    assert groups(logs, f"/{name}/") == {}
    cfn.delete_stack(StackName=name)


def test_an_update_makes_changes_replaces_and_removes(cfn, logs, name):
    cfn.create_stack(StackName=name, TemplateBody=template({"A": group(f"/{name}/a", 7), "B": group(f"/{name}/b"), "C": group(f"/{name}/c")}))
    body = template({"A": group(f"/{name}/a", 14), "B": group(f"/{name}/b2"), "D": group(f"/{name}/d")})
    cfn.update_stack(StackName=name, TemplateBody=body)
    assert status(cfn, name) == "UPDATE_COMPLETE"
    assert groups(logs, f"/{name}/") == {f"/{name}/a": 14, f"/{name}/b2": None, f"/{name}/d": None}
    seen = events(cfn, name)
    assert seen[0] == (name, "UPDATE_COMPLETE")
    assert (name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") in seen and ("C", "DELETE_COMPLETE") in seen
    assert refused(lambda: cfn.update_stack(StackName=name, TemplateBody=body)) == "No updates are to be performed."


def test_a_failed_update_leaves_what_was_there(cfn, logs, name):
    logs.create_log_group(logGroupName=f"/{name}/taken")
    cfn.create_stack(StackName=name, TemplateBody=template({"A": group(f"/{name}/a", 7), "B": group(f"/{name}/b"), "C": group(f"/{name}/c")}))
    before = groups(logs, f"/{name}/")
    body = template({"A": group(f"/{name}/a", 14), "B": group(f"/{name}/b2"), "D": group(f"/{name}/d"), "E": group(f"/{name}/taken", DependsOn=["A", "B", "D"])})
    cfn.update_stack(StackName=name, TemplateBody=body)
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert groups(logs, f"/{name}/") == before
    failed = [e for e in cfn.describe_stack_events(StackName=name)["StackEvents"] if e["ResourceStatus"] == "CREATE_FAILED"]
    assert "already exists" in failed[0]["ResourceStatusReason"] and "HandlerErrorCode: AlreadyExists" in failed[0]["ResourceStatusReason"]
    started = [e for e in cfn.describe_stack_events(StackName=name)["StackEvents"] if e["ResourceStatus"] == "UPDATE_ROLLBACK_IN_PROGRESS"]
    assert started[0]["ResourceStatusReason"] == "The following resource(s) failed to create: [E]. "
    assert {r["LogicalResourceId"] for r in cfn.list_stack_resources(StackName=name)["StackResourceSummaries"]} == {"A", "B", "C"}


@pytest.mark.parametrize("on_failure, end, left", [("ROLLBACK", "ROLLBACK_COMPLETE", False), ("DO_NOTHING", "CREATE_FAILED", True), ("DELETE", "DELETE_COMPLETE", False)])
def test_a_failed_creation_ends_as_asked(cfn, logs, name, on_failure, end, left):
    logs.create_log_group(logGroupName=f"/{name}/taken")
    body = template({"A": group(f"/{name}/a"), "E": group(f"/{name}/taken", DependsOn="A")})
    stack_id = cfn.create_stack(StackName=name, TemplateBody=body, OnFailure=on_failure)["StackId"]
    assert status(cfn, stack_id) == end
    assert (f"/{name}/a" in groups(logs, f"/{name}/")) == left
    if end == "ROLLBACK_COMPLETE":
        message = refused(lambda: cfn.update_stack(StackName=name, TemplateBody=body))
        assert message == f"Stack:{stack_id} is in ROLLBACK_COMPLETE state and can not be updated."
        assert refused(lambda: cfn.create_stack(StackName=name, TemplateBody=body), "AlreadyExistsException") == f"Stack [{name}] already exists"


def test_change_sets(cfn, logs, name):
    body = template({"A": group(f"/{name}/a", 7)})
    made = cfn.create_change_set(StackName=name, ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=body)
    assert status(cfn, name) == "REVIEW_IN_PROGRESS"
    described = cfn.describe_change_set(ChangeSetName=made["Id"])
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    change = described["Changes"][0]["ResourceChange"]
    assert (change["Action"], change["LogicalResourceId"], change["ResourceType"]) == ("Add", "A", GROUP)
    cfn.execute_change_set(ChangeSetName="one", StackName=name)
    assert status(cfn, made["StackId"]) == "CREATE_COMPLETE"
    again = cfn.create_change_set(StackName=name, ChangeSetName="two", TemplateBody=body)
    described = cfn.describe_change_set(ChangeSetName=again["Id"])
    assert described["Status"] == "FAILED" and described["ExecutionStatus"] == "UNAVAILABLE"
    assert described["StatusReason"].startswith("The submitted information didn't contain changes.")
    refused(lambda: cfn.execute_change_set(ChangeSetName=again["Id"]), "InvalidChangeSetStatus")
    cfn.delete_change_set(StackName=name, ChangeSetName="two")
    cfn.delete_change_set(StackName=name, ChangeSetName="never")
    cfn.create_change_set(StackName=name, ChangeSetName="three", TemplateBody=template({"A": group(f"/{name}/z", 7), "B": group()}))
    changes = cfn.describe_change_set(StackName=name, ChangeSetName="three")["Changes"]
    rows = {c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in changes}
    assert (rows["A"]["Action"], rows["A"]["Replacement"], rows["B"]["Action"]) == ("Modify", "True", "Add")
    assert refused(lambda: cfn.describe_change_set(StackName=name, ChangeSetName="four"), "ChangeSetNotFound") == "ChangeSet [four] does not exist"
    missing = f"{name}x"
    assert refused(lambda: cfn.create_change_set(StackName=missing, ChangeSetName="a", TemplateBody=body)) == f"Stack [{missing}] does not exist"


@pytest.mark.parametrize("body, message", [
    ('{"Resources": {}}', "Template format error: At least one Resources member must be defined."),
    ("Resources: {A: {Type: 'AWS::EC2::Instance'}}", "Template format error: Unrecognized resource types: [AWS::EC2::Instance]"),
    ("Resources: {A: {Type: 'AWS::Logs::LogGroup', Properties: {LogGroupName: !Ref X}}}", "Template format error: Unresolved resource dependencies [X] in the Resources block of the template"),
    ("{", "Template format error: JSON not well-formed. (line 1, column 1)"),
    ("A: [\n", "Template format error: YAML not well-formed. (line 2, column 1)"),
    ("just text", "Template format error: unsupported structure."),
    (template({"A": group(DependsOn="B"), "B": group(DependsOn="A")}), "Circular dependency between resources: [A, B]"),
    (template({"A": group({"Fn::GetAtt": ["B", "Arn"]}), "B": group({"Ref": "A"})}), "Circular dependency between resources: [A, B]"),
    (template({"A": group({"Ref": "A"})}), "Circular dependency between resources: [A]"),
    (template({"A": group(Colour="blue")}), "Invalid template resource property 'Colour'"),
    (template({"A": group()}, Colour={}), "Invalid template property or properties [Colour]"),
    (template({"A": group()}, Outputs={"O": {"Value": "v", "Colour": 1}}), "Invalid template output property 'Colour'"),
    (template({"A": group()}, Parameters={"P": {"Type": "String", "Colour": 1}}), "Invalid template parameter property 'Colour'"),
    (template({"A": {"Properties": {}}}), "Template format error: [/Resources/A] Every Resources object must contain a Type member."),
    (template({"a-b": group()}), "Template format error: Resource name a-b is non alphanumeric."),
    (template({"A": group({"Fn::GetAtt": ["A", "Colour"]})}), "Template error: resource A does not support attribute type Colour in Fn::GetAtt"),
    (template({"A": group()}, Outputs={"O": {"Value": {"Fn::GetAtt": ["B", "Arn"]}}}), "Template error: instance of Fn::GetAtt references undefined resource B"),
    (template({"A": group({"Fn::Colour": "x"})}), "Template error: Encountered unsupported function: Fn::Colour Supported functions are: [Fn::And, Fn::Base64, Fn::Cidr, Condition, Fn::Equals, Fn::FindInMap, Fn::GetAtt, Fn::GetAZs, Fn::If, Fn::ImportValue, Fn::Join, Fn::Length, Fn::Not, Fn::Or, Ref, Fn::Select, Fn::Split, Fn::Sub, Fn::ToJsonString]"),
    (template({f"A{n}": group() for n in range(501)}), "Template format error: Number of resources, 501, is greater than maximum allowed, 500"),
])
def test_templates_are_refused_before_anything_is_made(cfn, name, body, message):
    assert refused(lambda: cfn.create_stack(StackName=name, TemplateBody=body)) == message
    assert refused(lambda: cfn.validate_template(TemplateBody=body)) == message
    refused(lambda: cfn.describe_stacks(StackName=name))


def test_templates_have_a_size(main_server, cfn, name):
    body = template({"A": group()}, Description="d" * 51_200)
    message = refused(lambda: cfn.create_stack(StackName=name, TemplateBody=body))
    assert message.endswith("at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200")
    large = template({"A": group()}, Metadata={"M": "m" * 60_000})
    url = in_bucket(main_server, name, large=large, oversize=template({"A": group()}, Metadata={"M": "m" * 1_048_576}))
    assert "1048576" in refused(lambda: cfn.create_stack(StackName=name, TemplateURL=f"{url}/oversize.json"))
    refused(lambda: cfn.describe_stacks(StackName=name))
    cfn.create_stack(StackName=name, TemplateURL=f"{url}/large.json")
    assert status(cfn, name) == "CREATE_COMPLETE"


def test_a_type_is_needed_where_its_condition_holds(cfn, name):
    body = template(
        {"Kept": group(), "Key": {"Type": "AWS::No::Such", "Condition": "Wanted"}},
        Parameters={"Want": {"Type": "String", "Default": "no"}},
        Conditions={"Wanted": {"Fn::Equals": [{"Ref": "Want"}, "yes"]}},
    )
    yes = [{"ParameterKey": "Want", "ParameterValue": "yes"}]
    message = refused(lambda: cfn.create_stack(StackName=name, TemplateBody=body, Parameters=yes))
    assert message == "Template format error: Unrecognized resource types: [AWS::No::Such]"
    cfn.create_stack(StackName=name, TemplateBody=body)
    assert [r["LogicalResourceId"] for r in cfn.describe_stack_resources(StackName=name)["StackResources"]] == ["Kept"]
    cfn.delete_stack(StackName=name)


def test_properties_that_do_not_fit_fail_before_anything_is_made(cfn, logs, name):
    body = template({"A": group(f"/{name}/a"), "B": {"Type": GROUP, "Properties": {"RetentionInDays": "many", "Colour": 1}}})
    stack = cfn.create_stack(StackName=name, TemplateBody=body)["StackId"]
    assert status(cfn, stack) == "ROLLBACK_COMPLETE"
    described = cfn.describe_stack_events(StackName=stack)["StackEvents"]
    reasons = [e["ResourceStatusReason"] for e in described if e["ResourceStatus"] == "CREATE_FAILED"]
    assert reasons == ["Properties validation failed for resource B with message:\n#/RetentionInDays: expected type: Number, found: String\n#: extraneous key [Colour] is not permitted"]
    assert not any(e["LogicalResourceId"] == "A" for e in described)


def test_exports_are_used_and_guarded(cfn, name):
    export = {"O": {"Value": "v", "Export": {"Name": f"{name}-x"}}}
    cfn.create_stack(StackName=name, TemplateBody=template({"A": group()}, Outputs=export))
    user = f"{name}u"
    cfn.create_stack(StackName=user, TemplateBody=template({"A": group({"Fn::Join": ["-", [name, {"Fn::ImportValue": f"{name}-x"}]]})}))
    assert cfn.list_imports(ExportName=f"{name}-x")["Imports"] == [user]
    assert {"ExportingStackId", "Name", "Value"} <= set(cfn.list_exports()["Exports"][0])
    cfn.delete_stack(StackName=name)
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert stack["StackStatusReason"] == f"Export {name}-x cannot be deleted as it is in use by {user}"
    cfn.delete_stack(StackName=user)
    cfn.delete_stack(StackName=name)
    refused(lambda: cfn.describe_stacks(StackName=name))


def test_retained_resources_stay(cfn, logs, name):
    cfn.create_stack(StackName=name, TemplateBody=template({"A": group(f"/{name}/a", DeletionPolicy="Retain"), "B": group(f"/{name}/b")}))
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cfn.delete_stack(StackName=name)
    assert list(groups(logs, f"/{name}/")) == [f"/{name}/a"]
    assert ("A", "DELETE_SKIPPED") in events(cfn, stack)


def test_parameters_and_protection(cfn, name):
    body = template(
        {"A": group({"Ref": "Name"})},
        Parameters={"Name": {"Type": "String"}, "Secret": {"Type": "String", "NoEcho": True, "Default": "x"}},
    )
    assert refused(lambda: cfn.create_stack(StackName=name, TemplateBody=body)) == "Parameters: [Name] must have values"
    given = [{"ParameterKey": "Name", "ParameterValue": f"/{name}/p"}]
    cfn.create_stack(StackName=name, TemplateBody=body, Parameters=given, EnableTerminationProtection=True)
    shown = {p["ParameterKey"]: p["ParameterValue"] for p in cfn.describe_stacks(StackName=name)["Stacks"][0]["Parameters"]}
    assert shown == {"Name": f"/{name}/p", "Secret": "****"}
    message = refused(lambda: cfn.delete_stack(StackName=name))
    assert message == f"Stack [{name}] cannot be deleted while TerminationProtection is enabled"
    previous = [{"ParameterKey": "Name", "UsePreviousValue": True}]
    assert refused(lambda: cfn.update_stack(StackName=name, UsePreviousTemplate=True, Parameters=previous)) == "No updates are to be performed."
    cfn.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    cfn.delete_stack(StackName=name)


def test_capabilities_are_demanded(cfn, name):
    macro = "Transform: AWS::LanguageExtensions\nResources: {A: {Type: 'AWS::Logs::LogGroup'}}"
    message = refused(lambda: cfn.create_stack(StackName=name, TemplateBody=macro), "InsufficientCapabilitiesException")
    assert message == "Requires capabilities : [CAPABILITY_AUTO_EXPAND]"


def in_bucket(server, name, **files):
    """Puts templates into a bucket of their own; answers the URL below which they are, as AWS writes it."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket=name)
    for key, body in files.items():
        s3.put_object(Bucket=name, Key=f"{key}.json", Body=body)
    return f"https://s3.amazonaws.com/{name}"


def test_a_stack_in_a_stack(main_server, cfn, logs, name):
    inner = template(
        {"G": group({"Fn::Sub": f"/{name}/${{Part}}"})},
        Parameters={"Part": {"Type": "String"}},
        Outputs={"Name": {"Value": {"Ref": "G"}}},
    )
    failing = template({"G": group(f"/{name}/inner"), "H": group(f"/{name}/inner", DependsOn="G")})
    url = in_bucket(main_server, name, inner=inner, failing=failing)

    def outer(key, part):
        nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": f"{url}/{key}.json", "Parameters": {"Part": part}}}
        return template({"N": nested}, Outputs={"O": {"Value": {"Fn::GetAtt": ["N", "Outputs.Name"]}}})

    cfn.create_stack(StackName=name, TemplateBody=outer("inner", "one"))
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE" and stack["Outputs"][0]["OutputValue"] == f"/{name}/one"
    inside = cfn.describe_stack_resource(StackName=name, LogicalResourceId="N")["StackResourceDetail"]["PhysicalResourceId"]
    assert inside.startswith("arn:aws:cloudformation:") and f"stack/{name}-N-" in inside
    child = cfn.describe_stacks(StackName=inside)["Stacks"][0]
    assert child["ParentId"] == child["RootId"] == stack["StackId"] and "ParentId" not in stack
    assert [s["ParentId"] for s in cfn.list_stacks()["StackSummaries"] if s["StackId"] == inside] == [stack["StackId"]]
    cfn.update_stack(StackName=name, TemplateBody=outer("inner", "two"))
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"][0]["OutputValue"] == f"/{name}/two"
    assert list(groups(logs, f"/{name}/")) == [f"/{name}/two"]
    body = json.loads(outer("inner", "two"))
    body["Resources"]["N"]["Properties"] = {"TemplateURL": f"{url}/failing.json"}
    del body["Outputs"]
    cfn.update_stack(StackName=name, TemplateBody=json.dumps(body))
    assert status(cfn, name) == "UPDATE_ROLLBACK_COMPLETE"
    assert list(groups(logs, f"/{name}/")) == [f"/{name}/two"]
    cfn.delete_stack(StackName=name)
    assert status(cfn, inside) == "DELETE_COMPLETE" and groups(logs, f"/{name}/") == {}


def test_a_stack_in_a_stack_in_a_stack(main_server, cfn, name):
    def nested(url):
        return template({"N": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}})

    url = in_bucket(main_server, name, low=template({"G": group()}), middle=nested(f"https://s3.amazonaws.com/{name}/low.json"))
    top = cfn.create_stack(StackName=name, TemplateBody=nested(f"{url}/middle.json"))["StackId"]
    assert wait_until_settled(cfn, name) == "CREATE_COMPLETE"

    def inside(stack):
        return cfn.describe_stack_resource(StackName=stack, LogicalResourceId="N")["StackResourceDetail"]["PhysicalResourceId"]

    middle = inside(top)
    low = cfn.describe_stacks(StackName=inside(middle))["Stacks"][0]
    assert (low["ParentId"], low["RootId"]) == (middle, top)
    cfn.delete_stack(StackName=name)
    assert status(cfn, low["StackId"]) == "DELETE_COMPLETE"


def test_rules_are_checked_before_anything_is_made(cfn, name):
    # As the CDK writes it, and one with a condition.
    old = {"Fn::Contains": [["1", "2", "3", "4", "5"], {"Ref": "Version"}]}
    rules = {
        "CheckBootstrapVersion": {"Assertions": [{"Assert": {"Fn::Not": [old]}, "AssertDescription": "version 6 required"}]},
        "Production": {
            "RuleCondition": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "Assertions": [{"Assert": {"Fn::EachMemberIn": [{"Ref": "Zones"}, ["a", "b"]]}, "AssertDescription": "zones a and b only"}],
        },
    }
    parameters = {"Version": {"Type": "Number"}, "Stage": {"Type": "String"}, "Zones": {"Type": "CommaDelimitedList"}}
    body = template({"A": group(f"/{name}/a")}, Parameters=parameters, Rules=rules)

    def create(*values):
        given = [{"ParameterKey": k, "ParameterValue": v} for k, v in zip(parameters, values, strict=True)]
        return cfn.create_stack(StackName=name, TemplateBody=body, Parameters=given)

    assert refused(lambda: create("5", "dev", "c")) == "Template error: Rule CheckBootstrapVersion failed: version 6 required"
    assert refused(lambda: create("21", "prod", "a,c")) == "Template error: Rule Production failed: zones a and b only"
    refused(lambda: cfn.describe_stacks(StackName=name))
    create("21", "dev", "c")
    assert status(cfn, name) == "CREATE_COMPLETE"
    cfn.delete_stack(StackName=name)


FAILS = "Template error: Rule R failed: d"


@pytest.mark.parametrize("rule, message", [
    ("{'Fn::Equals': [!Ref P, a]}", None),
    ("{'Fn::Equals': [!Ref P, b]}", FAILS),
    ("{'Fn::Equals': [!Ref 'AWS::Region', us-east-1]}", None),
    ("{'Fn::Not': [{'Fn::Contains': [['1', '2'], !Ref P]}]}", None),
    ("{'Fn::Contains': [!Ref L, x]}", None),
    ("{'Fn::Contains': [!Ref L, z]}", FAILS),
    ("{'Fn::EachMemberEquals': [!Ref L, x]}", FAILS),
    ("{'Fn::EachMemberIn': [!Ref L, [x, y, z]]}", None),
    ("{'Fn::EachMemberIn': [{'Fn::RefAll': String}, [a, q]]}", None),
    ("{'Fn::And': [{'Fn::Equals': [a, a]}, {'Fn::Equals': [a, b]}]}", FAILS),
    ("{'Fn::Or': [{'Fn::Equals': [a, b]}, {'Fn::Equals': [a, a]}]}", None),
    ("{'Fn::Contains': [{'Fn::ValueOfAll': ['AWS::EC2::VPC::Id', Tags.x]}, a]}", "Template error: Fn::ValueOfAll is not supported by nilas in Rules."),
    ("{'Fn::Equals': [a]}", "Template error: Rules cannot use Fn::Equals like this."),
    ("yes", "Template error: Rules can only be made of boolean functions of parameters."),
])
def test_functions_of_rules(cfn, name, rule, message):
    body = (
        "Parameters: {P: {Type: String, Default: a}, Q: {Type: String, Default: q}, L: {Type: CommaDelimitedList, Default: 'x,y'}}\n"
        f"Rules: {{R: {{Assertions: [{{Assert: {rule}, AssertDescription: d}}]}}}}\n"
        "Resources: {A: {Type: 'AWS::Logs::LogGroup'}}\n"
    )
    create = lambda: cfn.create_stack(StackName=name, TemplateBody=body)  # noqa: E731
    if message:
        assert refused(create) == message
    else:
        create()
        cfn.delete_stack(StackName=name)


SAM = "AWS::Serverless-2016-10-31"


@pytest.mark.parametrize("resources, reason", [
    ({"F": {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "a.b", "Runtime": "nodejs20.x"}}},
     f"Transform {SAM} failed with: Invalid Serverless Application Specification document. Number of errors found: 1."),
    ({"A": group({"Ref": "Nothing"})}, "Template format error: Unresolved resource dependencies [Nothing] in the Resources block of the template"),
    ({"A": {"Type": "AWS::EC2::Instance"}}, "Template format error: Unrecognized resource types: [AWS::EC2::Instance]"),
    ({"R": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}}, "Requires capabilities : [CAPABILITY_IAM]"),
])
def test_what_macros_do_not_make_good_fails_the_change_set(cfn, name, resources, reason):
    body = template(resources, Transform=SAM)
    made = cfn.create_change_set(StackName=name, ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=body)
    described = cfn.describe_change_set(ChangeSetName=made["Id"])
    assert (described["Status"], described["ExecutionStatus"], described["Changes"]) == ("FAILED", "UNAVAILABLE", [])
    assert described["StatusReason"].startswith(reason)
    assert cfn.get_template(ChangeSetName=made["Id"])["TemplateBody"]
    assert status(cfn, name) == "REVIEW_IN_PROGRESS"
    refused(lambda: cfn.execute_change_set(ChangeSetName=made["Id"]), "InvalidChangeSetStatus")
    # A stack that is there keeps what it has.
    good = template({"A": group(f"/{name}/a")}, Transform=SAM)
    cfn.create_change_set(StackName=name, ChangeSetName="two", ChangeSetType="CREATE", TemplateBody=good)
    cfn.execute_change_set(ChangeSetName="two", StackName=name)
    bad = cfn.create_change_set(StackName=name, ChangeSetName="three", TemplateBody=body)["Id"]
    assert cfn.describe_change_set(ChangeSetName=bad)["StatusReason"].startswith(reason)
    assert status(cfn, name) == "CREATE_COMPLETE"
    cfn.delete_stack(StackName=name)


@pytest.mark.parametrize("body, message", [
    ("{", "Template format error: JSON not well-formed. (line 1, column 1)"),
    (template({"A": group({"Ref": "P"})}, Parameters={"P": {"Type": "String"}}, Transform=SAM), "Parameters: [P] must have values"),
    (template({"A": group({"Ref": "Nothing"})}), "Template format error: Unresolved resource dependencies [Nothing] in the Resources block of the template"),
])
def test_change_sets_of_malformed_templates_are_not_made(cfn, name, body, message):
    call = lambda: cfn.create_change_set(StackName=name, ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=body)  # noqa: E731
    assert refused(call) == message
    refused(lambda: cfn.describe_stacks(StackName=name))


ANSWERING = """
const http = require('http');
exports.handler = (event) => new Promise((done) => {
  console.log(JSON.stringify(event));
  const given = event.ResourceProperties;
  const fails = given.Fails === event.RequestType;
  const body = JSON.stringify({
    Status: fails ? 'FAILED' : 'SUCCESS', Reason: 'as asked', PhysicalResourceId: 'thing-' + given.Id,
    StackId: event.StackId, RequestId: event.RequestId, LogicalResourceId: event.LogicalResourceId,
    Data: { Echo: given.Word + '/' + typeof given.Count },
  });
  const put = http.request(event.ResponseURL, { method: 'PUT', headers: { 'content-length': Buffer.byteLength(body) } }, (r) => { r.resume(); r.on('end', done) });
  put.end(body);
});
"""


def test_a_function_makes_a_resource(main_server, cfn, name):
    function = main_server.deploy(ANSWERING)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function}"

    def body(**properties):
        custom = {"Type": "Custom::Thing", "Properties": {"ServiceToken": arn, "Count": 3, **properties}}
        return template({"C": custom}, Outputs={"O": {"Value": {"Fn::GetAtt": ["C", "Echo"]}}})

    def made():
        stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
        physical = cfn.describe_stack_resource(StackName=name, LogicalResourceId="C")["StackResourceDetail"]["PhysicalResourceId"]
        return stack["StackStatus"], stack["Outputs"][0]["OutputValue"], physical

    cfn.create_stack(StackName=name, TemplateBody=body(Word="hello", Id="1"))
    assert wait_until_settled(cfn, name) == "CREATE_COMPLETE", cfn.describe_stack_events(StackName=name)
    assert made() == ("CREATE_COMPLETE", "hello/string", "thing-1")
    # Another physical id means a replacement: the old one is deleted afterwards.
    cfn.update_stack(StackName=name, TemplateBody=body(Word="bye", Id="2"))
    assert made() == ("UPDATE_COMPLETE", "bye/string", "thing-2")
    deleted = [e["PhysicalResourceId"] for e in cfn.describe_stack_events(StackName=name)["StackEvents"] if e["ResourceStatus"] == "DELETE_COMPLETE"]
    assert deleted == ["thing-1"]
    cfn.update_stack(StackName=name, TemplateBody=body(Word="no", Id="2", Fails="Update"))
    assert made() == ("UPDATE_ROLLBACK_COMPLETE", "bye/string", "thing-2")
    reasons = [e["ResourceStatusReason"] for e in cfn.describe_stack_events(StackName=name)["StackEvents"] if e["ResourceStatus"] == "UPDATE_FAILED"]
    assert reasons[0].startswith("Received response status [FAILED] from custom resource. Message returned: as asked (RequestId: ")
    cfn.delete_stack(StackName=name)
    refused(lambda: cfn.describe_stacks(StackName=name))


NODE_INLINE = """
const response = require('cfn-response')
exports.handler = (event, context) => {
  const fails = event.ResourceProperties.Fails === event.RequestType
  response.send(event, context, fails ? response.FAILED : response.SUCCESS, { Word: event.ResourceProperties.Word }, 'thing')
}
"""
PYTHON_INLINE = """
import cfnresponse

def handler(event, context):
    given = event["ResourceProperties"]
    fails = given.get("Fails") == event["RequestType"]
    cfnresponse.send(event, context, cfnresponse.FAILED if fails else cfnresponse.SUCCESS, {"Word": given["Word"]}, "thing")
"""


@pytest.mark.parametrize("runtime, source", [("nodejs20.x", NODE_INLINE), ("python3.12", PYTHON_INLINE)])
def test_inline_code_answers_with_the_module_for_it(cfn, name, runtime, source):
    function = {"Role": "arn:aws:iam::000000000000:role/any", "Runtime": runtime, "Handler": "index.handler", "Code": {"ZipFile": source}}

    def body(word, **properties):
        custom = {"ServiceToken": {"Fn::GetAtt": ["F", "Arn"]}, "Word": word, **properties}
        resources = {"F": {"Type": "AWS::Lambda::Function", "Properties": function}, "C": {"Type": "Custom::Thing", "Properties": custom}}
        return template(resources, Outputs={"O": {"Value": {"Fn::GetAtt": ["C", "Word"]}}})

    def output():
        return cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"][0]["OutputValue"]

    cfn.create_stack(StackName=name, TemplateBody=body("one"))
    assert wait_until_settled(cfn, name) == "CREATE_COMPLETE", cfn.describe_stack_events(StackName=name)
    assert output() == "one"
    cfn.update_stack(StackName=name, TemplateBody=body("two"))
    assert wait_until_settled(cfn, name) == "UPDATE_COMPLETE" and output() == "two"
    cfn.update_stack(StackName=name, TemplateBody=body("three", Fails="Update"))
    assert wait_until_settled(cfn, name) == "UPDATE_ROLLBACK_COMPLETE" and output() == "two"
    reasons = [e.get("ResourceStatusReason", "") for e in cfn.describe_stack_events(StackName=name)["StackEvents"] if e["ResourceStatus"] == "UPDATE_FAILED"]
    assert any("See the details in CloudWatch Log Stream" in reason for reason in reasons)
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cfn.delete_stack(StackName=name)
    assert wait_until_settled(cfn, stack) == "DELETE_COMPLETE"


def test_a_callback_that_nobody_awaits_is_refused(main_server):
    url = f"{main_server.url}/_aws/cloudformation/callback/{uuid.uuid4().hex}"
    request = urllib.request.Request(url, data=b"{}", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 403


def wait_until_settled(cfn, stack, seconds=30):
    deadline = time.monotonic() + seconds
    while (now := status(cfn, stack)).endswith("_IN_PROGRESS"):
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def chain(name, retention, count=150):
    """Groups that wait for one another, so that a stack of them takes a while."""
    resources = {"G0": group(f"/{name}/000", retention)}
    for n in range(1, count):
        resources[f"G{n}"] = group(f"/{name}/{n:03}", retention, DependsOn=f"G{n - 1}")
    return resources


def all_groups(logs, prefix):
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return {g["logGroupName"]: g.get("retentionInDays") for page in pages for g in page["logGroups"]}


def test_operations_survive_kill_9():
    with running(MODES[0]) as server:
        # An operation is answered when it is done or takes long: the clients here give up at once.
        hasty = server.client("cloudformation", read_timeout=0.4, retries={"max_attempts": 0})
        cfn, logs = server.client("cloudformation"), server.client("logs")

        def interrupted(call):
            with contextlib.suppress(botocore.exceptions.ReadTimeoutError, botocore.exceptions.ConnectionClosedError):
                call()
            server.kill()
            server.start()

        interrupted(lambda: hasty.create_stack(StackName="s", TemplateBody=template(chain("s", 7))))
        assert wait_until_settled(cfn, "s") == "CREATE_COMPLETE"
        assert len(all_groups(logs, "/s/")) == 150
        seen = [e for e in cfn.get_paginator("describe_stack_events").paginate(StackName="s").search("StackEvents[].[LogicalResourceId, ResourceStatus]")]
        assert len([e for e in seen if e[1] == "CREATE_COMPLETE"]) == 151

        # A failure at the end of a long update rolls it all back, with a crash in either half.
        before = all_groups(logs, "/s/")
        logs.create_log_group(logGroupName="/taken")
        failing = chain("s", 14) | {"T": group("/taken", DependsOn="G149")}
        interrupted(lambda: hasty.update_stack(StackName="s", TemplateBody=template(failing)))
        interrupted(lambda: time.sleep(0.4))
        assert wait_until_settled(cfn, "s") == "UPDATE_ROLLBACK_COMPLETE"
        assert all_groups(logs, "/s/") == before

        stack = cfn.describe_stacks(StackName="s")["Stacks"][0]["StackId"]
        interrupted(lambda: hasty.delete_stack(StackName="s"))
        assert wait_until_settled(cfn, stack) == "DELETE_COMPLETE"
        assert all_groups(logs, "/s/") == {}
