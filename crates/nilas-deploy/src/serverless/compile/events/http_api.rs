//! `httpApi`: an HTTP API of API Gateway.

use serde_json::{Value, json};

use super::super::{Compiler, Event, Function, Problem, events};
use super::rest::invocation_uri;
use super::{execute_api_arn, join, log_group, permission};
use crate::serverless::json::{either, items, members, text, truthy, without_nulls};
use crate::serverless::naming;

const API: &str = "HttpApi";
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "OPTIONS", "HEAD", "DELETE"];
const TIMEOUT_MAX_S: u64 = 30;

struct Route<'f> {
    function: &'f Function,
    /// `GET /hello`, or `*` for whatever no other route takes.
    key: String,
    /// Properties of the route that say who may call it.
    authorization: Vec<(&'static str, Value)>,
}

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut routes: Vec<Route<'_>> = Vec::new();
    for event in events(&functions, "httpApi") {
        if !truthy(event.value) {
            continue;
        }
        let route = route(c, &event)?;
        match routes.iter_mut().find(|known| known.key == route.key) {
            Some(_) if route.key != "*" => {
                let message = format!(
                    "Duplicate route '{}' configuration in function {} for httpApi event in serverless.yml",
                    route.key, event.function.key
                );
                return Err(c.event_problem(&event, message));
            }
            Some(known) => *known = route,
            None => routes.push(route),
        }
    }
    if routes.is_empty() {
        return Ok(());
    }
    check_external(c)?;
    if !truthy(&c.provider()["httpApi"]["id"]) {
        api(c, &routes);
        stage(c);
    }
    authorizers(c)?;
    for route in &routes {
        endpoint(c, route);
    }
    warn_of_timeouts(c, &routes);
    Ok(())
}

fn check_external(c: &Compiler<'_>) -> Result<(), Problem> {
    let (settings, logs) = (&c.provider()["httpApi"], &c.provider()["logs"]["httpApi"]);
    if !truthy(&settings["id"]) {
        return Ok(());
    }
    let message = if truthy(&settings["cors"]) {
        "Cannot setup CORS rules for externally configured HTTP API"
    } else if truthy(&settings["authorizers"]) {
        "Cannot setup authorizers for externally configured HTTP API"
    } else if truthy(logs) {
        "Cannot setup access logs for externally configured HTTP API"
    } else {
        return Ok(());
    };
    Err(c.problem(&["provider", "httpApi", "id"], message))
}

fn api_id(c: &Compiler<'_>) -> Value {
    match &c.provider()["httpApi"]["id"] {
        id if truthy(id) => id.clone(),
        _ => json!({"Ref": API}),
    }
}

fn route<'f>(c: &Compiler<'_>, event: &Event<'f>) -> Result<Route<'f>, Problem> {
    let function = event.function;
    let invalid = |what: &str| {
        let message = format!(
            "{what} property in function {} for httpApi event in serverless.yml",
            function.key
        );
        c.event_problem(event, message)
    };
    let (method, path) = match event.value {
        Value::String(short) if short == "*" => (String::new(), "*".to_owned()),
        Value::String(short) => match short.split_once(' ') {
            Some((method, path)) => (method.to_owned(), path.trim().to_owned()),
            None => return Err(invalid("Missing \"method\"")),
        },
        settings => (text(&settings["method"]), text(&settings["path"])),
    };
    let key = if path == "*" {
        if !["", "*"].contains(&method.as_str()) {
            return Err(invalid("Invalid \"path\""));
        }
        "*".to_owned()
    } else {
        let method = match method.to_uppercase().as_str() {
            "" => return Err(invalid("Missing \"method\"")),
            "*" | "ANY" => "ANY".to_owned(),
            known if METHODS.contains(&known) => known.to_owned(),
            _ => return Err(invalid("Invalid \"method\"")),
        };
        if !path.starts_with('/') {
            return Err(
                invalid("Invalid \"path\"").hint("the path of an httpApi event begins with \"/\"")
            );
        }
        format!("{method} {path}")
    };
    let authorization = authorization(c, event)?;
    Ok(Route { function, key, authorization })
}

