//! The one thread that writes records: what queued up during a commit shares the next one.

use std::sync::Arc;

use nilas_model::limits::RECORD_WRITES_PER_COMMIT_MAX;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::watch::{ChangedKey, Commit};
use super::{Change, Expect};
use crate::lock::DirectoryLock;
use crate::{Result, StoreError};

/// Changes that happen together or not at all, and who waits for them.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) changes: Vec<Change>,
    pub(super) answer: oneshot::Sender<Result<Applied>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    pub(super) changed: usize,
    /// Of the last record put.
    pub(super) revision: u64,
}

pub(super) fn start(
    connection: Connection,
    queue: mpsc::Receiver<Write>,
    commits: broadcast::Sender<Arc<Commit>>,
    lock: Arc<DirectoryLock>,
) -> Result<()> {
    let thread = std::thread::Builder::new().name("nilas:records".to_owned());
    let run = move || {
        let _lock = lock;
        write_until_closed(connection, queue, &commits);
    };
    match thread.spawn(run) {
        Ok(_) => Ok(()),
        Err(source) => {
            Err(StoreError::Database { step: "start the writer of records", source: source.into() })
        }
    }
}

fn write_until_closed(
    mut connection: Connection,
    mut queue: mpsc::Receiver<Write>,
    commits: &broadcast::Sender<Arc<Commit>>,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < RECORD_WRITES_PER_COMMIT_MAX
            && let Ok(write) = queue.try_recv()
        {
            group.push(write);
        }
        let (answers, commit) = commit_group(&mut connection, &group);
        // Watchers learn before writers are answered: who saw his own write succeed finds its event queued.
        if !commit.changed.is_empty() {
            // An error says that nobody watches.
            drop(commits.send(Arc::new(commit)));
        }
        for (write, answer) in group.into_iter().zip(answers) {
            // An error says that the caller went away; the write stands.
            drop(write.answer.send(answer));
        }
    }
}

/// Writes everything in one transaction. A write that meets a conflict fails alone; a disk error fails them all.
fn commit_group(connection: &mut Connection, group: &[Write]) -> (Vec<Result<Applied>>, Commit) {
    match try_commit_group(connection, group) {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "records could not be written"
            );
            let text = error.to_string();
            let failed = |_| {
                Err(StoreError::Database { step: "write records", source: text.clone().into() })
            };
            (group.iter().map(failed).collect(), Commit::default())
        }
    }
}

fn try_commit_group(
    connection: &mut Connection,
    group: &[Write],
) -> rusqlite::Result<(Vec<Result<Applied>>, Commit)> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let newest: i64 = transaction.query_row("SELECT newest FROM revision", [], |row| row.get(0))?;
    let mut newest = newest.cast_unsigned();
    let mut commit = Commit::default();
    let mut answers = Vec::with_capacity(group.len());
    for write in group {
        let seen = commit.changed.len();
        let savepoint = transaction.savepoint()?;
        let conflict = apply(&savepoint, &write.changes, &mut newest, &mut commit)?;
        answers.push(match conflict {
            None => {
                savepoint.commit()?;
                Ok(Applied { changed: commit.changed.len() - seen, revision: newest })
            }
            Some(Conflict { space, key }) => {
                // Dropped without a commit, the savepoint rolls back. Revisions taken are just skipped.
                savepoint.finish()?;
                commit.changed.truncate(seen);
                Err(StoreError::Conflict { space, key })
            }
        });
    }
    if !commit.changed.is_empty() {
        transaction
            .prepare_cached("UPDATE revision SET newest = ?1")?
            .execute([newest.cast_signed()])?;
    }
    transaction.commit()?;
    Ok((answers, commit))
}

struct Conflict {
    space: String,
    key: String,
}

fn apply(
    connection: &Connection,
    changes: &[Change],
    newest: &mut u64,
    commit: &mut Commit,
) -> rusqlite::Result<Option<Conflict>> {
    for change in changes {
        let (Change::Put { space, key, expect, .. } | Change::Delete { space, key, expect }) =
            change;
        let found = revision_of(connection, space, key)?;
        let fits = match expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found == Some(*revision),
        };
        if !fits {
            return Ok(Some(Conflict { space: space.clone(), key: key.clone() }));
        }
        if found.is_none() && matches!(change, Change::Delete { .. }) {
            continue;
        }
        *newest += 1;
        match change {
            Change::Put { value, .. } => connection
                .prepare_cached("INSERT OR REPLACE INTO records (space, key, revision, value) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![space, key, newest.cast_signed(), value.as_ref()])?,
            Change::Delete { .. } => connection
                .prepare_cached("DELETE FROM records WHERE space = ?1 AND key = ?2")?
                .execute(params![space, key])?,
        };
        commit.changed.push(ChangedKey {
            space: space.clone(),
            key: key.clone(),
            revision: *newest,
        });
    }
    Ok(None)
}

fn revision_of(connection: &Connection, space: &str, key: &str) -> rusqlite::Result<Option<u64>> {
    let mut statement =
        connection.prepare_cached("SELECT revision FROM records WHERE space = ?1 AND key = ?2")?;
    let revision: Option<i64> =
        statement.query_row(params![space, key], |row| row.get(0)).optional()?;
    Ok(revision.map(i64::cast_unsigned))
}
