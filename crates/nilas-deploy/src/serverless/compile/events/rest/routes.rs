//! Reading `http` entries: short and long forms, defaults, and what does not go together.

use serde_json::{Value, json};

use super::super::super::events;
use super::{Compiler, Event, Function, Problem, Route, authorizers, cors, trimmed};
use crate::serverless::json::{members, text, truthy};

/// The name of a status and the expression that an error's message must match to get it.
const STATUS_CODES: [(&str, &str); 9] = [
    ("200", ""),
    ("400", "[\\s\\S]*\\[400\\][\\s\\S]*"),
    ("401", "[\\s\\S]*\\[401\\][\\s\\S]*"),
    ("403", "[\\s\\S]*\\[403\\][\\s\\S]*"),
    ("404", "[\\s\\S]*\\[404\\][\\s\\S]*"),
    ("422", "[\\s\\S]*\\[422\\][\\s\\S]*"),
    ("500", "[\\s\\S]*(Process\\s?exited\\s?before\\s?completing\\s?request|\\[500\\])[\\s\\S]*"),
    ("502", "[\\s\\S]*\\[502\\][\\s\\S]*"),
    ("504", "([\\s\\S]*\\[504\\][\\s\\S]*)|(.*Task timed out after \\d+\\.\\d+ seconds$)"),
];

pub(super) fn read<'f>(
    c: &mut Compiler<'_>,
    functions: &'f [Function],
) -> Result<Vec<Route<'f>>, Problem> {
    let mut routes = Vec::new();
    for event in events(functions, "http") {
        if truthy(event.value) {
            routes.push(route(c, event)?);
        }
    }
    let stage = &c.service.stage;
    let is_valid = stage.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if !routes.is_empty() && !is_valid {
        return Err(c.problem(
            &["provider", "stage"],
            format!(
                "Invalid stage name {stage}: it should contains only [-_a-zA-Z0-9] for AWS provider if http event are \
                 present according to API Gateway limitation."
            ),
        ));
    }
    Ok(routes)
}

fn route<'f>(c: &mut Compiler<'_>, event: Event<'f>) -> Result<Route<'f>, Problem> {
    let (method, path) = match event.value {
        Value::String(short) => {
            short.split_once(' ').map(|(m, p)| (m.to_owned(), p.trim().to_owned()))
        }
        object => match (object["method"].as_str(), object["path"].as_str()) {
            (Some(method), Some(path)) => Some((method.to_owned(), path.to_owned())),
            _ => None,
        },
    }
    .ok_or_else(|| {
        c.event_problem(
            &event,
            "An http event needs a method and a path: \"GET hello\", or `method` and `path`",
        )
    })?;
    let method = method.to_uppercase();
    let known = ["GET", "POST", "PUT", "PATCH", "OPTIONS", "HEAD", "DELETE", "ANY"];
    if !known.contains(&method.as_str()) {
        let message = format!("Invalid method \"{method}\"; it is one of {}", known.join(", "));
        return Err(c.event_problem(&event, message));
    }
    let settings = event.value;
    let integration = integration(settings);
    let cors = cors::read(&settings["cors"], &method);
    let authorizer = authorizers::read(c, &event, &integration)?;
    let mut route = Route {
        path: trimmed(&path),
        method,
        parameters: parameters(&settings["request"]["parameters"]),
        request: settings["request"].clone(),
        response: settings["response"].clone(),
        integration,
        authorizer,
        cors,
        event,
    };
    applicable(c, &mut route)?;
    Ok(route)
}

/// What the integration is called in API Gateway.
fn integration(settings: &Value) -> String {
    match settings["integration"].as_str() {
        Some(name) => match name.to_uppercase().replacen('-', "_", 1).as_str() {
            "LAMBDA" => "AWS".to_owned(),
            "LAMBDA_PROXY" => "AWS_PROXY".to_owned(),
            other => other.to_owned(),
        },
        None if truthy(&settings["async"]) => "AWS".to_owned(),
        None => "AWS_PROXY".to_owned(),
    }
}

