//! PutObject and CopyObject.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use nilas_model::limits::S3_COMMIT_TRIES_MAX;
use s3s::Body;
use s3s::dto::{
    self, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};

use super::attributes::{self, answer_checksum, attributes_of, claims_of};
use super::checksum::{self, Algorithm, Checksum};
use super::condition::{ReadConditions, check_write, timestamp};
use super::error::S3Error;
use super::events::Event;
use super::record::{Attributes, ObjectRecord, Segment};
use super::store::new_id;
use super::{Cx, S3};
use crate::blob_use::Hold;

pub(crate) async fn put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: PutObjectInput,
) -> Result<PutObjectOutput, S3Error> {
    check_key(&input.key)?;
    if input.write_offset_bytes.is_some() {
        return Err(S3Error::NotImplemented("Appending is not implemented.".to_owned()));
    }
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let bucket = &bucket;
    let attributes = attributes_of!(input, bucket);
    let claims = claims_of!(input);
    let bytes = body(input.body).await?;
    let computed = crate::aside(bytes.len(), || {
        checksum::check_content_md5(input.content_md5.as_deref(), &bytes)?;
        let (algorithm, value) = claims.check(&bytes, Algorithm::Crc64Nvme)?;
        Ok::<_, S3Error>((checksum::md5(&bytes), algorithm, value))
    });
    let (etag, algorithm, value) = computed?;
    let brought = s3.bring(bytes).await?;
    let next = ObjectRecord {
        modified_ms: s3.clock.epoch_ms(),
        etag,
        segments: brought.iter().map(|brought| brought.segment.clone()).collect(),
        checksum: Some(Checksum { algorithm, value, full_object: true }),
        attributes,
        ..ObjectRecord::default()
    };
    let check = |now: Option<&ObjectRecord>| {
        check_write(&input.key, now, input.if_match.as_ref(), input.if_none_match.as_ref())
    };
    let object = {
        let _gate = s3.gate.read().await;
        s3.commit(&input.bucket, &input.key, next, check, &[]).await?
    };
    let event = Event::of("ObjectCreated:Put", &input.key, &object);
    s3.notify(cx, (&input.bucket, bucket), &[event]).await?;
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(object.etag)),
        checksum_type: object.checksum.as_ref().map(attributes::type_of),
        server_side_encryption: Some(attributes::algorithm(&object.attributes.encryption)),
        ssekms_key_id: object.attributes.encryption.kms_key_id,
        version_id: object.version_id,
        ..PutObjectOutput::default()
    };
    answer_checksum!(output, &object.checksum);
    Ok(output)
}

pub(crate) async fn copy(
    s3: &Arc<S3>,
    cx: &Cx,
    input: CopyObjectInput,
) -> Result<CopyObjectOutput, S3Error> {
    check_key(&input.key)?;
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let bucket = &bucket;
    let said = attributes_of!(input, bucket);
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let owner = input.expected_source_bucket_owner.as_deref();
    let held = held_source(s3, cx, &input.copy_source, owner, &conditions).await?;
    let (from, source, _holds) = held;
    let replaces = |directive: Option<&str>| directive == Some("REPLACE");
    let metadata = replaces(input.metadata_directive.as_ref().map(|it| it.as_str()));
    let tags = replaces(input.tagging_directive.as_ref().map(|it| it.as_str()));
    let changed = metadata
        || said.storage_class != source.attributes.storage_class
        || input.server_side_encryption.is_some()
        || input.website_redirect_location.is_some();
    if !changed && from.bucket == input.bucket && from.key == input.key && from.version.is_none() {
        return Err(S3Error::InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes."
                .to_owned(),
        ));
    }
    let anew = |segment: &Segment| Segment { use_id: new_id(), ..segment.clone() };
    let segments = source.segments.iter().map(anew).collect();
    let copied = copied_checksum(s3, &source, input.checksum_algorithm.as_ref()).await?;
    let next = ObjectRecord {
        modified_ms: s3.clock.epoch_ms(),
        etag: copied.etag,
        segments,
        multipart: false,
        checksum: copied.checksum,
        attributes: merged(said, &source, metadata, tags),
        ..ObjectRecord::default()
    };
    let object = {
        let _gate = s3.gate.read().await;
        s3.commit(&input.bucket, &input.key, next, |_| Ok(()), &[]).await?
    };
    let event = Event::of("ObjectCreated:Copy", &input.key, &object);
    s3.notify(cx, (&input.bucket, bucket), &[event]).await?;
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(object.etag)),
        last_modified: Some(timestamp(object.modified_ms)),
        checksum_type: object.checksum.as_ref().map(attributes::type_of),
        ..CopyObjectResult::default()
    };
    answer_checksum!(result, &object.checksum);
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source.version_id,
        server_side_encryption: Some(attributes::algorithm(&object.attributes.encryption)),
        ssekms_key_id: object.attributes.encryption.kms_key_id,
        version_id: object.version_id,
        ..CopyObjectOutput::default()
    })
}

