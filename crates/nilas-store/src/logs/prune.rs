//! Upkeep: sweeps events of deleted streams, expired ones, and the oldest when the logs grow too large.
//!
//! A step removes at most one chunk, so that new events never wait long.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::catalog::{Catalog, EVENT_OVERHEAD_BYTES, to_column};
use super::chunk::SPAN_MS;

/// Rows of events.
const CHUNK_ROWS: i64 = 1_000;
const RETENTION_EVERY_MS: u64 = 60_000;
/// An empty stream that nobody wrote to for so long goes: every environment makes one, for ever.
const EMPTY_STREAM_MS: u64 = 86_400_000;
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Default)]
pub(super) struct Pruner {
    retention_due_ms: u64,
    /// Pruning has begun and goes on until there is some room.
    making_room: bool,
}

impl Pruner {
    /// Answers whether there is more to do at once.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        catalog: &mut Catalog,
        now_ms: u64,
        bytes_max: u64,
    ) -> rusqlite::Result<bool> {
        let bytes = used_bytes(connection)?;
        self.making_room = bytes > if self.making_room { bytes_max / 20 * 19 } else { bytes_max };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let mut removed = sweep_garbage(&transaction)?;
        if removed == 0 && now_ms >= self.retention_due_ms {
            removed = prune_expired(&transaction, now_ms)?;
            if removed == 0 {
                self.retention_due_ms = now_ms + RETENTION_EVERY_MS;
                catalog.streams_removed(remove_empty_streams(&transaction, now_ms)?);
            }
        }
        if removed == 0 && self.making_room {
            removed = prune_oldest(&transaction)?;
        }
        transaction.commit()?;
        Ok(removed > 0)
    }
}

/// Bytes of the database that hold something; pages freed are used again, so the file stops growing.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?).cast_unsigned())
}

fn sweep_garbage(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    let mut next = transaction.prepare_cached("SELECT stream_id FROM garbage LIMIT 1")?;
    let Some(stream_id) = next.query_map([], |row| row.get::<_, i64>(0))?.next().transpose()?
    else {
        return Ok(0);
    };
    let sql =
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE stream_id = ?1 LIMIT ?2)";
    let removed = transaction.prepare_cached(sql)?.execute([stream_id, CHUNK_ROWS])?;
    if removed == 0 {
        return transaction
            .prepare_cached("DELETE FROM garbage WHERE stream_id = ?1")?
            .execute([stream_id]);
    }
    Ok(removed)
}

fn prune_expired(transaction: &Transaction<'_>, now_ms: u64) -> rusqlite::Result<usize> {
    let sql = "SELECT id, retention_days FROM groups WHERE retention_days IS NOT NULL";
    let mut limited = transaction.prepare_cached(sql)?;
    let groups = limited.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for group in groups {
        let (group_id, days): (i64, u32) = group?;
        // Of rows that began before it, some events may be younger.
        let cutoff_ms = to_column(now_ms.saturating_sub(u64::from(days) * DAY_MS)) - SPAN_MS;
        let chosen = "SELECT id FROM events WHERE group_id = ?1 AND timestamp_ms < ?2 ORDER BY timestamp_ms LIMIT ?3";
        let removed = remove(transaction, chosen, &[group_id, cutoff_ms, CHUNK_ROWS])?;
        if removed > 0 {
            return Ok(removed);
        }
    }
    Ok(0)
}

/// The oldest of the largest group, so that a function that floods its log pushes out nobody else's.
fn prune_oldest(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    // Before the removal, which makes it smaller: another group could be the largest in the middle of it.
    let mut largest =
        transaction.prepare_cached("SELECT id FROM groups ORDER BY stored_bytes DESC LIMIT 1")?;
    if let Some(group_id) = largest.query_map([], |row| row.get(0))?.next().transpose()? {
        let chosen = "SELECT id FROM events WHERE group_id = ?1 ORDER BY timestamp_ms LIMIT ?2";
        let removed = remove(transaction, chosen, &[group_id, CHUNK_ROWS])?;
        if removed > 0 {
            return Ok(removed);
        }
    }
    // The largest is counted wrong, and empty.
    remove(transaction, "SELECT id FROM events ORDER BY id LIMIT ?1", &[CHUNK_ROWS])
}

/// Removes the events whose ids the statement `chosen` gives, and takes them off their streams and groups. `chosen`
/// runs twice and must depend on nothing but events.
fn remove(transaction: &Transaction<'_>, chosen: &str, values: &[i64]) -> rusqlite::Result<usize> {
    let values = || rusqlite::params_from_iter(values);
    let sql = format!(
        "SELECT stream_id, sum(octet_length(message) + count * {EVENT_OVERHEAD_BYTES})
         FROM events WHERE id IN ({chosen}) GROUP BY stream_id"
    );
    let mut sizes = transaction.prepare_cached(&sql)?;
    let sizes = sizes.query_map(values(), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sizes = sizes.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    let mut shrink_group = transaction.prepare_cached(
        "UPDATE groups SET stored_bytes = max(0, stored_bytes - ?2)
         WHERE id = (SELECT group_id FROM streams WHERE id = ?1)",
    )?;
    let mut shrink_stream = transaction.prepare_cached(
        "UPDATE streams SET stored_bytes = max(0, stored_bytes - ?2) WHERE id = ?1",
    )?;
    for (stream_id, bytes) in sizes {
        shrink_group.execute(params![stream_id, bytes])?;
        shrink_stream.execute(params![stream_id, bytes])?;
    }
    transaction
        .prepare_cached(&format!("DELETE FROM events WHERE id IN ({chosen})"))?
        .execute(values())
}

fn remove_empty_streams(transaction: &Transaction<'_>, now_ms: u64) -> rusqlite::Result<usize> {
    // Only streams that once had events: an empty one that somebody made is his.
    let sql = "DELETE FROM streams WHERE stored_bytes = 0 AND last_ingestion_ms < ?1";
    transaction.prepare_cached(sql)?.execute([to_column(now_ms.saturating_sub(EMPTY_STREAM_MS))])
}
