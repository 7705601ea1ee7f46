//! `websocket`: a WebSocket API of API Gateway.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::super::{Compiler, Event, Function, Problem, events};
use super::rest::invocation_uri;
use super::{join, log_group};
use crate::serverless::json::{either, text, truthy, without_nulls};
use crate::serverless::naming;

const API: &str = "WebsocketsApi";
const STAGE: &str = "WebsocketsDeploymentStage";

struct Route<'f> {
    function: &'f Function,
    key: String,
    response: Value,
    authorizer: Option<Authorizer>,
}

struct Authorizer {
    name: String,
    target: Value,
    identity_source: Value,
    /// Logical ids of the function of the service that decides, and of its alias.
    depends: Vec<String>,
    alias: Value,
}

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let mut routes = Vec::new();
    for event in events(&functions, "websocket") {
        if truthy(event.value) {
            routes.push(route(c, &event)?);
        }
    }
    if routes.is_empty() {
        return Ok(());
    }
    if !is_external(c) {
        api(c);
    }
    for route in &routes {
        add_route(c, route);
    }
    if !is_external(c) {
        stage(c)?;
    }
    deployment(c, &routes);
    Ok(())
}

fn is_external(c: &Compiler<'_>) -> bool {
    truthy(&c.provider()["apiGateway"]["websocketApiId"])
}

fn api_id(c: &Compiler<'_>) -> Value {
    match &c.provider()["apiGateway"]["websocketApiId"] {
        id if truthy(id) => id.clone(),
        _ => json!({"Ref": API}),
    }
}

fn description<'v>(c: &'v Compiler<'_>, default: &'v Value) -> &'v Value {
    either(&c.provider()["websocketsDescription"], default)
}

fn route<'f>(c: &Compiler<'_>, event: &Event<'f>) -> Result<Route<'f>, Problem> {
    let settings = event.value;
    let key = settings.as_str().map_or_else(|| text(&settings["route"]), str::to_owned);
    if key.is_empty() {
        return Err(c.event_problem(event, "A websocket event needs a `route`"));
    }
    let authorizer = authorizer(c, event, &settings["authorizer"])?;
    let response = settings["routeResponseSelectionExpression"].clone();
    Ok(Route { function: event.function, key, response, authorizer })
}

fn authorizer(
    c: &Compiler<'_>,
    event: &Event<'_>,
    settings: &Value,
) -> Result<Option<Authorizer>, Problem> {
    if !truthy(settings) {
        return Ok(None);
    }
    let default = json!(["route.request.header.Auth"]);
    let identity_source = either(&settings["identitySource"], &default).clone();
    let last = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    let arn = match settings.as_str() {
        Some(arn) if arn.contains(':') => settings,
        _ => &settings["arn"],
    };
    if truthy(arn) {
        let name = match (arn.as_str(), &settings["name"]) {
            (Some(arn), _) => last(arn),
            (None, name) if truthy(name) => text(name),
            _ => {
                let message = "Websocket Authorizer: Non-string \"arn\" needs to be accompanied with \"name\"";
                return Err(c.event_problem(event, message));
            }
        };
        let (target, alias) = (arn.clone(), Value::Null);
        return Ok(Some(Authorizer { name, target, identity_source, depends: Vec::new(), alias }));
    }
    let key = settings.as_str().map_or_else(|| text(&settings["name"]), str::to_owned);
    let function = c.function(&key).ok_or_else(|| {
        c.event_problem(event, format!("Function \"{key}\" doesn't exist in this Service"))
    })?;
    let mut depends = vec![function.logical_id()];
    depends.extend(function.alias_id());
    let (target, alias) = (function.target(), function.depends());
    Ok(Some(Authorizer { name: key, target, identity_source, depends, alias }))
}

