//! Canned ACLs and bucket policies.

use std::sync::Arc;

use nilas_model::limits::S3_POLICY_BYTES_MAX;
use s3s::dto::{self, Grant, Grantee, Permission};
use serde_json::Value;

use super::attributes::refuse_grants;
use super::bucket::owner;
use super::error::S3Error;
use super::events::Event;
use super::record::{BucketRecord, Setting};
use super::settings;
use super::{Cx, S3};

const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

/// What a canned ACL grants beside full control of the owner; None if there is no such ACL.
fn canned(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    Some(match name {
        "private" | "bucket-owner-full-control" | "bucket-owner-read" | "aws-exec-read" => &[],
        "log-delivery-write" => &[],
        "public-read" => &[(EVERYBODY, Permission::READ)],
        "public-read-write" => &[(EVERYBODY, Permission::READ), (EVERYBODY, Permission::WRITE)],
        "authenticated-read" => &[(AUTHENTICATED, Permission::READ)],
        _ => return None,
    })
}

fn grants(name: Option<&str>, owner: &dto::Owner) -> Vec<Grant> {
    let user = Grantee {
        display_name: None,
        email_address: None,
        id: owner.id.clone(),
        type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
        uri: None,
    };
    let group = |uri: &str| Grantee {
        display_name: None,
        email_address: None,
        id: None,
        type_: dto::Type::from_static(dto::Type::GROUP),
        uri: Some(uri.to_owned()),
    };
    let grant = |grantee, permission: &'static str| Grant {
        grantee: Some(grantee),
        permission: Some(Permission::from_static(permission)),
    };
    let others = canned(name.unwrap_or("private")).unwrap_or_default();
    let others = others.iter().map(|(uri, permission)| grant(group(uri), permission));
    std::iter::once(grant(user, Permission::FULL_CONTROL)).chain(others).collect()
}

/// Whether `bucket` takes this ACL for itself or for an object.
pub(crate) fn check(acl: Option<&str>, bucket: &BucketRecord) -> Result<(), S3Error> {
    let Some(acl) = acl else { return Ok(()) };
    let Some(grants) = canned(acl) else {
        return Err(S3Error::InvalidArgument {
            message: "Invalid canned ACL",
            name: "x-amz-acl",
            value: acl.to_owned(),
        });
    };
    if grants.is_empty() {
        return Ok(());
    }
    if owner_enforced(bucket)? {
        return Err(S3Error::AclNotSupported);
    }
    if acl.starts_with("public") && blocked(bucket)?.block_public_acls == Some(true) {
        return Err(S3Error::AccessDenied);
    }
    Ok(())
}

pub(super) fn owner_enforced(bucket: &BucketRecord) -> Result<bool, S3Error> {
    let controls: Option<dto::OwnershipControls> = settings::read(bucket, Setting::Ownership)?;
    let rule = controls.and_then(|controls| controls.rules.into_iter().next());
    let enforced = dto::ObjectOwnership::BUCKET_OWNER_ENFORCED;
    Ok(rule.is_none_or(|rule| rule.object_ownership.as_str() == enforced))
}

pub(super) fn blocked(
    bucket: &BucketRecord,
) -> Result<dto::PublicAccessBlockConfiguration, S3Error> {
    let stored = settings::read(bucket, Setting::PublicAccessBlock)?;
    Ok(stored.unwrap_or_else(settings::all_blocked))
}

pub(crate) async fn bucket_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetBucketAclInput,
) -> Result<dto::GetBucketAclOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    let owner = owner(&cx.auth);
    let acl = bucket.settings.get(&Setting::Acl).map(String::as_str);
    Ok(dto::GetBucketAclOutput { grants: Some(grants(acl, &owner)), owner: Some(owner) })
}

pub(crate) async fn bucket_put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::PutBucketAclInput,
) -> Result<dto::PutBucketAclOutput, S3Error> {
    refuse_grants(&[&input.grant_full_control, &input.grant_read, &input.grant_write])?;
    refuse_grants(&[&input.grant_read_acp, &input.grant_write_acp])?;
    let acl = input.acl.as_ref().map(|acl| acl.as_str());
    let acl = acl_of(acl, input.access_control_policy.as_ref())?;
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    check(Some(&acl), &bucket)?;
    s3.set(&cx.auth, &input.bucket, expected, Setting::Acl, Some(acl)).await?;
    Ok(dto::PutBucketAclOutput::default())
}

/// The canned ACL that a request names, or that its document is like.
fn acl_of(
    named: Option<&str>,
    document: Option<&dto::AccessControlPolicy>,
) -> Result<String, S3Error> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let given = document.and_then(|document| document.grants.as_deref()).unwrap_or_default();
    let mut others = Vec::new();
    for grant in given {
        let uri = grant.grantee.as_ref().and_then(|grantee| grantee.uri.as_deref());
        let permission = grant.permission.as_ref().map(|permission| permission.as_str());
        match (uri, permission) {
            (Some(uri), Some(permission)) => others.push((uri, permission)),
            (None, Some(Permission::FULL_CONTROL)) => {}
            _ => return Err(only_canned()),
        }
    }
    let names = ["private", "public-read", "public-read-write", "authenticated-read"];
    let like = |name: &&&str| canned(name).is_some_and(|grants| grants == others);
    names.iter().find(like).map(|name| (*name).to_owned()).ok_or_else(only_canned)
}

fn only_canned() -> S3Error {
    S3Error::NotImplemented(
        "Only grants that a canned ACL has are implemented by this server.".to_owned(),
    )
}