/// What the copy has of the source, and what of the request.
fn merged(said: Attributes, source: &ObjectRecord, metadata: bool, tags: bool) -> Attributes {
    let kept = &source.attributes;
    let tags = if tags { said.tags.clone() } else { kept.tags.clone() };
    if metadata {
        return Attributes { tags, ..said };
    }
    Attributes {
        tags,
        storage_class: said.storage_class,
        encryption: said.encryption,
        acl: said.acl,
        website_redirect_location: said.website_redirect_location,
        ..kept.clone()
    }
}

struct Copied {
    etag: String,
    checksum: Option<Checksum>,
}

/// A copy is an object of one piece: what its bytes alone have is computed where the source's is one of parts.
async fn copied_checksum(
    s3: &S3,
    source: &ObjectRecord,
    wanted: Option<&dto::ChecksumAlgorithm>,
) -> Result<Copied, S3Error> {
    let wanted = wanted.and_then(|wanted| Algorithm::parse(wanted.as_str()));
    let present = source.checksum.as_ref().filter(|checksum| checksum.full_object);
    let fits = present.filter(|present| wanted.is_none_or(|wanted| wanted == present.algorithm));
    if let (Some(checksum), false) = (fits, source.multipart) {
        return Ok(Copied { etag: source.etag.clone(), checksum: Some(checksum.clone()) });
    }
    let bytes = s3.bytes(&source.segments, 0..source.bytes()).await?;
    let named = source.checksum.as_ref().map(|checksum| checksum.algorithm);
    let algorithm = wanted.or(named).unwrap_or(Algorithm::Crc64Nvme);
    Ok(crate::aside(bytes.len(), || {
        let checksum = Checksum { algorithm, value: algorithm.of(&bytes), full_object: true };
        Copied { etag: checksum::md5(&bytes), checksum: Some(checksum) }
    }))
}

/// What `x-amz-copy-source` names.
#[derive(Debug)]
pub(crate) struct Source {
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
}

/// The object to copy from.
pub(crate) async fn source(
    s3: &S3,
    cx: &Cx,
    named: &CopySource,
    owner: Option<&str>,
    conditions: &ReadConditions,
) -> Result<(Source, ObjectRecord), S3Error> {
    let CopySource::Bucket { bucket, key, version_id } = named else {
        return Err(S3Error::NotImplemented(
            "Access points are not implemented by this server.".to_owned(),
        ));
    };
    s3.own_bucket(&cx.auth, bucket, owner).await?;
    let object = s3.object(bucket, key, version_id.as_deref()).await?;
    conditions.check_source(&object)?;
    let source = Source {
        bucket: bucket.to_string(),
        key: key.to_string(),
        version: version_id.as_ref().map(ToString::to_string),
    };
    Ok((source, object))
}

/// The object to copy from, with its blobs held: they are going to be used once more.
async fn held_source(
    s3: &S3,
    cx: &Cx,
    named: &CopySource,
    owner: Option<&str>,
    conditions: &ReadConditions,
) -> Result<(Source, ObjectRecord, Vec<Hold>), S3Error> {
    for _ in 0..S3_COMMIT_TRIES_MAX {
        let (from, object) = source(s3, cx, named, owner, conditions).await?;
        let mut holds = Vec::with_capacity(object.segments.len());
        for blob in object.segments.iter().filter_map(Segment::hash) {
            holds.push(s3.blob_use.hold(blob).await);
        }
        // Unless it is still the same, a blob may have gone before it was held.
        if source(s3, cx, named, owner, conditions).await?.1 == object {
            return Ok((from, object, holds));
        }
    }
    Err(S3Error::Busy)
}

/// The bytes of a request, which the edge has in memory already.
pub(crate) async fn body(body: Option<StreamingBlob>) -> Result<Bytes, S3Error> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let collected = Body::from(body).collect().await;
    collected
        .map(|collected| collected.to_bytes())
        .map_err(|_| S3Error::InvalidRequest("The request's body could not be read.".to_owned()))
}

/// The zero byte ends a key in the store.
pub(crate) fn check_key(key: &str) -> Result<(), S3Error> {
    if key.contains('\0') { Err(S3Error::InvalidKey) } else { Ok(()) }
}
