//! The part of the template that is there before anything else: the bucket for archives.

use serde_json::{Value, json};

use super::super::json::{members, truthy};
use super::Service;

pub(super) fn template(service: &Service) -> Value {
    let mut template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The AWS CloudFormation template for this Serverless application",
        "Resources": {},
        "Outputs": {
            "ServerlessDeploymentBucketName": {"Value": {"Ref": "ServerlessDeploymentBucket"}}
        },
    });
    if let Some(bucket) = &service.deployment.bucket {
        template["Outputs"]["ServerlessDeploymentBucketName"]["Value"] = bucket.as_str().into();
        return template;
    }
    let settings = &service.provider()["deploymentBucket"];
    template["Resources"]["ServerlessDeploymentBucket"] = bucket(settings);
    if !truthy(&settings["skipPolicySetup"]) {
        template["Resources"]["ServerlessDeploymentBucketPolicy"] = policy();
    }
    template
}

fn bucket(settings: &Value) -> Value {
    let mut properties = json!({
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [
            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        ]}
    });
    let tags: Vec<Value> = members(&settings["tags"])
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    if !tags.is_empty() {
        properties["Tags"] = tags.into();
    }
    if truthy(&settings["blockPublicAccess"]) {
        properties["PublicAccessBlockConfiguration"] = json!({
            "BlockPublicAcls": true,
            "BlockPublicPolicy": true,
            "IgnorePublicAcls": true,
            "RestrictPublicBuckets": true,
        });
    }
    if truthy(&settings["versioning"]) {
        properties["VersioningConfiguration"] = json!({"Status": "Enabled"});
    }
    json!({"Type": "AWS::S3::Bucket", "Properties": properties})
}

/// Nobody reads archives over a connection without TLS.
fn policy() -> Value {
    let arn = |rest: &[&str]| {
        let mut parts = vec![
            json!("arn:"),
            json!({"Ref": "AWS::Partition"}),
            json!(":s3:::"),
            json!({"Ref": "ServerlessDeploymentBucket"}),
        ];
        parts.extend(rest.iter().map(|rest| json!(rest)));
        json!({"Fn::Join": ["", parts]})
    };
    json!({
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": {"Ref": "ServerlessDeploymentBucket"},
            "PolicyDocument": {"Statement": [{
                "Action": "s3:*",
                "Effect": "Deny",
                "Principal": "*",
                "Resource": [arn(&["/*"]), arn(&[])],
                "Condition": {"Bool": {"aws:SecureTransport": false}},
            }]},
        },
    })
}
