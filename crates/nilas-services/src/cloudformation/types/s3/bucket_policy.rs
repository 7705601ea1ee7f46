//! `AWS::S3::BucketPolicy`

use bytes::Bytes;
use http::{HeaderMap, Method};
use nilas_wire::Service;
use serde_json::Value;

use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::S3::BucketPolicy",
    properties: &[
        Property::text("Bucket").required().replaces(),
        Property::json("PolicyDocument").required(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let bucket = properties.required("Bucket")?;
    put(cx, bucket, properties).await?;
    Ok(Resource::new(bucket))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    put(cx, &change.resource.physical_id, change.new).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    send(cx, Method::DELETE, &resource.physical_id, Bytes::new()).await
}

async fn put(cx: &Cx, bucket: &str, properties: &Properties) -> Result<(), Failure> {
    let document = match properties.get("PolicyDocument") {
        Some(Value::String(text)) => text.clone(),
        Some(document) => document.to_string(),
        None => return Err(Failure::invalid("#: required key [PolicyDocument] not found")),
    };
    send(cx, Method::PUT, bucket, Bytes::from(document)).await
}

async fn send(cx: &Cx, method: Method, bucket: &str, body: Bytes) -> Result<(), Failure> {
    let target = format!("/{}?policy", nilas_wire::percent::encode(bucket));
    cx.calls.raw(Service::S3, &cx.auth, method, &target, HeaderMap::new(), body).await?;
    Ok(())
}
