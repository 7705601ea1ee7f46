//! Records of one service as values of its own types.

use std::fmt::{Debug, Formatter};

use nilas_store::{Expect, Records, StoreError};
use nilas_wire::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard};

/// One space of the store's records, encoded as JSON. Values that cannot be read are our own failure.
pub(crate) struct Shelf {
    records: Records,
    space: &'static str,
    /// Whoever changes what it has read holds this meanwhile.
    writing: Mutex<()>,
}

impl Debug for Shelf {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("space", &self.space).finish_non_exhaustive()
    }
}

impl Shelf {
    pub(crate) fn new(records: Records, space: &'static str) -> Self {
        Self { records, space, writing: Mutex::new(()) }
    }

    /// To be held from the read to the write by whoever changes something.
    pub(crate) async fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        let record = self.records.get(self.space, key).await.map_err(|error| failed(&error))?;
        record.map(|record| decode(&record.value)).transpose()
    }

    /// Values whose key begins with `prefix`, by key, at most `limit`.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(String, T)>, Fault> {
        let found = self.records.list(self.space, prefix, None, limit).await;
        let found = found.map_err(|error| failed(&error))?;
        found.into_iter().map(|(key, record)| Ok((key, decode(&record.value)?))).collect()
    }

    pub(crate) async fn put(&self, key: &str, value: &impl Serialize) -> Result<(), Fault> {
        let value = serde_json::to_vec(value).map_err(|_| internal())?;
        let put = self.records.put(self.space, key, value.into(), Expect::Any).await;
        put.map(drop).map_err(|error| failed(&error))
    }

    /// Answers whether there was such a value.
    pub(crate) async fn delete(&self, key: &str) -> Result<bool, Fault> {
        let deleted = self.records.delete(self.space, key, Expect::Any).await;
        deleted.map_err(|error| failed(&error))
    }
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(value).map_err(|error| {
        tracing::error!(error = %error, "a record cannot be read");
        internal()
    })
}

fn failed(error: &StoreError) -> Fault {
    tracing::error!(error = %error, "the store failed");
    internal()
}

fn internal() -> Fault {
    Fault::service("InternalFailure", 500, "The service failed to answer; its log says why.")
}
