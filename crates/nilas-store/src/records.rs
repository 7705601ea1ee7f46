//! Records: small values by key, with revisions and watches.

mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nilas_model::limits::{
    RECORD_BYTES_MAX, RECORD_KEY_BYTES_MAX, RECORD_WRITES_QUEUED_MAX, WATCH_COMMITS_MAX,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::database::{Durability, Readers, open_writer};
use crate::lock::DirectoryLock;
use crate::{Result, StoreError};

use watch::Commit;
pub use watch::{Watch, WatchEvent};
use writer::{Applied, Write};

const MIGRATIONS: &[&str] = &["
    CREATE TABLE records (
        space TEXT NOT NULL,
        key TEXT NOT NULL,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (space, key)
    ) WITHOUT ROWID;
    CREATE TABLE revision (newest INTEGER NOT NULL);
    INSERT INTO revision (newest) VALUES (0);
"];

/// Values by (space, key). A write that was answered is on disk.
#[derive(Debug, Clone)]
pub struct Records {
    writes: mpsc::Sender<Write>,
    commits: broadcast::Sender<Arc<Commit>>,
    readers: Readers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub value: Bytes,
    /// Grows with every write to any record.
    pub revision: u64,
}

/// What must be there for a change to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    Revision(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put { space: String, key: String, value: Bytes, expect: Expect },
    Delete { space: String, key: String, expect: Expect },
}

impl Records {
    pub(crate) fn open(path: &Path, lock: Arc<DirectoryLock>) -> Result<Self> {
        let connection = open_writer(path, Durability::PowerLoss, MIGRATIONS)?;
        let (writes, queue) = mpsc::channel(RECORD_WRITES_QUEUED_MAX);
        let (commits, _) = broadcast::channel(WATCH_COMMITS_MAX);
        writer::start(connection, queue, commits.clone(), lock)?;
        Ok(Self { writes, commits, readers: Readers::new(path) })
    }

    pub async fn get(&self, space: &str, key: &str) -> Result<Option<Record>> {
        let (space, key) = (space.to_owned(), key.to_owned());
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT revision, value FROM records WHERE space = ?1 AND key = ?2",
            )?;
            statement.query_row(params![space, key], |row| record(row, 0)).optional()
        };
        self.readers.read("get a record", read).await
    }

    /// Records whose key starts with `prefix`, in the byte order of their keys, beginning behind the key `after`.
    pub async fn list(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Record)>> {
        let (space, prefix, after) =
            (space.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        let read = move |connection: &Connection| {
            let sql = "SELECT key, revision, value FROM records
                       WHERE space = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) ORDER BY key";
            let mut statement = connection.prepare_cached(sql)?;
            let from = after.as_deref().unwrap_or_default().max(prefix.as_str());
            let mut rows = statement.query(params![space, from, after])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                let key: String = row.get(0)?;
                if !key.starts_with(&prefix) {
                    break;
                }
                found.push((key, record(row, 1)?));
            }
            Ok(found)
        };
        self.readers.read("list records", read).await
    }

    /// Answers the record's new revision.
    pub async fn put(&self, space: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        let change = Change::Put { space: space.to_owned(), key: key.to_owned(), value, expect };
        Ok(self.write(vec![change]).await?.revision)
    }

    /// Answers whether there was such a record.
    pub async fn delete(&self, space: &str, key: &str, expect: Expect) -> Result<bool> {
        let change = Change::Delete { space: space.to_owned(), key: key.to_owned(), expect };
        Ok(self.write(vec![change]).await?.changed > 0)
    }

    /// All of `changes`, in their order, or none.
    pub async fn batch(&self, changes: Vec<Change>) -> Result<()> {
        self.write(changes).await.map(drop)
    }

    /// Tells of every change to keys of `space` that start with `prefix`, from now on.
    pub fn watch(&self, space: &str, prefix: &str) -> Watch {
        Watch::new(space.to_owned(), prefix.to_owned(), self.commits.subscribe())
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Applied> {
        for change in &changes {
            check_size(change)?;
        }
        let (answer, answered) = oneshot::channel();
        self.writes.send(Write { changes, answer }).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

fn check_size(change: &Change) -> Result<()> {
    let (space, key, value_bytes) = match change {
        Change::Put { space, key, value, .. } => (space, key, value.len()),
        Change::Delete { space, key, .. } => (space, key, 0),
    };
    let key_bytes = space.len() + key.len();
    if key_bytes > RECORD_KEY_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "a record key",
            bytes: key_bytes,
            bytes_max: RECORD_KEY_BYTES_MAX,
        });
    }
    if value_bytes > RECORD_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "a record",
            bytes: value_bytes,
            bytes_max: RECORD_BYTES_MAX,
        });
    }
    Ok(())
}

fn record(row: &Row<'_>, column: usize) -> rusqlite::Result<Record> {
    let revision: i64 = row.get(column)?;
    let value: Vec<u8> = row.get(column + 1)?;
    Ok(Record { value: value.into(), revision: revision.cast_unsigned() })
}
