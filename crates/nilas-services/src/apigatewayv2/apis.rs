//! The HTTP APIs that exist: records in the store, the same in memory, and what the data plane reads of them.
//!
//! Invariant: what is in memory is in the store. Writers hold `HttpApis::writer`; readers never wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use nilas_model::{AuthContext, Clock, limits};
use nilas_store::{Change, Expect, Records, StoreError};
use nilas_wire::{Fault, time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::fault;
use super::members::{flag, text};
use super::record::{ApiRecord, Definition, id};
use crate::apigateway::Shelf;
use crate::front::http::{ApiSnapshot, Deployed, Doors};

const API_SPACE: &str = "apigatewayv2.api";
const DEPLOYMENT_SPACE: &str = "apigatewayv2.deployment";
const PAGE: usize = 100;

/// All HTTP APIs of all accounts and regions.
#[derive(Debug)]
pub(crate) struct HttpApis {
    records: Records,
    clock: Arc<dyn Clock>,
    apis: RwLock<BTreeMap<String, Arc<ApiRecord>>>,
    pub(super) vpc_links: Shelf,
    writer: Mutex<()>,
    doors: Doors,
}

impl HttpApis {
    pub(crate) async fn load(records: Records, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let mut apis = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = records.list(API_SPACE, "", after.as_deref(), PAGE).await?;
            after = page.last().map(|(key, _)| key.clone());
            let full = page.len() == PAGE;
            for (id, record) in page {
                if let Some(record) = decode::<ApiRecord>(&id, &record.value) {
                    apis.insert(id, Arc::new(record));
                }
            }
            if !full {
                break;
            }
        }
        let all: Vec<Arc<ApiRecord>> = apis.values().cloned().collect();
        let (apis, writer, doors) = (RwLock::new(apis), Mutex::default(), Doors::default());
        let vpc_links = Shelf::load("apigatewayv2.vpclink", records.clone()).await?;
        let loaded = Self { records, clock, apis, vpc_links, writer, doors };
        for api in all {
            let snapshot = loaded.snapshot(&api, &HashMap::new()).await?;
            loaded.doors.put(snapshot);
        }
        Ok(loaded)
    }

    /// What the data plane reads.
    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    /// To be held by whoever changes something that is no API.
    pub(super) async fn write(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().await
    }

    /// Whether an integration of the caller's goes through the VPC link `id`.
    pub(super) fn uses_vpc_link(&self, auth: &AuthContext, id: &str) -> bool {
        let uses = |integration: &super::Members| text(integration, "connectionId") == Some(id);
        self.list(auth).iter().any(|api| api.definition.integrations.values().any(uses))
    }

    /// The caller's own.
    pub(super) fn list(&self, auth: &AuthContext) -> Vec<Arc<ApiRecord>> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.values().filter(|api| is_own(api, auth)).cloned().collect()
    }

    pub(super) fn get(&self, auth: &AuthContext, id: &str) -> Result<Arc<ApiRecord>, Fault> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        let found = apis.get(id).filter(|api| is_own(api, auth)).cloned();
        found.ok_or_else(|| fault::not_found(format!("Invalid API identifier specified {id}")))
    }

    /// Stores a new API.
    pub(super) async fn create(&self, record: ApiRecord) -> Result<Arc<ApiRecord>, Fault> {
        let _writing = self.writer.lock().await;
        if self.apis.read().unwrap_or_else(PoisonError::into_inner).len() >= limits::HTTP_APIS_MAX {
            return Err(fault::bad("Maximum number of APIs for this account has been reached"));
        }
        self.commit(&Definition::default(), record).await
    }

    /// Changes an API: all of it, or nothing if `change` refuses. Stages with auto-deploy get a deployment of what
    /// changed.
    pub(super) async fn change<T>(
        &self,
        auth: &AuthContext,
        id: &str,
        change: impl FnOnce(&mut ApiRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let _writing = self.writer.lock().await;
        let before = self.get(auth, id)?;
        let mut record = ApiRecord::clone(&before);
        let answer = change(&mut record)?;
        self.commit(&before.definition, record).await?;
        Ok(answer)
    }

    pub(super) async fn delete(&self, auth: &AuthContext, id: &str) -> Result<(), Fault> {
        let _writing = self.writer.lock().await;
        let record = self.get(auth, id)?;
        let mut changes = vec![remove(API_SPACE, id.to_owned())];
        let deployments = record.deployments.keys();
        changes.extend(deployments.map(|key| remove(DEPLOYMENT_SPACE, format!("{id}/{key}"))));
        self.records.batch(changes).await.map_err(fault::of_store)?;
        self.apis.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.doors.remove(id);
        Ok(())
    }

    /// Writes an API and its deployments in one transaction, then shows them to readers and to the data plane.
    async fn commit(
        &self,
        before: &Definition,
        mut record: ApiRecord,
    ) -> Result<Arc<ApiRecord>, Fault> {
        if record.definition.size() > limits::HTTP_API_PARTS_MAX {
            return Err(fault::bad("The API has more routes and integrations than the limit"));
        }
        self.auto_deploy(before, &mut record);
        let known = self.get_any(&record.id).map(|api| api.deployments.clone()).unwrap_or_default();
        let made = record.deployments.keys().filter(|id| !known.contains_key(*id));
        let made: HashMap<String, Arc<Deployed>> =
            made.map(|id| (id.clone(), Arc::new(Deployed::of(&record.definition)))).collect();
        let mut changes = vec![put(API_SPACE, record.id.clone(), &record)?];
        for id in made.keys() {
            let key = format!("{}/{id}", record.id);
            changes.push(put(DEPLOYMENT_SPACE, key, &record.definition)?);
        }
        for id in known.keys().filter(|id| !record.deployments.contains_key(*id)) {
            changes.push(remove(DEPLOYMENT_SPACE, format!("{}/{id}", record.id)));
        }
        self.records.batch(changes).await.map_err(fault::of_store)?;
        let record = Arc::new(record);
        {
            let mut apis = self.apis.write().unwrap_or_else(PoisonError::into_inner);
            apis.insert(record.id.clone(), Arc::clone(&record));
        }
        let snapshot = self.snapshot(&record, &made).await.map_err(fault::of_store)?;
        self.doors.put(snapshot);
        Ok(record)
    }

    fn get_any(&self, id: &str) -> Option<Arc<ApiRecord>> {
        self.apis.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// One deployment of the definition for all stages that want it, if it changed or they have none; the automatic
    /// ones that no stage has any more go.
    fn auto_deploy(&self, before: &Definition, record: &mut ApiRecord) {
        let changed = *before != record.definition;
        let wanting: Vec<String> = record
            .stages
            .iter()
            .filter(|(_, stage)| flag(stage, "autoDeploy"))
            .filter(|(_, stage)| changed || !stage.contains_key("deploymentId"))
            .map(|(name, _)| name.clone())
            .collect();
        if !wanting.is_empty() {
            let deployment = id(6);
            for name in wanting {
                let Some(stage) = record.stages.get_mut(&name) else { continue };
                let said = format!("Successfully deployed stage with deployment ID '{deployment}'");
                stage.insert("lastDeploymentStatusMessage".to_owned(), said.into());
                stage.insert("deploymentId".to_owned(), deployment.as_str().into());
            }
            let description = "Automatic deployment triggered by changes to the Api configuration";
            let made = self.deployment(&deployment, true, Some(description));
            record.deployments.insert(deployment, made);
        }
        let used: Vec<&str> =
            record.stages.values().filter_map(|stage| text(stage, "deploymentId")).collect();
        record
            .deployments
            .retain(|id, made| !flag(made, "autoDeployed") || used.contains(&id.as_str()));
    }

    /// A deployment as callers see it.
    pub(super) fn deployment(
        &self,
        id: &str,
        automatic: bool,
        description: Option<&str>,
    ) -> super::Members {
        let mut made = super::Members::new();
        made.insert("autoDeployed".to_owned(), automatic.into());
        made.insert("createdDate".to_owned(), self.now());
        made.insert("deploymentId".to_owned(), id.into());
        made.insert("deploymentStatus".to_owned(), json!("DEPLOYED"));
        if let Some(description) = description {
            made.insert("description".to_owned(), description.into());
        }
        made
    }

    /// The API as the data plane sees it. Deployments it knows already are not made again.
    async fn snapshot(
        &self,
        record: &ApiRecord,
        made: &HashMap<String, Arc<Deployed>>,
    ) -> Result<ApiSnapshot, StoreError> {
        let before = self.doors.get(&record.id);
        let mut deployed: HashMap<String, Arc<Deployed>> = HashMap::new();
        for id in record.stages.values().filter_map(|stage| text(stage, "deploymentId")) {
            let known = before.as_ref().and_then(|api| api.deployed(id));
            let found = match made.get(id).cloned().or(known) {
                Some(found) => found,
                None => {
                    let key = format!("{}/{id}", record.id);
                    let stored = self.records.get(DEPLOYMENT_SPACE, &key).await?;
                    let stored = stored.and_then(|stored| decode(&key, &stored.value));
                    let Some(definition) = stored else { continue };
                    Arc::new(Deployed::of(&definition))
                }
            };
            deployed.insert(id.to_owned(), found);
        }
        Ok(ApiSnapshot::of(record, &deployed))
    }

    /// As API Gateway's second version writes times.
    pub(super) fn now(&self) -> Value {
        time::iso8601(self.clock.epoch_ms()).into()
    }
}

impl Definition {
    fn size(&self) -> usize {
        let responses = self.route_responses.values().map(BTreeMap::len).sum::<usize>();
        self.routes.len() + self.integrations.len() + self.authorizers.len() + responses
    }
}

fn is_own(api: &ApiRecord, auth: &AuthContext) -> bool {
    api.account == auth.account.as_str() && api.region == auth.region.as_str()
}

fn put(space: &str, key: String, value: &impl Serialize) -> Result<Change, Fault> {
    let value = serde_json::to_vec(value).map_err(|_| fault::bad("not to be stored"))?;
    Ok(Change::Put { space: space.to_owned(), key, value: Bytes::from(value), expect: Expect::Any })
}

fn remove(space: &str, key: String) -> Change {
    Change::Delete { space: space.to_owned(), key, expect: Expect::Any }
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::error!(key, %error, "record of an API not readable"))
        .ok()
}