fn api(c: &mut Compiler<'_>) {
    let provider = c.provider();
    let name = match provider["websocketsApiName"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => format!("{}-{}-websockets", c.service.stage, c.service.name),
    };
    let default = json!("$request.body.action");
    let properties = without_nulls(json!({
        "Name": name,
        "RouteSelectionExpression": either(&provider["websocketsApiRouteSelectionExpression"], &default),
        "Description": description(c, &"Serverless Websockets".into()),
        "ProtocolType": "WEBSOCKET",
        "Tags": truthy(&provider["tags"]).then(|| provider["tags"].clone()),
    }));
    let resource = json!({"Type": "AWS::ApiGatewayV2::Api", "Properties": properties});
    c.resources.insert(API.to_owned(), resource);
    c.allow(json!({
        "Effect": "Allow",
        "Action": ["execute-api:ManageConnections"],
        "Resource": [{"Fn::Sub": "arn:${AWS::Partition}:execute-api:*:*:*/@connections/*"}],
    }));
}

fn route_id(route: &Route<'_>) -> String {
    naming::websocket_route(&route.key) + "WebsocketsRoute"
}

fn add_route(c: &mut Compiler<'_>, route: &Route<'_>) {
    let function = route.function;
    let integration = format!("{}WebsocketsIntegration", function.id);
    let resource = without_nulls(json!({
        "Type": "AWS::ApiGatewayV2::Integration",
        "DependsOn": function.depends(),
        "Properties": {
            "ApiId": api_id(c),
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": invocation_uri(function.target()),
        },
    }));
    c.resources.insert(integration.clone(), resource);
    let mut depends: Vec<String> =
        api_id(c)["Ref"].as_str().map(str::to_owned).into_iter().collect();
    depends.push(function.alias_id().unwrap_or_else(|| function.logical_id()));
    let allowed = permission(function.target(), &depends);
    c.resources.insert(format!("{}LambdaPermissionWebsockets", function.id), allowed);
    let id = route_id(route);
    if truthy(&route.response) {
        let resource = json!({
            "Type": "AWS::ApiGatewayV2::RouteResponse",
            "Properties": {
                "ApiId": api_id(c), "RouteId": {"Ref": id}, "RouteResponseKey": "$default",
            },
        });
        c.resources.insert(format!("{id}Response"), resource);
    }
    let mut properties = json!({
        "ApiId": api_id(c),
        "RouteKey": route.key,
        "AuthorizationType": "NONE",
        "Target": {"Fn::Join": ["/", ["integrations", {"Ref": integration}]]},
    });
    if truthy(&route.response) {
        properties["RouteResponseSelectionExpression"] = route.response.clone();
    }
    if let Some(authorizer) = &route.authorizer {
        properties["AuthorizationType"] = "CUSTOM".into();
        properties["AuthorizerId"] = json!({"Ref": add_authorizer(c, authorizer)});
    }
    let resource = json!({"Type": "AWS::ApiGatewayV2::Route", "Properties": properties});
    c.resources.insert(id, resource);
}

fn permission(target: Value, depends: &[String]) -> Value {
    json!({
        "Type": "AWS::Lambda::Permission",
        "DependsOn": depends,
        "Properties": {
            "FunctionName": target,
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
        },
    })
}

fn add_authorizer(c: &mut Compiler<'_>, authorizer: &Authorizer) -> String {
    let id = naming::resource(&authorizer.name) + "WebsocketsAuthorizer";
    let resource = without_nulls(json!({
        "Type": "AWS::ApiGatewayV2::Authorizer",
        "DependsOn": authorizer.alias,
        "Properties": {
            "ApiId": api_id(c),
            "Name": authorizer.name,
            "AuthorizerType": "REQUEST",
            "AuthorizerUri": invocation_uri(authorizer.target.clone()),
            "IdentitySource": authorizer.identity_source,
        },
    }));
    c.resources.insert(id.clone(), resource);
    let mut depends: Vec<String> =
        api_id(c)["Ref"].as_str().map(str::to_owned).into_iter().collect();
    depends.extend(authorizer.depends.iter().cloned());
    let allowed = permission(authorizer.target.clone(), &depends);
    let permission_id = naming::resource(&authorizer.name) + "LambdaPermissionWebsockets";
    c.resources.insert(permission_id, allowed);
    id
}

