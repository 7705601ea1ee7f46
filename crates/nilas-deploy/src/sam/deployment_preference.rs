//! `DeploymentPreference`: the CodeDeploy application, role and groups that shift the traffic of aliases.

use indexmap::IndexMap;

use super::context::Context;
use super::core::intrinsic::{
    any_of, get_att, if_items, is_if, is_intrinsic, is_no_value, reference, sub_with,
};
use super::core::problem::{Problem, Result};
use super::core::resource::{Resource, Source, tag_list};
use super::core::value::{Map, Val, list, map};
use super::role;

const APPLICATION: &str = "ServerlessDeploymentApplication";
const SERVICE_ROLE: &str = "CodeDeployServiceRole";
const CONDITION: &str = "ServerlessCodeDeployCondition";
/// Deployment configurations that CodeDeploy has under a longer name.
const PREDEFINED: &[&str] = &[
    "Canary10Percent5Minutes",
    "Canary10Percent10Minutes",
    "Canary10Percent15Minutes",
    "Canary10Percent30Minutes",
    "Linear10PercentEvery1Minute",
    "Linear10PercentEvery2Minutes",
    "Linear10PercentEvery3Minutes",
    "Linear10PercentEvery10Minutes",
    "AllAtOnce",
];

/// The preferences of all functions, by the functions' logical ids.
#[derive(Debug, Default)]
pub(super) struct Deployments {
    preferences: IndexMap<String, Preference>,
}

#[derive(Debug, Default)]
struct Preference {
    enabled: bool,
    /// The document's settings.
    given: Map,
    condition: Val,
    /// Tags, where they are to be handed on.
    tags: Option<Map>,
}

impl Deployments {
    /// Adds a function's preference; says whether it is on.
    pub(super) fn add(&mut self, source: &Source, given: &Map) -> Result<bool> {
        let enabled = given.entry("Enabled").is_none_or(|enabled| {
            enabled.truthy() && !enabled.is_text("false") && !enabled.is_text("False")
        });
        let mut preference = Preference::default();
        if enabled {
            if !given.has("Type") {
                let message = "'DeploymentPreference' is missing required Property 'Type'";
                return Err(source.problem(message));
            }
            if given.get("Hooks").is_some_and(|hooks| hooks.as_map().is_none()) {
                let message = "'Hooks' property of 'DeploymentPreference' must be a dictionary";
                return Err(source.problem(message));
            }
            let condition = source.attributes.get("Condition");
            let tags = source
                .map("Tags")
                .filter(|tags| !tags.is_empty() && source.truthy("PropagateTags"));
            preference = Preference {
                enabled,
                given: given.clone(),
                condition: condition.filter(|_| given.truthy("PassthroughCondition")).into(),
                tags: tags.cloned(),
            };
        }
        self.preferences.insert(source.id.as_str().to_owned(), preference);
        Ok(enabled)
    }

    /// What the alias of a function says of its update.
    pub(super) fn update_policy(&self, function: &str) -> Val {
        let mut update = map! {
            "ApplicationName" => reference(APPLICATION),
            "DeploymentGroupName" => reference(format!("{function}DeploymentGroup")),
        };
        let hooks =
            self.preferences.get(function).and_then(|preference| preference.given.get("Hooks"));
        for (hook, name) in
            [("PreTraffic", "BeforeAllowTrafficHook"), ("PostTraffic", "AfterAllowTrafficHook")]
        {
            update.insert_some(name, hooks.and_then(|hooks| hooks.get(hook)));
        }
        map! { "CodeDeployLambdaAliasUpdate" => update }.into()
    }

    fn enabled(&self) -> impl Iterator<Item = (&String, &Preference)> {
        self.preferences.iter().filter(|(_, preference)| preference.enabled)
    }

    /// The conditions, where every deployment has one.
    fn conditions(&self) -> Vec<Val> {
        if self.enabled().any(|(_, preference)| preference.condition.is_null()) {
            return Vec::new();
        }
        let mut conditions: Vec<Val> = Vec::new();
        for (_, preference) in self.enabled() {
            if !conditions.contains(&preference.condition) {
                conditions.push(preference.condition.clone());
            }
        }
        conditions
    }

    /// All deployments' tags.
    fn tags(&self) -> Map {
        let mut tags = Map::new();
        for (_, preference) in self.enabled() {
            if let Some(of_one) = &preference.tags {
                tags.update(of_one);
            }
        }
        tags
    }
}

