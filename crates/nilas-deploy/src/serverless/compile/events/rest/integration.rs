//! What a method does with a request, and how its answers are put together.

use serde_json::{Map, Value, json};

use super::super::join;
use super::{Compiler, Route, templates};
use crate::serverless::json::{either, members, text, truthy, without_nulls};

pub(super) fn of(c: &Compiler<'_>, route: &Route<'_>) -> Value {
    let settings = route.event.value;
    let kind = route.integration.as_str();
    let timeout =
        either(&settings["timeoutInMillis"], &c.provider()["apiGateway"]["timeoutInMillis"]);
    let mut integration = json!({
        "IntegrationHttpMethod": "POST",
        "Type": kind,
        "TimeoutInMillis": truthy(timeout).then(|| timeout.clone()),
    });
    match kind {
        "AWS" | "AWS_PROXY" => integration["Uri"] = uri(route),
        "HTTP" | "HTTP_PROXY" => {
            let method = match &route.request["method"] {
                method if truthy(method) => text(method).to_uppercase(),
                _ => route.method.clone(),
            };
            integration["Uri"] = route.request["uri"].clone();
            integration["IntegrationHttpMethod"] = method.into();
            if let Some(connection) = settings["connectionType"].as_str() {
                integration["ConnectionType"] =
                    connection.to_uppercase().replacen('-', "_", 1).into();
                integration["ConnectionId"] = settings["connectionId"].clone();
            }
        }
        _ => {}
    }
    if ["AWS", "HTTP", "MOCK"].contains(&kind) {
        integration["PassthroughBehavior"] = route.request["passThrough"].clone();
        integration["ContentHandling"] = route.request["contentHandling"].clone();
        integration["RequestTemplates"] = request_templates(route);
        integration["IntegrationResponses"] = responses(route).into();
    }
    let maps_parameters =
        ["AWS", "HTTP", "HTTP_PROXY"].contains(&kind) && !route.parameters.is_empty();
    if maps_parameters || truthy(&settings["async"]) {
        integration["RequestParameters"] = request_parameters(route).into();
    }
    if truthy(&route.response["transferMode"]) && kind.ends_with("_PROXY") {
        integration["ResponseTransferMode"] = route.response["transferMode"].clone();
    }
    without_nulls(integration)
}

fn uri(route: &Route<'_>) -> Value {
    let function = route.event.function;
    let streams = route.response["transferMode"] == "STREAM" && route.integration == "AWS_PROXY";
    let (version, operation) = match streams {
        true => ("2021-11-15", "/response-streaming-invocations"),
        false => ("2015-03-31", "/invocations"),
    };
    let mut parts = vec![
        json!("arn:"),
        json!({"Ref": "AWS::Partition"}),
        json!(":apigateway:"),
        json!({"Ref": "AWS::Region"}),
        format!(":lambda:path/{version}/functions/").into(),
        json!({"Fn::GetAtt": [function.logical_id(), "Arn"]}),
    ];
    if let Some(alias) = function.alias {
        parts.extend([json!(":"), json!(alias.name)]);
    }
    parts.push(operation.into());
    join(parts)
}

fn request_parameters(route: &Route<'_>) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, value) in &route.parameters {
        let target = name.replacen("method.", "integration.", 1);
        let source = either(&value["mappedValue"], &name.as_str().into()).clone();
        parameters.insert(target, source);
    }
    if truthy(&route.event.value["async"]) {
        parameters
            .insert("integration.request.header.X-Amz-Invocation-Type".into(), "'Event'".into());
    }
    parameters
}

