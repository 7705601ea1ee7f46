//! Members of Create- and UpdateEventSourceMapping: what they may be, and what becomes of the settings.

use std::collections::BTreeMap;

use nilas_model::limits::{MAPPING_FILTER_CHARS_MAX, MAPPING_FILTERS_MAX};
use serde::Deserialize;
use serde_json::Value;

use super::filter::Filters;
use super::record::{Pollers, Settings};
use crate::lambda::error::LambdaError;
use crate::lambda::patterns;
use crate::lambda::target;
use crate::lambda::validation::{ItemConstraint, Violations};

/// Messages of a batch that needs no window to fill, and at most of a FIFO queue's.
const BATCH_WITHOUT_WINDOW_MAX: u32 = 10;
/// Pollers of a provisioned mapping of SQS: least and most of the minimum, most of the maximum, and its default.
const POLLERS_MIN: u32 = 2;
const POLLERS_MIN_MAX: u32 = 200;
const POLLERS_MAX: u32 = 10_000;
const POLLERS_MAX_DEFAULT: u32 = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    pub(super) function_name: Option<String>,
    pub(super) event_source_arn: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    filter_criteria: Option<FilterCriteria>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    metrics_config: Option<MetricsConfig>,
    logging_config: Option<LoggingConfig>,
    scaling_config: Option<ScalingConfig>,
    provisioned_poller_config: Option<PollerConfig>,
    function_response_types: Option<Vec<Option<String>>>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<Value>,
    self_managed_event_source: Option<Value>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterCriteria {
    filters: Option<Vec<Filter>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    pattern: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MetricsConfig {
    metrics: Option<Vec<Option<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LoggingConfig {
    system_log_level: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ScalingConfig {
    maximum_concurrency: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PollerConfig {
    minimum_pollers: Option<i64>,
    maximum_pollers: Option<i64>,
    poller_group_name: Option<String>,
}

/// Members that only sources other than SQS have.
const OTHER_SOURCES: [&str; 12] = [
    "AmazonManagedKafkaEventSourceConfig",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "DocumentDBEventSourceConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "Queues",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
    "Topics",
    "TumblingWindowInSeconds",
];

impl Input {
    /// Constraints of single members.
    pub(super) fn check(&self, creates: bool) -> Result<(), LambdaError> {
        let mut v = Violations::default();
        if creates {
            v.required("functionName", self.function_name.as_ref());
        }
        target::check_name(&mut v, self.function_name.as_deref());
        v.pattern("eventSourceArn", self.event_source_arn.as_deref(), &patterns::ARN);
        v.range("batchSize", self.batch_size, 1, 10_000);
        let window = self.maximum_batching_window_in_seconds;
        v.range("maximumBatchingWindowInSeconds", window, 0, 300);
        for (at, filter) in self.filters().into_iter().flatten().enumerate() {
            let member = format!("filterCriteria.filters.{}.member.pattern", at + 1);
            v.length(&member, filter.pattern.as_deref(), 0, MAPPING_FILTER_CHARS_MAX);
        }
        v.pattern("kMSKeyArn", self.kms_key_arn.as_deref(), &patterns::ARN_OR_EMPTY);
        if let Some(metrics) =
            self.metrics_config.as_ref().and_then(|config| config.metrics.as_deref())
        {
            v.list_length("metricsConfig.metrics", Some(metrics), 0, 3);
            let known = ItemConstraint::OneOf(&["EventCount", "ErrorCount", "KafkaMetrics"]);
            v.items("metricsConfig.metrics", Some(metrics), &known);
        }
        let level =
            self.logging_config.as_ref().and_then(|config| config.system_log_level.as_deref());
        v.one_of("loggingConfig.systemLogLevel", level, &["DEBUG", "INFO", "WARN"]);
        let concurrency =
            self.scaling_config.as_ref().and_then(|config| config.maximum_concurrency);
        v.range("scalingConfig.maximumConcurrency", concurrency, 2, 1_000);
        if let Some(config) = &self.provisioned_poller_config {
            let (least, most) = (config.minimum_pollers, config.maximum_pollers);
            v.range("provisionedPollerConfig.minimumPollers", least, 1, POLLERS_MIN_MAX);
            v.range("provisionedPollerConfig.maximumPollers", most, 1, POLLERS_MAX);
        }
        let types = self.function_response_types.as_deref();
        v.list_length("functionResponseTypes", types, 0, 1);
        let known = ItemConstraint::OneOf(&["ReportBatchItemFailures"]);
        v.items("functionResponseTypes", types, &known);
        let positions = ["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"];
        v.one_of("startingPosition", self.starting_position.as_deref(), &positions);
        let tags = self.tags.iter().flatten();
        v.tags("tags", tags.map(|(key, value)| (key.as_str(), value.as_str())));
        v.finish()
    }

    /// Whether the source is one that has no ARN.
    pub(super) fn is_self_managed(&self) -> bool {
        self.self_managed_event_source.as_ref().is_some_and(|source| !source.is_null())
    }

    /// `settings` with what is said here, for a queue.
    pub(super) fn apply(
        &self,
        mut settings: Settings,
        is_fifo: bool,
    ) -> Result<Settings, LambdaError> {
        self.check_source()?;
        let number = |number: i64| u32::try_from(number).ok();
        if let Some(size) = self.batch_size.and_then(number) {
            settings.batch_size = size;
        }
        if let Some(window_s) = self.maximum_batching_window_in_seconds.and_then(number) {
            settings.window_s = window_s;
        }
        if let Some(filters) = self.parsed_filters()? {
            settings.filters = Some(filters).filter(|filters| !filters.is_empty());
        }
        if let Some(arn) = &self.kms_key_arn {
            settings.kms_key_arn = Some(arn.clone()).filter(|arn| !arn.is_empty());
        }
        if let Some(config) = &self.metrics_config {
            let metrics: Vec<String> = config.metrics.iter().flatten().flatten().cloned().collect();
            settings.metrics = Some(metrics).filter(|metrics| !metrics.is_empty());
        }
        if let Some(config) = &self.logging_config {
            settings.log_level.clone_from(&config.system_log_level);
        }
        if let Some(config) = &self.scaling_config {
            settings.concurrency_max = config.maximum_concurrency.and_then(number);
        }
        if let Some(config) = &self.provisioned_poller_config {
            settings.pollers = config.pollers()?;
        }
        if let Some(types) = &self.function_response_types {
            settings.reports_failures = !types.is_empty();
        }
        check_together(&settings, is_fifo)?;
        Ok(settings)
    }

    /// What a queue does not have.
    fn check_source(&self) -> Result<(), LambdaError> {
        let is_given = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        if self.starting_position.is_some() || is_given(&self.starting_position_timestamp) {
            return Err(LambdaError::invalid(
                "StartingPosition is not valid for SQS event sources.",
            ));
        }
        let other = OTHER_SOURCES.iter().find(|name| {
            self.other.get(**name).is_some_and(|value| !value.is_null() && !is_empty(value))
        });
        match other {
            Some(name) => Err(LambdaError::invalid(format!(
                "Unsupported {name} parameter for given event source mapping type."
            ))),
            None => Ok(()),
        }
    }

    fn filters(&self) -> Option<&[Filter]> {
        self.filter_criteria.as_ref()?.filters.as_deref()
    }

    /// Patterns that are all valid; none at all if the request says nothing of filters.
    fn parsed_filters(&self) -> Result<Option<Vec<String>>, LambdaError> {
        if self.filter_criteria.is_none() {
            return Ok(None);
        }
        let filters = self.filters().unwrap_or_default();
        if filters.len() > MAPPING_FILTERS_MAX {
            return Err(LambdaError::invalid(format!(
                "Filters exceed the limit of {MAPPING_FILTERS_MAX} for an event source mapping."
            )));
        }
        let patterns: Vec<String> =
            filters.iter().map(|filter| filter.pattern.clone().unwrap_or_default()).collect();
        Filters::parse(&patterns)?;
        Ok(Some(patterns))
    }
}

impl PollerConfig {
    /// None ends provisioned mode.
    fn pollers(&self) -> Result<Option<Pollers>, LambdaError> {
        if self.poller_group_name.is_some() {
            return Err(LambdaError::invalid(
                "PollerGroupName is not supported for SQS event sources.",
            ));
        }
        if self.minimum_pollers.is_none() && self.maximum_pollers.is_none() {
            return Ok(None);
        }
        let number = |given: Option<i64>, default| {
            given.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
        };
        let min = number(self.minimum_pollers, POLLERS_MIN);
        let max = number(self.maximum_pollers, POLLERS_MAX_DEFAULT.max(min));
        if min < POLLERS_MIN || max < min {
            return Err(LambdaError::invalid(format!(
                "MinimumPollers should be between [{POLLERS_MIN}, {POLLERS_MIN_MAX}] and MaximumPollers should be \
                 between [MinimumPollers, {POLLERS_MAX}]"
            )));
        }
        Ok(Some(Pollers { min, max }))
    }
}

fn check_together(settings: &Settings, is_fifo: bool) -> Result<(), LambdaError> {
    if is_fifo && settings.window_s > 0 {
        return Err(LambdaError::invalid("Batching window is not supported for FIFO queues"));
    }
    if is_fifo && settings.batch_size > BATCH_WITHOUT_WINDOW_MAX {
        return Err(LambdaError::invalid(format!(
            "Batch size must not exceed {BATCH_WITHOUT_WINDOW_MAX} for FIFO queues"
        )));
    }
    if settings.batch_size > BATCH_WITHOUT_WINDOW_MAX && settings.window_s == 0 {
        return Err(LambdaError::invalid(format!(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than \
             {BATCH_WITHOUT_WINDOW_MAX}"
        )));
    }
    if settings.pollers.is_some() && settings.concurrency_max.is_some() {
        return Err(LambdaError::invalid(
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers as the \
             control mechanism and remove maximum concurrency.",
        ));
    }
    Ok(())
}

/// Tools send members that say nothing, such as `DestinationConfig: {}`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
