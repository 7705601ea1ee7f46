//! `AWS::Serverless::StateMachine`: a state machine, its role, version and alias.

use super::code;
use super::context::Context;
use super::core::intrinsic::{get_att, is_intrinsic, join};
use super::core::print;
use super::core::problem::Result;
use super::core::property::{Kind, Property, literal, optional, passed};
use super::core::resource::{Resource, Source, tag_list};
use super::core::value::{Map, Text, Val, map};
use super::events::{self, Event, Target};
use super::policies;
use super::role::{self, Role};

pub(super) const KIND: &str = "AWS::Serverless::StateMachine";

const PROPERTIES: &[Property] = &[
    optional("Definition", Kind::Map),
    optional("DefinitionUri", Kind::TextOrMap),
    optional("Logging", Kind::Map),
    optional("Role", Kind::Text),
    passed("RolePath"),
    optional("DefinitionSubstitutions", Kind::Map),
    optional("Events", Kind::MapOfMaps),
    optional("Name", Kind::Text),
    optional("Type", Kind::Text),
    optional("Tags", Kind::Map),
    optional("PropagateTags", Kind::Bool),
    optional("Policies", Kind::PolicyList),
    optional("Tracing", Kind::Map),
    optional("PermissionsBoundary", Kind::Text),
    passed("AutoPublishAlias"),
    passed("DeploymentPreference"),
    literal("UseAliasAsEventTarget", Kind::Bool),
];

pub(super) fn expand(cx: &mut Context, id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let mut body = body.clone();
    if let Some(Val::Map(properties)) = body.get_mut("Properties") {
        policies::replace_templates(id, properties)?;
    }
    let source = Source::parse(id, KIND, &[PROPERTIES], &body)?;
    let events = Event::link_all(cx, &source, events::Of::StateMachine)?;
    let kind = "AWS::StepFunctions::StateMachine";
    let mut machine = Resource::new(id, kind, &source.attributes)?.depending_on(&source.depends_on);
    define(&source, &mut machine)?;
    let mut made = Vec::new();
    let given = |name: &str| source.get(name).filter(|value| value.truthy());
    if given("Role").is_some() && given("Policies").is_some() {
        return Err(source.problem(
            "Specify either 'Role' or 'Policies' (but not both at the same time) or neither of them",
        ));
    }
    match given("Role") {
        Some(role) => machine.set("RoleArn", role),
        None => {
            let role = execution_role(cx, &source)?;
            machine.set("RoleArn", role.arn());
            made.push(role);
        }
    }
    for (from, to) in [
        ("Name", "StateMachineName"),
        ("Type", "StateMachineType"),
        ("Logging", "LoggingConfiguration"),
        ("Tracing", "TracingConfiguration"),
    ] {
        machine.set(to, source.value(from));
    }
    machine.set("Tags", tags(&source));
    let published = publish(&source, &machine)?;
    let by_alias = source.truthy("UseAliasAsEventTarget");
    let target = published.last().filter(|_| by_alias).unwrap_or(&machine).clone();
    let target = Target { resource: target, boundary: source.value("PermissionsBoundary") };
    made.extend(published);
    made.extend(Event::expand_all(cx, events, &source, &target, None)?);
    made.insert(0, machine);
    source.propagate_tags(&mut made);
    Ok(made)
}

fn tags(source: &Source) -> Vec<Val> {
    let mut tags = tag_list(&map! { "stateMachine:createdBy" => "SAM" });
    tags.extend(source.map("Tags").map(tag_list).unwrap_or_default());
    tags
}

/// Sets the definition: as text whose variable parts are substitutions, or where it is.
fn define(source: &Source, machine: &mut Resource) -> Result<()> {
    let definition = source.get("Definition").filter(|definition| definition.truthy());
    let uri = source.get("DefinitionUri").filter(|uri| uri.truthy());
    let given = source.get("DefinitionSubstitutions").filter(|given| given.truthy());
    let mut substitutions = given.and_then(Val::as_map).cloned().unwrap_or_default();
    match (definition, uri) {
        (Some(_), Some(_)) => {
            return Err(source
                .problem("Specify either 'Definition' or 'DefinitionUri' property and not both."));
        }
        (Some(definition), None) => {
            let mut definition = definition.deep_copy();
            let mut found = Map::new();
            substitute(&mut definition, &mut found);
            substitutions.update(&found);
            let text = print::json_indented(&definition);
            let lines = text.split('\n').map(Val::from).collect();
            machine.set("DefinitionString", join("\n", lines));
        }
        (None, Some(uri)) => {
            machine.set("DefinitionS3Location", code::definition_location(uri, &source.id)?);
        }
        (None, None) => {
            return Err(source
                .problem("Either 'Definition' or 'DefinitionUri' property must be specified."));
        }
    }
    if !substitutions.is_empty() {
        machine.set("DefinitionSubstitutions", substitutions);
    }
    Ok(())
}

