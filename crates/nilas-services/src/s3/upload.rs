//! Multipart uploads: begun, filled with parts, made an object of, given up.

use std::sync::Arc;

use bytes::Bytes;
use nilas_model::limits::{S3_KEYS_MAX, S3_PART_NUMBER_MAX};
use nilas_store::{Change, Expect};
use s3s::dto::{
    self, AbortMultipartUploadInput, AbortMultipartUploadOutput, CopyPartResult,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, Initiator, ListPartsInput,
    ListPartsOutput, Part, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};

use super::attributes::{self, answer_checksum, attributes_of, checksum_type, claims_of};
use super::bucket::owner;
use super::checksum::{self, Algorithm, Checksum, Claims};
use super::condition::{ReadConditions, timestamp};
use super::error::S3Error;
use super::put::{body, check_key, source};
use super::record::{Attributes, PartRecord, UploadRecord};
use super::store::{self, PARTS, Stored, UPLOADS, new_id, use_added, versions_prefix};
use super::{Cx, PAGE, S3};

mod complete;
mod list;

pub(crate) use complete::complete;
pub(crate) use list::list;

/// Where an upload is in the store: uploads are listed by key.
fn upload_place(bucket: &str, key: &str, id: &str) -> String {
    format!("{}{id}", versions_prefix(bucket, key))
}

fn part_place(upload_id: &str, number: i32) -> String {
    format!("{upload_id}/{number:05}")
}

async fn upload(
    s3: &S3,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Stored<UploadRecord>, S3Error> {
    let found = s3.read(UPLOADS, &upload_place(bucket, key, id)).await?;
    found.ok_or_else(|| S3Error::NoSuchUpload(id.to_owned()))
}

/// All parts of an upload, by number.
async fn parts(s3: &S3, upload_id: &str) -> Result<Vec<(i32, PartRecord)>, S3Error> {
    let below = format!("{upload_id}/");
    let (mut parts, mut after) = (Vec::new(), None);
    loop {
        let page = s3.list::<PartRecord>(PARTS, &below, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(parts) };
        after = Some(last.clone());
        for (place, stored) in page {
            let number = place[below.len()..].parse().unwrap_or(0);
            parts.push((number, stored.value));
        }
    }
}

pub(crate) async fn create(
    s3: &Arc<S3>,
    cx: &Cx,
    input: CreateMultipartUploadInput,
) -> Result<CreateMultipartUploadOutput, S3Error> {
    check_key(&input.key)?;
    let expected = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    let bucket = &bucket;
    let attributes: Attributes = attributes_of!(input, bucket);
    let named = match &input.checksum_algorithm {
        Some(name) => Some(Algorithm::parse(name.as_str()).ok_or_else(unknown_algorithm)?),
        None => None,
    };
    let full = input.checksum_type.as_ref();
    let full = full.map(|kind| kind.as_str() == dto::ChecksumType::FULL_OBJECT);
    let (algorithm, full_object) = Algorithm::of_upload(named, full)?;
    let record = UploadRecord {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        initiated_ms: s3.clock.epoch_ms(),
        algorithm,
        algorithm_named: named.is_some(),
        full_object,
        attributes,
    };
    let id = format!("{}{}", new_id(), new_id());
    let _gate = s3.gate.read().await;
    // Again with the gate: the bucket must not go in between.
    s3.bucket(&input.bucket).await?;
    let place = upload_place(&input.bucket, &input.key, &id);
    s3.apply_alone(vec![store::put(UPLOADS, place, &record, Expect::Absent)?], &[]).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: named.map(|it| dto::ChecksumAlgorithm::from_static(it.name())),
        checksum_type: named.map(|_| checksum_type(full_object)),
        server_side_encryption: Some(attributes::algorithm(&record.attributes.encryption)),
        ssekms_key_id: record.attributes.encryption.kms_key_id,
        ..CreateMultipartUploadOutput::default()
    })
}

fn unknown_algorithm() -> S3Error {
    S3Error::InvalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]".to_owned())
}

