//! The functions that exist: records in the store, and the same in memory for reading and for the invoke path.
//!
//! Invariant: what is in memory is in the store. Writers hold `Functions::write`, readers never wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use nilas_model::{AccountId, FunctionId, Region, Version, VersionSnapshot};
use nilas_store::{BlobHash, Expect, Records, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::error::LambdaError;
use super::record::{self, FunctionRecord, State, VersionRecord};
use crate::blob_use::BlobUse;

/// A function with its versions: immutable, replaced whole.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub id: FunctionId,
    pub record: FunctionRecord,
    pub published: BTreeMap<u64, Arc<VersionRecord>>,
    /// What the invoke path sees. A version is missing while its package or runtime is still looked for.
    pub slots: BTreeMap<Version, Slot>,
    /// Of the function's record; None before the first write.
    pub store_revision: Option<u64>,
}

/// A version on this machine.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Ready(Arc<VersionSnapshot>),
    /// Its package or runtime is not to be had; the log said more.
    Failed(Unusable),
}

/// Why a version that exists cannot run on this machine.
#[derive(Debug, Clone)]
pub(crate) enum Unusable {
    /// In words for the caller.
    Runtime(String),
    Package,
    /// With SnapStart: the function's init failed.
    Init,
    /// With SnapStart: the machine could not initialise it.
    Snapshot,
}

impl Unusable {
    /// The state of the version, from then on.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Runtime(_) | Self::Package => State::Failed,
            Self::Init => State::InitFailed,
            Self::Snapshot => State::SnapshotFailed,
        }
    }
}

impl Function {
    pub(crate) fn version(&self, version: Version) -> Option<&VersionRecord> {
        match version {
            Version::Latest => Some(&self.record.latest),
            Version::Published(number) => self.published.get(&number).map(Arc::as_ref),
        }
    }

    /// `$LATEST`, then the published ones, oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (Version, &VersionRecord)> {
        let published = self
            .published
            .iter()
            .map(|(number, record)| (Version::Published(*number), record.as_ref()));
        std::iter::once((Version::Latest, &self.record.latest)).chain(published)
    }

    /// Hashes of the packages that its versions have.
    pub(crate) fn packages(&self) -> BTreeSet<String> {
        let packages = self.versions().flat_map(|(_, record)| record.packages());
        packages.map(|code| code.sha256.clone()).collect()
    }
}

/// All functions of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Functions {
    records: Records,
    map: RwLock<BTreeMap<FunctionId, Arc<Function>>>,
    /// Whose URL an id is: the function, and the name under which it keeps it.
    urls: RwLock<BTreeMap<String, (FunctionId, String)>>,
    /// One writer at a time: control-plane changes are rare, and each is read, check, write.
    writer: Mutex<()>,
    generation: AtomicU64,
    changes: watch::Sender<u64>,
    blob_use: BlobUse,
}

/// Proof that its holder is the only one changing functions.
#[derive(Debug)]
pub(crate) struct WriteGuard<'a> {
    functions: &'a Functions,
    _lock: MutexGuard<'a, ()>,
}

const FUNCTION_SPACE: &str = "lambda.function";
const VERSION_SPACE: &str = "lambda.version";
const PAGE: usize = 500;

impl Functions {
    /// Reads everything. Records of versions that no function names are leftovers of an interrupted change: removed.
    pub(crate) async fn load(records: Records, blob_use: BlobUse) -> Result<Self, LambdaError> {
        let mut versions: BTreeMap<String, VersionRecord> = BTreeMap::new();
        for (key, record) in read_all(&records, VERSION_SPACE).await? {
            versions.insert(key, decode(&record.value)?);
        }
        let mut map = BTreeMap::new();
        for (key, stored) in read_all(&records, FUNCTION_SPACE).await? {
            let Some(id) = record::parse_store_key(&key) else {
                tracing::warn!(key, "a function's record has no valid key; ignored");
                continue;
            };
            let record: FunctionRecord = decode(&stored.value)?;
            let mut published = BTreeMap::new();
            for number in &record.published {
                match versions.remove(&version_key(&id, *number)) {
                    Some(version) => drop(published.insert(*number, Arc::new(version))),
                    None => tracing::error!(
                        function = id.name.as_str(),
                        version = number,
                        "record of a version is missing"
                    ),
                }
            }
            let store_revision = Some(stored.revision);
            let function = Function {
                id: id.clone(),
                record,
                published,
                slots: BTreeMap::new(),
                store_revision,
            };
            map.insert(id, Arc::new(function));
        }
        for key in versions.into_keys() {
            records.delete(VERSION_SPACE, &key, Expect::Any).await?;
        }
        Ok(Self {
            records,
            urls: RwLock::new(map.values().flat_map(|function| urls_of(function)).collect()),
            map: RwLock::new(map),
            writer: Mutex::new(()),
            generation: AtomicU64::new(1),
            changes: watch::Sender::new(0),
            blob_use,
        })
    }

    pub(crate) fn get(&self, id: &FunctionId) -> Option<Arc<Function>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Function>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The function that has the URL with this id, and the name under which it keeps it.
    pub(crate) fn url(&self, url_id: &str) -> Option<(FunctionId, String)> {
        self.urls.read().unwrap_or_else(PoisonError::into_inner).get(url_id).cloned()
    }

