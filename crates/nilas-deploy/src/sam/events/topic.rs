//! `SNS`: a subscription of the function, or of a queue that the function reads.

use super::rule::send_document;
use super::{Event, Permission, Target, mapping};
use crate::sam::context::Context;
use crate::sam::core::intrinsic::{logical_id, reference};
use crate::sam::core::problem::Result;
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Val, list, map};

pub(super) fn expand(
    cx: &Context,
    event: &Event,
    target: &Target,
    role: Option<&mut Resource>,
) -> Result<Vec<Resource>> {
    let source = &event.source;
    let topic = source.value("Topic");
    let subscribe = source.get("SqsSubscription").filter(|subscription| subscription.truthy());
    let Some(subscribe) = subscribe else {
        let permission =
            Permission { service: "sns.amazonaws.com", source_arn: topic, ..Permission::default() };
        return Ok(vec![
            permission.build(&source.id, &target.resource)?,
            subscription(event, target, "lambda", target.resource.arn())?,
        ]);
    };
    if *subscribe == Val::Bool(true) {
        return with_new_queue(cx, event, target, role);
    }
    let settings = event.at("SqsSubscription").map(Some(subscribe))?;
    let (Some(arn), Some(url)) = (
        settings.get("QueueArn").filter(|arn| arn.truthy()),
        settings.get("QueueUrl").filter(|url| url.truthy()),
    ) else {
        return Err(event.problem("No QueueARN or QueueURL provided."));
    };
    let mut made = event_source(cx, event, target, arn, settings.get("BatchSize"), role)?;
    let id = settings.text("QueuePolicyLogicalId").filter(|id| !id.is_empty());
    let id = id.map_or_else(|| format!("{}QueuePolicy", source.id), str::to_owned);
    made.push(queue_policy(id, target, topic, arn, url)?);
    made.push(subscription(event, target, "sqs", arn.clone())?);
    Ok(made)
}

fn with_new_queue(
    cx: &Context,
    event: &Event,
    target: &Target,
    role: Option<&mut Resource>,
) -> Result<Vec<Resource>> {
    let source = &event.source;
    let topic = source.value("Topic");
    let attributes = target.resource.passed_on();
    let mut queue = Resource::new(source.id.plus("Queue"), "AWS::SQS::Queue", &attributes)?;
    let fifo =
        logical_id(&topic).and_then(|id| cx.resources.get(id)?.get("Properties")?.get("FifoTopic"));
    if let Some(fifo) = fifo {
        let fifo = cx.parameters.resolve(fifo.clone())?;
        queue.set("FifoQueue", Some(&fifo).filter(|fifo| fifo.truthy()));
    }
    let arn = queue.arn();
    let mut made = event_source(cx, event, target, &arn, None, role)?;
    let id = format!("{}QueuePolicy", source.id);
    let policy = queue_policy(id, target, topic, &arn, &reference(&queue.id))?;
    made.push(queue);
    made.push(policy);
    made.push(subscription(event, target, "sqs", arn)?);
    Ok(made)
}

fn subscription(event: &Event, target: &Target, protocol: &str, endpoint: Val) -> Result<Resource> {
    let source = &event.source;
    let mut made =
        Resource::new(&source.id, "AWS::SNS::Subscription", &target.resource.passed_on())?;
    made.set("Protocol", protocol);
    made.set("Endpoint", endpoint);
    made.set("TopicArn", source.value("Topic"));
    for name in ["Region", "FilterPolicy", "FilterPolicyScope", "RedrivePolicy"] {
        made.set(name, source.value(name));
    }
    Ok(made)
}

fn queue_policy(id: String, target: &Target, topic: Val, arn: &Val, url: &Val) -> Result<Resource> {
    let attributes = target.resource.passed_on();
    let mut policy = Resource::new(id, "AWS::SQS::QueuePolicy", &attributes)?;
    policy.set("PolicyDocument", send_document("*".into(), arn.clone(), topic));
    policy.set("Queues", list![url]);
    Ok(policy)
}

fn event_source(
    cx: &Context,
    event: &Event,
    target: &Target,
    queue: &Val,
    batch_size: Option<&Val>,
    role: Option<&mut Resource>,
) -> Result<Vec<Resource>> {
    let batch_size = batch_size.filter(|size| size.truthy()).cloned();
    let mut source = Source {
        id: event.source.id.plus("EventSourceMapping"),
        kind: "SQS",
        depends_on: Val::Null,
        attributes: Map::new(),
        properties: map! {
            "Queue" => queue,
            "BatchSize" => batch_size.unwrap_or_else(|| 10.into()),
            "Enabled" => true,
        },
    };
    mapping::expand(cx, &mut source, &event.name, target, role)
}
