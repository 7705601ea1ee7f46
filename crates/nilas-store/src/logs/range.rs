//! Events of one or many streams in the order of (timestamp, id), out of the rows they are in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, Rows, params_from_iter};

use super::LogRecord;
use super::catalog::to_column;
use super::chunk::{self, Part, SPAN_MS};
use super::query::{LogQuery, Position, unsigned};

#[derive(Clone, Copy)]
pub(super) enum Of {
    Group(i64),
    Stream(i64),
}

/// Timestamp and id, negated to read backwards: the next event has the least.
type Key = (i64, i64);

/// Which events are asked for, in the database's numbers.
struct Bounds {
    start_ms: i64,
    end_ms: i64,
    after: Option<Key>,
    descending: bool,
}

/// A row whose events wait for their turn.
struct Opened {
    id: i64,
    stream: String,
    ingestion_ms: u64,
    text: String,
    parts: Vec<Part>,
}

/// The events asked for, merged from what each of `sources` holds.
pub(super) fn events(
    connection: &Connection,
    query: &LogQuery,
    sources: &[Of],
    takes_stream: impl Fn(i64) -> bool,
) -> rusqlite::Result<Vec<LogRecord>> {
    let bounds = Bounds::of(query);
    let mut statements = Vec::with_capacity(sources.len());
    for source in sources {
        statements.push(rows_statement(connection, &bounds, *source)?);
    }
    let mut cursors = Vec::with_capacity(sources.len());
    for (statement, values) in &mut statements {
        cursors.push(statement.query(params_from_iter(values.iter()))?);
    }
    let mut closed = BinaryHeap::with_capacity(cursors.len());
    for (number, rows) in cursors.iter_mut().enumerate() {
        closed.extend(
            next_row(rows, &bounds, &takes_stream)?.map(|row| Reverse((row.0, row.1, number))),
        );
    }
    let mut opened: Vec<Opened> = Vec::new();
    // Keys with their rows' numbers in `opened` and their own in these.
    let mut waiting: BinaryHeap<Reverse<(Key, usize, usize)>> = BinaryHeap::new();
    let (mut found, mut bytes) = (Vec::new(), 0);
    while found.len() < query.limit && bytes <= query.bytes_max {
        // A row that may have an event before the first of those that wait.
        while let Some(Reverse((bound_ms, id, number))) = closed.peek().copied()
            && waiting.peek().is_none_or(|Reverse(((next_ms, _), ..))| bound_ms <= *next_ms)
        {
            closed.pop();
            let next = next_row(&mut cursors[number], &bounds, &takes_stream)?;
            closed.extend(next.map(|row| Reverse((row.0, row.1, number))));
            let row = Opened::read(connection, id)?;
            waiting.extend(row.keys(&bounds).map(|(key, part)| Reverse((key, opened.len(), part))));
            opened.push(row);
        }
        let Some(Reverse((_, row, part))) = waiting.pop() else { break };
        let record = opened[row].record(part);
        bytes += record.message.len();
        found.push(record);
    }
    Ok(found)
}

/// The statement that walks the rows of one source, and its values.
fn rows_statement<'a>(
    connection: &'a Connection,
    bounds: &Bounds,
    source: Of,
) -> rusqlite::Result<(CachedStatement<'a>, [i64; 3])> {
    let (column, source_id, stream_column) = match source {
        Of::Group(id) => ("group_id", id, "(SELECT id FROM streams WHERE id = stream_id)"),
        Of::Stream(id) => ("stream_id", id, "stream_id"),
    };
    let direction = if bounds.descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT timestamp_ms, id, {stream_column} FROM events
         WHERE {column} = ? AND timestamp_ms > ? AND timestamp_ms < ?
         ORDER BY timestamp_ms {direction}, id {direction}"
    );
    let values = [source_id, bounds.start_ms.saturating_sub(SPAN_MS), bounds.end_ms];
    Ok((connection.prepare_cached(&sql)?, values))
}

