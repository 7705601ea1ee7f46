//! Buckets: made, found, listed, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use nilas_model::{AuthContext, Principal, Region};
use nilas_store::Expect;
use s3s::dto::{
    self, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
    DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput,
    HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
};
use sha2::{Digest, Sha256};

use super::attributes::refuse_grants;
use super::condition::timestamp;
use super::error::S3Error;
use super::record::{BucketRecord, ObjectRecord, Setting, UploadRecord, Versioning};
use super::store::{self, BUCKETS, OBJECTS, Stored, UPLOADS};
use super::{Cx, PAGE, S3, acl, settings, upload};

/// The region whose buckets have no location constraint.
const REGION_CLASSIC: &str = "us-east-1";

impl S3 {
    /// The bucket, if it belongs to the caller's account, and to `expected`, if that is told.
    pub(crate) async fn own_bucket(
        &self,
        auth: &AuthContext,
        name: &str,
        expected: Option<&str>,
    ) -> Result<Stored<BucketRecord>, S3Error> {
        let bucket = self.bucket(name).await?;
        let owner = bucket.value.account.as_str();
        let stranger = owner != auth.account.as_str() || auth.principal == Principal::Anonymous;
        if stranger || expected.is_some_and(|expected| expected != owner) {
            return Err(S3Error::AccessDenied);
        }
        Ok(bucket)
    }
}

pub(crate) async fn create(
    s3: &Arc<S3>,
    cx: &Cx,
    input: CreateBucketInput,
) -> Result<CreateBucketOutput, S3Error> {
    let grants = [&input.grant_full_control, &input.grant_read, &input.grant_write];
    refuse_grants(&grants)?;
    refuse_grants(&[&input.grant_read_acp, &input.grant_write_acp])?;
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(S3Error::NotImplemented(
            "Object Lock is not implemented by this server.".to_owned(),
        ));
    }
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    let constraint = configuration.location_constraint.as_ref().map(|it| it.as_str());
    let region = region(cx.auth.region.as_str(), constraint.unwrap_or_default())?;
    let mut settings = BTreeMap::new();
    if let Some(acl) = &input.acl {
        settings.insert(Setting::Acl, acl.as_str().to_owned());
    }
    if let Some(ownership) = input.object_ownership {
        settings.insert(Setting::Ownership, settings::ownership(ownership)?);
    }
    let name = input.bucket;
    let record = BucketRecord {
        account: cx.auth.account.as_str().to_owned(),
        region: region.clone(),
        created_ms: s3.clock.epoch_ms(),
        versioning: Versioning::Never,
        settings,
    };
    acl::check(input.acl.as_ref().map(|acl| acl.as_str()), &record).map_err(|err| match err {
        S3Error::AclNotSupported => S3Error::InvalidBucketAcl,
        other => other,
    })?;
    let _alone = s3.gate.write().await;
    if let Some(present) = s3.read::<BucketRecord>(BUCKETS, &name).await? {
        if present.value.account != record.account {
            return Err(S3Error::BucketAlreadyExists(name));
        }
        // In the oldest region making one's own bucket again succeeds; see CreateBucket, "Errors".
        let again = present.value.region == REGION_CLASSIC && region == REGION_CLASSIC;
        if !again {
            return Err(S3Error::BucketAlreadyOwnedByYou(name));
        }
    } else {
        let put = store::put(BUCKETS, name.clone(), &record, Expect::Absent)?;
        s3.apply_alone(vec![put], &[]).await?;
    }
    let location = match region.as_str() {
        REGION_CLASSIC => format!("/{name}"),
        _ => format!("http://{name}.s3.amazonaws.com/"),
    };
    Ok(CreateBucketOutput { location: Some(location) })
}

/// Where a bucket comes to be that is asked for in `scope`.
fn region(scope: &str, constraint: &str) -> Result<String, S3Error> {
    let constraint = if constraint == "EU" { "eu-west-1" } else { constraint };
    match constraint {
        "" if scope == REGION_CLASSIC => Ok(scope.to_owned()),
        "" => Err(S3Error::IllegalLocationConstraint("unspecified".to_owned())),
        REGION_CLASSIC if scope == REGION_CLASSIC => {
            Err(S3Error::InvalidLocationConstraint(constraint.to_owned()))
        }
        _ if Region::parse(constraint).is_err() => {
            Err(S3Error::InvalidLocationConstraint(constraint.to_owned()))
        }
        _ if scope == REGION_CLASSIC || scope == constraint => Ok(constraint.to_owned()),
        _ => Err(S3Error::IllegalLocationConstraint(constraint.to_owned())),
    }
}

