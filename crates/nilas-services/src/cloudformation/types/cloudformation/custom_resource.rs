//! `AWS::CloudFormation::CustomResource` and `Custom::*`: what a function makes, changes and deletes.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use nilas_engine::EngineConfig;
use nilas_wire::{Service, percent};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cloudformation::callbacks::Awaited;
use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

const TIMEOUT_S_DEFAULT: i64 = 3_600;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::CloudFormation::CustomResource",
    properties: &[
        Property::text("ServiceToken").required(),
        Property::integer("ServiceTimeout"),
        // Whatever the function wants to know.
        Property::json("*"),
    ],
    attributes: &["*"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, properties| Box::pin(delete(cx, resource, properties)),
};

/// What a function answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    status: String,
    reason: Option<String>,
    physical_resource_id: Option<String>,
    data: Option<Map<String, Value>>,
}

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let answer = ask(cx, "Create", properties, Map::new()).await;
    // Even of one that failed, the function may have made something.
    let placeholder = || Resource::new(cx.name(255));
    match answer {
        Ok((answer, _)) => made(answer).ok_or_else(|| {
            let reason = "Invalid PhysicalResourceId";
            Failure::plain(HandlerErrorCode::InvalidRequest, reason).after(placeholder())
        }),
        Err((failure, id)) => Err(failure.after(id.map_or_else(placeholder, Resource::new))),
    }
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let mut members = Map::new();
    let id = change.resource.physical_id.as_str();
    members.insert("PhysicalResourceId".to_owned(), id.into());
    members.insert("OldResourceProperties".to_owned(), told(change.old));
    let (mut answer, _) =
        ask(cx, "Update", change.new, members).await.map_err(|(failure, _)| failure)?;
    answer.physical_resource_id.get_or_insert_with(|| id.to_owned());
    Ok(made(answer).unwrap_or_else(|| change.resource.clone()))
}

async fn delete(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let members = Map::from_iter([(
        "PhysicalResourceId".to_owned(),
        Value::from(resource.physical_id.as_str()),
    )]);
    ask(cx, "Delete", properties, members).await.map(drop).map_err(|(failure, _)| failure)
}

fn made(answer: Answer) -> Option<Resource> {
    let physical_id = answer.physical_resource_id.filter(|id| !id.is_empty())?;
    Some(Resource { physical_id, attributes: answer.data.unwrap_or_default() })
}

/// Sends the function an event and waits for its answer. A failure comes with the physical id it named.
async fn ask(
    cx: &Cx,
    request_type: &str,
    properties: &Properties,
    members: Map<String, Value>,
) -> Result<(Answer, String), (Failure, Option<String>)> {
    let alone = |failure: Failure| (failure, None);
    let service_token = properties.required("ServiceToken").map_err(alone)?;
    if !service_token.starts_with("arn:aws:lambda:") {
        let text = "ServiceToken must be the ARN of a Lambda function: nilas has no other custom resources.";
        return Err(alone(Failure::invalid(text)));
    }
    let mut awaited = cx.callbacks.expect();
    let request_id = Uuid::new_v4().to_string();
    // Where a function in its sandbox reaches this server.
    let base = format!("http://127.0.0.1:{}", EngineConfig::default().host_endpoint_port);
    let mut event = json!({
        "RequestType": request_type,
        "ServiceToken": service_token,
        "ResponseURL": awaited.url(&base),
        "StackId": cx.stack_id,
        "RequestId": request_id,
        "LogicalResourceId": cx.logical_id,
        "ResourceType": cx.kind,
        "ResourceProperties": told(properties),
    });
    if let Some(event) = event.as_object_mut() {
        event.extend(members);
    }
    let seconds = properties.integer("ServiceTimeout").unwrap_or(TIMEOUT_S_DEFAULT);
    let limit = Duration::from_secs(seconds.clamp(1, TIMEOUT_S_DEFAULT).unsigned_abs());
    let answer = tokio::time::timeout(limit, answered(cx, service_token, &event, &mut awaited));
    let answer = answer.await.map_err(|_| {
        let reason = format!(
            "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId [{request_id}]. If you are using the Python cfn-response module, you may need to update your Lambda function code so that CloudFormation can attach the updated version."
        );
        alone(Failure::plain(HandlerErrorCode::NotStabilized, reason))
    })?;
    let answer = answer.map_err(alone)?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| {
        alone(Failure::plain(
            HandlerErrorCode::InvalidRequest,
            "Invalid Response object: Value of Status key must be SUCCESS or FAILED",
        ))
    })?;
    if answer.status == "SUCCESS" {
        return Ok((answer, request_id));
    }
    let reason = format!(
        "Received response status [FAILED] from custom resource. Message returned: {} (RequestId: {request_id})",
        answer.reason.as_deref().unwrap_or_default()
    );
    let failure = Failure::plain(HandlerErrorCode::GeneralServiceException, reason);
    Err((failure, answer.physical_resource_id))
}

/// Invokes the function and waits for what it puts at its URL, which may be long after it has ended.
async fn answered(
    cx: &Cx,
    function: &str,
    event: &Value,
    awaited: &mut Awaited,
) -> Result<Bytes, Failure> {
    let target = format!("/2015-03-31/functions/{}/invocations", percent::encode(function));
    let (calls, auth, body) = (cx.calls.clone(), cx.auth.clone(), Bytes::from(event.to_string()));
    // On its own: the function goes on when it has answered.
    let invoked = tokio::spawn(async move {
        calls.raw(Service::Lambda, &auth, Method::POST, &target, HeaderMap::new(), body).await
    });
    let mut ended = pin!(invoked);
    tokio::select! {
        answer = awaited.answer() => return answer.ok_or_else(stopping),
        ended = &mut ended => {
            let response = ended.map_err(|_| stopping())??;
            if response.headers.contains_key("x-amz-function-error") {
                let error = String::from_utf8_lossy(&response.body);
                let text = format!("The function of the custom resource failed without an answer: {error}");
                return Err(Failure::plain(HandlerErrorCode::GeneralServiceException, text));
            }
        }
    }
    awaited.answer().await.ok_or_else(stopping)
}

fn stopping() -> Failure {
    Failure::plain(HandlerErrorCode::InternalFailure, "The server is stopping.")
}

/// Properties as custom resources get them: every scalar a text.
fn told(properties: &Properties) -> Value {
    fn texts(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(texts).collect(),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.clone(), texts(value)));
                Value::Object(members.collect())
            }
            Value::Bool(_) | Value::Number(_) => value.to_string().into(),
            Value::Null | Value::String(_) => value.clone(),
        }
    }
    texts(&Value::Object(properties.members().clone()))
}
