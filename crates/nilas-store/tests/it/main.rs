//! The store on real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod blobs;
mod crash;
mod logs;
mod records;

use std::sync::Arc;

use nilas_model::SimClock;
use nilas_store::{Store, StoreConfig};
use tempfile::TempDir;

/// A store of its own, gone with the test.
fn fresh() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn fresh_with(clock: &Arc<SimClock>, log_bytes_max: u64) -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let config = StoreConfig { clock: Arc::<SimClock>::clone(clock), log_bytes_max };
    let store = Store::open_with(dir.path(), config).unwrap();
    (dir, store)
}
