//! `AWS::Serverless::Function`: a function, its role, and what its events, alias and URL need.

mod code;
mod configuration;
mod invoke_config;
mod properties;
mod url;
mod version;

use super::context::Context;
use super::core::intrinsic::{conditional_else, if_items, is_if, is_no_value, not};
use super::core::problem::Result;
use super::core::resource::{Resource, Source, tag_list};
use super::core::value::{Map, Text, Val, map};
use super::events::{self, Event, Target};
use super::policies;
use super::role::{self, Role};

pub(super) const KIND: &str = "AWS::Serverless::Function";
/// Properties that name a resource made of the function, for `MyFunction.Version` and the like.
pub(super) const REFERABLE: &[(&str, &str)] = &[
    ("Alias", "AWS::Lambda::Alias"),
    ("Version", "AWS::Lambda::Version"),
    ("DestinationTopic", "AWS::SNS::Topic"),
    ("DestinationQueue", "AWS::SQS::Queue"),
];
/// Tags that SAM gives and nobody else may.
const RESERVED_TAGS: &[&str] =
    &["lambda:createdBy", "serverlessrepo:applicationId", "serverlessrepo:semanticVersion"];

pub(super) fn expand(cx: &mut Context, id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let mut body = body.clone();
    if let Some(Val::Map(properties)) = body.get_mut("Properties") {
        policies::replace_templates(id, properties)?;
    }
    let mut source = Source::parse(id, KIND, &[properties::FUNCTION], &body)?;
    let events = Event::link_all(cx, &source, events::Of::Function)?;
    configuration::check(&source)?;

    let mut function = configuration::function(cx, &mut source)?;
    if source.truthy("ProvisionedConcurrencyConfig") && !source.truthy("AutoPublishAlias") {
        return Err(source.problem(
            "To set ProvisionedConcurrencyConfig AutoPublishALias must be defined on the function",
        ));
    }
    let mut made = Vec::new();
    let mut alias = None;
    if source.truthy("AutoPublishAlias") {
        let (version, published) = version::publish(cx, &mut source, &mut function)?;
        made.push(version);
        alias = Some(published);
    }
    made.extend(url::expand(&source, &function, alias.as_ref())?);
    add_deployment(cx, &mut source, alias.as_mut())?;
    let (invoke_config, documents) = invoke_config::expand(cx, &mut source, alias.as_ref())?;
    made.extend(invoke_config);
    made.extend(alias.clone());

    let mut role = execution_role(cx, &mut source, documents)?;
    let keep_role = settle_role(cx, &source, &mut function, &mut role)?;
    let target =
        Target { resource: alias.unwrap_or_else(|| function.clone()), boundary: Val::Null };
    let expanded = Event::expand_all(cx, events, &source, &target, Some(&mut role));
    made.extend(expanded.map_err(|problem| problem.of_resource(&source.id))?);
    made.insert(0, function);
    if keep_role {
        made.push(role);
    }
    source.propagate_tags(&mut made);
    Ok(made)
}

/// The tags of what is made of a function: SAM's own first.
fn tags(source: &Source) -> Result<Vec<Val>> {
    let given = source.map("Tags").cloned().unwrap_or_default();
    if let Some(tag) = RESERVED_TAGS.iter().find(|tag| given.has(tag)) {
        return Err(source.problem(format!(
            "{tag} is a reserved Tag key name and cannot be set on your resource. Please change the tag key in the input."
        )));
    }
    let mut tags = tag_list(&map! { "lambda:createdBy" => "SAM" });
    tags.extend(tag_list(&given));
    Ok(tags)
}

/// Whether traces are on, which a parameter may say.
fn traces(cx: &Context, source: &mut Source) -> Result<bool> {
    let Some(tracing) = source.properties.get_mut("Tracing") else { return Ok(false) };
    let resolved = cx.parameters.resolve_shared(tracing)?;
    Ok(tracing.truthy() && !resolved.is_text("Disabled"))
}

