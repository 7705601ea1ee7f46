//! Reading: groups, streams, and which streams the events of are asked for.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::catalog::to_column;
use super::range::{Of, events};
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
    let (sources, chosen) = match chosen {
        None => (vec![Of::Group(group_id)], None),
        Some(streams) if streams.len() <= MERGED_STREAMS_MAX => {
            (streams.into_iter().map(Of::Stream).collect(), None)
        }
        Some(streams) => (vec![Of::Group(group_id)], Some(streams)),
    };
    let takes_stream = |id| chosen.as_ref().is_none_or(|chosen| chosen.binary_search(&id).is_ok());
    events(connection, query, &sources, takes_stream).map(Ok)
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

fn group_id(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM groups WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
