//! Turns what was added in Swagger's terms into OpenAPI 3's, where the definition is one of that.

use super::editor;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Val, ordered};

pub(super) fn openapi(mut body: Map, version: Option<&Val>) -> Result<Map> {
    if body.get("swagger").is_some() {
        return Ok(body);
    }
    let version = match (body.get("openapi"), version) {
        (Some(own), None) => Some(own),
        (_, version) => version,
    };
    if !version.is_some_and(|version| version.truthy() && editor::is_openapi_3(version)) {
        return Ok(body);
    }
    for (from, to) in [("securityDefinitions", "securitySchemes"), ("definitions", "schemas")] {
        if body.truthy(from) {
            let mut components = match body.get("components") {
                Some(Val::Map(components)) if !components.is_empty() => components.clone(),
                _ => Map::ordered(),
            };
            components.insert(to, body.get(from));
            body.insert("components", components);
            body.remove(from);
        }
    }
    let paths = match body.get("paths").filter(|paths| paths.truthy()) {
        None => return Ok(body),
        Some(Val::Map(paths)) => paths.keys(),
        Some(_) => {
            let message = "Value of paths must be a dictionary according to Swagger spec.";
            return Err(Problem::document(message));
        }
    };
    for path in paths {
        let Some(Val::Map(item)) = body.map_mut("paths").get_mut(&path) else {
            return Err(Problem::document(format!(
                "Value of '{path}' path must be a dictionary according to Swagger spec."
            )));
        };
        if !item.truthy("options") {
            continue;
        }
        let Some(Val::Map(options)) = item.get_mut("options") else {
            return Err(Problem::document(format!(
                "Value of options method for path {path} must be a dictionary according to Swagger spec."
            )));
        };
        finish_options(options, &path)?;
    }
    Ok(body)
}

fn finish_options(options: &mut Map, path: &str) -> Result<()> {
    options.remove("produces");
    options.remove("consumes");
    let shallow = |of: &str| {
        Problem::document(format!(
            "Invalid responses in options method for path {path}: The value of '{of}' should be a map."
        ))
    };
    let Some(responses) = options.get_mut("responses") else { return Ok(()) };
    let Some(responses) = responses.as_map_mut() else {
        return Err(Problem::document(format!(
            "Invalid responses in options method for path {path}: It should be a map."
        )));
    };
    let Some(response) = responses.get_mut("200").filter(|response| !response.is_null()) else {
        return Ok(());
    };
    let response = response.as_map_mut().ok_or_else(|| shallow("200"))?;
    let Some(headers) = response.get_mut("headers").filter(|headers| headers.truthy()) else {
        return Ok(());
    };
    let Some(headers) = headers.as_map_mut() else {
        return Err(Problem::document(format!(
            "Value of response's headers in options method for path {path} must be a dictionary according to Swagger \
             spec."
        )));
    };
    headers.try_change(|header| Ok(ordered! { "schema" => header }.into()))
}

/// Sets the definition's version of OpenAPI, which `Globals` may have given.
pub(in crate::sam) fn set_version(properties: &mut Map) {
    let version = properties.entry("OpenApiVersion").cloned();
    let Some(version) = version.filter(editor::is_openapi_3) else { return };
    if !properties.has("__MANAGE_SWAGGER") {
        return;
    }
    let version = match version {
        Val::Text(_) => version,
        other => crate::sam::core::print::text(&other).into(),
    };
    properties.insert("OpenApiVersion", &version);
    if let Some(Val::Map(body)) = properties.get_mut("DefinitionBody") {
        body.insert("openapi", version);
        if body.truthy("swagger") {
            body.remove("swagger");
        }
    }
}
