//! Queues themselves: made, changed, listed and removed.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use nilas_model::AuthContext;
use nilas_model::limits::{RESOURCE_TAGS_MAX, SQS_QUEUES_MAX};
use nilas_wire::ApiRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::SqsError;
use super::{Queue, Sqs, attributes};
use crate::json_api;

/// All members that the operations here have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    queue_url: Option<String>,
    queue_name: Option<String>,
    queue_name_prefix: Option<String>,
    attributes: BTreeMap<String, String>,
    attribute_names: Vec<String>,
    #[serde(alias = "tags")]
    tags: BTreeMap<String, String>,
    tag_keys: Vec<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

impl Sqs {
    pub(super) async fn create(
        &self,
        auth: &AuthContext,
        request: &ApiRequest,
        input: Input,
    ) -> Result<Value, SqsError> {
        let name = input.queue_name.ok_or(SqsError::Missing("QueueName"))?;
        let is_fifo = name.ends_with(".fifo");
        check_name(&name)?;
        if input.attributes.contains_key("FifoQueue") && !is_fifo {
            return Err(SqsError::InvalidParameter(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must \
                 end with .fifo suffix and be 1 to 80 in length."
                    .to_owned(),
            ));
        }
        if is_fifo && !input.attributes.contains_key("FifoQueue") {
            return Err(invalid_name());
        }
        attributes::check(is_fifo, &input.attributes)?;
        let _writing = self.shelf.writing().await;
        let now_ms = self.clock.epoch_ms();
        let queue = Queue {
            name,
            account: auth.account.as_str().to_owned(),
            region: auth.region.as_str().to_owned(),
            attributes: input.attributes,
            tags: input.tags,
            created_ms: now_ms,
            modified_ms: now_ms,
        };
        if let Some(known) = self.named(auth, &queue.name) {
            let shown = known.shown();
            let differs =
                queue.attributes.iter().find(|(name, value)| shown.get(*name) != Some(*value));
            return match differs {
                Some((attribute, _)) => Err(SqsError::QueueExists { attribute: attribute.clone() }),
                None => Ok(json!({ "QueueUrl": known.url(request) })),
            };
        }
        self.check_target(&queue)?;
        if self.queues.read().unwrap_or_else(PoisonError::into_inner).len() >= SQS_QUEUES_MAX {
            return Err(SqsError::OverLimit);
        }
        let url = queue.url(request);
        self.save(queue).await?;
        Ok(json!({ "QueueUrl": url }))
    }

    pub(super) async fn delete(&self, auth: &AuthContext, input: Input) -> Result<Value, SqsError> {
        let _writing = self.shelf.writing().await;
        let queue = self.find(auth, input.queue_url.as_deref())?;
        let key = queue.key();
        self.shelf.delete(&key).await?;
        self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        self.changes.send_modify(|count| *count += 1);
        self.forget_messages(&queue).await?;
        Ok(json!({}))
    }

    pub(super) async fn purge(&self, auth: &AuthContext, input: Input) -> Result<Value, SqsError> {
        let queue = self.find(auth, input.queue_url.as_deref())?;
        self.store.purge(&queue.store_name()).await?;
        Ok(json!({}))
    }

    pub(super) fn url_of(
        &self,
        auth: &AuthContext,
        request: &ApiRequest,
        input: &Input,
    ) -> Result<Value, SqsError> {
        let name = input.queue_name.as_deref().ok_or(SqsError::Missing("QueueName"))?;
        let queue = self.named(auth, name).ok_or(SqsError::NoQueue)?;
        Ok(json!({ "QueueUrl": queue.url(request) }))
    }

    pub(super) fn list(
        &self,
        auth: &AuthContext,
        request: &ApiRequest,
        input: &Input,
    ) -> Result<Value, SqsError> {
        let prefix = input.queue_name_prefix.as_deref().unwrap_or_default();
        let queues = self.of(auth).into_iter().filter(|queue| queue.name.starts_with(prefix));
        Ok(urls(queues.collect(), request, input, "QueueUrls"))
    }

    /// Queues whose messages end up in this one.
    pub(super) fn list_sources(
        &self,
        auth: &AuthContext,
        request: &ApiRequest,
        input: &Input,
    ) -> Result<Value, SqsError> {
        let arn = self.find(auth, input.queue_url.as_deref())?.arn();
        let is_source =
            |queue: &Arc<Queue>| queue.redrive().is_some_and(|redrive| redrive.target_arn == arn);
        let queues = self.of(auth).into_iter().filter(is_source).collect();
        Ok(urls(queues, request, input, "queueUrls"))
    }

