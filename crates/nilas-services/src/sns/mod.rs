//! Simple Notification Service (query protocol): topics, and subscriptions of queues, functions, HTTP endpoints and mail.
//!
//! A message is answered once all of its deliveries are on disk. Topics and subscriptions are in memory as they are on
//! the shelf.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/welcome.html>

mod attributes;
mod envelope;
mod fault;
mod fifo;
mod filter;
mod message;
mod permission;
mod publish;
mod retry;
mod sign;
mod subscribe;
mod subscription;
mod tags;
mod topic;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::StatusCode;
use nilas_model::limits::{SNS_SUBSCRIPTIONS_MAX, SNS_TOPICS_MAX};
use nilas_model::{AuthContext, Clock, Principal};
use nilas_store::{Queues, Store};
use nilas_wire::query::{self, Form};
use nilas_wire::xml::Xml;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service, encode_fault};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::deliver::Deliveries;
use crate::pattern::Pattern;
use crate::services::ServicesStartError;
use crate::shelf::Shelf;

const XMLNS: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
/// What links say until a request has told the port.
const PORT_DEFAULT: u16 = 4566;
const CERTIFICATE_PATH: &str = "/SimpleNotificationService-";

/// The topics of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Sns {
    shelf: Shelf,
    queues: Queues,
    deliveries: Deliveries,
    clock: Arc<dyn Clock>,
    /// Where mail is put.
    outbox: PathBuf,
    signer: OnceCell<sign::Signer>,
    /// At which callers reach the server: links name it.
    port: AtomicU16,
    /// By ARN.
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// By ARN, which begins with the topic's.
    subscriptions: RwLock<BTreeMap<String, Arc<Subscriber>>>,
    /// What FIFO topics have taken in the last minutes, by ARN.
    taken: Mutex<HashMap<String, Arc<tokio::sync::Mutex<fifo::Taken>>>>,
}

/// A topic. Attributes that nobody set are not here.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Topic {
    arn: String,
    account: String,
    region: String,
    attributes: BTreeMap<String, String>,
    tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Subscription {
    arn: String,
    topic_arn: String,
    account: String,
    protocol: String,
    endpoint: String,
    attributes: BTreeMap<String, String>,
    /// Confirms it.
    token: String,
    is_confirmed: bool,
    /// Whether whoever confirmed it had a key.
    was_authenticated: bool,
    /// Whether the link in its messages ends it no more.
    keeps_link_holders_off: bool,
}

/// A subscription, ready for messages.
#[derive(Debug)]
struct Subscriber {
    subscription: Subscription,
    filter: Option<Pattern>,
}

/// What an operation answers: the inside of its result, or no result at all.
type Answer = Result<Option<Xml>, Fault>;

impl Topic {
    fn is_fifo(&self) -> bool {
        self.arn.ends_with(".fifo")
    }

    fn key(&self) -> String {
        format!("topic/{}", self.arn)
    }
}

impl Subscription {
    fn key(&self) -> String {
        format!("subscription/{}", self.arn)
    }

    fn is_set(&self, name: &str) -> bool {
        self.attributes.get(name).is_some_and(|value| value == "true")
    }

    fn scope(&self) -> &str {
        self.attributes.get("FilterPolicyScope").map_or("MessageAttributes", String::as_str)
    }

    fn filter(&self) -> Result<Option<Pattern>, Fault> {
        let policy = self.attributes.get("FilterPolicy").filter(|policy| !policy.is_empty());
        policy.map_or(Ok(None), |policy| filter::parse(policy, self.scope()))
    }
}

