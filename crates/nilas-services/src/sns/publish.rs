//! Publish and PublishBatch.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use nilas_model::limits::{
    SNS_BATCH_ENTRIES_MAX, SNS_MESSAGE_BYTES_MAX, SQS_MESSAGE_ATTRIBUTES_MAX,
};
use nilas_model::{AccountId, Region};
use nilas_store::Settle;
use nilas_wire::Fault;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::attributes::dead_letter_arn;
use super::envelope::Hand;
use super::message::Message;
use super::{Answer, Sns, Subscriber, Subscription, Topic, fault, fifo, filter, retry};
use crate::deliver::{DeadLetter, Delivery, LetterForm, MessageAttribute, To};

/// How long a queue or a function is tried: 23 days, as AWS does.
const AGE_MS_MAX: u64 = 23 * 86_400_000;
/// An endpoint's tries are counted, and take less.
const HTTP_AGE_MS_MAX: u64 = 7 * 86_400_000;

impl Sns {
    pub(super) async fn publish(&self, form: &Form) -> Answer {
        if form.get("PhoneNumber").is_some() {
            return Err(fault::invalid("PhoneNumber Reason: nilas sends no SMS"));
        }
        let arn = form.get("TopicArn").or_else(|| form.get("TargetArn"));
        let topic = self.topic_of(arn.ok_or_else(|| {
            fault::invalid("TopicArn or TargetArn Reason: no value for required parameter")
        })?)?;
        let message = Message::of(form, &topic, self.clock.epoch_ms())?;
        let (id, number) = self.accept(&topic, message).await?;
        let mut xml = Xml::new();
        xml.text("MessageId", &id);
        xml.optional("SequenceNumber", number.as_deref());
        Ok(Some(xml))
    }

    pub(super) async fn publish_batch(&self, form: &Form) -> Answer {
        let topic = self.topic(form)?;
        let entries = form.structures("PublishBatchRequestEntries");
        let ids = check_ids(&entries)?;
        let now_ms = self.clock.epoch_ms();
        let messages: Vec<_> =
            entries.iter().map(|entry| Message::of(entry, &topic, now_ms)).collect();
        let bytes: usize = messages.iter().flatten().map(Message::bytes).sum();
        if bytes > SNS_MESSAGE_BYTES_MAX {
            let message = "The length of all the messages put together is more than the limit.";
            return Err(Fault::plain("BatchRequestTooLong", 400, message));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, message) in ids.into_iter().zip(messages) {
            let taken = match message {
                Ok(message) => self.accept(&topic, message).await,
                Err(fault) => Err(fault),
            };
            match taken {
                Ok(taken) => successful.push((id, taken)),
                Err(fault) => failed.push((id, fault)),
            }
        }
        let mut xml = Xml::new();
        xml.members("Successful", &successful, |xml, (id, (message_id, number))| {
            xml.text("Id", id);
            xml.text("MessageId", message_id);
            xml.optional("SequenceNumber", number.as_deref());
        });
        xml.members("Failed", &failed, |xml, (id, fault)| {
            xml.text("Id", id);
            xml.text("Code", &fault.code);
            xml.optional("Message", fault.message.as_deref());
            xml.text("SenderFault", if fault.status < 500 { "true" } else { "false" });
        });
        Ok(Some(xml))
    }

    /// All of its deliveries are on disk when this returns: id and sequence number.
    async fn accept(
        &self,
        topic: &Topic,
        message: Message,
    ) -> Result<(String, Option<String>), Fault> {
        if topic.is_fifo() {
            return self.take(topic, message).await;
        }
        let deliveries = self.deliveries_of(topic, &message).await?;
        if !deliveries.is_empty() {
            self.deliveries.accept(&deliveries).await.map_err(|error| fifo::failed(&error))?;
        }
        Ok((message.id, None))
    }

