//! The Lambda function itself, and the checks of what its properties say together.

use super::{code, properties, tags, traces};
use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::problem::Result;
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, map};

/// Checks properties against one another.
pub(super) fn check(source: &Source) -> Result<()> {
    let has = |name: &str| source.get(name).is_some();
    let mut faults = Vec::new();
    for other in ["ProvisionedConcurrencyConfig", "VpcConfig"] {
        if has("CapacityProviderConfig") && has(other) {
            faults.push(format!("Cannot specify 'CapacityProviderConfig' and '{other}' together."));
        }
    }
    for (name, needed) in [
        ("FunctionScalingConfig", "CapacityProviderConfig"),
        ("VersionDeletionPolicy", "AutoPublishAlias"),
    ] {
        if has(name) && !has(needed) {
            faults.push(format!("'{name}' requires '{needed}'."));
        }
    }
    if !faults.is_empty() {
        return Err(source.problem(faults.join("\n")));
    }
    if let Some(queue) = source.map("DeadLetterQueue").filter(|queue| !queue.is_empty()) {
        check_dead_letter_queue(source, queue)?;
    }
    check_tenancy(source)
}

fn check_dead_letter_queue(source: &Source, queue: &Map) -> Result<()> {
    if !queue.truthy("Type") || !queue.truthy("TargetArn") {
        return Err(source
            .problem("'DeadLetterQueue' requires Type and TargetArn properties to be specified."));
    }
    let kind = At::Resource(&source.id, "DeadLetterQueue.Type").string(queue.get("Type"))?;
    if !matches!(kind, "SQS" | "SNS") {
        return Err(source.problem("'DeadLetterQueue' requires Type of ['SQS', 'SNS']"));
    }
    Ok(())
}

fn check_tenancy(source: &Source) -> Result<()> {
    if !source.truthy("TenancyConfig") {
        return Ok(());
    }
    for (name, what) in [
        ("ProvisionedConcurrencyConfig", "Provisioned concurrency"),
        ("FunctionUrlConfig", "Function URL"),
        ("SnapStart", "SnapStart"),
    ] {
        if source.truthy(name) {
            return Err(source.problem(format!(
                "{what} is not supported for functions enabled with tenancy configuration."
            )));
        }
    }
    for (_, event) in source.map("Events").into_iter().flat_map(Map::iter) {
        let kind = event.get("Type").and_then(Val::as_str).unwrap_or("None");
        if !matches!(kind, "Api" | "HttpApi") {
            return Err(source.problem(format!(
                "Event source '{kind}' is not supported for functions enabled with tenancy configuration. Only Api \
                 and HttpApi event sources are supported."
            )));
        }
    }
    Ok(())
}

pub(super) fn function(cx: &Context, source: &mut Source) -> Result<Resource> {
    let mut function = Resource::new(&source.id, "AWS::Lambda::Function", &source.attributes)?
        .depending_on(&source.depends_on);
    if source.truthy("FunctionName") {
        function.set("FunctionName", source.value("FunctionName"));
    }
    function.set("Code", code::construct(source)?);
    function.set("Tags", tags(source)?);
    if traces(cx, source)? {
        function.set("TracingConfig", map! { "Mode" => source.value("Tracing") });
    }
    for name in properties::HANDED_ON {
        function.set(name, source.value(name));
    }
    if let Some(queue) = source.map("DeadLetterQueue").filter(|queue| !queue.is_empty()) {
        function.set("DeadLetterConfig", map! { "TargetArn" => queue.get("TargetArn") });
    }
    for name in ["CapacityProviderConfig", "FunctionScalingConfig"] {
        if source.truthy(name) {
            function.set(name, source.value(name));
        }
    }
    if let Some(config) = source.map("CapacityProviderConfig").filter(|config| !config.is_empty()) {
        function.set("CapacityProviderConfig", capacity_provider(config));
    }
    code::check_package(source, &function)?;
    Ok(function)
}

/// SAM's flat configuration as Lambda's nested one.
fn capacity_provider(config: &Map) -> Map {
    let mut lambda = Map::new();
    for (from, to) in [
        ("Arn", "CapacityProviderArn"),
        ("PerExecutionEnvironmentMaxConcurrency", "PerExecutionEnvironmentMaxConcurrency"),
        ("ExecutionEnvironmentMemoryGiBPerVCpu", "ExecutionEnvironmentMemoryGiBPerVCpu"),
    ] {
        lambda.insert_some(to, config.get(from));
    }
    map! { "LambdaManagedInstancesCapacityProviderConfig" => lambda }
}
