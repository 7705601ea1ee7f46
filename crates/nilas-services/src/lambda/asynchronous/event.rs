//! An event as it waits: what is known of it besides its payload.

use bytes::Bytes;
use nilas_model::{Qualifier, RequestId};
use nilas_store::NewMessage;
use serde::{Deserialize, Serialize};

/// Everything of an invocation but its payload, and how often it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::lambda) struct Event {
    /// The same in all attempts.
    pub(in crate::lambda) request_id: String,
    /// As it was asked for; an alias may mean another version at the next attempt.
    pub(in crate::lambda) qualifier: Option<String>,
    pub(in crate::lambda) trace_id: String,
    /// Attempts that ended in an error of the function's.
    #[serde(default)]
    pub(in crate::lambda) errors: u32,
    /// Attempts in a row that the function did not see: throttled, or failed by the platform.
    #[serde(default)]
    pub(in crate::lambda) setbacks: u32,
}

/// Waits after the first and the second error of a function.
const RETRY_MS: [u64; 2] = [60_000, 120_000];

impl Event {
    pub(in crate::lambda) fn new(
        request_id: RequestId,
        qualifier: Option<&Qualifier>,
        trace_id: String,
    ) -> Self {
        Self {
            request_id: request_id.to_string(),
            qualifier: qualifier.map(ToString::to_string),
            trace_id,
            errors: 0,
            setbacks: 0,
        }
    }

    /// None for a note that is none.
    pub(super) fn of_note(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }

    pub(super) fn note(&self) -> Bytes {
        // A struct of strings and numbers.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn message(&self, payload: Bytes, now_ms: u64) -> NewMessage {
        super::message(payload, self.note(), now_ms)
    }

    /// The wait until the next attempt, after the function has failed.
    pub(super) fn retry_ms(&self) -> u64 {
        let at = self.errors.saturating_sub(1) as usize;
        RETRY_MS[at.min(RETRY_MS.len() - 1)]
    }

    /// The wait until the next attempt, after it was throttled or the platform has failed.
    pub(super) fn setback_ms(&self) -> u64 {
        crate::deliver::backoff_ms(self.setbacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_the_documentation() {
        let event = |errors, setbacks| Event {
            errors,
            setbacks,
            ..Event::new(RequestId::random(), None, String::new())
        };
        assert_eq!([1, 2].map(|errors| event(errors, 0).retry_ms()), [60_000, 120_000]);
        let waits = [1, 2, 3, 8, 9, 10, 1_000].map(|setbacks| event(0, setbacks).setback_ms());
        assert_eq!(waits, [1_000, 2_000, 4_000, 128_000, 256_000, 300_000, 300_000]);
    }

    #[test]
    fn a_note_says_all_of_it() {
        let qualifier = Qualifier::Alias("live".to_owned());
        let event = Event::new(RequestId::random(), Some(&qualifier), "Root=1".into());
        assert_eq!(Event::of_note(&event.note()), Some(event));
    }
}
