//! The operations that this server has; every other answers NotImplemented.

use std::sync::{Arc, PoisonError};

use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Cx, S3};
use super::{acl, bucket, configurations, delete, get, list, notifications, put, tags, upload};

/// Largest document of XML in a request, bytes: 10,000 parts with their checksums.
const XML_BYTES_MAX: usize = 4 * 1_048_576;

pub(super) fn service(s3: Arc<S3>) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Operations(s3));
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

struct Operations(Arc<S3>);

/// Each line makes a method of the trait: it finds the context, runs the function, keeps its refusal for the door.
macro_rules! operations {
    ($($method:ident($input:ident) -> $output:ident: $function:path;)*) => {
        #[async_trait::async_trait]
        impl s3s::S3 for Operations {
            $(async fn $method(
                &self,
                request: S3Request<dto::$input>,
            ) -> S3Result<S3Response<dto::$output>> {
                let cx = request.extensions.get::<Arc<Cx>>().cloned();
                let cx = cx.ok_or(S3ErrorCode::InternalError)?;
                match $function(&self.0, &cx, request.input).await {
                    Ok(output) => Ok(S3Response::new(output)),
                    Err(refusal) => {
                        *cx.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                        Err(S3ErrorCode::InternalError.into())
                    }
                }
            })*
        }
    };
}

operations! {
    create_bucket(CreateBucketInput) -> CreateBucketOutput: bucket::create;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput: bucket::delete;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput: bucket::location;
    head_bucket(HeadBucketInput) -> HeadBucketOutput: bucket::head;
    list_buckets(ListBucketsInput) -> ListBucketsOutput: bucket::list;

    put_object(PutObjectInput) -> PutObjectOutput: put::put;
    copy_object(CopyObjectInput) -> CopyObjectOutput: put::copy;
    get_object(GetObjectInput) -> GetObjectOutput: get::get;
    head_object(HeadObjectInput) -> HeadObjectOutput: get::head;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput: get::attributes;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput: delete::delete;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput: delete::delete_many;

    list_objects(ListObjectsInput) -> ListObjectsOutput: list::objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output: list::objects_v2;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput: list::versions;

    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput: upload::create;
    upload_part(UploadPartInput) -> UploadPartOutput: upload::part;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput: upload::part_copy;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput: upload::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput: upload::abort;
    list_parts(ListPartsInput) -> ListPartsOutput: upload::list_parts;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput: upload::list;

    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput: tags::get;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput: tags::put;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput: tags::delete;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput: tags::bucket_get;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput: tags::bucket_put;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput: tags::bucket_delete;

    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput: configurations::accelerate_get;
    put_bucket_accelerate_configuration(PutBucketAccelerateConfigurationInput) -> PutBucketAccelerateConfigurationOutput: configurations::accelerate_put;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput: acl::bucket_get;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput: acl::bucket_put;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput: acl::object_get;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput: acl::object_put;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput: configurations::cors_get;
    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput: configurations::cors_put;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput: configurations::cors_delete;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput: configurations::encryption_get;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput: configurations::encryption_put;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput: configurations::encryption_delete;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput: configurations::lifecycle_get;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput: configurations::lifecycle_put;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput: configurations::lifecycle_delete;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput: configurations::logging_get;
    put_bucket_logging(PutBucketLoggingInput) -> PutBucketLoggingOutput: configurations::logging_put;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput: notifications::get;
    put_bucket_notification_configuration(PutBucketNotificationConfigurationInput) -> PutBucketNotificationConfigurationOutput: notifications::put;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput: configurations::ownership_get;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput: configurations::ownership_put;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput: configurations::ownership_delete;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput: acl::policy_get;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput: acl::policy_put;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput: configurations::policy_delete;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput: acl::policy_status;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput: configurations::access_block_get;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput: configurations::access_block_put;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput: configurations::access_block_delete;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput: configurations::payment_get;
    put_bucket_request_payment(PutBucketRequestPaymentInput) -> PutBucketRequestPaymentOutput: configurations::payment_put;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput: configurations::versioning_get;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput: configurations::versioning_put;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput: configurations::website_get;
    put_bucket_website(PutBucketWebsiteInput) -> PutBucketWebsiteOutput: configurations::website_put;
    delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput: configurations::website_delete;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput: configurations::replication_get;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput: configurations::object_lock_get;
}
