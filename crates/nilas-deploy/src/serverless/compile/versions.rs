//! Versions and aliases. A version's logical id holds a hash of code and configuration: a change of either makes a new
//! one, no change keeps the old one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::json::{items, sorted, truthy};
use super::{Compiler, Function, Problem};

pub(super) fn compile(c: &mut Compiler<'_>, function: &Function) -> Result<(), Problem> {
    let config = &function.config;
    let provider_wants = c.provider().get("versionFunctions").is_none_or(truthy);
    let is_kept = truthy(&config["durableConfig"])
        || match &config["versionFunction"] {
            Value::Null => provider_wants,
            own => truthy(own),
        };
    if !is_kept && function.alias.is_none() {
        return Ok(());
    }
    if truthy(&config["provisionedConcurrency"]) && truthy(&config["snapStart"]) {
        return Err(c.problem(
            &["functions", &function.key, "provisionedConcurrency"],
            format!(
                "Functions with enabled SnapStart does not support provisioned concurrency. Please remove at least \
                 one of the settings on function \"{}\".",
                function.key
            ),
        ));
    }
    let package = c.service.functions.iter().find(|known| known.key == function.key);
    let package = package.and_then(|known| known.package.as_deref()).unwrap_or_default();
    let sha256 = c.artifact(package)?.sha256.clone();
    let digest = digest(c, &c.resources[&function.logical_id()]["Properties"], &sha256)?;
    let digest: String = digest.chars().filter(char::is_ascii_alphanumeric).collect();
    let id = format!("{}LambdaVersion{digest}", function.id);

    let mut version = json!({
        "Type": "AWS::Lambda::Version",
        "DeletionPolicy": "Retain",
        "Properties": {"FunctionName": {"Ref": function.logical_id()}, "CodeSha256": sha256},
    });
    if truthy(&config["description"]) {
        version["Properties"]["Description"] = config["description"].clone();
    }
    if !is_kept && let Some(version) = version.as_object_mut() {
        version.shift_remove("DeletionPolicy");
    }
    c.add(id.clone(), function, version);
    c.output(
        format!("{}QualifiedArn", function.logical_id()),
        function,
        json!({"Description": "Current Lambda function version", "Value": {"Ref": id}}),
    );
    alias(c, function, &id);
    Ok(())
}

fn alias(c: &mut Compiler<'_>, function: &Function, version: &str) {
    let (Some(alias), Some(id)) = (function.alias, function.alias_id()) else { return };
    let mut resource = json!({
        "Type": "AWS::Lambda::Alias",
        "Properties": {
            "FunctionName": {"Ref": function.logical_id()},
            "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
            "Name": alias.name,
        },
        "DependsOn": function.logical_id(),
    });
    let provisioned = &function.config["provisionedConcurrency"];
    if truthy(provisioned) {
        resource["Properties"]["ProvisionedConcurrencyConfig"] =
            json!({"ProvisionedConcurrentExecutions": provisioned});
    }
    c.add(id, function, resource);
}

/// Of the archive, the service's own layers and the properties; in Base64, as the Framework computes it.
fn digest(c: &Compiler<'_>, properties: &Value, sha256: &str) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    hash.update(sha256);
    let (mut layers, mut artifacts) = (Vec::new(), Vec::new());
    for layer in items(&properties["Layers"]) {
        let Some(id) = layer["Ref"].as_str() else { continue };
        let Some(resource) = c.resources.get(id) else { continue };
        let own = c
            .service
            .layers
            .iter()
            .find(|own| id.starts_with(&super::layers::logical_id(&own.key)));
        let Some(own) = own else { continue };
        let mut resource = resource["Properties"].clone();
        if let Some(content) = resource["Content"].as_object_mut() {
            content.shift_remove("S3Key");
        }
        layers.push(json!({"name": own.key, "ref": id, "properties": resource}));
        artifacts.push(&own.package);
    }
    artifacts.sort();
    for artifact in artifacts {
        hash.update(&c.artifact(artifact)?.sha256);
    }
    let mut properties = properties.clone();
    if let Some(properties) = properties.as_object_mut() {
        for name in ["Code", "ReservedConcurrentExecutions", "Tags"] {
            properties.shift_remove(name);
        }
        properties.insert("layerConfigurations".into(), layers.into());
    }
    hash.update(sorted(&properties).to_string());
    Ok(STANDARD.encode(hash.finalize()))
}
