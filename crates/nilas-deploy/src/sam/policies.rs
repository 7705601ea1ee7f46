//! Policies of functions and state machines: of AWS's by name, statements, and SAM's policy templates.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::core::intrinsic::{if_items, is_if, is_intrinsic, is_no_value};
use super::core::problem::{Problem, Result, listed};
use super::core::resolver::Parameters;
use super::core::value::{Map, Val, list, map};

/// SAM's policy templates by name.
static TEMPLATES: LazyLock<HashMap<String, Template>> = LazyLock::new(|| {
    let json: HashMap<String, Value> =
        serde_json::from_str(include_str!("data/policy_templates.json"))
            .expect("the policy templates are JSON");
    json.into_iter().map(|(name, template)| (name, Template::from_json(&template))).collect()
});

/// The path in their ARN of AWS's managed policies, by name.
static MANAGED: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let paths: HashMap<String, Vec<String>> =
        serde_json::from_str(include_str!("data/managed_policies.json"))
            .expect("the managed policies are JSON");
    let named = paths.into_iter().flat_map(|(path, names)| {
        names.into_iter().map(move |name| (name.clone(), format!("{path}{name}")))
    });
    named.collect()
});

/// So that a parameter of a policy template is not taken for one of the document.
const PARAMETER_PREFIX: &str = "___SAM_POLICY_PARAMETER_";

#[derive(Debug)]
struct Template {
    parameters: Vec<String>,
    definition: Val,
}

impl Template {
    fn from_json(json: &Value) -> Self {
        let names = json["Parameters"].as_array().into_iter().flatten();
        let parameters = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Self { parameters, definition: prefix_parameters(&Val::from_json(&json["Definition"])) }
    }
}

fn prefix_parameters(value: &Val) -> Val {
    match value {
        Val::Map(map) => {
            let mut copy = Map::new();
            for (key, value) in map.iter() {
                match value {
                    Val::Text(name) if key.as_str() == "Ref" => {
                        copy.insert(key, format!("{PARAMETER_PREFIX}{name}"));
                    }
                    value => copy.insert(key, prefix_parameters(value)),
                }
            }
            copy.into()
        }
        Val::List(list) => Val::List(list.iter().map(prefix_parameters).collect()),
        other => other.clone(),
    }
}

/// What an entry of `Policies` is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Managed,
    Statement,
    Template,
    Unknown,
}

/// The entries of `Policies` with what each is. Templates are known only while they are being replaced.
pub(super) fn classify(policies: Option<&Val>, templates: bool) -> Result<Vec<(Val, Kind)>> {
    let Some(policies) = policies.filter(|policies| policies.truthy()) else {
        return Ok(Vec::new());
    };
    let entries = match policies {
        Val::List(entries) => entries.as_slice(),
        one => std::slice::from_ref(one),
    };
    entries.iter().map(|entry| Ok((entry.clone(), kind(entry, templates)?))).collect()
}

fn kind(policy: &Val, templates: bool) -> Result<Kind> {
    if policy.as_str().is_some() {
        return Ok(Kind::Managed);
    }
    if is_if(policy) {
        return kind_of_if(policy, templates);
    }
    if is_intrinsic(policy) {
        return Ok(Kind::Managed);
    }
    let Some(map) = policy.as_map() else { return Ok(Kind::Unknown) };
    if map.has("Statement") {
        return Ok(Kind::Statement);
    }
    let named = map.only().is_some_and(|(name, _)| TEMPLATES.contains_key(name.as_str()));
    Ok(if templates && named { Kind::Template } else { Kind::Unknown })
}

fn kind_of_if(policy: &Val, templates: bool) -> Result<Kind> {
    let (_, yes, no) = if_items(policy).map_err(|message| Problem::Template(message.to_owned()))?;
    let (kind_yes, kind_no) = (kind(yes, templates)?, kind(no, templates)?);
    if kind_yes == kind_no {
        return Ok(kind_yes);
    }
    if is_no_value(yes) {
        return Ok(kind_no);
    }
    if is_no_value(no) {
        return Ok(kind_yes);
    }
    Err(Problem::Template(
        "Different policy types within the same Fn::If statement is unsupported. Separate different policy types \
         into different Fn::If statements"
            .to_owned(),
    ))
}

/// Replaces the policy templates among a resource's `Policies` by the statements they stand for.
pub(super) fn replace_templates(id: &str, properties: &mut Map) -> Result<()> {
    let policies = classify(properties.get("Policies"), true)?;
    if policies.is_empty() {
        return Ok(());
    }
    let mut replaced = Vec::with_capacity(policies.len());
    for (policy, kind) in policies {
        replaced.push(if kind == Kind::Template { statement_or_if(id, &policy)? } else { policy });
    }
    properties.insert("Policies", replaced);
    Ok(())
}

fn statement_or_if(id: &str, policy: &Val) -> Result<Val> {
    if !is_if(policy) {
        return statement(id, policy);
    }
    let (condition, yes, no) =
        if_items(policy).map_err(|message| Problem::Template(message.to_owned()))?;
    let branch = |value: &Val| {
        if is_no_value(value) { Ok(value.clone()) } else { statement(id, value) }
    };
    Ok(map! { "Fn::If" => list![condition, branch(yes)?, branch(no)?] }.into())
}

fn statement(id: &str, policy: &Val) -> Result<Val> {
    let found = policy.as_map().and_then(Map::only);
    let Some((name, template, values)) =
        found.and_then(|(name, values)| Some((name, TEMPLATES.get(name.as_str())?, values)))
    else {
        return Err(Problem::resource(id, "Policies must name a policy template."));
    };
    let Some(values) = values.as_map() else {
        let message = format!("Must specify valid parameter values for policy template '{name}'");
        return Err(Problem::resource(id, message));
    };
    let missing: Vec<&str> =
        template.parameters.iter().map(String::as_str).filter(|name| !values.has(name)).collect();
    if !missing.is_empty() {
        let message = format!(
            "Following required parameters of template '{name}' don't have values: {}",
            listed(&missing)
        );
        return Err(Problem::resource(id, message));
    }
    let mut parameters = Map::new();
    for (name, value) in
        values.iter().filter(|(name, _)| template.parameters.iter().any(|p| p == name.as_str()))
    {
        parameters.insert(format!("{PARAMETER_PREFIX}{name}"), value.clone());
    }
    Parameters(parameters).resolve_references(template.definition.clone())
}

/// The ARN of a policy named in `Policies`, or what was given where it names none of AWS's.
pub(super) fn managed_policy_arn(partition: &str, name: &str) -> String {
    match MANAGED.get(name) {
        Some(path) => format!("arn:{partition}:iam::aws:policy/{path}"),
        None => name.to_owned(),
    }
}