fn authorization(
    c: &Compiler<'_>,
    event: &Event<'_>,
) -> Result<Vec<(&'static str, Value)>, Problem> {
    let settings = &event.value["authorizer"];
    if !truthy(settings) {
        return Ok(Vec::new());
    }
    let api = &c.provider()["httpApi"];
    let kind = settings["type"].as_str().unwrap_or_default();
    let name = settings.as_str().or_else(|| settings["name"].as_str());
    let (id, scopes) = (&settings["id"], &settings["scopes"]);
    if kind == "aws_iam" {
        if name.is_some() || truthy(id) || truthy(scopes) {
            let message = "When configuring authorizer with type: \"aws_iam\", all other properties are not supported.";
            return Err(c.event_problem(event, message));
        }
        return Ok(vec![("AuthorizationType", "AWS_IAM".into())]);
    }
    let (kind, id) = if truthy(id) {
        if !truthy(&api["id"]) {
            let message = format!(
                "Event references external authorizer '{}', but httpApi is part of the current stack.",
                text(id)
            );
            return Err(c.event_problem(event, message));
        }
        (kind.to_owned(), id.clone())
    } else {
        let Some(name) = name else {
            let kind = if kind.is_empty() { "jwt" } else { kind };
            let message = format!(
                "When configuring an authorizer with type: \"{kind}\", property \"id\" or \"name\" has to be specified."
            );
            return Err(c.event_problem(event, message));
        };
        let known = &api["authorizers"][name];
        if !truthy(known) {
            let message = format!("Event references not configured authorizer '{name}'");
            return Err(c.event_problem(event, message));
        }
        let title = text(either(&known["name"], &name.into()));
        let id = json!({"Ref": format!("HttpApiAuthorizer{}", naming::resource(&title))});
        (text(&known["type"]), id)
    };
    let kind = if kind == "request" { "CUSTOM" } else { "JWT" };
    let mut all = vec![("AuthorizationType", Value::from(kind)), ("AuthorizerId", id)];
    if truthy(scopes) {
        all.push(("AuthorizationScopes", items(scopes).into()));
    }
    Ok(all)
}

fn api(c: &mut Compiler<'_>, routes: &[Route<'_>]) {
    let (provider, settings) = (c.provider(), &c.provider()["httpApi"]);
    let (service, stage) = (&c.service.name, &c.service.stage);
    let name = match &settings["name"] {
        name if truthy(name) => text(name),
        _ if truthy(&settings["shouldStartNameWithService"]) => format!("{service}-{stage}"),
        _ => format!("{stage}-{service}"),
    };
    let or_none = |value: &Value| truthy(value).then(|| value.clone());
    let properties = without_nulls(json!({
        "Name": name,
        "Description": or_none(&settings["description"]),
        "ProtocolType": "HTTP",
        "DisableExecuteApiEndpoint": settings["disableDefaultEndpoint"],
        "Tags": or_none(&provider["tags"]),
        "CorsConfiguration": cors(&settings["cors"], routes),
    }));
    let resource = json!({"Type": "AWS::ApiGatewayV2::Api", "Properties": properties});
    c.resources.insert(API.to_owned(), resource);
}

