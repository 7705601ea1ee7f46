//! What the store holds of buckets, objects and uploads.

use std::collections::BTreeMap;

use nilas_store::BlobHash;
use serde::{Deserialize, Serialize};

use super::checksum::Checksum;

/// A bucket. Names are one server's own: no two accounts have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    /// The owner's.
    pub account: String,
    pub region: String,
    pub created_ms: u64,
    #[serde(default)]
    pub versioning: Versioning,
    /// What was put of the bucket's sub-resources, as AWS's XML; the policy as its JSON.
    #[serde(default)]
    pub settings: BTreeMap<Setting, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Versioning {
    #[default]
    Never,
    Enabled,
    Suspended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Setting {
    Accelerate,
    Acl,
    Cors,
    Encryption,
    Lifecycle,
    Logging,
    Notification,
    Ownership,
    Policy,
    PublicAccessBlock,
    RequestPayment,
    Tagging,
    Website,
}

/// One version of an object, or the marker that says it was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    /// None of an object that was put while its bucket had no versioning, or had it suspended: the version `null`.
    pub version_id: Option<String>,
    /// Grows with every version of a key.
    pub order: u64,
    pub modified_ms: u64,
    #[serde(default)]
    pub delete_marker: bool,
    #[serde(default)]
    pub etag: String,
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// Whether the segments were the parts of an upload.
    #[serde(default)]
    pub multipart: bool,
    #[serde(default)]
    pub checksum: Option<Checksum>,
    #[serde(default)]
    pub attributes: Attributes,
}

/// What a client says of an object beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires_ms: Option<u64>,
    pub website_redirect_location: Option<String>,
    pub storage_class: Option<String>,
    pub encryption: Encryption,
    /// Canned: `public-read`.
    pub acl: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

/// What is answered of an object's encryption; its bytes lie as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// `AES256` if None.
    pub algorithm: Option<String>,
    pub kms_key_id: Option<String>,
    pub bucket_key: bool,
}

/// Some bytes of an object, in one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// SHA-256, in hex.
    pub blob: String,
    pub bytes: u64,
    /// This use's own, in the store's list of blobs that are in use.
    pub use_id: String,
    /// Of the part, in Base64, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_number: Option<i32>,
}

/// A multipart upload that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub bucket: String,
    pub key: String,
    pub initiated_ms: u64,
    pub algorithm: super::checksum::Algorithm,
    /// Whether the client named the algorithm.
    pub algorithm_named: bool,
    /// Whether the object's checksum is one of its bytes, not one of its parts' checksums.
    pub full_object: bool,
    pub attributes: Attributes,
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    /// MD5, in hex.
    pub etag: String,
    pub modified_ms: u64,
    /// Of the upload's algorithm, in Base64.
    pub checksum: String,
    /// No bytes, no segment.
    pub segment: Option<Segment>,
}

impl ObjectRecord {
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// As clients name it.
    pub(crate) fn version(&self) -> &str {
        self.version_id.as_deref().unwrap_or("null")
    }
}

impl PartRecord {
    pub(crate) fn bytes(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| segment.bytes)
    }
}

impl Segment {
    pub(crate) fn hash(&self) -> Option<BlobHash> {
        BlobHash::parse(&self.blob)
    }
}
