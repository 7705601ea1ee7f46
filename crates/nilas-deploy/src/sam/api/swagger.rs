//! Edits the Swagger or OpenAPI definition of a REST API.

use super::editor::{self, ANY_METHOD, INTEGRATION};
use crate::sam::core::intrinsic::{conditional, reference};
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Text, Val, list, map, ordered};

pub(super) const GATEWAY_RESPONSES: &str = "x-amazon-apigateway-gateway-responses";
pub(super) const POLICY: &str = "x-amazon-apigateway-policy";
const VALIDATORS: &str = "x-amazon-apigateway-request-validators";
const ENDPOINT: &str = "x-amazon-apigateway-endpoint-configuration";
/// What a path item has beside methods.
const NOT_METHODS: &[&str] = &["summary", "description", "parameters"];

#[derive(Debug)]
pub(in crate::sam) struct Swagger {
    pub(super) doc: Map,
    pub(super) security: Val,
    gateway_responses: Map,
    pub(super) policy: Map,
    definitions: Val,
}

/// How a method invokes a function.
#[derive(Debug)]
pub(in crate::sam) struct Integration<'a> {
    pub(in crate::sam) uri: Val,
    pub(in crate::sam) streams: bool,
    pub(in crate::sam) auth: &'a Map,
    pub(in crate::sam) api_auth: &'a Map,
    pub(in crate::sam) condition: Option<&'a Val>,
}

impl Swagger {
    pub(in crate::sam) fn is_valid(body: &Val) -> bool {
        body.as_map().is_some_and(|body| {
            body.get("paths").is_some_and(|paths| paths.as_map().is_some())
                && (body.truthy("swagger")
                    || body.get("openapi").is_some_and(|v| v.truthy() && editor::is_openapi_3(v)))
        })
    }

    pub(in crate::sam) fn new(body: &Val) -> Result<Self> {
        if !Self::is_valid(body) {
            return Err(Problem::document(
                "Invalid Swagger document or the Swagger document is not explicitly defined in 'DefinitionBody'.",
            ));
        }
        let Val::Map(doc) = body.deep_copy() else { return Err(Problem::document("")) };
        let member = |name: &str| match doc.get(name).filter(|member| member.truthy()) {
            Some(member) => member.clone(),
            None => Map::ordered().into(),
        };
        let map = |name: &str| member(name).as_map().cloned().unwrap_or_else(Map::ordered);
        let editor = Self {
            security: member("securityDefinitions"),
            gateway_responses: map(GATEWAY_RESPONSES),
            policy: map(POLICY),
            definitions: member("definitions"),
            doc,
        };
        for path in editor.path_names() {
            editor::items(editor.paths(), &path)?;
        }
        Ok(editor)
    }

    pub(in crate::sam) fn skeleton() -> Map {
        ordered! {
            "swagger" => "2.0",
            "info" => ordered! { "version" => "1.0", "title" => reference("AWS::StackName") },
            "paths" => Map::ordered(),
        }
    }

    /// The definition with all that was added.
    pub(in crate::sam) fn document(&self) -> Map {
        let mut doc = self.doc.clone();
        if self.security.truthy() {
            doc.insert("securityDefinitions", &self.security);
        }
        if !self.gateway_responses.is_empty() {
            doc.insert(GATEWAY_RESPONSES, self.gateway_responses.clone());
        }
        if self.definitions.truthy() {
            doc.insert("definitions", &self.definitions);
        }
        match Val::Map(doc).deep_copy() {
            Val::Map(doc) => doc,
            _ => Map::new(),
        }
    }

    fn paths(&self) -> &Map {
        static EMPTY: std::sync::LazyLock<Map> = std::sync::LazyLock::new(Map::new);
        self.doc.get("paths").and_then(Val::as_map).unwrap_or(&EMPTY)
    }

    pub(super) fn paths_mut(&mut self) -> &mut Map {
        self.doc.map_mut("paths")
    }

    pub(in crate::sam) fn path_names(&self) -> Vec<Text> {
        self.paths().keys()
    }

