//! ListObjects, ListObjectsV2, ListObjectVersions: keys in order, those below a delimiter rolled up.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use nilas_model::limits::S3_KEYS_MAX;
use nilas_wire::percent;
use s3s::dto::{
    self, CommonPrefix, DeleteMarkerEntry, ETag, EncodingType, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectVersion,
};

use super::attributes::type_of;
use super::bucket::owner;
use super::condition::timestamp;
use super::error::S3Error;
use super::record::ObjectRecord;
use super::store::{OBJECTS, Stored, VERSIONS, object_key, versions_prefix};
use super::{Cx, PAGE, S3};

/// Behind every key that starts with what stands before it.
const LAST: char = '\u{10ffff}';

/// Which keys of a bucket are asked for.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub bucket: &'a str,
    pub prefix: &'a str,
    pub delimiter: Option<&'a str>,
    /// Only keys behind this one.
    pub after: Option<String>,
    pub max: usize,
    pub delete_markers: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub objects: Vec<(String, ObjectRecord)>,
    pub prefixes: Vec<String>,
    /// Where the next listing goes on, if there is more: a key, or a common prefix.
    pub next: Option<String>,
}

impl S3 {
    pub(crate) async fn scan(&self, scan: Scan<'_>) -> Result<Listing, S3Error> {
        let mut listing = Listing::default();
        let below = object_key(scan.bucket, scan.prefix);
        let skipped = scan.bucket.len() + 1;
        let mut after = scan.after.as_deref().map(|after| place_behind(&scan, after));
        let mut last = None;
        if scan.max == 0 {
            return Ok(listing);
        }
        loop {
            let page = self.list::<ObjectRecord>(OBJECTS, &below, after.as_deref(), PAGE).await?;
            let Some((end, _)) = page.last() else { return Ok(listing) };
            after = Some(end.clone());
            for (place, Stored { value, .. }) in page {
                if value.delete_marker && !scan.delete_markers {
                    continue;
                }
                if listing.objects.len() + listing.prefixes.len() == scan.max {
                    listing.next = last;
                    return Ok(listing);
                }
                let key = place[skipped..].to_owned();
                if let Some(group) = group_of(&scan, &key) {
                    let group = group.to_owned();
                    after = Some(format!("{}{LAST}", object_key(scan.bucket, &group)));
                    listing.prefixes.push(group.clone());
                    last = Some(group);
                    break;
                }
                last = Some(key.clone());
                listing.objects.push((key, value));
            }
        }
    }
}

/// The part of `key` up to the first delimiter behind the prefix.
fn group_of<'k>(scan: &Scan<'_>, key: &'k str) -> Option<&'k str> {
    let delimiter = scan.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = key.get(scan.prefix.len()..)?.find(delimiter)?;
    Some(&key[..scan.prefix.len() + at + delimiter.len()])
}

/// A common prefix stands for all the keys below it.
fn place_behind(scan: &Scan<'_>, after: &str) -> String {
    let place = object_key(scan.bucket, after);
    let is_group = after.starts_with(scan.prefix) && group_of(scan, after) == Some(after);
    if is_group { format!("{place}{LAST}") } else { place }
}

/// Encodes names as `encoding-type` wants them.
#[derive(Debug, Clone, Copy)]
struct Names {
    url: bool,
}

impl Names {
    fn of(encoding: Option<&EncodingType>) -> Result<Self, S3Error> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(other) => Err(S3Error::InvalidArgument {
                message: "Invalid Encoding Method specified in Request",
                name: "encoding-type",
                value: other.to_owned(),
            }),
        }
    }

    fn encode(self, name: &str) -> String {
        if self.url { percent::encode_path(name).into_owned() } else { name.to_owned() }
    }

    fn optional(self, name: Option<String>) -> Option<String> {
        name.map(|name| self.encode(&name))
    }

    fn prefixes(self, prefixes: Vec<String>) -> Option<Vec<CommonPrefix>> {
        let prefix = |prefix: String| CommonPrefix { prefix: Some(self.encode(&prefix)) };
        Some(prefixes.into_iter().map(prefix).collect())
    }

    fn objects(
        self,
        objects: Vec<(String, ObjectRecord)>,
        owner: Option<&dto::Owner>,
    ) -> Option<Vec<Object>> {
        let object = |(key, record): (String, ObjectRecord)| Object {
            checksum_algorithm: record.checksum.as_ref().map(|checksum| {
                vec![dto::ChecksumAlgorithm::from_static(checksum.algorithm.name())]
            }),
            checksum_type: record.checksum.as_ref().map(type_of),
            e_tag: Some(ETag::Strong(record.etag.clone())),
            key: Some(self.encode(&key)),
            last_modified: Some(timestamp(record.modified_ms)),
            owner: owner.cloned(),
            restore_status: None,
            size: Some(size(&record)),
            storage_class: Some(dto::ObjectStorageClass::from(class(&record))),
        };
        Some(objects.into_iter().map(object).collect())
    }
}

