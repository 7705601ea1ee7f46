//! `AWS::SNS::Subscription`

use super::{as_text, call, entries, member, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::SNS::Subscription",
    properties: &[
        Property::json("DeliveryPolicy"),
        Property::text("Endpoint").replaces(),
        Property::json("FilterPolicy"),
        Property::text("FilterPolicyScope"),
        Property::text("Protocol").required().replaces(),
        Property::boolean("RawMessageDelivery"),
        Property::json("RedrivePolicy"),
        Property::text("Region").inert(),
        Property::text("TopicArn").required().replaces(),
    ],
    attributes: &["Arn"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

/// Properties that are attributes of the same name, and what they are when a template does not have them any more. The
/// scope is first: a policy is read in it.
const ATTRIBUTES: [(&str, &str); 5] = [
    ("FilterPolicyScope", "MessageAttributes"),
    ("FilterPolicy", "{}"),
    ("DeliveryPolicy", ""),
    ("RawMessageDelivery", "false"),
    ("RedrivePolicy", ""),
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let mut members = entries(&attributes_of(properties));
    for name in ["TopicArn", "Protocol"] {
        members.push(member(name, properties.required(name)?));
    }
    members.push(member("Endpoint", properties.text("Endpoint").unwrap_or_default()));
    members.push(member("ReturnSubscriptionArn", "true"));
    let arn = text(&call(cx, "Subscribe", &members).await?, "SubscriptionArn")?;
    Ok(Resource::new(&arn).with("Arn", arn))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let set = async |name: &str, value: &str| {
        let members = [
            member("SubscriptionArn", &resource.physical_id),
            member("AttributeName", name),
            member("AttributeValue", value),
        ];
        call(cx, "SetSubscriptionAttributes", &members).await.map(drop)
    };
    // A policy of one scope may be none of the other.
    if new.differs(old, "FilterPolicyScope") {
        set("FilterPolicy", "{}").await?;
    }
    for (name, default) in ATTRIBUTES {
        let value = new.get(name).map_or_else(|| default.to_owned(), as_text);
        let is_filter = name == "FilterPolicy" && new.differs(old, "FilterPolicyScope");
        if new.differs(old, name) || is_filter {
            set(name, &value).await?;
        }
    }
    Ok(resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let members = [member("SubscriptionArn", &resource.physical_id)];
    call(cx, "Unsubscribe", &members).await.map(drop)
}

fn attributes_of(properties: &Properties) -> Vec<(&'static str, String)> {
    let known = ATTRIBUTES.into_iter();
    known.filter_map(|(name, _)| Some((name, as_text(properties.get(name)?)))).collect()
}