    /// What another service of this server publishes, as what is left to be written for it.
    pub(crate) async fn publish_parts(
        &self,
        arn: &str,
        text: String,
        subject: Option<String>,
        attributes: BTreeMap<String, MessageAttribute>,
    ) -> Result<Vec<Settle>, Fault> {
        let topic = self.topic_of(arn)?;
        let mut message = Message::new(text, self.clock.epoch_ms());
        (message.subject, message.attributes) = (subject, attributes);
        message.check(&topic)?;
        let deliveries = self.deliveries_of(&topic, &message).await?;
        Ok(deliveries.iter().map(|delivery| self.deliveries.part(delivery)).collect())
    }

    /// One for each subscription that `message` passes the filter of.
    pub(super) async fn deliveries_of(
        &self,
        topic: &Topic,
        message: &Message,
    ) -> Result<Vec<Delivery>, Fault> {
        let wanted: Vec<_> = self.subscribers_of(topic).into_iter().collect();
        let wanted =
            wanted.iter().filter(|one| one.subscription.is_confirmed && wants(one, message));
        let (signer, base) = (self.signer().await?, self.base(topic));
        let hand = Hand { topic, signer, base: &base };
        Ok(wanted.filter_map(|one| delivery(&hand, &one.subscription, message)).collect())
    }

    /// Tells an endpoint, or whom a mail reaches, of a subscription that waits or has ended.
    pub(super) async fn confirmation(
        &self,
        topic: &Topic,
        subscription: &Subscription,
        kind: &str,
    ) -> Result<(), Fault> {
        let (signer, base) = (self.signer().await?, self.base(topic));
        let hand = Hand { topic, signer, base: &base };
        let text = match kind {
            "SubscriptionConfirmation" => format!(
                "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the SubscribeURL \
                 included in this message.",
                topic.arn
            ),
            _ => format!(
                "You have chosen to deactivate subscription {}.\nTo cancel this operation and restore the \
                 subscription, visit the SubscribeURL included in this message.",
                subscription.arn
            ),
        };
        let message = Message::new(text, self.clock.epoch_ms());
        let is_mail = subscription.protocol.starts_with("email");
        let (to, body) = if is_mail {
            let url = hand.subscribe_url(subscription);
            let text = format!(
                "You have chosen to subscribe to the topic:\n{}\n\nTo confirm this subscription, visit:\n{url}\n",
                topic.arn
            );
            let subject = "AWS Notification - Subscription Confirmation".to_owned();
            (To::Mail { address: subscription.endpoint.clone(), subject }, text)
        } else {
            let headers = headers(topic, None, &message, kind);
            let to = To::Http { url: subscription.endpoint.clone(), headers };
            (to, hand.confirmation(kind, subscription, &message))
        };
        let Some(mut delivery) = base_delivery(topic, to, body) else { return Ok(()) };
        let (pace, retries) = retry::pace(topic, subscription);
        if !is_mail {
            (delivery.pace, delivery.retries_max) = (Some(pace), Some(retries));
            delivery.age_ms_max = HTTP_AGE_MS_MAX;
        }
        self.deliveries.accept(&[delivery]).await.map_err(|error| fifo::failed(&error))
    }
}

fn wants(one: &Subscriber, message: &Message) -> bool {
    let subscription = &one.subscription;
    let body = message.text(&subscription.protocol);
    let passes = |pattern| filter::passes(pattern, subscription.scope(), message, body);
    one.filter.as_ref().is_none_or(passes)
}

/// None for an account or a region that is none, which no topic has.
fn base_delivery(topic: &Topic, to: To, body: String) -> Option<Delivery> {
    let (account, region) = (AccountId::parse(&topic.account), Region::parse(&topic.region));
    Some(Delivery::new((&account.ok()?, &region.ok()?), &topic.arn, to, Bytes::from(body)))
}

