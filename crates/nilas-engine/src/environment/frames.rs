//! The framed protocol of our own bootstraps: `u32 LE length, u8 kind, payload`, both ways.
//!
//! Invariant: pure. What arrives is hostile: lengths are checked before anything is kept for them.

use bytes::{Buf, Bytes, BytesMut};
use nilas_model::limits;
use serde::Serialize;

const LENGTH_BYTES: usize = 4;
const PREFIX_BYTES: usize = LENGTH_BYTES + 1;
const REQUEST_ID_BYTES: usize = 36;

const KIND_INVOKE: u8 = 1;
const KIND_READY: u8 = 1;
const KIND_RESPONSE: u8 = 2;
const KIND_ERROR: u8 = 3;
const KIND_INIT_ERROR: u8 = 4;
const KIND_TEMPLATE: u8 = 5;
const KIND_STREAM: u8 = 6;
const KIND_CHUNK: u8 = 7;
/// Of the content type of a streamed response, bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 1_024;
/// Why a process cannot be a template, bytes.
const OBSTACLE_BYTES_MAX: usize = 1_024;

/// What stands where a request id should.
pub(crate) type FrameId = [u8; REQUEST_ID_BYTES];

/// What a runtime says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Ready,
    Response {
        request_id: FrameId,
        payload: Bytes,
    },
    Error {
        request_id: FrameId,
        payload: Bytes,
    },
    /// The response comes in chunks, until a response, which is the last of it, or an error.
    Stream {
        request_id: FrameId,
        content_type: Bytes,
    },
    Chunk {
        request_id: FrameId,
        payload: Bytes,
    },
    /// A response or error over the limit, thrown away as it came in.
    TooLarge {
        request_id: FrameId,
    },
    InitError {
        payload: Bytes,
    },
    /// Init is over, and the process waits to be forked; or cannot be, for the reason given.
    Template {
        obstacle: Bytes,
    },
}

/// A frame no bootstrap of ours sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("frame of unknown kind {0}")]
    Kind(u8),
    #[error("frame of kind {kind} cannot be {length} bytes long")]
    Length { kind: u8, length: u32 },
}

/// Header of an INVOKE frame.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvokeHeader<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) deadline_ms: u64,
    pub(crate) invoked_function_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_context: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cognito_identity: Option<&'a str>,
}

/// Takes frames off a byte stream, as they complete.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Bytes of a frame that is too large, still to be thrown away, and what to say when they are.
    drain: Option<(usize, Frame)>,
}

/// The prefix of an INVOKE frame: everything before the event.
pub(crate) fn encode_invoke(header: &InvokeHeader<'_>, event_bytes: usize) -> Vec<u8> {
    let json = serde_json::to_vec(header).expect("a struct of strings and numbers serialises");
    let length = 1 + LENGTH_BYTES + json.len() + event_bytes;
    let mut frame = Vec::with_capacity(LENGTH_BYTES + length);
    frame.extend_from_slice(&bounded_u32(length).to_le_bytes());
    frame.push(KIND_INVOKE);
    frame.extend_from_slice(&bounded_u32(json.len()).to_le_bytes());
    frame.extend_from_slice(&json);
    frame
}

// === impl FrameReader ===

