//! The mappings that exist: a record each in the store, the same in memory, and who is told when one changes.
//!
//! Invariant: what is in memory is in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use nilas_model::{AccountId, Region};
use nilas_store::{Expect, Records};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::record::{MappingId, MappingRecord};
use crate::lambda::error::LambdaError;
use crate::lambda::functions::{decode, encode, read_all};

const SPACE: &str = "lambda.event_source_mapping";

type Changes = watch::Sender<Arc<MappingRecord>>;

#[derive(Debug)]
pub(super) struct MappingStore {
    records: Records,
    map: RwLock<BTreeMap<MappingId, Changes>>,
    /// One writer at a time: each change is read, check, write.
    writer: Mutex<()>,
}

/// Proof that its holder is the only one changing mappings.
#[derive(Debug)]
pub(super) struct MappingWriter<'a> {
    store: &'a MappingStore,
    _lock: MutexGuard<'a, ()>,
}

impl MappingStore {
    pub(super) async fn load(records: Records) -> Result<Self, LambdaError> {
        let mut map = BTreeMap::new();
        for (key, stored) in read_all(&records, SPACE).await? {
            let Some(id) = MappingId::parse_store_key(&key) else {
                tracing::warn!(key, "an event source mapping's record has no valid key; ignored");
                continue;
            };
            let record: MappingRecord = decode(&stored.value)?;
            map.insert(id, Changes::new(Arc::new(record)));
        }
        Ok(Self { records, map: RwLock::new(map), writer: Mutex::new(()) })
    }

    pub(super) fn get(&self, id: &MappingId) -> Option<Arc<MappingRecord>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(id).map(|changes| Arc::clone(&changes.borrow()))
    }

    /// The mapping, now and whenever it changes; the sender is gone when the mapping is.
    pub(super) fn watch(&self, id: &MappingId) -> Option<watch::Receiver<Arc<MappingRecord>>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(id).map(watch::Sender::subscribe)
    }

    pub(super) fn ids(&self) -> Vec<MappingId> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// By UUID.
    pub(super) fn of(
        &self,
        account: &AccountId,
        region: &Region,
    ) -> Vec<(MappingId, Arc<MappingRecord>)> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let ours = map.iter().filter(|(id, _)| &id.account == account && &id.region == region);
        ours.map(|(id, changes)| (id.clone(), Arc::clone(&changes.borrow()))).collect()
    }

    pub(super) async fn write(&self) -> MappingWriter<'_> {
        MappingWriter { store: self, _lock: self.writer.lock().await }
    }
}

impl MappingWriter<'_> {
    pub(super) async fn save(
        &self,
        id: &MappingId,
        record: MappingRecord,
    ) -> Result<Arc<MappingRecord>, LambdaError> {
        let value = encode(&record)?;
        self.store.records.put(SPACE, &id.store_key(), value, Expect::Any).await?;
        let record = Arc::new(record);
        let mut map = self.store.map.write().unwrap_or_else(PoisonError::into_inner);
        match map.get(id) {
            Some(changes) => drop(changes.send_replace(Arc::clone(&record))),
            None => drop(map.insert(id.clone(), Changes::new(Arc::clone(&record)))),
        }
        Ok(record)
    }

    pub(super) async fn delete(&self, id: &MappingId) -> Result<(), LambdaError> {
        self.store.records.delete(SPACE, &id.store_key(), Expect::Any).await?;
        self.store.map.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }
}
