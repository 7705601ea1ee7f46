//! Edits the OpenAPI definition of an HTTP API.

use std::sync::LazyLock;

use regex::Regex;

use super::editor::{self, ANY_METHOD, DEFAULT_PATH, INTEGRATION};
use crate::sam::core::intrinsic::{alternatives, conditional, is_intrinsic, reference};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Text, Val, list, map, ordered};

const CORS: &str = "x-amazon-apigateway-cors";
const ENDPOINT: &str = "x-amazon-apigateway-endpoint-configuration";

static FUNCTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"([A-Za-z0-9]+)\.Arn").expect("the expression is well-formed"));

#[derive(Debug)]
pub(in crate::sam) struct OpenApi {
    doc: Map,
    schemes: Map,
    tags: Val,
    info: Map,
}

/// The title of a definition that has none of its own.
pub(super) fn default_title() -> Val {
    reference("AWS::StackName")
}

impl OpenApi {
    pub(in crate::sam) fn is_valid(body: &Val) -> bool {
        body.as_map().is_some_and(|body| {
            body.get("paths").is_some_and(|paths| paths.as_map().is_some())
                && body
                    .get("openapi")
                    .is_some_and(|version| version.truthy() && editor::is_openapi_3(version))
        })
    }

    pub(in crate::sam) fn new(body: &Val) -> Result<Self> {
        if !Self::is_valid(body) {
            return Err(Problem::document(
                "Invalid OpenApi document. Invalid values or missing keys for 'openapi' or 'paths' in 'DefinitionBody'.",
            ));
        }
        let Val::Map(doc) = body.deep_copy() else { return Err(Problem::document("")) };
        let shallow = |path: &str| {
            Problem::document(format!(
                "Invalid OpenApi document: The value of '{path}' should be a map"
            ))
        };
        let map_at = |value: Option<&Val>, path: &str| match value {
            None => Ok(None),
            Some(Val::Map(map)) => Ok(Some(map.clone())),
            Some(_) => Err(shallow(path)),
        };
        let components = map_at(doc.get("components"), "components")?;
        let schemes = components.as_ref().and_then(|components| components.get("securitySchemes"));
        let schemes = schemes.and_then(Val::as_map).filter(|schemes| !schemes.is_empty());
        Ok(Self {
            schemes: schemes.cloned().unwrap_or_else(Map::ordered),
            tags: match doc.get("tags").filter(|tags| tags.truthy()) {
                Some(tags) => tags.clone(),
                None => Vec::new().into(),
            },
            info: map_at(doc.get("info"), "info")?
                .filter(|i| !i.is_empty())
                .unwrap_or_else(Map::ordered),
            doc,
        })
    }

    pub(in crate::sam) fn skeleton() -> Map {
        ordered! {
            "openapi" => "3.0.1",
            "info" => ordered! { "version" => "1.0", "title" => default_title() },
            "paths" => Map::ordered(),
        }
    }

    /// The definition with all that was added.
    pub(in crate::sam) fn document(&self) -> Map {
        let mut doc = self.doc.clone();
        if self.tags.truthy() {
            doc.insert("tags", &self.tags);
        }
        if !self.schemes.is_empty() {
            if !doc.truthy("components") {
                doc.insert("components", Map::ordered());
            }
            doc.map_mut("components").insert("securitySchemes", self.schemes.clone());
        }
        if !self.info.is_empty() {
            doc.insert("info", self.info.clone());
        }
        match Val::Map(doc).deep_copy() {
            Val::Map(doc) => doc,
            _ => Map::new(),
        }
    }

    fn paths(&mut self) -> &mut Map {
        self.doc.map_mut("paths")
    }

    pub(in crate::sam) fn path_names(&self) -> Vec<Text> {
        self.doc.get("paths").and_then(Val::as_map).map(Map::keys).unwrap_or_default()
    }

    pub(in crate::sam) fn add_path(&mut self, path: &Text, method: &Text) -> Result<()> {
        editor::add_path(self.paths(), path, method)
    }

    pub(in crate::sam) fn make_conditional(&mut self, path: &Text, condition: &Val) {
        editor::make_conditional(self.paths(), path, condition);
    }

