//! Buckets and versions of objects in the store: one batch a change, so that a crash leaves the old or the new.
//!
//! The newest version of a key is in one space, under `BUCKET/KEY`, older ones in another, newest first. Which blobs
//! are in use is a third space, written in the same batch as the record that names them.

use bytes::Bytes;
use nilas_model::limits::{S3_COMMIT_TRIES_MAX, S3_GET_BYTES_MAX};
use nilas_store::{BlobHash, Change, Expect, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::S3;
use super::error::S3Error;
use super::record::{BucketRecord, ObjectRecord, Segment, Versioning};
use crate::blob_use::{Answer, BlobOwner, Hold, Need};

pub(crate) const BUCKETS: &str = "s3.bucket";
pub(crate) const OBJECTS: &str = "s3.object";
pub(crate) const VERSIONS: &str = "s3.version";
pub(crate) const UPLOADS: &str = "s3.upload";
pub(crate) const PARTS: &str = "s3.part";
const BLOBS: &str = "s3.blob";

/// A record and its revision in the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub value: T,
    pub revision: u64,
}

/// What a deletion did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// Of the version that was removed, or of the marker that was made.
    pub version_id: Option<String>,
    pub delete_marker: bool,
    /// What it was, to whom the bucket's events are sent; none if there was nothing to delete.
    pub event: Option<&'static str>,
}

/// Bytes that were brought in and are on disk; kept until the record that names them is.
#[derive(Debug)]
pub(crate) struct Brought {
    pub segment: Segment,
    pub _hold: Hold,
}

pub(crate) fn object_key(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// No key has the zero byte: it ends the key.
pub(crate) fn versions_prefix(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}\0")
}

fn version_key(bucket: &str, key: &str, record: &ObjectRecord) -> String {
    format!("{}{:020}", versions_prefix(bucket, key), u64::MAX - record.order)
}

pub(crate) fn put<T: Serialize>(
    space: &str,
    key: String,
    value: &T,
    expect: Expect,
) -> Result<Change, S3Error> {
    let value = Bytes::from(serde_json::to_vec(value)?);
    Ok(Change::Put { space: space.to_owned(), key, value, expect })
}

pub(crate) fn delete(space: &str, key: String, expect: Expect) -> Change {
    Change::Delete { space: space.to_owned(), key, expect }
}

fn use_key(segment: &Segment) -> String {
    format!("{}/{}", segment.blob, segment.use_id)
}

pub(crate) fn use_added(segment: &Segment) -> Change {
    let (space, key) = (BLOBS.to_owned(), use_key(segment));
    Change::Put { space, key, value: Bytes::new(), expect: Expect::Any }
}

pub(crate) fn use_removed(segment: &Segment) -> Change {
    delete(BLOBS, use_key(segment), Expect::Any)
}

pub(crate) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

fn expected<T>(found: Option<&Stored<T>>) -> Expect {
    found.map_or(Expect::Absent, |found| Expect::Revision(found.revision))
}

