//! Events of objects, sent to whom the bucket's notification configuration names. They are on disk before the request that
//! caused them is answered.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use bytes::Bytes;
use nilas_model::{AccountId, Region};
use nilas_wire::{percent, time};
use s3s::dto::NotificationConfiguration;
use serde_json::{Value, json};

use super::error::S3Error;
use super::notifications::{Rule, rules};
use super::record::{BucketRecord, ObjectRecord, Setting};
use super::{Cx, S3, settings};
use crate::deliver::{Delivery, To};
use crate::sts;

/// What happened to an object.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// `ObjectCreated:Put`
    pub(crate) name: &'static str,
    pub(crate) key: &'a str,
    /// None of one that is gone.
    pub(crate) object: Option<&'a ObjectRecord>,
    pub(crate) version_id: Option<&'a str>,
    /// Grows with every event of a key.
    pub(crate) order: u64,
}

impl<'a> Event<'a> {
    /// Of an object that is there now.
    pub(crate) fn of(name: &'static str, key: &'a str, object: &'a ObjectRecord) -> Self {
        let version_id = object.version_id.as_deref();
        Self { name, key, object: Some(object), version_id, order: object.order }
    }
}

impl S3 {
    /// Sends `events` of `bucket` on behalf of the request. All are on disk when this returns.
    pub(crate) async fn notify(
        &self,
        cx: &Cx,
        (name, bucket): (&str, &BucketRecord),
        events: &[Event<'_>],
    ) -> Result<(), S3Error> {
        let Some(configuration) =
            settings::read::<NotificationConfiguration>(bucket, Setting::Notification)?
        else {
            return Ok(());
        };
        let rules = rules(&configuration);
        let now_ms = self.clock.epoch_ms();
        let mut deliveries = Vec::new();
        for event in events {
            for rule in rules.iter().filter(|rule| rule.is_for(event.name, event.key)) {
                let record = record(cx, name, bucket, rule, event, now_ms);
                let body = json!({ "Records": [record] }).to_string();
                deliveries.extend(delivery(name, bucket, rule, body));
            }
        }
        if deliveries.is_empty() {
            return Ok(());
        }
        Ok(self.deliveries.accept(&deliveries).await?)
    }

    /// Tells queues that the bucket will send its events to them, as AWS does whenever they are configured.
    pub(super) async fn send_test_event(
        &self,
        cx: &Cx,
        name: &str,
        bucket: &BucketRecord,
        configuration: &NotificationConfiguration,
    ) -> Result<(), S3Error> {
        let body = json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": time::iso8601_millis(self.clock.epoch_ms()),
            "Bucket": name,
            "RequestId": cx.request_id.to_string(),
            "HostId": host_id(cx),
        });
        let rules = rules(configuration).into_iter().filter(|rule| rule.hears_of_tests());
        let deliveries: Vec<Delivery> =
            rules.filter_map(|rule| delivery(name, bucket, &rule, body.to_string())).collect();
        Ok(self.deliveries.accept(&deliveries).await?)
    }
}

fn delivery(name: &str, bucket: &BucketRecord, rule: &Rule<'_>, body: String) -> Option<Delivery> {
    let account = AccountId::parse(&bucket.account).ok()?;
    let region = Region::parse(&bucket.region).ok()?;
    let arn = rule.arn.to_owned();
    let to = match rule.service() {
        "lambda" => To::Function { arn },
        "sqs" => To::Queue { arn, attributes: [].into(), group: None, deduplication_id: None },
        _ => return None,
    };
    let mut delivery = Delivery::new((&account, &region), &bucket_arn(name), to, Bytes::from(body));
    delivery.principal = Some("s3.amazonaws.com".to_owned());
    Some(delivery)
}

pub(super) fn bucket_arn(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

/// Of a host that AWS has and this server has not: the same for each request as its id.
fn host_id(cx: &Cx) -> String {
    cx.request_id.to_string().replace('-', "")
}

fn record(
    cx: &Cx,
    name: &str,
    bucket: &BucketRecord,
    rule: &Rule<'_>,
    event: &Event<'_>,
    now_ms: u64,
) -> Value {
    let mut object = json!({ "key": encoded(event.key) });
    if let Some(there) = event.object {
        object["size"] = there.bytes().into();
        object["eTag"] = there.etag.clone().into();
    }
    if let Some(version_id) = event.version_id {
        object["versionId"] = version_id.into();
    }
    object["sequencer"] = format!("{:018X}", event.order).into();
    let is_newer = ["ObjectTagging:", "ObjectAcl:"].iter().any(|kind| event.name.starts_with(kind));
    json!({
        "eventVersion": if is_newer { "2.3" } else { "2.1" },
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": time::iso8601_millis(now_ms),
        "eventName": event.name,
        "userIdentity": { "principalId": format!("AWS:{}", sts::caller_id(&cx.auth)) },
        "requestParameters": { "sourceIPAddress": cx.source_ip.to_string() },
        "responseElements": {
            "x-amz-request-id": cx.request_id.to_string(),
            "x-amz-id-2": host_id(cx),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule.id,
            "bucket": {
                "name": name,
                "ownerIdentity": { "principalId": bucket.account },
                "arn": bucket_arn(name),
            },
            "object": object,
        },
    })
}

/// As in a form: spaces are plus signs. Slashes stay.
fn encoded(key: &str) -> String {
    percent::encode_path(key).replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_in_forms() {
        assert_eq!(encoded("in/red flower+1.jpg"), "in/red+flower%2B1.jpg");
        assert_eq!(encoded("é"), "%C3%A9");
    }
}
