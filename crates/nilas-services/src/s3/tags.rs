//! Tags of objects and of buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use nilas_model::limits::{S3_OBJECT_TAGS_MAX, TAGS_MAX};
use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetObjectTaggingInput, GetObjectTaggingOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag, Tagging,
};

use super::attributes::check_tags;
use super::error::S3Error;
use super::events::Event;
use super::record::Setting;
use super::settings::{self, NO_TAGS};
use super::{Cx, S3};

pub(crate) async fn get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: GetObjectTaggingInput,
) -> Result<GetObjectTaggingOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner).await?;
    let object = s3.object(&input.bucket, &input.key, input.version_id.as_deref()).await?;
    Ok(GetObjectTaggingOutput {
        version_id: object.version_id,
        tag_set: tag_set(object.attributes.tags),
    })
}

pub(crate) async fn put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: PutObjectTaggingInput,
) -> Result<PutObjectTaggingOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let tags = parse(input.tagging.tag_set, S3_OBJECT_TAGS_MAX)?;
    let version = input.version_id.as_deref();
    let object = {
        let _gate = s3.gate.read().await;
        let amended = s3.amend(&input.bucket, &input.key, version, |object| {
            object.attributes.tags = tags.clone();
        });
        amended.await?
    };
    let event = Event::of("ObjectTagging:Put", &input.key, &object);
    s3.notify(cx, (&input.bucket, &bucket), &[event]).await?;
    Ok(PutObjectTaggingOutput { version_id: object.version_id })
}

pub(crate) async fn delete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: DeleteObjectTaggingInput,
) -> Result<DeleteObjectTaggingOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let version = input.version_id.as_deref();
    let object = {
        let _gate = s3.gate.read().await;
        let amended = s3.amend(&input.bucket, &input.key, version, |object| {
            object.attributes.tags = BTreeMap::new();
        });
        amended.await?
    };
    let event = Event::of("ObjectTagging:Delete", &input.key, &object);
    s3.notify(cx, (&input.bucket, &bucket), &[event]).await?;
    Ok(DeleteObjectTaggingOutput { version_id: object.version_id })
}

pub(crate) async fn bucket_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: GetBucketTaggingInput,
) -> Result<GetBucketTaggingOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let tagging: Tagging = settings::read(&bucket, Setting::Tagging)?.ok_or(NO_TAGS)?;
    Ok(GetBucketTaggingOutput { tag_set: tagging.tag_set })
}

pub(crate) async fn bucket_put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: PutBucketTaggingInput,
) -> Result<PutBucketTaggingOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let tags = parse(input.tagging.tag_set, TAGS_MAX)?;
    let xml = settings::xml(&Tagging { tag_set: tag_set(tags) })?;
    s3.set(&cx.auth, &input.bucket, owner, Setting::Tagging, Some(xml)).await?;
    Ok(PutBucketTaggingOutput::default())
}

pub(crate) async fn bucket_delete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: DeleteBucketTaggingInput,
) -> Result<DeleteBucketTaggingOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    s3.set(&cx.auth, &input.bucket, owner, Setting::Tagging, None).await?;
    Ok(DeleteBucketTaggingOutput::default())
}

fn parse(tag_set: Vec<Tag>, max: usize) -> Result<BTreeMap<String, String>, S3Error> {
    let mut tags = BTreeMap::new();
    for Tag { key, value } in tag_set {
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        if tags.insert(key, value).is_some() {
            return Err(S3Error::InvalidTag("Cannot provide multiple Tags with the same key"));
        }
    }
    check_tags(&tags, max)?;
    Ok(tags)
}

fn tag_set(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag { key: Some(key), value: Some(value) };
    tags.into_iter().map(tag).collect()
}
