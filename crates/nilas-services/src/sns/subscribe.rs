//! Subscribe, ConfirmSubscription, Unsubscribe.

use std::sync::{Arc, PoisonError};

use nilas_model::AuthContext;
use nilas_model::limits::{SNS_SUBSCRIPTIONS_MAX, SNS_SUBSCRIPTIONS_OF_TOPIC_MAX};
use nilas_wire::Fault;
use nilas_wire::query::Form;

use super::{Answer, Sns, Subscriber, Subscription, Topic, attributes, entries, fault, result_of};

const ENDPOINT_CHARS_MAX: usize = 2_048;
const PENDING: &str = "pending confirmation";

impl Sns {
    pub(super) async fn subscribe(&self, auth: &AuthContext, form: &Form) -> Answer {
        let protocol = form.get("Protocol").ok_or_else(|| fault::missing("Protocol"))?;
        let endpoint = form.get("Endpoint").unwrap_or_default();
        let topic = self.topic(form)?;
        check_endpoint(&topic, protocol, endpoint)?;
        let mut subscription = Subscription {
            arn: format!("{}:{}", topic.arn, uuid::Uuid::new_v4()),
            topic_arn: topic.arn.clone(),
            account: auth.account.as_str().to_owned(),
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
            attributes: entries(form, "Attributes"),
            token: format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()),
            // A queue or a function of the same account has agreed.
            is_confirmed: ["sqs", "lambda"].contains(&protocol),
            was_authenticated: true,
            keeps_link_holders_off: false,
        };
        for (name, value) in &subscription.attributes {
            attributes::check_subscription(&subscription, name, value)?;
        }
        let returns_arn = form.get("ReturnSubscriptionArn") == Some("true");
        let shown = |subscription: &Subscription| {
            let arn =
                if subscription.is_confirmed || returns_arn { &subscription.arn } else { PENDING };
            result_of("SubscriptionArn", arn)
        };
        let _writing = self.shelf.writing().await;
        let others = self.subscribers_of(&topic);
        let same = others.iter().map(|other| &other.subscription);
        let same = same.into_iter().find(|other| {
            other.protocol == subscription.protocol && other.endpoint == subscription.endpoint
        });
        if let Some(known) = same {
            let given = &subscription.attributes;
            if given.iter().any(|(name, value)| known.attributes.get(name) != Some(value)) {
                return Err(fault::invalid(
                    "Attributes Reason: Subscription already exists with different attributes",
                ));
            }
            if !known.is_confirmed {
                self.confirmation(&topic, known, "SubscriptionConfirmation").await?;
            }
            return shown(known);
        }
        let all = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).len();
        if others.len() >= SNS_SUBSCRIPTIONS_OF_TOPIC_MAX || all >= SNS_SUBSCRIPTIONS_MAX {
            let message = "Subscription limit of the topic or of the server exceeded";
            return Err(Fault::plain("SubscriptionLimitExceeded", 403, message));
        }
        subscription.was_authenticated = subscription.is_confirmed;
        self.put_subscription(subscription.clone()).await?;
        if !subscription.is_confirmed {
            self.confirmation(&topic, &subscription, "SubscriptionConfirmation").await?;
        }
        shown(&subscription)
    }

    pub(super) async fn confirm(&self, form: &Form, is_nobody: bool) -> Answer {
        let token = form.get("Token").ok_or_else(|| fault::missing("Token"))?;
        let topic = self.topic(form)?;
        let _writing = self.shelf.writing().await;
        let others = self.subscribers_of(&topic);
        let found = others.iter().find(|one| one.subscription.token == token);
        let found = found.ok_or_else(|| fault::invalid("Token"))?;
        let mut subscription = found.subscription.clone();
        if !subscription.is_confirmed {
            subscription.is_confirmed = true;
            subscription.was_authenticated = !is_nobody;
            subscription.keeps_link_holders_off =
                !is_nobody && form.get("AuthenticateOnUnsubscribe") == Some("true");
            self.put_subscription(subscription.clone()).await?;
        }
        result_of("SubscriptionArn", &subscription.arn)
    }

    /// One that is not there has ended, too.
    pub(super) async fn unsubscribe(&self, form: &Form, is_nobody: bool) -> Answer {
        let _writing = self.shelf.writing().await;
        let subscriber = match self.subscriber(form) {
            Err(fault) if fault.code == "NotFound" => return Ok(None),
            subscriber => subscriber?,
        };
        let subscription = &subscriber.subscription;
        if !subscription.is_confirmed {
            let message =
                "This operation is not allowed for subscriptions that wait for their confirmation";
            return Err(fault::invalid(format!("SubscriptionArn Reason: {message}")));
        }
        if is_nobody && subscription.keeps_link_holders_off {
            let message = "This subscription is ended by whoever has a key only.";
            return Err(Fault::plain("AuthorizationError", 403, message));
        }
        self.remove_subscription(subscription).await?;
        if subscription.protocol.starts_with("http") {
            let topic = self.topic_of(&subscription.topic_arn)?;
            self.confirmation(&topic, subscription, "UnsubscribeConfirmation").await?;
        }
        Ok(None)
    }

    /// The one that `SubscriptionArn` names.
    pub(super) fn subscriber(&self, form: &Form) -> Result<Arc<Subscriber>, Fault> {
        let arn = form.get("SubscriptionArn").ok_or_else(|| fault::missing("SubscriptionArn"))?;
        let elements = arn.split(':').count();
        if elements < 6 {
            return Err(fault::invalid(format!(
                "SubscriptionArn Reason: An ARN must have at least 6 elements, not {elements}"
            )));
        }
        let known = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        known.get(arn).cloned().ok_or_else(fault::no_subscription)
    }
}

fn check_endpoint(topic: &Topic, protocol: &str, endpoint: &str) -> Result<(), Fault> {
    if endpoint.len() > ENDPOINT_CHARS_MAX {
        return Err(fault::invalid("Endpoint Reason: it is too long"));
    }
    if topic.is_fifo() && protocol != "sqs" {
        return Err(fault::invalid(format!(
            "Invalid protocol type: {protocol} Reason: only queues subscribe to FIFO topics"
        )));
    }
    let is_arn = |service: &str| {
        endpoint.starts_with(&format!("arn:aws:{service}:")) && endpoint.split(':').count() >= 6
    };
    match protocol {
        "sqs" if !is_arn("sqs") => Err(fault::invalid("SQS endpoint ARN")),
        "sqs" if endpoint.ends_with(".fifo") && !topic.is_fifo() => Err(fault::invalid(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
        )),
        "lambda" if !is_arn("lambda") => Err(fault::invalid("Lambda endpoint ARN")),
        "http" | "https" => {
            let url = endpoint.parse::<http::Uri>().ok();
            let is_url =
                url.is_some_and(|url| url.scheme_str() == Some(protocol) && url.host().is_some());
            is_url
                .then_some(())
                .ok_or_else(|| fault::invalid("Endpoint must match the specified protocol"))
        }
        "email" | "email-json" => {
            let is_address = endpoint
                .split_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
            let is_line = !endpoint.chars().any(|c| c.is_control() || c.is_whitespace());
            (is_address && is_line).then_some(()).ok_or_else(|| fault::invalid("Email address"))
        }
        "sqs" | "lambda" => Ok(()),
        other => Err(fault::invalid(format!(
            "Amazon SNS does not support this protocol string: {other}"
        ))),
    }
}
