//! `Auth.UsagePlan` of a REST API: a plan and a key, of one API or of all.

use crate::sam::context::Context;
use crate::sam::core::intrinsic::{or, reference};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, list, map};

const CONDITION: &str = "SharedUsagePlanCondition";
const PROPERTIES: &[&str] =
    &["CreateUsagePlan", "Description", "Quota", "Tags", "Throttle", "UsagePlanName"];

/// The plan that several APIs share, as far as they were expanded.
#[derive(Debug, Default)]
pub(in crate::sam) struct SharedPlan {
    apis: Vec<Val>,
    api_stages: Vec<Val>,
    stage_keys: Vec<Val>,
    conditions: Vec<Val>,
    unconditional: bool,
    deletion_policy: Val,
    update_replace_policy: Val,
}

pub(super) fn expand(
    cx: &mut Context,
    source: &Source,
    auth: &Map,
    stage: &str,
) -> Result<Vec<Resource>> {
    let Some(plan) = auth.get("UsagePlan") else { return Ok(Vec::new()) };
    let Val::Map(plan) = plan else {
        return Err(source.problem("'UsagePlan' must be a dictionary"));
    };
    if plan.keys().iter().any(|key| !PROPERTIES.contains(&key.as_str())) {
        return Err(source.problem("Invalid property for 'UsagePlan'"));
    }
    let shared = match plan.get("CreateUsagePlan") {
        None => return Err(source.problem("'CreateUsagePlan' is a required field for UsagePlan.")),
        Some(create) if create.is_text("NONE") => return Ok(Vec::new()),
        Some(create) if create.is_text("SHARED") => true,
        Some(create) if create.is_text("PER_API") => false,
        Some(_) => {
            return Err(
                source.problem("'CreateUsagePlan' accepts one of ['SHARED', 'PER_API', 'NONE'].")
            );
        }
    };
    let stage_of = |api: &str, name: &str| {
        Val::from(map! { api => reference(&source.id), name => reference(stage) })
    };
    let (api_stage, stage_key) = (stage_of("ApiId", "Stage"), stage_of("RestApiId", "StageName"));
    let (prefix, attributes, depends_on, api_stages, stage_keys) = if shared {
        let attributes = shared_attributes(cx, source)?;
        let plan = &mut cx.shared_plan;
        add(&mut plan.apis, (&source.id).into());
        add(&mut plan.api_stages, api_stage);
        add(&mut plan.stage_keys, stage_key);
        let lists = (plan.apis.clone(), plan.api_stages.clone(), plan.stage_keys.clone());
        ("Serverless".to_owned(), attributes, lists.0, lists.1, lists.2)
    } else {
        let ids = vec![Val::from(&source.id)];
        (source.id.as_str().to_owned(), source.passed_on(), ids, vec![api_stage], vec![stage_key])
    };
    let kind = "AWS::ApiGateway::UsagePlan";
    let mut made =
        Resource::new(format!("{prefix}UsagePlan"), kind, &attributes)?.depending_on(depends_on);
    made.set("ApiStages", api_stages);
    for name in ["UsagePlanName", "Description", "Quota", "Tags", "Throttle"] {
        made.set(name, plan.get(name).filter(|value| value.truthy()));
    }
    let kind = "AWS::ApiGateway::ApiKey";
    let mut key =
        Resource::new(format!("{prefix}ApiKey"), kind, &attributes)?.depending_on(list![&made.id]);
    key.set("Enabled", true);
    key.set("StageKeys", stage_keys);
    let kind = "AWS::ApiGateway::UsagePlanKey";
    let mut link = Resource::new(format!("{prefix}UsagePlanKey"), kind, &attributes)?
        .depending_on(list![&key.id]);
    link.set("KeyId", reference(&key.id));
    link.set("KeyType", "API_KEY");
    link.set("UsagePlanId", reference(&made.id));
    Ok(vec![made, key, link])
}

fn add(list: &mut Vec<Val>, value: Val) {
    if !list.contains(&value) {
        list.push(value);
    }
}

/// The attributes of what is shared: kept if one API's is, there if one API is.
fn shared_attributes(cx: &mut Context, source: &Source) -> Result<Map> {
    let given = source.passed_on();
    let plan = &mut cx.shared_plan;
    if let Some(policy) = given.get("DeletionPolicy").filter(|policy| policy.truthy())
        && (!plan.deletion_policy.truthy() || policy.is_text("Retain"))
    {
        plan.deletion_policy = policy.clone();
    }
    if let Some(policy) = given.get("UpdateReplacePolicy").filter(|policy| policy.truthy()) {
        let stronger = policy.is_text("Retain")
            || (policy.is_text("Snapshot") && plan.update_replace_policy.is_text("Delete"));
        if !plan.update_replace_policy.truthy() || stronger {
            plan.update_replace_policy = policy.clone();
        }
    }
    set_condition(cx, given.get("Condition"))?;
    let plan = &cx.shared_plan;
    let mut attributes = Map::new();
    attributes.insert_some("DeletionPolicy", &plan.deletion_policy);
    attributes.insert_some("UpdateReplacePolicy", &plan.update_replace_policy);
    if !plan.conditions.is_empty() && !plan.unconditional {
        attributes.insert("Condition", CONDITION);
    }
    Ok(attributes)
}

fn set_condition(cx: &mut Context, condition: Option<&Val>) -> Result<()> {
    let plan = &mut cx.shared_plan;
    if plan.unconditional {
        return Ok(());
    }
    let Some(condition) = condition else {
        plan.unconditional = true;
        cx.conditions.remove(CONDITION);
        return Ok(());
    };
    if !condition.truthy() || plan.conditions.contains(condition) {
        return Ok(());
    }
    if !cx.has_conditions {
        return Err(Problem::Template(
            "Can't have condition without having 'Conditions' section in the template".to_owned(),
        ));
    }
    plan.conditions.push(condition.clone());
    let combined = match plan.conditions.as_slice() {
        [one] => one.clone(),
        all => {
            let mut sorted = all.to_vec();
            sorted.sort_by_key(print::text);
            or(&sorted)
        }
    };
    cx.conditions.insert(CONDITION, combined);
    Ok(())
}
