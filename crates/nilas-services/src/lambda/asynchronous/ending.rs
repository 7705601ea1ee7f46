//! How an event ends, and what follows from it: a destination's record, a dead letter.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use nilas_model::{FunctionId, Qualifier, RequestId, Version};
use nilas_store::{Leased, Settle};
use nilas_wire::time;
use serde_json::value::RawValue;

use super::event::Event;
use super::queue_of;
use crate::deliver::{self, Delivery, MessageAttribute, To};
use crate::lambda::Lambda;
use crate::lambda::event_invoke_config::EventRules;
use crate::lambda::target::Target;

/// The words of a function's error that a dead letter tells, bytes.
const ERROR_MESSAGE_BYTES_MAX: usize = 1_024;

/// Why an event is not tried any more.
#[derive(Debug)]
pub(super) enum Ending {
    Succeeded {
        version: Version,
        payload: Bytes,
    },
    /// The function has failed in all attempts.
    Failed {
        version: Version,
        error: &'static str,
        payload: Bytes,
    },
    TooOld,
    /// Its function's reservation is nothing.
    NeverRun,
}

impl Ending {
    fn condition(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "Success",
            Self::Failed { .. } | Self::NeverRun => "RetriesExhausted",
            Self::TooOld => "EventAgeExceeded",
        }
    }
}

/// Ends the event, in one commit with what is to be delivered because of it.
pub(super) async fn end(
    lambda: &Lambda,
    target: &Target,
    leased: &Leased,
    event: &Event,
    rules: &EventRules,
    ending: Ending,
) {
    let succeeded = matches!(ending, Ending::Succeeded { .. });
    let destination = if succeeded { &rules.on_success } else { &rules.on_failure };
    let now_ms = lambda.clock.epoch_ms();
    let delivery = |to, body| {
        let (account, region) = (&target.id.account, &target.id.region);
        Delivery::new((account, region), &target.id.arn(None).to_string(), to, body)
    };
    let mut deliveries = Vec::new();
    if let Some(arn) = destination {
        let record = record(target, leased, event, &ending, now_ms);
        let to = place(arn, target, BTreeMap::new(), now_ms);
        deliveries.extend(to.map(|to| delivery(to, record)));
    }
    if let Some(arn) = rules.dead_letter.as_ref().filter(|_| !succeeded) {
        let to = place(arn, target, letter_attributes(event, &ending), now_ms);
        deliveries.extend(to.map(|to| delivery(to, leased.body.clone())));
    }
    // The event ends all the same: what cannot be kept must not make it run again.
    deliveries.retain(|delivery| {
        let fits = delivery.fits();
        if !fits {
            let (function, bytes) = (target.id.name.as_str(), delivery.body.len());
            tracing::warn!(
                function,
                request = event.request_id,
                bytes,
                "a record is too large; dropped"
            );
        }
        fits
    });
    if !succeeded {
        tracing::info!(
            function = target.id.name.as_str(),
            request = event.request_id,
            condition = ending.condition(),
            deliveries = deliveries.len(),
            "an event was given up"
        );
    }
    let parts = deliveries.iter().map(|one| lambda.asynchronous.deliveries.part(one)).collect();
    settle(lambda, &target.id, leased, parts).await;
}

/// Ends an event of which nothing follows.
pub(super) async fn discard(lambda: &Lambda, id: &FunctionId, leased: &Leased) {
    settle(lambda, id, leased, Vec::new()).await;
}

async fn settle(lambda: &Lambda, id: &FunctionId, leased: &Leased, mut parts: Vec<Settle>) {
    let lease = Some(leased.lease);
    parts.push(Settle::Ack { queue: queue_of(id), id: leased.id, lease });
    report(id, lambda.asynchronous.queues.settle(parts).await.map(|done| done.is_some()));
}

/// Puts the event off until `due_ms`.
pub(super) async fn retry(
    lambda: &Lambda,
    id: &FunctionId,
    leased: &Leased,
    event: &Event,
    due_ms: u64,
) {
    let (queue, note) = (queue_of(id), event.note());
    let part = Settle::Retry { queue, id: leased.id, lease: Some(leased.lease), due_ms, note };
    report(id, lambda.asynchronous.queues.settle(vec![part]).await.map(|done| done.is_some()));
}

/// The event stays where it is if this fails: it is tried again when the lease ends.
fn report(id: &FunctionId, settled: Result<bool, nilas_store::StoreError>) {
    match settled {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(function = id.name.as_str(), "an event took longer than its lease");
        }
        Err(error) => tracing::error!(
            function = id.name.as_str(),
            error = &error as &dyn std::error::Error,
            "an event's end cannot be written"
        ),
    }
}

