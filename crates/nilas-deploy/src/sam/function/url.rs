//! The URL of a function with `FunctionUrlConfig`, and who may call it.

use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{is_intrinsic, reference};
use crate::sam::core::problem::Result;
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, map};

/// The settings of `Cors` with the types they have, as Python names these.
const CORS: &[(&str, &str)] = &[
    ("AllowOrigins", "list"),
    ("AllowMethods", "list"),
    ("AllowCredentials", "bool"),
    ("AllowHeaders", "list"),
    ("ExposeHeaders", "list"),
    ("MaxAge", "int"),
];

pub(super) fn expand(
    source: &Source,
    function: &Resource,
    alias: Option<&Resource>,
) -> Result<Vec<Resource>> {
    let Some(config) = source.get("FunctionUrlConfig").filter(|config| config.truthy()) else {
        return Ok(Vec::new());
    };
    let intrinsic = is_intrinsic(config);
    if !intrinsic {
        check_auth(source, config.get("AuthType"))?;
        check_cors(source, config.get("Cors"))?;
    }
    let target = reference(&alias.unwrap_or(function).id);
    let attributes = source.passed_on();
    let mut url = Resource::new(format!("{}Url", source.id), "AWS::Lambda::Url", &attributes)?;
    url.set("Cors", config.get("Cors").filter(|cors| cors.truthy()));
    url.set("AuthType", config.get("AuthType"));
    url.set("TargetFunctionArn", target.clone());
    url.set("InvokeMode", config.get("InvokeMode"));
    let mut made = vec![url];
    if !intrinsic && config.get("AuthType").is_some_and(|auth| auth.is_text("NONE")) {
        made.push(public(
            source,
            "UrlPublicPermissions",
            &attributes,
            map! {
                "Action" => "lambda:InvokeFunctionUrl",
                "FunctionName" => target.clone(),
                "Principal" => "*",
                "FunctionUrlAuthType" => "NONE",
            },
        )?);
        made.push(public(
            source,
            "URLInvokeAllowPublicAccess",
            &attributes,
            map! {
                "Action" => "lambda:InvokeFunction",
                "FunctionName" => target,
                "Principal" => "*",
                "InvokedViaFunctionUrl" => true,
            },
        )?);
    }
    Ok(made)
}

fn public(source: &Source, suffix: &str, attributes: &Map, properties: Map) -> Result<Resource> {
    let mut permission =
        Resource::new(format!("{}{suffix}", source.id), "AWS::Lambda::Permission", attributes)?;
    permission.properties = properties;
    Ok(permission)
}

fn check_auth(source: &Source, auth: Option<&Val>) -> Result<()> {
    let accepted = auth
        .is_some_and(|auth| is_intrinsic(auth) || auth.is_text("AWS_IAM") || auth.is_text("NONE"));
    if accepted {
        return Ok(());
    }
    Err(source.problem(
        "AuthType is required to configure function property `FunctionUrlConfig`. Please provide either AWS_IAM or NONE.",
    ))
}

fn check_cors(source: &Source, cors: Option<&Val>) -> Result<()> {
    let Some(cors) = cors.filter(|cors| cors.truthy() && !is_intrinsic(cors)) else {
        return Ok(());
    };
    let cors = At::Resource(&source.id, "FunctionUrlConfig.Cors").map(Some(cors))?;
    for (name, value) in cors.iter() {
        let Some((_, kind)) = CORS.iter().find(|(known, _)| *known == name.as_str()) else {
            return Err(
                source.problem(format!("{name} is not a valid property for configuring Cors."))
            );
        };
        let of_kind = value.type_name() == *kind || (*kind == "int" && value.type_name() == "bool");
        if !is_intrinsic(value) && !of_kind {
            return Err(source.problem(format!("{name} must be of type {kind}.")));
        }
    }
    Ok(())
}
