//! A message as it is published, checked.

use std::collections::BTreeMap;

use nilas_model::limits::SNS_MESSAGE_BYTES_MAX;
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::sigv4::hex;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Topic, fault};
use crate::deliver::MessageAttribute;

const SUBJECT_CHARS_MAX: usize = 100;

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) subject: Option<String>,
    text: String,
    /// Texts by protocol, of `MessageStructure` `json`.
    texts: Option<Map<String, Value>>,
    pub(super) attributes: BTreeMap<String, MessageAttribute>,
    pub(super) group: Option<String>,
    pub(super) deduplication_id: Option<String>,
    /// Of a FIFO topic.
    pub(super) sequence_number: Option<String>,
    pub(super) published_ms: u64,
}

impl Message {
    /// Of the members of Publish, or of an entry of PublishBatch.
    pub(super) fn of(form: &Form, topic: &Topic, now_ms: u64) -> Result<Self, Fault> {
        let text = form.get("Message").ok_or_else(|| fault::missing("Message"))?;
        if text.is_empty() {
            return Err(fault::invalid("Empty message"));
        }
        let mut message = Self::new(text.to_owned(), now_ms);
        message.texts = match form.get("MessageStructure") {
            Some("json") => Some(texts(text)?),
            Some(other) if !other.is_empty() => {
                return Err(fault::invalid(format!(
                    "Message Structure - {other} is not supported"
                )));
            }
            _ => None,
        };
        message.subject = form.get("Subject").map(str::to_owned);
        if !message.subject.as_deref().is_none_or(is_subject) {
            return Err(fault::invalid("Subject"));
        }
        message.attributes = attributes(form)?;
        message.group = form.get("MessageGroupId").map(str::to_owned);
        message.deduplication_id = form.get("MessageDeduplicationId").map(str::to_owned);
        message.check(topic)?;
        Ok(message)
    }

    /// One of this server's own, without an attribute.
    pub(super) fn new(text: String, now_ms: u64) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            subject: None,
            text,
            texts: None,
            attributes: BTreeMap::new(),
            group: None,
            deduplication_id: None,
            sequence_number: None,
            published_ms: now_ms,
        }
    }

    /// What counts for the limit.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.length());
        self.text.len() + attributes.sum::<usize>()
    }

    /// The text for subscriptions of a protocol.
    pub(super) fn text(&self, protocol: &str) -> &str {
        let Some(texts) = &self.texts else { return &self.text };
        let text = texts.get(protocol).or_else(|| texts.get("default"));
        text.and_then(Value::as_str).unwrap_or_default()
    }

    /// What the topic demands; fills in the deduplication id that the content gives.
    pub(super) fn check(&mut self, topic: &Topic) -> Result<(), Fault> {
        if self.bytes() > SNS_MESSAGE_BYTES_MAX {
            return Err(fault::invalid("Message too long"));
        }
        let allowed = |id: &String| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let ids =
            [("MessageGroupId", &self.group), ("MessageDeduplicationId", &self.deduplication_id)];
        for (name, id) in ids {
            if !id.as_ref().is_none_or(allowed) {
                return Err(fault::invalid(format!(
                    "{name} Reason: {name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
                )));
            }
        }
        if !topic.is_fifo() {
            if self.deduplication_id.is_some() {
                let reason = "The request includes MessageDeduplicationId parameter that is not valid for this topic type";
                return Err(fault::invalid(format!("MessageDeduplicationId Reason: {reason}")));
            }
            return Ok(());
        }
        if self.group.is_none() {
            return Err(fault::invalid("The MessageGroupId parameter is required for FIFO topics"));
        }
        if self.deduplication_id.is_none() {
            let by_content = topic.attributes.get("ContentBasedDeduplication");
            if by_content.is_none_or(|value| value != "true") {
                return Err(fault::invalid(
                    "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                     explicitly",
                ));
            }
            self.deduplication_id = Some(hex(&Sha256::digest(self.text.as_bytes())));
        }
        Ok(())
    }
}

fn texts(text: &str) -> Result<Map<String, Value>, Fault> {
    let parsed = serde_json::from_str::<Value>(text).ok();
    let Some(Value::Object(texts)) = parsed else {
        return Err(fault::invalid("Message Structure - JSON message body failed to parse"));
    };
    if !texts.get("default").is_some_and(Value::is_string) {
        return Err(fault::invalid("Message Structure - No default entry in JSON message body"));
    }
    Ok(texts)
}

fn is_subject(subject: &str) -> bool {
    let chars = subject.chars().count();
    (1..=SUBJECT_CHARS_MAX).contains(&chars) && !subject.chars().any(char::is_control)
}

fn attributes(form: &Form) -> Result<BTreeMap<String, MessageAttribute>, Fault> {
    let mut attributes = BTreeMap::new();
    for entry in (1..).map_while(|n| form.structure(&format!("MessageAttributes.entry.{n}"))) {
        let name = entry.get("Name").unwrap_or_default().to_owned();
        let value = |member| entry.get(&format!("Value.{member}")).map(str::to_owned);
        let attribute = MessageAttribute {
            data_type: value("DataType").unwrap_or_default(),
            string_value: value("StringValue"),
            binary_value: value("BinaryValue"),
        };
        if let Some(problem) = attribute.problem(&name) {
            return Err(fault::invalid_value(problem));
        }
        let is_array = attribute.data_type == "String.Array";
        let array = attribute.string_value.as_deref().map(serde_json::from_str::<Vec<Value>>);
        if is_array && array.is_none_or(|array| array.is_err()) {
            return Err(fault::invalid_value(format!(
                "The message attribute '{name}' with type 'String.Array' must be a JSON array."
            )));
        }
        attributes.insert(name, attribute);
    }
    Ok(attributes)
}
