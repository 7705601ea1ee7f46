//! The REST APIs that exist: records in the store, the same in memory, and what the data plane reads of them.
//!
//! Invariant: what is in memory is in the store. Writers hold `RestApis::writer`, readers never wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use nilas_model::{AuthContext, Clock};
use nilas_store::{Change, Expect, Records, StoreError};
use nilas_wire::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::fault;
use super::record::{ApiRecord, DeploymentRecord};
use super::shape::{Members, text};
use super::shelf::Shelf;
use crate::front::rest::{ApiSnapshot, Doors, Routes};

const API_SPACE: &str = "apigateway.api";
const DEPLOYMENT_SPACE: &str = "apigateway.deployment";
const PAGE: usize = 100;

/// All REST APIs of all accounts and regions.
#[derive(Debug)]
pub(crate) struct RestApis {
    records: Records,
    pub(super) clock: Arc<dyn Clock>,
    apis: RwLock<BTreeMap<String, Arc<ApiRecord>>>,
    pub(super) keys: Shelf,
    pub(super) plans: Shelf,
    pub(super) domains: Shelf,
    pub(super) accounts: Shelf,
    writer: Mutex<()>,
    pub(super) doors: Doors,
}

impl RestApis {
    pub(crate) async fn load(records: Records, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let mut apis = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = records.list(API_SPACE, "", after.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|(key, _)| key.clone());
            for (id, record) in page {
                if let Some(record) = decode::<ApiRecord>(&id, &record.value) {
                    apis.insert(id, Arc::new(record));
                }
            }
            if !full {
                break;
            }
        }
        let loaded = Self {
            keys: Shelf::load("apigateway.key", records.clone()).await?,
            plans: Shelf::load("apigateway.plan", records.clone()).await?,
            domains: Shelf::load("apigateway.domain", records.clone()).await?,
            accounts: Shelf::load("apigateway.account", records.clone()).await?,
            doors: Doors::new(Arc::clone(&clock)),
            records,
            clock,
            apis: RwLock::new(apis),
            writer: Mutex::new(()),
        };
        for api in loaded.all() {
            let snapshot = loaded.snapshot(&api, None).await?;
            loaded.doors.put_api(snapshot);
        }
        loaded.refresh_keys();
        loaded.refresh_domains();
        Ok(loaded)
    }

    /// What the data plane reads.
    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    /// One writer at a time: control-plane changes are rare, and each is read, check, write.
    pub(super) async fn write(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().await
    }

    fn all(&self) -> Vec<Arc<ApiRecord>> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.values().cloned().collect()
    }

    /// The caller's own.
    pub(super) fn list(&self, auth: &AuthContext) -> Vec<Arc<ApiRecord>> {
        let mut own = self.all();
        own.retain(|api| is_own(api, auth));
        own
    }

    pub(super) fn get(&self, auth: &AuthContext, id: &str) -> Result<Arc<ApiRecord>, Fault> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.get(id).filter(|api| is_own(api, auth)).cloned().ok_or_else(|| no_api(auth, id))
    }

    /// Stores a new API.
    pub(super) async fn create(&self, record: ApiRecord) -> Result<(), Fault> {
        let _writing = self.write().await;
        self.commit(record, Vec::new(), None).await
    }

    /// Changes an API: all of it, or nothing if `change` refuses.
    pub(super) async fn change<T>(
        &self,
        auth: &AuthContext,
        id: &str,
        change: impl FnOnce(&mut ApiRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let _writing = self.write().await;
        let mut record = ApiRecord::clone(self.get(auth, id)?.as_ref());
        let answer = change(&mut record)?;
        self.commit(record, Vec::new(), None).await?;
        Ok(answer)
    }

    /// As [`Self::change`], with a deployment made of the API as it is.
    pub(super) async fn deploy<T>(
        &self,
        auth: &AuthContext,
        id: &str,
        deployment: &str,
        change: impl FnOnce(&mut ApiRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let _writing = self.write().await;
        let mut record = ApiRecord::clone(self.get(auth, id)?.as_ref());
        let made =
            DeploymentRecord { api: record.api.clone(), definition: record.definition.clone() };
        let answer = change(&mut record)?;
        let key = format!("{id}/{deployment}");
        let put = put(DEPLOYMENT_SPACE, key, &made)?;
        self.commit(record, vec![put], Some((deployment.to_owned(), made))).await?;
        Ok(answer)
    }

    /// Removes deployment `deployment` along with its trace in the API.
    pub(super) async fn undeploy(
        &self,
        auth: &AuthContext,
        id: &str,
        deployment: &str,
        change: impl FnOnce(&mut ApiRecord) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let _writing = self.write().await;
        let mut record = ApiRecord::clone(self.get(auth, id)?.as_ref());
        change(&mut record)?;
        let key = format!("{id}/{deployment}");
        let delete =
            Change::Delete { space: DEPLOYMENT_SPACE.to_owned(), key, expect: Expect::Any };
        self.commit(record, vec![delete], None).await
    }

    pub(super) async fn delete(&self, auth: &AuthContext, id: &str) -> Result<(), Fault> {
        let _writing = self.write().await;
        let record = self.get(auth, id)?;
        let delete = |space: &str, key: String| Change::Delete {
            space: space.to_owned(),
            key,
            expect: Expect::Any,
        };
        let mut changes = vec![delete(API_SPACE, id.to_owned())];
        let deployments = record.deployments.keys();
        changes.extend(
            deployments.map(|deployment| delete(DEPLOYMENT_SPACE, format!("{id}/{deployment}"))),
        );
        self.records.batch(changes).await.map_err(fault::of_store)?;
        self.apis.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.doors.remove_api(id);
        Ok(())
    }

    /// Writes `record` and `more` in one transaction, then shows them to readers and to the data plane.
    async fn commit(
        &self,
        record: ApiRecord,
        more: Vec<Change>,
        made: Option<(String, DeploymentRecord)>,
    ) -> Result<(), Fault> {
        let mut changes = vec![put(API_SPACE, record.id.clone(), &record)?];
        changes.extend(more);
        self.records.batch(changes).await.map_err(fault::of_store)?;
        let record = Arc::new(record);
        {
            let mut apis = self.apis.write().unwrap_or_else(PoisonError::into_inner);
            apis.insert(record.id.clone(), Arc::clone(&record));
        }
        let snapshot = self.snapshot(&record, made).await.map_err(fault::of_store)?;
        self.doors.put_api(snapshot);
        Ok(())
    }

    /// The API as the data plane sees it. Deployments it knows already are not made again.
    async fn snapshot(
        &self,
        record: &ApiRecord,
        made: Option<(String, DeploymentRecord)>,
    ) -> Result<ApiSnapshot, StoreError> {
        let mut routes: HashMap<String, Arc<Routes>> = HashMap::new();
        for stage in record.stages.values() {
            let Some(id) = text(stage, "deploymentId") else { continue };
            if routes.contains_key(id) {
                continue;
            }
            let known = self.doors.routes(&record.id, id);
            let compiled = match (known, &made) {
                (Some(known), _) => known,
                (None, Some((made_id, made))) if made_id == id => Arc::new(Routes::of(made)),
                (None, _) => match self.deployment(&record.id, id).await? {
                    Some(deployment) => Arc::new(Routes::of(&deployment)),
                    None => continue,
                },
            };
            routes.insert(id.to_owned(), compiled);
        }
        Ok(ApiSnapshot::of(record, &routes))
    }

    /// What the deployment `deployment` of the API `id` holds.
    pub(super) async fn deployment(
        &self,
        id: &str,
        deployment: &str,
    ) -> Result<Option<DeploymentRecord>, StoreError> {
        let key = format!("{id}/{deployment}");
        let record = self.records.get(DEPLOYMENT_SPACE, &key).await?;
        Ok(record.and_then(|record| decode(&key, &record.value)))
    }

    /// Shows changed keys and plans to the data plane.
    pub(super) fn refresh_keys(&self) {
        self.doors.put_keys(&self.keys.all(), &self.plans.all());
    }

    /// Shows changed domains to the data plane.
    pub(super) fn refresh_domains(&self) {
        self.doors.put_domains(&self.domains.all());
    }

    /// Seconds since the epoch, as API Gateway writes times.
    pub(super) fn now(&self) -> Value {
        (self.clock.epoch_ms() / 1_000).into()
    }
}

fn is_own(api: &ApiRecord, auth: &AuthContext) -> bool {
    api.account == auth.account.as_str() && api.region == auth.region.as_str()
}

pub(super) fn no_api(auth: &AuthContext, id: &str) -> Fault {
    fault::not_found(format!("Invalid API identifier specified {}:{id}", auth.account.as_str()))
}

fn put(space: &str, key: String, value: &impl Serialize) -> Result<Change, Fault> {
    let value = serde_json::to_vec(value).map_err(|_| fault::bad("not to be stored"))?;
    Ok(Change::Put { space: space.to_owned(), key, value: Bytes::from(value), expect: Expect::Any })
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::error!(key, %error, "record of an API not readable"))
        .ok()
}

/// Members of a resource that callers do not see.
pub(super) fn without(mut members: Members, names: &[&str]) -> Members {
    for name in names {
        members.remove(*name);
    }
    members
}