    pub(super) fn items(&self, path: &str) -> Result<Vec<&Map>> {
        editor::items(self.paths(), path)
    }

    pub(in crate::sam) fn add_path(&mut self, path: &Text, method: &Text) -> Result<()> {
        editor::add_path(self.paths_mut(), path, method)
    }

    pub(in crate::sam) fn make_conditional(&mut self, path: &Text, condition: &Val) {
        editor::make_conditional(self.paths_mut(), path, condition);
    }

    pub(in crate::sam) fn has_integration(&self, path: &str, method: &Text) -> Result<bool> {
        editor::has_integration(self.paths(), path, method)
    }

    pub(super) fn methods_mut(&mut self, path: &str, method: &Text) -> Result<Vec<&mut Map>> {
        editor::methods_mut(self.paths_mut(), path, method)
    }

    pub(super) fn all_methods_mut(&mut self, path: &str) -> Result<Vec<(Text, &mut Map)>> {
        editor::all_methods_mut(self.paths_mut(), path, NOT_METHODS)
    }

    pub(in crate::sam) fn add_lambda_integration(
        &mut self,
        partition: &str,
        path: &Text,
        method: &Text,
        integration: &Integration<'_>,
    ) -> Result<()> {
        let method = &editor::normal_method(method);
        if self.has_integration(path, method)? {
            return Err(Problem::document(format!(
                "Lambda integration already exists on Path={path}, Method={method}"
            )));
        }
        self.add_path(path, method)?;
        let uri = match integration.condition {
            Some(condition) => conditional(condition, &integration.uri),
            None => integration.uri.clone(),
        };
        let credentials = credentials(partition, integration.auth, integration.api_auth);
        for item in editor::items_mut(self.paths_mut(), path)? {
            let definition = item.map_mut(method);
            let mut made =
                ordered! { "type" => "aws_proxy", "httpMethod" => "POST", "uri" => uri.clone() };
            if integration.streams {
                made.insert("responseTransferMode", "STREAM");
            }
            made.insert_some("credentials", credentials.clone());
            definition.insert(INTEGRATION, made);
            finish(item, method, Map::ordered(), integration.condition);
        }
        Ok(())
    }

    pub(in crate::sam) fn add_state_machine_integration(
        &mut self,
        path: &Text,
        method: &Text,
        uri: Val,
        credentials: Val,
        template: Val,
        condition: Option<&Val>,
    ) -> Result<()> {
        let method = &editor::normal_method(method);
        if self.has_integration(path, method)? {
            return Err(Problem::document(format!(
                "Integration already exists on Path={path}, Method={method}"
            )));
        }
        self.add_path(path, method)?;
        let uri = condition.map_or_else(|| uri.clone(), |c| conditional(c, uri.clone()));
        for item in editor::items_mut(self.paths_mut(), path)? {
            let definition = item.map_mut(method);
            let responses = ordered! {
                "200" => ordered! { "statusCode" => "200" },
                "400" => ordered! { "statusCode" => "400" },
            };
            let mut made = ordered! {
                "type" => "aws",
                "httpMethod" => "POST",
                "uri" => uri.clone(),
                "responses" => responses,
                "credentials" => credentials.clone(),
            };
            made.update(&map! { "requestTemplates" => template.clone() });
            definition.insert(INTEGRATION, made);
            let described = ordered! {
                "200" => ordered! { "description" => "OK" },
                "400" => ordered! { "description" => "Bad Request" },
            };
            finish(item, method, described, condition);
        }
        Ok(())
    }

    pub(in crate::sam) fn add_timeout(
        &mut self,
        path: &str,
        method: &Text,
        timeout: &Val,
    ) -> Result<()> {
        for definition in self.methods_mut(path, method)? {
            definition.map_mut(INTEGRATION).insert("timeoutInMillis", timeout);
        }
        Ok(())
    }

