//! Queues: messages that wait for work, by queue.
//!
//! What is to be done is on disk before a push is answered; when it is to be done is decided in memory (`core`). A lease
//! gives one worker a message for a while. It is in memory only: after a restart, what was leased is due again, so
//! work is done at least once. A settlement ends messages, puts them off and pushes others in one commit, so that it
//! is done exactly once.

mod core;
mod queue;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nilas_model::limits::{
    QUEUE_BODY_BYTES_MAX, QUEUE_GROUP_BYTES_MAX, QUEUE_MESSAGES_MAX, QUEUE_NAME_BYTES_MAX,
    QUEUE_NOTE_BYTES_MAX, QUEUE_WRITES_QUEUED_MAX,
};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{mpsc, oneshot, watch};

use crate::database::{Durability, Readers, open_writer};
use crate::lock::DirectoryLock;
use crate::{Result, StoreError};

use self::core::{Core, Taken};
use writer::{Answer, Write};

const MIGRATIONS: &[&str] = &["
    CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        pushed_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        receives INTEGER NOT NULL,
        first_leased_ms INTEGER NOT NULL,
        message_group TEXT,
        note BLOB NOT NULL,
        body BLOB NOT NULL
    );
"];

/// A message's number. Grows in the order of commits, in all queues together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// One lease of one message. Never given twice by one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub body: Bytes,
    /// What its owner wants to know of it without reading the body, and may change by `Settle::Retry`.
    pub note: Bytes,
    /// The point of time it was pushed at, milliseconds since the Unix epoch.
    pub pushed_ms: u64,
    /// From when on it may be leased.
    pub due_ms: u64,
    /// From when on it is not leased any more; `expire` removes it.
    pub expires_ms: u64,
    /// Messages of a group are leased in the order they were pushed in, never while another of them is leased.
    pub group: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    pub id: MessageId,
    pub lease: LeaseId,
    pub body: Bytes,
    pub note: Bytes,
    pub group: Option<Arc<str>>,
    /// How often it has been leased, this time included.
    pub receives: u32,
    pub pushed_ms: u64,
    pub first_leased_ms: u64,
}

/// A part of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// The message has ended. Without a lease it ends whether it is leased or not.
    Ack {
        queue: String,
        id: MessageId,
        lease: Option<LeaseId>,
    },
    /// The message is due at another time, with another note. Without a lease it is one that nobody has.
    Retry {
        queue: String,
        id: MessageId,
        lease: Option<LeaseId>,
        due_ms: u64,
        note: Bytes,
    },
    Push {
        queue: String,
        message: NewMessage,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Could be leased, or wait only for their group.
    pub due: u64,
    /// Not due yet.
    pub delayed: u64,
    pub leased: u64,
    /// Bodies and notes of all of them.
    pub bytes: u64,
    pub oldest_pushed_ms: Option<u64>,
}

/// A message as it waits, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: MessageId,
    pub note: Bytes,
    pub group: Option<Arc<str>>,
    pub pushed_ms: u64,
    pub due_ms: u64,
    pub receives: u32,
    pub leased: bool,
}

/// All queues of a store. A queue is there as soon as something is pushed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queues {
    writes: mpsc::Sender<Write>,
    core: Arc<Mutex<Core>>,
    readers: Readers,
}

impl Queues {
    pub(crate) fn open(path: &Path, lock: Arc<DirectoryLock>) -> Result<Self> {
        let connection = open_writer(path, Durability::PowerLoss, MIGRATIONS)?;
        let core = Arc::new(Mutex::new(writer::load(&connection)?));
        let (writes, queue) = mpsc::channel(QUEUE_WRITES_QUEUED_MAX);
        writer::start(connection, queue, Arc::clone(&core), lock)?;
        Ok(Self { writes, core, readers: Readers::new(path) })
    }

    /// Answers the messages' numbers when all of them are on disk: all or none.
    pub async fn push(&self, queue: &str, messages: Vec<NewMessage>) -> Result<Vec<MessageId>> {
        let push = |message| Settle::Push { queue: queue.to_owned(), message };
        match self.write(messages.into_iter().map(push).collect()).await? {
            Answer::Done(ids) => Ok(ids),
            Answer::Stale => Err(StoreError::Closed),
        }
    }

