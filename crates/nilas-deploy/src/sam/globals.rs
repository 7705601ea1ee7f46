//! `Globals`: properties that all resources of a type have unless they say otherwise.

use super::api::finish;
use super::core::intrinsic::is_intrinsic;
use super::core::print;
use super::core::problem::{Problem, Result, listed};
use super::core::value::{Map, Val};

const PREFIX: &str = "AWS::Serverless::";

/// What each type may have in `Globals`, in the order in which messages list it.
const SUPPORTED: &[(&str, &[&str])] = &[
    ("Api", API),
    ("CapacityProvider", CAPACITY_PROVIDER),
    ("Function", FUNCTION),
    ("HttpApi", HTTP_API),
    ("LayerVersion", &["PublishLambdaVersion"]),
    ("MicrovmImage", MICROVM_IMAGE),
    ("NetworkConnector", &["OperatorRole", "Tags", "PropagateTags"]),
    ("SimpleTable", &["SSESpecification"]),
    ("StateMachine", &["PropagateTags"]),
    ("WebSocketApi", WEB_SOCKET_API),
];

const FUNCTION: &[&str] = &[
    "Handler",
    "Runtime",
    "CodeUri",
    "DeadLetterQueue",
    "Description",
    "MemorySize",
    "Timeout",
    "VpcConfig",
    "Environment",
    "Tags",
    "PropagateTags",
    "Tracing",
    "KmsKeyArn",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "Layers",
    "DeploymentPreference",
    "RolePath",
    "PermissionsBoundary",
    "ReservedConcurrentExecutions",
    "ProvisionedConcurrencyConfig",
    "AssumeRolePolicyDocument",
    "EventInvokeConfig",
    "FileSystemConfigs",
    "CodeSigningConfigArn",
    "Architectures",
    "SnapStart",
    "EphemeralStorage",
    "FunctionUrlConfig",
    "RuntimeManagementConfig",
    "LoggingConfig",
    "RecursiveLoop",
    "SourceKMSKeyArn",
    "TenancyConfig",
    "DurableConfig",
    "CapacityProviderConfig",
    "FunctionScalingConfig",
    "PublishToLatestPublished",
    "VersionDeletionPolicy",
];

const API: &[&str] = &[
    "Auth",
    "Name",
    "DefinitionUri",
    "CacheClusterEnabled",
    "CacheClusterSize",
    "MergeDefinitions",
    "Variables",
    "EndpointConfiguration",
    "MethodSettings",
    "BinaryMediaTypes",
    "MinimumCompressionSize",
    "Cors",
    "GatewayResponses",
    "AccessLogSetting",
    "CanarySetting",
    "TracingEnabled",
    "OpenApiVersion",
    "Domain",
    "AlwaysDeploy",
    "PropagateTags",
    "SecurityPolicy",
    "EndpointAccessMode",
];

const HTTP_API: &[&str] = &[
    "Auth",
    "AccessLogSettings",
    "StageVariables",
    "Tags",
    "CorsConfiguration",
    "DefaultRouteSettings",
    "Domain",
    "RouteSettings",
    "FailOnWarnings",
    "PropagateTags",
];

const CAPACITY_PROVIDER: &[&str] = &[
    "VpcConfig",
    "OperatorRole",
    "Tags",
    "InstanceRequirements",
    "ScalingConfig",
    "KmsKeyArn",
    "PropagateTags",
    "LoggingConfig",
    "ManagedResourceTags",
];

const MICROVM_IMAGE: &[&str] = &[
    "BuildRoleArn",
    "BaseImageArn",
    "BaseImageVersion",
    "Logging",
    "EgressNetworkConnectors",
    "CpuConfigurations",
    "Resources",
    "AdditionalOsCapabilities",
    "Hooks",
    "EnvironmentVariables",
    "Tags",
    "PropagateTags",
];

const WEB_SOCKET_API: &[&str] = &[
    "AccessLogSettings",
    "ApiKeySelectionExpression",
    "DefaultRouteSettings",
    "DisableExecuteApiEndpoint",
    "DisableSchemaValidation",
    "Domain",
    "FailOnWarnings",
    "IpAddressType",
    "PropagateTags",
    "RouteSelectionExpression",
    "RouteSettings",
    "StageVariables",
    "Tags",
];