    /// By name.
    pub(crate) fn of(&self, account: &AccountId, region: &Region) -> Vec<Arc<Function>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let ours = map.iter().filter(|(id, _)| &id.account == account && &id.region == region);
        ours.map(|(_, function)| function.clone()).collect()
    }

    /// Whether any version of any function has this package.
    pub(crate) fn has_package(&self, sha256: &str) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let versions = map.values().flat_map(|function| function.versions());
        let mut packages = versions.flat_map(|(_, record)| record.packages());
        packages.any(|code| code.sha256 == sha256)
    }

    /// Wakes at every change of any function.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) async fn write(&self) -> WriteGuard<'_> {
        WriteGuard { functions: self, _lock: self.writer.lock().await }
    }

    fn install(&self, function: Function) -> Arc<Function> {
        let function = Arc::new(function);
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = map.insert(function.id.clone(), function.clone());
        drop(map);
        self.index_urls(replaced.as_deref(), Some(&function));
        self.changes.send_modify(|count| *count += 1);
        let dropped = replaced.map(|replaced| replaced.packages()).unwrap_or_default();
        let kept = function.packages();
        self.blob_use
            .suspect(dropped.difference(&kept).filter_map(|sha256| BlobHash::parse(sha256)));
        function
    }

    /// URLs change hardly ever: what has none, before and after, costs nothing.
    fn index_urls(&self, before: Option<&Function>, after: Option<&Function>) {
        let has_urls = |function: &Function| !function.record.urls.is_empty();
        if !before.is_some_and(has_urls) && !after.is_some_and(has_urls) {
            return;
        }
        let mut urls = self.urls.write().unwrap_or_else(PoisonError::into_inner);
        for (id, _) in before.into_iter().flat_map(urls_of) {
            urls.remove(&id);
        }
        urls.extend(after.into_iter().flat_map(urls_of));
    }

    fn uninstall(&self, id: &FunctionId) {
        let removed = self.map.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.index_urls(removed.as_deref(), None);
        self.changes.send_modify(|count| *count += 1);
        let packages = removed.map(|removed| removed.packages()).unwrap_or_default();
        self.blob_use.suspect(packages.iter().filter_map(|sha256| BlobHash::parse(sha256)));
    }
}

impl WriteGuard<'_> {
    /// Makes `next` the function: on disk first, the function's own record last among the writes, then in memory.
    pub(crate) async fn save(&self, mut next: Function) -> Result<Arc<Function>, LambdaError> {
        let Functions { records, .. } = self.functions;
        let current = self.functions.get(&next.id);
        let before = current.as_ref().map(|current| &current.published);
        for (number, version) in &next.published {
            let known = before.and_then(|before| before.get(number));
            if known.is_none_or(|known| !Arc::ptr_eq(known, version)) {
                let key = version_key(&next.id, *number);
                records.put(VERSION_SPACE, &key, encode(version.as_ref())?, Expect::Any).await?;
            }
        }
        next.record.published = next.published.keys().copied().collect();
        let expect = next.store_revision.map_or(Expect::Absent, Expect::Revision);
        let value = encode(&next.record)?;
        next.store_revision =
            Some(records.put(FUNCTION_SPACE, &record::store_key(&next.id), value, expect).await?);
        let dropped = before
            .into_iter()
            .flat_map(|before| before.keys())
            .filter(|number| !next.published.contains_key(number));
        for number in dropped {
            records.delete(VERSION_SPACE, &version_key(&next.id, *number), Expect::Any).await?;
        }
        Ok(self.functions.install(next))
    }

    /// Replaces what the invoke path sees, and nothing that is stored.
    pub(crate) fn replace_slots(&self, next: Function) -> Arc<Function> {
        self.functions.install(next)
    }

    pub(crate) async fn delete(&self, function: &Function) -> Result<(), LambdaError> {
        let Functions { records, .. } = self.functions;
        let expect = function.store_revision.map_or(Expect::Any, Expect::Revision);
        records.delete(FUNCTION_SPACE, &record::store_key(&function.id), expect).await?;
        self.functions.uninstall(&function.id);
        for number in function.published.keys() {
            records.delete(VERSION_SPACE, &version_key(&function.id, *number), Expect::Any).await?;
        }
        Ok(())
    }
}

fn urls_of(function: &Function) -> impl Iterator<Item = (String, (FunctionId, String))> {
    let urls = function.record.urls.iter();
    urls.map(|(key, url)| (url.id.clone(), (function.id.clone(), key.clone())))
}

/// Twenty digits hold every number, so that keys sort as numbers do.
fn version_key(id: &FunctionId, number: u64) -> String {
    format!("{}/{number:020}", record::store_key(id))
}

pub(crate) async fn read_all(
    records: &Records,
    space: &str,
) -> Result<Vec<(String, nilas_store::Record)>, StoreError> {
    let mut all: Vec<(String, nilas_store::Record)> = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        let page = records.list(space, "", after.as_deref(), PAGE).await?;
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, LambdaError> {
    let bytes = serde_json::to_vec(value);
    Ok(Bytes::from(bytes.map_err(|source| LambdaError::Internal {
        step: "encoding a record",
        source: source.into(),
    })?))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LambdaError> {
    serde_json::from_slice(bytes).map_err(|source| LambdaError::Internal {
        step: "decoding a record",
        source: source.into(),
    })
}
