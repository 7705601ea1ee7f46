//! `AWS::Lambda::Url`

use http::Method;
use nilas_wire::percent;
use serde_json::json;

use super::{call, object, text};
use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::Url",
    properties: &[
        Property::text("AuthType").required(),
        Property::object("Cors", CORS),
        Property::text("InvokeMode"),
        Property::text("Qualifier").replaces(),
        Property::text("TargetFunctionArn").required().replaces(),
    ],
    attributes: &["FunctionArn", "FunctionUrl"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

const CORS: &[Property] = &[
    Property::boolean("AllowCredentials"),
    Property::list("AllowHeaders", &Shape::Text),
    Property::list("AllowMethods", &Shape::Text),
    Property::list("AllowOrigins", &Shape::Text),
    Property::list("ExposeHeaders", &Shape::Text),
    Property::integer("MaxAge"),
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let path = path(properties)?;
    let body = properties.pick(&["AuthType", "Cors", "InvokeMode"]);
    let created = call(cx, Method::POST, &path, object(body)).await;
    let url = match created.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.code == HandlerErrorCode::ResourceConflict => {
            call(cx, Method::GET, &path, None).await?
        }
        created => created?,
    };
    let arn = text(&url, "FunctionArn")?;
    let made = Resource::new(&arn).with("FunctionArn", arn);
    Ok(made.with("FunctionUrl", text(&url, "FunctionUrl")?))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let mut body = new.pick(&["AuthType", "Cors", "InvokeMode"]);
    for (member, default) in [("Cors", json!({})), ("InvokeMode", json!("BUFFERED"))] {
        if old.get(member).is_some() && new.get(member).is_none() {
            body.insert(member.to_owned(), default);
        }
    }
    call(cx, Method::PUT, &path(new)?, object(body)).await?;
    Ok(resource.clone())
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    call(cx, Method::DELETE, &path(properties)?, None).await?;
    Ok(())
}

fn path(properties: &Properties) -> Result<String, Failure> {
    let function = percent::encode(properties.required("TargetFunctionArn")?);
    let qualifier = properties.text("Qualifier").map(percent::encode);
    let query = qualifier.map(|qualifier| format!("?Qualifier={qualifier}")).unwrap_or_default();
    Ok(format!("/2021-10-31/functions/{function}/url{query}"))
}
