//! Attributes of queues: what they may be, and their defaults.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Queue;
use super::error::SqsError;

/// A number: name, least, most, default.
const NUMBERS: [(&str, u64, u64, u64); 6] = [
    ("DelaySeconds", 0, 900, 0),
    ("MaximumMessageSize", 1_024, 1_048_576, 1_048_576),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("VisibilityTimeout", 0, 43_200, 30),
    ("KmsDataKeyReusePeriodSeconds", 60, 86_400, 300),
];
const TEXTS: [&str; 4] = ["Policy", "KmsMasterKeyId", "RedrivePolicy", "RedriveAllowPolicy"];
/// Of FIFO queues: name, values, the first of which is the default.
const CHOICES: [(&str, [&str; 2]); 3] = [
    ("ContentBasedDeduplication", ["false", "true"]),
    ("DeduplicationScope", ["queue", "messageGroup"]),
    ("FifoThroughputLimit", ["perQueue", "perMessageGroupId"]),
];
const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Where messages go that were received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redrive {
    pub(super) target_arn: String,
    pub(super) receives_max: u32,
}

/// Whether the names are known at all. `All` is for reading only.
pub(super) fn check_names(names: &[String]) -> Result<(), SqsError> {
    let is_known = |name: &str| {
        name == "All"
            || name == "FifoQueue"
            || name == "SqsManagedSseEnabled"
            || NUMBERS.iter().any(|(known, ..)| *known == name)
            || CHOICES.iter().any(|(known, _)| *known == name)
            || TEXTS.contains(&name)
            || READ_ONLY.contains(&name)
    };
    match names.iter().find(|name| !is_known(name)) {
        Some(name) => Err(SqsError::UnknownAttribute(name.clone())),
        None => Ok(()),
    }
}

/// Whether `attributes` may be those of a queue with this name.
pub(super) fn check(is_fifo: bool, attributes: &BTreeMap<String, String>) -> Result<(), SqsError> {
    for (name, value) in attributes {
        let invalid = |reason: &str| SqsError::InvalidAttribute {
            attribute: name.clone(),
            reason: if reason.is_empty() { String::new() } else { format!(" Reason: {reason}") },
        };
        if let Some((_, least, most, _)) = NUMBERS.iter().find(|(known, ..)| known == name) {
            let number = value.parse::<u64>().map_err(|_| invalid(""))?;
            if !(*least..=*most).contains(&number) {
                return Err(invalid(""));
            }
        } else if let Some((_, values)) = CHOICES.iter().find(|(known, _)| known == name) {
            if !is_fifo {
                return Err(SqsError::UnknownAttribute(name.clone()));
            }
            if !values.contains(&value.as_str()) {
                return Err(invalid(""));
            }
        } else if name == "FifoQueue" {
            if !is_fifo || value != "true" {
                return Err(SqsError::UnknownAttribute(name.clone()));
            }
        } else if name == "RedrivePolicy" && !value.is_empty() {
            redrive_of(value).ok_or_else(|| {
                invalid("Redrive policy does not contain mandatory attributes deadLetterTargetArn and maxReceiveCount (1 to 1000).")
            })?;
        } else if name == "Policy" || name == "RedriveAllowPolicy" {
            if !value.is_empty() && serde_json::from_str::<Value>(value).is_err() {
                return Err(invalid(""));
            }
        } else if READ_ONLY.contains(&name.as_str()) || name == "All" {
            return Err(SqsError::UnknownAttribute(name.clone()));
        } else {
            check_names(std::slice::from_ref(name))?;
        }
    }
    Ok(())
}

fn redrive_of(policy: &str) -> Option<Redrive> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let count = policy.get("maxReceiveCount")?;
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
    let receives_max = u32::try_from(count).ok().filter(|count| (1..=1_000).contains(count))?;
    let target_arn = policy.get("deadLetterTargetArn")?.as_str()?.to_owned();
    Some(Redrive { target_arn, receives_max })
}

impl Queue {
    /// A number that was set, or its default.
    pub(super) fn number(&self, name: &str) -> u64 {
        let set = self.attributes.get(name).and_then(|value| value.parse().ok());
        let default =
            NUMBERS.iter().find(|(known, ..)| *known == name).map(|(.., default)| *default);
        set.or(default).unwrap_or_default()
    }

    pub(super) fn is_set(&self, name: &str, value: &str) -> bool {
        self.attributes.get(name).is_some_and(|set| set == value)
    }

    pub(super) fn redrive(&self) -> Option<Redrive> {
        redrive_of(self.attributes.get("RedrivePolicy")?)
    }

    /// All attributes that do not depend on messages, as GetQueueAttributes tells them.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::from([
            ("QueueArn".to_owned(), self.arn()),
            ("CreatedTimestamp".to_owned(), (self.created_ms / 1_000).to_string()),
            ("LastModifiedTimestamp".to_owned(), (self.modified_ms / 1_000).to_string()),
        ]);
        for (name, .., default) in NUMBERS {
            if name != "KmsDataKeyReusePeriodSeconds" {
                shown.insert(name.to_owned(), default.to_string());
            }
        }
        if !self.attributes.contains_key("KmsMasterKeyId") {
            shown.insert("SqsManagedSseEnabled".to_owned(), "true".to_owned());
        }
        if self.is_fifo() {
            shown.insert("FifoQueue".to_owned(), "true".to_owned());
            for (name, values) in CHOICES {
                shown.insert(name.to_owned(), values[0].to_owned());
            }
        }
        let set = self.attributes.iter().filter(|(_, value)| !value.is_empty());
        shown.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        shown
    }
}