impl FrameReader {
    /// Where the next bytes go. Grows with what has arrived, never with what a length promises.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        const READ_BYTES_MIN: usize = 8 * 1024;
        self.buffer.reserve(READ_BYTES_MIN);
        &mut self.buffer
    }

    /// The next whole frame of what has arrived.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some((remaining, _)) = &mut self.drain {
            let eaten = self.buffer.len().min(*remaining);
            self.buffer.advance(eaten);
            *remaining -= eaten;
            if *remaining > 0 {
                return Ok(None);
            }
            return Ok(self.drain.take().map(|(_, frame)| frame));
        }
        let Some((prefix, _)) = self.buffer.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *prefix;
        let length = u32::from_le_bytes([a, b, c, d]);
        let payload_bytes = payload_bytes(kind, length)?;
        let head_bytes = if is_answer(kind) { REQUEST_ID_BYTES } else { 0 };
        if payload_bytes > head_bytes + limits::SYNC_RESPONSE_BYTES_MAX {
            return Ok(self.start_draining(payload_bytes));
        }
        if self.buffer.len() < PREFIX_BYTES + payload_bytes {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        let request_id = self.take_id(head_bytes);
        let payload = self.take_payload(payload_bytes - head_bytes);
        Ok(Some(match kind {
            KIND_READY => Frame::Ready,
            KIND_RESPONSE => Frame::Response { request_id, payload },
            KIND_ERROR => Frame::Error { request_id, payload },
            KIND_STREAM => Frame::Stream { request_id, content_type: payload },
            KIND_CHUNK => Frame::Chunk { request_id, payload },
            KIND_TEMPLATE => Frame::Template { obstacle: payload },
            _ => Frame::InitError { payload },
        }))
    }

    /// Whether bytes of an unfinished frame are held.
    pub(crate) fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty() || self.drain.is_some()
    }

    /// Of so many bytes, which are there: all or none.
    fn take_id(&mut self, bytes: usize) -> FrameId {
        let mut id = [0; REQUEST_ID_BYTES];
        self.buffer.copy_to_slice(&mut id[..bytes]);
        id
    }

    /// A small one is copied, so that the buffer stays what it is for the next frame.
    fn take_payload(&mut self, bytes: usize) -> Bytes {
        const COPY_BYTES_MAX: usize = 4 * 1_024;
        if bytes > COPY_BYTES_MAX {
            return self.buffer.split_to(bytes).freeze();
        }
        let payload = Bytes::copy_from_slice(&self.buffer[..bytes]);
        self.buffer.advance(bytes);
        payload
    }

    fn start_draining(&mut self, payload_bytes: usize) -> Option<Frame> {
        if self.buffer.len() < PREFIX_BYTES + REQUEST_ID_BYTES {
            return None;
        }
        self.buffer.advance(PREFIX_BYTES);
        let request_id = self.take_id(REQUEST_ID_BYTES);
        self.drain = Some((payload_bytes - REQUEST_ID_BYTES, Frame::TooLarge { request_id }));
        None
    }
}

fn is_answer(kind: u8) -> bool {
    matches!(kind, KIND_RESPONSE | KIND_ERROR | KIND_STREAM | KIND_CHUNK)
}

/// Whether so long a payload is a request id and at most `bytes_max` more.
fn is_part(payload: usize, bytes_max: usize) -> bool {
    (REQUEST_ID_BYTES..=REQUEST_ID_BYTES + bytes_max).contains(&payload)
}

/// Length of the payload, after checking that a frame of this kind may be this long.
fn payload_bytes(kind: u8, length: u32) -> Result<usize, FrameError> {
    let wrong = FrameError::Length { kind, length };
    let payload =
        usize::try_from(length).ok().and_then(|length| length.checked_sub(1)).ok_or(wrong)?;
    let fits = match kind {
        KIND_READY => payload == 0,
        KIND_RESPONSE | KIND_ERROR => payload >= REQUEST_ID_BYTES,
        KIND_STREAM => is_part(payload, CONTENT_TYPE_BYTES_MAX),
        KIND_CHUNK => is_part(payload, limits::STREAM_PIECE_BYTES_MAX),
        KIND_INIT_ERROR => payload <= limits::RUNTIME_API_ERROR_BYTES_MAX,
        KIND_TEMPLATE => payload <= OBSTACLE_BYTES_MAX,
        other => return Err(FrameError::Kind(other)),
    };
    if fits { Ok(payload) } else { Err(wrong) }
}

