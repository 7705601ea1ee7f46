//! Messages of an event stream, `application/vnd.amazon.eventstream`: what answers that go on are made of.
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};

/// The content type of a stream of these messages.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Lengths of the message and of its headers, and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
const TYPE_STRING: u8 = 7;

/// One event, as the operation's model names it, with the content type of its payload. Payloads are at most a few
/// megabytes long.
pub fn encode_event(event_type: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let headers =
        [(":event-type", event_type), (":content-type", content_type), (":message-type", "event")];
    let header_bytes: usize =
        headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let total = PRELUDE_BYTES + header_bytes + payload.len() + CHECKSUM_BYTES;
    let mut message = BytesMut::with_capacity(total);
    message.put_u32(u32::try_from(total).expect("payloads are bounded to megabytes"));
    message.put_u32(u32::try_from(header_bytes).expect("header values are short"));
    put_checksum(&mut message);
    for (name, value) in headers {
        message.put_u8(u8::try_from(name.len()).expect("the names above are short"));
        message.put_slice(name.as_bytes());
        message.put_u8(TYPE_STRING);
        message.put_u16(u16::try_from(value.len()).expect("header values are short"));
        message.put_slice(value.as_bytes());
    }
    message.put_slice(payload);
    put_checksum(&mut message);
    message.freeze()
}

/// CRC-32 of all that is there.
fn put_checksum(message: &mut BytesMut) {
    let crc = checksum(CrcAlgorithm::Crc32IsoHdlc, message);
    message.put_u32(u32::try_from(crc).expect("a CRC-32 has 32 bits"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_an_event() {
        let message = encode_event("PayloadChunk", "application/octet-stream", b"ab");
        let length = u32::from_be_bytes(message[..4].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), message.len());
        let header_bytes = u32::from_be_bytes(message[4..8].try_into().unwrap());
        let headers = [
            &b"\x0b:event-type\x07\x00\x0cPayloadChunk"[..],
            b"\x0d:content-type\x07\x00\x18application/octet-stream",
            b"\x0d:message-type\x07\x00\x05event",
        ]
        .concat();
        assert_eq!(usize::try_from(header_bytes).unwrap(), headers.len());
        assert_eq!(&message[12..12 + headers.len()], headers);
        assert_eq!(&message[12 + headers.len()..message.len() - 4], b"ab");
    }

    /// `echo -n 123456789 | cksum -o 3`, the check value of CRC-32.
    #[test]
    fn checksums_are_those_of_zip() {
        let mut message = BytesMut::from(&b"123456789"[..]);
        put_checksum(&mut message);
        assert_eq!(message[9..], 0xcbf4_3926_u32.to_be_bytes());
    }
}
