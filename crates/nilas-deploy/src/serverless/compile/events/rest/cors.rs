//! CORS: the answers to `OPTIONS`, one per path for all methods on it.

use serde_json::{Map, Value, json};

use super::{Compiler, Resources, Route, api_id, method_id, strings};
use crate::serverless::json::{text, truthy};

const HEADERS: [&str; 7] = [
    "Content-Type",
    "X-Amz-Date",
    "Authorization",
    "X-Api-Key",
    "X-Amz-Security-Token",
    "X-Amz-User-Agent",
    "X-Amzn-Trace-Id",
];

#[derive(Clone, Default)]
pub(super) struct Cors {
    origin: Option<String>,
    origins: Vec<String>,
    headers: Vec<String>,
    methods: Vec<String>,
    pub(super) allows_credentials: bool,
    max_age: Option<String>,
    cache_control: Option<String>,
}

// === impl Cors ===

impl Cors {
    /// What an answer of the method itself says.
    pub(super) fn header(&self) -> String {
        if self.origins.is_empty() {
            format!("'{}'", self.origin.as_deref().unwrap_or("undefined"))
        } else {
            format!("'{}'", self.origins.join(","))
        }
    }

    /// Joins what another method on the same path says; the later one has the last word.
    fn join(&mut self, other: &Self) {
        let union = |first: &[String], second: &[String]| {
            let mut all = first.to_vec();
            for item in second {
                if !all.contains(item) {
                    all.push(item.clone());
                }
            }
            all
        };
        self.headers = union(&other.headers, &self.headers);
        self.methods = union(&other.methods, &self.methods);
        self.origins = union(&other.origins, &self.origins);
        self.origin.clone_from(&other.origin);
        self.allows_credentials |= other.allows_credentials;
        if other.max_age.is_some() {
            self.max_age.clone_from(&other.max_age);
        }
        if other.cache_control.is_some() {
            self.cache_control.clone_from(&other.cache_control);
        }
    }
}

pub(super) fn read(settings: &Value, method: &str) -> Option<Cors> {
    if !truthy(settings) {
        return None;
    }
    let mut cors = Cors {
        origin: Some("*".to_owned()),
        headers: HEADERS.iter().map(|header| (*header).to_owned()).collect(),
        methods: vec!["OPTIONS".to_owned()],
        ..Cors::default()
    };
    if settings.is_object() {
        if truthy(&settings["origins"]) {
            cors.origin = None;
            cors.origins = strings(&settings["origins"]);
        }
        if let Some(origin) = settings["origin"].as_str() {
            cors.origin = Some(origin.to_owned());
        }
        if truthy(&settings["headers"]) {
            cors.headers = strings(&settings["headers"]);
        }
        if let Some(methods) = settings.get("methods") {
            cors.methods = strings(methods);
        }
        cors.allows_credentials = truthy(&settings["allowCredentials"]);
        let or_none = |value: &Value| truthy(value).then(|| text(value));
        cors.max_age = or_none(&settings["maxAge"]);
        cors.cache_control = or_none(&settings["cacheControl"]);
    }
    for needed in ["OPTIONS", method] {
        if !cors.methods.iter().any(|known| known == needed) {
            cors.methods.push(needed.to_owned());
        }
    }
    Some(cors)
}

/// Adds the `OPTIONS` methods and gives their logical ids.
pub(super) fn compile(
    c: &mut Compiler<'_>,
    routes: &[Route<'_>],
    resources: &Resources,
) -> Vec<String> {
    let mut paths: Vec<(&str, Cors)> = Vec::new();
    for route in routes {
        let Some(cors) = &route.cors else { continue };
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, known)) => known.join(cors),
            None => paths.push((&route.path, cors.clone())),
        }
    }
    let mut ids = Vec::new();
    for (path, cors) in paths {
        let id = method_id(path, "options");
        let method = preflight(api_id(c), &resources[path], &cors);
        c.resources.insert(id.clone(), method);
        ids.push(id);
    }
    ids
}

fn preflight(api: Value, resource: &Value, cors: &Cors) -> Value {
    let mut origins = cors.origins.clone();
    if let Some(list) = cors.origin.as_deref().filter(|origin| origin.contains(',')) {
        origins = list.split(',').map(|origin| origin.trim().to_owned()).collect();
    }
    let origin = match origins.first() {
        Some(first) => first.clone(),
        None => cors.origin.clone().unwrap_or_default(),
    };
    let mut methods = cors.methods.join(",");
    if cors.methods.iter().any(|method| method == "ANY") {
        methods = methods.replacen("ANY", "DELETE,GET,HEAD,PATCH,POST,PUT", 1);
    }
    let mut headers = vec![
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Headers", cors.headers.join(",")),
        ("Access-Control-Allow-Methods", methods),
    ];
    if cors.allows_credentials {
        headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
    }
    if let Some(age) = &cors.max_age {
        headers.push(("Access-Control-Max-Age", age.clone()));
    }
    if let Some(control) = &cors.cache_control {
        headers.push(("Cache-Control", control.clone()));
    }
    let name = |header: &str| format!("method.response.header.{header}");
    let declared: Map<String, Value> =
        headers.iter().map(|(header, _)| (name(header), true.into())).collect();
    let values: Map<String, Value> =
        headers.iter().map(|(header, value)| (name(header), format!("'{value}'").into())).collect();
    json!({
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "AuthorizationType": "NONE",
            "HttpMethod": "OPTIONS",
            "MethodResponses": [
                {"StatusCode": "200", "ResponseParameters": declared, "ResponseModels": {}}
            ],
            "RequestParameters": {},
            "Integration": {
                "Type": "MOCK",
                "RequestTemplates": {"application/json": "{statusCode:200}"},
                "ContentHandling": "CONVERT_TO_TEXT",
                "IntegrationResponses": [{
                    "StatusCode": "200",
                    "ResponseParameters": values,
                    "ResponseTemplates": {"application/json": template(&origins)},
                }],
            },
            "ResourceId": resource,
            "RestApiId": api,
        },
    })
}

/// Answers with the one of several origins that asks.
fn template(origins: &[String]) -> String {
    if origins.is_empty() {
        return String::new();
    }
    let matches: Vec<String> = origins
        .iter()
        .map(|origin| origin.replace('.', "[.]").replacen('*', ".+", 1))
        .map(|expression| format!("$origin.matches(\"{expression}\")"))
        .collect();
    format!(
        "#set($origin = $input.params(\"Origin\"))\n#if($origin == \"\") #set($origin = $input.params(\"origin\")) \
         #end\n#if({}) #set($context.responseOverride.header.Access-Control-Allow-Origin = $origin) #end",
        matches.join(" || ")
    )
}
