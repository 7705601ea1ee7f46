//! The sub-resources of buckets that are kept and answered as they were put.

use std::sync::Arc;

use s3s::dto;

use super::error::S3Error;
use super::record::Setting;
use super::settings;
use super::{Cx, S3};

/// `put(Input) -> Output: member, Setting` makes the operation that stores a member of its input.
macro_rules! puts {
    ($($name:ident($input:ident) -> $output:ident: $member:ident, $setting:ident;)*) => {
        $(pub(crate) async fn $name(
            s3: &Arc<S3>,
            cx: &Cx,
            input: dto::$input,
        ) -> Result<dto::$output, S3Error> {
            let xml = settings::xml(&input.$member)?;
            let owner = input.expected_bucket_owner.as_deref();
            s3.set(&cx.auth, &input.bucket, owner, Setting::$setting, Some(xml)).await?;
            Ok(dto::$output::default())
        })*
    };
}

puts! {
    accelerate_put(PutBucketAccelerateConfigurationInput) -> PutBucketAccelerateConfigurationOutput: accelerate_configuration, Accelerate;
    cors_put(PutBucketCorsInput) -> PutBucketCorsOutput: cors_configuration, Cors;
    encryption_put(PutBucketEncryptionInput) -> PutBucketEncryptionOutput: server_side_encryption_configuration, Encryption;
    logging_put(PutBucketLoggingInput) -> PutBucketLoggingOutput: bucket_logging_status, Logging;
    ownership_put(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput: ownership_controls, Ownership;
    access_block_put(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput: public_access_block_configuration, PublicAccessBlock;
    payment_put(PutBucketRequestPaymentInput) -> PutBucketRequestPaymentOutput: request_payment_configuration, RequestPayment;
    website_put(PutBucketWebsiteInput) -> PutBucketWebsiteOutput: website_configuration, Website;
}

/// `delete(Input) -> Output: Setting` makes the operation that forgets what was put.
macro_rules! deletes {
    ($($name:ident($input:ident) -> $output:ident: $setting:ident;)*) => {
        $(pub(crate) async fn $name(
            s3: &Arc<S3>,
            cx: &Cx,
            input: dto::$input,
        ) -> Result<dto::$output, S3Error> {
            let owner = input.expected_bucket_owner.as_deref();
            s3.set(&cx.auth, &input.bucket, owner, Setting::$setting, None).await?;
            Ok(dto::$output::default())
        })*
    };
}

deletes! {
    cors_delete(DeleteBucketCorsInput) -> DeleteBucketCorsOutput: Cors;
    encryption_delete(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput: Encryption;
    lifecycle_delete(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput: Lifecycle;
    policy_delete(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput: Policy;
    website_delete(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput: Website;
}

/// `get(Input) -> Output: Stored, Setting, |stored| output` makes the operation that answers what was put, or None.
macro_rules! gets {
    ($($name:ident($input:ident) -> $output:ident: $stored:ident, $setting:ident, $answer:expr;)*) => {
        $(pub(crate) async fn $name(
            s3: &Arc<S3>,
            cx: &Cx,
            input: dto::$input,
        ) -> Result<dto::$output, S3Error> {
            let owner = input.expected_bucket_owner.as_deref();
            let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
            let stored: Option<dto::$stored> = settings::read(&bucket, Setting::$setting)?;
            let answer: fn(Option<dto::$stored>) -> Result<dto::$output, S3Error> = $answer;
            answer(stored)
        })*
    };
}

gets! {
    accelerate_get(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput: AccelerateConfiguration, Accelerate, |stored| {
        let status = stored.and_then(|stored| stored.status);
        Ok(dto::GetBucketAccelerateConfigurationOutput { status, ..Default::default() })
    };
    cors_get(GetBucketCorsInput) -> GetBucketCorsOutput: CORSConfiguration, Cors, |stored| {
        let stored = stored.ok_or(S3Error::NoSetting("NoSuchCORSConfiguration", "The CORS configuration does not exist"))?;
        Ok(dto::GetBucketCorsOutput { cors_rules: Some(stored.cors_rules) })
    };
    encryption_get(GetBucketEncryptionInput) -> GetBucketEncryptionOutput: ServerSideEncryptionConfiguration, Encryption, |stored| {
        let configuration = stored.unwrap_or_else(encrypted_by_default);
        Ok(dto::GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) })
    };
    lifecycle_get(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput: BucketLifecycleConfiguration, Lifecycle, |stored| {
        let stored = stored.ok_or(S3Error::NoSetting("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"))?;
        Ok(dto::GetBucketLifecycleConfigurationOutput {
            rules: Some(stored.rules),
            transition_default_minimum_object_size: Some(whole_objects()),
        })
    };
    logging_get(GetBucketLoggingInput) -> GetBucketLoggingOutput: BucketLoggingStatus, Logging, |stored| {
        let logging_enabled = stored.and_then(|stored| stored.logging_enabled);
        Ok(dto::GetBucketLoggingOutput { logging_enabled })
    };
    ownership_get(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput: OwnershipControls, Ownership, |stored| {
        let rule = || dto::OwnershipControlsRule {
            object_ownership: dto::ObjectOwnership::from_static(dto::ObjectOwnership::BUCKET_OWNER_ENFORCED),
        };
        let ownership_controls = stored.unwrap_or_else(|| dto::OwnershipControls { rules: vec![rule()] });
        Ok(dto::GetBucketOwnershipControlsOutput { ownership_controls: Some(ownership_controls) })
    };
    access_block_get(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput: PublicAccessBlockConfiguration, PublicAccessBlock, |stored| {
        let configuration = stored.unwrap_or_else(settings::all_blocked);
        Ok(dto::GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) })
    };
    payment_get(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput: RequestPaymentConfiguration, RequestPayment, |stored| {
        let payer = stored.map(|stored| stored.payer);
        let payer = payer.unwrap_or_else(|| dto::Payer::from_static(dto::Payer::BUCKET_OWNER));
        Ok(dto::GetBucketRequestPaymentOutput { payer: Some(payer) })
    };
    website_get(GetBucketWebsiteInput) -> GetBucketWebsiteOutput: WebsiteConfiguration, Website, |stored| {
        let stored = stored.ok_or(S3Error::NoSetting("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"))?;
        Ok(dto::GetBucketWebsiteOutput {
            error_document: stored.error_document,
            index_document: stored.index_document,
            redirect_all_requests_to: stored.redirect_all_requests_to,
            routing_rules: stored.routing_rules,
        })
    };
}

fn whole_objects() -> dto::TransitionDefaultMinimumObjectSize {
    dto::TransitionDefaultMinimumObjectSize::from_static(
        dto::TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K,
    )
}

fn encrypted_by_default() -> dto::ServerSideEncryptionConfiguration {
    let by_default = dto::ServerSideEncryptionByDefault {
        kms_master_key_id: None,
        sse_algorithm: dto::ServerSideEncryption::from_static(dto::ServerSideEncryption::AES256),
    };
    dto::ServerSideEncryptionConfiguration {
        rules: vec![dto::ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(by_default),
            bucket_key_enabled: Some(false),
        }],
    }
}

pub(crate) async fn lifecycle_put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::PutBucketLifecycleConfigurationInput,
) -> Result<dto::PutBucketLifecycleConfigurationOutput, S3Error> {
    let configuration = input.lifecycle_configuration.ok_or(S3Error::MalformedXml)?;
    let xml = settings::xml(&configuration)?;
    let owner = input.expected_bucket_owner.as_deref();
    s3.set(&cx.auth, &input.bucket, owner, Setting::Lifecycle, Some(xml)).await?;
    Ok(dto::PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(whole_objects()),
    })
}

/// Everything is allowed that AWS blocks by default, unlike in a bucket where nothing was ever put.
pub(crate) async fn access_block_delete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::DeletePublicAccessBlockInput,
) -> Result<dto::DeletePublicAccessBlockOutput, S3Error> {
    let xml = settings::xml(&settings::none_blocked())?;
    let owner = input.expected_bucket_owner.as_deref();
    s3.set(&cx.auth, &input.bucket, owner, Setting::PublicAccessBlock, Some(xml)).await?;
    Ok(dto::DeletePublicAccessBlockOutput::default())
}

/// Without controls objects belong to whoever writes them, as before AWS had controls.
pub(crate) async fn ownership_delete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::DeleteBucketOwnershipControlsInput,
) -> Result<dto::DeleteBucketOwnershipControlsOutput, S3Error> {
    let writer = dto::ObjectOwnership::from_static(dto::ObjectOwnership::OBJECT_WRITER);
    let xml = settings::ownership(writer)?;
    let owner = input.expected_bucket_owner.as_deref();
    s3.set(&cx.auth, &input.bucket, owner, Setting::Ownership, Some(xml)).await?;
    Ok(dto::DeleteBucketOwnershipControlsOutput::default())
}

pub(crate) async fn replication_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetBucketReplicationInput,
) -> Result<dto::GetBucketReplicationOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner).await?;
    Err(S3Error::NoSetting(
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    ))
}

