//! A function's code: inline, in a bucket, or an image.

use crate::sam::code;
use crate::sam::core::problem::Result;
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, map};

pub(super) fn construct(source: &Source) -> Result<Map> {
    let package = source.get("PackageType").filter(|package| package.truthy());
    let image = match package {
        None => false,
        Some(package) if package.is_text("Zip") => false,
        Some(package) if package.is_text("Image") => true,
        Some(package) => {
            let package = crate::sam::core::print::text(package);
            return Err(source.problem(format!("invalid 'PackageType' : {package}")));
        }
    };
    if image {
        return match source.get("ImageUri") {
            None => Err(source.problem("'ImageUri' must be set.")),
            Some(uri) if !uri.truthy() => Err(source
                .problem("'ImageUri' requires that a image hosted at a registry be specified.")),
            Some(uri) => Ok(map! { "ImageUri" => uri }),
        };
    }
    let mut code = match (source.get("InlineCode"), source.get("CodeUri")) {
        (Some(inline), _) => map! { "ZipFile" => inline },
        (None, Some(uri)) => code::location(uri, &source.id, "CodeUri")?,
        (None, None) => {
            return Err(source.problem("Only one of 'InlineCode' or 'CodeUri' can be set."));
        }
    };
    if let Some(key) = source.get("SourceKMSKeyArn").filter(|key| key.truthy()) {
        code.insert("SourceKMSKeyArn", key.clone());
    }
    Ok(code)
}

/// Checks that the function says what its kind of package needs, and nothing that it cannot have.
pub(super) fn check_package(source: &Source, function: &Resource) -> Result<()> {
    let has = |name: &str| function.get(name).is_some_and(Val::truthy);
    let image_uri =
        function.get("Code").and_then(|code| code.get("ImageUri")).is_some_and(Val::truthy);
    let message = if function.get("PackageType").is_some_and(|package| package.is_text("Image")) {
        if has("Handler") || has("Runtime") || has("Layers") {
            "Runtime, Handler, Layers cannot be present when PackageType is of type `Image`"
        } else if !image_uri {
            "ImageUri needs to be present when PackageType is of type `Image`"
        } else {
            return Ok(());
        }
    } else if !(has("Runtime") && has("Handler")) {
        "Runtime and Handler needs to be present when PackageType is of type `Zip`"
    } else if image_uri || has("ImageConfig") {
        "ImageUri or ImageConfig cannot be present when PackageType is of type `Zip`"
    } else {
        return Ok(());
    };
    Err(source.problem(message))
}
