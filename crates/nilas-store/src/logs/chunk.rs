//! Several events of one stream in one row: a row costs the database the same for one event as for fifty.
//!
//! A row's time is that of its first event, and none of its others is later by [`SPAN_MS`] or more: whoever reads from
//! some time on begins that much earlier.

/// Invariant: this and the encoding are the store's format.
pub(super) const SPAN_MS: i64 = 100;
/// Text of one row, unless its one event is longer.
const TEXT_BYTES_MAX: usize = 32 * 1_024;

/// An event on its way into a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) timestamp_ms: i64,
    pub(super) message: &'a str,
}

/// Events as their row has them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first_ms: i64,
    /// Milliseconds after `first_ms` and length of each, as varints; none if there is only one.
    pub(super) parts: Option<Vec<u8>>,
    pub(super) text: String,
    pub(super) events: usize,
}

/// Where an event is in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) timestamp_ms: i64,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Puts events into rows, in the order of their times and else of their arrival.
pub(super) fn pack(mut events: Vec<Event<'_>>) -> Vec<Chunk> {
    events.sort_by_key(|event| event.timestamp_ms);
    let mut chunks = Vec::new();
    let mut rest = events.as_slice();
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|event| {
            bytes += event.message.len();
            let after_ms = event.timestamp_ms.saturating_sub(first.timestamp_ms);
            after_ms < SPAN_MS && bytes <= TEXT_BYTES_MAX
        });
        let (chunk, left) = rest.split_at(fits.count().max(1));
        chunks.push(Chunk::of(chunk));
        rest = left;
    }
    chunks
}

impl Chunk {
    fn of(events: &[Event<'_>]) -> Self {
        let first_ms = events.first().map_or(0, |event| event.timestamp_ms);
        let mut text = String::with_capacity(events.iter().map(|event| event.message.len()).sum());
        let mut parts = Vec::new();
        for event in events {
            text.push_str(event.message);
            push_varint(&mut parts, (event.timestamp_ms - first_ms).cast_unsigned());
            push_varint(&mut parts, event.message.len() as u64);
        }
        let parts = (events.len() > 1).then_some(parts);
        Self { first_ms, parts, text, events: events.len() }
    }
}

/// Where the events of a row are. None: the row is no row of ours.
pub(super) fn parts(first_ms: i64, parts: Option<&[u8]>, text: &str) -> Option<Vec<Part>> {
    let Some(mut left) = parts else {
        return Some(vec![Part { timestamp_ms: first_ms, start: 0, end: text.len() }]);
    };
    let mut found = Vec::new();
    let mut start = 0_usize;
    while !left.is_empty() {
        let after_ms = i64::try_from(take_varint(&mut left)?).ok()?;
        let length = usize::try_from(take_varint(&mut left)?).ok()?;
        let end = start.checked_add(length)?;
        text.get(start..end)?;
        found.push(Part { timestamp_ms: first_ms.checked_add(after_ms)?, start, end });
        start = end;
    }
    Some(found)
}

/// LEB128.
fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(timestamp_ms: i64, message: &str) -> Event<'_> {
        Event { timestamp_ms, message }
    }

    fn unpacked(chunk: &Chunk) -> Vec<(i64, &str)> {
        let found = parts(chunk.first_ms, chunk.parts.as_deref(), &chunk.text).unwrap();
        assert_eq!(found.len(), chunk.events);
        found.iter().map(|part| (part.timestamp_ms, &chunk.text[part.start..part.end])).collect()
    }

    #[test]
    fn what_is_packed_comes_out_in_order() {
        let long = "é".repeat(200);
        let chunks = pack(vec![event(7, "b"), event(5, "a"), event(7, ""), event(7, &long)]);
        assert_eq!(chunks.len(), 1);
        assert_eq!(unpacked(&chunks[0]), [(5, "a"), (7, "b"), (7, ""), (7, long.as_str())]);
    }

    #[test]
    fn rows_are_bounded_in_time_and_text() {
        let times =
            |chunks: &[Chunk]| chunks.iter().map(unpacked).map(|e| e.len()).collect::<Vec<_>>();
        assert_eq!(
            times(&pack(vec![event(0, "a"), event(SPAN_MS - 1, "b"), event(SPAN_MS, "c")])),
            [2, 1]
        );
        let (half, huge) = ("x".repeat(TEXT_BYTES_MAX / 2), "x".repeat(TEXT_BYTES_MAX + 1));
        let events =
            vec![event(0, &half), event(0, &half), event(0, "c"), event(0, &huge), event(0, "d")];
        assert_eq!(times(&pack(events)), [2, 1, 1, 1]);
        assert!(pack(Vec::new()).is_empty());
    }

    #[test]
    fn what_is_no_row_of_ours_is_told() {
        for broken in [&[0x80][..], &[0], &[0, 4], &[0, 1], &[0xff; 11]] {
            assert_eq!(parts(0, Some(broken), "é"), None, "{broken:?}");
        }
    }
}