    pub(super) fn get_attributes(
        &self,
        auth: &AuthContext,
        input: &Input,
    ) -> Result<Value, SqsError> {
        let queue = self.find(auth, input.queue_url.as_deref())?;
        attributes::check_names(&input.attribute_names)?;
        let mut shown = queue.shown();
        let counts = self.store.counts(&queue.store_name(), self.clock.epoch_ms());
        for (name, count) in [
            ("ApproximateNumberOfMessages", counts.due),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed),
            ("ApproximateNumberOfMessagesNotVisible", counts.leased),
        ] {
            shown.insert(name.to_owned(), count.to_string());
        }
        let wants = |name: &String| {
            input.attribute_names.iter().any(|wanted| wanted == "All" || wanted == name)
        };
        shown.retain(|name, _| wants(name));
        Ok(if shown.is_empty() { json!({}) } else { json!({ "Attributes": shown }) })
    }

    pub(super) async fn set_attributes(
        &self,
        auth: &AuthContext,
        input: Input,
    ) -> Result<Value, SqsError> {
        let _writing = self.shelf.writing().await;
        let queue = self.find(auth, input.queue_url.as_deref())?;
        if input.attributes.contains_key("FifoQueue") {
            return Err(SqsError::InvalidAttribute {
                attribute: "FifoQueue".to_owned(),
                reason: " Reason: Modifying queue type is not supported.".to_owned(),
            });
        }
        attributes::check(queue.is_fifo(), &input.attributes)?;
        let mut next = Queue::clone(&queue);
        next.attributes.extend(input.attributes);
        next.modified_ms = self.clock.epoch_ms();
        self.check_target(&next)?;
        self.save(next).await?;
        Ok(json!({}))
    }

    pub(super) async fn tag(&self, auth: &AuthContext, input: Input) -> Result<Value, SqsError> {
        let _writing = self.shelf.writing().await;
        let mut next = Queue::clone(&*self.find(auth, input.queue_url.as_deref())?);
        next.tags.extend(input.tags);
        if next.tags.len() > RESOURCE_TAGS_MAX {
            let message = format!("Too many tags added for queue {}.", next.name);
            return Err(SqsError::InvalidParameter(message));
        }
        self.save(next).await?;
        Ok(json!({}))
    }

    pub(super) async fn untag(&self, auth: &AuthContext, input: Input) -> Result<Value, SqsError> {
        let _writing = self.shelf.writing().await;
        let mut next = Queue::clone(&*self.find(auth, input.queue_url.as_deref())?);
        next.tags.retain(|key, _| !input.tag_keys.contains(key));
        self.save(next).await?;
        Ok(json!({}))
    }

    pub(super) fn list_tags(&self, auth: &AuthContext, input: &Input) -> Result<Value, SqsError> {
        let queue = self.find(auth, input.queue_url.as_deref())?;
        let has_none = queue.tags.is_empty();
        Ok(if has_none { json!({}) } else { json!({ "Tags": queue.tags }) })
    }

    /// A dead-letter queue must be there, of the same kind, and let this queue use it.
    fn check_target(&self, queue: &Queue) -> Result<(), SqsError> {
        let Some(redrive) = queue.redrive() else { return Ok(()) };
        let policy = queue.attributes.get("RedrivePolicy").cloned().unwrap_or_default();
        let refuse = |reason: &str| {
            Err(SqsError::InvalidParameter(format!(
                "Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}"
            )))
        };
        let Some(target) = self.with_arn(&redrive.target_arn) else {
            return refuse("Dead letter target does not exist.");
        };
        if target.is_fifo() != queue.is_fifo() {
            return refuse("Dead-letter queue must be same type of queue as the source.");
        }
        let allow = target.attributes.get("RedriveAllowPolicy").map(String::as_str);
        let allow: Value = serde_json::from_str(allow.unwrap_or("{}")).unwrap_or_default();
        let allows = match allow.get("redrivePermission").and_then(Value::as_str) {
            Some("denyAll") => false,
            Some("byQueue") => {
                let sources = allow.get("sourceQueueArns").and_then(Value::as_array);
                sources.is_some_and(|arns| arns.iter().any(|arn| *arn == queue.arn()))
            }
            _ => true,
        };
        if allows {
            Ok(())
        } else {
            refuse("Queue does not have permission to use the dead-letter queue.")
        }
    }

    async fn save(&self, queue: Queue) -> Result<(), SqsError> {
        let key = queue.key();
        self.shelf.put(&key, &queue).await?;
        self.queues.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(queue));
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }
}

fn urls(queues: Vec<Arc<Queue>>, request: &ApiRequest, input: &Input, member: &str) -> Value {
    let limit = input.max_results.unwrap_or(1_000).clamp(1, 1_000);
    let token = input.next_token.as_deref();
    let (page, next) = json_api::page(queues, token, limit, |queue| queue.name.clone());
    if page.is_empty() {
        return json!({});
    }
    let urls: Vec<String> = page.iter().map(|queue| queue.url(request)).collect();
    match next.filter(|_| input.max_results.is_some()) {
        Some(next) => json!({ member: urls, "NextToken": next }),
        None => json!({ member: urls }),
    }
}

fn check_name(name: &str) -> Result<(), SqsError> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if stem.is_empty() || name.len() > 80 || !stem.bytes().all(allowed) {
        return Err(invalid_name());
    }
    Ok(())
}

fn invalid_name() -> SqsError {
    SqsError::InvalidParameter(
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
            .to_owned(),
    )
}
