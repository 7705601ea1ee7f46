//! Properties of buckets as S3's documents.

use nilas_wire::xml::Xml;
use serde_json::{Map, Value};

/// `value` as the text of an element; what is no scalar has none.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The member `from` of `value`, if there is one, as the element `to`.
fn copy(xml: &mut Xml, value: &Value, from: &str, to: &str) {
    xml.optional(to, value.get(from).and_then(scalar).as_deref());
}

fn copy_all(xml: &mut Xml, value: &Value, names: &[&str]) {
    for name in names {
        copy(xml, value, name, name);
    }
}

/// Each item of the list `from`; one value is a list of one.
fn items<'v>(value: &'v Value, from: &str) -> Vec<&'v Value> {
    match value.get(from) {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one],
    }
}

fn copy_list(xml: &mut Xml, value: &Value, from: &str, to: &str) {
    for item in items(value, from) {
        xml.optional(to, scalar(item).as_deref());
    }
}

fn document(root: &str, inside: impl FnOnce(&mut Xml)) -> String {
    let mut xml = Xml::new();
    xml.element(root, inside);
    xml.into_string()
}

pub(super) fn notification(value: &Value) -> String {
    document("NotificationConfiguration", |xml| {
        for (list, element, from, to) in [
            ("TopicConfigurations", "TopicConfiguration", "Topic", "Topic"),
            ("QueueConfigurations", "QueueConfiguration", "Queue", "Queue"),
            ("LambdaConfigurations", "CloudFunctionConfiguration", "Function", "CloudFunction"),
        ] {
            for one in items(value, list) {
                xml.element(element, |xml| {
                    copy(xml, one, "Event", "Event");
                    if let Some(key) = one.get("Filter").and_then(|filter| filter.get("S3Key")) {
                        xml.element("Filter", |xml| {
                            xml.element("S3Key", |xml| {
                                for rule in items(key, "Rules") {
                                    xml.element("FilterRule", |xml| {
                                        copy_all(xml, rule, &["Name", "Value"]);
                                    });
                                }
                            });
                        });
                    }
                    copy(xml, one, from, to);
                });
            }
        }
        let to_bus = value.get("EventBridgeConfiguration").map(|bus| {
            bus.get("EventBridgeEnabled")
                .is_none_or(|on| *on != Value::Bool(false) && on != "false")
        });
        if to_bus == Some(true) {
            xml.element("EventBridgeConfiguration", |_| {});
        }
    })
}

pub(super) fn encryption(value: &Value) -> String {
    document("ServerSideEncryptionConfiguration", |xml| {
        for rule in items(value, "ServerSideEncryptionConfiguration") {
            xml.element("Rule", |xml| {
                if let Some(by_default) = rule.get("ServerSideEncryptionByDefault") {
                    xml.element("ApplyServerSideEncryptionByDefault", |xml| {
                        copy_all(xml, by_default, &["SSEAlgorithm", "KMSMasterKeyID"]);
                    });
                }
                copy(xml, rule, "BucketKeyEnabled", "BucketKeyEnabled");
            });
        }
    })
}

pub(super) fn cors(value: &Value) -> String {
    document("CORSConfiguration", |xml| {
        for rule in items(value, "CorsRules") {
            xml.element("CORSRule", |xml| {
                copy(xml, rule, "Id", "ID");
                copy_list(xml, rule, "AllowedHeaders", "AllowedHeader");
                copy_list(xml, rule, "AllowedMethods", "AllowedMethod");
                copy_list(xml, rule, "AllowedOrigins", "AllowedOrigin");
                copy_list(xml, rule, "ExposedHeaders", "ExposeHeader");
                copy(xml, rule, "MaxAge", "MaxAgeSeconds");
            });
        }
    })
}

pub(super) fn logging(value: &Value) -> String {
    document("BucketLoggingStatus", |xml| {
        xml.element("LoggingEnabled", |xml| {
            copy(xml, value, "DestinationBucketName", "TargetBucket");
            let prefix = value.get("LogFilePrefix").and_then(scalar).unwrap_or_default();
            xml.text("TargetPrefix", &prefix);
        });
    })
}

pub(super) fn ownership(value: &Value) -> String {
    document("OwnershipControls", |xml| {
        for rule in items(value, "Rules") {
            xml.element("Rule", |xml| copy(xml, rule, "ObjectOwnership", "ObjectOwnership"));
        }
    })
}

/// What a template leaves out is off.
pub(super) fn access_block(value: &Value) -> String {
    let names =
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    document("PublicAccessBlockConfiguration", |xml| {
        for name in names {
            let set = value.get(name).and_then(scalar);
            xml.text(name, set.as_deref().unwrap_or("false"));
        }
    })
}

pub(super) fn versioning(value: &Value) -> String {
    document("VersioningConfiguration", |xml| copy(xml, value, "Status", "Status"))
}

pub(super) fn accelerate(value: &Value) -> String {
    document("AccelerateConfiguration", |xml| copy(xml, value, "AccelerationStatus", "Status"))
}

