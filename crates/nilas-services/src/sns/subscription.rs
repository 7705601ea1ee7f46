//! Subscriptions: lists and attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use nilas_model::AuthContext;
use nilas_wire::Service;
use nilas_wire::query::Form;
use nilas_wire::xml::Xml;

use super::{Answer, Sns, Subscriber, attributes, fault, retry, write_entries};
use crate::json_api;

const PAGE: usize = 100;

impl Sns {
    pub(super) fn list_subscriptions(&self, auth: &AuthContext, form: &Form) -> Answer {
        list(form, self.subscribers(&json_api::arn(auth, Service::Sns, "")))
    }

    pub(super) fn list_subscriptions_of_topic(&self, form: &Form) -> Answer {
        list(form, self.subscribers_of(&*self.topic(form)?))
    }

    pub(super) fn subscription_attributes(&self, form: &Form) -> Answer {
        let subscriber = self.subscriber(form)?;
        let subscription = &subscriber.subscription;
        let topic = self.topic_of(&subscription.topic_arn)?;
        let flag = |value: bool| value.to_string();
        let mut shown = BTreeMap::from([
            ("SubscriptionArn".to_owned(), subscription.arn.clone()),
            ("TopicArn".to_owned(), subscription.topic_arn.clone()),
            ("Owner".to_owned(), subscription.account.clone()),
            ("Protocol".to_owned(), subscription.protocol.clone()),
            ("Endpoint".to_owned(), subscription.endpoint.clone()),
            ("PendingConfirmation".to_owned(), flag(!subscription.is_confirmed)),
            ("ConfirmationWasAuthenticated".to_owned(), flag(subscription.was_authenticated)),
            ("RawMessageDelivery".to_owned(), flag(false)),
            (
                "SubscriptionPrincipal".to_owned(),
                format!("arn:aws:iam::{}:root", subscription.account),
            ),
        ]);
        if subscription.protocol.starts_with("http") {
            let policy = retry::effective_of(&topic, subscription);
            shown.insert("EffectiveDeliveryPolicy".to_owned(), policy.to_string());
        }
        if subscription.attributes.contains_key("FilterPolicy") {
            shown.insert("FilterPolicyScope".to_owned(), subscription.scope().to_owned());
        }
        let set = subscription.attributes.iter().filter(|(_, value)| !value.is_empty());
        shown.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        let mut xml = Xml::new();
        write_entries(&mut xml, &shown);
        Ok(Some(xml))
    }

    pub(super) async fn set_subscription_attribute(&self, form: &Form) -> Answer {
        let name = form.get("AttributeName").ok_or_else(|| fault::missing("AttributeName"))?;
        let value = form.get("AttributeValue").unwrap_or_default();
        let _writing = self.shelf.writing().await;
        let mut subscription = self.subscriber(form)?.subscription.clone();
        if value.is_empty() || (name == "FilterPolicy" && value == "{}") {
            subscription.attributes.remove(name);
        } else {
            subscription.attributes.insert(name.to_owned(), value.to_owned());
        }
        attributes::check_subscription(&subscription, name, value)?;
        self.put_subscription(subscription).await?;
        Ok(None)
    }
}

fn list(form: &Form, all: Vec<Arc<Subscriber>>) -> Answer {
    let arn = |one: &Arc<Subscriber>| one.subscription.arn.clone();
    let (page, next) = json_api::page(all, form.get("NextToken"), PAGE, arn);
    let mut xml = Xml::new();
    xml.members("Subscriptions", &page, |xml, one| {
        let subscription = &one.subscription;
        let is_confirmed = subscription.is_confirmed;
        let arn = if is_confirmed { &subscription.arn } else { "PendingConfirmation" };
        xml.text("SubscriptionArn", arn);
        xml.text("Owner", &subscription.account);
        xml.text("Protocol", &subscription.protocol);
        xml.text("Endpoint", &subscription.endpoint);
        xml.text("TopicArn", &subscription.topic_arn);
    });
    xml.optional("NextToken", next.as_deref());
    Ok(Some(xml))
}
