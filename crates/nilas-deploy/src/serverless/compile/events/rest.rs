//! `http`: a REST API of API Gateway, its resources and methods, and what guards them.

mod authorizers;
mod cors;
mod integration;
mod keys;
mod models;
mod routes;
mod templates;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(super) use authorizers::invocation_uri;

use super::super::{Compiler, Event, Function, Problem};
use super::{execute_api_arn, join, permission};
use crate::serverless::json::{either, items, members, text, truthy, without_nulls};
use crate::serverless::naming;

const API: &str = "ApiGatewayRestApi";

/// One `http` entry with its settings as they are meant.
struct Route<'f> {
    event: Event<'f>,
    /// Without slashes at its ends.
    path: String,
    /// In upper case.
    method: String,
    /// `AWS`, `AWS_PROXY`, `HTTP`, `HTTP_PROXY` or `MOCK`.
    integration: String,
    /// `request.parameters` by their names in API Gateway: `method.request.header.X`.
    parameters: Vec<(String, Value)>,
    /// `request` and `response` with what does not apply taken out.
    request: Value,
    response: Value,
    authorizer: Option<authorizers::Authorizer>,
    cors: Option<cors::Cors>,
}

/// Where methods hang: by path, the reference to the resource.
type Resources = BTreeMap<String, Value>;

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    let functions = c.functions.clone();
    let routes = routes::read(c, &functions)?;
    if routes.is_empty() {
        return Ok(());
    }
    check_external(c)?;
    if c.provider()["apiGateway"].get("restApiId").is_none_or(|id| !truthy(id)) {
        let api = rest_api(c)?;
        c.resources.insert(API.to_owned(), api);
    }
    let resources = resources(c, &routes)?;
    let mut methods = cors::compile(c, &routes, &resources);
    for route in &routes {
        methods.push(method(c, route, &resources));
    }
    models::compile(c, &routes);
    authorizers::compile(c, &routes);
    let deployment = deployment(c, methods);
    keys::compile(c, &deployment)?;
    permissions(c, &routes);
    access_log(c);
    Ok(())
}

fn check_external(c: &Compiler<'_>) -> Result<(), Problem> {
    let provider = c.provider();
    let settings = &provider["apiGateway"];
    if !truthy(&settings["restApiId"]) {
        return Ok(());
    }
    let message = if !truthy(&settings["restApiRootResourceId"]) {
        "Missing required \"provider.apiGateway.restApiRootResourceId\" property (needed if \
         \"provider.apiGateway.restApiId\" is provided)"
    } else if !provider["tracing"]["apiGateway"].is_null() {
        "When external API Gateway resource is imported via \"provider.apiGateway.restApiId\", property \
         \"provider.tracing.apiGateway\" is ineffective."
    } else if !provider["logs"]["restApi"].is_null() {
        "When external API Gateway resource is imported via \"provider.apiGateway.restApiId\", property \
         \"provider.logs.restApi\" is ineffective."
    } else {
        return Ok(());
    };
    Err(c.problem(&["provider", "apiGateway", "restApiId"], message))
}

/// The API's id: the service's own, or one that exists.
fn api_id(c: &Compiler<'_>) -> Value {
    match &c.provider()["apiGateway"]["restApiId"] {
        id if truthy(id) => id.clone(),
        _ => json!({"Ref": API}),
    }
}

fn rest_api(c: &Compiler<'_>) -> Result<Value, Problem> {
    let (provider, settings) = (c.provider(), &c.provider()["apiGateway"]);
    let (service, stage) = (&c.service.name, &c.service.stage);
    let name = match &provider["apiName"] {
        name if truthy(name) => text(name),
        _ if truthy(&settings["shouldStartNameWithService"]) => format!("{service}-{stage}"),
        _ => format!("{stage}-{service}"),
    };
    let kind = either(&provider["endpointType"], &json!("EDGE")).clone();
    let kind = text(&kind).to_uppercase();
    let mut endpoint = json!({"Types": [kind]});
    if truthy(&provider["vpcEndpointIds"]) && truthy(&provider["endpointType"]) {
        if kind != "PRIVATE" {
            return Err(c.problem(
                &["provider", "vpcEndpointIds"],
                "VPC endpoint IDs are only available for private APIs",
            ));
        }
        endpoint["VpcEndpointIds"] = provider["vpcEndpointIds"].clone();
    }
    let policy = match &settings["resourcePolicy"] {
        Value::Array(statements) if !statements.is_empty() => {
            json!({"Version": "2012-10-17", "Statement": statements})
        }
        // An empty one takes away what an earlier deployment had.
        _ => json!(""),
    };
    let tags: Option<Vec<Value>> = truthy(&provider["tags"]).then(|| {
        members(&provider["tags"]).map(|(key, value)| json!({"Key": key, "Value": value})).collect()
    });
    let upper = |value: &Value| value.as_str().map(str::to_uppercase);
    let or_none = |value: &Value| truthy(value).then(|| value.clone());
    let properties = without_nulls(json!({
        "Name": name,
        "BinaryMediaTypes": or_none(&settings["binaryMediaTypes"]),
        "DisableExecuteApiEndpoint": settings["disableDefaultEndpoint"],
        "EndpointConfiguration": endpoint,
        "SecurityPolicy": or_none(&settings["endpoint"]["securityPolicy"]),
        "EndpointAccessMode": upper(&settings["endpoint"]["accessMode"]),
        "Tags": tags,
        "Policy": policy,
        "ApiKeySourceType": upper(&settings["apiKeySourceType"]),
        "MinimumCompressionSize": settings["minimumCompressionSize"],
        "Description": or_none(&settings["description"]),
    }));
    Ok(json!({"Type": "AWS::ApiGateway::RestApi", "Properties": properties}))
}