/// Replaces intrinsic functions and dynamic references by names of substitutions, in the order of keys.
fn substitute(value: &mut Val, found: &mut Map) {
    let mut visit = |value: &mut Val| {
        if is_intrinsic(value) || is_dynamic_reference(value) {
            let name = format!("definition_substitution_{}", found.len() + 1);
            let reference = format!("${{{name}}}");
            found.insert(name, std::mem::replace(value, reference.into()));
        } else {
            substitute(value, found);
        }
    };
    match value {
        Val::Map(map) => {
            let mut keys = map.keys();
            keys.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            for key in keys {
                if let Some(value) = map.get_mut(&key) {
                    visit(value);
                }
            }
        }
        Val::List(list) => list.iter_mut().for_each(visit),
        _ => {}
    }
}

fn is_dynamic_reference(value: &Val) -> bool {
    let Some(inner) =
        value.as_str().and_then(|text| text.strip_prefix("{{resolve:")?.strip_suffix("}}"))
    else {
        return false;
    };
    inner.split_once(':').is_some_and(|(service, rest)| {
        !service.is_empty()
            && service.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && !rest.is_empty()
    })
}

fn execution_role(cx: &Context, source: &Source) -> Result<Resource> {
    let mut policies = match source.get("Policies").filter(|policies| policies.truthy()) {
        Some(Val::List(policies)) => policies.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    if source.map("Tracing").and_then(|tracing| tracing.get("Enabled")) == Some(&Val::Bool(true)) {
        policies.push(cx.xray_policy_name().into());
    }
    let policies = Val::List(policies);
    let role = Role {
        of: &source.id,
        attributes: source.passed_on(),
        trust: role::trust("states.amazonaws.com"),
        policies: Some(&policies),
        managed: Vec::new(),
        documents: Vec::new(),
        path: source.value("RolePath"),
        boundary: source.value("PermissionsBoundary"),
        tags: tags(source),
    };
    role.build(cx, source.id.plus("Role"))
}

/// The version and the alias, where there is to be one.
fn publish(source: &Source, machine: &Resource) -> Result<Vec<Resource>> {
    let Some(name) = source.get("AutoPublishAlias").filter(|name| name.truthy()) else {
        let needy = ["UseAliasAsEventTarget", "DeploymentPreference"];
        return match needy.iter().find(|needy| source.truthy(needy)) {
            None => Ok(Vec::new()),
            Some(needy) => Err(source.problem(format!(
                "'{needy}' requires 'AutoPublishAlias' property to be specified."
            ))),
        };
    };
    let mut attributes = source.passed_on();
    for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
        attributes.or_insert(policy, || "Retain".into());
    }
    let kind = "AWS::StepFunctions::StateMachineVersion";
    let mut version = Resource::new(format!("{}Version", source.id), kind, &attributes)?;
    version.set("StateMachineArn", machine.arn());
    version.set("StateMachineRevisionId", get_att(&machine.id, "StateMachineRevisionId"));
    let id = format!("{}Alias{}", source.id, print::text(name));
    let kind = "AWS::StepFunctions::StateMachineAlias";
    let mut alias = Resource::new(id, kind, &source.passed_on())?;
    alias.set("Name", name);
    let mut preference = match source.map("DeploymentPreference").filter(|given| !given.is_empty())
    {
        Some(given) => given.clone(),
        None => map! { "Type" => "ALL_AT_ONCE" },
    };
    preference.insert("StateMachineVersionArn", version.arn());
    alias.set("DeploymentPreference", preference);
    Ok(vec![version, alias])
}
