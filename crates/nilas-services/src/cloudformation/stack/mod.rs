//! Stacks: what is known of them in memory, all of it in the store, too.

mod record;
mod status;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use nilas_store::{Change, Expect, Records, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub(crate) use record::{
    Caller, ChangeSet, Deployment, OnFailure, Operation, OperationKind, OutputValue, Phase,
    ResourceChange, Settings, Stack, StackEvent, StackResource, TemplateTexts, Touch, Version,
};
pub(crate) use status::{ChangeSetStatus, ExecutionStatus, ResourceStatus, StackStatus};

const STACKS: &str = "cloudformation-stacks";
const RESOURCES: &str = "cloudformation-resources";
const EVENTS: &str = "cloudformation-events";
const TEMPLATES: &str = "cloudformation-templates";
const CHANGE_SETS: &str = "cloudformation-change-sets";
/// Records that are read at once when the server starts.
const PAGE: usize = 1_000;

/// By logical id.
pub(crate) type Resources = BTreeMap<String, Arc<StackResource>>;

/// A stack with its resources, as of the last write.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) stack: Stack,
    pub(crate) resources: Resources,
}

/// One stack's place in memory.
#[derive(Debug)]
pub(crate) struct Cell {
    state: Mutex<Arc<State>>,
    change_sets: Mutex<BTreeMap<String, Arc<ChangeSet>>>,
    /// Set by whoever wants the operation under way to stop and roll back.
    pub(crate) cancel: watch::Sender<bool>,
    /// Tells of each new state.
    changed: watch::Sender<()>,
}

/// All stacks.
#[derive(Debug)]
pub(crate) struct Stacks {
    records: Records,
    cells: RwLock<BTreeMap<String, Arc<Cell>>>,
}

/// Changes that are to be written together, and then seen.
#[derive(Debug, Default)]
pub(crate) struct Batch(Vec<Change>);

// === impl Cell ===

impl Cell {
    fn new(state: State) -> Self {
        Self {
            state: Mutex::new(Arc::new(state)),
            change_sets: Mutex::default(),
            cancel: watch::Sender::new(false),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.lock().expect("no holder panics"))
    }

    pub(crate) fn publish(&self, state: State) {
        *self.state.lock().expect("no holder panics") = Arc::new(state);
        self.changed.send_replace(());
    }

    /// Returns when no operation is under way.
    pub(crate) async fn settled(&self) {
        let mut changed = self.changed.subscribe();
        while self.state().stack.operation.is_some() {
            // The sender is in this very cell.
            changed.changed().await.expect("the cell is there");
        }
    }

    /// In the order of their making.
    pub(crate) fn change_sets(&self) -> Vec<Arc<ChangeSet>> {
        let change_sets = self.change_sets.lock().expect("no holder panics");
        let mut all: Vec<_> = change_sets.values().cloned().collect();
        all.sort_by_key(|set| set.created_ms);
        all
    }

    pub(crate) fn put_change_set(&self, set: ChangeSet) {
        let mut change_sets = self.change_sets.lock().expect("no holder panics");
        change_sets.insert(set.uuid.clone(), Arc::new(set));
    }

    pub(crate) fn drop_change_set(&self, uuid: &str) {
        self.change_sets.lock().expect("no holder panics").remove(uuid);
    }
}

// === impl Stacks ===

impl Stacks {
    /// Reads all that the store has.
    pub(crate) async fn load(records: Records) -> Result<Self, StoreError> {
        let mut cells = BTreeMap::new();
        let mut after = None;
        loop {
            let page = records.list(STACKS, "", after.as_deref(), PAGE).await?;
            after = page.last().map(|(key, _)| key.clone());
            let last = page.len() < PAGE;
            for (_, record) in page {
                let Some(stack) = decode::<Stack>(&record.value) else { continue };
                let cell = Self::load_one(&records, stack).await?;
                cells.insert(cell.state().stack.uuid.clone(), Arc::new(cell));
            }
            if last {
                break;
            }
        }
        Ok(Self { records, cells: RwLock::new(cells) })
    }

