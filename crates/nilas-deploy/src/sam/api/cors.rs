//! `Cors` of a REST API: an `options` method for each path.

use super::editor::INTEGRATION;
use super::swagger::{Swagger, cors_methods};
use crate::sam::core::intrinsic::is_intrinsic;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Val, list, map, ordered};

const PROPERTIES: &[&str] =
    &["AllowMethods", "AllowHeaders", "AllowOrigin", "MaxAge", "AllowCredentials"];

#[derive(Debug)]
pub(super) struct Cors {
    origin: Val,
    headers: Val,
    methods: Val,
    max_age: Val,
    credentials: bool,
}

/// Adds `options` methods to the definition.
pub(super) fn add(id: &str, cors: &Val, body: Option<&Val>) -> Result<Map> {
    let fault = |message: &str| Problem::resource(id, message);
    let Some(body) = body.filter(|body| body.truthy()) else {
        return Err(fault(
            "Cors works only with inline Swagger specified in 'DefinitionBody' property.",
        ));
    };
    let mut settings = Map::new();
    match cors {
        Val::Map(given) if !is_intrinsic(cors) => {
            for (key, value) in given.iter() {
                if !PROPERTIES.contains(&key.as_str()) {
                    return Err(fault(&format!("Invalid key '{key}' for 'Cors' property.")));
                }
                settings.insert(key, value);
            }
        }
        Val::Text(_) | Val::Map(_) => settings.insert("AllowOrigin", cors),
        _ => return Err(fault("Invalid value for 'Cors' property")),
    }
    if !Swagger::is_valid(body) {
        return Err(fault(
            "Unable to add Cors configuration because 'DefinitionBody' does not contain a valid Swagger definition.",
        ));
    }
    let cors = Cors {
        origin: settings.entry("AllowOrigin").cloned().unwrap_or_else(|| "'*'".into()),
        headers: settings.get("AllowHeaders").into(),
        methods: settings.get("AllowMethods").into(),
        max_age: settings.get("MaxAge").into(),
        credentials: settings.get("AllowCredentials") == Some(&Val::Bool(true)),
    };
    if cors.credentials && cors.origin.is_text("'*'") {
        return Err(fault(
            "Unable to add Cors configuration because 'AllowCredentials' can not be true when 'AllowOrigin' is \
             \"'*'\" or not set",
        ));
    }
    let mut editor = Swagger::new(body)?;
    let mut done = Vec::new();
    for path in editor.path_names() {
        let normal = if path.as_str() == "/" { "/" } else { path.trim_end_matches('/') };
        if done.iter().any(|known| known == normal) {
            continue;
        }
        done.push(normal.to_owned());
        editor.add_cors(&path, &cors).map_err(|problem| match problem {
            Problem::Template(_) => Problem::resource(id, problem.message()),
            other => other,
        })?;
    }
    Ok(editor.document())
}

impl Cors {
    pub(super) fn options(&self, item: &Map) -> Result<Map> {
        if !self.origin.truthy() {
            return Err(Problem::Template(
                "Invalid input. Value for AllowedOrigins is required".to_owned(),
            ));
        }
        let methods = if self.methods.truthy() {
            self.methods.clone()
        } else {
            format!("'{}'", cors_methods(item)).into()
        };
        let mut parameters = Map::ordered();
        let mut headers = Map::ordered();
        let some = |value: &Val| Some(value.clone()).filter(Val::truthy);
        let answers = [
            ("Access-Control-Allow-Origin", Some(self.origin.clone()), "string"),
            ("Access-Control-Allow-Headers", some(&self.headers), "string"),
            ("Access-Control-Allow-Methods", some(&methods), "string"),
            (
                "Access-Control-Max-Age",
                Some(self.max_age.clone()).filter(|m| !m.is_null()),
                "integer",
            ),
            (
                "Access-Control-Allow-Credentials",
                self.credentials.then(|| "'true'".into()),
                "string",
            ),
        ];
        for (index, (header, value, kind)) in answers.into_iter().enumerate() {
            let Some(value) = value else { continue };
            let parameter = format!("method.response.header.{header}");
            if index == 0 {
                parameters = Map::ordered_from(&map! { parameter => value });
                headers = Map::ordered_from(&map! { header => map! { "type" => kind } });
            } else {
                parameters.insert(parameter, value);
                headers.insert(header, map! { "type" => kind });
            }
        }
        let answer = ordered! {
            "statusCode" => "200",
            "responseParameters" => parameters,
            "responseTemplates" => map! { "application/json" => "{}\n" },
        };
        let integration = ordered! {
            "type" => "mock",
            "requestTemplates" => map! { "application/json" => "{\n  \"statusCode\" : 200\n}\n" },
            "responses" => ordered! { "default" => answer },
        };
        let response = ordered! {
            "description" => "Default response for CORS method",
            "headers" => headers,
        };
        Ok(ordered! {
            "summary" => "CORS support",
            "consumes" => list!["application/json"],
            "produces" => list!["application/json"],
            INTEGRATION => integration,
            "responses" => ordered! { "200" => response },
        })
    }
}
