//! What is done alike to the definitions of REST and HTTP APIs.

use std::sync::LazyLock;

use regex::Regex;

use crate::sam::core::intrinsic::{alternatives, alternatives_mut, conditional};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::value::{Map, Text, Val};

pub(in crate::sam) const ANY_METHOD: &str = "x-amazon-apigateway-any-method";
pub(in crate::sam) const INTEGRATION: &str = "x-amazon-apigateway-integration";
pub(in crate::sam) const DEFAULT_PATH: &str = "$default";

static OPENAPI_3: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A3(\.\d)(\.\d)?\n?\z").expect("the expression is well-formed"));
static REST_PARAMETER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{([a-zA-Z0-9._-]+\+?)\}").expect("the expression is well-formed")
});
static HTTP_PARAMETER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{([a-zA-Z0-9._-]+|proxy\+)\}").expect("the expression is well-formed")
});

/// Whether a version of OpenAPI is 3.
pub(in crate::sam) fn is_openapi_3(version: &Val) -> bool {
    OPENAPI_3.is_match(&print::text(version))
}

/// A path with `*` for each parameter.
pub(in crate::sam) fn path_pattern(path: &str, rest: bool) -> String {
    let parameter = if rest { &REST_PARAMETER } else { &HTTP_PARAMETER };
    parameter.replace_all(path, "*").into_owned()
}

/// A method's name as definitions have it.
pub(in crate::sam) fn normal_method(method: &Text) -> Text {
    let lower = method.to_lowercase();
    if lower == "any" { ANY_METHOD.into() } else { Text::new(lower, method.marked) }
}

fn bad_path(path: &str) -> Problem {
    Problem::document(format!(
        "Value of '{path}' path must be a dictionary according to Swagger spec."
    ))
}

fn bad_method(method: &str, path: &str) -> Problem {
    Problem::document(format!("Definition of method '{method}' for path '{path}' should be a map."))
}

/// A path's items: one, or those of an `Fn::If`.
pub(in crate::sam) fn items<'a>(paths: &'a Map, path: &str) -> Result<Vec<&'a Map>> {
    let items = alternatives(paths.entry(path).unwrap_or(&Val::Null))?;
    items.into_iter().map(|item| item.as_map().ok_or_else(|| bad_path(path))).collect()
}

pub(in crate::sam) fn items_mut<'a>(paths: &'a mut Map, path: &str) -> Result<Vec<&'a mut Map>> {
    let Some(item) = paths.get_mut(path) else { return Err(bad_path(path)) };
    let items = alternatives_mut(item)?;
    items.into_iter().map(|item| item.as_map_mut().ok_or_else(|| bad_path(path))).collect()
}

pub(in crate::sam) fn is_integrated(definition: &Map) -> bool {
    definition.truthy(INTEGRATION)
}

/// The definitions of one method of a path that have an integration.
pub(in crate::sam) fn methods_mut<'a>(
    paths: &'a mut Map,
    path: &str,
    method: &Text,
) -> Result<Vec<&'a mut Map>> {
    let normal = normal_method(method);
    let mut found = Vec::new();
    for item in items_mut(paths, path)? {
        let definition = item.get_mut(&normal).ok_or_else(|| bad_method(method, path))?;
        for definition in alternatives_mut(definition)? {
            let definition = definition.as_map_mut().ok_or_else(|| bad_method(method, path))?;
            if is_integrated(definition) {
                found.push(definition);
            }
        }
    }
    Ok(found)
}

/// All definitions of methods of a path that have an integration, with the methods' names.
pub(in crate::sam) fn all_methods_mut<'a>(
    paths: &'a mut Map,
    path: &str,
    skipped: &[&str],
) -> Result<Vec<(Text, &'a mut Map)>> {
    let mut found = Vec::new();
    for item in items_mut(paths, path)? {
        for (name, definition) in item.iter_mut() {
            if skipped.contains(&name.as_str()) {
                continue;
            }
            for definition in alternatives_mut(definition)? {
                let definition = definition.as_map_mut().ok_or_else(|| bad_method(&name, path))?;
                if is_integrated(definition) {
                    found.push((normal_method(&name), definition));
                }
            }
        }
    }
    Ok(found)
}

/// Whether a path has the method, with an integration, in each of its alternatives.
pub(in crate::sam) fn has_integration(paths: &Map, path: &str, method: &Text) -> Result<bool> {
    if !paths.has(path) {
        return Ok(false);
    }
    let method = normal_method(method);
    let has = alternatives(paths.entry(path).unwrap_or(&Val::Null))?;
    if !method.is_empty()
        && has.iter().any(|item| item.as_map().is_none_or(|item| !item.has(&method)))
    {
        return Ok(false);
    }
    for item in items(paths, path)? {
        let Some(definition @ Val::Map(_)) = item.get(&method) else { return Ok(false) };
        let mut integrated = false;
        for definition in alternatives(definition)? {
            let definition = definition.as_map().ok_or_else(|| bad_method(&method, path))?;
            integrated |= is_integrated(definition);
        }
        if !integrated {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds a path with a method, where there is none yet.
pub(in crate::sam) fn add_path(paths: &mut Map, path: &Text, method: &Text) -> Result<()> {
    let method = normal_method(method);
    paths.or_insert(path, || Map::ordered().into());
    for item in items_mut(paths, path)? {
        item.or_insert(&method, || Map::ordered().into());
    }
    Ok(())
}

/// Makes a path depend on a condition.
pub(in crate::sam) fn make_conditional(paths: &mut Map, path: &Text, condition: &Val) {
    let item = paths.entry(path).cloned().unwrap_or_default();
    paths.insert(path, conditional(condition, item));
}

pub(in crate::sam) fn security_list(
    definition: &Map,
    path: &str,
    method: &str,
) -> Result<Vec<Val>> {
    match definition.entry("security") {
        None => Ok(Vec::new()),
        Some(Val::List(security)) => Ok(security.clone()),
        Some(_) => Err(Problem::document(format!(
            "Type of security for path {path} method {method} must be a list"
        ))),
    }
}
