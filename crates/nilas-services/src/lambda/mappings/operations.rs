//! Create-, Get-, List-, Update- and DeleteEventSourceMapping.

use std::sync::Arc;

use http::StatusCode;
use nilas_model::limits::MAPPINGS_MAX;
use nilas_model::{AuthContext, FunctionRef};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::Serialize;

use super::MappingOperation;
use super::configuration::Configuration;
use super::input::Input;
use super::record::{Initiator, MappingId, MappingRecord, Settings, State};
use crate::lambda::error::LambdaError;
use crate::lambda::lifecycle::new_revision_id;
use crate::lambda::list::Page;
use crate::lambda::target::{self, Target};
use crate::lambda::validation::Violations;
use crate::lambda::{Lambda, body, patterns};
use crate::sqs::PolledQueue;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    event_source_mappings: Vec<Configuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(in crate::lambda) async fn run(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: MappingOperation<'_>,
) -> Result<ApiResponse, LambdaError> {
    match operation {
        MappingOperation::CreateEventSourceMapping => create(lambda, auth, request).await,
        MappingOperation::ListEventSourceMappings => list(lambda, auth, request),
        MappingOperation::GetEventSourceMapping { uuid } => {
            let id = id_of(auth, &uuid)?;
            let record = lambda.mappings.store.get(&id).ok_or_else(absent)?;
            body::answer(StatusCode::OK, &Configuration::new(&id, &record))
        }
        MappingOperation::UpdateEventSourceMapping { uuid } => {
            update(lambda, auth, request, &uuid).await
        }
        MappingOperation::DeleteEventSourceMapping { uuid } => delete(lambda, auth, &uuid).await,
    }
}

async fn create(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    input.check(true)?;
    let source_arn = source_of(&input)?;
    let writer = lambda.mappings.store.write().await;
    let target = function_of(lambda, auth, "CreateEventSourceMapping", &input)?;
    let target = target.ok_or_else(|| LambdaError::invalid("Function does not exist"))?;
    let function_arn = target.arn().to_string();
    let ours = lambda.mappings.store.of(&auth.account, &auth.region);
    let same = |(_, known): &&(MappingId, Arc<MappingRecord>)| {
        known.source_arn == source_arn && known.function_arn == function_arn
    };
    if let Some((id, _)) = ours.iter().find(same) {
        return Err(LambdaError::Conflict(format!(
            "The event source arn (\" {source_arn} \") and function (\" {} \") provided mapping already exists. Please \
             update or delete the existing mapping with UUID {}",
            target.id.name.as_str(),
            id.uuid
        )));
    }
    if ours.len() >= MAPPINGS_MAX {
        return Err(LambdaError::invalid(format!(
            "You have reached the maximum number of event source mappings ({MAPPINGS_MAX})."
        )));
    }
    let settings = input.apply(Settings::default(), source_arn.ends_with(".fifo"))?;
    check_queue(lambda, auth, &target, source_arn)?;
    let id = MappingId {
        account: auth.account.clone(),
        region: auth.region.clone(),
        uuid: new_revision_id(),
    };
    let record = MappingRecord {
        function_arn,
        source_arn: source_arn.to_owned(),
        enabled: input.enabled.unwrap_or(true),
        state: State::Creating,
        initiator: Initiator::User,
        problem: None,
        modified_ms: lambda.now_ms(),
        settings,
        tags: input.tags.unwrap_or_default(),
    };
    let record = writer.save(&id, record).await?;
    // An error says that the server stops; the mapping is on disk.
    drop(lambda.mappings.kept.send(id.clone()));
    body::answer(StatusCode::ACCEPTED, &Configuration::new(&id, &record))
}

fn list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
) -> Result<ApiResponse, LambdaError> {
    let parameter = |name| percent::query_value(&request.query, name);
    let (source, name) = (parameter("EventSourceArn"), parameter("FunctionName"));
    let mut v = Violations::default();
    v.pattern("eventSourceArn", source.as_deref(), &patterns::ARN);
    target::check_name(&mut v, name.as_deref());
    let page = Page::decode(&mut v, request)?;
    v.finish()?;
    let function = name.as_deref().map(|name| {
        target::resolve(auth, "ListEventSourceMappings", name, None)
            .map(|target| target.arn().to_string())
    });
    let function = function.transpose()?;
    let wanted = |(_, record): &(MappingId, Arc<MappingRecord>)| {
        source.as_deref().is_none_or(|source| record.source_arn == source)
            && function.as_deref().is_none_or(|function| record.function_arn == function)
    };
    let known = lambda.mappings.store.of(&auth.account, &auth.region).into_iter().filter(wanted);
    let items = known.map(|(id, record)| (id.uuid.clone(), Configuration::new(&id, &record)));
    let (event_source_mappings, next_marker) = page.of(items)?;
    body::answer(StatusCode::OK, &ListOutput { event_source_mappings, next_marker })
}

