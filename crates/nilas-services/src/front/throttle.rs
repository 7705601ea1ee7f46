//! Token buckets: rates that stages, plans and routes allow, in memory alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Buckets kept; beyond it all start anew.
const BUCKETS_MAX: usize = 100_000;

/// So many requests a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throttle {
    pub(super) rate_per_s: f64,
    pub(super) burst: f64,
}

/// What is left of rates, by a name of the caller's making.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<HashMap<String, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_us: u64,
}

impl Buckets {
    /// Takes one request from the bucket `name`; false if it is empty.
    pub(super) fn take(&self, name: String, limit: Throttle, now_us: u64) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.clear();
        }
        let bucket = buckets.entry(name).or_insert(Bucket { tokens: limit.burst, at_us: now_us });
        let passed_s = now_us.saturating_sub(bucket.at_us) as f64 / 1e6;
        bucket.tokens = (bucket.tokens + passed_s * limit.rate_per_s).min(limit.burst);
        bucket.at_us = now_us;
        let is_there = bucket.tokens >= 1.0;
        if is_there {
            bucket.tokens -= 1.0;
        }
        is_there
    }
}