    pub(in crate::sam) fn has_integration(&mut self, path: &str, method: &Text) -> Result<bool> {
        editor::has_integration(self.paths(), path, method)
    }

    /// Whether the default route invokes the function of this logical id.
    pub(in crate::sam) fn default_route_invokes(&mut self, function: &str) -> Result<bool> {
        if !self.has_integration(DEFAULT_PATH, &ANY_METHOD.into())? {
            return Ok(false);
        }
        for item in editor::items(self.paths(), DEFAULT_PATH)? {
            for definition in alternatives(item.get(ANY_METHOD).unwrap_or(&Val::Null))? {
                let Some(uri) = definition.get(INTEGRATION).and_then(|i| i.get("uri")) else {
                    return Ok(false);
                };
                if uri.as_map().is_none() {
                    return Ok(false);
                }
                for uri in alternatives(uri)? {
                    let arn = uri.get("Fn::Sub").and_then(Val::as_str).unwrap_or_default();
                    if FUNCTION.captures(arn).is_none_or(|found| &found[1] != function) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    pub(in crate::sam) fn add_lambda_integration(
        &mut self,
        path: &Text,
        method: &Text,
        uri: Val,
        condition: Option<&Val>,
    ) -> Result<()> {
        if self.has_integration(path, method)? {
            return Ok(());
        }
        self.add_path(path, method)?;
        let uri =
            condition.map_or_else(|| uri.clone(), |condition| conditional(condition, uri.clone()));
        let method = editor::normal_method(method);
        for item in editor::items_mut(self.paths(), path)? {
            let definition = item.map_mut(&method);
            definition.insert(
                INTEGRATION,
                ordered! {
                    "type" => "aws_proxy",
                    "httpMethod" => "POST",
                    "payloadFormatVersion" => "2.0",
                    "uri" => uri.clone(),
                },
            );
            if path.as_str() == DEFAULT_PATH && method.as_str() == ANY_METHOD {
                definition.insert("isDefaultRoute", true);
            }
            definition.or_insert("responses", || Map::ordered().into());
            if let Some(condition) = condition {
                let definition = definition.clone();
                item.insert(&method, conditional(condition, definition));
            }
        }
        Ok(())
    }

    pub(in crate::sam) fn add_to_integration(
        &mut self,
        path: &str,
        method: &Text,
        name: &str,
        value: &Val,
    ) -> Result<()> {
        for definition in editor::methods_mut(self.paths(), path, method)? {
            definition.map_mut(INTEGRATION).insert(name, value);
        }
        Ok(())
    }

    pub(in crate::sam) fn add_path_parameters(
        &mut self,
        path: &str,
        method: &Text,
        names: &[Text],
    ) -> Result<()> {
        for definition in editor::methods_mut(self.paths(), path, method)? {
            let parameters = definition.or_insert("parameters", || Vec::new().into());
            let Val::List(parameters) = parameters else { continue };
            for name in names {
                let same =
                    |parameter: &&mut Val| parameter.get("name").is_some_and(|n| n.is_text(name));
                if let Some(Val::Map(existing)) = parameters.iter_mut().find(same) {
                    existing.insert("in", "path");
                    existing.insert("required", true);
                } else {
                    let parameter = ordered! { "name" => name, "in" => "path", "required" => true };
                    parameters.push(parameter.into());
                }
            }
        }
        Ok(())
    }

    pub(in crate::sam) fn add_scheme(&mut self, name: &Text, scheme: Map) {
        self.schemes.insert(name, scheme);
    }

    /// Authorizes the methods of a path that say nothing of it themselves.
    pub(in crate::sam) fn set_default_authorizer(
        &mut self,
        path: &str,
        name: &Val,
        scopes: &Val,
    ) -> Result<()> {
        let name = name.as_text().cloned().unwrap_or_else(|| "".into());
        for (method, definition) in editor::all_methods_mut(self.paths(), path, &["parameters"])? {
            if method.as_str() != "options" && !definition.truthy("security") {
                definition.insert("security", list![map! { name.clone() => scopes }]);
            }
        }
        Ok(())
    }

    pub(in crate::sam) fn add_authorizer(
        &mut self,
        path: &str,
        method: &Text,
        authorizer: &Val,
        authorizers: Option<&Map>,
        scopes: Option<&Val>,
    ) -> Result<()> {
        let Some(name) = authorizer.as_text() else { return Ok(()) };
        let mut granted: Val = Vec::new().into();
        if !matches!(name.as_str(), "NONE" | "AWS_IAM") {
            let config = authorizers.and_then(|all| all.get(name));
            if config.is_some_and(|config| config.as_map().is_none()) {
                return Err(Problem::document(format!(
                    "Type of authorizer '{name}' must be a dictionary"
                )));
            }
            let own = config.and_then(|config| config.get("AuthorizationScopes"));
            if let Some(scopes) = scopes.or(own).filter(|scopes| scopes.truthy()) {
                granted = scopes.clone();
            }
        }
        for definition in editor::methods_mut(self.paths(), path, method)? {
            let mut security = editor::security_list(definition, path, method)?;
            security.push(map! { name => &granted }.into());
            definition.insert("security", security);
        }
        Ok(())
    }

    pub(in crate::sam) fn add_tags(&mut self, tags: &Map) -> Result<()> {
        for (name, value) in tags.iter() {
            let Val::List(existing) = &mut self.tags else {
                return Err(Problem::document(format!(
                    "Tags in OpenApi DefinitionBody needs to be a list. {} is a {} not a list.",
                    print::text(&self.tags),
                    self.tags.type_name()
                )));
            };
            let key = "x-amazon-apigateway-tag-value";
            let same = |tag: &&mut Val| tag.get("name").is_some_and(|n| n.is_text(name));
            if let Some(Val::Map(tag)) = existing.iter_mut().find(same) {
                tag.insert(key, value);
            } else {
                existing.push(ordered! { "name" => name, key => value }.into());
            }
        }
        Ok(())
    }

    pub(in crate::sam) fn disable_endpoint(&mut self, disable: &Val) -> Result<()> {
        let servers = match self.doc.entry("servers") {
            Some(Val::List(servers)) => servers.clone(),
            _ => list![Map::ordered()].as_list().unwrap_or_default().to_vec(),
        };
        let mut changed = Vec::with_capacity(servers.len());
        for server in servers {
            let Val::Map(mut server) = server else {
                return Err(Problem::document(
                    "Value of 'servers' item must be a dictionary according to Swagger spec.",
                ));
            };
            server.map_mut(ENDPOINT).insert("disableExecuteApiEndpoint", disable);
            changed.push(Val::Map(server));
        }
        self.doc.insert("servers", changed);
        Ok(())
    }

    pub(in crate::sam) fn add_cors(&mut self, cors: &Map) -> Result<()> {
        const HEADERS: &[(&str, &str)] = &[
            ("AllowOrigins", "allowOrigins"),
            ("AllowHeaders", "allowHeaders"),
            ("AllowMethods", "allowMethods"),
            ("ExposeHeaders", "exposeHeaders"),
            ("MaxAge", "maxAge"),
            ("AllowCredentials", "allowCredentials"),
        ];
        let mut configuration = match self.doc.entry(CORS) {
            None => Map::new(),
            Some(Val::Map(configuration)) => configuration.clone(),
            Some(_) => {
                return Err(Problem::document(format!(
                    "Value of '{CORS}' must be a dictionary according to Swagger spec."
                )));
            }
        };
        if let Some(whole) = cors.get("AllowOrigins").filter(|origins| is_intrinsic(origins)) {
            let mut text = print::json(whole);
            for (from, to) in HEADERS {
                text = text.replace(from, to);
            }
            let json = serde_json::from_str(&text).unwrap_or_default();
            if let Val::Map(whole) = Val::from_json(&json) {
                configuration.update(&whole);
            }
        } else {
            for (from, to) in HEADERS {
                let value = cors.get(from).filter(|value| match *from {
                    "MaxAge" => true,
                    "AllowCredentials" => **value == Val::Bool(true),
                    _ => value.truthy(),
                });
                configuration.insert_some(to, value);
            }
        }
        self.doc.insert(CORS, configuration);
        Ok(())
    }

    pub(in crate::sam) fn set_info(&mut self, name: &str, value: &Val) {
        self.info.insert(name, value);
    }
}
