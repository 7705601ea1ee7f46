//! Logs: events in streams in groups, in a database of their own, bounded in size.
//!
//! Appending never blocks and never fails: what does not fit the queue is dropped, counted, and told of in the
//! stream that lost it.

mod catalog;
mod chunk;
mod prune;
mod query;
mod queue;
mod range;
mod writer;

use std::path::Path;
use std::sync::Arc;

use nilas_model::Clock;
use nilas_model::limits::LOG_CHANGES_QUEUED_MAX;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::database::{Durability, Readers, open_writer};
use crate::lock::DirectoryLock;
use crate::{Result, StoreConfig, StoreError};

pub use query::{GroupQuery, LogQuery, Position, StreamCursor, StreamOrder, StreamQuery};
use queue::{Append, Change, Queue, Work};
use writer::Followers;

/// `id` of events is ours, not SQLite's, so that it never repeats. Events of deleted streams stay behind, unseen
/// since their stream is gone, until the writer finds time to remove them: `garbage` names these streams.
/// A row has `count` events, with ids from its own on; `chunk` says how they are in it.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE groups (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        retention_days INTEGER,
        stored_bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        group_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        first_event_ms INTEGER,
        last_event_ms INTEGER,
        last_ingestion_ms INTEGER,
        stored_bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE (group_id, name)
    );
    CREATE INDEX streams_by_event ON streams (group_id, coalesce(last_event_ms, 0), name);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        group_id INTEGER NOT NULL,
        stream_id INTEGER NOT NULL,
        timestamp_ms INTEGER NOT NULL,
        ingestion_ms INTEGER NOT NULL,
        message TEXT NOT NULL
    );
    CREATE INDEX events_by_group ON events (group_id, timestamp_ms);
    CREATE INDEX events_by_stream ON events (stream_id, timestamp_ms);
    CREATE TABLE garbage (stream_id INTEGER PRIMARY KEY);
    CREATE TABLE event_id (newest INTEGER NOT NULL);
    INSERT INTO event_id (newest) VALUES (0);
",
    "
    ALTER TABLE events ADD COLUMN parts BLOB;
    ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
",
];

/// One line on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    pub timestamp_ms: u64,
    pub message: String,
}

/// One stored line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Grows with every event stored, in any group.
    pub id: u64,
    pub stream: String,
    pub timestamp_ms: u64,
    pub ingestion_ms: u64,
    pub message: String,
}

impl LogRecord {
    pub fn position(&self) -> Position {
        Position { timestamp_ms: self.timestamp_ms, id: self.id }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    pub name: String,
    pub created_ms: u64,
    pub retention_days: Option<u32>,
    pub stored_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    pub name: String,
    pub created_ms: u64,
    pub first_event_ms: Option<u64>,
    pub last_event_ms: Option<u64>,
    pub last_ingestion_ms: Option<u64>,
    pub stored_bytes: u64,
}

/// Log groups, streams and events. A group's name is whatever the caller makes it, its scope included:
/// `ACCOUNT/REGION/NAME`.
#[derive(Debug, Clone)]
pub struct Logs {
    queue: Arc<Queue>,
    changes: Arc<Semaphore>,
    followers: Followers,
    readers: Readers,
    clock: Arc<dyn Clock>,
}

/// Tells that a group has new events.
#[derive(Debug)]
pub struct Follow {
    newest: watch::Receiver<u64>,
}

impl Follow {
    /// Waits for events newer than those told of before. False: the store is closed.
    pub async fn changed(&mut self) -> bool {
        self.newest.changed().await.is_ok()
    }
}

impl Logs {
    pub(crate) fn open(path: &Path, config: StoreConfig, lock: Arc<DirectoryLock>) -> Result<Self> {
        let connection = open_writer(path, Durability::Process, MIGRATIONS)?;
        let logs = Self {
            queue: Queue::new(),
            changes: Arc::new(Semaphore::new(LOG_CHANGES_QUEUED_MAX)),
            followers: Followers::default(),
            readers: Readers::new(path),
            clock: Arc::clone(&config.clock),
        };
        writer::start(connection, logs.queue.receiver(), logs.followers.clone(), config, lock)?;
        Ok(logs)
    }

