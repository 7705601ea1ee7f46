//! Reading: groups, streams, and events of one or many streams in the order of (timestamp, id).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rusqlite::types::Value;
use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Row, Rows, params, params_from_iter,
};

use super::catalog::to_column;
use super::{GroupInfo, LogRecord, StreamInfo};
use crate::{Result, StoreError};

/// Streams that are read one by one and merged; more are picked out of the whole group's events.
const MERGED_STREAMS_MAX: usize = 100;

/// Which groups: those whose name starts with `scope` and `prefix` and has `contains` behind the scope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupQuery {
    /// `ACCOUNT/REGION/`.
    pub scope: String,
    pub prefix: String,
    pub contains: String,
    /// Begins behind this group, scope included.
    pub after: Option<String>,
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamOrder {
    #[default]
    Name,
    LastEvent,
}

/// Where a list of streams stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCursor {
    /// 0 for a stream without events.
    pub last_event_ms: u64,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamQuery {
    pub group: String,
    pub prefix: String,
    pub order: StreamOrder,
    pub descending: bool,
    pub after: Option<StreamCursor>,
    pub limit: usize,
}

/// Where an event is in its group's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub timestamp_ms: u64,
    pub id: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    pub group: String,
    /// None of these: all streams, or those that start with `stream_prefix`.
    pub streams: Vec<String>,
    pub stream_prefix: Option<String>,
    /// First timestamp.
    pub start_ms: Option<u64>,
    /// Timestamp behind the last.
    pub end_ms: Option<u64>,
    /// Begins behind this event, in the direction of reading.
    pub after: Option<Position>,
    pub limit: usize,
    /// Stops behind the event whose message makes it more, so that there is always one.
    pub bytes_max: usize,
    /// Newest first.
    pub descending: bool,
}

pub(super) fn group(connection: &Connection, name: &str) -> rusqlite::Result<Option<GroupInfo>> {
    let sql = "SELECT name, created_ms, retention_days, stored_bytes FROM groups WHERE name = ?1";
    connection.prepare_cached(sql)?.query_row([name], group_info).optional()
}

pub(super) fn groups(
    connection: &Connection,
    query: &GroupQuery,
) -> rusqlite::Result<Vec<GroupInfo>> {
    let start = format!("{}{}", query.scope, query.prefix);
    let sql = "SELECT name, created_ms, retention_days, stored_bytes FROM groups
               WHERE name >= ?1 AND (?2 IS NULL OR name > ?2) ORDER BY name";
    let mut statement = connection.prepare_cached(sql)?;
    let from = query.after.as_deref().unwrap_or_default().max(start.as_str());
    let mut rows = statement.query(params![from, query.after])?;
    let mut found = Vec::new();
    while found.len() < query.limit
        && let Some(row) = rows.next()?
    {
        let info = group_info(row)?;
        if !info.name.starts_with(&start) {
            break;
        }
        if info.name[query.scope.len()..].contains(&query.contains) {
            found.push(info);
        }
    }
    Ok(found)
}

fn group_info(row: &Row<'_>) -> rusqlite::Result<GroupInfo> {
    Ok(GroupInfo {
        name: row.get(0)?,
        created_ms: unsigned(row, 1)?,
        retention_days: row.get(2)?,
        stored_bytes: unsigned(row, 3)?,
    })
}

/// None: no such group.
pub(super) fn streams(
    connection: &Connection,
    query: &StreamQuery,
) -> rusqlite::Result<Option<Vec<StreamInfo>>> {
    let Some(group_id) = group_id(connection, &query.group)? else { return Ok(None) };
    let (compare, direction) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
    let mut sql =
        "SELECT name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes
                   FROM streams WHERE group_id = ? AND substr(name, 1, ?) = ?"
            .to_owned();
    let prefix_chars = to_column(query.prefix.chars().count() as u64);
    let mut values =
        vec![Value::from(group_id), Value::from(prefix_chars), Value::from(query.prefix.clone())];
    match (query.order, &query.after) {
        (_, None) => {}
        (StreamOrder::Name, Some(cursor)) => {
            sql += &format!(" AND name {compare} ?");
            values.push(Value::from(cursor.name.clone()));
        }
        (StreamOrder::LastEvent, Some(cursor)) => {
            sql += &format!(" AND (coalesce(last_event_ms, 0), name) {compare} (?, ?)");
            values.push(Value::from(to_column(cursor.last_event_ms)));
            values.push(Value::from(cursor.name.clone()));
        }
    }
    sql += &match query.order {
        StreamOrder::Name => format!(" ORDER BY name {direction} LIMIT ?"),
        StreamOrder::LastEvent => {
            format!(" ORDER BY coalesce(last_event_ms, 0) {direction}, name {direction} LIMIT ?")
        }
    };
    values.push(Value::from(to_column(query.limit as u64)));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), stream_info)?;
    rows.collect::<rusqlite::Result<Vec<_>>>().map(Some)
}

