//! `AWS::SNS::Topic`

use super::{as_text, call, entries, member, set_of_topic, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

/// Characters of a topic's name.
const NAME_CHARS_MAX: usize = 256;

const SUBSCRIPTION: Shape =
    Shape::Object(&[Property::text("Endpoint").required(), Property::text("Protocol").required()]);

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SNS::Topic",
    properties: &[
        Property::boolean("ContentBasedDeduplication"),
        Property::text("DisplayName"),
        Property::text("FifoThroughputScope"),
        Property::boolean("FifoTopic").replaces(),
        Property::text("KmsMasterKeyId"),
        Property::text("SignatureVersion"),
        Property::list("Subscription", &SUBSCRIPTION),
        Property::tags(),
        Property::text("TopicName").replaces(),
        Property::text("TracingConfig"),
    ],
    attributes: &["TopicArn", "TopicName"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

/// Properties that are attributes of the same name, and what they are when a template does not have them any more.
const ATTRIBUTES: [(&str, &str); 6] = [
    ("ContentBasedDeduplication", "false"),
    ("DisplayName", ""),
    ("FifoThroughputScope", "Topic"),
    ("KmsMasterKeyId", ""),
    ("SignatureVersion", "1"),
    ("TracingConfig", "PassThrough"),
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let is_fifo = properties.boolean("FifoTopic") == Some(true);
    let name = match properties.text("TopicName") {
        Some(name) => name.to_owned(),
        None if is_fifo => format!("{}.fifo", cx.name(NAME_CHARS_MAX - ".fifo".len())),
        None => cx.name(NAME_CHARS_MAX),
    };
    let arn = cx.arn("sns", &name);
    if !cx.resumed && call(cx, "GetTopicAttributes", &[member("TopicArn", &arn)]).await.is_ok() {
        return Err(Failure::already_exists(&name));
    }
    let mut attributes = attributes_of(properties);
    if is_fifo {
        attributes.push(("FifoTopic", "true".to_owned()));
    }
    let mut members = entries(&attributes);
    members.push(member("Name", &name));
    members.extend(tags(&cx.own_tags(properties)));
    let arn = text(&call(cx, "CreateTopic", &members).await?, "TopicArn")?;
    let made = Resource::new(&arn).with("TopicArn", arn.as_str()).with("TopicName", name);
    for (protocol, endpoint) in inline(properties) {
        let subscribed = subscribe(cx, &arn, protocol, endpoint).await;
        subscribed.map_err(|failure| failure.after(made.clone()))?;
    }
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let arn = &resource.physical_id;
    let (attributes, before) = (attributes_of(new), attributes_of(old));
    for (name, default) in ATTRIBUTES {
        let of = |set: &[(&str, String)]| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map_or_else(|| default.to_owned(), |(_, value)| value.clone())
        };
        let value = of(&attributes);
        if value != of(&before) {
            set_of_topic(cx, arn, name, &value).await?;
        }
    }
    let (tags_new, tags_old) = (cx.own_tags(new), old.tags());
    let gone = tags_old.iter().filter(|(key, _)| !tags_new.iter().any(|(known, _)| known == key));
    let mut members = vec![member("ResourceArn", arn)];
    members
        .extend((1..).zip(gone).map(|(n, (key, _))| (format!("TagKeys.member.{n}"), key.clone())));
    if members.len() > 1 {
        call(cx, "UntagResource", &members).await?;
    }
    if !tags_new.is_empty() {
        let mut members = vec![member("ResourceArn", arn)];
        members.extend(tags(&tags_new));
        call(cx, "TagResource", &members).await?;
    }
    let (wanted, had) = (inline(new), inline(old));
    for (protocol, endpoint) in &wanted {
        if !had.contains(&(*protocol, *endpoint)) {
            subscribe(cx, arn, protocol, endpoint).await?;
        }
    }
    for gone in had.iter().filter(|one| !wanted.contains(one)) {
        unsubscribe(cx, arn, *gone).await?;
    }
    Ok(resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, "DeleteTopic", &[member("TopicArn", &resource.physical_id)]).await.map(drop)
}

/// Protocol and endpoint of each of the topic's own subscriptions.
fn inline(properties: &Properties) -> Vec<(&str, &str)> {
    let all = properties.list("Subscription").iter();
    all.filter_map(|one| Some((one.get("Protocol")?.as_str()?, one.get("Endpoint")?.as_str()?)))
        .collect()
}

async fn subscribe(cx: &Cx, topic: &str, protocol: &str, endpoint: &str) -> Result<(), Failure> {
    let members =
        [member("TopicArn", topic), member("Protocol", protocol), member("Endpoint", endpoint)];
    call(cx, "Subscribe", &members).await.map(drop)
}

async fn unsubscribe(cx: &Cx, topic: &str, gone: (&str, &str)) -> Result<(), Failure> {
    let mut members = vec![member("TopicArn", topic)];
    loop {
        let answer = call(cx, "ListSubscriptionsByTopic", &members).await?;
        let result = answer.children.first();
        let list = result.and_then(|result| result.find(&["Subscriptions"]));
        for one in list.map(|list| list.children.as_slice()).unwrap_or_default() {
            let is_it = (one.text_at(&["Protocol"]), one.text_at(&["Endpoint"]))
                == (Some(gone.0), Some(gone.1));
            // One that nobody confirmed has no ARN to end it by.
            let arn = one.text_at(&["SubscriptionArn"]).filter(|arn| arn.starts_with("arn:"));
            if let (true, Some(arn)) = (is_it, arn) {
                call(cx, "Unsubscribe", &[member("SubscriptionArn", arn)]).await?;
            }
        }
        let next = result.and_then(|result| result.text_at(&["NextToken"]));
        let Some(next) = next.map(str::to_owned) else { return Ok(()) };
        members = vec![member("TopicArn", topic), member("NextToken", &next)];
    }
}

fn attributes_of(properties: &Properties) -> Vec<(&'static str, String)> {
    let known = ATTRIBUTES.into_iter();
    known.filter_map(|(name, _)| Some((name, as_text(properties.get(name)?)))).collect()
}

fn tags(tags: &[(String, String)]) -> Vec<(String, String)> {
    let members = (1..).zip(tags).flat_map(|(n, (key, value))| {
        let key = (format!("Tags.member.{n}.Key"), key.clone());
        [key, (format!("Tags.member.{n}.Value"), value.clone())]
    });
    members.collect()
}
