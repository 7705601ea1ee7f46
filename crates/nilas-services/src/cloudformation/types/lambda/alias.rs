//! `AWS::Lambda::Alias`

use http::Method;
use nilas_wire::percent;
use serde_json::{Map, Value, json};

use super::{PROVISIONED, call, function_path, object, provision, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::Alias",
    properties: &[
        Property::text("Description"),
        Property::text("FunctionName").required().replaces(),
        Property::text("FunctionVersion").required(),
        Property::text("Name").required().replaces(),
        Property::object("ProvisionedConcurrencyConfig", PROVISIONED),
        Property::object(
            "RoutingConfig",
            &[Property::list("AdditionalVersionWeights", &Shape::Object(WEIGHT))],
        ),
    ],
    attributes: &["AliasArn"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

const WEIGHT: &[Property] = &[
    Property::text("FunctionVersion").required(),
    Property::new("FunctionWeight", Shape::Number).required(),
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let function = properties.required("FunctionName")?;
    let name = properties.required("Name")?;
    let mut body = members(properties);
    body.insert("Name".to_owned(), name.into());
    let path = function_path(function, "/aliases");
    let created = call(cx, Method::POST, &path, object(body.clone())).await;
    let alias = match created.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.is_already_exists() => {
            call(cx, Method::PUT, &alias_path(properties)?, object(body)).await?
        }
        created => created?,
    };
    let arn = text(&alias, "AliasArn")?;
    let made = Resource::new(&arn).with("AliasArn", arn);
    if properties.get("ProvisionedConcurrencyConfig").is_some() {
        let provisioned = provision(cx, function, name, properties).await;
        provisioned.map_err(|failure| failure.after(made.clone()))?;
    }
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    call(cx, Method::PUT, &alias_path(new)?, object(members(new))).await?;
    if new.differs(old, "ProvisionedConcurrencyConfig") {
        provision(cx, new.required("FunctionName")?, new.required("Name")?, new).await?;
    }
    Ok(resource.clone())
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    call(cx, Method::DELETE, &alias_path(properties)?, None).await?;
    Ok(())
}

fn alias_path(properties: &Properties) -> Result<String, Failure> {
    let name = percent::encode(properties.required("Name")?);
    Ok(function_path(properties.required("FunctionName")?, &format!("/aliases/{name}")))
}

/// What creating and updating send; what the template leaves out is as if it had never been there.
fn members(properties: &Properties) -> Map<String, Value> {
    let mut members = properties.pick(&["FunctionVersion"]);
    let description = properties.text("Description").unwrap_or_default();
    members.insert("Description".to_owned(), description.into());
    let routing = properties.object("RoutingConfig");
    let weights = routing.and_then(|routing| routing.get("AdditionalVersionWeights"));
    let weights = weights.and_then(Value::as_array).into_iter().flatten();
    let weights: Map<String, Value> = weights
        .filter_map(|weight| {
            let version = weight.get("FunctionVersion")?.as_str()?;
            Some((version.to_owned(), weight.get("FunctionWeight")?.clone()))
        })
        .collect();
    members.insert("RoutingConfig".to_owned(), json!({ "AdditionalVersionWeights": weights }));
    members
}