pub(crate) async fn part(
    s3: &Arc<S3>,
    cx: &Cx,
    input: UploadPartInput,
) -> Result<UploadPartOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, expected).await?;
    if input.sse_customer_algorithm.is_some() {
        return Err(attributes::customer_keys());
    }
    let upload = upload(s3, &input.bucket, &input.key, &input.upload_id).await?.value;
    let claims = claims_of!(input);
    let bytes = body(input.body).await?;
    let md5 = input.content_md5.as_deref();
    let kept = keep(s3, &upload, &input.upload_id, input.part_number, bytes, md5, &claims).await?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(kept.etag)),
        server_side_encryption: Some(attributes::algorithm(&upload.attributes.encryption)),
        ssekms_key_id: upload.attributes.encryption.kms_key_id,
        ..UploadPartOutput::default()
    };
    answer_checksum!(output, &kept.shown);
    Ok(output)
}

pub(crate) async fn part_copy(
    s3: &Arc<S3>,
    cx: &Cx,
    input: UploadPartCopyInput,
) -> Result<UploadPartCopyOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, expected).await?;
    let upload = upload(s3, &input.bucket, &input.key, &input.upload_id).await?.value;
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let owner = input.expected_source_bucket_owner.as_deref();
    let (_, object) = source(s3, cx, &input.copy_source, owner, &conditions).await?;
    let whole = object.bytes();
    let range = match &input.copy_source_range {
        None => 0..whole,
        Some(text) => {
            let invalid = || S3Error::InvalidArgument {
                message: "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
                name: "x-amz-copy-source-range",
                value: text.clone(),
            };
            let range = dto::Range::parse(text).map_err(|_| invalid())?;
            let dto::Range::Int { last: Some(last), .. } = range else { return Err(invalid()) };
            if last >= whole {
                return Err(S3Error::InvalidRange { requested: text.clone(), bytes: whole });
            }
            range.check(whole).map_err(|_| invalid())?
        }
    };
    let bytes = s3.bytes(&object.segments, range).await?;
    let claims = Claims::default();
    let number = input.part_number;
    let kept = keep(s3, &upload, &input.upload_id, number, bytes, None, &claims).await?;
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(kept.etag)),
        last_modified: Some(timestamp(kept.modified_ms)),
        ..CopyPartResult::default()
    };
    answer_checksum!(result, kept.shown.as_ref().filter(|_| upload.algorithm_named));
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: object.version_id,
        server_side_encryption: Some(attributes::algorithm(&upload.attributes.encryption)),
        ..UploadPartCopyOutput::default()
    })
}

/// A part that is stored.
struct Kept {
    etag: String,
    modified_ms: u64,
    /// The checksum that is answered.
    shown: Option<Checksum>,
}

async fn keep(
    s3: &S3,
    upload: &UploadRecord,
    upload_id: &str,
    number: i32,
    bytes: Bytes,
    content_md5: Option<&str>,
    claims: &Claims,
) -> Result<Kept, S3Error> {
    if !(1..=S3_PART_NUMBER_MAX).contains(&number) {
        return Err(S3Error::InvalidArgument {
            message: "Part number must be an integer between 1 and 10000, inclusive",
            name: "partNumber",
            value: number.to_string(),
        });
    }
    let computed = crate::aside(bytes.len(), || {
        checksum::check_content_md5(content_md5, &bytes)?;
        let (algorithm, value) = claims.check(&bytes, upload.algorithm)?;
        if upload.algorithm_named && algorithm != upload.algorithm {
            return Err(S3Error::InvalidRequest(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                upload.algorithm.name().to_lowercase(),
                algorithm.name().to_lowercase()
            )));
        }
        let own = match algorithm == upload.algorithm {
            true => value.clone(),
            false => upload.algorithm.of(&bytes),
        };
        Ok::<_, S3Error>((checksum::md5(&bytes), algorithm, value, own))
    });
    let (etag, algorithm, value, own) = computed?;
    let brought = s3.bring(bytes).await?;
    let segment = brought.as_ref().map(|brought| {
        let mut segment = brought.segment.clone();
        segment.checksum = Some(own.clone());
        segment.part_number = Some(number);
        segment
    });
    let modified_ms = s3.clock.epoch_ms();
    let record = PartRecord { etag: etag.clone(), modified_ms, checksum: own, segment };
    let _gate = s3.gate.read().await;
    // Again with the gate: the upload must not end in between.
    self::upload(s3, &upload.bucket, &upload.key, upload_id).await?;
    let place = part_place(upload_id, number);
    for _ in 0..nilas_model::limits::S3_COMMIT_TRIES_MAX {
        let present = s3.read::<PartRecord>(PARTS, &place).await?;
        let expect =
            present.as_ref().map_or(Expect::Absent, |found| Expect::Revision(found.revision));
        let dropped: Vec<_> = present.into_iter().filter_map(|found| found.value.segment).collect();
        let mut changes = vec![store::put(PARTS, place.clone(), &record, expect)?];
        changes.extend(record.segment.iter().map(use_added));
        if s3.apply(changes, &dropped).await? {
            let shown = Some(Checksum { algorithm, value, full_object: true });
            return Ok(Kept { etag, modified_ms, shown });
        }
    }
    Err(S3Error::Busy)
}

