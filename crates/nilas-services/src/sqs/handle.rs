//! Receipt handles: which lease of which message.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use nilas_store::{LeaseId, MessageId};

/// What a receipt handle says. Nobody can do more with an invented one than with one of his own queue's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) id: MessageId,
    pub(super) lease: LeaseId,
    /// How often the message had been received.
    pub(super) receives: u32,
    /// When it was received: a message is invisible for twelve hours from then on, at most.
    pub(super) received_ms: u64,
}

impl Handle {
    pub(super) fn encode(self) -> String {
        let (id, lease) = (self.id.0, self.lease.0);
        BASE64.encode(format!("{id} {lease} {} {}", self.receives, self.received_ms))
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        let mut numbers = std::str::from_utf8(&bytes).ok()?.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let handle = Self {
            id: MessageId(next()?),
            lease: LeaseId(next()?),
            receives: u32::try_from(next()?).ok()?,
            received_ms: next()?,
        };
        next().is_none().then_some(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_comes_back_and_others_are_none() {
        let handle = Handle {
            id: MessageId(7),
            lease: LeaseId(9),
            receives: 2,
            received_ms: 1_700_000_000_000,
        };
        assert_eq!(Handle::decode(&handle.encode()), Some(handle));
        for text in ["", "x", "!!", &BASE64.encode("1 2 3"), &BASE64.encode("1 2 3 4 5")] {
            assert_eq!(Handle::decode(text), None, "{text}");
        }
    }
}
