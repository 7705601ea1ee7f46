//! Layers of the service's own.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::json::{items, text, truthy};
use super::super::naming;
use super::{Compiler, Problem};

pub(super) fn logical_id(key: &str) -> String {
    naming::resource(key) + "LambdaLayer"
}

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    for layer in &c.service.layers {
        let config = &c.service.document["layers"][&layer.key];
        let artifact = c.artifact(&layer.package)?;
        let mut resource = json!({
            "Type": "AWS::Lambda::LayerVersion",
            "Properties": {"Content": {"S3Bucket": c.bucket()}, "LayerName": layer.name},
        });
        for (setting, property) in [
            ("description", "Description"),
            ("licenseInfo", "LicenseInfo"),
            ("compatibleRuntimes", "CompatibleRuntimes"),
            ("compatibleArchitectures", "CompatibleArchitectures"),
        ] {
            if truthy(&config[setting]) {
                resource["Properties"][property] = config[setting].clone();
            }
        }
        let hash = Sha256::new().chain_update(resource.to_string()).chain_update(&artifact.sha256);
        // As long as the SHA-1 that the Framework takes here.
        let hash: String =
            hash.finalize().iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        resource["Properties"]["Content"]["S3Key"] = artifact.key.as_str().into();
        let is_kept = truthy(&config["retain"]);
        let mut id = logical_id(&layer.key);
        if is_kept {
            id += &hash;
            resource["DeletionPolicy"] = "Retain".into();
        }
        c.resources.insert(id.clone(), resource);
        for account in items(&config["allowedAccounts"]) {
            permission(c, &layer.key, &id, &text(account), is_kept.then_some(&hash));
        }
        let name = logical_id(&layer.key);
        for (suffix, description, value) in [
            ("QualifiedArn", "Current Lambda layer version", json!({"Ref": id})),
            ("Hash", "Current Lambda layer hash", hash.as_str().into()),
            ("S3Key", "Current Lambda layer S3Key", artifact.key.as_str().into()),
        ] {
            let output = json!({"Description": description, "Value": value});
            c.outputs.insert(format!("{name}{suffix}"), output);
        }
    }
    Ok(())
}

fn permission(c: &mut Compiler<'_>, key: &str, layer: &str, account: &str, hash: Option<&String>) {
    let mut resource = json!({
        "Type": "AWS::Lambda::LayerVersionPermission",
        "Properties": {
            "Action": "lambda:GetLayerVersion",
            "LayerVersionArn": {"Ref": layer},
            "Principal": account,
        },
    });
    let mut id = format!(
        "{}{}LambdaLayerPermission",
        naming::resource(key),
        account.replacen('*', "Wild", 1)
    );
    if let Some(hash) = hash {
        id += hash;
        resource["DeletionPolicy"] = Value::from("Retain");
    }
    c.resources.insert(id, resource);
}