impl S3 {
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        space: &str,
        key: &str,
    ) -> Result<Option<Stored<T>>, S3Error> {
        let Some(record) = self.records.get(space, key).await? else { return Ok(None) };
        let value = serde_json::from_slice(&record.value)?;
        Ok(Some(Stored { value, revision: record.revision }))
    }

    /// Keys and records below `prefix`, behind the key `after`.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<T>)>, S3Error> {
        let found = self.records.list(space, prefix, after, limit).await?;
        let decode = |(key, record): (String, nilas_store::Record)| {
            let value = serde_json::from_slice(&record.value)?;
            Ok((key, Stored { value, revision: record.revision }))
        };
        found.into_iter().map(decode).collect()
    }

    pub(crate) async fn bucket(&self, name: &str) -> Result<Stored<BucketRecord>, S3Error> {
        let found = self.read(BUCKETS, name).await?;
        found.ok_or_else(|| S3Error::NoSuchBucket(name.to_owned()))
    }

    /// The version that a request names, or the newest; a delete marker is an error.
    pub(crate) async fn object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<ObjectRecord, S3Error> {
        let record = match version {
            Some(version) => {
                let found = self.version(bucket, key, version).await?;
                let no_such_version =
                    || S3Error::NoSuchVersion { key: key.to_owned(), version: version.to_owned() };
                found.ok_or_else(no_such_version)?.1.value
            }
            None => {
                let found = self.read(OBJECTS, &object_key(bucket, key)).await?;
                let found: Stored<ObjectRecord> =
                    found.ok_or_else(|| S3Error::NoSuchKey { key: key.to_owned() })?;
                found.value
            }
        };
        match (record.delete_marker, version) {
            (false, _) => Ok(record),
            (true, Some(_)) => Err(S3Error::IsDeleteMarker {
                modified: nilas_wire::time::http_date(record.modified_ms),
            }),
            (true, None) => {
                let version = record.version().to_owned();
                Err(S3Error::Deleted { key: key.to_owned(), version })
            }
        }
    }

    /// The version called `version`, with the space it is in.
    async fn version(
        &self,
        bucket: &str,
        key: &str,
        version: &str,
    ) -> Result<Option<(&'static str, Stored<ObjectRecord>)>, S3Error> {
        let newest: Option<Stored<ObjectRecord>> =
            self.read(OBJECTS, &object_key(bucket, key)).await?;
        if let Some(newest) = newest.filter(|newest| newest.value.version() == version) {
            return Ok(Some((OBJECTS, newest)));
        }
        let prefix = versions_prefix(bucket, key);
        let mut after = None;
        loop {
            let page = self.list(VERSIONS, &prefix, after.as_deref(), super::PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(None) };
            after = Some(last.clone());
            let found = page.into_iter().map(|(_, stored)| stored);
            if let Some(found) = found
                .into_iter()
                .find(|stored: &Stored<ObjectRecord>| stored.value.version() == version)
            {
                return Ok(Some((VERSIONS, found)));
            }
        }
    }

    /// Stores bytes that a record is going to name; none of no bytes.
    pub(crate) async fn bring(&self, bytes: Bytes) -> Result<Option<Brought>, S3Error> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let length = bytes.len() as u64;
        let blob = crate::aside(bytes.len(), || BlobHash::of(&bytes));
        let hold = self.blob_use.hold(blob).await;
        self.blobs.put(bytes).await?;
        let segment = Segment {
            blob: blob.to_string(),
            bytes: length,
            use_id: new_id(),
            checksum: None,
            part_number: None,
        };
        Ok(Some(Brought { segment, _hold: hold }))
    }

    /// Some bytes of an object, which must be there.
    pub(crate) async fn bytes(
        &self,
        segments: &[Segment],
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, S3Error> {
        if range.end - range.start > S3_GET_BYTES_MAX {
            return Err(S3Error::NotImplemented(format!(
                "This server answers at most {S3_GET_BYTES_MAX} bytes of an object at once. Read it in ranges."
            )));
        }
        let mut pieces = Vec::new();
        let mut at = 0;
        for segment in segments {
            let (start, end) = (at.max(range.start), (at + segment.bytes).min(range.end));
            if let (true, Some(blob)) = (start < end, segment.hash()) {
                let bytes = self.blobs.read(&blob).await?;
                let within = |place: u64| usize::try_from(place - at).unwrap_or(usize::MAX);
                pieces.push(bytes.slice(within(start)..within(end).min(bytes.len())));
            }
            at += segment.bytes;
        }
        Ok(match pieces.len() {
            1 => pieces.remove(0),
            _ => Bytes::from(pieces.concat()),
        })
    }

    /// Makes `next` the newest version of `key`, if `check` allows it in place of the present one. `also` happens
    /// with it. Callers hold the gate.
    pub(crate) async fn commit(
        &self,
        bucket: &str,
        key: &str,
        mut next: ObjectRecord,
        check: impl Fn(Option<&ObjectRecord>) -> Result<(), S3Error>,
        also: &[Change],
    ) -> Result<ObjectRecord, S3Error> {
        for _ in 0..S3_COMMIT_TRIES_MAX {
            let versioning = self.bucket(bucket).await?.value.versioning;
            let newest: Option<Stored<ObjectRecord>> =
                self.read(OBJECTS, &object_key(bucket, key)).await?;
            check(newest.as_ref().map(|newest| &newest.value).filter(|now| !now.delete_marker))?;
            next.version_id = (versioning == Versioning::Enabled).then(new_id);
            next.order = self.next_order(newest.as_ref());
            let mut changes = also.to_vec();
            let dropped =
                self.supersede(bucket, key, newest.as_ref(), versioning, &mut changes).await?;
            changes.push(put(OBJECTS, object_key(bucket, key), &next, expected(newest.as_ref()))?);
            changes.extend(next.segments.iter().map(use_added));
            if self.apply(changes, &dropped).await? {
                return Ok(next);
            }
        }
        Err(S3Error::Busy)
    }

    fn next_order(&self, newest: Option<&Stored<ObjectRecord>>) -> u64 {
        let now = self.clock.epoch_ms() * 1_000;
        newest.map_or(now, |newest| now.max(newest.value.order + 1))
    }

    /// Adds what becomes of the newest version when another takes its place; answers the segments that are dropped.
    async fn supersede(
        &self,
        bucket: &str,
        key: &str,
        newest: Option<&Stored<ObjectRecord>>,
        versioning: Versioning,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Segment>, S3Error> {
        let mut dropped = Vec::new();
        let keeps = |record: &ObjectRecord| {
            versioning == Versioning::Enabled || record.version_id.is_some()
        };
        match newest {
            Some(newest) if keeps(&newest.value) => {
                let place = version_key(bucket, key, &newest.value);
                changes.push(put(VERSIONS, place, &newest.value, Expect::Any)?);
            }
            Some(newest) => dropped.extend(newest.value.segments.clone()),
            None => {}
        }
        if versioning == Versioning::Suspended
            && let Some((VERSIONS, null)) = self.version(bucket, key, "null").await?
        {
            let place = version_key(bucket, key, &null.value);
            changes.push(delete(VERSIONS, place, Expect::Any));
            dropped.extend(null.value.segments);
        }
        Ok(dropped)
    }

    /// Whether the changes were made; false if somebody else was faster.
    pub(crate) async fn apply(
        &self,
        mut changes: Vec<Change>,
        dropped: &[Segment],
    ) -> Result<bool, S3Error> {
        changes.extend(dropped.iter().map(use_removed));
        match self.records.batch(changes).await {
            Ok(()) => {
                self.blob_use.suspect(dropped.iter().filter_map(Segment::hash));
                Ok(true)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(err) => Err(err.into()),
        }
    }

    /// Changes that somebody else cannot have come before, since the caller has the gate for himself.
    pub(crate) async fn apply_alone(
        &self,
        changes: Vec<Change>,
        dropped: &[Segment],
    ) -> Result<(), S3Error> {
        if self.apply(changes, dropped).await? { Ok(()) } else { Err(S3Error::Busy) }
    }

    /// Deletes a key: for good, or by a marker, as the bucket's versioning wants it. Callers hold the gate.
    pub(crate) async fn remove(
        &self,
        bucket: &str,
        key: &str,
        check: impl Fn(Option<&ObjectRecord>) -> Result<(), S3Error>,
    ) -> Result<Deleted, S3Error> {
        for _ in 0..S3_COMMIT_TRIES_MAX {
            let versioning = self.bucket(bucket).await?.value.versioning;
            let place = object_key(bucket, key);
            let newest: Option<Stored<ObjectRecord>> = self.read(OBJECTS, &place).await?;
            check(newest.as_ref().map(|newest| &newest.value).filter(|now| !now.delete_marker))?;
            let mut changes = Vec::new();
            let dropped =
                self.supersede(bucket, key, newest.as_ref(), versioning, &mut changes).await?;
            let mut deleted = Deleted::default();
            if versioning == Versioning::Never {
                let Some(newest) = &newest else { return Ok(deleted) };
                deleted.event = Some("ObjectRemoved:Delete");
                changes.push(delete(OBJECTS, place, Expect::Revision(newest.revision)));
            } else {
                let marker = ObjectRecord {
                    version_id: (versioning == Versioning::Enabled).then(new_id),
                    order: self.next_order(newest.as_ref()),
                    modified_ms: self.clock.epoch_ms(),
                    delete_marker: true,
                    ..ObjectRecord::default()
                };
                deleted.version_id = Some(marker.version().to_owned());
                deleted.delete_marker = true;
                deleted.event = Some("ObjectRemoved:DeleteMarkerCreated");
                changes.push(put(OBJECTS, place, &marker, expected(newest.as_ref()))?);
            }
            if self.apply(changes, &dropped).await? {
                return Ok(deleted);
            }
        }
        Err(S3Error::Busy)
    }

    /// Deletes one version for good; nothing if there is none. Callers hold the gate.
    pub(crate) async fn remove_version(
        &self,
        bucket: &str,
        key: &str,
        version: &str,
    ) -> Result<Deleted, S3Error> {
        for _ in 0..S3_COMMIT_TRIES_MAX {
            let mut deleted =
                Deleted { version_id: Some(version.to_owned()), ..Deleted::default() };
            let Some((space, found)) = self.version(bucket, key, version).await? else {
                return Ok(deleted);
            };
            deleted.delete_marker = found.value.delete_marker;
            deleted.event = Some("ObjectRemoved:Delete");
            let expect = Expect::Revision(found.revision);
            let mut changes = Vec::new();
            if space == VERSIONS {
                changes.push(delete(VERSIONS, version_key(bucket, key, &found.value), expect));
            } else {
                let older = self.list(VERSIONS, &versions_prefix(bucket, key), None, 1).await?;
                let older: Option<(String, Stored<ObjectRecord>)> = older.into_iter().next();
                match older {
                    Some((place, older)) => {
                        changes.push(put(OBJECTS, object_key(bucket, key), &older.value, expect)?);
                        changes.push(delete(VERSIONS, place, Expect::Revision(older.revision)));
                    }
                    None => changes.push(delete(OBJECTS, object_key(bucket, key), expect)),
                }
            }
            if self.apply(changes, &found.value.segments).await? {
                return Ok(deleted);
            }
        }
        Err(S3Error::Busy)
    }

    /// Changes what an object's record says beside its bytes.
    pub(crate) async fn amend(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        change: impl Fn(&mut ObjectRecord),
    ) -> Result<ObjectRecord, S3Error> {
        for _ in 0..S3_COMMIT_TRIES_MAX {
            let wanted = self.object(bucket, key, version).await?;
            let found = self.version(bucket, key, wanted.version()).await?;
            let Some((space, mut found)) = found else { continue };
            change(&mut found.value);
            let place = match space {
                VERSIONS => version_key(bucket, key, &found.value),
                _ => object_key(bucket, key),
            };
            let change = put(space, place, &found.value, Expect::Revision(found.revision))?;
            if self.apply(vec![change], &[]).await? {
                return Ok(found.value);
            }
        }
        Err(S3Error::Busy)
    }
}

impl BlobOwner for S3 {
    fn need<'a>(&'a self, blob: &'a BlobHash) -> Answer<'a, Need> {
        Box::pin(async move {
            match self.records.list(BLOBS, &format!("{blob}/"), None, 1).await {
                Ok(uses) if uses.is_empty() => Need::None,
                Ok(_) => Need::Named,
                Err(err) => {
                    tracing::warn!(%blob, error = %err, "use of a blob not known; it stays");
                    Need::ForNow
                }
            }
        })
    }

    fn let_go<'a>(&'a self, _blob: &'a BlobHash) -> Answer<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
