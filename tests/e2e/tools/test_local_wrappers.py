"""awslocal, samlocal and cdklocal: wrappers that know LocalStack's address, told another port."""

from tools.conftest import NODE_HANDLER, Tool, get, installed
from tools.test_sam import TEMPLATE


def test_awslocal(own_server, tmp_path):
    awslocal = Tool(own_server, installed("awslocal/bin/awslocal"), tmp_path)
    awslocal.run("s3", "mb", "s3://local-bucket")
    assert "local-bucket" in awslocal.run("s3", "ls")


def test_samlocal_deploys_and_deletes(own_server, tmp_path):
    samlocal = Tool(
        own_server, installed("sam/bin/samlocal"), tmp_path, SAM_CLI_TELEMETRY="0", SAM_CLI_POLL_DELAY="1",
        LOCALSTACK_HOSTNAME="127.0.0.1", EDGE_PORT=str(own_server.port),
    )
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/index.js").write_text(NODE_HANDLER)
    samlocal.run(
        "deploy", "--stack-name", "local", "--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset",
        "--no-progressbar",
    )
    stack = own_server.client("cloudformation").describe_stacks(StackName="local")["Stacks"][0]
    for output in stack["Outputs"]:
        assert get(own_server, output["OutputValue"])["answer"] == "ANSWER"
    samlocal.run("delete", "--stack-name", "local", "--no-prompts")


def test_cdklocal(own_server, tmp_path):
    cdklocal = Tool(
        own_server, installed("cdk/node_modules/.bin/cdklocal"), tmp_path, AWS_ENDPOINT_URL_S3=own_server.url,
        AWS_ENVAR_ALLOWLIST="AWS_ENDPOINT_URL,AWS_REGION,AWS_DEFAULT_REGION", CDK_DISABLE_CLI_TELEMETRY="1",
    )
    cdklocal.run("bootstrap", "aws://000000000000/us-east-1")
    stacks = own_server.client("cloudformation")
    assert stacks.describe_stacks(StackName="CDKToolkit")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