    /// Stores `rows` soon, making the group and the stream if need be. Never blocks; drops what finds no place.
    pub fn append(&self, group: &str, stream: &str, rows: Vec<LogRow>) {
        let ingestion_ms = self.clock.epoch_ms();
        self.queue.push(Append {
            group: group.to_owned(),
            stream: stream.to_owned(),
            ingestion_ms,
            rows,
        });
    }

    /// Stores `rows` before it answers; group and stream must exist.
    pub async fn put(&self, group: &str, stream: &str, rows: Vec<LogRow>) -> Result<()> {
        let ingestion_ms = self.clock.epoch_ms();
        let append =
            Append { group: group.to_owned(), stream: stream.to_owned(), ingestion_ms, rows };
        self.change(Change::Put(append)).await.map(drop)
    }

    /// Answers whether the group existed already.
    pub async fn create_group(&self, group: &str) -> Result<bool> {
        self.change(Change::CreateGroup {
            group: group.to_owned(),
            created_ms: self.clock.epoch_ms(),
        })
        .await
    }

    /// Answers whether there was such a group.
    pub async fn delete_group(&self, group: &str) -> Result<bool> {
        self.change(Change::DeleteGroup { group: group.to_owned() }).await
    }

    /// None keeps events for ever. Fails if there is no such group.
    pub async fn set_retention(&self, group: &str, days: Option<u32>) -> Result<()> {
        self.change(Change::SetRetention { group: group.to_owned(), days }).await.map(drop)
    }

    /// Answers whether the stream existed already; fails if there is no such group.
    pub async fn create_stream(&self, group: &str, stream: &str) -> Result<bool> {
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.change(Change::CreateStream { group, stream, created_ms: self.clock.epoch_ms() }).await
    }

    /// Fails if there is no such group or stream.
    pub async fn delete_stream(&self, group: &str, stream: &str) -> Result<()> {
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.change(Change::DeleteStream { group, stream }).await.map(drop)
    }

    /// Waits until everything appended so far is readable, and survives this process.
    pub async fn flush(&self) -> Result<()> {
        self.change(Change::Flush).await.map(drop)
    }

    /// One group, if it exists.
    pub async fn group(&self, group: &str) -> Result<Option<GroupInfo>> {
        let group = group.to_owned();
        self.readers
            .read("get a log group", move |connection| query::group(connection, &group))
            .await
    }

    /// Groups by name.
    pub async fn groups(&self, query: GroupQuery) -> Result<Vec<GroupInfo>> {
        self.readers
            .read("list log groups", move |connection| query::groups(connection, &query))
            .await
    }

    /// Streams of a group. Fails if there is no such group.
    pub async fn streams(&self, query: StreamQuery) -> Result<Vec<StreamInfo>> {
        let group = query.group.clone();
        let found = self
            .readers
            .read("list log streams", move |connection| query::streams(connection, &query))
            .await?;
        found.ok_or(StoreError::NoSuchGroup(group))
    }

    /// Events of a group in the order of (timestamp, id). Fails if the group, or a stream named, does not exist.
    pub async fn range(&self, query: LogQuery) -> Result<Vec<LogRecord>> {
        self.readers
            .read("read log events", move |connection| query::range(connection, &query))
            .await?
    }

    /// Tells of events of `group` from now on; the group may come later.
    pub fn follow(&self, group: &str) -> Follow {
        Follow { newest: self.followers.subscribe(group) }
    }

    async fn change(&self, change: Change) -> Result<bool> {
        let _permit = self.changes.acquire().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        self.queue.push_change(Work::Change { change, answer });
        answered.await.map_err(|_| StoreError::Closed)?
    }
}