fn cors(settings: &Value, routes: &[Route<'_>]) -> Value {
    if !truthy(settings) {
        return Value::Null;
    }
    let list = |name: &str, default: &[&str]| -> Value {
        match &settings[name] {
            set if truthy(set) => {
                let mut unique: Vec<Value> = Vec::new();
                for item in items(set) {
                    if !unique.contains(item) {
                        unique.push(item.clone());
                    }
                }
                unique.into()
            }
            _ => json!(default),
        }
    };
    let mut methods = vec!["OPTIONS"];
    for route in routes {
        let method = route.key.split(' ').next().unwrap_or_default();
        let of_route: Vec<&str> = match method {
            "*" | "ANY" => METHODS.to_vec(),
            one => vec![one],
        };
        for method in of_route {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
    }
    let headers = [
        "Content-Type",
        "X-Amz-Date",
        "Authorization",
        "X-Api-Key",
        "X-Amz-Security-Token",
        "X-Amz-User-Agent",
        "X-Amzn-Trace-Id",
    ];
    let exposed = &settings["exposedResponseHeaders"];
    without_nulls(json!({
        "AllowCredentials": truthy(&settings["allowCredentials"]).then_some(true),
        "AllowHeaders": list("allowedHeaders", &headers),
        "AllowMethods": list("allowedMethods", &methods),
        "AllowOrigins": list("allowedOrigins", &["*"]),
        "ExposeHeaders": truthy(exposed).then(|| list("exposedResponseHeaders", &[])),
        "MaxAge": settings["maxAge"],
    }))
}

fn stage(c: &mut Compiler<'_>) {
    let (provider, settings) = (c.provider(), &c.provider()["httpApi"]);
    let mut properties = json!({
        "ApiId": {"Ref": API},
        "StageName": "$default",
        "AutoDeploy": true,
        "DefaultRouteSettings": {
            "DetailedMetricsEnabled": either(&settings["metrics"], &Value::Bool(false)),
        },
    });
    if truthy(&provider["tags"]) {
        properties["Tags"] = provider["tags"].clone();
    }
    let mut resource = json!({"Type": "AWS::ApiGatewayV2::Stage"});
    let logs = &provider["logs"]["httpApi"];
    if truthy(logs) {
        let format = json!({
            "requestId": "$context.requestId",
            "ip": "$context.identity.sourceIp",
            "requestTime": "$context.requestTime",
            "httpMethod": "$context.httpMethod",
            "routeKey": "$context.routeKey",
            "status": "$context.status",
            "protocol": "$context.protocol",
            "responseLength": "$context.responseLength",
        });
        properties["AccessLogSettings"] = json!({
            "DestinationArn": {"Fn::GetAtt": ["HttpApiLogGroup", "Arn"]},
            "Format": either(&logs["format"], &format.to_string().into()),
        });
        resource["DependsOn"] = "HttpApiLogGroup".into();
        let group = log_group(provider, format!("/aws/http-api/{}", c.service.stack_name));
        c.resources.insert("HttpApiLogGroup".to_owned(), group);
    }
    resource["Properties"] = properties;
    c.resources.insert("HttpApiStage".to_owned(), resource);
    let url = join(vec![
        "https://".into(),
        json!({"Ref": API}),
        ".execute-api.".into(),
        json!({"Ref": "AWS::Region"}),
        ".".into(),
        json!({"Ref": "AWS::URLSuffix"}),
    ]);
    for (name, description, value) in [
        ("HttpApiId", "Id of the HTTP API", json!({"Ref": API})),
        ("HttpApiUrl", "URL of the HTTP API", url),
    ] {
        let output = json!({"Description": description, "Value": value});
        c.outputs.insert(name.to_owned(), output);
    }
}

fn authorizers(c: &mut Compiler<'_>) -> Result<(), Problem> {
    for (key, settings) in members(&c.provider()["httpApi"]["authorizers"]) {
        let title = text(either(&settings["name"], &key.into()));
        let source = match &settings["identitySource"] {
            Value::Array(list) => list.clone(),
            one if truthy(one) => vec![one.clone()],
            _ => Vec::new(),
        };
        let mut properties = json!({"ApiId": api_id(c), "Name": title, "IdentitySource": source});
        let mut depends = Value::Null;
        if settings["type"] == "request" {
            let (target, alias) = decider(c, key, settings)?;
            properties["AuthorizerType"] = "REQUEST".into();
            properties["EnableSimpleResponses"] = settings["enableSimpleResponses"].clone();
            properties["AuthorizerResultTtlInSeconds"] = settings["resultTtlInSeconds"].clone();
            properties["AuthorizerPayloadFormatVersion"] =
                either(&settings["payloadVersion"], &json!("2.0")).clone();
            properties["AuthorizerUri"] = invocation_uri(target.clone());
            depends = alias;
            if !truthy(&settings["managedExternally"]) {
                let arn = execute_api_arn(api_id(c), "/*");
                let id = naming::resource(&title) + "LambdaAuthorizerPermissionHttpApi";
                let allowed = permission(target, "apigateway.amazonaws.com", arn, depends.clone());
                c.resources.insert(id, allowed);
            }
        } else {
            properties["AuthorizerType"] = "JWT".into();
            properties["JwtConfiguration"] = json!({
                "Audience": items(&settings["audience"]), "Issuer": settings["issuerUrl"],
            });
        }
        let resource = without_nulls(json!({
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": without_nulls(properties),
            "DependsOn": depends,
        }));
        c.resources.insert(format!("HttpApiAuthorizer{}", naming::resource(&title)), resource);
    }
    Ok(())
}

/// The function that decides, and its alias or null.
fn decider(c: &Compiler<'_>, key: &str, settings: &Value) -> Result<(Value, Value), Problem> {
    let problem =
        |message: String| c.problem(&["provider", "httpApi", "authorizers", key], message);
    let (arn, name) = (&settings["functionArn"], &settings["functionName"]);
    if truthy(&settings["resultTtlInSeconds"]) && !truthy(&settings["identitySource"]) {
        return Err(problem(format!(
            "Property \"identitySource\" has to be set on authorizer \"{key}\" when \"resultTtlInSeconds\" is set to \
             non-zero value."
        )));
    }
    match (truthy(arn), truthy(name)) {
        (false, false) => Err(problem(format!(
            "Either \"functionArn\" or \"functionName\" property needs to be set on authorizer \"{key}\""
        ))),
        (true, true) => Err(problem(format!(
            "Either \"functionArn\" or \"functionName\" (not both) property needs to be set on authorizer \"{key}\""
        ))),
        (true, false) => Ok((arn.clone(), Value::Null)),
        (false, true) => match c.function(&text(name)) {
            Some(function) => Ok((function.target(), function.depends())),
            None => Err(problem(format!(
                "Function \"{}\" for HTTP API authorizer \"{key}\" not found in service.",
                text(name)
            ))),
        },
    }
}

fn endpoint(c: &mut Compiler<'_>, route: &Route<'_>) {
    let function = route.function;
    let arn = execute_api_arn(api_id(c), "/*");
    let allowed =
        permission(function.target(), "apigateway.amazonaws.com", arn, function.depends());
    c.resources.insert(format!("{}LambdaPermissionHttpApi", function.id), allowed);
    let payload =
        either(&function.config["httpApi"]["payload"], &c.provider()["httpApi"]["payload"]);
    let integration = format!("HttpApiIntegration{}", function.id);
    let resource = without_nulls(json!({
        "Type": "AWS::ApiGatewayV2::Integration",
        "DependsOn": function.depends(),
        "Properties": {
            "ApiId": api_id(c),
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": function.target(),
            "PayloadFormatVersion": either(payload, &json!("2.0")),
            "TimeoutInMillis": 30000,
        },
    }));
    c.resources.insert(integration.clone(), resource);
    let (name, key) = match route.key.as_str() {
        "*" => ("Default".to_owned(), "$default"),
        key => (naming::path(key), key),
    };
    let mut properties = json!({
        "ApiId": api_id(c),
        "RouteKey": key,
        "Target": {"Fn::Join": ["/", ["integrations", {"Ref": integration}]]},
    });
    for (property, value) in &route.authorization {
        properties[*property] = value.clone();
    }
    let resource = json!({
        "Type": "AWS::ApiGatewayV2::Route", "Properties": properties, "DependsOn": integration,
    });
    c.resources.insert(format!("HttpApiRoute{name}"), resource);
}

fn warn_of_timeouts(c: &mut Compiler<'_>, routes: &[Route<'_>]) {
    let mut seen = Vec::new();
    for route in routes {
        let key = &route.function.key;
        let known = c.service.functions.iter().find(|known| known.key == *key);
        let timeout_s = known.map_or(0, |known| known.timeout_s);
        if timeout_s > TIMEOUT_MAX_S && !seen.contains(&key) {
            seen.push(key);
            c.warn(format!(
                "Function ({key}) timeout setting ({timeout_s}) is greater than maximum allowed timeout for HTTP API \
                 endpoint (30s). This may introduce a situation where endpoint times out for a successful lambda \
                 invocation."
            ));
        }
    }
}
