//! What Lambda authorizers said, until they are to be asked again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// Of all answers and the names they are known by together; beyond it those that have expired go, then all.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// What one takes besides its text.
const ENTRY_BYTES: usize = 256;

/// Answers by stage, deployment, authorizer and what identified the caller.
#[derive(Debug, Default)]
pub(super) struct Decisions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<String, Decision>,
    bytes: usize,
}

#[derive(Debug)]
struct Decision {
    until_ms: u64,
    said: Arc<Value>,
    bytes: usize,
}

impl Decisions {
    pub(super) fn get(&self, key: &str, now_ms: u64) -> Option<Arc<Value>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.by_key.get(key).filter(|decision| decision.until_ms > now_ms)?;
        Some(Arc::clone(&found.said))
    }

    /// Keeps what an authorizer `said` in so many bytes, for `ttl_s` from now on.
    pub(super) fn put(
        &self,
        key: String,
        said: Arc<Value>,
        bytes: usize,
        (now_ms, ttl_s): (u64, u64),
    ) {
        let bytes = bytes + key.len() + ENTRY_BYTES;
        if bytes > BYTES_MAX {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + bytes > BYTES_MAX {
            kept.by_key.retain(|_, decision| decision.until_ms > now_ms);
            kept.bytes = kept.by_key.values().map(|decision| decision.bytes).sum();
        }
        if kept.bytes + bytes > BYTES_MAX {
            *kept = Kept::default();
        }
        let decision = Decision { until_ms: now_ms + ttl_s * 1_000, said, bytes };
        kept.bytes += bytes;
        if let Some(before) = kept.by_key.insert(key, decision) {
            kept.bytes -= before.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_their_time_and_within_bounds() {
        let decisions = Decisions::default();
        let said = Arc::new(Value::Bool(true));
        decisions.put("a".to_owned(), Arc::clone(&said), 4, (0, 1));
        assert!(decisions.get("a", 999).is_some());
        assert!(decisions.get("a", 1_000).is_none() && decisions.get("b", 0).is_none());
        for n in 0..40 {
            decisions.put(format!("n{n}"), Arc::clone(&said), 1_024 * 1_024, (0, 10));
            assert!(decisions.0.lock().unwrap().bytes <= BYTES_MAX);
        }
        assert!(decisions.get("n39", 0).is_some());
    }
}
