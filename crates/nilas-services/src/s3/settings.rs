//! Sub-resources of buckets: stored as they were put, and answered as AWS answers what was never put.

use nilas_model::AuthContext;
use nilas_model::limits::S3_COMMIT_TRIES_MAX;
use nilas_store::{Expect, StoreError};
use s3s::dto::{
    ObjectOwnership, OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration,
    ServerSideEncryptionConfiguration,
};
use s3s::xml::{Deserialize, Deserializer, Serialize, Serializer};

use super::S3;
use super::error::S3Error;
use super::record::{BucketRecord, Encryption, Setting};
use super::store::{self, BUCKETS};

pub(crate) const NO_TAGS: S3Error = S3Error::NoSetting("NoSuchTagSet", "The TagSet does not exist");

impl S3 {
    /// Puts one sub-resource, or deletes it.
    pub(crate) async fn set(
        &self,
        auth: &AuthContext,
        bucket: &str,
        owner: Option<&str>,
        setting: Setting,
        value: Option<String>,
    ) -> Result<(), S3Error> {
        self.change_bucket(auth, bucket, owner, |record| {
            match &value {
                Some(value) => drop(record.settings.insert(setting, value.clone())),
                None => drop(record.settings.remove(&setting)),
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn change_bucket(
        &self,
        auth: &AuthContext,
        bucket: &str,
        owner: Option<&str>,
        change: impl Fn(&mut BucketRecord) -> Result<(), S3Error>,
    ) -> Result<(), S3Error> {
        for _ in 0..S3_COMMIT_TRIES_MAX {
            let mut found = self.own_bucket(auth, bucket, owner).await?;
            change(&mut found.value)?;
            let expect = Expect::Revision(found.revision);
            let put = store::put(BUCKETS, bucket.to_owned(), &found.value, expect)?;
            match self.records.batch(vec![put]).await {
                Err(StoreError::Conflict { .. }) => {}
                done => return Ok(done?),
            }
        }
        Err(S3Error::Busy)
    }
}

/// As it is stored.
pub(crate) fn xml(value: &impl Serialize) -> Result<String, S3Error> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::new(&mut out)).map_err(|_| S3Error::MalformedXml)?;
    String::from_utf8(out).map_err(|_| S3Error::MalformedXml)
}

/// The sub-resource, if it was ever put.
pub(crate) fn read<T: for<'x> Deserialize<'x>>(
    bucket: &BucketRecord,
    setting: Setting,
) -> Result<Option<T>, S3Error> {
    let stored = bucket.settings.get(&setting);
    stored.map(|xml| parse(xml)).transpose()
}

fn parse<T: for<'x> Deserialize<'x>>(xml: &str) -> Result<T, S3Error> {
    let mut reader = Deserializer::new(xml.as_bytes());
    T::deserialize(&mut reader).map_err(|_| S3Error::MalformedXml)
}

pub(crate) fn ownership(object_ownership: ObjectOwnership) -> Result<String, S3Error> {
    xml(&OwnershipControls { rules: vec![OwnershipControlsRule { object_ownership }] })
}

/// Of a bucket where nothing was ever put.
pub(crate) fn all_blocked() -> PublicAccessBlockConfiguration {
    blocked(true)
}

pub(crate) fn none_blocked() -> PublicAccessBlockConfiguration {
    blocked(false)
}

fn blocked(all: bool) -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration {
        block_public_acls: Some(all),
        block_public_policy: Some(all),
        ignore_public_acls: Some(all),
        restrict_public_buckets: Some(all),
    }
}

/// What a bucket's encryption says of objects that say nothing.
pub(crate) fn default_encryption(stored: &str) -> Option<Encryption> {
    let configuration: ServerSideEncryptionConfiguration = parse(stored).ok()?;
    let rule = configuration.rules.into_iter().next()?;
    let by_default = rule.apply_server_side_encryption_by_default?;
    Some(Encryption {
        algorithm: Some(by_default.sse_algorithm.as_str().to_owned()),
        kms_key_id: by_default.kms_master_key_id,
        bucket_key: rule.bucket_key_enabled.unwrap_or(false),
    })
}
