//! The groups and streams as the writer knows them: ids by name, and figures not yet written.

use std::collections::HashMap;

use nilas_model::limits::{LOG_GROUPS_MAX, LOG_STREAMS_MAX};
use rusqlite::{Connection, OptionalExtension, params};

use super::chunk::{self, Chunk, Event};
use super::queue::Append;
use crate::{Result, StoreError};

/// What CloudWatch adds to the length of each event.
pub(super) const EVENT_OVERHEAD_BYTES: u64 = 26;
/// Streams known by heart; beyond it everything is forgotten and looked up again.
const STREAMS_CACHED_MAX: usize = 20_000;

/// Invariant: holds only what the database holds, or will when the open transaction commits.
/// Whoever rolls one back makes a new catalog.
#[derive(Debug)]
pub(super) struct Catalog {
    groups: HashMap<String, Group>,
    streams_cached: usize,
    group_count: u64,
    stream_count: u64,
    newest_event: i64,
    newest_event_written: i64,
}

#[derive(Debug)]
struct Group {
    id: i64,
    streams: HashMap<String, Stream>,
}

#[derive(Debug)]
struct Stream {
    id: i64,
    pending: Option<Figures>,
}

/// All that a batch has for one stream.
#[derive(Debug)]
pub(super) struct Gathered<'a> {
    pub(super) group_id: i64,
    /// One of those it is from, for the names.
    pub(super) append: &'a Append,
    pub(super) ingestion_ms: i64,
    pub(super) events: Vec<Event<'a>>,
}

/// What a stream's row is to learn of its new events.
#[derive(Debug, Clone, Copy)]
struct Figures {
    first_ms: i64,
    last_ms: i64,
    ingestion_ms: i64,
    bytes: u64,
}

