"""The AWS CDK, with nothing but AWS_ENDPOINT_URL."""

import json

from tools.conftest import TOOLS, NODE_HANDLER, Tool, get, installed

APP = """
const cdk = require('aws-cdk-lib');
const lambda = require('aws-cdk-lib/aws-lambda');
const api = require('aws-cdk-lib/aws-apigateway');
const http = require('aws-cdk-lib/aws-apigatewayv2');
const { HttpLambdaIntegration } = require('aws-cdk-lib/aws-apigatewayv2-integrations');

class Hello extends cdk.Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    const hello = new lambda.Function(this, 'Hello', {
      runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.hello', code: lambda.Code.fromAsset('src'),
    });
    const url = hello.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE });
    new api.LambdaRestApi(this, 'Rest', { handler: hello });
    const routes = new http.HttpApi(this, 'Http');
    routes.addRoutes({ path: '/hello', integration: new HttpLambdaIntegration('Integration', hello) });
    new cdk.CfnOutput(this, 'HttpUrl', { value: routes.apiEndpoint + '/hello' });
    new cdk.CfnOutput(this, 'Url', { value: url.url });
  }
}
new Hello(new cdk.App(), 'Hello', { env: { account: '000000000000', region: 'us-east-1' } });
"""


def test_bootstrap_deploy_update_and_destroy(own_server, tmp_path):
    cdk = Tool(
        own_server, installed("cdk/node_modules/.bin/cdk"), tmp_path, NODE_PATH=str(TOOLS / "cdk/node_modules"),
        CDK_DISABLE_CLI_TELEMETRY="1", JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION="1",
    )
    (tmp_path / "app.js").write_text(APP)
    (tmp_path / "cdk.json").write_text(json.dumps({"app": "node app.js"}))
    (tmp_path / "src").mkdir()
    (tmp_path / "src/index.js").write_text(NODE_HANDLER)

    cdk.run("bootstrap", "aws://000000000000/us-east-1")
    cdk.run("deploy", "--require-approval", "never", "--outputs-file", "outputs.json")
    outputs = json.loads((tmp_path / "outputs.json").read_text())["Hello"]
    assert len(outputs) == 3
    for url in outputs.values():
        assert get(own_server, url)["answer"] == "ANSWER", url

    (tmp_path / "src/index.js").write_text(NODE_HANDLER.replace("ANSWER", "CHANGED"))
    cdk.run("deploy", "--require-approval", "never")
    assert get(own_server, outputs["Url"])["answer"] == "CHANGED"
    assert "There were no differences" in cdk.run("diff")

    (tmp_path / "src/index.js").write_text(NODE_HANDLER.replace("ANSWER", "SWAPPED"))
    assert "hotswapped!" in cdk.run("deploy", "--hotswap", "--require-approval", "never")
    assert get(own_server, outputs["Url"])["answer"] == "SWAPPED"

    cdk.run("destroy", "--force")
    assert own_server.lambda_.list_functions()["Functions"] == []
