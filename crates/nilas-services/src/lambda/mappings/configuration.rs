//! What the operations answer: a mapping in AWS's own words.

use nilas_wire::time;
use serde::Serialize;
use serde_json::{Value, json};

use super::record::{MappingId, MappingRecord};

/// `EventSourceMappingConfiguration`, as far as SQS has its members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Configuration {
    #[serde(rename = "UUID")]
    uuid: String,
    event_source_mapping_arn: String,
    event_source_arn: String,
    function_arn: String,
    batch_size: u32,
    maximum_batching_window_in_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_criteria: Option<Value>,
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logging_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_poller_config: Option<Value>,
    function_response_types: Vec<&'static str>,
    last_modified: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_processing_result: Option<String>,
    state: &'static str,
    state_transition_reason: &'static str,
}

impl Configuration {
    pub(super) fn new(id: &MappingId, record: &MappingRecord) -> Self {
        let settings = &record.settings;
        let filter = |pattern: &String| json!({ "Pattern": pattern });
        let filters = |patterns: &Vec<String>| json!({ "Filters": patterns.iter().map(filter).collect::<Vec<_>>() });
        let pollers = settings
            .pollers
            .map(|pollers| json!({ "MinimumPollers": pollers.min, "MaximumPollers": pollers.max }));
        let concurrency = settings.concurrency_max;
        Self {
            uuid: id.uuid.clone(),
            event_source_mapping_arn: id.arn(),
            event_source_arn: record.source_arn.clone(),
            function_arn: record.function_arn.clone(),
            batch_size: settings.batch_size,
            maximum_batching_window_in_seconds: settings.window_s,
            filter_criteria: settings.filters.as_ref().map(filters),
            kms_key_arn: settings.kms_key_arn.clone(),
            metrics_config: settings.metrics.as_ref().map(|names| json!({ "Metrics": names })),
            logging_config: settings
                .log_level
                .as_ref()
                .map(|level| json!({ "SystemLogLevel": level })),
            scaling_config: concurrency.map(|max| json!({ "MaximumConcurrency": max })),
            provisioned_poller_config: pollers,
            function_response_types: if settings.reports_failures {
                vec!["ReportBatchItemFailures"]
            } else {
                Vec::new()
            },
            last_modified: time::epoch_seconds(record.modified_ms),
            last_processing_result: record
                .problem
                .as_ref()
                .map(|problem| format!("PROBLEM: {problem}")),
            state: record.state.as_str(),
            state_transition_reason: record.initiator.as_str(),
        }
    }
}
