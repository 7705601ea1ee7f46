"""Makes up SAM templates, the same ones for the same seed: properties in combinations that nobody wrote down."""

import random


def ref(name):
    return {"Ref": name}


def get_att(name, attribute):
    return {"Fn::GetAtt": [name, attribute]}


class Inventor:
    def __init__(self, seed):
        self.random = random.Random(seed)
        # Most templates are to be faultless; the others show the messages.
        self.careful = self.random.random() < 0.8

    def maybe(self, *choices, odds=0.4):
        """One of the choices, or None."""
        return self.random.choice(choices) if self.random.random() < odds else None

    def some(self, members, odds=0.4):
        """Some of the members; those that are functions are called."""
        kept = {}
        for name, value in members.items():
            if self.random.random() < odds:
                value = value() if callable(value) else value
                if value is not None:
                    kept[name] = value
        return kept

    def shuffled(self, members):
        items = list(members.items())
        self.random.shuffle(items)
        return dict(items)

    def name(self):
        return "".join(self.random.choice("abcdefghijklmnopqrstuvwxyzABC") for _ in range(self.random.randint(1, 9)))

    def path(self):
        parts = [self.random.choice(["users", "{id}", "items", "{proxy+}", "a.b", "x-y", "é", "{pet_id}"])
                 for _ in range(self.random.randint(0, 3))]
        return "/" + "/".join(parts) + self.random.choice(["", "", "", "/"])

    def method(self):
        return self.random.choice(["get", "GET", "post", "put", "delete", "any", "ANY", "options", "head", "patch"])

    def value(self):
        return self.random.choice(["text", "it's", 'say "x"', "ünï", 1, 2.5, True, None, ["a", {"b": "c"}], {"k": "v"},
                                   ref("P"), {"Fn::Sub": "a${P}b"}, {"Fn::If": ["C", "x", ref("AWS::NoValue")]}])

    def template(self):
        pick = self.random
        resources = {
            "Auth": {"Type": "AWS::Serverless::Function",
                     "Properties": {"Handler": "a.b", "Runtime": "python3.13", "InlineCode": "x"}},
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Pool": {"Type": "AWS::Cognito::UserPool"},
        }
        rest = [self.name().capitalize() + "Api" for _ in range(pick.randint(0, 2))]
        http = [self.name().capitalize() + "Http" for _ in range(pick.randint(0, 1))]
        for api in rest:
            resources[api] = self.with_attributes({"Type": "AWS::Serverless::Api", "Properties": self.rest_api()})
        for api in http:
            resources[api] = self.with_attributes({"Type": "AWS::Serverless::HttpApi", "Properties": self.http_api()})
        for _ in range(pick.randint(1, 4)):
            resources[self.name() + "Function"] = self.with_attributes(
                {"Type": "AWS::Serverless::Function", "Properties": self.function(rest, http)})
        if pick.random() < 0.3:
            resources["Layer"] = self.with_attributes({"Type": "AWS::Serverless::LayerVersion", "Properties": {
                "ContentUri": "s3://b/l", **self.some({"LayerName": ref("P"), "Description": "d", "RetentionPolicy": "Delete"})}})
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Parameters": {"P": {"Type": "String", "Default": "param"}},
            "Conditions": {"C": {"Fn::Equals": ["a", ref("P")]}, "D": {"Fn::Equals": ["b", ref("P")]}},
            "Resources": self.shuffled(resources),
            "Outputs": {api: {"Value": {"Fn::Sub": f"${{{api}.Stage}}"}} for api in rest + http},
        }
        sections = self.some({
            "Function": lambda: self.some({
                "Timeout": 3, "Tags": {"g": "1"}, "PropagateTags": True, "Tracing": "Active",
                "Environment": {"Variables": {"G": "1"}}, "VpcConfig": {"SubnetIds": ["s"]}}),
            "Api": lambda: self.some({
                "Cors": "'*'", "Auth": {"ApiKeyRequired": True}, "OpenApiVersion": pick.choice(["2.0", "3.0.1"]),
                "Name": "n", "TracingEnabled": True, "BinaryMediaTypes": ["a~1b"]}),
            "HttpApi": lambda: self.some({"Tags": {"h": "1"}, "FailOnWarnings": True, "CorsConfiguration": True}),
        })
        if sections:
            template["Globals"] = sections
        return template

    def with_attributes(self, resource):
        return {**resource, **self.some({
            "Condition": lambda: self.random.choice(["C", "D"]), "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Delete", "Metadata": {"m": "n"}, "DependsOn": ["Queue"]}, odds=0.12)}

    def function(self, rest, http):
        pick = self.random
        events = {}
        for _ in range(pick.randint(0, 5)):
            events[self.name() + str(len(events))] = self.event(rest, http)
        if pick.random() < 0.1:
            del events
            events = {}
        return self.shuffled({
            "Handler": "app.handler", "Runtime": "python3.13",
            **pick.choice([{"InlineCode": "x"}, {"CodeUri": "s3://b/k?versionId=2"}, {"CodeUri": {"Bucket": ref("P"), "Key": "k"}}]),
            **({"Events": self.shuffled(events)} if events else {}),
            **self.some({
                "FunctionName": lambda: pick.choice(["named", ref("P"), {"Fn::Sub": "${P}-x"}]),
                "MemorySize": 256, "Tags": {"a": "b", "c": None}, "PropagateTags": True,
                "Environment": {"Variables": {"A": ref("P")}},
                "Policies": lambda: pick.choice(["AWSLambdaExecute", ["ReadOnlyAccess", {"S3ReadPolicy": {"BucketName": ref("Bucket")}}],
                                                 [{"Statement": []}], {"Statement": [{"Effect": "Allow"}]}]),
                "AutoPublishAlias": lambda: pick.choice(["live", ref("P")]),
                "AutoPublishAliasAllProperties": True,
                "Tracing": lambda: pick.choice(["Active", "Disabled", ref("P")]),
                "Role": lambda: self.maybe("arn:role", {"Fn::If": ["C", "arn:r", ref("AWS::NoValue")]}),
                "EventInvokeConfig": lambda: {"MaximumRetryAttempts": 1, "DestinationConfig": self.some({
                    "OnSuccess": {"Type": "SQS"},
                    "OnFailure": {"Type": "SNS", "Destination": {"Fn::If": ["C", "arn:t", ref("AWS::NoValue")]}}}, odds=0.6)},
                "FunctionUrlConfig": lambda: {"AuthType": pick.choice(["NONE", "AWS_IAM"])},
                "DeploymentPreference": lambda: {"Type": "AllAtOnce", "Enabled": False if self.careful else pick.choice([True, False, ref("P")])},
                "Layers": lambda: [ref("Layer")], "SnapStart": {"ApplyOn": "PublishedVersions"},
            }, odds=0.2)})

    def event(self, rest, http):
        pick = self.random
        if self.careful:
            return self.careful_event(rest, http)
        kind = pick.choice(["Api"] * 5 + ["HttpApi"] * 3 + ["Schedule", "SQS", "SNS", "S3", "Cognito", "ScheduleV2", "EventBridgeRule"])
        if kind == "Api":
            properties = {"Path": self.path(), "Method": self.method(), **self.some({
                "RestApiId": lambda: ref(pick.choice(rest)) if rest else None,
                "Auth": lambda: self.some({
                    "Authorizer": pick.choice(["AWS_IAM", "NONE", "Token", "Cognito"]), "ApiKeyRequired": pick.choice([True, False]),
                    "InvokeRole": pick.choice(["NONE", "CALLER_CREDENTIALS", "arn:i"]), "AuthorizationScopes": ["s"],
                    "ResourcePolicy": lambda: self.resource_policy(), "OverrideApiAuth": True}, odds=0.3),
                "TimeoutInMillis": 500,
                "RequestModel": {"Model": "User", "Required": True, "ValidateBody": True},
                "RequestParameters": lambda: ["method.request.header.H", {"method.request.querystring.q": {"Required": True}}],
            }, odds=0.25)}
        elif kind == "HttpApi":
            properties = self.some({
                "Path": self.path(), "Method": self.method(), "ApiId": lambda: ref(pick.choice(http)) if http else None,
                "Auth": lambda: {"Authorizer": pick.choice(["Jwt", "NONE", "Fn"])} if pick.random() < 0.3 else None,
                "PayloadFormatVersion": "1.0", "RouteSettings": {"ThrottlingBurstLimit": 1}}, odds=0.6)
        else:
            properties = {
                "Schedule": {"Schedule": "rate(1 day)", "Enabled": pick.choice([True, False])},
                "ScheduleV2": {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}},
                "SQS": {"Queue": get_att("Queue", "Arn")},
                "SNS": {"Topic": ref("Topic"), **self.some({"SqsSubscription": True})},
                "S3": {"Bucket": ref("Bucket"), "Events": "s3:ObjectCreated:*"},
                "Cognito": {"UserPool": ref("Pool"), "Trigger": self.name()},
                "EventBridgeRule": {"Pattern": {"source": ["x"]}, **self.some({"DeadLetterConfig": {"Type": "SQS"}})},
            }[kind]
        return {"Type": kind, "Properties": self.shuffled(properties)}

    def careful_event(self, rest, http):
        pick = self.random
        kind = pick.choice(["Api", "Api", "Api", "HttpApi", "SQS", "S3", "SNS", "Schedule"])
        path = self.path().rstrip("/") + "/" + self.name()
        method = pick.choice(["get", "POST", "any", "patch"])
        if kind == "Api":
            properties = {"Path": path, "Method": method, **self.some({
                "TimeoutInMillis": 500, "ResponseTransferMode": "RESPONSE_STREAM",
                "RequestParameters": ["method.request.header.H", {"method.request.querystring.q": {"Required": True}}],
                "Auth": lambda: self.some({"Authorizer": "AWS_IAM", "ApiKeyRequired": True, "InvokeRole": pick.choice(["NONE", "arn:i"]),
                                           "ResourcePolicy": lambda: self.resource_policy()}, odds=0.4)})}
            if rest and pick.random() < 0.7:
                properties["RestApiId"] = ref(pick.choice(rest))
                properties.update(self.some({
                    "RequestModel": {"Model": "User", **self.some({"Required": True, "ValidateBody": True, "ValidateParameters": False})},
                    "Auth": lambda: {"Authorizer": pick.choice(["AWS_IAM", "NONE", "Token", "Cognito"]),
                                     **self.some({"AuthorizationScopes": ["s", "t"], "ApiKeyRequired": pick.choice([True, False])})}}))
        elif kind == "HttpApi":
            properties = {"Path": path, "Method": method, **self.some({"PayloadFormatVersion": "1.0", "TimeoutInMillis": 5})}
            if http and pick.random() < 0.7:
                properties["ApiId"] = ref(pick.choice(http))
                properties.update(self.some({"Auth": lambda: {"Authorizer": pick.choice(["Jwt", "Fn", "NONE"])}}))
        else:
            properties = {"SQS": {"Queue": get_att("Queue", "Arn")}, "SNS": {"Topic": ref("Topic")},
                          "S3": {"Bucket": ref("Bucket"), "Events": "s3:ObjectCreated:*"}, "Schedule": {"Schedule": "rate(1 day)"}}[kind]
        return {"Type": kind, "Properties": self.shuffled(properties)}

    def resource_policy(self):
        return self.some({
            "AwsAccountWhitelist": ["1"], "AwsAccountBlacklist": ["2", "3"], "IpRangeWhitelist": ["1.2.3.4"],
            "IpRangeBlacklist": "5.6.7.8", "SourceVpcWhitelist": ["vpc-1", "vpce-1"], "IntrinsicVpcBlacklist": [ref("P")],
            "IntrinsicVpceWhitelist": ["vpce-2"], "CustomStatements": [{"Effect": "Allow"}]})

    def rest_api(self):
        pick = self.random
        cognito = {"UserPoolArn": pick.choice([get_att("Pool", "Arn"), ["a", "b"]]), **self.some({
            "AuthorizationScopes": ["x"], "Identity": {"Header": "H", "ValidationExpression": "e"}})}
        token = {"FunctionArn": get_att("Auth", "Arn"), **self.some({
            "FunctionPayloadType": "REQUEST", "Identity": {"Headers": ["A"], "Context": ["c"], "ReauthorizeEvery": 5},
            "FunctionInvokeRole": "arn:i"})}
        if token.get("FunctionPayloadType"):
            token.setdefault("Identity", {"QueryStrings": ["q"]})
        properties = self.any_rest_api(cognito, token)
        if self.careful:
            properties["Auth"] = self.shuffled({
                **properties.get("Auth", {}), "Authorizers": self.shuffled({"Cognito": cognito, "Token": token}),
                "DefaultAuthorizer": pick.choice(["AWS_IAM", "Cognito", "Token"]), "ApiKeyRequired": True})
            properties.setdefault("Models", {"User": {"type": "object"}})
        return properties

    def any_rest_api(self, cognito, token):
        pick = self.random
        return self.shuffled({"StageName": pick.choice(["Prod", "v-1", ref("P"), "été"]), **self.some({
            "Name": "n", "Description": "d", "Tags": {"t": "u"}, "PropagateTags": True,
            "OpenApiVersion": pick.choice(["2.0", "3.0.1", "3.0"]),
            "Cors": lambda: pick.choice(["'*'", ref("P"), {"AllowOrigin": "'x'", "AllowMethods": "'GET'", "MaxAge": "'1'"},
                                         {"AllowOrigin": "'y'", "AllowCredentials": True, "AllowHeaders": "'h'"}]),
            "Auth": lambda: self.shuffled(self.some({
                "Authorizers": self.shuffled({"Cognito": cognito, "Token": token}), "ApiKeyRequired": True,
                "DefaultAuthorizer": pick.choice(["AWS_IAM", "Cognito", "Token"]), "AddDefaultAuthorizerToCorsPreflight": False,
                "AddApiKeyRequiredToCorsPreflight": False, "InvokeRole": pick.choice(["NONE", "CALLER_CREDENTIALS"]),
                "ResourcePolicy": self.resource_policy(), "UsagePlan": {"CreateUsagePlan": pick.choice(["SHARED", "PER_API", "NONE"])}},
                odds=0.5)),
            "Models": {"User": {"type": "object", "properties": {self.name(): {"type": "string"} for _ in range(9)}}, "B": {"type": "x"}},
            "GatewayResponses": {"DEFAULT_4XX": {"ResponseParameters": {"Headers": {"A": "'b'", "C": "'d'"}}, "StatusCode": 400}},
            "BinaryMediaTypes": ["image~1png", ref("P")], "MethodSettings": [{"HttpMethod": "*", "ResourcePath": "/*"}],
            "EndpointConfiguration": lambda: pick.choice(["EDGE", {"Type": "PRIVATE", "VpcEndpointIds": ["v"]}]),
            "Variables": {"v": "w"}, "DisableExecuteApiEndpoint": True, "MinimumCompressionSize": 5, "FailOnWarnings": True,
            "Domain": lambda: {"DomainName": ref("P"), "CertificateArn": "arn:c", **self.some({
                "BasePath": ["/a-b", "c"], "NormalizeBasePath": False, "SecurityPolicy": "TLS_1_2",
                "EndpointConfiguration": pick.choice(["EDGE", "REGIONAL", "PRIVATE"]),
                "Route53": {"HostedZoneId": "Z", "IpV6": True}})},
            "DefinitionBody": lambda: self.definition(), "MergeDefinitions": True,
        }, odds=0.25)})

    def definition(self):
        pick = self.random
        kind = pick.choice([{"swagger": "2.0"}, {"openapi": "3.0.1"}])
        paths = {}
        for _ in range(pick.randint(0, 9)):
            item = {self.method().lower().replace("any", "x-amazon-apigateway-any-method"): {
                "x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": self.value()}, self.name(): self.value()}}
            paths[self.path()] = item
        extra = {self.name(): self.value() for _ in range(pick.randint(0, 9))}
        return self.shuffled({**kind, "info": {"title": self.value(), "version": 1.0}, "paths": paths, **extra})

    def http_api(self):
        properties = self.any_http_api()
        if self.careful:
            properties["Auth"] = {"DefaultAuthorizer": "Jwt", "Authorizers": {
                "Jwt": {"JwtConfiguration": {"issuer": "i"}, "IdentitySource": "s"},
                "Fn": {"FunctionArn": get_att("Auth", "Arn"), "AuthorizerPayloadFormatVersion": 2.0}}}
        return properties

    def any_http_api(self):
        pick = self.random
        return self.shuffled(self.some({
            "StageName": pick.choice(["v1", "v-1", "$default", ref("P")]), "Name": "n", "Description": "d", "Tags": {"x": "y"},
            "FailOnWarnings": True, "StageVariables": {"a": "b"}, "CorsConfiguration": pick.choice([True, {"AllowOrigins": ["o"]}]),
            "Auth": lambda: self.some({
                "EnableIamAuthorizer": True, "DefaultAuthorizer": pick.choice(["Jwt", "AWS_IAM"]),
                "Authorizers": {"Jwt": {"JwtConfiguration": {"Issuer": "i", "audience": ["a"]}, "IdentitySource": "s"},
                                "Fn": {"FunctionArn": get_att("Auth", "Arn"), "AuthorizerPayloadFormatVersion": 2.0}}}, odds=0.7),
            "Domain": {"DomainName": "h.example", "CertificateArn": "arn:c", "Route53": {"HostedZoneName": "z."}},
        }, odds=0.35))