fn delivery(hand: &Hand<'_>, subscription: &Subscription, message: &Message) -> Option<Delivery> {
    let is_raw = subscription.is_set("RawMessageDelivery");
    let endpoint = subscription.endpoint.clone();
    let protocol = subscription.protocol.as_str();
    let letter = || match is_raw {
        true => message.text(protocol).to_owned(),
        false => hand.notification(subscription, message),
    };
    let raw_attributes = || {
        let kept = message.attributes.iter().take(SQS_MESSAGE_ATTRIBUTES_MAX);
        kept.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    let attributes = if is_raw { raw_attributes() } else { BTreeMap::new() };
    let is_fifo_queue = endpoint.ends_with(".fifo");
    let (to, body) = match protocol {
        "sqs" => {
            let group = message.group.clone();
            let deduplication_id = message.deduplication_id.clone().filter(|_| is_fifo_queue);
            (
                To::Queue {
                    arn: endpoint,
                    attributes: attributes.clone(),
                    group,
                    deduplication_id,
                },
                letter(),
            )
        }
        "lambda" => (To::Function { arn: endpoint }, hand.event(subscription, message)),
        "http" | "https" => {
            let mut headers = headers(hand.topic, Some(subscription), message, "Notification");
            if is_raw {
                headers.push(("x-amz-sns-rawdelivery".to_owned(), "true".to_owned()));
            }
            (To::Http { url: endpoint, headers }, letter())
        }
        _ => {
            let subject = message.subject.clone();
            let subject = subject.unwrap_or_else(|| "AWS Notification Message".to_owned());
            (To::Mail { address: endpoint, subject }, hand.mail(subscription, message))
        }
    };
    let mut delivery = base_delivery(hand.topic, to, body)?;
    delivery.age_ms_max = AGE_MS_MAX;
    if protocol == "lambda" {
        delivery.principal = Some("sns.amazonaws.com".to_owned());
    }
    if protocol.starts_with("http") {
        let (pace, retries) = retry::pace(hand.topic, subscription);
        (delivery.pace, delivery.retries_max) = (Some(pace), Some(retries));
        delivery.age_ms_max = HTTP_AGE_MS_MAX;
    }
    if hand.topic.is_fifo() {
        let group = message.group.as_deref().unwrap_or_default();
        delivery.order = Some(format!("{} {group}", subscription.arn));
    }
    let redrive = subscription.attributes.get("RedrivePolicy");
    delivery.dead_letter = redrive
        .and_then(|policy| dead_letter_arn(policy))
        .map(|queue_arn| DeadLetter { queue_arn, attributes, form: LetterForm::Plain });
    Some(delivery)
}

fn headers(
    topic: &Topic,
    subscription: Option<&Subscription>,
    message: &Message,
    kind: &str,
) -> Vec<(String, String)> {
    let mut headers = vec![
        ("x-amz-sns-message-type", kind),
        ("x-amz-sns-message-id", message.id.as_str()),
        ("x-amz-sns-topic-arn", topic.arn.as_str()),
        ("content-type", "text/plain; charset=UTF-8"),
        ("user-agent", "Amazon Simple Notification Service Agent"),
    ];
    if let Some(subscription) = subscription {
        headers.push(("x-amz-sns-subscription-arn", &subscription.arn));
    }
    headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check_ids(entries: &[Form]) -> Result<Vec<String>, Fault> {
    let refuse = |code: &'static str, message: &str| Err(Fault::plain(code, 400, message));
    if entries.is_empty() {
        return refuse("EmptyBatchRequest", "The batch request doesn't contain any entries.");
    }
    if entries.len() > SNS_BATCH_ENTRIES_MAX {
        let message = "The batch request contains more entries than permissible (more than 10).";
        return refuse("TooManyEntriesInBatchRequest", message);
    }
    let mut seen = HashSet::new();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    for entry in entries {
        let id = entry.get("Id").unwrap_or_default();
        if id.is_empty() || id.len() > 80 || !id.bytes().all(allowed) {
            let message =
                "The Id of a batch entry in a batch request doesn't abide by the specification.";
            return refuse("InvalidBatchEntryId", message);
        }
        if !seen.insert(id) {
            let message = "Two or more batch entries in the request have the same Id.";
            return refuse("BatchEntryIdsNotDistinct", message);
        }
    }
    Ok(entries.iter().filter_map(|entry| entry.get("Id").map(str::to_owned)).collect())
}
