//! Tokens and ids that callers hand back without looking into them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nilas_store::Position;
use nilas_wire::Fault;

use super::fault;

/// A place between events, and the direction to read on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventToken {
    /// Forward reads what is behind it, backward what is before it; never the event itself.
    pub(super) from: Position,
    pub(super) backward: bool,
}

impl EventToken {
    pub(super) fn forward(from: Position) -> Self {
        Self { from, backward: false }
    }

    pub(super) fn backward(from: Position) -> Self {
        Self { from, backward: true }
    }

    /// `f/NUMBER/s`, in AWS's form.
    pub(super) fn encode(self) -> String {
        let direction = if self.backward { 'b' } else { 'f' };
        format!("{direction}/{}/s", event_id(self.from))
    }

    pub(super) fn decode(text: &str) -> Result<Self, Fault> {
        let mut parts = text.split('/');
        let backward = match parts.next() {
            Some("f") => false,
            Some("b") => true,
            _ => return Err(fault::invalid_token()),
        };
        let number: Option<u128> = parts.next().and_then(|digits| digits.parse().ok());
        match (number, parts.next(), parts.next()) {
            (Some(number), Some("s"), None) => Ok(Self { from: position(number)?, backward }),
            _ => Err(fault::invalid_token()),
        }
    }
}

/// An event's id as callers see it: 56 digits that sort as the events do.
pub(super) fn event_id(position: Position) -> String {
    let number = u128::from(position.timestamp_ms) << 64 | u128::from(position.id);
    format!("{number:056}")
}

fn position(number: u128) -> Result<Position, Fault> {
    let half = |bits: u128| u64::try_from(bits).map_err(|_| fault::invalid_token());
    Ok(Position { timestamp_ms: half(number >> 64)?, id: half(number & u128::from(u64::MAX))? })
}

/// AWS ignores sequence tokens since 2023, but older clients want to see one.
pub(super) fn sequence(ingestion_ms: u64) -> String {
    format!("{ingestion_ms:056}")
}

pub(super) fn encode_text(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub(super) fn decode_text(token: &str) -> Result<String, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| fault::invalid_token())?;
    String::from_utf8(bytes).map_err(|_| fault::invalid_token())
}
