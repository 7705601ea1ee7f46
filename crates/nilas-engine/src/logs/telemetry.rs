//! Log events framed as AWS's runtimes write them to `_LAMBDA_TELEMETRY_LOG_FD`.
//!
//! A frame is `u32 BE type (0xa55a00xx), u32 BE length, u64 BE microseconds`, then the message. The writer is the
//! function's own process, so a header that is none turns the rest of the stream into plain lines.

use nilas_model::limits;

const HEADER_BYTES: usize = 16;
const TYPE_PREFIX: [u8; 3] = [0xa5, 0x5a, 0x00];

/// Splits the stream into events, keeping at most one event of `LOG_EVENT_BYTES_MAX`.
#[derive(Debug, Default)]
pub(crate) struct TelemetryReader {
    state: State,
}

#[derive(Debug)]
enum State {
    Header(Vec<u8>),
    Message { remaining: usize, text: Vec<u8> },
    Raw(LineReader),
}

impl Default for State {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

/// Splits raw output into lines, cutting those over `LOG_EVENT_BYTES_MAX`.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    partial: Vec<u8>,
}

// === impl TelemetryReader ===

impl TelemetryReader {
    pub(crate) fn push(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(&[u8])) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Raw(lines) => {
                    lines.push(bytes, emit);
                    return;
                }
                State::Header(header) => {
                    bytes = take(bytes, HEADER_BYTES - header.len(), header);
                    if !TYPE_PREFIX.starts_with(&header[..header.len().min(TYPE_PREFIX.len())]) {
                        let mut lines = LineReader::default();
                        lines.push(header, emit);
                        self.state = State::Raw(lines);
                    } else if let Some(remaining) = message_bytes(header) {
                        if remaining == 0 {
                            emit(b"");
                        }
                        self.state = next_state(remaining);
                    }
                }
                State::Message { remaining, text } => {
                    let room = (*remaining).min(limits::LOG_EVENT_BYTES_MAX - text.len());
                    let before = bytes.len();
                    bytes = take(bytes, room, text);
                    *remaining -= before - bytes.len();
                    if *remaining == 0 || text.len() == limits::LOG_EVENT_BYTES_MAX {
                        emit(text);
                        self.state = next_state(*remaining);
                    }
                }
            }
        }
    }

    /// Emits an unfinished raw line; a frame in flight stays.
    pub(crate) fn flush(&mut self, emit: &mut dyn FnMut(&[u8])) {
        if let State::Raw(lines) = &mut self.state {
            lines.flush(emit);
        }
    }
}

fn next_state(remaining: usize) -> State {
    if remaining == 0 { State::default() } else { State::Message { remaining, text: Vec::new() } }
}

/// Length of the message, once the header is whole.
fn message_bytes(header: &[u8]) -> Option<usize> {
    let header: &[u8; HEADER_BYTES] = header.try_into().ok()?;
    let [_, _, _, _, a, b, c, d, ..] = *header;
    Some(usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX))
}

/// Moves at most `count` bytes to `into`; answers with the rest.
fn take<'a>(bytes: &'a [u8], count: usize, into: &mut Vec<u8>) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count.min(bytes.len()));
    into.extend_from_slice(taken);
    rest
}

// === impl LineReader ===

impl LineReader {
    pub(crate) fn push(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = limits::LOG_EVENT_BYTES_MAX - self.partial.len();
            let window = &bytes[..room.min(bytes.len())];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(at) if self.partial.is_empty() => {
                    emit(&bytes[..at]);
                    bytes = &bytes[at + 1..];
                }
                Some(at) => {
                    self.partial.extend_from_slice(&bytes[..at]);
                    bytes = &bytes[at + 1..];
                    emit(&std::mem::take(&mut self.partial));
                }
                None => {
                    bytes = take(bytes, room, &mut self.partial);
                    if self.partial.len() == limits::LOG_EVENT_BYTES_MAX {
                        emit(&std::mem::take(&mut self.partial));
                    }
                }
            }
        }
    }

    pub(crate) fn flush(&mut self, emit: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            emit(&std::mem::take(&mut self.partial));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&0xa55a_0003_u32.to_be_bytes()[..], &length.to_be_bytes(), &7u64.to_be_bytes(), message]
            .concat()
    }

    fn read(bytes: &[u8], step: usize) -> Vec<String> {
        let mut reader = TelemetryReader::default();
        let mut events = Vec::new();
        let mut emit = |event: &[u8]| events.push(String::from_utf8_lossy(event).into_owned());
        for piece in bytes.chunks(step) {
            reader.push(piece, &mut emit);
        }
        reader.flush(&mut emit);
        events
    }

    #[test]
    fn one_frame_is_one_event() {
        let bytes = [frame(b"one\ntwo"), frame(b""), frame(b"three")].concat();
        for step in [1, 5, 100] {
            assert_eq!(read(&bytes, step), ["one\ntwo", "", "three"]);
        }
    }

    #[test]
    fn a_bad_header_makes_the_rest_plain_lines() {
        let bytes = [frame(b"one"), b"plain\nlines of text".to_vec()].concat();
        for step in [1, 5, 100] {
            assert_eq!(read(&bytes, step), ["one", "plain", "lines of text"]);
        }
    }

    #[test]
    fn a_huge_length_is_cut_and_holds_one_event_at_most() {
        let max = limits::LOG_EVENT_BYTES_MAX;
        let events = read(&frame(&vec![b'x'; max + 10]), 4_096);
        assert_eq!(events.iter().map(String::len).collect::<Vec<_>>(), [max, 10]);
        let mut header = frame(b"");
        header[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(read(&[header, b"abc".to_vec()].concat(), 3), Vec::<String>::new());
    }

    #[test]
    fn long_lines_are_cut() {
        let max = limits::LOG_EVENT_BYTES_MAX;
        let mut reader = LineReader::default();
        let mut lengths = Vec::new();
        let mut emit = |event: &[u8]| lengths.push(event.len());
        reader.push(&vec![b'x'; max + 3], &mut emit);
        reader.push(b"y\nz\n", &mut emit);
        assert_eq!(lengths, [max, 4, 1]);
    }
}
