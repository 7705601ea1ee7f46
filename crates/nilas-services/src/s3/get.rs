//! GetObject, HeadObject, GetObjectAttributes.

use std::ops::Range;
use std::sync::Arc;

use nilas_model::Principal;
use s3s::Body;
use s3s::dto::{
    self, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectPart, StreamingBlob,
};

use super::attributes::{self, answer_checksum, answer_object, claims};
use super::checksum::Checksum;
use super::condition::{ReadConditions, timestamp};
use super::error::S3Error;
use super::record::ObjectRecord;
use super::{Cx, S3, public};

pub(crate) async fn get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: GetObjectInput,
) -> Result<GetObjectOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let version = input.version_id.as_deref();
    let object = readable(s3, cx, &input.bucket, owner, &input.key, version).await?;
    let conditions = ReadConditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&object)?;
    let asked = asked(&object, input.range, input.part_number)?;
    let bytes = s3.bytes(&object.segments, asked.range.clone()).await?;
    let mut output = GetObjectOutput {
        content_length: Some(length(&asked.range)),
        content_range: asked.content_range.clone(),
        parts_count: asked.parts_count,
        tag_count: Some(count(object.attributes.tags.len())).filter(|count| *count > 0),
        body: Some(StreamingBlob::from(Body::from(bytes))),
        ..GetObjectOutput::default()
    };
    answer_object!(output, object);
    if let Some(checksum) = shown_checksum(&object, &asked, input.checksum_mode.as_ref()) {
        output.checksum_type = Some(attributes::type_of(checksum));
        answer_checksum!(output, Some(checksum));
    }
    Ok(output)
}

pub(crate) async fn head(
    s3: &Arc<S3>,
    cx: &Cx,
    input: HeadObjectInput,
) -> Result<HeadObjectOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let version = input.version_id.as_deref();
    let object = readable(s3, cx, &input.bucket, owner, &input.key, version).await?;
    let conditions = ReadConditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&object)?;
    let asked = asked(&object, input.range, input.part_number)?;
    let mut output = HeadObjectOutput {
        content_length: Some(length(&asked.range)),
        content_range: asked.content_range.clone(),
        parts_count: asked.parts_count,
        ..HeadObjectOutput::default()
    };
    answer_object!(output, object);
    output.content_type = input.response_content_type.or(output.content_type);
    output.content_disposition = input.response_content_disposition.or(output.content_disposition);
    output.content_encoding = input.response_content_encoding.or(output.content_encoding);
    output.content_language = input.response_content_language.or(output.content_language);
    output.cache_control = input.response_cache_control.or(output.cache_control);
    output.expires = input.response_expires.or(output.expires);
    if let Some(checksum) = shown_checksum(&object, &asked, input.checksum_mode.as_ref()) {
        output.checksum_type = Some(attributes::type_of(checksum));
        answer_checksum!(output, Some(checksum));
    }
    Ok(output)
}

/// The object, if the caller may read it.
async fn readable(
    s3: &S3,
    cx: &Cx,
    bucket: &str,
    owner: Option<&str>,
    key: &str,
    version: Option<&str>,
) -> Result<ObjectRecord, S3Error> {
    if cx.auth.principal != Principal::Anonymous {
        s3.own_bucket(&cx.auth, bucket, owner).await?;
        return s3.object(bucket, key, version).await;
    }
    let record = s3.bucket(bucket).await?.value;
    let object = s3.object(bucket, key, version).await;
    if public::may_read(&record, bucket, key, object.as_ref().ok())? {
        object
    } else {
        Err(S3Error::AccessDenied)
    }
}

/// The bytes that a request is for.
struct Asked {
    range: Range<u64>,
    content_range: Option<String>,
    parts_count: Option<i32>,
}

fn asked(
    object: &ObjectRecord,
    range: Option<dto::Range>,
    part_number: Option<i32>,
) -> Result<Asked, S3Error> {
    let bytes = object.bytes();
    let content_range = |range: &Range<u64>| {
        let last = range.end.saturating_sub(1);
        Some(format!("bytes {}-{last}/{bytes}", range.start))
    };
    match (range, part_number) {
        (Some(_), Some(_)) => Err(S3Error::InvalidRequest(
            "Cannot specify both Range header and partNumber query parameter".to_owned(),
        )),
        (None, None) => Ok(Asked { range: 0..bytes, content_range: None, parts_count: None }),
        (Some(range), None) => {
            let invalid = |_| S3Error::InvalidRange { requested: range.to_header_string(), bytes };
            let range = range.check(bytes).map_err(invalid)?;
            Ok(Asked { content_range: content_range(&range), range, parts_count: None })
        }
        (None, Some(number)) => {
            let range = part_range(object, number)?;
            let parts_count = object.multipart.then(|| count(object.segments.len()));
            let content_range = if bytes == 0 { None } else { content_range(&range) };
            Ok(Asked { content_range, range, parts_count })
        }
    }
}