pub(crate) async fn object_lock_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetObjectLockConfigurationInput,
) -> Result<dto::GetObjectLockConfigurationOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner).await?;
    Err(S3Error::NoSetting(
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ))
}

pub(crate) async fn versioning_get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::GetBucketVersioningInput,
) -> Result<dto::GetBucketVersioningOutput, S3Error> {
    use super::record::Versioning;
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let status = match bucket.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(dto::BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(dto::BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(dto::BucketVersioningStatus::from_static);
    Ok(dto::GetBucketVersioningOutput { status, ..Default::default() })
}

pub(crate) async fn versioning_put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: dto::PutBucketVersioningInput,
) -> Result<dto::PutBucketVersioningOutput, S3Error> {
    use super::record::Versioning;
    let configuration = input.versioning_configuration;
    if configuration.mfa_delete.is_some_and(|it| it.as_str() == dto::MFADelete::ENABLED) {
        return Err(S3Error::NotImplemented(
            "MFA Delete is not implemented by this server.".to_owned(),
        ));
    }
    let versioning = match configuration.status.as_ref().map(|status| status.as_str()) {
        Some(dto::BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(dto::BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => return Err(S3Error::MalformedXml),
    };
    // Alone: a change of an object decides by the setting what becomes of the version before.
    let _alone = s3.gate.write().await;
    let owner = input.expected_bucket_owner.as_deref();
    s3.change_bucket(&cx.auth, &input.bucket, owner, |bucket| {
        bucket.versioning = versioning;
        Ok(())
    })
    .await?;
    Ok(dto::PutBucketVersioningOutput::default())
}