impl Sns {
    pub(crate) async fn load(
        store: &Store,
        deliveries: Deliveries,
        clock: Arc<dyn Clock>,
        data_dir: &Path,
    ) -> Result<Self, ServicesStartError> {
        let shelf = Shelf::new(store.records(), "sns");
        let failed = |_| ServicesStartError::Sns;
        let topics = shelf.list::<Topic>("topic/", SNS_TOPICS_MAX).await.map_err(failed)?;
        let known = shelf.list::<Subscription>("subscription/", SNS_SUBSCRIPTIONS_MAX).await;
        let mut subscriptions = BTreeMap::new();
        for (_, subscription) in known.map_err(failed)? {
            let filter = subscription.filter().map_err(failed)?;
            let subscriber = Arc::new(Subscriber { filter, subscription });
            subscriptions.insert(subscriber.subscription.arn.clone(), subscriber);
        }
        let topics = topics.into_iter().map(|(_, topic)| (topic.arn.clone(), Arc::new(topic)));
        Ok(Self {
            shelf,
            queues: store.queues(),
            deliveries,
            clock,
            outbox: data_dir.join("outbox"),
            signer: OnceCell::new(),
            port: PORT_DEFAULT.into(),
            topics: RwLock::new(topics.collect()),
            subscriptions: RwLock::new(subscriptions),
            taken: Mutex::default(),
        })
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        self.port.store(request.local.port(), Ordering::Relaxed);
        let id = &request.request_id;
        if request.path.starts_with(CERTIFICATE_PATH) {
            return self.certificate(request).await;
        }
        let form = Form::of(request);
        let action = form.get("Action").unwrap_or_default();
        match self.run(auth, action, &form).await {
            Ok(Some(result)) => query::answer(action, XMLNS, id, |xml| xml.append(&result)),
            Ok(None) => query::answer_empty(action, XMLNS, id),
            Err(fault) => encode_fault(Service::Sns.protocol(), &fault, id),
        }
    }

    async fn run(&self, auth: &AuthContext, action: &str, form: &Form) -> Answer {
        let is_nobody = auth.principal == Principal::Anonymous;
        if is_nobody && !["ConfirmSubscription", "Unsubscribe"].contains(&action) {
            return Err(Fault::plain("AuthorizationError", 403, "Missing Authentication Token"));
        }
        match action {
            "CreateTopic" => self.create_topic(auth, form).await,
            "DeleteTopic" => self.delete_topic(form).await,
            "ListTopics" => self.list_topics(auth, form),
            "GetTopicAttributes" => self.topic_attributes(form),
            "SetTopicAttributes" => self.set_topic_attribute(form).await,
            "Subscribe" => self.subscribe(auth, form).await,
            "ConfirmSubscription" => self.confirm(form, is_nobody).await,
            "Unsubscribe" => self.unsubscribe(form, is_nobody).await,
            "ListSubscriptions" => self.list_subscriptions(auth, form),
            "ListSubscriptionsByTopic" => self.list_subscriptions_of_topic(form),
            "GetSubscriptionAttributes" => self.subscription_attributes(form),
            "SetSubscriptionAttributes" => self.set_subscription_attribute(form).await,
            "Publish" => self.publish(form).await,
            "PublishBatch" => self.publish_batch(form).await,
            "AddPermission" => self.add_permission(form).await,
            "RemovePermission" => self.remove_permission(form).await,
            "TagResource" => self.tag(form).await,
            "UntagResource" => self.untag(form).await,
            "ListTagsForResource" => self.list_tags(form),
            "" => {
                Err(Fault::plain("MissingAction", 400, "Could not find operation in the request."))
            }
            action => Err(fault::unknown_action(action)),
        }
    }

    async fn signer(&self) -> Result<&sign::Signer, Fault> {
        self.signer.get_or_try_init(|| sign::Signer::open(&self.shelf)).await
    }

    async fn certificate(&self, request: &ApiRequest) -> ApiResponse {
        match self.signer().await {
            Ok(signer) if request.path[1..] == signer.file => {
                let pem = signer.certificate.clone().into_bytes();
                ApiResponse::with_body(StatusCode::OK, "application/x-pem-file", pem)
            }
            Ok(_) => {
                let fault = Fault::plain("NotFound", 404, "There is no such certificate.");
                encode_fault(Service::Sns.protocol(), &fault, &request.request_id)
            }
            Err(fault) => encode_fault(Service::Sns.protocol(), &fault, &request.request_id),
        }
    }

