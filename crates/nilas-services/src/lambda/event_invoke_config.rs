//! How a function's events are tried and what follows from their ends: PutFunctionEventInvokeConfig,
//! UpdateFunctionEventInvokeConfig, GetFunctionEventInvokeConfig, ListFunctionEventInvokeConfigs and
//! DeleteFunctionEventInvokeConfig.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html>

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, Qualifier, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent, time};
use serde::{Deserialize, Serialize};

use super::call::target_of;
use super::error::LambdaError;
use super::functions::Function;
use super::list::Page;
use super::record::EventInvokeRecord;
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, body, patterns};

/// A request about how events are handled, parsed as far as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EventInvokeOperation<'a> {
    PutFunctionEventInvokeConfig { name: Cow<'a, str> },
    UpdateFunctionEventInvokeConfig { name: Cow<'a, str> },
    GetFunctionEventInvokeConfig { name: Cow<'a, str> },
    DeleteFunctionEventInvokeConfig { name: Cow<'a, str> },
    ListFunctionEventInvokeConfigs { name: Cow<'a, str> },
}

impl<'a> EventInvokeOperation<'a> {
    /// The operation at a path below `/2019-09-25/functions/NAME/event-invoke-config`.
    pub(crate) fn of(method: &str, segments: &[&'a str]) -> Option<Self> {
        let ["2019-09-25", "functions", name, "event-invoke-config", rest @ ..] = segments else {
            return None;
        };
        let name = percent::decode(name);
        match (method, rest) {
            ("PUT", []) => Some(Self::PutFunctionEventInvokeConfig { name }),
            ("POST", []) => Some(Self::UpdateFunctionEventInvokeConfig { name }),
            ("GET", []) => Some(Self::GetFunctionEventInvokeConfig { name }),
            ("DELETE", []) => Some(Self::DeleteFunctionEventInvokeConfig { name }),
            ("GET", ["list"]) => Some(Self::ListFunctionEventInvokeConfigs { name }),
            _ => None,
        }
    }

    /// As IAM policies name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::PutFunctionEventInvokeConfig { .. } => "PutFunctionEventInvokeConfig",
            Self::UpdateFunctionEventInvokeConfig { .. } => "UpdateFunctionEventInvokeConfig",
            Self::GetFunctionEventInvokeConfig { .. } => "GetFunctionEventInvokeConfig",
            Self::DeleteFunctionEventInvokeConfig { .. } => "DeleteFunctionEventInvokeConfig",
            Self::ListFunctionEventInvokeConfigs { .. } => "ListFunctionEventInvokeConfigs",
        }
    }

    pub(crate) fn function(&self) -> &str {
        match self {
            Self::PutFunctionEventInvokeConfig { name }
            | Self::UpdateFunctionEventInvokeConfig { name }
            | Self::GetFunctionEventInvokeConfig { name }
            | Self::DeleteFunctionEventInvokeConfig { name }
            | Self::ListFunctionEventInvokeConfigs { name } => name,
        }
    }
}

/// What holds for the events of one function, version or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventRules {
    pub(super) retries_max: u32,
    pub(super) age_ms_max: u64,
    /// ARNs.
    pub(super) on_success: Option<String>,
    pub(super) on_failure: Option<String>,
    pub(super) dead_letter: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<Destinations>,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destinations {
    on_success: Option<Destination>,
    on_failure: Option<Destination>,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    last_modified: f64,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Destinations,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    function_event_invoke_configs: Vec<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(super) async fn run(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: EventInvokeOperation<'_>,
) -> Result<ApiResponse, LambdaError> {
    let operation_name = operation.name();
    let resolve = |v: Violations, name: &str| target::asked(v, auth, operation_name, request, name);
    match operation {
        EventInvokeOperation::PutFunctionEventInvokeConfig { name } => {
            let input = Input::decode(request)?;
            let target = resolve(input.violations(), &name)?;
            if input.is_empty() {
                return Err(LambdaError::invalid(
                    "You must specify at least one of error handling or destination setting.",
                ));
            }
            change(lambda, &target, input, false).await
        }
        EventInvokeOperation::UpdateFunctionEventInvokeConfig { name } => {
            let input = Input::decode(request)?;
            let target = resolve(input.violations(), &name)?;
            change(lambda, &target, input, true).await
        }
        EventInvokeOperation::GetFunctionEventInvokeConfig { name } => {
            let target = resolve(Violations::default(), &name)?;
            let function = lambda.functions.get(&target.id).ok_or_else(|| absent(&target))?;
            let config = Config::of(&function, &key(&target)).ok_or_else(|| absent(&target))?;
            body::answer(StatusCode::OK, &config)
        }
        EventInvokeOperation::DeleteFunctionEventInvokeConfig { name } => {
            let target = resolve(Violations::default(), &name)?;
            let writer = lambda.functions.write().await;
            let function = lambda.functions.get(&target.id).ok_or_else(|| absent(&target))?;
            let mut next = Function::clone(&function);
            next.record.event_invokes.remove(&key(&target)).ok_or_else(|| absent(&target))?;
            writer.save(next).await?;
            Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
        }
        EventInvokeOperation::ListFunctionEventInvokeConfigs { name } => {
            let mut v = Violations::default();
            target::check_name(&mut v, Some(&name));
            let page = Page::decode_up_to(&mut v, request, 50)?;
            v.finish()?;
            let target = target::resolve(auth, operation_name, &name, None)?;
            let function = lambda.functions.get(&target.id).ok_or_else(no_function)?;
            let keys = function.record.event_invokes.keys();
            let items =
                keys.filter_map(|key| Some((format!("{key}\0"), Config::of(&function, key)?)));
            let (function_event_invoke_configs, next_marker) = page.of(items)?;
            body::answer(StatusCode::OK, &ListOutput { function_event_invoke_configs, next_marker })
        }
    }
}

/// Replaces the configuration, or changes the members that `input` has.
async fn change(
    lambda: &Lambda,
    target: &Target,
    input: Input,
    keep: bool,
) -> Result<ApiResponse, LambdaError> {
    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id).ok_or_else(no_function)?;
    target.version(&function).map_err(|_| no_function())?;
    let key = key(target);
    let mut next = Function::clone(&function);
    let known = next.record.event_invokes.remove(&key);
    let mut record =
        if keep { known.ok_or_else(|| absent(target))? } else { EventInvokeRecord::default() };
    input.check_destinations(lambda, target)?;
    input.apply(&mut record);
    record.modified_ms = lambda.clock.epoch_ms();
    next.record.event_invokes.insert(key.clone(), record);
    let function = writer.save(next).await?;
    let config = Config::of(&function, &key).ok_or_else(|| absent(target))?;
    body::answer(StatusCode::OK, &config)
}

impl Input {
    fn decode(request: &ApiRequest) -> Result<Self, LambdaError> {
        body::decode(&request.body)
    }

    fn violations(&self) -> Violations {
        let mut v = Violations::default();
        v.range("maximumRetryAttempts", self.maximum_retry_attempts, 0, limits::ASYNC_RETRIES_MAX);
        let age = self.maximum_event_age_in_seconds;
        v.range("maximumEventAgeInSeconds", age, limits::ASYNC_AGE_S_MIN, limits::ASYNC_AGE_S_MAX);
        for (member, destination) in [
            ("destinationConfig.onSuccess.destination", self.destination(true)),
            ("destinationConfig.onFailure.destination", self.destination(false)),
        ] {
            v.length(member, destination, 0, 350);
            v.pattern(member, destination, &patterns::DESTINATION_ARN);
        }
        v
    }

    fn is_empty(&self) -> bool {
        self.maximum_retry_attempts.is_none()
            && self.maximum_event_age_in_seconds.is_none()
            && self.destination_config.is_none()
    }

    fn destination(&self, of_success: bool) -> Option<&str> {
        let destinations = self.destination_config.as_ref()?;
        let destination =
            if of_success { &destinations.on_success } else { &destinations.on_failure };
        destination.as_ref()?.destination.as_deref()
    }

    /// Only what a record can be brought to.
    fn check_destinations(&self, lambda: &Lambda, target: &Target) -> Result<(), LambdaError> {
        for (of_success, arn) in [(true, self.destination(true)), (false, self.destination(false))]
        {
            let Some(arn) = arn.filter(|arn| !arn.is_empty()) else { continue };
            let invalid = || LambdaError::invalid(format!("The destination ARN {arn} is invalid."));
            match arn.split(':').nth(2) {
                Some("lambda") => {
                    let destination = target_of(arn).ok_or_else(invalid)?;
                    if destination.id == target.id {
                        return Err(LambdaError::invalid(
                            "You can't specify the function as a destination for itself.",
                        ));
                    }
                    let function = lambda.functions.get(&destination.id).ok_or_else(invalid)?;
                    destination.version(&function).map_err(|_| invalid())?;
                }
                Some("s3") if !of_success => {}
                Some("sqs" | "sns") if arn.ends_with(".fifo") => return Err(self.refusal()),
                Some("sqs" | "sns") => {}
                Some("events") => {
                    return Err(LambdaError::NotImplemented(format!(
                        "Destinations of this service are not implemented by this server yet: {arn}. Use a \
                         queue, a topic, a function, or for failures a bucket."
                    )));
                }
                _ => return Err(self.refusal()),
            }
        }
        Ok(())
    }

    /// In AWS's own notation.
    fn refusal(&self) -> LambdaError {
        let part = |name: &str, arn: Option<&str>| {
            arn.map_or_else(|| "null".to_owned(), |arn| format!("{name}(destination={arn})"))
        };
        LambdaError::invalid(format!(
            "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
            part("OnSuccess", self.destination(true)),
            part("OnFailure", self.destination(false)),
        ))
    }

    /// An empty destination takes one away.
    fn apply(self, record: &mut EventInvokeRecord) {
        let number = |number: i64| u32::try_from(number).ok();
        if let Some(retries) = self.maximum_retry_attempts.and_then(number) {
            record.retries_max = Some(retries);
        }
        if let Some(age_s) = self.maximum_event_age_in_seconds.and_then(number) {
            record.age_s_max = Some(age_s);
        }
        for (of_success, place) in [(true, &mut record.on_success), (false, &mut record.on_failure)]
        {
            if let Some(arn) = self.destination(of_success) {
                *place = Some(arn.to_owned()).filter(|arn| !arn.is_empty());
            }
        }
    }
}

impl Config {
    fn of(function: &Arc<Function>, key: &str) -> Option<Self> {
        let record = function.record.event_invokes.get(key)?;
        let qualifier = Qualifier::parse(key).ok()?;
        let destination = |arn: &Option<String>| Some(Destination { destination: arn.clone() });
        Some(Self {
            last_modified: time::epoch_seconds(record.modified_ms),
            function_arn: function.id.arn(Some(qualifier)).to_string(),
            maximum_retry_attempts: record.retries_max,
            maximum_event_age_in_seconds: record.age_s_max,
            destination_config: Destinations {
                on_success: destination(&record.on_success),
                on_failure: destination(&record.on_failure),
            },
        })
    }
}

impl Lambda {
    /// AWS's defaults where nothing is configured, or the function is gone.
    pub(super) fn event_rules(&self, target: &Target) -> EventRules {
        let function = self.functions.get(&target.id);
        let record = function
            .as_ref()
            .and_then(|function| function.record.event_invokes.get(&key(target)).cloned());
        let record = record.unwrap_or_default();
        let dead_letter = function.and_then(|function| {
            let version = target.version(&function).ok()?;
            function.version(version)?.settings.dead_letter_target.clone()
        });
        let age_s = record.age_s_max.unwrap_or(limits::ASYNC_AGE_S_MAX);
        EventRules {
            retries_max: record.retries_max.unwrap_or(limits::ASYNC_RETRIES_MAX),
            age_ms_max: u64::from(age_s) * 1_000,
            on_success: record.on_success,
            on_failure: record.on_failure,
            dead_letter,
        }
    }
}

/// Where a function keeps the configuration of `target`.
fn key(target: &Target) -> String {
    target.qualifier.clone().unwrap_or(Qualifier::Latest).to_string()
}

fn no_function() -> LambdaError {
    LambdaError::ResourceNotFound("The function doesn't exist.".to_owned())
}

fn absent(target: &Target) -> LambdaError {
    let qualifier = target.qualifier.clone().unwrap_or(Qualifier::Latest);
    let arn = target.id.arn(Some(qualifier));
    LambdaError::ResourceNotFound(format!("The function {arn} doesn't have an EventInvokeConfig"))
}