impl Catalog {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let newest_event = count(
            "SELECT max(newest, coalesce((SELECT id + count - 1 FROM events ORDER BY id DESC LIMIT 1), 0)) FROM event_id",
        )?;
        Ok(Self {
            groups: HashMap::new(),
            streams_cached: 0,
            group_count: count("SELECT count(*) FROM groups")?.cast_unsigned(),
            stream_count: count("SELECT count(*) FROM streams")?.cast_unsigned(),
            newest_event,
            newest_event_written: newest_event,
        })
    }

    /// Id of the newest event, committed or about to be.
    pub(super) fn newest_event(&self) -> u64 {
        self.newest_event.cast_unsigned()
    }

    pub(super) fn group(
        &mut self,
        connection: &Connection,
        name: &str,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(group) = self.groups.get(name) {
            return Ok(Some(group.id));
        }
        let mut statement = connection.prepare_cached("SELECT id FROM groups WHERE name = ?1")?;
        let id: Option<i64> = statement.query_row([name], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.groups.insert(name.to_owned(), Group { id, streams: HashMap::new() });
        }
        Ok(id)
    }

    pub(super) fn create_group(
        &mut self,
        connection: &Connection,
        name: &str,
        created_ms: i64,
    ) -> rusqlite::Result<Result<i64>> {
        if self.group_count >= LOG_GROUPS_MAX {
            return Ok(Err(StoreError::TooMany { what: "log groups", limit: LOG_GROUPS_MAX }));
        }
        let mut statement =
            connection.prepare_cached("INSERT INTO groups (name, created_ms) VALUES (?1, ?2)")?;
        let id = statement.insert(params![name, created_ms])?;
        self.groups.insert(name.to_owned(), Group { id, streams: HashMap::new() });
        self.group_count += 1;
        Ok(Ok(id))
    }

    /// The stream's events become garbage, for the writer to sweep.
    pub(super) fn delete_group(
        &mut self,
        connection: &Connection,
        name: &str,
        id: i64,
    ) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO garbage (stream_id) SELECT id FROM streams WHERE group_id = ?1",
            [id],
        )?;
        let streams = connection.execute("DELETE FROM streams WHERE group_id = ?1", [id])?;
        connection.execute("DELETE FROM groups WHERE id = ?1", [id])?;
        self.groups.remove(name);
        self.group_count = self.group_count.saturating_sub(1);
        self.stream_count = self.stream_count.saturating_sub(streams as u64);
        Ok(())
    }

    pub(super) fn stream(
        &mut self,
        connection: &Connection,
        group: &str,
        group_id: i64,
        name: &str,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(stream) = self.groups.get(group).and_then(|group| group.streams.get(name)) {
            return Ok(Some(stream.id));
        }
        let mut statement = connection
            .prepare_cached("SELECT id FROM streams WHERE group_id = ?1 AND name = ?2")?;
        let id: Option<i64> =
            statement.query_row(params![group_id, name], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.remember_stream(group, group_id, name, id);
        }
        Ok(id)
    }

    pub(super) fn create_stream(
        &mut self,
        connection: &Connection,
        group: &str,
        group_id: i64,
        name: &str,
        created_ms: i64,
    ) -> rusqlite::Result<Result<i64>> {
        if self.stream_count >= LOG_STREAMS_MAX {
            return Ok(Err(StoreError::TooMany { what: "log streams", limit: LOG_STREAMS_MAX }));
        }
        let sql = "INSERT INTO streams (group_id, name, created_ms) VALUES (?1, ?2, ?3)";
        let id = connection.prepare_cached(sql)?.insert(params![group_id, name, created_ms])?;
        self.remember_stream(group, group_id, name, id);
        self.stream_count += 1;
        Ok(Ok(id))
    }

    pub(super) fn delete_stream(
        &mut self,
        connection: &Connection,
        group: &str,
        group_id: i64,
        name: &str,
        id: i64,
    ) -> rusqlite::Result<()> {
        self.write_figures(connection)?;
        let bytes = "UPDATE groups SET stored_bytes = max(0, stored_bytes
                     - (SELECT stored_bytes FROM streams WHERE id = ?2)) WHERE id = ?1";
        connection.execute(bytes, [group_id, id])?;
        connection.execute("INSERT INTO garbage (stream_id) VALUES (?1)", [id])?;
        connection.execute("DELETE FROM streams WHERE id = ?1", [id])?;
        if let Some(group) = self.groups.get_mut(group) {
            group.streams.remove(name);
        }
        self.stream_count = self.stream_count.saturating_sub(1);
        Ok(())
    }

    /// Writes events into a stream that exists. Its figures wait for `write_figures`.
    pub(super) fn insert(
        &mut self,
        connection: &Connection,
        stream_id: i64,
        gathered: Gathered<'_>,
    ) -> rusqlite::Result<()> {
        let Gathered { group_id, append, ingestion_ms, events } = gathered;
        let sql = "INSERT INTO events
                   (id, group_id, stream_id, timestamp_ms, ingestion_ms, message, parts, count)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let mut statement = connection.prepare_cached(sql)?;
        let mut figures = Figures { first_ms: i64::MAX, last_ms: 0, ingestion_ms, bytes: 0 };
        for event in &events {
            figures.first_ms = figures.first_ms.min(event.timestamp_ms);
            figures.last_ms = figures.last_ms.max(event.timestamp_ms);
            figures.bytes += event.message.len() as u64 + EVENT_OVERHEAD_BYTES;
        }
        for Chunk { first_ms, parts, text, events } in chunk::pack(events) {
            let count = to_column(events as u64);
            statement.execute(params![
                self.newest_event + 1,
                group_id,
                stream_id,
                first_ms,
                ingestion_ms,
                text,
                parts,
                count
            ])?;
            self.newest_event += count;
        }
        let stream = self
            .groups
            .get_mut(&append.group)
            .and_then(|group| group.streams.get_mut(&append.stream));
        if let Some(stream) = stream {
            stream.pending = Some(match stream.pending {
                None => figures,
                Some(pending) => pending.and(figures),
            });
        }
        Ok(())
    }

    /// Writes what the streams' rows have to learn; the last thing before a commit.
    pub(super) fn write_figures(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE streams SET
                       first_event_ms = min(coalesce(first_event_ms, ?2), ?2),
                       last_event_ms = max(coalesce(last_event_ms, ?3), ?3),
                       last_ingestion_ms = max(coalesce(last_ingestion_ms, ?4), ?4),
                       stored_bytes = stored_bytes + ?5
                   WHERE id = ?1";
        let mut update_stream = connection.prepare_cached(sql)?;
        let mut update_group = connection
            .prepare_cached("UPDATE groups SET stored_bytes = stored_bytes + ?2 WHERE id = ?1")?;
        for group in self.groups.values_mut() {
            let mut group_bytes = 0;
            for stream in group.streams.values_mut() {
                let Some(Figures { first_ms, last_ms, ingestion_ms, bytes }) =
                    stream.pending.take()
                else {
                    continue;
                };
                update_stream.execute(params![
                    stream.id,
                    first_ms,
                    last_ms,
                    ingestion_ms,
                    to_column(bytes)
                ])?;
                group_bytes += bytes;
            }
            if group_bytes > 0 {
                update_group.execute(params![group.id, to_column(group_bytes)])?;
            }
        }
        if self.newest_event != self.newest_event_written {
            connection
                .prepare_cached("UPDATE event_id SET newest = ?1")?
                .execute([self.newest_event])?;
            self.newest_event_written = self.newest_event;
        }
        if self.streams_cached > STREAMS_CACHED_MAX {
            self.forget();
        }
        Ok(())
    }

    /// Forgets ids, for when rows were removed behind the catalog's back. Only between `write_figures` and new rows.
    pub(super) fn forget(&mut self) {
        self.groups.clear();
        self.streams_cached = 0;
    }

    pub(super) fn streams_removed(&mut self, count: usize) {
        self.stream_count = self.stream_count.saturating_sub(count as u64);
        self.forget();
    }

    fn remember_stream(&mut self, group: &str, group_id: i64, name: &str, id: i64) {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), Group { id: group_id, streams: HashMap::new() });
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.streams.insert(name.to_owned(), Stream { id, pending: None });
            self.streams_cached += 1;
        }
    }
}

impl Figures {
    fn and(self, other: Self) -> Self {
        Self {
            first_ms: self.first_ms.min(other.first_ms),
            last_ms: self.last_ms.max(other.last_ms),
            ingestion_ms: self.ingestion_ms.max(other.ingestion_ms),
            bytes: self.bytes + other.bytes,
        }
    }
}

/// SQLite's integers end at 2^63; no honest time or size is over it.
pub(super) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