    async fn load_one(records: &Records, stack: Stack) -> Result<Cell, StoreError> {
        let prefix = format!("{}/", stack.uuid);
        let found = records.list(RESOURCES, &prefix, None, usize::MAX).await?;
        let found = found.iter().filter_map(|(_, record)| decode::<StackResource>(&record.value));
        let resources = found.map(|resource| (resource.id.clone(), Arc::new(resource))).collect();
        let cell = Cell::new(State { stack, resources });
        for (_, record) in records.list(CHANGE_SETS, &prefix, None, usize::MAX).await? {
            if let Some(set) = decode::<ChangeSet>(&record.value) {
                cell.put_change_set(set);
            }
        }
        Ok(cell)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        self.cells.read().expect("no holder panics").values().cloned().collect()
    }

    pub(crate) fn add(&self, state: State) -> Arc<Cell> {
        let uuid = state.stack.uuid.clone();
        let cell = Arc::new(Cell::new(state));
        self.cells.write().expect("no holder panics").insert(uuid, Arc::clone(&cell));
        cell
    }

    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.0.is_empty() {
            return Ok(());
        }
        self.records.batch(batch.0).await
    }

    pub(crate) async fn template(
        &self,
        uuid: &str,
        number: u64,
    ) -> Result<Option<TemplateTexts>, StoreError> {
        let record = self.records.get(TEMPLATES, &template_key(uuid, number)).await?;
        Ok(record.and_then(|record| decode(&record.value)))
    }

    /// Newest first, behind the event whose key is `after`; each with its key.
    pub(crate) async fn events(
        &self,
        uuid: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, StackEvent)>, StoreError> {
        let found = self.records.list(EVENTS, &format!("{uuid}/"), after, limit).await?;
        let decoded = found.into_iter();
        Ok(decoded.filter_map(|(key, record)| Some((key, decode(&record.value)?))).collect())
    }
}

// === impl Batch ===

impl Batch {
    pub(crate) fn stack(&mut self, stack: &Stack) {
        let key = format!("{}/{}/{}", stack.account, stack.region, stack.uuid);
        self.put(STACKS, key, stack);
    }

    pub(crate) fn resource(&mut self, stack: &Stack, resource: &StackResource) {
        self.put(RESOURCES, format!("{}/{}", stack.uuid, resource.id), resource);
    }

    pub(crate) fn drop_resource(&mut self, stack: &Stack, id: &str) {
        self.delete(RESOURCES, format!("{}/{id}", stack.uuid));
    }

    /// Numbers the event, too.
    pub(crate) fn event(&mut self, stack: &mut Stack, event: &StackEvent) {
        stack.events += 1;
        // The store lists in ascending order; the newest shall be first.
        let key = format!("{}/{:016x}", stack.uuid, u64::MAX - stack.events);
        self.put(EVENTS, key, event);
    }

    /// Numbers the template, too.
    pub(crate) fn template(&mut self, stack: &mut Stack, texts: &TemplateTexts) -> u64 {
        stack.templates += 1;
        self.put(TEMPLATES, template_key(&stack.uuid, stack.templates), texts);
        stack.templates
    }

    pub(crate) fn change_set(&mut self, stack: &Stack, set: &ChangeSet) {
        self.put(CHANGE_SETS, format!("{}/{}", stack.uuid, set.uuid), set);
    }

    pub(crate) fn drop_change_set(&mut self, stack: &Stack, set: &ChangeSet) {
        self.delete(CHANGE_SETS, format!("{}/{}", stack.uuid, set.uuid));
    }

    fn put(&mut self, space: &str, key: String, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("records have texts for keys");
        let (space, value) = (space.to_owned(), Bytes::from(value));
        self.0.push(Change::Put { space, key, value, expect: Expect::Any });
    }

    fn delete(&mut self, space: &str, key: String) {
        self.0.push(Change::Delete { space: space.to_owned(), key, expect: Expect::Any });
    }
}

fn template_key(uuid: &str, number: u64) -> String {
    format!("{uuid}/{number:08}")
}

fn decode<T: DeserializeOwned>(value: &Bytes) -> Option<T> {
    serde_json::from_slice(value)
        .map_err(|error| tracing::error!(%error, "a record of CloudFormation is not readable"))
        .ok()
}