pub(crate) async fn delete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: DeleteBucketInput,
) -> Result<DeleteBucketOutput, S3Error> {
    let name = input.bucket;
    let _alone = s3.gate.write().await;
    let bucket = s3.own_bucket(&cx.auth, &name, input.expected_bucket_owner.as_deref()).await?;
    let below = format!("{name}/");
    let objects = s3.list::<ObjectRecord>(OBJECTS, &below, None, 1).await?;
    if !objects.is_empty() {
        let hint = match bucket.value.versioning {
            Versioning::Never => "",
            _ => ". You must delete all versions in the bucket.",
        };
        return Err(S3Error::BucketNotEmpty(hint, name));
    }
    // Uploads that nobody ended go with their bucket.
    loop {
        let uploads = s3.list::<UploadRecord>(UPLOADS, &below, None, PAGE).await?;
        if uploads.is_empty() {
            break;
        }
        for (place, _) in uploads {
            upload::drop_upload(s3, place).await?;
        }
    }
    let change = store::delete(BUCKETS, name, Expect::Revision(bucket.revision));
    s3.apply_alone(vec![change], &[]).await?;
    Ok(DeleteBucketOutput::default())
}

pub(crate) async fn head(
    s3: &Arc<S3>,
    cx: &Cx,
    input: HeadBucketInput,
) -> Result<HeadBucketOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?;
    Ok(HeadBucketOutput {
        bucket_region: Some(bucket.value.region),
        access_point_alias: Some(false),
        ..HeadBucketOutput::default()
    })
}

pub(crate) async fn location(
    s3: &Arc<S3>,
    cx: &Cx,
    input: GetBucketLocationInput,
) -> Result<GetBucketLocationOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?;
    let region = Some(bucket.value.region).filter(|region| region != REGION_CLASSIC);
    Ok(GetBucketLocationOutput { location_constraint: region.map(BucketLocationConstraint::from) })
}

pub(crate) async fn list(
    s3: &Arc<S3>,
    cx: &Cx,
    input: ListBucketsInput,
) -> Result<ListBucketsOutput, S3Error> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let max = input.max_buckets.map_or(10_000, |max| usize::try_from(max).unwrap_or(0));
    let mut after = input.continuation_token;
    let (mut buckets, mut next) = (Vec::new(), None);
    'pages: loop {
        let page = s3.list::<BucketRecord>(BUCKETS, &prefix, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (name, Stored { value, .. }) in page {
            let of_region = input.bucket_region.as_ref().is_none_or(|it| *it == value.region);
            if value.account != cx.auth.account.as_str() || !of_region {
                continue;
            }
            if buckets.len() == max {
                next = buckets.last().and_then(|bucket: &dto::Bucket| bucket.name.clone());
                break 'pages;
            }
            buckets.push(dto::Bucket {
                bucket_region: Some(value.region),
                creation_date: Some(timestamp(value.created_ms)),
                name: Some(name),
            });
        }
    }
    Ok(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token: next,
        owner: Some(owner(&cx.auth)),
        prefix: input.prefix,
    })
}

/// The account as S3 names it: a canonical user ID.
pub(crate) fn owner(auth: &AuthContext) -> dto::Owner {
    dto::Owner { display_name: None, id: Some(canonical_id(auth.account.as_str())) }
}

pub(crate) fn canonical_id(account: &str) -> String {
    let sum = Sha256::digest(format!("canonical user of {account}"));
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_to_be_where_aws_lets_them() {
        for (scope, constraint, expected) in [
            ("us-east-1", "", "us-east-1"),
            ("us-east-1", "eu-west-1", "eu-west-1"),
            ("us-east-1", "EU", "eu-west-1"),
            ("eu-west-1", "eu-west-1", "eu-west-1"),
            ("us-east-1", "us-east-1", "InvalidLocationConstraint"),
            ("us-east-1", "nowhere!", "InvalidLocationConstraint"),
            ("eu-west-1", "", "IllegalLocationConstraintException"),
            ("eu-west-1", "us-west-2", "IllegalLocationConstraintException"),
        ] {
            let found = region(scope, constraint);
            let found = found.unwrap_or_else(|err| err.fault().code.into_owned());
            assert_eq!(found, expected, "{scope} {constraint}");
        }
    }
}
