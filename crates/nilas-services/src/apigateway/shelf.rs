//! Small resources that belong to no API: keys, usage plans, domain names, the account. All are in memory and in the store.
//!
//! Invariant: what is in memory is in the store.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use nilas_model::AuthContext;
use nilas_store::{Expect, Records, StoreError};
use nilas_wire::Fault;
use serde_json::Value;

use super::fault;
use super::shape::Members;

const PAGE: usize = 500;

/// Resources of one kind, of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Shelf {
    space: &'static str,
    records: Records,
    /// By `ACCOUNT/REGION/ID`.
    items: RwLock<BTreeMap<String, Members>>,
}

impl Shelf {
    pub(crate) async fn load(space: &'static str, records: Records) -> Result<Self, StoreError> {
        let mut items = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = records.list(space, "", after.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|(key, _)| key.clone());
            for (key, record) in page {
                match serde_json::from_slice::<Members>(&record.value) {
                    Ok(members) => drop(items.insert(key, members)),
                    Err(error) => tracing::error!(space, key, %error, "record not readable"),
                }
            }
            if !full {
                return Ok(Self { space, records, items: RwLock::new(items) });
            }
        }
    }

    fn key(auth: &AuthContext, id: &str) -> String {
        format!("{}/{}/{id}", auth.account.as_str(), auth.region.as_str())
    }

    pub(crate) fn get(&self, auth: &AuthContext, id: &str) -> Option<Members> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.get(&Self::key(auth, id)).cloned()
    }

    /// In the order of their ids.
    pub(crate) fn list(&self, auth: &AuthContext) -> Vec<Members> {
        let prefix = Self::key(auth, "");
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        let ours = items.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        ours.map(|(_, members)| members.clone()).collect()
    }

    /// Of every account and region.
    pub(crate) fn all(&self) -> Vec<Members> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.values().cloned().collect()
    }

    pub(crate) async fn put(
        &self,
        auth: &AuthContext,
        id: &str,
        members: Members,
    ) -> Result<(), Fault> {
        let key = Self::key(auth, id);
        let value = Bytes::from(Value::Object(members.clone()).to_string());
        self.records.put(self.space, &key, value, Expect::Any).await.map_err(fault::of_store)?;
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        items.insert(key, members);
        Ok(())
    }

    pub(crate) async fn delete(&self, auth: &AuthContext, id: &str) -> Result<(), Fault> {
        let key = Self::key(auth, id);
        self.records.delete(self.space, &key, Expect::Any).await.map_err(fault::of_store)?;
        self.items.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(())
    }
}
