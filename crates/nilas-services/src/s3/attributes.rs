//! What clients say of objects beside their bytes: taken from requests, checked, given back.

use nilas_model::limits::{
    S3_METADATA_BYTES_MAX, S3_OBJECT_TAGS_MAX, S3_TAG_KEY_CHARS_MAX, S3_TAG_VALUE_CHARS_MAX,
};
use nilas_wire::percent;
use s3s::dto;
use std::collections::BTreeMap;

use super::checksum::{Checksum, Claims};
use super::error::S3Error;
use super::record::{Attributes, BucketRecord, Encryption, Setting};
use super::settings;

/// The members that PutObject, CopyObject and CreateMultipartUpload have alike.
macro_rules! attributes_of {
    ($input:ident, $bucket:ident) => {{
        $crate::s3::attributes::refuse_grants(&[
            &$input.grant_full_control,
            &$input.grant_read,
            &$input.grant_read_acp,
            &$input.grant_write_acp,
        ])?;
        if $input.sse_customer_algorithm.is_some() || $input.sse_customer_key.is_some() {
            return Err($crate::s3::attributes::customer_keys());
        }
        if $input.object_lock_mode.is_some() || $input.object_lock_legal_hold_status.is_some() {
            return Err(S3Error::InvalidRequest(
                "Bucket is missing Object Lock Configuration".to_owned(),
            ));
        }
        $crate::s3::acl::check($input.acl.as_ref().map(|acl| acl.as_str()), $bucket)?;
        let said = $crate::s3::record::Encryption {
            algorithm: $input.server_side_encryption.as_ref().map(|it| it.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id.clone(),
            bucket_key: $input.bucket_key_enabled.unwrap_or(false),
        };
        $crate::s3::attributes::check(Attributes {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input.content_encoding.clone(),
            content_language: $input.content_language.clone(),
            expires_ms: $input.expires.as_ref().and_then($crate::s3::condition::epoch_ms),
            website_redirect_location: $input.website_redirect_location.clone(),
            storage_class: $input
                .storage_class
                .as_ref()
                .map(|class| class.as_str().to_owned())
                .filter(|class| class != "STANDARD"),
            encryption: $crate::s3::attributes::encryption(said, $bucket),
            acl: $input.acl.as_ref().map(|acl| acl.as_str().to_owned()),
            metadata: $input.metadata.clone().unwrap_or_default().into_iter().collect(),
            tags: $crate::s3::attributes::tags_of_header($input.tagging.as_deref())?,
        })?
    }};
}
pub(crate) use attributes_of;

/// Puts what GetObject and HeadObject answer alike into `$output`.
macro_rules! answer_object {
    ($output:ident, $object:ident) => {
        let attributes = &$object.attributes;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.e_tag = Some(ETag::Strong($object.etag.clone()));
        $output.last_modified = Some($crate::s3::condition::timestamp($object.modified_ms));
        $output.content_type = Some($crate::s3::attributes::content_type(attributes));
        $output.cache_control = attributes.cache_control.clone();
        $output.content_disposition = attributes.content_disposition.clone();
        $output.content_encoding = attributes.content_encoding.clone();
        $output.content_language = attributes.content_language.clone();
        $output.expires = attributes.expires_ms.map($crate::s3::condition::timestamp);
        $output.website_redirect_location = attributes.website_redirect_location.clone();
        $output.storage_class = attributes.storage_class.clone().map(dto::StorageClass::from);
        $output.metadata = Some(attributes.metadata.clone().into_iter().collect());
        $output.server_side_encryption =
            Some($crate::s3::attributes::algorithm(&attributes.encryption));
        $output.ssekms_key_id = attributes.encryption.kms_key_id.clone();
        $output.bucket_key_enabled = attributes.encryption.bucket_key.then_some(true);
        $output.version_id = $object.version_id.clone();
    };
}
pub(crate) use answer_object;

/// Puts a checksum where an answer has its five members.
macro_rules! answer_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let claims = $crate::s3::attributes::claims(checksum.algorithm, &checksum.value);
            $output.checksum_crc32 = claims.crc32;
            $output.checksum_crc32c = claims.crc32c;
            $output.checksum_crc64nvme = claims.crc64nvme;
            $output.checksum_sha1 = claims.sha1;
            $output.checksum_sha256 = claims.sha256;
        }
    };
}
pub(crate) use answer_checksum;