pub(crate) async fn objects(
    s3: &Arc<S3>,
    cx: &Cx,
    input: ListObjectsInput,
) -> Result<ListObjectsOutput, S3Error> {
    let owner_expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner_expected).await?;
    let names = Names::of(input.encoding_type.as_ref())?;
    let max = max_keys(input.max_keys, "max-keys")?;
    let scan = Scan {
        bucket: &input.bucket,
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref(),
        after: input.marker.clone(),
        max,
        delete_markers: false,
    };
    let found = s3.scan(scan).await?;
    let owner = owner(&cx.auth);
    Ok(ListObjectsOutput {
        is_truncated: Some(found.next.is_some()),
        // Without a delimiter clients go on behind the last key; see ListObjects, "NextMarker".
        next_marker: names.optional(found.next.filter(|_| input.delimiter.is_some())),
        contents: names.objects(found.objects, Some(&owner)),
        common_prefixes: names.prefixes(found.prefixes),
        name: Some(input.bucket),
        prefix: Some(names.encode(&input.prefix.unwrap_or_default())),
        marker: Some(names.encode(&input.marker.unwrap_or_default())),
        max_keys: Some(count(max)),
        delimiter: names.optional(input.delimiter),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}

pub(crate) async fn objects_v2(
    s3: &Arc<S3>,
    cx: &Cx,
    input: ListObjectsV2Input,
) -> Result<ListObjectsV2Output, S3Error> {
    let owner_expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner_expected).await?;
    let names = Names::of(input.encoding_type.as_ref())?;
    let max = max_keys(input.max_keys, "max-keys")?;
    let continued = input.continuation_token.as_deref().map(parse_token).transpose()?;
    let scan = Scan {
        bucket: &input.bucket,
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref(),
        after: continued.or_else(|| input.start_after.clone()),
        max,
        delete_markers: false,
    };
    let found = s3.scan(scan).await?;
    let owner = (input.fetch_owner == Some(true)).then(|| owner(&cx.auth));
    Ok(ListObjectsV2Output {
        key_count: Some(count(found.objects.len() + found.prefixes.len())),
        is_truncated: Some(found.next.is_some()),
        next_continuation_token: found.next.map(|next| BASE64.encode(next)),
        contents: names.objects(found.objects, owner.as_ref()),
        common_prefixes: names.prefixes(found.prefixes),
        name: Some(input.bucket),
        prefix: Some(names.encode(&input.prefix.unwrap_or_default())),
        max_keys: Some(count(max)),
        continuation_token: input.continuation_token,
        delimiter: names.optional(input.delimiter),
        encoding_type: input.encoding_type,
        start_after: names.optional(input.start_after),
        ..ListObjectsV2Output::default()
    })
}

fn parse_token(token: &str) -> Result<String, S3Error> {
    let decoded = BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| S3Error::InvalidArgument {
        message: "The continuation token provided is incorrect",
        name: "continuation-token",
        value: token.to_owned(),
    })
}