    /// Leases up to `max` messages that are due at `now_ms`, until `until_ms`: those first that have been due longest.
    pub async fn lease(
        &self,
        queue: &str,
        max: usize,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<Leased>> {
        let taken = self.lock().lease(queue, max, now_ms, until_ms);
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        // How often it was leased is a figure, not a promise: nobody waits for it.
        let touched = taken.iter().map(|taken| (taken.id, taken.receives, taken.first_leased_ms));
        if self.writes.try_send(Write::Touch(touched.collect())).is_err() {
            tracing::debug!(queue, "counts of receives were not written");
        }
        let ids = taken.iter().filter(|taken| taken.body.is_none()).map(|taken| taken.id);
        let mut bodies = match self.bodies(ids.collect()).await {
            Ok(bodies) => bodies.into_iter(),
            Err(error) => {
                let mut core = self.lock();
                for taken in &taken {
                    core.extend(queue, taken.id, taken.lease, now_ms, now_ms);
                }
                return Err(error);
            }
        };
        let leased = |taken: Taken| {
            // None for one that a purge has removed meanwhile.
            let body = taken.body.or_else(|| bodies.next().flatten())?;
            Some(Leased {
                id: taken.id,
                lease: taken.lease,
                body,
                note: taken.note,
                group: taken.group,
                receives: taken.receives,
                pushed_ms: taken.pushed_ms,
                first_leased_ms: taken.first_leased_ms,
            })
        };
        Ok(taken.into_iter().filter_map(leased).collect())
    }

    /// Moves the end of a lease; at `now_ms` or before it, the message is due again. Answers false for a lease that
    /// has ended.
    pub fn extend(
        &self,
        queue: &str,
        id: MessageId,
        lease: LeaseId,
        now_ms: u64,
        until_ms: u64,
    ) -> bool {
        self.lock().extend(queue, id, lease, now_ms, until_ms)
    }

    /// Does all of `parts` in one commit, and answers the numbers of what was pushed. None, and nothing is done, if a
    /// message has ended already or a lease does not hold any more.
    pub async fn settle(&self, parts: Vec<Settle>) -> Result<Option<Vec<MessageId>>> {
        match self.write(parts).await? {
            Answer::Done(ids) => Ok(Some(ids)),
            Answer::Stale => Ok(None),
        }
    }

    /// Removes what has expired at `now_ms` and is not leased; answers how many.
    pub async fn expire(&self, queue: &str, now_ms: u64) -> Result<u64> {
        let expired = self.lock().expired(queue, now_ms);
        // The usual case, on the path of every receipt: no commit is waited for.
        if expired.is_empty() {
            return Ok(0);
        }
        self.remove_each(queue, expired).await
    }

    /// Removes all messages, leased ones too; answers how many.
    pub async fn purge(&self, queue: &str) -> Result<u64> {
        let all = self.lock().ids(queue);
        let removed = self.remove_each(queue, all).await?;
        self.lock().forget(queue);
        Ok(removed)
    }

    pub fn counts(&self, queue: &str, now_ms: u64) -> Counts {
        self.lock().counts(queue, now_ms)
    }

    /// How many are leased, at little cost; leases that have just ended may still count.
    pub fn leased(&self, queue: &str) -> usize {
        self.lock().leased(queue)
    }

    /// When the next message can be leased, as far as is known now: at once if that is not later than now.
    pub fn next_due_ms(&self, queue: &str, now_ms: u64) -> Option<u64> {
        self.lock().next_due_ms(queue, now_ms)
    }

    /// Changes whenever something may be due sooner than `next_due_ms` has said. Take it before you look.
    pub fn watch(&self, queue: &str) -> watch::Receiver<u64> {
        self.lock().watch(queue)
    }

    /// Messages in the order of their numbers, beginning behind `after`.
    pub fn list(&self, queue: &str, after: Option<MessageId>, limit: usize) -> Vec<Waiting> {
        self.lock().list(queue, after, limit)
    }

    pub async fn body(&self, id: MessageId) -> Result<Option<Bytes>> {
        Ok(self.bodies(vec![id]).await?.pop().flatten())
    }

    /// Queues that hold messages and whose names start with `prefix`, sorted.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.lock().names(prefix)
    }

    async fn remove_each(&self, queue: &str, ids: Vec<MessageId>) -> Result<u64> {
        // Asked for at each receive, and hardly ever is there anything: nobody shall wait for the disk then.
        if ids.is_empty() {
            return Ok(0);
        }
        let mut removed = 0;
        for id in ids {
            let part = Settle::Ack { queue: queue.to_owned(), id, lease: None };
            let (answer, answered) = oneshot::channel();
            self.send(vec![part], answer).await?;
            // Not waited for one by one: they share commits.
            removed += 1;
            drop(answered);
        }
        // All that was sent before has been committed when this is answered.
        self.write(Vec::new()).await?;
        Ok(removed)
    }

    async fn bodies(&self, ids: Vec<MessageId>) -> Result<Vec<Option<Bytes>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = move |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT body FROM messages WHERE id = ?1")?;
            let body = |id: &MessageId| {
                statement.query_row([id.0.cast_signed()], |row| row.get(0)).optional()
            };
            let bodies: rusqlite::Result<Vec<Option<Vec<u8>>>> = ids.iter().map(body).collect();
            Ok(bodies?.into_iter().map(|body| body.map(Bytes::from)).collect())
        };
        self.readers.read("read messages", read).await
    }

    async fn write(&self, parts: Vec<Settle>) -> Result<Answer> {
        let (answer, answered) = oneshot::channel();
        self.send(parts, answer).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    async fn send(
        &self,
        parts: Vec<Settle>,
        answer: oneshot::Sender<Result<Answer>>,
    ) -> Result<()> {
        let mut pushed = 0;
        for part in &parts {
            pushed += u64::from(matches!(part, Settle::Push { .. }));
            check_size(part)?;
        }
        if pushed > 0 && self.lock().messages() + pushed > QUEUE_MESSAGES_MAX {
            return Err(StoreError::TooMany {
                what: "messages in queues",
                limit: QUEUE_MESSAGES_MAX,
            });
        }
        self.writes.send(Write::Settle { parts, answer }).await.map_err(|_| StoreError::Closed)
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_size(part: &Settle) -> Result<()> {
    let check = |what, bytes, bytes_max| {
        if bytes > bytes_max {
            Err(StoreError::TooLarge { what, bytes, bytes_max })
        } else {
            Ok(())
        }
    };
    match part {
        Settle::Ack { .. } => Ok(()),
        Settle::Retry { note, .. } => {
            check("the note of a message", note.len(), QUEUE_NOTE_BYTES_MAX)
        }
        Settle::Push { queue, message } => {
            let group_bytes = message.group.as_ref().map_or(0, String::len);
            check("the name of a queue", queue.len(), QUEUE_NAME_BYTES_MAX)?;
            check("the group of a message", group_bytes, QUEUE_GROUP_BYTES_MAX)?;
            check("the note of a message", message.note.len(), QUEUE_NOTE_BYTES_MAX)?;
            check("a message", message.body.len(), QUEUE_BODY_BYTES_MAX)
        }
    }
}
