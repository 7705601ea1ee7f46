//! `AWS::S3::Bucket`

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use nilas_wire::xml::Xml;
use nilas_wire::{Service, percent};
use serde_json::Value;

use super::documents;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

/// Characters of a bucket's name.
const NAME_CHARS_MAX: usize = 63;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::S3::Bucket",
    properties: &[
        Property::text("BucketName").replaces(),
        Property::text("AccessControl"),
        Property::object("AccelerateConfiguration", &[Property::text("AccelerationStatus")]),
        Property::json("BucketEncryption"),
        Property::json("CorsConfiguration"),
        Property::json("LifecycleConfiguration"),
        Property::object(
            "LoggingConfiguration",
            &[
                Property::text("DestinationBucketName"),
                Property::text("LogFilePrefix"),
                Property::json("TargetObjectKeyFormat").inert(),
            ],
        ),
        Property::json("NotificationConfiguration"),
        Property::json("OwnershipControls"),
        Property::object(
            "PublicAccessBlockConfiguration",
            &[
                Property::boolean("BlockPublicAcls"),
                Property::boolean("BlockPublicPolicy"),
                Property::boolean("IgnorePublicAcls"),
                Property::boolean("RestrictPublicBuckets"),
            ],
        ),
        Property::tags(),
        Property::object("VersioningConfiguration", &[Property::text("Status").required()]),
        Property::json("WebsiteConfiguration"),
        // Known, and refused.
        Property::json("AnalyticsConfigurations"),
        Property::json("IntelligentTieringConfigurations"),
        Property::json("InventoryConfigurations"),
        Property::json("MetadataConfiguration"),
        Property::json("MetadataTableConfiguration"),
        Property::json("MetricsConfigurations"),
        Property::json("ObjectLockConfiguration"),
        Property::boolean("ObjectLockEnabled"),
        Property::json("ReplicationConfiguration"),
    ],
    attributes: &["Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

const REFUSED: [(&str, &str); 9] = [
    ("AnalyticsConfigurations", "Analytics"),
    ("IntelligentTieringConfigurations", "Intelligent-Tiering"),
    ("InventoryConfigurations", "Inventories"),
    ("MetadataConfiguration", "Metadata tables"),
    ("MetadataTableConfiguration", "Metadata tables"),
    ("MetricsConfigurations", "Request metrics"),
    ("ObjectLockConfiguration", "Object Lock"),
    ("ObjectLockEnabled", "Object Lock"),
    ("ReplicationConfiguration", "Replication"),
];

/// A property that is a sub-resource of the bucket.
struct Setting {
    property: &'static str,
    /// Its name in the query of S3's requests.
    query: &'static str,
    document: fn(&Value) -> String,
    removed: Removed,
}

/// How to go back to a bucket that never had it.
enum Removed {
    Delete,
    Put(&'static str),
}

/// In the order in which they are put: what others are checked against first.
const SETTINGS: [Setting; 10] = [
    Setting {
        property: "OwnershipControls",
        query: "ownershipControls",
        document: documents::ownership,
        removed: Removed::Put(
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>",
        ),
    },
    Setting {
        property: "PublicAccessBlockConfiguration",
        query: "publicAccessBlock",
        document: documents::access_block,
        removed: Removed::Put(
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>",
        ),
    },
    Setting {
        property: "BucketEncryption",
        query: "encryption",
        document: documents::encryption,
        removed: Removed::Delete,
    },
    Setting {
        property: "VersioningConfiguration",
        query: "versioning",
        document: documents::versioning,
        removed: Removed::Put(
            "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
        ),
    },
    Setting {
        property: "CorsConfiguration",
        query: "cors",
        document: documents::cors,
        removed: Removed::Delete,
    },
    Setting {
        property: "LifecycleConfiguration",
        query: "lifecycle",
        document: documents::lifecycle,
        removed: Removed::Delete,
    },
    Setting {
        property: "LoggingConfiguration",
        query: "logging",
        document: documents::logging,
        removed: Removed::Put("<BucketLoggingStatus></BucketLoggingStatus>"),
    },
    Setting {
        property: "WebsiteConfiguration",
        query: "website",
        document: documents::website,
        removed: Removed::Delete,
    },
    Setting {
        property: "AccelerateConfiguration",
        query: "accelerate",
        document: documents::accelerate,
        removed: Removed::Put(
            "<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>",
        ),
    },
    Setting {
        property: "NotificationConfiguration",
        query: "notification",
        document: documents::notification,
        removed: Removed::Put("<NotificationConfiguration></NotificationConfiguration>"),
    },
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    refuse(properties)?;
    let name = match properties.text("BucketName") {
        Some(name) => name.to_owned(),
        None => cx.lower_case_name(NAME_CHARS_MAX),
    };
    // In us-east-1 S3 lets an owner make his bucket again; a stack must not take one that is there for its own.
    match send(cx, Method::HEAD, &name, "", String::new()).await {
        Ok(()) if !cx.resumed => {
            return Err(Failure::already_exists(format!("{name} already exists")));
        }
        Ok(()) => {}
        Err(failure) if failure.is_not_found() => {
            send(cx, Method::PUT, &name, "", location(cx)).await?;
        }
        Err(failure) => return Err(failure),
    }
    let made = described(cx, name);
    let configured = configure(cx, &made.physical_id, properties).await;
    configured.map_err(|failure| failure.after(made.clone()))?;
    Ok(made)
}

/// What a creation puts into a bucket that is there.
async fn configure(cx: &Cx, name: &str, properties: &Properties) -> Result<(), Failure> {
    for setting in &SETTINGS {
        if let Some(value) = value_of(properties, setting) {
            let document = (setting.document)(&value);
            send(cx, Method::PUT, name, setting.query, document).await?;
        }
    }
    if let Some(acl) = properties.text("AccessControl") {
        put_acl(cx, name, acl).await?;
    }
    put_tags(cx, name, properties).await
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    refuse(change.new)?;
    let name = change.resource.physical_id.as_str();
    for setting in &SETTINGS {
        if !change.new.differs(change.old, setting.property) {
            continue;
        }
        match (value_of(change.new, setting), &setting.removed) {
            (Some(value), _) => {
                let document = (setting.document)(&value);
                send(cx, Method::PUT, name, setting.query, document).await?;
            }
            (None, Removed::Put(document)) => {
                send(cx, Method::PUT, name, setting.query, (*document).to_owned()).await?;
            }
            (None, Removed::Delete) => {
                send(cx, Method::DELETE, name, setting.query, String::new()).await?;
            }
        }
    }
    if change.new.differs(change.old, "AccessControl") {
        put_acl(cx, name, change.new.text("AccessControl").unwrap_or("Private")).await?;
    }
    // Always: the stack's tags may have changed, too.
    put_tags(cx, name, change.new).await?;
    Ok(change.resource.clone())
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    send(cx, Method::DELETE, &resource.physical_id, "", String::new()).await
}

fn refuse(properties: &Properties) -> Result<(), Failure> {
    let set = |name: &str| match properties.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Object(members)) => !members.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    match REFUSED.iter().find(|(name, _)| set(name)) {
        None => Ok(()),
        Some((name, what)) => Err(Failure::invalid(format!(
            "{name}: {what} of buckets are not implemented by this server yet."
        ))),
    }
}

fn value_of(properties: &Properties, setting: &Setting) -> Option<Value> {
    properties.get(setting.property).cloned()
}

/// The document that asks for the stack's region; us-east-1 has none.
fn location(cx: &Cx) -> String {
    let region = cx.auth.region.as_str();
    if region == "us-east-1" {
        return String::new();
    }
    let mut xml = Xml::new();
    xml.element("CreateBucketConfiguration", |xml| xml.text("LocationConstraint", region));
    xml.into_string()
}

fn described(cx: &Cx, name: String) -> Resource {
    let region = cx.auth.region.as_str();
    Resource::new(name.as_str())
        .with("Arn", format!("arn:aws:s3:::{name}"))
        .with("DomainName", format!("{name}.s3.amazonaws.com"))
        .with("DualStackDomainName", format!("{name}.s3.dualstack.{region}.amazonaws.com"))
        .with("RegionalDomainName", format!("{name}.s3.{region}.amazonaws.com"))
        .with("WebsiteURL", format!("http://{name}.s3-website-{region}.amazonaws.com"))
}

/// S3 has CloudFormation's own tags, which clients cannot put: they stay with the stack.
async fn put_tags(cx: &Cx, name: &str, properties: &Properties) -> Result<(), Failure> {
    let tags = cx.own_tags(properties);
    if tags.is_empty() {
        return send(cx, Method::DELETE, name, "tagging", String::new()).await;
    }
    send(cx, Method::PUT, name, "tagging", documents::tags(&tags)).await
}

/// `PublicRead` is S3's `public-read`.
async fn put_acl(cx: &Cx, name: &str, access_control: &str) -> Result<(), Failure> {
    let mut acl = String::new();
    for c in access_control.chars() {
        if c.is_ascii_uppercase() && !acl.is_empty() {
            acl.push('-');
        }
        acl.push(c.to_ascii_lowercase());
    }
    let value = HeaderValue::from_str(&acl);
    let value = value.map_err(|_| Failure::invalid("AccessControl is no canned ACL."))?;
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-acl", value);
    let target = format!("/{}?acl", percent::encode(name));
    cx.calls.raw(Service::S3, &cx.auth, Method::PUT, &target, headers, Bytes::new()).await?;
    Ok(())
}

async fn send(
    cx: &Cx,
    method: Method,
    bucket: &str,
    query: &str,
    body: String,
) -> Result<(), Failure> {
    let target = match query {
        "" => format!("/{}", percent::encode(bucket)),
        query => format!("/{}?{query}", percent::encode(bucket)),
    };
    let (headers, body) = (HeaderMap::new(), Bytes::from(body));
    cx.calls.raw(Service::S3, &cx.auth, method, &target, headers, body).await?;
    Ok(())
}
