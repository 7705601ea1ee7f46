//! What subscriptions get: the forms of a message, with its signature.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>

use nilas_wire::{percent, time};
use serde_json::{Map, Value, json};

use super::message::Message;
use super::sign::Signer;
use super::{CERTIFICATE_PATH, Subscription, Topic};
use crate::deliver::MessageAttribute;

/// Whose words these are: a topic's, which signs them.
pub(super) struct Hand<'a> {
    pub(super) topic: &'a Topic,
    pub(super) signer: &'a Signer,
    /// What links begin with.
    pub(super) base: &'a str,
}

/// Members in their order; what is null is left out of the text.
type Members<'a> = Vec<(&'a str, Value)>;

impl Hand<'_> {
    fn version(&self) -> &str {
        self.topic.attributes.get("SignatureVersion").map_or("1", String::as_str)
    }

    fn certificate_url(&self) -> String {
        debug_assert!(CERTIFICATE_PATH.ends_with("Service-"));
        format!("{}/{}", self.base, self.signer.file)
    }

    pub(super) fn unsubscribe_url(&self, subscription: &Subscription) -> String {
        let arn = percent::encode(&subscription.arn);
        format!("{}/?Action=Unsubscribe&SubscriptionArn={arn}", self.base)
    }

    pub(super) fn subscribe_url(&self, subscription: &Subscription) -> String {
        let (topic, token) = (percent::encode(&self.topic.arn), &subscription.token);
        format!("{}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}", self.base)
    }

    /// Signature of a notification, whose text is `text`.
    fn signature(&self, message: &Message, text: &str) -> String {
        let stamp = time::iso8601_millis(message.published_ms);
        let mut signed = format!("Message\n{text}\nMessageId\n{}\n", message.id);
        if let Some(subject) = &message.subject {
            signed += &format!("Subject\n{subject}\n");
        }
        signed +=
            &format!("Timestamp\n{stamp}\nTopicArn\n{}\nType\nNotification\n", self.topic.arn);
        self.signer.sign(self.version(), &signed)
    }

    /// As a queue or an endpoint gets it.
    pub(super) fn notification(&self, subscription: &Subscription, message: &Message) -> String {
        let text = message.text(&subscription.protocol);
        let mut members: Members<'_> = vec![
            ("Type", "Notification".into()),
            ("MessageId", message.id.as_str().into()),
            ("SequenceNumber", message.sequence_number.as_deref().into()),
            ("TopicArn", self.topic.arn.as_str().into()),
            ("Subject", message.subject.as_deref().into()),
            ("Message", text.into()),
            ("Timestamp", time::iso8601_millis(message.published_ms).into()),
        ];
        // Those of FIFO topics are not signed.
        if !self.topic.is_fifo() {
            members.push(("SignatureVersion", self.version().into()));
            members.push(("Signature", self.signature(message, text).into()));
            members.push(("SigningCertURL", self.certificate_url().into()));
        }
        members.push(("UnsubscribeURL", self.unsubscribe_url(subscription).into()));
        let attributes = attributes(message);
        if !attributes.is_empty() {
            members.push(("MessageAttributes", attributes.into()));
        }
        write(&members)
    }

    /// As a function gets it.
    pub(super) fn event(&self, subscription: &Subscription, message: &Message) -> String {
        let text = message.text("lambda");
        json!({ "Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription.arn,
            "Sns": {
                "Type": "Notification",
                "MessageId": message.id,
                "TopicArn": self.topic.arn,
                "Subject": message.subject,
                "Message": text,
                "Timestamp": time::iso8601_millis(message.published_ms),
                "SignatureVersion": self.version(),
                "Signature": self.signature(message, text),
                "SigningCertUrl": self.certificate_url(),
                "UnsubscribeUrl": self.unsubscribe_url(subscription),
                "MessageAttributes": attributes(message),
            },
        }] })
        .to_string()
    }

    /// `SubscriptionConfirmation` or `UnsubscribeConfirmation`, as an endpoint gets it.
    pub(super) fn confirmation(
        &self,
        kind: &str,
        subscription: &Subscription,
        message: &Message,
    ) -> String {
        let text = message.text("http");
        let stamp = time::iso8601_millis(message.published_ms);
        let url = self.subscribe_url(subscription);
        let (arn, token) = (self.topic.arn.as_str(), subscription.token.as_str());
        let signed = format!(
            "Message\n{text}\nMessageId\n{}\nSubscribeURL\n{url}\nTimestamp\n{stamp}\nToken\n{token}\nTopicArn\n{arn}\n\
             Type\n{kind}\n",
            message.id
        );
        write(&[
            ("Type", kind.into()),
            ("MessageId", message.id.as_str().into()),
            ("Token", token.into()),
            ("TopicArn", arn.into()),
            ("Message", text.into()),
            ("SubscribeURL", url.into()),
            ("Timestamp", stamp.into()),
            ("SignatureVersion", self.version().into()),
            ("Signature", self.signer.sign(self.version(), &signed).into()),
            ("SigningCertURL", self.certificate_url().into()),
        ])
    }

    /// The text of a mail.
    pub(super) fn mail(&self, subscription: &Subscription, message: &Message) -> String {
        if subscription.protocol == "email-json" {
            return self.notification(subscription, message);
        }
        format!(
            "{}\n\n--\nIf you wish to stop receiving notifications from this topic, please click or visit the link \
             below to unsubscribe:\n{}\n",
            message.text("email"),
            self.unsubscribe_url(subscription)
        )
    }
}

fn attributes(message: &Message) -> Map<String, Value> {
    let one = |(name, attribute): (&String, &MessageAttribute)| {
        let value = attribute.binary_value.as_ref().or(attribute.string_value.as_ref());
        (name.clone(), json!({ "Type": attribute.data_type, "Value": value }))
    };
    message.attributes.iter().map(one).collect()
}

/// With AWS's line ends and spaces.
fn write(members: &[(&str, Value)]) -> String {
    let present = members.iter().filter(|(_, value)| !value.is_null());
    let lines: Vec<String> = present
        .map(|(name, value)| match value {
            Value::Object(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(name, value)| format!("    {} : {value}", Value::from(name.as_str())))
                    .collect();
                format!("  \"{name}\" : {{\n{}\n  }}", entries.join(",\n"))
            }
            value => format!("  \"{name}\" : {value}"),
        })
        .collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_spaced_as_aws_spaces_them() {
        let attributes = json!({ "a": { "Type": "String", "Value": "b\n" } });
        let text = write(&[
            ("Type", "N".into()),
            ("Subject", Value::Null),
            ("MessageAttributes", attributes),
        ]);
        let expected = "{\n  \"Type\" : \"N\",\n  \"MessageAttributes\" : {\n    \"a\" : {\"Type\":\"String\",\"Value\":\"b\\n\"}\n  }\n}";
        assert_eq!(text, expected);
    }
}