pub(crate) async fn object_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetObjectAclInput,
) -> Result<dto::GetObjectAclOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, expected).await?;
    let object = s3.object(&input.bucket, &input.key, input.version_id.as_deref()).await?;
    let owner = owner(&cx.auth);
    let grants = grants(object.attributes.acl.as_deref(), &owner);
    let (grants, owner) = (Some(grants), Some(owner));
    Ok(dto::GetObjectAclOutput { grants, owner, ..Default::default() })
}

pub(crate) async fn object_put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::PutObjectAclInput,
) -> Result<dto::PutObjectAclOutput, S3Error> {
    refuse_grants(&[&input.grant_full_control, &input.grant_read, &input.grant_write])?;
    refuse_grants(&[&input.grant_read_acp, &input.grant_write_acp])?;
    let acl = input.acl.as_ref().map(|acl| acl.as_str());
    let acl = acl_of(acl, input.access_control_policy.as_ref())?;
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    check(Some(&acl), &bucket)?;
    let version = input.version_id.as_deref();
    let object = {
        let _gate = s3.gate.read().await;
        let amended = s3.amend(&input.bucket, &input.key, version, |object| {
            object.attributes.acl = Some(acl.clone());
        });
        amended.await?
    };
    let event = Event::of("ObjectAcl:Put", &input.key, &object);
    s3.notify(cx, (&input.bucket, &bucket), &[event]).await?;
    Ok(dto::PutObjectAclOutput::default())
}

pub(crate) async fn policy_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetBucketPolicyInput,
) -> Result<dto::GetBucketPolicyOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    let policy = bucket.settings.get(&Setting::Policy).cloned().ok_or(NO_POLICY)?;
    Ok(dto::GetBucketPolicyOutput { policy: Some(policy) })
}

pub(crate) async fn policy_status(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetBucketPolicyStatusInput,
) -> Result<dto::GetBucketPolicyStatusOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    let policy = bucket.settings.get(&Setting::Policy).ok_or(NO_POLICY)?;
    let policy: Value = serde_json::from_str(policy)?;
    let is_public = Some(statements(&policy).any(is_public));
    Ok(dto::GetBucketPolicyStatusOutput { policy_status: Some(dto::PolicyStatus { is_public }) })
}

pub(crate) async fn policy_put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::PutBucketPolicyInput,
) -> Result<dto::PutBucketPolicyOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    let policy = parse_policy(&input.policy, &input.bucket)?;
    let public = statements(&policy).any(is_public);
    if public && blocked(&bucket)?.block_public_policy == Some(true) {
        return Err(S3Error::AccessDenied);
    }
    s3.set(&cx.auth, &input.bucket, expected, Setting::Policy, Some(input.policy)).await?;
    Ok(dto::PutBucketPolicyOutput::default())
}

const NO_POLICY: S3Error =
    S3Error::NoSetting("NoSuchBucketPolicy", "The bucket policy does not exist");

fn parse_policy(text: &str, bucket: &str) -> Result<Value, S3Error> {
    const NO_JSON: S3Error =
        S3Error::MalformedPolicy("Policies must be valid JSON and the first byte must be '{'");
    if text.len() > S3_POLICY_BYTES_MAX {
        return Err(S3Error::MalformedPolicy("Policy is too large"));
    }
    let policy: Value = serde_json::from_str(text).map_err(|_| NO_JSON)?;
    if !policy.is_object() {
        return Err(NO_JSON);
    }
    if statements(&policy).next().is_none() {
        return Err(S3Error::MalformedPolicy("Missing required field Statement"));
    }
    let own = format!("arn:aws:s3:::{bucket}");
    for statement in statements(&policy) {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err(S3Error::MalformedPolicy("Missing required field Effect"));
        }
        if statement.get("Principal").or_else(|| statement.get("NotPrincipal")).is_none() {
            return Err(S3Error::MalformedPolicy("Missing required field Principal"));
        }
        if statement.get("Action").or_else(|| statement.get("NotAction")).is_none() {
            return Err(S3Error::MalformedPolicy("Missing required field Action"));
        }
        let resources = strings(&statement["Resource"]);
        let of_bucket = |resource: &&str| {
            let rest = resource.strip_prefix(own.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*']))
        };
        if statement.get("NotResource").is_none()
            && (resources.is_empty() || !resources.iter().all(of_bucket))
        {
            return Err(S3Error::MalformedPolicy("Policy has invalid resource"));
        }
    }
    Ok(policy)
}

pub(super) fn statements(policy: &Value) -> impl Iterator<Item = &Value> {
    let statement = &policy["Statement"];
    let many = statement.as_array().map(Vec::as_slice).unwrap_or_default();
    many.iter().chain(Some(statement).filter(|statement| statement.is_object()))
}

/// One text, or a list of texts.
pub(super) fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn everybody(statement: &Value) -> bool {
    let principal = &statement["Principal"];
    principal == "*" || strings(&principal["AWS"]).contains(&"*")
}

/// What AWS calls public: everybody is allowed something without a condition.
pub(super) fn is_public(statement: &Value) -> bool {
    statement["Effect"] == "Allow" && everybody(statement) && statement.get("Condition").is_none()
}

#[cfg(test)]
mod tests {
    use super::parse_policy;

    #[test]
    fn malformed_policies_are_refused() {
        for (policy, expected) in [
            ("no json", "Policies must be valid JSON and the first byte must be '{'"),
            ("{}", "Missing required field Statement"),
            (r#"{"Statement":{"Effect":"Maybe"}}"#, "Missing required field Effect"),
            (r#"{"Statement":{"Effect":"Allow"}}"#, "Missing required field Principal"),
            (
                r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::other/*"}}"#,
                "Policy has invalid resource",
            ),
        ] {
            assert_eq!(parse_policy(policy, "b").unwrap_err().to_string(), expected, "{policy}");
        }
    }
}