/// What CodeDeploy needs for the functions whose preference is on, and conditions that say when.
pub(super) fn expand(cx: &mut Context) -> Result<Vec<Resource>> {
    let deployments = &cx.deployments;
    if deployments.enabled().next().is_none() {
        return Ok(Vec::new());
    }
    let conditions = deployments.conditions();
    let mut attributes = Map::new();
    match conditions.as_slice() {
        [] => {}
        [one] => attributes.insert("Condition", one),
        _ => {
            attributes.insert("Condition", CONDITION);
            cx.conditions.update(&any_of(conditions, CONDITION));
        }
    }
    let tags = deployments.tags();
    let mut application = Resource::new(APPLICATION, "AWS::CodeDeploy::Application", &attributes)?;
    application.set("ComputePlatform", "Lambda");
    let mut made = vec![application];
    if deployments.enabled().any(|(_, preference)| !preference.given.truthy("Role")) {
        made.push(service_role(cx, &attributes)?);
    }
    if !tags.is_empty() {
        made.iter_mut().for_each(|resource| resource.set("Tags", tag_list(&tags)));
    }
    for (function, preference) in cx.deployments.enabled() {
        made.push(group(function, preference)?);
    }
    Ok(made)
}

fn service_role(cx: &Context, attributes: &Map) -> Result<Resource> {
    let policy = if matches!(cx.partition, "aws-iso" | "aws-iso-b") {
        "service-role/AWSCodeDeployRoleForLambdaLimited"
    } else {
        "service-role/AWSCodeDeployRoleForLambda"
    };
    let mut role = Resource::new(SERVICE_ROLE, "AWS::IAM::Role", attributes)?;
    role.set("AssumeRolePolicyDocument", role::trust("codedeploy.amazonaws.com"));
    role.set("ManagedPolicyArns", list![cx.managed_policy(policy)]);
    Ok(role)
}

fn group(function: &str, preference: &Preference) -> Result<Resource> {
    let given = &preference.given;
    let mut attributes = Map::new();
    attributes.insert_some("Condition", preference.condition.clone());
    let kind = "AWS::CodeDeploy::DeploymentGroup";
    let mut group = Resource::new(format!("{function}DeploymentGroup"), kind, &attributes)?;
    let alarms = alarms(given.get("Alarms")).map_err(|m| Problem::resource(function, m))?;
    group.set("AlarmConfiguration", alarms);
    group.set("ApplicationName", reference(APPLICATION));
    group.set("AutoRollbackConfiguration", map! {
        "Enabled" => true,
        "Events" => list!["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
    });
    group.set("DeploymentConfigName", configuration_name(given.get("Type").into(), false));
    group.set(
        "DeploymentStyle",
        map! {
            "DeploymentType" => "BLUE_GREEN",
            "DeploymentOption" => "WITH_TRAFFIC_CONTROL",
        },
    );
    let role = given.get("Role").filter(|role| role.truthy()).cloned();
    group.set("ServiceRoleArn", role.unwrap_or_else(|| get_att(SERVICE_ROLE, "Arn")));
    group.set(
        "TriggerConfigurations",
        given.get("TriggerConfigurations").filter(|triggers| triggers.truthy()),
    );
    if let Some(tags) = &preference.tags {
        group.set("Tags", tag_list(tags));
    }
    Ok(group)
}

fn alarms(alarms: Option<&Val>) -> Result<Val, &'static str> {
    let Some(alarms) = alarms.filter(|alarms| alarms.truthy() && !is_no_value(alarms)) else {
        return Ok(Val::Null);
    };
    if !is_if(alarms) {
        return alarm_configuration(alarms);
    }
    let (condition, yes, no) = if_items(alarms)?;
    let branches = list![condition, alarm_configuration(yes)?, alarm_configuration(no)?];
    Ok(map! { "Fn::If" => branches }.into())
}

fn alarm_configuration(alarms: &Val) -> Result<Val, &'static str> {
    let alarms = alarms.as_list().ok_or("Alarms must be a list")?;
    if alarms.first().is_none_or(is_no_value) {
        return Ok(Map::new().into());
    }
    let names: Vec<Val> = alarms.iter().map(|alarm| map! { "Name" => alarm }.into()).collect();
    Ok(map! { "Enabled" => true, "Alarms" => names }.into())
}

/// Replaces SAM's names of deployment configurations by CodeDeploy's, wherever in an intrinsic function they are.
fn configuration_name(value: Val, in_sub: bool) -> Val {
    match value {
        Val::List(list) => {
            Val::List(list.into_iter().map(|value| configuration_name(value, false)).collect())
        }
        Val::Map(map) if is_intrinsic(&Val::Map(map.clone())) => {
            let mut replaced = Map::new();
            for (key, value) in map.iter() {
                let in_sub = key.as_str() == "Fn::Sub";
                replaced.insert(key, configuration_name(value.clone(), in_sub));
            }
            replaced.into()
        }
        Val::Text(name) if PREDEFINED.contains(&name.as_str()) => {
            let text = "CodeDeployDefault.Lambda${ConfigName}";
            let variables = map! { "ConfigName" => name };
            if in_sub { list![text, variables] } else { sub_with(text, variables) }
        }
        other => other,
    }
}
