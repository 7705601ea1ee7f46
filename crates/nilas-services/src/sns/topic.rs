//! Topics: creation, deletion, lists, attributes.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use nilas_model::AuthContext;
use nilas_model::limits::SNS_TOPICS_MAX;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;
use nilas_wire::{Fault, Service};
use serde_json::json;

use super::{
    Answer, Sns, Topic, attributes, entries, fault, result_of, retry, tags, write_entries,
};
use crate::json_api;

const PAGE: usize = 100;
const NAME_CHARS_MAX: usize = 256;

impl Sns {
    pub(super) async fn create_topic(&self, auth: &AuthContext, form: &Form) -> Answer {
        let name = form.get("Name").ok_or_else(|| fault::missing("Name"))?;
        let mut attributes = entries(form, "Attributes");
        check_name(name, attributes.get("FifoTopic").is_some_and(|value| value == "true"))?;
        attributes.remove("FifoTopic");
        for (name_of, value) in &attributes {
            attributes::check_topic(name_of, value, name.ends_with(".fifo"))?;
        }
        let tags = tags::given(form)?;
        let arn = json_api::arn(auth, Service::Sns, name);
        let _writing = self.shelf.writing().await;
        if let Ok(known) = self.topic_of(&arn) {
            let differs =
                |(name, value): (&String, &String)| known.attributes.get(name) != Some(value);
            if attributes.iter().any(differs) {
                let message = "Attributes Reason: Topic already exists with different attributes";
                return Err(fault::invalid(message));
            }
            if !tags.is_empty() && tags != known.tags {
                return Err(fault::invalid(
                    "Tags Reason: Topic already exists with different tags",
                ));
            }
            return result_of("TopicArn", &arn);
        }
        let count = self.topics.read().unwrap_or_else(PoisonError::into_inner).len();
        if count >= SNS_TOPICS_MAX {
            let message = format!("Topic limit exceeded: {SNS_TOPICS_MAX}");
            return Err(Fault::plain("TopicLimitExceeded", 403, message));
        }
        let (account, region) = (auth.account.as_str().to_owned(), auth.region.as_str().to_owned());
        self.put_topic(Topic { arn: arn.clone(), account, region, attributes, tags }).await?;
        result_of("TopicArn", &arn)
    }

    /// One that is not there is deleted, too.
    pub(super) async fn delete_topic(&self, form: &Form) -> Answer {
        let _writing = self.shelf.writing().await;
        let topic = match self.topic(form) {
            Err(fault) if fault.code == "NotFound" => return Ok(None),
            topic => topic?,
        };
        for subscriber in self.subscribers_of(&topic) {
            self.remove_subscription(&subscriber.subscription).await?;
        }
        self.shelf.delete(&topic.key()).await?;
        self.topics.write().unwrap_or_else(PoisonError::into_inner).remove(&topic.arn);
        self.forget_taken(&topic).await?;
        Ok(None)
    }

    pub(super) fn list_topics(&self, auth: &AuthContext, form: &Form) -> Answer {
        let prefix = json_api::arn(auth, Service::Sns, "");
        let arns: Vec<String> = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            let ours =
                topics.range(prefix.clone()..).take_while(|(arn, _)| arn.starts_with(&prefix));
            ours.map(|(arn, _)| arn.clone()).collect()
        };
        let (page, next) = json_api::page(arns, form.get("NextToken"), PAGE, String::clone);
        let mut xml = Xml::new();
        xml.members("Topics", &page, |xml, arn| xml.text("TopicArn", arn));
        xml.optional("NextToken", next.as_deref());
        Ok(Some(xml))
    }

    pub(super) fn topic_attributes(&self, form: &Form) -> Answer {
        let topic = self.topic(form)?;
        let subscribers = self.subscribers_of(&topic);
        let confirmed = subscribers.iter().filter(|one| one.subscription.is_confirmed).count();
        let mut shown = BTreeMap::from([
            ("TopicArn".to_owned(), topic.arn.clone()),
            ("Owner".to_owned(), topic.account.clone()),
            ("DisplayName".to_owned(), String::new()),
            ("Policy".to_owned(), topic.default_policy().to_string()),
            ("SubscriptionsConfirmed".to_owned(), confirmed.to_string()),
            ("SubscriptionsPending".to_owned(), (subscribers.len() - confirmed).to_string()),
            ("SubscriptionsDeleted".to_owned(), "0".to_owned()),
            ("EffectiveDeliveryPolicy".to_owned(), retry::effective(&topic).to_string()),
        ]);
        if topic.is_fifo() {
            shown.insert("FifoTopic".to_owned(), "true".to_owned());
            shown.insert("ContentBasedDeduplication".to_owned(), "false".to_owned());
            shown.insert("FifoThroughputScope".to_owned(), "Topic".to_owned());
        }
        let set = topic.attributes.iter().filter(|(_, value)| !value.is_empty());
        shown.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        let mut xml = Xml::new();
        write_entries(&mut xml, &shown);
        Ok(Some(xml))
    }

    pub(super) async fn set_topic_attribute(&self, form: &Form) -> Answer {
        let name = form.get("AttributeName").ok_or_else(|| fault::missing("AttributeName"))?;
        let value = form.get("AttributeValue").unwrap_or_default();
        let _writing = self.shelf.writing().await;
        let mut topic = (*self.topic(form)?).clone();
        attributes::check_topic(name, value, topic.is_fifo())?;
        topic.attributes.insert(name.to_owned(), value.to_owned());
        self.put_topic(topic).await?;
        Ok(None)
    }
}

impl Topic {
    /// What the owner may do, as AWS writes it for a new topic.
    pub(super) fn default_policy(&self) -> serde_json::Value {
        json!({
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [{
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": [
                    "SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission",
                    "SNS:DeleteTopic", "SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish",
                ],
                "Resource": self.arn,
                "Condition": { "StringEquals": { "AWS:SourceOwner": self.account } },
            }],
        })
    }
}

fn check_name(name: &str, is_fifo: bool) -> Result<(), Fault> {
    let stem = if is_fifo { name.strip_suffix(".fifo") } else { Some(name) };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_name = |stem: &str| !stem.is_empty() && stem.bytes().all(allowed);
    if stem.is_some_and(is_name) && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    if is_fifo {
        return Err(fault::invalid(
            "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, \
             numbers, underscores, and hyphens, and must be between 1 and 256 characters long.",
        ));
    }
    Err(fault::invalid("Topic Name"))
}
