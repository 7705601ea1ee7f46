//! DeleteObject and DeleteObjects.

use std::sync::Arc;

use nilas_model::limits::{S3_DELETES_AT_ONCE_MAX, S3_KEYS_MAX};
use s3s::dto::{
    self, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, ETag, ETagCondition, ObjectIdentifier,
};
use tokio::task::JoinSet;

use super::condition::epoch_ms;
use super::error::S3Error;
use super::events::Event;
use super::record::ObjectRecord;
use super::store::Deleted;
use super::{Cx, S3};

pub(crate) async fn delete(
    s3: &Arc<S3>,
    cx: &Cx,
    input: DeleteObjectInput,
) -> Result<DeleteObjectOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let wanted = Wanted {
        etag: input.if_match.clone(),
        modified_ms: input.if_match_last_modified_time.as_ref().and_then(epoch_ms),
        bytes: input.if_match_size,
    };
    let version = input.version_id.as_deref();
    let deleted = remove(s3, &input.bucket, &input.key, version, &wanted).await?;
    let event = event(s3, &input.key, &deleted);
    s3.notify(cx, (&input.bucket, &bucket), event.as_slice()).await?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.delete_marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    })
}

/// What the object must be like to be deleted.
#[derive(Debug, Default)]
struct Wanted {
    etag: Option<ETagCondition>,
    modified_ms: Option<u64>,
    bytes: Option<i64>,
}

impl Wanted {
    fn check(&self, key: &str, now: Option<&ObjectRecord>) -> Result<(), S3Error> {
        let failed = |condition| Err(S3Error::PreconditionFailed { condition });
        super::condition::check_write(key, now, self.etag.as_ref(), None)?;
        let Some(now) = now else { return Ok(()) };
        if self.modified_ms.is_some_and(|wanted| wanted / 1_000 != now.modified_ms / 1_000) {
            return failed("x-amz-if-match-last-modified-time");
        }
        if self.bytes.is_some_and(|wanted| u64::try_from(wanted) != Ok(now.bytes())) {
            return failed("x-amz-if-match-size");
        }
        Ok(())
    }
}

/// What the bucket's events say of it; nothing, if there was nothing.
fn event<'a>(s3: &S3, key: &'a str, deleted: &'a Deleted) -> Option<Event<'a>> {
    let version_id = deleted.version_id.as_deref();
    let order = s3.clock.epoch_ms() * 1_000;
    deleted.event.map(|name| Event { name, key, object: None, version_id, order })
}

async fn remove(
    s3: &S3,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    wanted: &Wanted,
) -> Result<Deleted, S3Error> {
    let _gate = s3.gate.read().await;
    match version {
        Some(version) => s3.remove_version(bucket, key, version).await,
        None => s3.remove(bucket, key, |now| wanted.check(key, now)).await,
    }
}

pub(crate) async fn delete_many(
    s3: &Arc<S3>,
    cx: &Cx,
    input: DeleteObjectsInput,
) -> Result<DeleteObjectsOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let owned = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > S3_KEYS_MAX {
        return Err(S3Error::MalformedXml);
    }
    let total = objects.len();
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(total);
    outcomes.resize_with(total, || None);
    let mut running = JoinSet::new();
    for (at, object) in objects.into_iter().enumerate() {
        if running.len() >= S3_DELETES_AT_ONCE_MAX {
            collect(running.join_next().await, &mut outcomes);
        }
        let (s3, bucket) = (Arc::clone(s3), input.bucket.clone());
        running.spawn(async move { (at, delete_one(&s3, &bucket, object).await) });
    }
    while let Some(done) = running.join_next().await {
        collect(Some(done), &mut outcomes);
    }
    let quiet = input.delete.quiet == Some(true);
    let done: Vec<_> = outcomes.iter().flatten().flatten().collect();
    let events: Vec<Event<'_>> = done
        .iter()
        .filter_map(|(object, deleted)| event(s3, object.key.as_deref()?, deleted))
        .collect();
    s3.notify(cx, (&input.bucket, &owned), &events).await?;
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for outcome in outcomes.into_iter().flatten() {
        match outcome {
            Ok((object, _)) if !quiet => deleted.push(object),
            Ok(_) => {}
            Err(error) => errors.push(*error),
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    })
}

type Outcome = Result<(DeletedObject, Deleted), Box<dto::Error>>;

fn collect(
    done: Option<Result<(usize, Outcome), tokio::task::JoinError>>,
    outcomes: &mut [Option<Outcome>],
) {
    if let Some(Ok((at, outcome))) = done {
        outcomes[at] = Some(outcome);
    }
}

async fn delete_one(s3: &S3, bucket: &str, object: ObjectIdentifier) -> Outcome {
    let ObjectIdentifier { key, version_id, e_tag, last_modified_time, size } = object;
    let etag = e_tag.map(|etag: ETag| match etag.value() {
        "*" => ETagCondition::Any,
        _ => ETagCondition::ETag(etag),
    });
    let modified_ms = last_modified_time.as_ref().and_then(epoch_ms);
    let wanted = Wanted { etag, modified_ms, bytes: size };
    match remove(s3, bucket, &key, version_id.as_deref(), &wanted).await {
        Ok(deleted) => {
            let marker = deleted.delete_marker;
            let object = DeletedObject {
                delete_marker: marker.then_some(true),
                delete_marker_version_id: deleted.version_id.clone().filter(|_| marker),
                key: Some(key),
                version_id,
            };
            Ok((object, deleted))
        }
        Err(err) => {
            let fault = err.fault();
            Err(Box::new(dto::Error {
                code: Some(fault.code.into_owned()),
                key: Some(key),
                message: fault.message,
                version_id,
            }))
        }
    }
}