/// The place that an ARN names; `attributes` are for where there are such. None if no service here has it.
fn place(
    arn: &str,
    target: &Target,
    attributes: BTreeMap<String, MessageAttribute>,
    now_ms: u64,
) -> Option<To> {
    let own = || arn.to_owned();
    match arn.split(':').nth(2) {
        Some("lambda") => Some(To::Function { arn: own() }),
        Some("sqs") => {
            Some(To::Queue { arn: own(), attributes, group: None, deduplication_id: None })
        }
        Some("sns") => Some(To::Topic { arn: own(), subject: None, attributes }),
        Some("s3") => {
            let bucket = arn.rsplit(':').next().unwrap_or_default().to_owned();
            let stamp = time::iso8601_millis(now_ms);
            let (day, clock) = stamp.split_once('T').unwrap_or((&stamp, ""));
            let clock = clock.split('.').next().unwrap_or_default().replace(':', ".");
            let key = format!(
                "aws/lambda/async/{}/{}/{day}T{clock}-{}",
                target.id.name.as_str(),
                day.replace('-', "/"),
                RequestId::random()
            );
            Some(To::Object { bucket, key })
        }
        _ => {
            tracing::warn!(
                function = target.id.name.as_str(),
                arn,
                "no service has the destination"
            );
            None
        }
    }
}

/// What a dead letter tells beside the event.
fn letter_attributes(event: &Event, ending: &Ending) -> BTreeMap<String, MessageAttribute> {
    let words = error_message(ending);
    let words = &words[..words.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)];
    let mut attributes = BTreeMap::from([
        ("RequestID".to_owned(), deliver::string(&event.request_id)),
        ("ErrorCode".to_owned(), deliver::number(200)),
    ]);
    // An attribute has a value.
    if !words.is_empty() {
        attributes.insert("ErrorMessage".to_owned(), deliver::string(words));
    }
    attributes
}

/// The function's own words, for the attribute of a dead letter.
fn error_message(ending: &Ending) -> String {
    let Ending::Failed { payload, .. } = ending else { return String::new() };
    let error: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    let message = error.get("errorMessage").and_then(serde_json::Value::as_str);
    message.unwrap_or_default().to_owned()
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    request_payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<&'a RawValue>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: String,
    condition: &'static str,
    approximate_invoke_count: u32,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'static str>,
}

fn record(target: &Target, leased: &Leased, event: &Event, ending: &Ending, now_ms: u64) -> Bytes {
    let qualifier = target.qualifier.clone().unwrap_or(Qualifier::Latest);
    let context = |version: &Version, function_error| ResponseContext {
        status_code: 200,
        executed_version: version.to_string(),
        function_error,
    };
    let (response_context, response) = match ending {
        Ending::Succeeded { version, payload } => (Some(context(version, None)), Some(payload)),
        Ending::Failed { version, error, payload } => {
            (Some(context(version, Some(error))), Some(payload))
        }
        Ending::TooOld | Ending::NeverRun => (None, None),
    };
    let succeeded = u32::from(matches!(ending, Ending::Succeeded { .. }));
    let record = Record {
        version: "1.0",
        timestamp: time::iso8601_millis(now_ms),
        request_context: RequestContext {
            request_id: &event.request_id,
            function_arn: target.id.arn(Some(qualifier)).to_string(),
            condition: ending.condition(),
            approximate_invoke_count: event.errors + succeeded,
        },
        // Payloads are JSON: the event was checked when it came, an answer when the function gave it.
        request_payload: serde_json::from_slice(&leased.body).ok(),
        response_context,
        response_payload: response.and_then(|payload| serde_json::from_slice(payload).ok()),
    };
    serde_json::to_vec(&record).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use nilas_store::{LeaseId, MessageId};

    use super::*;

    #[test]
    fn records_are_as_documented() {
        let target = super::super::super::call::target_of(
            "arn:aws:lambda:us-east-2:123456789012:function:my-function",
        );
        let target = target.expect("an ARN");
        let id = RequestId::parse("e4b46cbf-b738-4880-8880-a18cdf61200e").expect("a UUID");
        let mut event = Event::new(id, None, String::new());
        event.errors = 3;
        let leased = Leased {
            id: MessageId(1),
            lease: LeaseId(1),
            body: Bytes::from_static(br#"{"ORDER_IDS": ["9e07af03"]}"#),
            note: event.note(),
            group: None,
            receives: 3,
            pushed_ms: 0,
            first_leased_ms: 0,
        };
        let payload = Bytes::from_static(br#"{"errorMessage": "boom"}"#);
        let failed = Ending::Failed { version: Version::Latest, error: "Unhandled", payload };
        assert_eq!(error_message(&failed), "boom");
        let text = |ending: &Ending| {
            let bytes = record(&target, &leased, &event, ending, 1_573_755_365_568);
            String::from_utf8(bytes.to_vec()).expect("JSON")
        };
        expect![[r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"e4b46cbf-b738-4880-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"ORDER_IDS": ["9e07af03"]},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage": "boom"}}"#]].assert_eq(&text(&failed));
        expect![[r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"e4b46cbf-b738-4880-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST","condition":"EventAgeExceeded","approximateInvokeCount":3},"requestPayload":{"ORDER_IDS": ["9e07af03"]}}"#]].assert_eq(&text(&Ending::TooOld));
    }
}
