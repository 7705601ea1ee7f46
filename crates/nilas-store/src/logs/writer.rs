//! The one thread that writes logs: a transaction for all that was queued, then whatever upkeep is due.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::watch;

use super::LogRow;
use super::catalog::{Catalog, Gathered, to_column};
use super::chunk::Event;
use super::prune::Pruner;
use super::queue::{Append, Batch, Change, Drop, Receiver, Work};
use crate::lock::DirectoryLock;
use crate::{Result, StoreConfig, StoreError};

/// How long the writer sleeps at most, so that retention is looked after when nothing is logged.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who follows which group. A group's entry goes with its last follower.
#[derive(Debug, Clone, Default)]
pub(super) struct Followers {
    by_group: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
}

pub(super) fn start(
    connection: Connection,
    queue: Receiver,
    followers: Followers,
    config: StoreConfig,
    lock: Arc<DirectoryLock>,
) -> Result<()> {
    let catalog =
        Catalog::load(&connection).map_err(StoreError::database("load the log catalog"))?;
    let writer = Writer { connection, catalog, followers, config, pruner: Pruner::default() };
    let thread = std::thread::Builder::new().name("nilas:logs".to_owned());
    let run = move || {
        let _lock = lock;
        writer.run(&queue);
    };
    match thread.spawn(run) {
        Ok(_) => Ok(()),
        Err(source) => {
            Err(StoreError::Database { step: "start the writer of logs", source: source.into() })
        }
    }
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    catalog: Catalog,
    followers: Followers,
    config: StoreConfig,
    pruner: Pruner,
}

impl Writer {
    fn run(mut self, queue: &Receiver) {
        let mut patience = Duration::ZERO;
        while let Some(batch) = queue.take(patience) {
            self.write(batch);
            let now_ms = self.config.clock.epoch_ms();
            let bytes_max = self.config.log_bytes_max;
            patience = match self.pruner.step(
                &mut self.connection,
                &mut self.catalog,
                now_ms,
                bytes_max,
            ) {
                Ok(true) => Duration::ZERO,
                Ok(false) => PATIENCE,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "logs could not be pruned"
                    );
                    self.reload();
                    PATIENCE
                }
            };
        }
    }

    fn write(&mut self, batch: Batch) {
        if batch.work.is_empty() && batch.drops.is_empty() {
            return;
        }
        match self.commit(&batch) {
            Ok(Written { results, touched }) => {
                self.followers.notify(&touched, self.catalog.newest_event());
                answer(batch, results);
            }
            Err(error) => {
                let events = batch.events();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    events,
                    "logs could not be written"
                );
                let text = error.to_string();
                let failed = || {
                    Err(StoreError::Database { step: "write logs", source: text.clone().into() })
                };
                answer(batch, std::iter::repeat_with(failed));
                self.reload();
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> rusqlite::Result<Written> {
        let now_ms = self.config.clock.epoch_ms();
        let drops: Vec<Append> = batch.drops.iter().map(|drop| drop.told_of(now_ms)).collect();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut open = Open {
            connection: &transaction,
            catalog: &mut self.catalog,
            gathered: BTreeMap::new(),
            touched: HashSet::new(),
        };
        let mut results = Vec::new();
        for work in &batch.work {
            match work {
                Work::Append(append) => open.append(append)?,
                Work::Change { change, .. } => results.push(open.change(change)?),
            }
        }
        for drop in &drops {
            open.append(drop)?;
        }
        open.write_gathered()?;
        let touched = open.touched;
        self.catalog.write_figures(&transaction)?;
        transaction.commit()?;
        Ok(Written { results, touched })
    }

    /// After a rollback the catalog may know of rows that are not there.
    fn reload(&mut self) {
        match Catalog::load(&self.connection) {
            Ok(catalog) => self.catalog = catalog,
            Err(error) => {
                self.catalog.forget();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the log catalog could not be loaded"
                );
            }
        }
    }
}

struct Written {
    /// Of the changes, in their order.
    results: Vec<Result<bool>>,
    /// Groups with new events.
    touched: HashSet<String>,
}

fn answer(batch: Batch, results: impl IntoIterator<Item = Result<bool>>) {
    let answers = batch.work.into_iter().filter_map(|work| match work {
        Work::Change { answer, .. } => Some(answer),
        Work::Append(_) => None,
    });
    for (answer, result) in answers.zip(results) {
        // An error says that the caller went away; the change stands.
        drop(answer.send(result));
    }
}

impl Drop {
    /// What the stream says in place of the events it lost.
    fn told_of(&self, now_ms: u64) -> Append {
        let Self { group, stream, events } = self;
        let message = format!(
            "nilas: {events} log events dropped: they came faster than they could be written"
        );
        let rows = vec![LogRow { timestamp_ms: now_ms, message }];
        Append { group: group.clone(), stream: stream.clone(), ingestion_ms: now_ms, rows }
    }
}

/// A transaction that is under way.
struct Open<'a> {
    connection: &'a Connection,
    catalog: &'a mut Catalog,
    /// By stream; written before anything that could depend on it.
    gathered: BTreeMap<i64, Gathered<'a>>,
    touched: HashSet<String>,
}

impl<'a> Open<'a> {
    fn append(&mut self, append: &'a Append) -> rusqlite::Result<()> {
        match self.group_and_stream_for(append)? {
            Ok((group, stream)) => self.gather(group, stream, append),
            Err(error) => {
                let events = append.rows.len();
                tracing::warn!(group = append.group, error = %error, events, "log events dropped");
            }
        }
        Ok(())
    }