    pub(in crate::sam) fn add_request_model(
        &mut self,
        path: &str,
        method: &Text,
        model: &Text,
        required: Option<&Val>,
    ) -> Result<()> {
        let name = Text::new(model.to_lowercase(), model.marked);
        let swagger = self.doc.get("swagger").is_some();
        let openapi = self.doc.get("openapi").is_some_and(editor::is_openapi_3);
        for definition in self.methods_mut(path, method)? {
            if swagger {
                let mut parameter = ordered! {
                    "in" => "body",
                    "name" => &name,
                    "schema" => map! { "$ref" => format!("#/definitions/{name}") },
                };
                parameter.insert_some("required", required);
                push(definition, "parameters", parameter);
            } else if openapi {
                let schema = map! { "$ref" => format!("#/components/schemas/{name}") };
                let json = map! { "application/json" => map! { "schema" => schema } };
                let mut body = map! { "content" => json };
                body.insert_some("required", required);
                definition.insert("requestBody", body);
            }
        }
        Ok(())
    }

    pub(in crate::sam) fn add_request_validator(
        &mut self,
        path: &str,
        method: &Text,
        body: bool,
        parameters: bool,
    ) -> Result<()> {
        let name = match (body, parameters) {
            (true, true) => "body-and-params",
            (true, false) => "body-only",
            (false, true) => "params-only",
            (false, false) => "no-validation",
        };
        let validator = ordered! {
            "validateRequestBody" => body,
            "validateRequestParameters" => parameters,
        };
        if !self.doc.truthy(VALIDATORS) {
            self.doc.insert(VALIDATORS, Map::ordered());
        }
        let validators = self.doc.map_mut(VALIDATORS);
        if !validators.truthy(name) {
            validators.update(&ordered! { name => validator });
        }
        for definition in self.methods_mut(path, method)? {
            definition.update(&ordered! { "x-amazon-apigateway-request-validator" => name });
        }
        Ok(())
    }