pub(crate) async fn abort(
    s3: &Arc<S3>,
    cx: &Cx,
    input: AbortMultipartUploadInput,
) -> Result<AbortMultipartUploadOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, expected).await?;
    let _alone = s3.gate.write().await;
    upload(s3, &input.bucket, &input.key, &input.upload_id).await?;
    drop_upload(s3, upload_place(&input.bucket, &input.key, &input.upload_id)).await?;
    Ok(AbortMultipartUploadOutput::default())
}

/// Removes an upload and its parts. The caller has the gate for himself.
pub(crate) async fn drop_upload(s3: &S3, place: String) -> Result<(), S3Error> {
    let id = place.rsplit('\0').next().unwrap_or_default().to_owned();
    let (mut changes, mut dropped) = (Vec::new(), Vec::new());
    for (number, part) in parts(s3, &id).await? {
        changes.push(part_removed(&id, number));
        dropped.extend(part.segment);
    }
    changes.push(store::delete(UPLOADS, place, Expect::Any));
    s3.apply_alone(changes, &dropped).await
}

fn part_removed(upload_id: &str, number: i32) -> Change {
    store::delete(PARTS, part_place(upload_id, number), Expect::Any)
}

pub(crate) async fn list_parts(
    s3: &Arc<S3>,
    cx: &Cx,
    input: ListPartsInput,
) -> Result<ListPartsOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, expected).await?;
    let upload = upload(s3, &input.bucket, &input.key, &input.upload_id).await?.value;
    let marker = input.part_number_marker.unwrap_or(0);
    let max = super::list::max_keys(input.max_parts, "max-parts")?.min(S3_KEYS_MAX);
    let mut behind = parts(s3, &input.upload_id).await?;
    behind.retain(|(number, _)| *number > marker);
    let truncated = behind.len() > max;
    behind.truncate(max);
    let next = behind.last().map_or(0, |(number, _)| *number);
    let shown = |(number, record): (i32, PartRecord)| {
        let size = i64::try_from(record.bytes()).ok();
        let mut part = Part {
            e_tag: Some(ETag::Strong(record.etag)),
            last_modified: Some(timestamp(record.modified_ms)),
            part_number: Some(number),
            size,
            ..Part::default()
        };
        if upload.algorithm_named {
            let (algorithm, value) = (upload.algorithm, record.checksum);
            answer_checksum!(part, Some(Checksum { algorithm, value, full_object: true }));
        }
        part
    };
    let owner = owner(&cx.auth);
    let named = upload.algorithm_named;
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: named
            .then(|| dto::ChecksumAlgorithm::from_static(upload.algorithm.name())),
        checksum_type: named.then(|| checksum_type(upload.full_object)),
        initiator: Some(Initiator { display_name: None, id: owner.id.clone() }),
        owner: Some(owner),
        is_truncated: Some(truncated),
        max_parts: i32::try_from(max).ok(),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(next),
        storage_class: Some(dto::StorageClass::from(
            upload.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()),
        )),
        parts: Some(behind.into_iter().map(shown).collect()),
        ..ListPartsOutput::default()
    })
}