/// The five members of a request's checksum.
macro_rules! claims_of {
    ($input:expr) => {
        $crate::s3::checksum::Claims {
            crc32: $input.checksum_crc32.clone(),
            crc32c: $input.checksum_crc32c.clone(),
            crc64nvme: $input.checksum_crc64nvme.clone(),
            sha1: $input.checksum_sha1.clone(),
            sha256: $input.checksum_sha256.clone(),
        }
    };
}
pub(crate) use claims_of;

pub(crate) fn claims(algorithm: super::checksum::Algorithm, value: &str) -> Claims {
    use super::checksum::Algorithm;
    let mut claims = Claims::default();
    let place = match algorithm {
        Algorithm::Crc32 => &mut claims.crc32,
        Algorithm::Crc32c => &mut claims.crc32c,
        Algorithm::Crc64Nvme => &mut claims.crc64nvme,
        Algorithm::Sha1 => &mut claims.sha1,
        Algorithm::Sha256 => &mut claims.sha256,
    };
    *place = Some(value.to_owned());
    claims
}

pub(crate) fn checksum_type(full_object: bool) -> dto::ChecksumType {
    let name =
        if full_object { dto::ChecksumType::FULL_OBJECT } else { dto::ChecksumType::COMPOSITE };
    dto::ChecksumType::from_static(name)
}

pub(crate) fn type_of(checksum: &Checksum) -> dto::ChecksumType {
    checksum_type(checksum.full_object)
}

pub(crate) fn content_type(attributes: &Attributes) -> String {
    attributes.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned())
}

pub(crate) fn algorithm(encryption: &Encryption) -> dto::ServerSideEncryption {
    let name = encryption.algorithm.clone();
    dto::ServerSideEncryption::from(name.unwrap_or_else(|| "AES256".to_owned()))
}

/// What is said of an object's encryption: by the request, else by the bucket.
pub(crate) fn encryption(said: Encryption, bucket: &BucketRecord) -> Encryption {
    if said.algorithm.is_some() {
        return said;
    }
    let setting = bucket.settings.get(&Setting::Encryption);
    let by_default = setting.and_then(|xml| settings::default_encryption(xml));
    by_default.unwrap_or_default()
}

pub(crate) fn check(attributes: Attributes) -> Result<Attributes, S3Error> {
    let bytes: usize =
        attributes.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > S3_METADATA_BYTES_MAX {
        return Err(S3Error::MetadataTooLarge { bytes });
    }
    Ok(attributes)
}

pub(crate) fn refuse_grants(grants: &[&Option<String>]) -> Result<(), S3Error> {
    if grants.iter().all(|grant| grant.is_none()) {
        return Ok(());
    }
    Err(S3Error::NotImplemented(
        "Grants in headers are not implemented by this server; use a canned ACL.".to_owned(),
    ))
}

pub(crate) fn customer_keys() -> S3Error {
    S3Error::NotImplemented(
        "Encryption with customer-provided keys is not implemented by this server.".to_owned(),
    )
}

/// `a=b&c=d`
pub(crate) fn tags_of_header(header: Option<&str>) -> Result<BTreeMap<String, String>, S3Error> {
    let mut tags = BTreeMap::new();
    for (key, value) in percent::query_pairs(header.unwrap_or_default()) {
        if tags.insert(key.into_owned(), value.into_owned()).is_some() {
            return Err(S3Error::InvalidTag("Cannot provide multiple Tags with the same key"));
        }
    }
    check_tags(&tags, S3_OBJECT_TAGS_MAX)?;
    Ok(tags)
}

pub(crate) fn check_tags(tags: &BTreeMap<String, String>, max: usize) -> Result<(), S3Error> {
    if tags.len() > max {
        return Err(S3Error::TooManyTags { max });
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > S3_TAG_KEY_CHARS_MAX {
            return Err(S3Error::InvalidTag("The TagKey you have provided is invalid"));
        }
        if value.chars().count() > S3_TAG_VALUE_CHARS_MAX {
            return Err(S3Error::InvalidTag("The TagValue you have provided is invalid"));
        }
    }
    Ok(())
}