    pub(in crate::sam) fn add_request_parameters(
        &mut self,
        path: &str,
        method: &Text,
        parameters: &[(Text, Map)],
    ) -> Result<()> {
        for definition in self.methods_mut(path, method)? {
            definition.or_insert("parameters", || Vec::new().into());
            for (full_name, settings) in parameters {
                let rest = full_name.replace("method.request.", "");
                let (place, name) = rest.split_once('.').unwrap_or((&rest, ""));
                let text = |chars: &str| Text::new(chars, full_name.marked);
                let place = if place == "querystring" { "query".into() } else { text(place) };
                let parameter = ordered! {
                    "in" => place,
                    "name" => text(name),
                    "required" => settings.get("Required"),
                    "type" => "string",
                };
                push(definition, "parameters", parameter);
                if settings.truthy("Caching") {
                    push(definition.map_mut(INTEGRATION), "cacheKeyParameters", full_name);
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_gateway_response(&mut self, name: &Text, response: Map) {
        self.gateway_responses.insert(name, response);
    }

    pub(super) fn add_models(&mut self, models: &Map) -> Result<()> {
        let Val::Map(definitions) = &mut self.definitions else { return Ok(()) };
        for (name, schema) in models.iter() {
            if !schema.get("type").is_some_and(Val::truthy) {
                return Err(Problem::document("'Models' schema is missing 'type'."));
            }
            definitions.insert(Text::new(name.to_lowercase(), name.marked), schema);
        }
        Ok(())
    }

    pub(super) fn add_binary_media_types(&mut self, types: &Val) {
        self.doc.insert("x-amazon-apigateway-binary-media-types", slashes(types));
    }

    pub(super) fn disable_endpoint(&mut self, disable: &Val) -> Result<()> {
        let openapi =
            self.doc.get("openapi").is_some_and(|v| v.truthy() && editor::is_openapi_3(v));
        if !openapi {
            return set_endpoint(&mut self.doc, disable, "OpenAPI definition");
        }
        let servers = match self.doc.entry("servers") {
            Some(Val::List(servers)) => servers.clone(),
            _ => vec![Map::ordered().into()],
        };
        let mut changed = Vec::with_capacity(servers.len());
        for (index, server) in servers.into_iter().enumerate() {
            let place = format!("OpenAPI definition of 'servers[{index}]'");
            let Val::Map(mut server) = server else {
                return Err(Problem::document(format!("Invalid {place}: It should be a map.")));
            };
            set_endpoint(&mut server, disable, &place)?;
            changed.push(Val::Map(server));
        }
        self.doc.insert("servers", changed);
        Ok(())
    }

    /// Answers a browser's question which origins may call.
    pub(super) fn add_cors(&mut self, path: &str, cors: &super::cors::Cors) -> Result<()> {
        for item in editor::items_mut(self.paths_mut(), path)? {
            if !item.has("options") {
                let options = cors.options(item)?;
                item.insert("options", options);
            }
        }
        Ok(())
    }
}

fn set_endpoint(map: &mut Map, disable: &Val, place: &str) -> Result<()> {
    if map.get(ENDPOINT).is_some_and(|given| given.as_map().is_none()) {
        return Err(Problem::document(format!(
            "Invalid {place}: The value of '{ENDPOINT}' should be a map."
        )));
    }
    let endpoint = map.or_insert(ENDPOINT, || Map::new().into());
    if let Val::Map(endpoint) = endpoint {
        endpoint.insert("disableExecuteApiEndpoint", disable);
    }
    Ok(())
}

/// Responses of a method that has none, and its condition.
fn finish(item: &mut Map, method: &Text, responses: Map, condition: Option<&Val>) {
    let definition = item.map_mut(method);
    definition.or_insert("responses", || responses.into());
    if let Some(condition) = condition {
        let definition = definition.clone();
        item.insert(method, conditional(condition, definition));
    }
}

pub(super) fn push(map: &mut Map, name: &str, value: impl Into<Val>) {
    if let Val::List(list) = map.or_insert(name, || Vec::new().into()) {
        list.push(value.into());
    }
}

/// With whose credentials API Gateway invokes, where IAM authorizes.
fn credentials(partition: &str, auth: &Map, api_auth: &Map) -> Val {
    let by_iam = auth.text("Authorizer") == Some("AWS_IAM")
        || (api_auth.text("DefaultAuthorizer") == Some("AWS_IAM") && auth.is_empty());
    if !by_iam {
        return Val::Null;
    }
    let role = |auth: &Map| match auth.entry("InvokeRole") {
        Some(role) if role.truthy() => Some(role.clone()),
        Some(_) => Some("NONE".into()),
        None => None,
    };
    match role(auth).or_else(|| role(api_auth)) {
        Some(role) if role.is_text("NONE") => Val::Null,
        Some(role) if !role.is_text("CALLER_CREDENTIALS") => role,
        _ => format!("arn:{partition}:iam::*:user/*").into(),
    }
}

/// `~1` is how a slash is written in a media type within a parameter's name.
fn slashes(value: &Val) -> Val {
    match value {
        Val::Text(text) => Text::new(text.replace("~1", "/"), true).into(),
        Val::List(list) => Val::List(list.iter().map(slashes).collect()),
        Val::Map(map) => {
            let mut made = Map::ordered();
            for (key, value) in map.iter() {
                made.insert(Text::new(key.replace("~1", "/"), true), slashes(value));
            }
            made.into()
        }
        other => other.clone(),
    }
}

/// Methods that `any` stands for.
pub(super) fn cors_methods(item: &Map) -> String {
    let mut methods: Vec<String> = if item.has(ANY_METHOD) {
        ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"].map(str::to_owned).to_vec()
    } else {
        item.keys()
            .iter()
            .map(|method| method.to_uppercase())
            .chain(["OPTIONS".to_owned()])
            .collect()
    };
    methods.sort();
    methods.dedup();
    methods.join(",")
}

/// A list with one item, for values that are either.
pub(super) fn as_list(value: &Val) -> Vec<Val> {
    match value {
        Val::List(list) => list.clone(),
        one => list![one].as_list().unwrap_or_default().to_vec(),
    }
}
