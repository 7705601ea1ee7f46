//! Messages: what is kept of them, and the MD5 digests that clients check.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::limits::SQS_MESSAGE_ATTRIBUTES_MAX;
use nilas_wire::sigv4::hex;
use s3s::crypto::{Checksum as _, Md5};
use serde::{Deserialize, Serialize};

use super::error::SqsError;

/// A message as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) body: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) attributes: BTreeMap<String, MessageAttribute>,
    pub(super) trace_header: Option<String>,
    pub(super) group: Option<String>,
    pub(super) deduplication_id: Option<String>,
    pub(super) sender: String,
    pub(super) sent_ms: u64,
    /// The ARN of the queue that it was moved from.
    #[serde(default)]
    pub(super) source_arn: Option<String>,
}

/// One attribute, as it comes and goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MessageAttribute {
    pub(crate) data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) string_value: Option<String>,
    /// Base64
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) binary_value: Option<String>,
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::checksum(bytes))
}

/// Each attribute by name: length and bytes of its name, of its type, a byte for the kind of value, and the value.
pub(super) fn md5_of_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> String {
    let mut bytes = Vec::new();
    let mut add = |part: &[u8], kind: Option<u8>| {
        bytes.extend(kind);
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(part);
    };
    for (name, attribute) in attributes {
        add(name.as_bytes(), None);
        add(attribute.data_type.as_bytes(), None);
        match attribute.binary() {
            Some(binary) => add(&binary, Some(2)),
            None => add(attribute.string_value.as_deref().unwrap_or_default().as_bytes(), Some(1)),
        }
    }
    md5_hex(&bytes)
}

impl MessageAttribute {
    fn binary(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.binary_value.as_ref()?).ok()
    }

    /// Bytes that count for the message's size, without the name.
    pub(crate) fn length(&self) -> usize {
        let value = self.binary().map_or_else(
            || self.string_value.as_ref().map_or(0, String::len),
            |binary| binary.len(),
        );
        self.data_type.len() + value
    }

    /// What is wrong with it, if something is.
    pub(crate) fn problem(&self, name: &str) -> Option<String> {
        self.check(name).err().map(|error| error.to_string())
    }

    fn check(&self, name: &str) -> Result<(), SqsError> {
        let refuse = |reason: String| Err(SqsError::InvalidParameter(reason));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let reserved = name.to_ascii_lowercase();
        if name.is_empty()
            || name.len() > 256
            || !name.chars().all(allowed)
            || name.starts_with('.')
            || name.ends_with('.')
            || name.contains("..")
            || reserved.starts_with("aws.")
            || reserved.starts_with("amazon.")
        {
            return refuse(format!("Invalid message attribute name: '{name}'."));
        }
        let kind = self.data_type.split('.').next().unwrap_or_default();
        if !["String", "Number", "Binary"].contains(&kind) || self.data_type.len() > 256 {
            return refuse(format!(
                "The type of message (user) attribute '{name}' is invalid. You must use only the following supported \
                 type prefixes: Binary, Number, String."
            ));
        }
        if kind == "Binary" && self.binary().is_none_or(|binary| binary.is_empty())
            || kind != "Binary" && self.string_value.as_ref().is_none_or(String::is_empty)
        {
            return refuse(format!(
                "The message (user) attribute '{name}' must contain a non-empty message attribute value for message \
                 attribute type '{}'.",
                self.data_type
            ));
        }
        let text = self.string_value.as_deref().unwrap_or_default();
        if kind == "Number" && text.parse::<f64>().is_err() {
            return refuse(format!(
                "Can't cast the value of message (user) attribute '{name}' to a number."
            ));
        }
        check_characters(text)
    }
}

/// What XML 1.0 has no characters for is in no message.
pub(super) fn check_characters(text: &str) -> Result<(), SqsError> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(allowed) {
        return Ok(());
    }
    Err(SqsError::InvalidContents(
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | \
         #x10000 to #x10FFFF"
            .to_owned(),
    ))
}

/// Checks a message's attributes; answers the bytes that they count for.
pub(super) fn check_attributes(
    attributes: &BTreeMap<String, MessageAttribute>,
) -> Result<usize, SqsError> {
    if attributes.len() > SQS_MESSAGE_ATTRIBUTES_MAX {
        return Err(SqsError::InvalidParameter(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{SQS_MESSAGE_ATTRIBUTES_MAX}].",
            attributes.len()
        )));
    }
    let mut bytes = 0;
    for (name, attribute) in attributes {
        attribute.check(name)?;
        bytes += name.len() + attribute.length();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_that_clients_compute() {
        assert_eq!(md5_hex(b"This is a test message"), "fafb00f5732ab283681e124bf8747ed1");
        let text = |data_type: &str, value: &str| MessageAttribute {
            data_type: data_type.to_owned(),
            string_value: Some(value.to_owned()),
            binary_value: None,
        };
        // As the client libraries' own tests have it.
        let attributes =
            BTreeMap::from([("timestamp".to_owned(), text("Number", "1493147359900"))]);
        assert_eq!(md5_of_attributes(&attributes), "235c5c510d26fb653d073faed50ae77c");
    }
}