fn stream_info(row: &Row<'_>) -> rusqlite::Result<StreamInfo> {
    let optional =
        |column| row.get::<_, Option<i64>>(column).map(|number| number.map(i64::cast_unsigned));
    Ok(StreamInfo {
        name: row.get(0)?,
        created_ms: unsigned(row, 1)?,
        first_event_ms: optional(2)?,
        last_event_ms: optional(3)?,
        last_ingestion_ms: optional(4)?,
        stored_bytes: unsigned(row, 5)?,
    })
}

pub(super) fn range(
    connection: &Connection,
    query: &LogQuery,
) -> rusqlite::Result<Result<Vec<LogRecord>>> {
    let Some(group_id) = group_id(connection, &query.group)? else {
        return Ok(Err(StoreError::NoSuchGroup(query.group.clone())));
    };
    let chosen = match chosen_streams(connection, query, group_id)? {
        Ok(chosen) => chosen,
        Err(error) => return Ok(Err(error)),
    };
    let places = match chosen {
        None => places(connection, query, &[Of::Group(group_id)], |_| true)?,
        Some(streams) if streams.len() <= MERGED_STREAMS_MAX => {
            let each: Vec<Of> = streams.into_iter().map(Of::Stream).collect();
            places(connection, query, &each, |_| true)?
        }
        Some(streams) => {
            let chosen = |id| streams.binary_search(&id).is_ok();
            places(connection, query, &[Of::Group(group_id)], chosen)?
        }
    };
    let mut records = Vec::with_capacity(places.len());
    let mut bytes = 0;
    for id in places {
        let record = event(connection, id)?;
        bytes += record.message.len();
        records.push(record);
        if bytes > query.bytes_max {
            break;
        }
    }
    Ok(Ok(records))
}

