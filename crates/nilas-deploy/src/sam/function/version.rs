//! The version and the alias of a function with `AutoPublishAlias`.

use crate::sam::context::Context;
use crate::sam::core::intrinsic::{get_att, join, logical_id, reference};
use crate::sam::core::print;
use crate::sam::core::problem::Result;
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Text, Val, map};

/// Makes them; the function's description then tells the digest of its code, where one was given.
pub(super) fn publish(
    cx: &Context,
    source: &mut Source,
    function: &mut Resource,
) -> Result<(Resource, Resource)> {
    let name = source
        .properties
        .get_mut("AutoPublishAlias")
        .map(|name| cx.parameters.resolve_shared(name));
    let Some(Val::Text(name)) = name.transpose()? else {
        return Err(
            source.problem("'AutoPublishAlias' must be a string or a Ref to a template parameter")
        );
    };
    let mut digest = None;
    if source.truthy("AutoPublishCodeSha256") {
        let Val::Text(sha256) = cx.parameters.resolve(source.value("AutoPublishCodeSha256"))?
        else {
            return Err(source.problem("AutoPublishCodeSha256 must be a string"));
        };
        let description = cx.parameters.resolve(source.value("Description"))?;
        function.set(
            "Description",
            match description {
                description if !description.truthy() => Val::from(&sha256),
                Val::Text(text) => format!("{text} {sha256}").into(),
                description => join(" ", vec![description, Val::from(&sha256)]),
            },
        );
        digest = Some(sha256);
    }
    let version = version(cx, source, function, digest)?;
    let alias = alias(source, function, &name, &version)?;
    Ok((version, alias))
}

fn version(
    cx: &Context,
    source: &Source,
    function: &mut Resource,
    digest: Option<Text>,
) -> Result<Resource> {
    let code = cx.parameters.resolve(function.get("Code").into())?;
    function.set("Code", code);
    let prefix = format!("{}Version", source.id);
    let id = match digest.filter(|digest| !digest.is_empty()) {
        Some(digest) => {
            let short: String = digest.chars().take(10).collect();
            format!("{prefix}{short}")
        }
        None if source.truthy("AutoPublishAliasAllProperties") => {
            print::hashed_id(&prefix, &all_properties(cx, function).into())
        }
        None => print::hashed_id(&prefix, &code_properties(function).into()),
    };
    let mut attributes = source.passed_on();
    if !attributes.has("DeletionPolicy") {
        let policy = match source.get("VersionDeletionPolicy") {
            Some(policy) => policy.clone(),
            None if source.get("CapacityProviderConfig").is_some() => "Delete".into(),
            None => "Retain".into(),
        };
        attributes.insert("DeletionPolicy", policy);
    }
    let mut version = Resource::new(id, "AWS::Lambda::Version", &attributes)?;
    version.set("FunctionName", reference(&function.id));
    version.set("Description", source.value("VersionDescription"));
    if source.get("CapacityProviderConfig").is_some() {
        version.set("FunctionScalingConfig", source.value("FunctionScalingConfig"));
    }
    Ok(version)
}

/// What a new version is made for: code, environment, memory, SnapStart.
fn code_properties(function: &Resource) -> Map {
    let mut properties = match function.get("Code") {
        Some(Val::Map(code)) => code.clone(),
        _ => Map::new(),
    };
    if let Some(Val::Map(environment)) = function.get("Environment") {
        properties.update(environment);
    }
    if let Some(memory) = function.get("MemorySize").filter(|memory| memory.truthy()) {
        properties.insert("MemorySize", memory.clone());
    }
    if let Some(snap_start) = function
        .get("SnapStart")
        .filter(|snap_start| snap_start.get("ApplyOn").is_some_and(|apply| !apply.is_text("None")))
    {
        properties.insert("SnapStart", snap_start.clone());
    }
    properties
}

/// All properties of the function, and those of its layers that are published with it.
fn all_properties(cx: &Context, function: &Resource) -> Map {
    let mut properties = function.properties.clone();
    for layer in function.get("Layers").and_then(Val::as_list).unwrap_or_default() {
        let Some(id) = logical_id(layer) else { continue };
        let layer = cx.expanded.get(id).and_then(|layer| layer.get("Properties"));
        if let Some(layer) =
            layer.filter(|layer| layer.get("PublishLambdaVersion").is_some_and(Val::truthy))
        {
            properties.insert(id, layer.clone());
        }
    }
    properties
}

fn alias(source: &Source, function: &Resource, name: &str, version: &Resource) -> Result<Resource> {
    if name.is_empty() {
        return Err(source.problem("Alias name is required to create an alias"));
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.chars().all(letters) || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(source.problem(format!(
            "AutoPublishAlias name ('{name}') must contain only alphanumeric characters, hyphens, or underscores \
             matching (?!^[0-9]+$)([a-zA-Z0-9-_]+) pattern."
        )));
    }
    let id = format!("{}Alias{}", function.id, name.replace('-', "D").replace('_', "U"));
    let mut alias = Resource::new(id, "AWS::Lambda::Alias", &source.passed_on())?;
    alias.properties = map! {
        "Name" => name,
        "FunctionName" => reference(&function.id),
        "FunctionVersion" => get_att(&version.id, "Version"),
    };
    if source.truthy("ProvisionedConcurrencyConfig") {
        alias.set("ProvisionedConcurrencyConfig", source.value("ProvisionedConcurrencyConfig"));
    }
    Ok(alias)
}
