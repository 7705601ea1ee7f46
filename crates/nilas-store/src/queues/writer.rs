//! The one thread that writes messages: what queued up during a commit shares the next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nilas_model::limits::QUEUE_WRITES_PER_COMMIT_MAX;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::core::{Core, History};
use super::{MessageId, NewMessage, Settle};
use crate::lock::DirectoryLock;
use crate::{Result, StoreError};

#[derive(Debug)]
pub(super) enum Write {
    Settle {
        parts: Vec<Settle>,
        answer: oneshot::Sender<Result<Answer>>,
    },
    /// (message, how often it was leased, when first). Nobody waits for it.
    Touch(Vec<(MessageId, u32, u64)>),
}

#[derive(Debug)]
pub(super) enum Answer {
    /// The numbers of what was pushed.
    Done(Vec<MessageId>),
    Stale,
}

/// All that is on disk. Bodies stay there.
pub(super) fn load(connection: &Connection) -> Result<Core> {
    let unused = "DELETE FROM queues WHERE id NOT IN (SELECT queue FROM messages)";
    connection.execute(unused, []).map_err(StoreError::database("clean up queues"))?;
    let mut core = Core::default();
    let sql = "SELECT messages.id, name, due_ms, pushed_ms, expires_ms, receives, first_leased_ms,
                      message_group, note, length(body)
               FROM messages JOIN queues ON queues.id = queue ORDER BY messages.id";
    let fill = |core: &mut Core| {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            let queue: String = row.get(1)?;
            let note: Vec<u8> = row.get(8)?;
            let message = NewMessage {
                body: Bytes::new(),
                note: note.into(),
                due_ms: number(2)?,
                pushed_ms: number(3)?,
                expires_ms: number(4)?,
                group: row.get(7)?,
            };
            let history = History { receives: row.get(5)?, first_leased_ms: number(6)? };
            core.insert(
                &queue,
                MessageId(number(0)?),
                &message,
                row.get::<_, u32>(9)? as usize,
                history,
            );
        }
        Ok(())
    };
    fill(&mut core).map_err(StoreError::database("load messages"))?;
    Ok(core)
}

pub(super) fn start(
    connection: Connection,
    queue: mpsc::Receiver<Write>,
    core: Arc<Mutex<Core>>,
    lock: Arc<DirectoryLock>,
) -> Result<()> {
    let thread = std::thread::Builder::new().name("nilas:queues".to_owned());
    let run = move || {
        let _lock = lock;
        let mut writer = Writer { connection, core, queues: HashMap::new() };
        writer.write_until_closed(queue);
    };
    match thread.spawn(run) {
        Ok(_) => Ok(()),
        Err(source) => {
            Err(StoreError::Database { step: "start the writer of queues", source: source.into() })
        }
    }
}

struct Writer {
    connection: Connection,
    core: Arc<Mutex<Core>>,
    /// Numbers of queues that are on disk.
    queues: HashMap<String, i64>,
}

impl Writer {
    fn write_until_closed(&mut self, mut queue: mpsc::Receiver<Write>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < QUEUE_WRITES_PER_COMMIT_MAX
                && let Ok(write) = queue.try_recv()
            {
                group.push(write);
            }
            self.commit_group(group);
        }
    }

    /// Writes everything in one transaction. A stale settlement is left out alone; a disk error fails them all.
    fn commit_group(&mut self, group: Vec<Write>) {
        let begun: Vec<bool> = {
            let mut core = self.lock();
            let begin = |write: &Write| match write {
                Write::Settle { parts, .. } => core.begin(parts),
                Write::Touch(_) => true,
            };
            group.iter().map(begin).collect()
        };
        let written = self.try_commit(&group, &begun);
        if let Err(error) = &written {
            // Rolled back, their numbers may not be there.
            self.queues.clear();
            tracing::error!(
                error = error as &dyn std::error::Error,
                "messages could not be written"
            );
        }
        let mut core = self.lock();
        for (at, (write, begun)) in group.into_iter().zip(begun).enumerate() {
            let Write::Settle { parts, answer } = write else { continue };
            let result = match &written {
                _ if !begun => Ok(Answer::Stale),
                Ok(pushed) => {
                    core.finish(parts, &pushed[at]);
                    Ok(Answer::Done(pushed[at].clone()))
                }
                Err(error) => {
                    core.abandon(&parts);
                    let source = error.to_string().into();
                    Err(StoreError::Database { step: "write messages", source })
                }
            };
            // An error says that the caller went away; the write stands.
            drop(answer.send(result));
        }
    }

    /// The numbers of what each write has pushed.
    fn try_commit(
        &mut self,
        group: &[Write],
        begun: &[bool],
    ) -> rusqlite::Result<Vec<Vec<MessageId>>> {
        let Self { connection, queues, .. } = self;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut pushed = Vec::with_capacity(group.len());
        for (write, begun) in group.iter().zip(begun) {
            let mut ids = Vec::new();
            match write {
                Write::Settle { parts, .. } if *begun => {
                    for part in parts {
                        ids.extend(apply(&transaction, queues, part)?);
                    }
                }
                Write::Settle { .. } => {}
                Write::Touch(touched) => touch(&transaction, touched)?,
            }
            pushed.push(ids);
        }
        transaction.commit()?;
        Ok(pushed)
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(
    transaction: &Transaction<'_>,
    queues: &mut HashMap<String, i64>,
    part: &Settle,
) -> rusqlite::Result<Option<MessageId>> {
    match part {
        Settle::Ack { id, .. } => {
            let sql = "DELETE FROM messages WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute([id.0.cast_signed()])?;
        }
        Settle::Retry { id, due_ms, note, .. } => {
            let sql = "UPDATE messages SET due_ms = ?2, note = ?3 WHERE id = ?1";
            let row = params![id.0.cast_signed(), due_ms.cast_signed(), note.as_ref()];
            transaction.prepare_cached(sql)?.execute(row)?;
        }
        Settle::Push { queue, message } => {
            let queue = number_of(transaction, queues, queue)?;
            let sql = "INSERT INTO messages (queue, due_ms, pushed_ms, expires_ms, receives, first_leased_ms,
                                             message_group, note, body)
                       VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6, ?7)";
            transaction.prepare_cached(sql)?.execute(params![
                queue,
                message.due_ms.cast_signed(),
                message.pushed_ms.cast_signed(),
                message.expires_ms.cast_signed(),
                message.group,
                message.note.as_ref(),
                message.body.as_ref(),
            ])?;
            return Ok(Some(MessageId(transaction.last_insert_rowid().cast_unsigned())));
        }
    }
    Ok(None)
}

fn touch(transaction: &Transaction<'_>, touched: &[(MessageId, u32, u64)]) -> rusqlite::Result<()> {
    let sql = "UPDATE messages SET receives = ?2, first_leased_ms = ?3 WHERE id = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    for (id, receives, first_leased_ms) in touched {
        statement.execute(params![id.0.cast_signed(), receives, first_leased_ms.cast_signed()])?;
    }
    Ok(())
}

fn number_of(
    transaction: &Transaction<'_>,
    queues: &mut HashMap<String, i64>,
    name: &str,
) -> rusqlite::Result<i64> {
    if let Some(number) = queues.get(name) {
        return Ok(*number);
    }
    let found = transaction
        .prepare_cached("SELECT id FROM queues WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let number = match found {
        Some(number) => number,
        None => {
            transaction.execute("INSERT INTO queues (name) VALUES (?1)", [name])?;
            transaction.last_insert_rowid()
        }
    };
    queues.insert(name.to_owned(), number);
    Ok(number)
}