/// The least time in a key that an event of the cursor's next row can have, and the row's id; of a stream that is
/// wanted and still there.
fn next_row(
    rows: &mut Rows<'_>,
    bounds: &Bounds,
    takes_stream: impl Fn(i64) -> bool,
) -> rusqlite::Result<Option<(i64, i64)>> {
    while let Some(row) = rows.next()? {
        // NULL: the stream was deleted, and its events wait to be swept.
        if row.get::<_, Option<i64>>(2)?.is_some_and(&takes_stream) {
            return Ok(Some((bounds.least_ms(row.get(0)?), row.get(1)?)));
        }
    }
    Ok(None)
}

// === impl Bounds ===

impl Bounds {
    fn of(query: &LogQuery) -> Self {
        let mut start_ms = query.start_ms.unwrap_or(0);
        let mut end_ms = query.end_ms.unwrap_or(u64::MAX);
        // The position narrows the times too, for the index to begin there.
        match query.after {
            Some(after) if query.descending => {
                end_ms = end_ms.min(after.timestamp_ms.saturating_add(1));
            }
            Some(after) => start_ms = start_ms.max(after.timestamp_ms),
            None => {}
        }
        let after = |Position { timestamp_ms, id }| (to_column(timestamp_ms), to_column(id));
        Self {
            start_ms: to_column(start_ms),
            end_ms: to_column(end_ms),
            after: query.after.map(after),
            descending: query.descending,
        }
    }

    fn key(&self, timestamp_ms: i64, id: i64) -> Key {
        if self.descending { (-timestamp_ms, -id) } else { (timestamp_ms, id) }
    }

    fn least_ms(&self, first_ms: i64) -> i64 {
        if self.descending { -first_ms.saturating_add(SPAN_MS - 1) } else { first_ms }
    }

    fn takes(&self, timestamp_ms: i64, id: i64) -> bool {
        let behind =
            |(after_ms, after_id)| self.key(timestamp_ms, id) > self.key(after_ms, after_id);
        (self.start_ms..self.end_ms).contains(&timestamp_ms) && self.after.is_none_or(behind)
    }
}

// === impl Opened ===

impl Opened {
    fn read(connection: &Connection, id: i64) -> rusqlite::Result<Self> {
        let sql = "SELECT name, timestamp_ms, ingestion_ms, message, parts
                   FROM events JOIN streams ON streams.id = stream_id WHERE events.id = ?1";
        connection.prepare_cached(sql)?.query_row([id], |row| {
            let text: String = row.get(3)?;
            let parts = chunk::parts(row.get(1)?, row.get_ref(4)?.as_blob_or_null()?, &text);
            let parts = parts.ok_or_else(|| {
                let error = format!("row {id} of log events does not fit its text");
                rusqlite::Error::FromSqlConversionFailure(4, Type::Blob, error.into())
            })?;
            Ok(Self { id, stream: row.get(0)?, ingestion_ms: unsigned(row, 2)?, text, parts })
        })
    }

    /// The events that are asked for, by their number in the row.
    fn keys(&self, bounds: &Bounds) -> impl Iterator<Item = (Key, usize)> {
        let keyed = self.parts.iter().zip(self.id..).enumerate();
        keyed
            .filter(|(_, (part, id))| bounds.takes(part.timestamp_ms, *id))
            .map(|(number, (part, id))| (bounds.key(part.timestamp_ms, id), number))
    }

    fn record(&self, number: usize) -> LogRecord {
        let Part { timestamp_ms, start, end } = self.parts[number];
        LogRecord {
            id: self.id.cast_unsigned() + number as u64,
            stream: self.stream.clone(),
            timestamp_ms: timestamp_ms.cast_unsigned(),
            ingestion_ms: self.ingestion_ms,
            message: self.text[start..end].to_owned(),
        }
    }
}