    fn group_and_stream_for(&mut self, append: &Append) -> rusqlite::Result<Result<(i64, i64)>> {
        let Append { group, stream, ingestion_ms, .. } = append;
        let created_ms = to_column(*ingestion_ms);
        let group_id = match self.catalog.group(self.connection, group)? {
            Some(id) => id,
            None => match self.catalog.create_group(self.connection, group, created_ms)? {
                Ok(id) => id,
                Err(error) => return Ok(Err(error)),
            },
        };
        let stream_id = match self.catalog.stream(self.connection, group, group_id, stream)? {
            Some(id) => Ok(id),
            None => {
                self.catalog.create_stream(self.connection, group, group_id, stream, created_ms)?
            }
        };
        Ok(stream_id.map(|stream_id| (group_id, stream_id)))
    }

    fn gather(&mut self, group_id: i64, stream_id: i64, append: &'a Append) {
        // A put of which every event was refused: the stream's times stay as they are.
        if append.rows.is_empty() {
            return;
        }
        let ingestion_ms = to_column(append.ingestion_ms);
        let gathered = self.gathered.entry(stream_id).or_insert_with(|| Gathered {
            group_id,
            append,
            ingestion_ms,
            events: Vec::new(),
        });
        gathered.ingestion_ms = gathered.ingestion_ms.max(ingestion_ms);
        gathered.events.extend(
            append.rows.iter().map(|row| Event {
                timestamp_ms: to_column(row.timestamp_ms),
                message: &row.message,
            }),
        );
    }

    fn write_gathered(&mut self) -> rusqlite::Result<()> {
        for (stream_id, gathered) in std::mem::take(&mut self.gathered) {
            if !self.touched.contains(&gathered.append.group) {
                self.touched.insert(gathered.append.group.clone());
            }
            self.catalog.insert(self.connection, stream_id, gathered)?;
        }
        Ok(())
    }

    fn change(&mut self, change: &'a Change) -> rusqlite::Result<Result<bool>> {
        self.write_gathered()?;
        match change {
            Change::Flush => Ok(Ok(true)),
            Change::CreateGroup { group, created_ms } => {
                if self.catalog.group(self.connection, group)?.is_some() {
                    return Ok(Ok(true));
                }
                let created =
                    self.catalog.create_group(self.connection, group, to_column(*created_ms))?;
                Ok(created.map(|_| false))
            }
            Change::DeleteGroup { group } => {
                let Some(id) = self.catalog.group(self.connection, group)? else {
                    return Ok(Ok(false));
                };
                self.catalog.delete_group(self.connection, group, id)?;
                Ok(Ok(true))
            }
            Change::SetRetention { group, days } => {
                let Some(id) = self.catalog.group(self.connection, group)? else {
                    return Ok(Err(no_group(group)));
                };
                let sql = "UPDATE groups SET retention_days = ?2 WHERE id = ?1";
                self.connection.execute(sql, params![id, days])?;
                Ok(Ok(true))
            }
            Change::CreateStream { .. } | Change::DeleteStream { .. } | Change::Put(_) => {
                self.change_stream(change)
            }
        }
    }

    fn change_stream(&mut self, change: &'a Change) -> rusqlite::Result<Result<bool>> {
        let (Change::CreateStream { group, stream, .. }
        | Change::DeleteStream { group, stream }
        | Change::Put(Append { group, stream, .. })) = change
        else {
            return Ok(Ok(false));
        };
        let Some(group_id) = self.catalog.group(self.connection, group)? else {
            return Ok(Err(no_group(group)));
        };
        let found = self.catalog.stream(self.connection, group, group_id, stream)?;
        match (change, found) {
            (Change::CreateStream { created_ms, .. }, None) => {
                let created_ms = to_column(*created_ms);
                let created = self.catalog.create_stream(
                    self.connection,
                    group,
                    group_id,
                    stream,
                    created_ms,
                )?;
                Ok(created.map(|_| false))
            }
            (_, None) => {
                Ok(Err(StoreError::NoSuchStream { group: group.clone(), stream: stream.clone() }))
            }
            (Change::DeleteStream { .. }, Some(id)) => {
                self.catalog.delete_stream(self.connection, group, group_id, stream, id)?;
                Ok(Ok(true))
            }
            (Change::Put(append), Some(id)) => {
                self.gather(group_id, id, append);
                Ok(Ok(true))
            }
            (_, Some(_)) => Ok(Ok(true)),
        }
    }
}

fn no_group(group: &str) -> StoreError {
    StoreError::NoSuchGroup(group.to_owned())
}

// === impl Followers ===

impl Followers {
    pub(super) fn subscribe(&self, group: &str) -> watch::Receiver<u64> {
        let mut by_group = self.by_group.lock().unwrap_or_else(PoisonError::into_inner);
        by_group.retain(|_, newest| newest.receiver_count() > 0);
        by_group.entry(group.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    fn notify(&self, groups: &HashSet<String>, newest_event: u64) {
        let by_group = self.by_group.lock().unwrap_or_else(PoisonError::into_inner);
        if by_group.is_empty() {
            return;
        }
        for newest in groups.iter().filter_map(|group| by_group.get(group)) {
            newest.send_replace(newest_event);
        }
    }
}