/// Makes a resource for each part of each path that has none yet.
fn resources(c: &mut Compiler<'_>, routes: &[Route<'_>]) -> Result<Resources, Problem> {
    let settings = &c.provider()["apiGateway"];
    let root = match &settings["restApiRootResourceId"] {
        id if truthy(id) => id.clone(),
        _ => json!({"Fn::GetAtt": [API, "RootResourceId"]}),
    };
    let mut known = Resources::from([(String::new(), root)]);
    let given = &settings["restApiResources"];
    match given {
        Value::Array(list) => {
            for entry in list {
                known.insert(trimmed(&text(&entry["path"])), entry["resourceId"].clone());
            }
        }
        map => {
            for (path, id) in members(map) {
                known.insert(trimmed(path), id.clone());
            }
        }
    }
    let given: Vec<String> = known.keys().filter(|path| !path.is_empty()).cloned().collect();
    for route in routes.iter().filter(|route| !known_path(&given, &route.path)) {
        let mut parent = String::new();
        for part in route.path.split('/').filter(|_| !route.path.is_empty()) {
            let path = if parent.is_empty() { part.to_owned() } else { format!("{parent}/{part}") };
            if !known.contains_key(&path) {
                if given.iter().any(|other| other.starts_with(&format!("{path}/"))) {
                    let message = format!("Resource ID for path {path} is required");
                    return Err(c.problem(&["provider", "apiGateway", "restApiResources"], message));
                }
                let id = format!("ApiGatewayResource{}", naming::path(&path));
                let resource = json!({
                    "Type": "AWS::ApiGateway::Resource",
                    "Properties": {
                        "ParentId": known[&parent], "PathPart": part, "RestApiId": api_id(c),
                    },
                });
                c.resources.insert(id.clone(), resource);
                known.insert(path.clone(), json!({"Ref": id}));
            }
            parent = path;
        }
    }
    Ok(known)
}

fn known_path(given: &[String], path: &str) -> bool {
    given.iter().any(|known| known == path)
}

fn trimmed(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).to_owned()
}

fn method_id(path: &str, method: &str) -> String {
    format!("ApiGatewayMethod{}{}", naming::path(path), naming::method(method))
}

fn method(c: &mut Compiler<'_>, route: &Route<'_>, resources: &Resources) -> String {
    let function = route.event.function;
    let settings = route.event.value;
    let required: serde_json::Map<String, Value> =
        route.parameters.iter().map(|(name, value)| (name.clone(), is_required(value))).collect();
    let mut depends = vec![format!("{}LambdaPermissionApiGateway", function.id)];
    depends.extend(function.alias_id());
    let mut properties = json!({
        "HttpMethod": route.method,
        "RequestParameters": required,
        "ResourceId": resources[&route.path],
        "RestApiId": api_id(c),
        "OperationName": settings["operationId"],
        "ApiKeyRequired": truthy(&settings["private"]),
        "Integration": integration::of(c, route),
        "MethodResponses": integration::method_responses(route),
    });
    match &route.authorizer {
        None => properties["AuthorizationType"] = "NONE".into(),
        Some(authorizer) => {
            for (name, value) in authorizer.of_method() {
                properties[name] = value;
            }
            // In the place of the permission, as the Framework has it.
            if let Some(id) = authorizer.resource_id() {
                depends[0] = id;
            }
        }
    }
    let id = method_id(&route.path, &route.method);
    let resource = json!({
        "Type": "AWS::ApiGateway::Method",
        "Properties": without_nulls(properties),
        "DependsOn": depends,
    });
    c.resources.insert(id.clone(), resource);
    id
}

/// A parameter is `true`, `false`, or an object that may say `required`.
fn is_required(value: &Value) -> Value {
    match value {
        Value::Object(settings) => match settings.get("required") {
            None | Some(Value::Null) => true.into(),
            Some(required) => required.clone(),
        },
        flag => flag.clone(),
    }
}

