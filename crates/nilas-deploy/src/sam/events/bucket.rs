//! `S3`: notifications of a bucket of the same template.

use super::{Event, Link, Permission, Target};
use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{conditional, conditional_else, reference};
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::property::{self, Property, passed};
use crate::sam::core::resource::{Resource, tag_list};
use crate::sam::core::value::{Map, Text, Val, map};

const BUCKET: &[Property] = &[
    passed("AccessControl"),
    passed("AccelerateConfiguration"),
    passed("AnalyticsConfigurations"),
    passed("BucketEncryption"),
    passed("BucketName"),
    passed("CorsConfiguration"),
    passed("IntelligentTieringConfigurations"),
    passed("InventoryConfigurations"),
    passed("LifecycleConfiguration"),
    passed("LoggingConfiguration"),
    passed("MetricsConfigurations"),
    passed("NotificationConfiguration"),
    passed("ObjectLockConfiguration"),
    passed("ObjectLockEnabled"),
    passed("OwnershipControls"),
    passed("PublicAccessBlockConfiguration"),
    passed("ReplicationConfiguration"),
    passed("Tags"),
    passed("VersioningConfiguration"),
    passed("WebsiteConfiguration"),
];

pub(super) fn link(cx: &Context, event: &Event) -> Result<Link> {
    let bucket = event.source.get("Bucket").and_then(|bucket| bucket.get("Ref"));
    if let Some(bucket) = bucket {
        let Val::Text(id) = bucket else {
            return Err(event.problem("'Ref' value in S3 events is not a valid string."));
        };
        if cx.resources.has(id) {
            return Ok(Link::Resource { id: id.clone() });
        }
    }
    Err(event.problem("S3 events must reference an S3 bucket in the same template."))
}

pub(super) fn expand(cx: &mut Context, event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let Link::Resource { id } = &event.link else { return Ok(Vec::new()) };
    let permission = Permission {
        service: "s3.amazonaws.com",
        source_account: reference("AWS::AccountId"),
        ..Permission::default()
    };
    let permission = permission.build(&event.source.id, &target.resource)?;
    let Some(Val::Map(bucket)) = cx.resources.get_mut(id) else {
        return Err(event.problem("S3 events must reference an S3 bucket in the same template."));
    };
    match permission.attributes.entry("Condition") {
        Some(condition) => depend_by_tag(bucket, id, &permission, condition)?,
        None => depend(bucket, &event.source.id, &permission)?,
    }
    add_notifications(bucket, id, event, target)?;
    let made = resource(id, "AWS::S3::Bucket", BUCKET, bucket)?;
    Ok(vec![permission, made])
}

/// A resource of the template that the translator passes on, changed.
pub(super) fn resource(
    id: &Text,
    kind: &'static str,
    properties: &'static [Property],
    body: &Map,
) -> Result<Resource> {
    let source = crate::sam::core::resource::Source::parse(id, kind, &[properties], body)?;
    match body.text("Type") {
        Some(given) if given == kind => {}
        given => {
            let given = given.unwrap_or("None");
            let message = format!("Resource has incorrect Type; expected '{kind}', got '{given}'");
            return Err(Problem::resource(id, message));
        }
    }
    property::check(&[properties], id, &source.properties)?;
    let mut made = Resource::new(id, kind, &source.attributes)?.depending_on(source.depends_on);
    for (name, value) in source.properties.iter() {
        made.set(name, value.clone());
    }
    Ok(made)
}

/// S3 asks whether it may invoke the function when it is told to: the permission has to be there first.
fn depend(bucket: &mut Map, event_id: &str, permission: &Resource) -> Result<()> {
    let mut names = match bucket.entry("DependsOn") {
        None => Vec::new(),
        Some(Val::List(names)) if names.iter().all(|name| name.as_str().is_some()) => names.clone(),
        Some(name @ Val::Text(_)) => vec![name.clone()],
        Some(_) => {
            let message =
                "Invalid type for field 'DependsOn'. Expected a string or list of strings.";
            return Err(Problem::resource(event_id, message));
        }
    };
    let permission = Val::from(&permission.id);
    if !names.contains(&permission) {
        names.push(permission);
    }
    bucket.insert("DependsOn", names);
    Ok(())
}

/// A permission that there may not be cannot be depended on; a reference to it within a tag does the same.
fn depend_by_tag(bucket: &mut Map, id: &str, permission: &Resource, condition: &Val) -> Result<()> {
    let properties = bucket.map_mut("Properties");
    if properties.get("Tags").is_none() {
        properties.insert("Tags", Vec::new());
    }
    let mut tags = At::Resource(id, "Tags").list(properties.get("Tags"))?.to_vec();
    let name = format!("sam:ConditionalDependsOn:{}", permission.id);
    let value = conditional_else(condition, reference(&permission.id), "no dependency");
    tags.extend(tag_list(&map! { name => value }));
    properties.insert("Tags", tags);
    Ok(())
}

fn add_notifications(bucket: &mut Map, id: &str, event: &Event, target: &Target) -> Result<()> {
    let mut base = map! { "Function" => target.resource.arn() };
    base.insert_some("Filter", event.source.value("Filter"));
    let kinds = match event.source.get("Events") {
        Some(Val::List(kinds)) => kinds.clone(),
        kind => vec![kind.into()],
    };
    if bucket.get("Properties").is_some_and(|properties| properties.as_map().is_none()) {
        return Err(Problem::resource(id, "Properties should be a map."));
    }
    let properties = bucket.map_mut("Properties");
    if let Some(given) = properties.get("NotificationConfiguration") {
        At::Resource(id, "NotificationConfiguration").map(Some(given))?;
    }
    let notifications = properties.map_mut("NotificationConfiguration");
    if notifications.get("LambdaConfigurations").is_none() {
        notifications.insert("LambdaConfigurations", Vec::new());
    }
    let Some(Val::List(configurations)) = notifications.get_mut("LambdaConfigurations") else {
        let message = "Invalid type for LambdaConfigurations. Must be a list.";
        return Err(Problem::resource(id, message));
    };
    for kind in kinds {
        let mut mapping = base.clone();
        mapping.insert("Event", kind);
        let mapping = match target.resource.attributes.entry("Condition") {
            Some(condition) => conditional(condition, mapping),
            None => mapping.into(),
        };
        if !configurations.contains(&mapping) {
            configurations.push(mapping);
        }
    }
    Ok(())
}