fn execution_role(cx: &Context, source: &mut Source, documents: Vec<Val>) -> Result<Resource> {
    let basic = if source.truthy("DurableConfig") {
        "service-role/AWSLambdaBasicDurableExecutionRolePolicy"
    } else {
        "service-role/AWSLambdaBasicExecutionRole"
    };
    let mut managed = vec![Val::from(cx.managed_policy(basic))];
    if traces(cx, source)? {
        managed.push(cx.managed_policy(cx.xray_policy_name()).into());
    }
    if source.truthy("VpcConfig") {
        managed.push(cx.managed_policy("service-role/AWSLambdaVPCAccessExecutionRole").into());
    }
    let mut all = Vec::new();
    if let Some(queue) = source.map("DeadLetterQueue").filter(|queue| !queue.is_empty()) {
        let action =
            if queue.text("Type") == Some("SNS") { "sns:Publish" } else { "sqs:SendMessage" };
        all.push(role::dead_letter_policy(action, queue.get("TargetArn").into()));
    }
    all.extend(documents);
    let role = Role {
        of: &source.id,
        attributes: source.passed_on(),
        trust: match source.get("AssumeRolePolicyDocument") {
            Some(document) => document.clone(),
            None => role::trust("lambda.amazonaws.com"),
        },
        policies: source.get("Policies"),
        managed,
        documents: all,
        path: source.value("RolePath"),
        boundary: source.value("PermissionsBoundary"),
        tags: tags(source)?,
    };
    role.build(cx, source.id.plus("Role"))
}

/// Points the function at its role; says whether the role made for it is wanted.
fn settle_role(
    cx: &mut Context,
    source: &Source,
    function: &mut Resource,
    role: &mut Resource,
) -> Result<bool> {
    let Some(given) = function.get("Role").cloned() else {
        function.set("Role", role.arn());
        return Ok(true);
    };
    if !is_if(&given) {
        return Ok(false);
    }
    let given = cx.parameters.resolve(given)?;
    function.set("Role", given.clone());
    let (condition, yes, no) = if_items(&given)
        .map_err(|message| source.problem(format!("Malformed 'Role' property: {message}.")))?;
    let arn = role.arn();
    let chosen = match (is_no_value(yes), is_no_value(no)) {
        (true, true) => arn,
        (true, false) => {
            role.attributes.insert("Condition", condition.clone());
            conditional_else(condition, arn, no)
        }
        (false, true) => {
            let inverse = format!("NOT{}", condition.as_str().unwrap_or_default());
            role.attributes.insert("Condition", inverse.as_str());
            cx.conditions.insert(inverse, not(condition));
            conditional_else(condition, yes, arn)
        }
        (false, false) => return Ok(false),
    };
    function.set("Role", chosen);
    Ok(true)
}

/// Reads `DeploymentPreference` and lets the alias shift traffic as it says.
fn add_deployment(
    cx: &mut Context,
    source: &mut Source,
    alias: Option<&mut Resource>,
) -> Result<()> {
    if !source.truthy("DeploymentPreference") {
        return Ok(());
    }
    let mut preference = source.map("DeploymentPreference").cloned().unwrap_or_default();
    for name in ["Enabled", "Type"] {
        if let Some(value) = preference.get_mut(name) {
            let resolved = cx.parameters.resolve_shared(value)?;
            *value = cx.mappings.resolve(resolved)?;
        }
    }
    let conditional = match preference.get_mut("PassthroughCondition") {
        None => false,
        Some(value) => {
            let resolved = cx.parameters.resolve_shared(value)?;
            boolean(source, "PassthroughCondition", &cx.mappings.resolve(resolved)?)?
        }
    };
    preference.insert("PassthroughCondition", conditional);
    let enabled = cx.deployments.add(source, &preference)?;
    if !enabled {
        return Ok(());
    }
    let Some(alias) = alias else {
        return Err(source.problem(
            "'DeploymentPreference' requires AutoPublishAlias property to be specified.",
        ));
    };
    alias.attributes.insert("UpdatePolicy", cx.deployments.update_policy(&source.id));
    Ok(())
}

fn boolean(source: &Source, name: &str, value: &Val) -> Result<bool> {
    match value {
        Val::Bool(value) => Ok(*value),
        value if value.is_text("true") || value.is_text("True") => Ok(true),
        value if value.is_text("false") || value.is_text("False") => Ok(false),
        value if super::core::intrinsic::is_intrinsic(value) => Err(source.problem(format!(
            "Unsupported intrinsic: the only intrinsic functions supported for property {name} are FindInMap and \
             parameter Refs."
        ))),
        _ => Err(source.problem(format!("Invalid value for property {name}."))),
    }
}