async fn update(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    uuid: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    input.check(false)?;
    let id = id_of(auth, uuid)?;
    let writer = lambda.mappings.store.write().await;
    let known = lambda.mappings.store.get(&id).ok_or_else(absent)?;
    if !known.state.is_settled() {
        return Err(LambdaError::InUse("update"));
    }
    let mut next = MappingRecord::clone(&known);
    if let Some(target) = function_of(lambda, auth, "UpdateEventSourceMapping", &input)? {
        next.function_arn = target.arn().to_string();
        check_queue(lambda, auth, &target, &known.source_arn)?;
    }
    next.settings = input.apply(next.settings, known.source_arn.ends_with(".fifo"))?;
    next.enabled = input.enabled.unwrap_or(known.enabled);
    next.state = State::while_changing(known.enabled, next.enabled);
    next.initiator = Initiator::User;
    next.problem = next.problem.filter(|_| !next.enabled);
    next.modified_ms = lambda.now_ms();
    let record = writer.save(&id, next).await?;
    body::answer(StatusCode::ACCEPTED, &Configuration::new(&id, &record))
}

async fn delete(
    lambda: &Lambda,
    auth: &AuthContext,
    uuid: &str,
) -> Result<ApiResponse, LambdaError> {
    let id = id_of(auth, uuid)?;
    let writer = lambda.mappings.store.write().await;
    let known = lambda.mappings.store.get(&id).ok_or_else(absent)?;
    if !known.state.is_settled() {
        return Err(LambdaError::InUse("delete"));
    }
    let mut next = MappingRecord::clone(&known);
    next.state = State::Deleting;
    next.initiator = Initiator::User;
    let record = writer.save(&id, next).await?;
    body::answer(StatusCode::ACCEPTED, &Configuration::new(&id, &record))
}

fn id_of(auth: &AuthContext, uuid: &str) -> Result<MappingId, LambdaError> {
    let mut v = Violations::default();
    v.length("uUID", Some(uuid), 36, 36);
    v.finish()?;
    Ok(MappingId {
        account: auth.account.clone(),
        region: auth.region.clone(),
        uuid: uuid.to_owned(),
    })
}

/// The ARN of a source that this server can read.
fn source_of(input: &Input) -> Result<&str, LambdaError> {
    let arn = match &input.event_source_arn {
        Some(arn) => arn.as_str(),
        None if input.is_self_managed() => return Err(no_such_source("self-managed Kafka")),
        None => return Err(LambdaError::invalid("Unrecognized event source.")),
    };
    match arn.split(':').nth(2) {
        Some("sqs") => Ok(arn),
        Some("kinesis" | "dynamodb" | "kafka" | "mq" | "rds") => Err(no_such_source(arn)),
        _ => Err(LambdaError::invalid("Unrecognized event source.")),
    }
}

fn no_such_source(source: &str) -> LambdaError {
    LambdaError::NotImplemented(format!(
        "Event source mappings of this source are not implemented by this server yet: {source}. Use a queue of SQS."
    ))
}

/// The function that the request names, if it names one.
fn function_of(
    lambda: &Lambda,
    auth: &AuthContext,
    operation: &'static str,
    input: &Input,
) -> Result<Option<Target>, LambdaError> {
    let Some(name) = input.function_name.as_deref() else { return Ok(None) };
    let target =
        FunctionRef::parse(name).ok().map(|_| target::resolve(auth, operation, name, None));
    let target = target.transpose()?.filter(|target| lambda.has_target(target));
    target.map(Some).ok_or_else(|| LambdaError::invalid("Function does not exist"))
}

/// The queue must be there, in the function's region, and hide its messages for as long as the function may run.
fn check_queue(
    lambda: &Lambda,
    auth: &AuthContext,
    target: &Target,
    arn: &str,
) -> Result<(), LambdaError> {
    let is_here = arn.split(':').nth(3) == Some(auth.region.as_str());
    let queue = lambda.mappings.sqs().polled(arn).filter(|_| is_here);
    let queue = queue.ok_or_else(|| {
        LambdaError::invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: The specified queue does not exist.",
        )
    })?;
    check_visibility(lambda, target, &queue)
}

fn check_visibility(
    lambda: &Lambda,
    target: &Target,
    queue: &PolledQueue<'_>,
) -> Result<(), LambdaError> {
    let function = lambda.functions.get(&target.id);
    let timeout_s = function.and_then(|function| {
        let version = target.version(&function).ok()?;
        function.version(version).map(|version| u64::from(version.settings.timeout_s))
    });
    let (visibility_s, timeout_s) = (queue.visibility_s(), timeout_s.unwrap_or_default());
    if visibility_s < timeout_s {
        return Err(LambdaError::invalid(format!(
            "Queue visibility timeout: {visibility_s} seconds is less than Function timeout: {timeout_s} seconds"
        )));
    }
    Ok(())
}

fn absent() -> LambdaError {
    LambdaError::ResourceNotFound("The resource you requested does not exist.".to_owned())
}