/// Ids of the streams asked for, sorted; None for all of the group.
fn chosen_streams(
    connection: &Connection,
    query: &LogQuery,
    group_id: i64,
) -> rusqlite::Result<Result<Option<Vec<i64>>>> {
    let mut chosen = Vec::new();
    if !query.streams.is_empty() {
        let mut by_name = connection
            .prepare_cached("SELECT id FROM streams WHERE group_id = ?1 AND name = ?2")?;
        for stream in &query.streams {
            let Some(id) =
                by_name.query_row(params![group_id, stream], |row| row.get(0)).optional()?
            else {
                let (group, stream) = (query.group.clone(), stream.clone());
                return Ok(Err(StoreError::NoSuchStream { group, stream }));
            };
            chosen.push(id);
        }
    } else if let Some(prefix) = &query.stream_prefix {
        let sql = "SELECT id, name FROM streams WHERE group_id = ?1 AND name >= ?2 ORDER BY name";
        let mut from_prefix = connection.prepare_cached(sql)?;
        let mut rows = from_prefix.query(params![group_id, prefix])?;
        while let Some(row) = rows.next()? {
            if !row.get_ref(1)?.as_str()?.starts_with(prefix) {
                break;
            }
            chosen.push(row.get(0)?);
        }
    } else {
        return Ok(Ok(None));
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(Ok(Some(chosen)))
}

#[derive(Clone, Copy)]
enum Of {
    Group(i64),
    Stream(i64),
}

/// Ids of the events asked for, in order, merged from what each of `sources` holds.
fn places(
    connection: &Connection,
    query: &LogQuery,
    sources: &[Of],
    takes_stream: impl Fn(i64) -> bool,
) -> rusqlite::Result<Vec<i64>> {
    let mut statements = Vec::with_capacity(sources.len());
    for source in sources {
        statements.push(places_statement(connection, query, *source)?);
    }
    let mut cursors = Vec::with_capacity(sources.len());
    for (statement, values) in &mut statements {
        cursors.push(statement.query(params_from_iter(values.iter()))?);
    }
    // Descending, the next event has the greatest key: negated, it is the least one too.
    let key = |(timestamp_ms, id): (i64, i64)| match query.descending {
        false => (timestamp_ms, id),
        true => (-timestamp_ms, -id),
    };
    let mut heads = BinaryHeap::with_capacity(cursors.len());
    for (number, rows) in cursors.iter_mut().enumerate() {
        heads.extend(
            next_place(rows, &takes_stream)?.map(|place| Reverse((key(place), number, place.1))),
        );
    }
    let mut found = Vec::new();
    while found.len() < query.limit
        && let Some(Reverse((_, number, id))) = heads.pop()
    {
        found.push(id);
        let next = next_place(&mut cursors[number], &takes_stream)?;
        heads.extend(next.map(|place| Reverse((key(place), number, place.1))));
    }
    Ok(found)
}

/// The statement that walks one source, out of an index alone where it can be, and its values.
fn places_statement<'a>(
    connection: &'a Connection,
    query: &LogQuery,
    source: Of,
) -> rusqlite::Result<(CachedStatement<'a>, Vec<i64>)> {
    let (column, source_id, stream_column) = match source {
        Of::Group(id) => ("group_id", id, "(SELECT id FROM streams WHERE id = stream_id)"),
        Of::Stream(id) => ("stream_id", id, "stream_id"),
    };
    let (compare, direction) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
    let mut sql = format!(
        "SELECT timestamp_ms, id, {stream_column} FROM events
         WHERE {column} = ? AND timestamp_ms >= ? AND timestamp_ms < ?"
    );
    let mut start_ms = query.start_ms.unwrap_or(0);
    let mut end_ms = query.end_ms.unwrap_or(u64::MAX);
    // The position narrows the times too, for the index to begin there.
    match query.after {
        Some(after) if query.descending => {
            end_ms = end_ms.min(after.timestamp_ms.saturating_add(1))
        }
        Some(after) => start_ms = start_ms.max(after.timestamp_ms),
        None => {}
    }
    let mut values = vec![source_id, to_column(start_ms), to_column(end_ms)];
    if let Some(after) = query.after {
        sql += &format!(" AND (timestamp_ms, id) {compare} (?, ?)");
        values.extend([to_column(after.timestamp_ms), to_column(after.id)]);
    }
    sql += &format!(" ORDER BY timestamp_ms {direction}, id {direction}");
    Ok((connection.prepare_cached(&sql)?, values))
}

/// (timestamp, id) of a cursor's next event of a stream that is wanted and still there.
fn next_place(
    rows: &mut Rows<'_>,
    takes_stream: impl Fn(i64) -> bool,
) -> rusqlite::Result<Option<(i64, i64)>> {
    while let Some(row) = rows.next()? {
        // NULL: the stream was deleted, and its events wait to be swept.
        if row.get::<_, Option<i64>>(2)?.is_some_and(&takes_stream) {
            return Ok(Some((row.get(0)?, row.get(1)?)));
        }
    }
    Ok(None)
}

fn event(connection: &Connection, id: i64) -> rusqlite::Result<LogRecord> {
    let sql = "SELECT events.id, name, timestamp_ms, ingestion_ms, message
               FROM events JOIN streams ON streams.id = stream_id WHERE events.id = ?1";
    connection.prepare_cached(sql)?.query_row([id], |row| {
        Ok(LogRecord {
            id: unsigned(row, 0)?,
            stream: row.get(1)?,
            timestamp_ms: unsigned(row, 2)?,
            ingestion_ms: unsigned(row, 3)?,
            message: row.get(4)?,
        })
    })
}

fn group_id(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM groups WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
