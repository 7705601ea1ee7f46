//! Attributes of topics and subscriptions: what they may be.

use nilas_model::limits::SNS_MESSAGE_BYTES_MAX;
use nilas_wire::Fault;
use serde_json::Value;

use super::{Subscription, fault, retry};

const DISPLAY_NAME_CHARS_MAX: usize = 100;
/// Of FIFO topics: name and values.
const OF_FIFO: [(&str, [&str; 2]); 2] = [
    ("ContentBasedDeduplication", ["true", "false"]),
    ("FifoThroughputScope", ["Topic", "MessageGroup"]),
];
/// Whose attributes say where their deliveries are logged: kept, and nothing is logged.
const LOGGED: [&str; 5] = ["Application", "Firehose", "HTTP", "Lambda", "SQS"];

pub(super) fn check_topic(name: &str, value: &str, is_fifo: bool) -> Result<(), Fault> {
    if value.len() > SNS_MESSAGE_BYTES_MAX {
        return Err(fault::invalid(format!("{name} is too long")));
    }
    let is_one_of = |values: &[&str]| {
        let reason = || fault::invalid(format!("{name} Reason: Invalid value [{value}]."));
        values.contains(&value).then_some(()).ok_or_else(reason)
    };
    if let Some((_, values)) = OF_FIFO.iter().find(|(known, _)| *known == name && is_fifo) {
        return is_one_of(values);
    }
    match name {
        "DisplayName" if value.chars().count() <= DISPLAY_NAME_CHARS_MAX => Ok(()),
        "DisplayName" => Err(fault::invalid("DisplayName")),
        "KmsMasterKeyId" => Ok(()),
        "SignatureVersion" => is_one_of(&["1", "2"]),
        "TracingConfig" => is_one_of(&["PassThrough", "Active"]),
        "Policy" if value.is_empty() || is_object(value) => Ok(()),
        "Policy" => Err(fault::invalid("Policy Error: null")),
        "DeliveryPolicy" => retry::check(value),
        name if LOGGED.iter().any(|kind| {
            let rest = name.strip_prefix(kind).unwrap_or_default();
            ["SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate", "FailureFeedbackRoleArn"]
                .contains(&rest)
        }) =>
        {
            Ok(())
        }
        _ => Err(fault::invalid("AttributeName")),
    }
}

/// Whether `subscription` may have the attribute.
pub(super) fn check_subscription(
    subscription: &Subscription,
    name: &str,
    value: &str,
) -> Result<(), Fault> {
    match name {
        "FilterPolicy" => subscription.filter().map(drop),
        "FilterPolicyScope" if ["MessageAttributes", "MessageBody"].contains(&value) => {
            subscription.filter().map(drop)
        }
        "FilterPolicyScope" => Err(fault::invalid(format!(
            "FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
        ))),
        "RawMessageDelivery" => {
            if !["true", "false"].contains(&value.to_ascii_lowercase().as_str()) {
                return Err(fault::invalid(format!(
                    "RawMessageDelivery Reason: RawMessageDelivery: Invalid value [{value}]. Must be true or false."
                )));
            }
            let protocol = subscription.protocol.as_str();
            if value == "true" && !["sqs", "http", "https"].contains(&protocol) {
                return Err(fault::invalid(format!(
                    "Attributes Reason: RawMessageDelivery: Delivery protocol [{protocol}] does not support raw message \
                     delivery."
                )));
            }
            Ok(())
        }
        "DeliveryPolicy" => retry::check(value),
        "RedrivePolicy" if value.is_empty() => Ok(()),
        "RedrivePolicy" => dead_letter_arn(value).map(drop).ok_or_else(|| {
            fault::invalid(
                "RedrivePolicy: deadLetterTargetArn is not valid: it must be the ARN of an SQS queue",
            )
        }),
        _ => Err(fault::invalid("AttributeName")),
    }
}

/// Where a redrive policy sends what was not delivered.
pub(super) fn dead_letter_arn(policy: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let arn = policy.get("deadLetterTargetArn")?.as_str()?;
    let is_queue = arn.starts_with("arn:aws:sqs:") && arn.split(':').count() == 6;
    is_queue.then(|| arn.to_owned())
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object())
}
