//! What S3 refuses, and the one table from that to what the caller sees.

use nilas_model::limits::{S3_METADATA_BYTES_MAX, S3_OBJECT_TAGS_MAX};
use nilas_store::StoreError;
use nilas_wire::Fault;

#[derive(Debug, thiserror::Error)]
pub(crate) enum S3Error {
    #[error("Access Denied")]
    AccessDenied,
    #[error("The specified bucket does not exist")]
    NoSuchBucket(String),
    #[error("The specified key does not exist.")]
    NoSuchKey { key: String },
    /// The newest version is a delete marker.
    #[error("The specified key does not exist.")]
    Deleted { key: String, version: String },
    #[error("The specified version does not exist.")]
    NoSuchVersion { key: String, version: String },
    #[error("The specified method is not allowed against this resource.")]
    IsDeleteMarker { modified: String },
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
         completed."
    )]
    NoSuchUpload(String),
    #[error("Your previous request to create the named bucket succeeded and you already own it.")]
    BucketAlreadyOwnedByYou(String),
    #[error(
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please \
         select a different name and try again."
    )]
    BucketAlreadyExists(String),
    #[error("The bucket you tried to delete is not empty{0}")]
    BucketNotEmpty(&'static str, String),
    #[error(
        "The {0} location constraint is incompatible for the region specific endpoint this request was sent to."
    )]
    IllegalLocationConstraint(String),
    #[error("The specified location-constraint is not valid")]
    InvalidLocationConstraint(String),
    #[error("At least one of the pre-conditions you specified did not hold")]
    PreconditionFailed { condition: &'static str },
    /// With the headers that a 304 carries.
    #[error("Not Modified")]
    NotModified { etag: String, modified: String },
    #[error("The requested range is not satisfiable")]
    InvalidRange { requested: String, bytes: u64 },
    #[error("The requested partnumber is not satisfiable")]
    InvalidPartNumber { requested: i32, parts: usize },
    #[error("The Content-MD5 you specified did not match what we received.")]
    BadDigest,
    #[error("The {0} you specified did not match the calculated checksum.")]
    BadChecksum(&'static str),
    #[error("The Content-MD5 you specified was invalid.")]
    InvalidDigest,
    #[error(
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified \
         entity tag may not match the part's entity tag."
    )]
    InvalidPart { upload_id: String, part_number: i32, etag: String },
    #[error("The list of parts was not in ascending order. Parts must be ordered by part number.")]
    InvalidPartOrder { upload_id: String },
    #[error("Your proposed upload is smaller than the minimum allowed size")]
    EntityTooSmall { bytes: u64, bytes_min: u64, part_number: i32 },
    #[error("{0}")]
    EntityTooLarge(String),
    #[error(
        "The XML you provided was not well-formed or did not validate against our published schema"
    )]
    MalformedXml,
    #[error("{message}")]
    InvalidArgument { message: &'static str, name: &'static str, value: String },
    #[error("{0}")]
    InvalidNotification(String),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    InvalidTag(&'static str),
    #[error("{}", too_many_tags(*max))]
    TooManyTags { max: usize },
    #[error("Your metadata headers exceed the maximum allowed metadata size")]
    MetadataTooLarge { bytes: usize },
    #[error("{0}")]
    MalformedPolicy(&'static str),
    #[error("Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")]
    InvalidBucketAcl,
    #[error("The bucket does not allow ACLs")]
    AclNotSupported,
    #[error("Object key contains a character that this server cannot store.")]
    InvalidKey,
    /// A sub-resource that was never put.
    #[error("{1}")]
    NoSetting(&'static str, &'static str),
    #[error(
        "A conflicting conditional operation is currently in progress against this resource. Please try again."
    )]
    Busy,
    #[error("{0}")]
    NotImplemented(String),
    #[error("We encountered an internal error. Please try again.")]
    Store(#[from] StoreError),
    #[error("We encountered an internal error. Please try again.")]
    Record(#[from] serde_json::Error),
}

impl S3Error {
    pub(crate) fn fault(&self) -> Fault {
        let text = self.to_string();
        let plain = |code: &'static str, status: u16| Fault::plain(code, status, text.clone());
        if let Some((code, status)) = self.simple() {
            return plain(code, status);
        }
        match self {
            Self::NoSuchBucket(name) => plain("NoSuchBucket", 404).with_extra("BucketName", name),
            Self::NoSuchKey { key } | Self::Deleted { key, .. } => {
                plain("NoSuchKey", 404).with_extra("Key", key)
            }
            Self::NoSuchVersion { key, version } => {
                plain("NoSuchVersion", 404).with_extra("Key", key).with_extra("VersionId", version)
            }
            Self::IsDeleteMarker { .. } => plain("MethodNotAllowed", 405)
                .with_extra("Method", "GET")
                .with_extra("ResourceType", "DeleteMarker"),
            Self::NoSuchUpload(id) => plain("NoSuchUpload", 404).with_extra("UploadId", id),
            Self::BucketAlreadyOwnedByYou(name) => {
                plain("BucketAlreadyOwnedByYou", 409).with_extra("BucketName", name)
            }
            Self::BucketAlreadyExists(name) => {
                plain("BucketAlreadyExists", 409).with_extra("BucketName", name)
            }
            Self::BucketNotEmpty(_, name) => {
                plain("BucketNotEmpty", 409).with_extra("BucketName", name)
            }
            Self::InvalidLocationConstraint(name) => {
                plain("InvalidLocationConstraint", 400).with_extra("LocationConstraint", name)
            }
            Self::PreconditionFailed { condition } => {
                plain("PreconditionFailed", 412).with_extra("Condition", *condition)
            }
            Self::InvalidRange { requested, bytes } => plain("InvalidRange", 416)
                .with_extra("RangeRequested", requested)
                .with_extra("ActualObjectSize", bytes.to_string()),
            Self::InvalidPartNumber { requested, parts } => plain("InvalidPartNumber", 416)
                .with_extra("PartNumberRequested", requested.to_string())
                .with_extra("ActualPartCount", parts.to_string()),
            Self::InvalidPart { upload_id, part_number, etag } => plain("InvalidPart", 400)
                .with_extra("UploadId", upload_id)
                .with_extra("PartNumber", part_number.to_string())
                .with_extra("ETag", etag),
            Self::InvalidPartOrder { upload_id } => {
                plain("InvalidPartOrder", 400).with_extra("UploadId", upload_id)
            }
            Self::EntityTooSmall { bytes, bytes_min, part_number } => plain("EntityTooSmall", 400)
                .with_extra("ProposedSize", bytes.to_string())
                .with_extra("MinSizeAllowed", bytes_min.to_string())
                .with_extra("PartNumber", part_number.to_string()),
            Self::InvalidArgument { name, value, .. } => plain("InvalidArgument", 400)
                .with_extra("ArgumentName", *name)
                .with_extra("ArgumentValue", value),
            Self::NoSetting(code, _) => plain(code, 404),
            Self::MetadataTooLarge { bytes } => plain("MetadataTooLarge", 400)
                .with_extra("Size", bytes.to_string())
                .with_extra("MaxSizeAllowed", S3_METADATA_BYTES_MAX.to_string()),
            Self::InvalidNotification(_) => plain("InvalidArgument", 400),
            Self::NotImplemented(_) => Fault::service("NotImplemented", 501, text),
            // Whatever else there is would be simple.
            _ => Fault::service("InternalError", 500, text),
        }
    }

    /// Code and status of what has nothing more to say.
    fn simple(&self) -> Option<(&'static str, u16)> {
        Some(match self {
            Self::AccessDenied => ("AccessDenied", 403),
            Self::IllegalLocationConstraint(_) => ("IllegalLocationConstraintException", 400),
            Self::NotModified { .. } => ("NotModified", 304),
            Self::BadDigest | Self::BadChecksum(_) => ("BadDigest", 400),
            Self::InvalidDigest => ("InvalidDigest", 400),
            Self::EntityTooLarge(_) => ("EntityTooLarge", 400),
            Self::MalformedXml => ("MalformedXML", 400),
            Self::InvalidRequest(_) => ("InvalidRequest", 400),
            Self::InvalidTag(_) => ("InvalidTag", 400),
            Self::MalformedPolicy(_) => ("MalformedPolicy", 400),
            Self::InvalidBucketAcl => ("InvalidBucketAclWithObjectOwnership", 400),
            Self::AclNotSupported => ("AccessControlListNotSupported", 400),
            Self::TooManyTags { .. } => ("BadRequest", 400),
            Self::InvalidKey => ("InvalidURI", 400),
            Self::Busy => ("OperationAborted", 409),
            _ => return None,
        })
    }

    /// Headers that the refusal carries.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotModified { etag, modified } => {
                vec![("etag", format!("\"{etag}\"")), ("last-modified", modified.clone())]
            }
            Self::Deleted { version, .. } => vec![
                ("x-amz-delete-marker", "true".to_owned()),
                ("x-amz-version-id", version.clone()),
            ],
            Self::IsDeleteMarker { modified } => vec![
                ("x-amz-delete-marker", "true".to_owned()),
                ("last-modified", modified.clone()),
                ("allow", "DELETE".to_owned()),
            ],
            Self::InvalidRange { bytes, .. } => vec![("content-range", format!("bytes */{bytes}"))],
            _ => Vec::new(),
        }
    }
}

fn too_many_tags(max: usize) -> String {
    let what = if max == S3_OBJECT_TAGS_MAX { "Object" } else { "Bucket" };
    format!("{what} tags cannot be greater than {max}")
}