pub(crate) async fn versions(
    s3: &Arc<S3>,
    cx: &Cx,
    input: ListObjectVersionsInput,
) -> Result<ListObjectVersionsOutput, S3Error> {
    let owner_expected = input.expected_bucket_owner.as_deref();
    s3.own_bucket(&cx.auth, &input.bucket, owner_expected).await?;
    let names = Names::of(input.encoding_type.as_ref())?;
    let max = max_keys(input.max_keys, "max-keys")?;
    let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
    let version_marker = input.version_id_marker.clone().filter(|marker| !marker.is_empty());
    let mut found = Versions { max, owner: owner(&cx.auth), names, ..Versions::new() };
    // The rest of the key at which the last page ended comes first.
    if let (Some(key), Some(version)) = (&key_marker, &version_marker) {
        let rest = s3.versions_of(&input.bucket, key).await?;
        let behind = rest.iter().position(|record| record.version() == version);
        found.take(key, &rest, behind.map_or(0, |at| at + 1));
    }
    let mut after = key_marker.clone();
    while !found.full() {
        let scan = Scan {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: after.clone(),
            max: max - found.count(),
            delete_markers: true,
        };
        let listing = s3.scan(scan).await?;
        for (key, _) in &listing.objects {
            let records = s3.versions_of(&input.bucket, key).await?;
            found.take(key, &records, 0);
        }
        found.groups(listing.prefixes);
        match listing.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    found.more = found.more || (found.full() && max > 0 && found.is_more(s3, &input).await?);
    let next = found.last.clone().filter(|_| found.more);
    let (next_key, next_version) = next.unzip();
    Ok(ListObjectVersionsOutput {
        is_truncated: Some(found.more),
        next_key_marker: names.optional(next_key),
        next_version_id_marker: next_version.flatten(),
        common_prefixes: names.prefixes(found.prefixes),
        versions: Some(found.versions),
        delete_markers: Some(found.markers),
        name: Some(input.bucket),
        prefix: Some(names.encode(&input.prefix.unwrap_or_default())),
        key_marker: Some(names.encode(&input.key_marker.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: Some(count(max)),
        delimiter: names.optional(input.delimiter),
        encoding_type: input.encoding_type,
        ..ListObjectVersionsOutput::default()
    })
}

/// A page of versions that is being filled.
#[derive(Debug)]
struct Versions {
    max: usize,
    owner: dto::Owner,
    names: Names,
    versions: Vec<ObjectVersion>,
    markers: Vec<DeleteMarkerEntry>,
    prefixes: Vec<String>,
    /// The last key with its version, or the last common prefix.
    last: Option<(String, Option<String>)>,
    more: bool,
}

impl Versions {
    fn new() -> Self {
        Self {
            max: 0,
            owner: dto::Owner::default(),
            names: Names { url: false },
            versions: Vec::new(),
            markers: Vec::new(),
            prefixes: Vec::new(),
            last: None,
            more: false,
        }
    }

    fn count(&self) -> usize {
        self.versions.len() + self.markers.len() + self.prefixes.len()
    }

    fn full(&self) -> bool {
        self.count() >= self.max || self.more
    }

    /// All versions of a key, newest first, but the first `skipped`.
    fn take(&mut self, key: &str, records: &[ObjectRecord], skipped: usize) {
        for (at, record) in records.iter().enumerate().skip(skipped) {
            if self.full() {
                self.more = true;
                return;
            }
            let (is_latest, version_id) = (Some(at == 0), Some(record.version().to_owned()));
            let (key_shown, owner) = (Some(self.names.encode(key)), Some(self.owner.clone()));
            let last_modified = Some(timestamp(record.modified_ms));
            self.last = Some((key.to_owned(), version_id.clone()));
            if record.delete_marker {
                self.markers.push(DeleteMarkerEntry {
                    is_latest,
                    key: key_shown,
                    last_modified,
                    owner,
                    version_id,
                });
                continue;
            }
            self.versions.push(ObjectVersion {
                e_tag: Some(ETag::Strong(record.etag.clone())),
                is_latest,
                key: key_shown,
                last_modified,
                owner,
                size: Some(size(record)),
                storage_class: Some(dto::ObjectVersionStorageClass::from(class(record))),
                version_id,
                checksum_algorithm: None,
                checksum_type: None,
                restore_status: None,
            });
        }
    }

    fn groups(&mut self, prefixes: Vec<String>) {
        for prefix in prefixes {
            if self.full() {
                self.more = true;
                return;
            }
            let behind = self.last.as_ref().is_none_or(|(last, _)| *last < prefix);
            if behind {
                self.last = Some((prefix.clone(), None));
            }
            self.prefixes.push(prefix);
        }
    }

    /// Whether anything comes behind a page that is just full.
    async fn is_more(&self, s3: &S3, input: &ListObjectVersionsInput) -> Result<bool, S3Error> {
        let Some((last, _)) = &self.last else { return Ok(false) };
        let scan = Scan {
            bucket: &input.bucket,
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: Some(last.clone()),
            max: 1,
            delete_markers: true,
        };
        let listing = s3.scan(scan).await?;
        Ok(!listing.objects.is_empty() || !listing.prefixes.is_empty())
    }
}

impl S3 {
    /// All versions of a key, newest first.
    async fn versions_of(&self, bucket: &str, key: &str) -> Result<Vec<ObjectRecord>, S3Error> {
        let newest = self.read::<ObjectRecord>(OBJECTS, &object_key(bucket, key)).await?;
        let mut records: Vec<ObjectRecord> =
            newest.into_iter().map(|newest| newest.value).collect();
        let below = versions_prefix(bucket, key);
        let mut after = None;
        loop {
            let page = self.list(VERSIONS, &below, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(records) };
            after = Some(last.clone());
            records.extend(page.into_iter().map(|(_, stored)| stored.value));
        }
    }
}

pub(crate) fn max_keys(max: Option<i32>, name: &'static str) -> Result<usize, S3Error> {
    let max = max.unwrap_or(1_000);
    let keys = usize::try_from(max).map_err(|_| S3Error::InvalidArgument {
        message: "Argument max-keys must be an integer between 0 and 2147483647",
        name,
        value: max.to_string(),
    })?;
    Ok(keys.min(S3_KEYS_MAX))
}

fn size(record: &ObjectRecord) -> i64 {
    i64::try_from(record.bytes()).unwrap_or(i64::MAX)
}

fn class(record: &ObjectRecord) -> String {
    record.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned())
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
