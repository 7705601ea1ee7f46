//! ListMultipartUploads.

use std::sync::Arc;

use nilas_wire::percent;
use s3s::dto::{
    self, CommonPrefix, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    MultipartUpload,
};

use super::super::attributes::checksum_type;
use super::super::bucket::owner;
use super::super::condition::timestamp;
use super::super::error::S3Error;
use super::super::list::max_keys;
use super::super::record::UploadRecord;
use super::super::store::{Stored, UPLOADS, object_key};
use super::super::{Cx, PAGE, S3};

pub(crate) async fn list(
    s3: &Arc<S3>,
    cx: &Cx,
    input: ListMultipartUploadsInput,
) -> Result<ListMultipartUploadsOutput, S3Error> {
    let expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, expected).await?;
    let url = input.encoding_type.as_ref().is_some_and(|it| it.as_str() == "url");
    let name = |name: &str| match url {
        true => percent::encode_path(name).into_owned(),
        false => name.to_owned(),
    };
    let max = max_keys(input.max_uploads, "max-uploads")?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let below = object_key(&input.bucket, prefix);
    let mut after = after(&input);
    let owner = owner(&cx.auth);
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::<String>::new());
    let (mut last, mut truncated) = (None, false);
    'pages: loop {
        if max == 0 {
            break;
        }
        let page = s3.list::<UploadRecord>(UPLOADS, &below, after.as_deref(), PAGE).await?;
        let Some((end, _)) = page.last() else { break };
        after = Some(end.clone());
        for (place, Stored { value, .. }) in page {
            let id = place.rsplit('\0').next().unwrap_or_default().to_owned();
            let group = group_of(&value.key, prefix, input.delimiter.as_deref());
            if group.is_some() && group == prefixes.last().map(String::as_str) {
                continue;
            }
            if uploads.len() + prefixes.len() == max {
                truncated = true;
                break 'pages;
            }
            if let Some(group) = group {
                prefixes.push(group.to_owned());
                last = Some((group.to_owned(), String::new()));
                continue;
            }
            last = Some((value.key.clone(), id.clone()));
            uploads.push(shown(value, id, &owner, name));
        }
    }
    let (next_key, next_id) = last.filter(|_| truncated).unzip();
    let prefixes = prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(name(prefix)) });
    Ok(ListMultipartUploadsOutput {
        common_prefixes: Some(prefixes.collect()),
        uploads: Some(uploads),
        is_truncated: Some(truncated),
        next_key_marker: next_key.map(|key| name(&key)),
        next_upload_id_marker: next_id,
        max_uploads: i32::try_from(max).ok(),
        key_marker: Some(name(input.key_marker.as_deref().unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.clone().unwrap_or_default()),
        prefix: input.prefix.as_deref().map(name),
        delimiter: input.delimiter.as_deref().map(name),
        encoding_type: input.encoding_type,
        bucket: Some(input.bucket),
        ..ListMultipartUploadsOutput::default()
    })
}

/// Behind the marker's upload, or behind all uploads of the marker's key.
fn after(input: &ListMultipartUploadsInput) -> Option<String> {
    let key = input.key_marker.as_deref().filter(|key| !key.is_empty())?;
    let place = object_key(&input.bucket, key);
    if input.delimiter.as_deref().is_some_and(|delimiter| key.ends_with(delimiter)) {
        return Some(format!("{place}\u{10ffff}"));
    }
    match input.upload_id_marker.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(format!("{place}\0{id}")),
        None => Some(format!("{place}\0\u{10ffff}")),
    }
}

fn group_of<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

fn shown(
    upload: UploadRecord,
    id: String,
    owner: &dto::Owner,
    name: impl Fn(&str) -> String,
) -> MultipartUpload {
    let named = upload.algorithm_named;
    let class = upload.attributes.storage_class.unwrap_or_else(|| "STANDARD".to_owned());
    MultipartUpload {
        checksum_algorithm: named
            .then(|| dto::ChecksumAlgorithm::from_static(upload.algorithm.name())),
        checksum_type: named.then(|| checksum_type(upload.full_object)),
        initiated: Some(timestamp(upload.initiated_ms)),
        initiator: Some(Initiator { display_name: None, id: owner.id.clone() }),
        key: Some(name(&upload.key)),
        owner: Some(owner.clone()),
        storage_class: Some(dto::StorageClass::from(class)),
        upload_id: Some(id),
    }
}