    fn topic(&self, form: &Form) -> Result<Arc<Topic>, Fault> {
        self.topic_of(form.get("TopicArn").ok_or_else(|| fault::missing("TopicArn"))?)
    }

    fn topic_of(&self, arn: &str) -> Result<Arc<Topic>, Fault> {
        let elements = arn.split(':').count();
        if elements < 6 {
            return Err(fault::invalid(format!(
                "TopicArn Reason: An ARN must have at least 6 elements, not {elements}"
            )));
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(arn).cloned().ok_or_else(fault::no_topic)
    }

    /// Those of ARNs that begin with `prefix`: a topic's and a colon, or all of a region.
    fn subscribers(&self, prefix: &str) -> Vec<Arc<Subscriber>> {
        let known = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.range(prefix.to_owned()..).take_while(|(arn, _)| arn.starts_with(prefix));
        found.map(|(_, subscriber)| Arc::clone(subscriber)).collect()
    }

    fn subscribers_of(&self, topic: &Topic) -> Vec<Arc<Subscriber>> {
        self.subscribers(&format!("{}:", topic.arn))
    }

    /// Under the shelf's lock.
    async fn put_topic(&self, topic: Topic) -> Result<(), Fault> {
        self.shelf.put(&topic.key(), &topic).await?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.arn.clone(), Arc::new(topic));
        Ok(())
    }

    /// Under the shelf's lock.
    async fn put_subscription(&self, subscription: Subscription) -> Result<(), Fault> {
        let filter = subscription.filter()?;
        self.shelf.put(&subscription.key(), &subscription).await?;
        let mut known = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        let arn = subscription.arn.clone();
        known.insert(arn, Arc::new(Subscriber { subscription, filter }));
        Ok(())
    }

    /// Under the shelf's lock.
    async fn remove_subscription(&self, subscription: &Subscription) -> Result<(), Fault> {
        self.shelf.delete(&subscription.key()).await?;
        let mut known = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(&subscription.arn);
        Ok(())
    }

    /// `http://sns.REGION.localhost:PORT`
    fn base(&self, topic: &Topic) -> String {
        let port = self.port.load(Ordering::Relaxed);
        format!("http://sns.{}.localhost:{port}", topic.region)
    }

    /// A file for a mail.
    pub(crate) async fn put_mail(&self, text: &[u8]) -> std::io::Result<()> {
        tokio::fs::create_dir_all(&self.outbox).await?;
        let stamp = nilas_wire::time::amz_date(self.clock.epoch_ms());
        let file = format!("{stamp}-{}.eml", uuid::Uuid::new_v4());
        // Whoever watches the folder sees whole mails only.
        let partial = self.outbox.join(format!(".{file}"));
        tokio::fs::write(&partial, text).await?;
        tokio::fs::File::open(&partial).await?.sync_all().await?;
        tokio::fs::rename(&partial, self.outbox.join(file)).await
    }
}

/// The map of `NAME.entry.1.key`, `NAME.entry.1.value`, …
fn entries(form: &Form, name: &str) -> BTreeMap<String, String> {
    let entries = (1..).map_while(|n| form.structure(&format!("{name}.entry.{n}")));
    let pairs = entries.filter_map(|entry| {
        Some((entry.get("key")?.to_owned(), entry.get("value").unwrap_or_default().to_owned()))
    });
    pairs.collect()
}

fn write_entries(xml: &mut Xml, map: &BTreeMap<String, String>) {
    xml.element("Attributes", |xml| {
        for (key, value) in map {
            xml.element("entry", |xml| {
                xml.text("key", key);
                xml.text("value", value);
            });
        }
    });
}

fn result_of(name: &str, text: &str) -> Answer {
    let mut xml = Xml::new();
    xml.text(name, text);
    Ok(Some(xml))
}