/// Merges `Globals` into the resources and takes it out of the template.
pub(super) fn apply(template: &mut Map) -> Result<()> {
    let globals = template.remove("Globals");
    if let Some(globals) = &globals {
        check(globals).map_err(|problem| Problem::Document(vec![problem]))?;
    }
    let resources = template.map_mut("Resources");
    for (id, resource) in resources.iter_mut() {
        let Some(resource) = resource.as_map_mut() else { continue };
        if let Some(globals) = &globals {
            merge_into(&id, resource, globals)?;
        }
        if resource.text("Type") == Some("AWS::Serverless::Api")
            && let Some(Val::Map(properties)) = resource.get_mut("Properties")
        {
            finish::set_version(properties);
        }
    }
    Ok(())
}

fn check(globals: &Val) -> Result<()> {
    let Val::Map(globals) = globals else {
        return Err(Problem::Globals("It must be a non-empty dictionary".to_owned()));
    };
    for (section, properties) in globals.iter() {
        let Some((_, supported)) = SUPPORTED.iter().find(|(name, _)| *name == section.as_str())
        else {
            let names: Vec<&str> = SUPPORTED.iter().map(|(name, _)| *name).collect();
            return Err(Problem::Globals(format!(
                "'{section}' is not supported. Must be one of the following values - {}",
                listed(&names)
            )));
        };
        let Val::Map(properties) = properties else {
            return Err(Problem::Globals("Value of ${section} must be a dictionary".to_owned()));
        };
        if let Some(key) = properties.keys().iter().find(|key| !supported.contains(&key.as_str())) {
            return Err(Problem::Globals(format!(
                "'{key}' is not a supported property of '{section}'. Must be one of the following values - {}",
                listed(supported)
            )));
        }
    }
    Ok(())
}

fn merge_into(id: &str, resource: &mut Map, globals: &Val) -> Result<()> {
    let Some(section) = resource.text("Type").and_then(|kind| kind.strip_prefix(PREFIX)) else {
        return Ok(());
    };
    let section = section.to_owned();
    let Some(Val::Map(properties)) = globals.get(&section) else { return Ok(()) };
    let properties = without_ignored(id, properties, resource.get("IgnoreGlobals"))?;
    let local = resource.entry("Properties").cloned().unwrap_or_else(|| Map::new().into());
    let merged = merge(&properties.into(), &local, &section);
    resource.insert("Properties", merged);
    Ok(())
}

fn without_ignored(id: &str, properties: &Map, ignored: Option<&Val>) -> Result<Map> {
    let fault = |end: &str| {
        let message = format!("Resource {id} has invalid resource attribute 'IgnoreGlobals'{end}.");
        Problem::Document(vec![Problem::resource(id, message)])
    };
    match ignored.filter(|ignored| ignored.truthy()) {
        None => Ok(properties.clone()),
        Some(Val::Text(all)) if all.as_str() == "*" => Ok(Map::new()),
        Some(Val::List(names)) => {
            let Val::Map(mut kept) = Val::Map(properties.clone()).deep_copy() else {
                return Ok(Map::new());
            };
            for name in names {
                let known = name.as_str().is_some_and(|name| kept.remove(name).is_some());
                if !known {
                    return Err(fault(&format!(" on item '{}'", print::text(name))));
                }
            }
            Ok(kept)
        }
        Some(_) => Err(fault("")),
    }
}

/// Maps are merged, lists joined, anything else is the resource's own.
fn merge(global: &Val, local: &Val, path: &str) -> Val {
    match (global, local) {
        (Val::Map(global), Val::Map(own))
            if !is_intrinsic(local) && !is_intrinsic(&global.clone().into()) =>
        {
            let pruned = path == "CapacityProvider.ManagedResourceTags" && !own.is_empty();
            let mut merged = if pruned { Map::new() } else { global.shallow_copy() };
            for (key, value) in own.iter() {
                let value = match global.entry(key) {
                    Some(default) => merge(default, value, &format!("{path}.{key}")),
                    None => value.clone(),
                };
                merged.insert(key, value);
            }
            merged.into()
        }
        (Val::List(global), Val::List(own)) => {
            let replaced = matches!(
                path,
                "Function.Architectures" | "CapacityProvider.InstanceRequirements.Architectures"
            );
            if replaced {
                return local.clone();
            }
            Val::List(global.iter().chain(own).cloned().collect())
        }
        _ => local.clone(),
    }
}
