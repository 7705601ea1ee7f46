//! CompleteMultipartUpload: the parts become an object, without a byte being copied.

use std::sync::Arc;

use nilas_model::limits::S3_PART_BYTES_MIN;
use nilas_store::Expect;
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag};

use super::super::attributes::{self, answer_checksum, claims_of};
use super::super::checksum::{self, Checksum};
use super::super::condition::check_write;
use super::super::error::S3Error;
use super::super::events::Event;
use super::super::record::{ObjectRecord, PartRecord, UploadRecord};
use super::super::store::{self, UPLOADS};
use super::super::{Cx, S3};

pub(crate) async fn complete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    let owned = s3.own_bucket(&cx.auth, &input.bucket, expected).await?.value;
    let claims = claims_of!(input);
    let (bucket, key, id) = (&input.bucket, &input.key, &input.upload_id);
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    // Alone: no part may come or go meanwhile.
    let alone = s3.gate.write().await;
    let upload = super::upload(s3, bucket, key, id).await?.value;
    let present = super::parts(s3, id).await?;
    let chosen = choose(id, &upload, &present, &named)?;
    let (object, kept) = assemble(s3, &upload, &chosen)?;
    if let Some(said) =
        input.mpu_object_size.filter(|said| u64::try_from(*said) != Ok(object.bytes()))
    {
        return Err(S3Error::InvalidRequest(format!(
            "The provided 'x-amz-mp-object-size' header value {said} does not match what was computed: {}",
            object.bytes()
        )));
    }
    if let Some(sum) = &object.checksum
        && let Some(said) = claims.get(sum.algorithm)
        && said != sum.value
    {
        return Err(S3Error::BadChecksum(sum.algorithm.name()));
    }
    let place = super::upload_place(bucket, key, id);
    let mut also = vec![store::delete(UPLOADS, place, Expect::Any)];
    let mut dropped = Vec::new();
    for (number, part) in present.iter() {
        also.push(super::part_removed(id, *number));
        if !kept.contains(number) {
            also.extend(part.segment.iter().map(store::use_removed));
            dropped.extend(part.segment.iter().filter_map(|segment| segment.hash()));
        }
    }
    let check = |now: Option<&ObjectRecord>| {
        check_write(key, now, input.if_match.as_ref(), input.if_none_match.as_ref())
    };
    let object = s3.commit(bucket, key, object, check, &also).await?;
    drop(alone);
    s3.blob_use.suspect(dropped);
    let event = Event::of("ObjectCreated:CompleteMultipartUpload", key, &object);
    s3.notify(cx, (bucket, &owned), &[event]).await?;
    let mut output = CompleteMultipartUploadOutput {
        e_tag: Some(ETag::Strong(object.etag)),
        location: Some(format!("{}/{bucket}/{}", cx.base_url, nilas_wire::percent::encode(key))),
        checksum_type: object.checksum.as_ref().map(attributes::type_of),
        server_side_encryption: Some(attributes::algorithm(&object.attributes.encryption)),
        ssekms_key_id: object.attributes.encryption.kms_key_id,
        version_id: object.version_id,
        bucket: Some(input.bucket),
        key: Some(input.key),
        ..CompleteMultipartUploadOutput::default()
    };
    answer_checksum!(output, &object.checksum);
    Ok(output)
}

/// The parts that the request names, which must be there as it says.
fn choose<'a>(
    id: &str,
    upload: &UploadRecord,
    present: &'a [(i32, PartRecord)],
    named: &[CompletedPart],
) -> Result<Vec<(i32, &'a PartRecord)>, S3Error> {
    if named.is_empty() {
        return Err(S3Error::MalformedXml);
    }
    let mut chosen: Vec<(i32, &PartRecord)> = Vec::with_capacity(named.len());
    for part in named {
        let number = part.part_number.ok_or(S3Error::MalformedXml)?;
        if chosen.last().is_some_and(|(last, _)| *last >= number) {
            return Err(S3Error::InvalidPartOrder { upload_id: id.to_owned() });
        }
        let etag = part.e_tag.as_ref().map(ETag::value).unwrap_or_default();
        let found = present.binary_search_by_key(&number, |(number, _)| *number);
        let found = found.ok().map(|at| &present[at].1).filter(|found| found.etag == etag);
        let invalid = || S3Error::InvalidPart {
            upload_id: id.to_owned(),
            part_number: number,
            etag: etag.to_owned(),
        };
        let found = found.ok_or_else(invalid)?;
        let said = claims_of!(part);
        if said.get(upload.algorithm).is_some_and(|said| said != found.checksum) {
            return Err(invalid());
        }
        chosen.push((number, found));
    }
    let but_last = &chosen[..chosen.len() - 1];
    match but_last.iter().find(|(_, part)| part.bytes() < S3_PART_BYTES_MIN) {
        Some((part_number, part)) => Err(S3Error::EntityTooSmall {
            bytes: part.bytes(),
            bytes_min: S3_PART_BYTES_MIN,
            part_number: *part_number,
        }),
        None => Ok(chosen),
    }
}

/// The object, and the numbers of the parts it is made of.
fn assemble(
    s3: &S3,
    upload: &UploadRecord,
    chosen: &[(i32, &PartRecord)],
) -> Result<(ObjectRecord, Vec<i32>), S3Error> {
    let sums: Vec<(String, u64)> =
        chosen.iter().map(|(_, part)| (part.checksum.clone(), part.bytes())).collect();
    let checksum: Option<Checksum> = upload.algorithm.combine(upload.full_object, &sums);
    let object = ObjectRecord {
        modified_ms: s3.clock.epoch_ms(),
        etag: checksum::etag_of_parts(chosen.iter().map(|(_, part)| part.etag.as_str())),
        segments: chosen.iter().filter_map(|(_, part)| part.segment.clone()).collect(),
        multipart: true,
        checksum,
        attributes: upload.attributes.clone(),
        ..ObjectRecord::default()
    };
    Ok((object, chosen.iter().map(|(number, _)| *number).collect()))
}
