//! `AWS::ApiGateway::UsagePlan`

use serde_json::{Value, json};

use super::{
    body, delete, get, lowered, member, operation, operations, ours, patch, post, retag, tags,
};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

const THROTTLE: &[Property] =
    &[Property::integer("BurstLimit"), Property::new("RateLimit", Shape::Number)];
const STAGE: Shape = Shape::Object(&[
    Property::text("ApiId"),
    Property::text("Stage"),
    Property::map("Throttle", &Shape::Object(THROTTLE)),
]);

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ApiGateway::UsagePlan",
    properties: &[
        Property::list("ApiStages", &STAGE),
        Property::text("Description"),
        Property::object(
            "Quota",
            &[Property::integer("Limit"), Property::integer("Offset"), Property::text("Period")],
        ),
        Property::object("Throttle", THROTTLE),
        Property::text("UsagePlanName"),
        Property::tags(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(remove(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let mut body = body(properties, &["Description"]);
    body.insert("name".to_owned(), cx.name_or(properties, "UsagePlanName", 128).into());
    body.insert("tags".to_owned(), tags(cx, properties));
    for name in ["Quota", "Throttle"] {
        let given = properties.get(name).map(lowered);
        body.extend(given.map(|given| (super::lower(name), given)));
    }
    let stages: Vec<Value> = properties.list("ApiStages").iter().map(stage).collect();
    body.insert("apiStages".to_owned(), stages.into());
    let made = match ours(cx, "/usageplans").await? {
        Some(made) => made,
        None => post(cx, "/usageplans", body).await?,
    };
    let id = member(&made, "id")?;
    Ok(Resource::new(&id).with("Id", id.as_str()))
}

fn stage(given: &Value) -> Value {
    let mut stage = lowered(given);
    let throttles = given["Throttle"].as_object().into_iter().flatten();
    let throttles: serde_json::Map<String, Value> =
        throttles.map(|(method, limits)| (method.clone(), lowered(limits))).collect();
    if !throttles.is_empty() {
        stage["throttle"] = throttles.into();
    }
    stage
}

/// `API:STAGE` of a stage, in the template's names or in the API's.
fn name_of(stage: &Value) -> String {
    let part = |names: [&str; 2]| {
        names.iter().find_map(|name| stage[*name].as_str()).unwrap_or_default().to_owned()
    };
    format!("{}:{}", part(["ApiId", "apiId"]), part(["Stage", "stage"]))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let id = &change.resource.physical_id;
    let target = format!("/usageplans/{id}");
    let mut changed = operations(change, &["Description", "Quota", "Throttle"]);
    if change.new.differs(change.old, "UsagePlanName")
        && let Some(name) = change.new.get("UsagePlanName")
    {
        changed.push(operation("/name", Some(name)));
    }
    if change.new.differs(change.old, "ApiStages") {
        let known = get(cx, &target).await?;
        for stage in known["apiStages"].as_array().into_iter().flatten() {
            changed.push(json!({ "op": "remove", "path": "/apiStages", "value": name_of(stage) }));
        }
        for stage in change.new.list("ApiStages") {
            let name = name_of(stage);
            changed.push(json!({ "op": "add", "path": "/apiStages", "value": name }));
            for (method, limits) in stage["Throttle"].as_object().into_iter().flatten() {
                let (resource, verb) = method.rsplit_once('/').unwrap_or(("", method));
                let place =
                    format!("/apiStages/{name}/throttle/{}/{verb}", resource.replace('/', "~1"));
                for (limit, value) in limits.as_object().into_iter().flatten() {
                    changed
                        .push(operation(&format!("{place}/{}", super::lower(limit)), Some(value)));
                }
            }
        }
    }
    patch(cx, &target, changed).await?;
    retag(cx, &format!("usageplans/{id}"), change.new).await?;
    Ok(change.resource.clone())
}

/// Stages stand in the way of a deletion by the API, not of one by CloudFormation.
async fn remove(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let target = format!("/usageplans/{}", resource.physical_id);
    let known = get(cx, &target).await?;
    let stages = known["apiStages"].as_array().into_iter().flatten();
    let gone = stages
        .map(|stage| json!({ "op": "remove", "path": "/apiStages", "value": name_of(stage) }))
        .collect();
    patch(cx, &target, gone).await?;
    delete(cx, &target).await
}
