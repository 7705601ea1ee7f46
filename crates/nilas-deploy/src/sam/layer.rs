//! `AWS::Serverless::LayerVersion`: a layer, named by all it says so that a change makes a new version.

use super::code;
use super::context::Context;
use super::core::intrinsic::is_intrinsic;
use super::core::print;
use super::core::problem::Result;
use super::core::property::{Kind, Property, optional, required};
use super::core::resource::{Resource, Source};
use super::core::value::{Map, Text, Val, map};

pub(super) const KIND: &str = "AWS::Serverless::LayerVersion";

const PROPERTIES: &[Property] = &[
    optional("LayerName", Kind::TextOrMap),
    optional("Description", Kind::Text),
    optional("PublishLambdaVersion", Kind::Bool),
    required("ContentUri", Kind::TextOrMap),
    optional("CompatibleArchitectures", Kind::Items),
    optional("CompatibleRuntimes", Kind::Items),
    optional("LicenseInfo", Kind::Text),
    optional("RetentionPolicy", Kind::Text),
];

pub(super) fn expand(cx: &mut Context, id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let mut source = Source::parse(id, KIND, &[PROPERTIES], body)?;
    for name in ["LayerName", "LicenseInfo", "Description", "RetentionPolicy"] {
        if let Some(value) = source.properties.get_mut(name) {
            let resolved = cx.parameters.resolve_shared(value)?;
            if value.truthy() && !matches!(resolved, Val::Text(_) | Val::Map(_)) {
                return Err(super::core::problem::Problem::resource(
                    id,
                    format!(
                        "Could not resolve parameter for '{name}' or parameter is not a String."
                    ),
                ));
            }
            *value = resolved;
        }
    }
    let retention = retention(&source)?;
    let new_id = print::hashed_id(id, &identity(&source).into());
    let mut attributes = source.passed_on();
    match retention {
        Some(policy) => attributes.insert("DeletionPolicy", policy),
        None if attributes.has("DeletionPolicy") => {}
        None => attributes.insert("DeletionPolicy", "Retain"),
    }
    let mut layer = Resource::new(new_id.as_str(), "AWS::Lambda::LayerVersion", &attributes)?
        .depending_on(&source.depends_on);
    let name = source.get("LayerName").filter(|name| name.truthy()).cloned();
    layer.set("LayerName", name.unwrap_or_else(|| id.into()));
    layer.set("Content", code::location(&source.value("ContentUri"), &new_id, "ContentUri")?);
    for name in ["Description", "CompatibleArchitectures", "CompatibleRuntimes", "LicenseInfo"] {
        layer.set(name, source.value(name));
    }
    check_architectures(&source, &new_id)?;
    cx.made.renamed.insert(id.as_str().to_owned(), new_id);
    Ok(vec![layer])
}

/// What a new version is made for: all that the layer says but what becomes of old versions.
fn identity(source: &Source) -> Map {
    let mut attributes = source.attributes.clone();
    for name in ["DeletionPolicy", "UpdateReplacePolicy", "Metadata"] {
        attributes.remove(name);
    }
    let mut properties = Map::new();
    for (name, value) in source.properties.iter() {
        properties.insert_some(name, value);
    }
    let mut whole = map! { "Type" => KIND, "Properties" => properties };
    if source.depends_on.truthy() {
        whole.insert("DependsOn", &source.depends_on);
    }
    whole.update(&attributes);
    map! { &source.id => whole }
}

fn retention(source: &Source) -> Result<Option<&'static str>> {
    let options = "['Retain', 'Delete']";
    match source.get("RetentionPolicy") {
        None => Ok(None),
        Some(policy) if is_intrinsic(policy) => Err(source.problem(format!(
            "'RetentionPolicy' does not accept intrinsic functions, please use one of the following options: {options}"
        ))),
        Some(Val::Text(policy)) if policy.eq_ignore_ascii_case("Retain") => Ok(Some("Retain")),
        Some(Val::Text(policy)) if policy.eq_ignore_ascii_case("Delete") => Ok(Some("Delete")),
        Some(Val::Text(_)) => Err(source
            .problem(format!("'RetentionPolicy' must be one of the following options: {options}."))),
        Some(_) => Err(source.problem(format!(
            "Invalid 'RetentionPolicy' type, please use one of the following options: {options}"
        ))),
    }
}

fn check_architectures(source: &Source, id: &str) -> Result<()> {
    let architectures = source.get("CompatibleArchitectures").and_then(Val::as_list);
    for architecture in architectures.unwrap_or_default() {
        let known = architecture.is_text("arm64") || architecture.is_text("x86_64");
        if !known && !is_intrinsic(architecture) {
            let message = "CompatibleArchitectures needs to be a list of 'x86_64' or 'arm64'";
            return Err(super::core::problem::Problem::resource(id, message));
        }
    }
    Ok(())
}