fn stage(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let logs = &c.provider()["logs"]["websocket"];
    let mut properties = json!({
        "ApiId": api_id(c),
        "StageName": c.service.stage,
        "Description": description(c, &"Serverless Websockets".into()),
    });
    if truthy(logs) {
        let level = if logs["executionLogging"] == false {
            "OFF".to_owned()
        } else {
            text(either(&logs["level"], &json!("INFO")))
        };
        if !["OFF", "INFO", "ERROR"].contains(&level.as_str()) {
            let message = format!(
                "provider.logs.websocket.level is set to an invalid value. Support values are INFO, ERROR, got {level}."
            );
            return Err(c.problem(&["provider", "logs", "websocket", "level"], message));
        }
        properties["DefaultRouteSettings"] = json!({
            "DataTraceEnabled": logs["fullExecutionData"] != false, "LoggingLevel": level,
        });
        if logs["accessLogging"] != false {
            let format = "$context.identity.sourceIp $context.identity.caller $context.identity.user \
                          [$context.requestTime] \"$context.eventType $context.routeKey $context.connectionId\" \
                          $context.requestId";
            properties["AccessLogSettings"] = json!({
                "DestinationArn": {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${WebsocketsLogGroup}"},
                "Format": either(&logs["format"], &format.into()),
            });
        }
        let name = format!("/aws/websocket/{}-{}", c.service.name, c.service.stage);
        let group = log_group(c.provider(), name);
        c.resources.insert("WebsocketsLogGroup".to_owned(), group);
    }
    let resource = json!({"Type": "AWS::ApiGatewayV2::Stage", "Properties": properties});
    c.resources.insert(STAGE.to_owned(), resource);
    Ok(())
}

/// Its logical id holds a hash of the API's resources: a change of any makes another deployment.
fn deployment(c: &mut Compiler<'_>, routes: &[Route<'_>]) {
    let part: Map<String, Value> = c
        .resources
        .iter()
        .filter(|(id, resource)| {
            *id == API
                || resource["Properties"]["ApiId"]["Ref"] == API
                || resource["DependsOn"].as_array().is_some_and(|ids| ids.contains(&API.into()))
        })
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    let hash = STANDARD.encode(Sha256::digest(Value::from(part).to_string()));
    let hash: String = hash.chars().filter(char::is_ascii_alphanumeric).collect();
    let id = format!("WebsocketsDeployment{hash}");
    let mut depends = Vec::new();
    for route in routes {
        if truthy(&route.response) {
            depends.push(format!("{}Response", route_id(route)));
        }
        depends.push(route_id(route));
    }
    let mut properties = json!({
        "ApiId": api_id(c), "Description": description(c, &"Serverless Websockets".into()),
    });
    if is_external(c) {
        properties["StageName"] = c.service.stage.as_str().into();
    }
    let resource = json!({
        "Type": "AWS::ApiGatewayV2::Deployment", "DependsOn": depends, "Properties": properties,
    });
    c.resources.insert(id.clone(), resource);
    if let Some(stage) = c.resources.get_mut(STAGE) {
        stage["Properties"]["DeploymentId"] = json!({"Ref": id});
    }
    let url = join(vec![
        "wss://".into(),
        api_id(c),
        ".execute-api.".into(),
        json!({"Ref": "AWS::Region"}),
        ".".into(),
        json!({"Ref": "AWS::URLSuffix"}),
        format!("/{}", c.service.stage).into(),
    ]);
    let output = json!({"Description": "URL of the service endpoint", "Value": url});
    c.outputs.insert("ServiceEndpointWebsocket".to_owned(), output);
}