/// An object that was not uploaded in parts is its own first part.
fn part_range(object: &ObjectRecord, number: i32) -> Result<Range<u64>, S3Error> {
    if !object.multipart && number == 1 {
        return Ok(0..object.bytes());
    }
    let mut at = 0;
    for (index, segment) in object.segments.iter().enumerate() {
        let part = segment.part_number.unwrap_or_else(|| count(index + 1));
        if object.multipart && part == number {
            return Ok(at..at + segment.bytes);
        }
        at += segment.bytes;
    }
    Err(S3Error::InvalidPartNumber { requested: number, parts: object.segments.len().max(1) })
}

/// Only the whole object has the checksum that is stored.
fn shown_checksum<'a>(
    object: &'a ObjectRecord,
    asked: &Asked,
    mode: Option<&dto::ChecksumMode>,
) -> Option<&'a Checksum> {
    let enabled = mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED);
    let whole = asked.range == (0..object.bytes()) && asked.parts_count.is_none();
    object.checksum.as_ref().filter(|_| enabled && whole)
}

pub(crate) async fn attributes(
    s3: &Arc<S3>,
    cx: &Cx,
    input: GetObjectAttributesInput,
) -> Result<GetObjectAttributesOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner).await?;
    let object = s3.object(&input.bucket, &input.key, input.version_id.as_deref()).await?;
    let wants = |name: &str| {
        let mut names = input.object_attributes.iter().flat_map(|it| it.as_str().split(','));
        names.any(|wanted| wanted.trim() == name)
    };
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(timestamp(object.modified_ms)),
        version_id: object.version_id.clone(),
        ..GetObjectAttributesOutput::default()
    };
    if wants("ETag") {
        output.e_tag = Some(ETag::Strong(object.etag.clone()));
    }
    if wants("ObjectSize") {
        output.object_size = Some(length(&(0..object.bytes())));
    }
    if wants("StorageClass") {
        let class = object.attributes.storage_class.clone();
        output.storage_class =
            Some(dto::StorageClass::from(class.unwrap_or_else(|| "STANDARD".to_owned())));
    }
    if let (true, Some(stored)) = (wants("Checksum"), &object.checksum) {
        let mut checksum = dto::Checksum {
            checksum_type: Some(attributes::type_of(stored)),
            ..dto::Checksum::default()
        };
        answer_checksum!(checksum, Some(stored));
        output.checksum = Some(checksum);
    }
    if wants("ObjectParts") && object.multipart {
        let marker = input.part_number_marker.unwrap_or(0);
        let max = input.max_parts.unwrap_or(1_000).clamp(0, 1_000);
        output.object_parts = Some(parts_of(&object, marker, max));
    }
    Ok(output)
}

/// Parts are told one by one only where each has a checksum of its own.
fn parts_of(object: &ObjectRecord, marker: i32, max: i32) -> dto::GetObjectAttributesParts {
    let mut answer = dto::GetObjectAttributesParts {
        total_parts_count: Some(count(object.segments.len())),
        ..dto::GetObjectAttributesParts::default()
    };
    let Some(checksum) = object.checksum.as_ref().filter(|checksum| !checksum.full_object) else {
        return answer;
    };
    let numbered =
        object.segments.iter().enumerate().map(|(index, segment)| {
            (segment.part_number.unwrap_or_else(|| count(index + 1)), segment)
        });
    let mut rest = numbered.filter(|(number, _)| *number > marker);
    let mut parts = Vec::new();
    for (number, segment) in rest.by_ref().take(usize::try_from(max).unwrap_or(0)) {
        let mut part = ObjectPart {
            part_number: Some(number),
            size: Some(length(&(0..segment.bytes))),
            ..ObjectPart::default()
        };
        if let Some(value) = &segment.checksum {
            let claims = claims(checksum.algorithm, value);
            part.checksum_crc32 = claims.crc32;
            part.checksum_crc32c = claims.crc32c;
            part.checksum_crc64nvme = claims.crc64nvme;
            part.checksum_sha1 = claims.sha1;
            part.checksum_sha256 = claims.sha256;
        }
        parts.push(part);
    }
    answer.is_truncated = Some(rest.next().is_some());
    answer.part_number_marker = Some(marker);
    answer.next_part_number_marker =
        Some(parts.last().and_then(|part| part.part_number).unwrap_or(0));
    answer.max_parts = Some(max);
    answer.parts = Some(parts);
    answer
}

fn length(range: &Range<u64>) -> i64 {
    i64::try_from(range.end - range.start).unwrap_or(i64::MAX)
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