fn parameters(settings: &Value) -> Vec<(String, Value)> {
    [("querystrings", "querystring"), ("paths", "path"), ("headers", "header")]
        .into_iter()
        .flat_map(|(location, name)| {
            members(&settings[location])
                .map(move |(key, value)| (format!("method.request.{name}.{key}"), value.clone()))
        })
        .collect()
}

/// Takes out what the integration does not read, and fills in what it needs.
fn applicable(c: &mut Compiler<'_>, route: &mut Route<'_>) -> Result<(), Problem> {
    let is_proxy = route.integration.ends_with("_PROXY");
    let mode = route.response["transferMode"].as_str().map(str::to_uppercase);
    if let Some(mode) = &mode {
        let message = if !["BUFFERED", "STREAM"].contains(&mode.as_str()) {
            format!("Invalid transferMode \"{mode}\". Valid values are: BUFFERED, STREAM.")
        } else if !is_proxy {
            format!(
                "transferMode can only be used with AWS_PROXY or HTTP_PROXY integrations. Function \"{}\" is using {} \
                 integration.",
                route.event.function.key, route.integration
            )
        } else {
            String::new()
        };
        if !message.is_empty() {
            return Err(c.event_problem(&route.event, message));
        }
    }
    if route.integration.starts_with("HTTP") {
        if !truthy(&route.request["uri"]) {
            let message = format!(
                "You need to set the request uri when using the {} integration.",
                route.integration
            );
            return Err(c.event_problem(&route.event, message));
        }
        let connection =
            text(&route.event.value["connectionType"]).to_uppercase().replace('-', "_");
        if connection == "VPC_LINK" && !truthy(&route.event.value["connectionId"]) {
            let message = "You need to set connectionId when using VPC_LINK connectionType.";
            return Err(c.event_problem(&route.event, message));
        }
    }
    match route.integration.as_str() {
        "AWS" | "HTTP" => {
            if !route.request.is_object() {
                route.request = json!({});
            }
            if route.integration == "AWS" && !truthy(&route.request["passThrough"]) {
                route.request["passThrough"] = "NEVER".into();
            }
            route.response = response(&route.response, route.integration == "AWS");
        }
        "AWS_PROXY" | "HTTP_PROXY" => proxy(c, route, mode),
        _ => {}
    }
    Ok(())
}

/// A proxy hands requests and answers on as they are; mappings have no effect on it.
fn proxy(c: &mut Compiler<'_>, route: &mut Route<'_>, mode: Option<String>) {
    let is_lambda = route.integration == "AWS_PROXY";
    let is_read = |key: &str| {
        ["parameters", "schema", "schemas"].contains(&key) || (key == "uri" && !is_lambda)
    };
    if members(&route.request).any(|(key, _)| !is_read(key)) {
        c.warn(format!(
            "You're using the {} in combination with a request configuration in your function \"{}\". It is not part of \
             the deployment",
            route.integration, route.event.function.key
        ));
    }
    if let Some(request) = route.request.as_object_mut() {
        request.retain(|key, _| is_read(key));
    }
    if members(&route.response).any(|(key, _)| key != "transferMode") {
        c.warn(format!(
            "You're using the {} in combination with response configuration in your function \"{}\". It is not part of \
             the deployment",
            route.integration, route.event.function.key
        ));
    }
    route.response = match mode {
        Some(mode) => json!({"transferMode": mode}),
        None => Value::Null,
    };
}

fn response(settings: &Value, is_lambda: bool) -> Value {
    let defaults = || -> Value {
        let codes = STATUS_CODES.iter();
        codes
            .map(|(code, pattern)| ((*code).to_owned(), json!({"pattern": pattern})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut response = match settings {
        Value::Object(_) => settings.clone(),
        _ if is_lambda => json!({}),
        _ => return json!({}),
    };
    match &response["statusCodes"] {
        Value::Object(codes) => {
            if !codes.values().any(|code| code["pattern"] == "") {
                response["statusCodes"]["200"] = json!({"pattern": ""});
            }
        }
        _ => response["statusCodes"] = defaults(),
    }
    response
}