/// The Framework's templates hand the whole request to the function; own ones come in their place, null takes one out.
fn request_templates(route: &Route<'_>) -> Value {
    let mut all = Map::new();
    if route.integration == "AWS" {
        all.insert("application/json".into(), templates::json().into());
        all.insert("application/x-www-form-urlencoded".into(), templates::form().into());
    }
    for (kind, template) in members(&route.request["template"]) {
        match template {
            Value::Null => drop(all.shift_remove(kind)),
            template => drop(all.insert(kind.to_owned(), template.clone())),
        }
    }
    let claims = route.authorizer.as_ref().map(|authorizer| claims(&authorizer.claims));
    for template in all.values_mut() {
        if let Some(text) = template.as_str() {
            *template = text
                .replacen("extraCognitoPoolClaims", claims.as_deref().unwrap_or_default(), 1)
                .into();
        }
    }
    if all.is_empty() { Value::Null } else { all.into() }
}

fn claims(claims: &[String]) -> String {
    claims
        .iter()
        .map(|claim| match claim.split_once(':') {
            Some((_, name)) => format!("\"{name}\": \"$context.authorizer.claims['{claim}']\","),
            None => format!("\"{claim}\": \"$context.authorizer.claims.{claim}\","),
        })
        .collect()
}

/// Headers of all answers: CORS's and those of `response.headers`.
fn common_headers(route: &Route<'_>) -> Map<String, Value> {
    let mut headers = Map::new();
    if let Some(cors) = &route.cors {
        headers.insert("Access-Control-Allow-Origin".into(), cors.header().into());
        if cors.allows_credentials {
            headers.insert("Access-Control-Allow-Credentials".into(), "true".into());
        }
    }
    for (name, value) in members(&route.response["headers"]) {
        headers.insert(name.to_owned(), value.clone());
    }
    headers
}

fn header_name(header: &str) -> String {
    format!("method.response.header.{header}")
}

/// Statuses as they are in JavaScript objects: in the order of their numbers.
fn statuses<'r>(route: &'r Route<'_>) -> Vec<(&'r str, &'r Value)> {
    let mut codes: Vec<_> = members(&route.response["statusCodes"]).collect();
    codes.sort_by_key(|(code, _)| code.parse::<u32>().unwrap_or(u32::MAX));
    codes
}

fn responses(route: &Route<'_>) -> Vec<Value> {
    let common = common_headers(route);
    let of_status = |(code, config): (&str, &Value)| {
        let own = members(&config["headers"]).map(|(name, value)| (name.to_owned(), value.clone()));
        let headers: Map<String, Value> = common
            .clone()
            .into_iter()
            .chain(own)
            .map(|(name, value)| (header_name(&name), value))
            .collect();
        let mut templates = Map::new();
        if truthy(&route.response["template"]) {
            templates.insert("application/json".into(), route.response["template"].clone());
        }
        match &config["template"] {
            Value::String(template) if !template.is_empty() => {
                templates.insert("application/json".into(), template.as_str().into());
            }
            by_kind => {
                for (kind, template) in members(by_kind) {
                    templates.insert(kind.to_owned(), template.clone());
                }
            }
        }
        let handling = code.starts_with('2').then(|| route.response["contentHandling"].clone());
        without_nulls(json!({
            "StatusCode": code,
            "SelectionPattern": text(&config["pattern"]),
            "ResponseParameters": headers,
            "ResponseTemplates": templates,
            "ContentHandling": handling,
        }))
    };
    statuses(route).into_iter().map(of_status).collect()
}

pub(super) fn method_responses(route: &Route<'_>) -> Vec<Value> {
    if !["AWS", "HTTP", "MOCK"].contains(&route.integration.as_str()) {
        return Vec::new();
    }
    let common = common_headers(route);
    let of_status = |(code, config): (&str, &Value)| {
        let own = members(&config["headers"]).map(|(name, _)| name.to_owned());
        let headers: Map<String, Value> = common
            .keys()
            .cloned()
            .chain(own)
            .map(|name| (header_name(&name), true.into()))
            .collect();
        json!({"ResponseParameters": headers, "ResponseModels": {}, "StatusCode": code})
    };
    statuses(route).into_iter().map(of_status).collect()
}
