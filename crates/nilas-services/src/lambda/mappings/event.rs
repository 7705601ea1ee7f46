//! The event of a batch of messages.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::sqs::{MessageAttribute, Polled};

/// Around the records of a batch, which are separated by commas.
pub(super) const HEAD: &str = "{\"Records\":[";
pub(super) const TAIL: &str = "]}";

/// One message as the function sees it, in the order of members that AWS has.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    message_id: &'a str,
    receipt_handle: String,
    body: &'a str,
    attributes: Ordered<'a>,
    message_attributes: BTreeMap<&'a str, Attribute<'a>>,
    #[serde(rename = "md5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<Option<&'a str>>,
    #[serde(rename = "md5OfBody")]
    md5_of_body: &'a str,
    event_source: &'static str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    aws_region: &'a str,
}

#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Attribute<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    /// Base64
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<&'a str>,
    /// SQS has no lists, and events have them all the same.
    string_list_values: [&'static str; 0],
    binary_list_values: [&'static str; 0],
    data_type: &'a str,
}

/// Members in their own order.
#[derive(Debug)]
struct Ordered<'a>(&'a [(&'static str, String)]);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The message's record, as JSON. Of a mapping with a window AWS shows the digest of attributes even if there are none.
pub(super) fn record(polled: &Polled, source_arn: &str, is_windowed: bool) -> String {
    let attributes = polled.attributes.iter();
    let record = Record {
        message_id: &polled.message_id,
        receipt_handle: polled.receipt.handle(),
        body: &polled.body,
        attributes: Ordered(&polled.system_attributes),
        message_attributes: attributes
            .map(|(name, attribute)| (name.as_str(), Attribute::of(attribute)))
            .collect(),
        md5_of_attributes: match polled.md5_of_attributes.as_deref() {
            None if !is_windowed => None,
            digest => Some(digest),
        },
        md5_of_body: &polled.md5_of_body,
        event_source: "aws:sqs",
        event_source_arn: source_arn,
        aws_region: source_arn.split(':').nth(3).unwrap_or_default(),
    };
    serde_json::to_string(&record).expect("texts and lists become JSON")
}

impl<'a> Attribute<'a> {
    fn of(attribute: &'a MessageAttribute) -> Self {
        Self {
            string_value: attribute.string_value.as_deref(),
            binary_value: attribute.binary_value.as_deref(),
            string_list_values: [],
            binary_list_values: [],
            data_type: &attribute.data_type,
        }
    }
}