pub(super) fn tags(tags: &[(String, String)]) -> String {
    document("Tagging", |xml| {
        xml.element("TagSet", |xml| {
            for (key, value) in tags {
                xml.element("Tag", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            }
        });
    })
}

pub(super) fn website(value: &Value) -> String {
    document("WebsiteConfiguration", |xml| {
        if let Some(error) = value.get("ErrorDocument").and_then(scalar) {
            xml.element("ErrorDocument", |xml| xml.text("Key", &error));
        }
        if let Some(index) = value.get("IndexDocument").and_then(scalar) {
            xml.element("IndexDocument", |xml| xml.text("Suffix", &index));
        }
        if let Some(to) = value.get("RedirectAllRequestsTo") {
            xml.element("RedirectAllRequestsTo", |xml| {
                copy_all(xml, to, &["HostName", "Protocol"])
            });
        }
        let rules = items(value, "RoutingRules");
        if rules.is_empty() {
            return;
        }
        xml.element("RoutingRules", |xml| {
            for rule in rules {
                xml.element("RoutingRule", |xml| routing_rule(xml, rule));
            }
        });
    })
}

fn routing_rule(xml: &mut Xml, rule: &Value) {
    if let Some(condition) = rule.get("RoutingRuleCondition") {
        xml.element("Condition", |xml| {
            copy_all(xml, condition, &["HttpErrorCodeReturnedEquals", "KeyPrefixEquals"]);
        });
    }
    let empty = Value::Object(Map::new());
    let redirect = rule.get("RedirectRule").unwrap_or(&empty);
    xml.element("Redirect", |xml| {
        let names =
            ["HostName", "HttpRedirectCode", "Protocol", "ReplaceKeyPrefixWith", "ReplaceKeyWith"];
        copy_all(xml, redirect, &names);
    });
}

pub(super) fn lifecycle(value: &Value) -> String {
    document("LifecycleConfiguration", |xml| {
        for rule in items(value, "Rules") {
            xml.element("Rule", |xml| lifecycle_rule(xml, rule));
        }
    })
}

fn lifecycle_rule(xml: &mut Xml, rule: &Value) {
    copy(xml, rule, "Id", "ID");
    lifecycle_filter(xml, rule);
    copy(xml, rule, "Status", "Status");
    let expires = ["ExpirationInDays", "ExpirationDate", "ExpiredObjectDeleteMarker"];
    if expires.iter().any(|name| rule.get(*name).is_some()) {
        xml.element("Expiration", |xml| {
            copy(xml, rule, "ExpirationDate", "Date");
            copy(xml, rule, "ExpirationInDays", "Days");
            copy(xml, rule, "ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker");
        });
    }
    for transition in [items(rule, "Transitions"), items(rule, "Transition")].concat() {
        xml.element("Transition", |xml| {
            copy(xml, transition, "TransitionDate", "Date");
            copy(xml, transition, "TransitionInDays", "Days");
            copy(xml, transition, "StorageClass", "StorageClass");
        });
    }
    let older =
        [items(rule, "NoncurrentVersionTransitions"), items(rule, "NoncurrentVersionTransition")];
    for transition in older.concat() {
        xml.element("NoncurrentVersionTransition", |xml| {
            copy(xml, transition, "TransitionInDays", "NoncurrentDays");
            copy(xml, transition, "StorageClass", "StorageClass");
            copy(xml, transition, "NewerNoncurrentVersions", "NewerNoncurrentVersions");
        });
    }
    if rule.get("NoncurrentVersionExpirationInDays").is_some() {
        xml.element("NoncurrentVersionExpiration", |xml| {
            copy(xml, rule, "NoncurrentVersionExpirationInDays", "NoncurrentDays");
        });
    }
    if let Some(expiration) = rule.get("NoncurrentVersionExpiration") {
        xml.element("NoncurrentVersionExpiration", |xml| {
            copy_all(xml, expiration, &["NoncurrentDays", "NewerNoncurrentVersions"]);
        });
    }
    if let Some(abort) = rule.get("AbortIncompleteMultipartUpload") {
        xml.element("AbortIncompleteMultipartUpload", |xml| {
            copy(xml, abort, "DaysAfterInitiation", "DaysAfterInitiation");
        });
    }
}

/// Several conditions are in an `And`.
fn lifecycle_filter(xml: &mut Xml, rule: &Value) {
    let tags = items(rule, "TagFilters");
    let names = ["Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan"];
    let conditions = names.iter().filter(|name| rule.get(**name).is_some()).count() + tags.len();
    let inside = |xml: &mut Xml| {
        copy_all(xml, rule, &names);
        for tag in &tags {
            xml.element("Tag", |xml| copy_all(xml, tag, &["Key", "Value"]));
        }
    };
    xml.element("Filter", |xml| match conditions {
        0 => xml.text("Prefix", ""),
        1 => inside(xml),
        _ => xml.element("And", inside),
    });
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(found: String, expected: Expect) {
        expected.assert_eq(&found);
    }

    #[test]
    fn properties_become_documents() {
        check(
            encryption(
                &json!({ "ServerSideEncryptionConfiguration": [{ "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }] }),
            ),
            expect![
                "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
            ],
        );
        check(
            access_block(&json!({ "BlockPublicAcls": true })),
            expect![
                "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy><RestrictPublicBuckets>false</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
            ],
        );
        check(
            cors(
                &json!({ "CorsRules": [{ "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": "*", "MaxAge": 3 }] }),
            ),
            expect![
                "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>*</AllowedOrigin><MaxAgeSeconds>3</MaxAgeSeconds></CORSRule></CORSConfiguration>"
            ],
        );
        // As CDK's bootstrap has it.
        check(
            lifecycle(
                &json!({ "Rules": [{ "Id": "CleanupOldVersions", "Status": "Enabled", "NoncurrentVersionExpiration": { "NoncurrentDays": 30 } }] }),
            ),
            expect![
                "<LifecycleConfiguration><Rule><ID>CleanupOldVersions</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>"
            ],
        );
        check(
            website(&json!({ "IndexDocument": "index.html" })),
            expect![
                "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>"
            ],
        );
    }
}