/// Makes the stage. Its id is another one when the API changes, else CloudFormation would leave the old methods in place.
fn deployment(c: &mut Compiler<'_>, methods: Vec<String>) -> String {
    let settings = &c.provider()["apiGateway"];
    let stage = text(either(&settings["stage"], &c.service.stage.as_str().into()));
    let id = match c.release.id.as_str() {
        "" => format!("ApiGatewayDeployment{}", content_hash(c)),
        id => format!("ApiGatewayDeployment{id}"),
    };
    let description = truthy(&settings["description"]).then(|| settings["description"].clone());
    let mut properties = json!({
        "RestApiId": api_id(c),
        "StageName": stage,
        "Description": description,
    });
    if let Some(description) = stage_description(c) {
        properties["StageDescription"] = description;
    }
    let resource = json!({
        "Type": "AWS::ApiGateway::Deployment",
        "Properties": without_nulls(properties),
        "DependsOn": methods,
    });
    c.resources.insert(id.clone(), resource);
    let url = join(vec![
        "https://".into(),
        api_id(c),
        ".execute-api.".into(),
        json!({"Ref": "AWS::Region"}),
        ".".into(),
        json!({"Ref": "AWS::URLSuffix"}),
        format!("/{}", c.service.stage).into(),
    ]);
    let output = json!({"Description": "URL of the service endpoint", "Value": url});
    c.outputs.insert("ServiceEndpoint".to_owned(), output);
    id
}

/// Of all that belongs to the API.
fn content_hash(c: &Compiler<'_>) -> String {
    let api = api_id(c);
    let mut hash = Sha256::new();
    for (id, resource) in &c.resources {
        if id == API || resource["Properties"]["RestApiId"] == api {
            hash.update(id);
            hash.update(resource.to_string());
        }
    }
    hash.finalize().iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// What the Framework sets on the stage by API calls after the deployment; here CloudFormation does it.
fn stage_description(c: &Compiler<'_>) -> Option<Value> {
    let provider = c.provider();
    if truthy(&provider["apiGateway"]["restApiId"]) {
        return None;
    }
    let mut description = serde_json::Map::new();
    let tags = super::super::functions::joined(&provider["stackTags"], &provider["tags"]);
    if !tags.is_empty() {
        let tags = tags.into_iter().map(|(key, value)| json!({"Key": key, "Value": value}));
        description.insert("Tags".into(), tags.collect());
    }
    if truthy(&provider["tracing"]["apiGateway"]) {
        description.insert("TracingEnabled".into(), true.into());
    }
    let logs = &provider["logs"]["restApi"];
    if truthy(logs) {
        if logs["accessLogging"] != false {
            let format = "requestId: $context.requestId, ip: $context.identity.sourceIp, caller: \
                          $context.identity.caller, user: $context.identity.user, requestTime: \
                          $context.requestTime, httpMethod: $context.httpMethod, resourcePath: \
                          $context.resourcePath, status: $context.status, protocol: $context.protocol, \
                          responseLength: $context.responseLength";
            let setting = json!({
                "DestinationArn": {"Fn::GetAtt": ["ApiGatewayLogGroup", "Arn"]},
                "Format": either(&logs["format"], &format.into()),
            });
            description.insert("AccessLogSetting".into(), setting);
        }
        if logs["executionLogging"] != false {
            let settings = json!([{
                "DataTraceEnabled": logs["fullExecutionData"] != false,
                "HttpMethod": "*",
                "ResourcePath": "/*",
                "LoggingLevel": either(&logs["level"], &json!("INFO")),
            }]);
            description.insert("MethodSettings".into(), settings);
        }
    }
    (!description.is_empty()).then(|| description.into())
}

fn access_log(c: &mut Compiler<'_>) {
    let logs = &c.provider()["logs"]["restApi"];
    if truthy(logs) && logs["accessLogging"] != false {
        let name = format!("/aws/api-gateway/{}-{}", c.service.name, c.service.stage);
        let group = super::log_group(c.provider(), name);
        c.resources.insert("ApiGatewayLogGroup".to_owned(), group);
    }
}

fn permissions(c: &mut Compiler<'_>, routes: &[Route<'_>]) {
    let arn = execute_api_arn(api_id(c), "/*/*");
    for route in routes {
        let function = route.event.function;
        let id = format!("{}LambdaPermissionApiGateway", function.id);
        let allowed = permission(
            function.target(),
            "apigateway.amazonaws.com",
            arn.clone(),
            function.depends(),
        );
        c.resources.insert(id, allowed);
        let Some(authorizer) = &route.authorizer else { continue };
        let Some((id, target)) = authorizer.needs_permission() else { continue };
        if !c.resources.contains_key(&id) {
            let allowed = permission(target, "apigateway.amazonaws.com", arn.clone(), Value::Null);
            c.resources.insert(id, allowed);
        }
    }
}

/// A function of the service that `http` names, by its key.
fn named_function<'c>(
    c: &'c Compiler<'_>,
    event: &Event<'_>,
    key: &str,
) -> Result<&'c Function, Problem> {
    c.function(key).ok_or_else(|| {
        c.event_problem(event, format!("Function \"{key}\" doesn't exist in this Service"))
    })
}

fn strings(value: &Value) -> Vec<String> {
    items(value).iter().map(text).collect()
}