/// Event and header are bounded by the edge to a few megabytes.
fn bounded_u32(length: usize) -> u32 {
    u32::try_from(length).expect("an invocation is bounded to megabytes by the edge")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len() + 1).unwrap().to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn answer(kind: u8, body: &[u8]) -> Vec<u8> {
        frame(kind, &[ID.as_bytes(), body].concat())
    }

    /// Feeds `bytes` in pieces of `step` and collects the frames.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(step) {
            reader.buffer().extend_from_slice(piece);
            while let Some(frame) = reader.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn reads_frames_however_they_are_cut() {
        let bytes = [
            frame(1, b""),
            answer(2, b"{\"a\":1}"),
            answer(3, b"{}"),
            frame(4, b"{}"),
            answer(6, b"text/html"),
            answer(7, b"ab"),
        ]
        .concat();
        let request_id: FrameId = ID.as_bytes().try_into().unwrap();
        for step in [1, 3, 7, 1_000] {
            assert_eq!(
                read(&bytes, step).unwrap(),
                [
                    Frame::Ready,
                    Frame::Response { request_id, payload: Bytes::from_static(b"{\"a\":1}") },
                    Frame::Error { request_id, payload: Bytes::from_static(b"{}") },
                    Frame::InitError { payload: Bytes::from_static(b"{}") },
                    Frame::Stream { request_id, content_type: Bytes::from_static(b"text/html") },
                    Frame::Chunk { request_id, payload: Bytes::from_static(b"ab") },
                ]
            );
        }
    }

    #[test]
    fn drains_what_is_too_large_without_keeping_it() {
        let body = vec![b'x'; limits::SYNC_RESPONSE_BYTES_MAX + 1];
        let bytes = [answer(2, &body), answer(2, b"1")].concat();
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(60_000) {
            reader.buffer().extend_from_slice(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame);
            }
            assert!(reader.buffer.len() <= 60_000);
        }
        let request_id: FrameId = ID.as_bytes().try_into().unwrap();
        assert_eq!(frames[0], Frame::TooLarge { request_id });
        assert_eq!(frames[1], Frame::Response { request_id, payload: Bytes::from_static(b"1") });
    }

    #[test]
    fn the_largest_response_passes() {
        let body = vec![b'x'; limits::SYNC_RESPONSE_BYTES_MAX];
        let frames = read(&answer(2, &body), 1 << 20).unwrap();
        assert!(
            matches!(&frames[..], [Frame::Response { payload, .. }] if payload.len() == body.len())
        );
    }

    #[test]
    fn refuses_garbage() {
        let check = |bytes: &[u8], expected: FrameError| assert_eq!(read(bytes, 5), Err(expected));
        check(b"HTTP/1.1 200 OK\r\n", FrameError::Kind(b'/'));
        check(&[0, 0, 0, 0, 1], FrameError::Length { kind: 1, length: 0 });
        check(&frame(1, b"x"), FrameError::Length { kind: 1, length: 2 });
        check(&frame(2, b"short"), FrameError::Length { kind: 2, length: 6 });
        check(&frame(9, b""), FrameError::Kind(9));
        check(&frame(7, b"short"), FrameError::Length { kind: 7, length: 6 });
        let long = vec![b'x'; limits::STREAM_PIECE_BYTES_MAX + 1];
        let length = u32::try_from(1 + REQUEST_ID_BYTES + long.len()).unwrap();
        check(&answer(7, &long), FrameError::Length { kind: 7, length });
        check(&[255, 255, 255, 255, 4], FrameError::Length { kind: 4, length: u32::MAX });
    }

    #[test]
    fn writes_the_invoke_prefix() {
        let header = InvokeHeader {
            request_id: ID,
            deadline_ms: 7,
            invoked_function_arn: "arn",
            trace_id: None,
            client_context: Some("{}"),
            cognito_identity: None,
        };
        let json = format!(
            r#"{{"requestId":"{ID}","deadlineMs":7,"invokedFunctionArn":"arn","clientContext":"{{}}"}}"#
        );
        let mut expected = u32::try_from(1 + 4 + json.len() + 2).unwrap().to_le_bytes().to_vec();
        expected.push(1);
        expected.extend_from_slice(&u32::try_from(json.len()).unwrap().to_le_bytes());
        expected.extend_from_slice(json.as_bytes());
        assert_eq!(encode_invoke(&header, 2), expected);
    }
}
