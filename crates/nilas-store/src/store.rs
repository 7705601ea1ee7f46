//! The data directory: one lock, three databases, a folder of blobs.

use std::path::Path;
use std::sync::Arc;

use nilas_model::limits::LOG_STORE_BYTES_MAX_DEFAULT;
use nilas_model::{Clock, SystemClock};

use crate::lock::DirectoryLock;
use crate::{Blobs, Logs, Queues, Records, Result};

/// Everything that survives a restart. Cheap to clone; the directory stays locked until the last clone,
/// the last part taken from one, and what they queued are gone.
#[derive(Debug, Clone)]
pub struct Store {
    records: Records,
    blobs: Blobs,
    logs: Logs,
    queues: Queues,
}

#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub clock: Arc<dyn Clock>,
    /// All logs on disk, bytes; beyond it the oldest events go.
    pub log_bytes_max: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::new()), log_bytes_max: LOG_STORE_BYTES_MAX_DEFAULT }
    }
}

impl Store {
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, StoreConfig::default())
    }

    pub fn open_with(dir: &Path, config: StoreConfig) -> Result<Self> {
        Self::open_locked(DirectoryLock::acquire(dir)?, config)
    }

    /// Opens the directory that `lock` holds. For the server, which must know that it is alone before it does
    /// things that come before the store.
    pub fn open_locked(lock: DirectoryLock, config: StoreConfig) -> Result<Self> {
        let dir = lock.dir().to_owned();
        let lock = Arc::new(lock);
        Ok(Self {
            records: Records::open(&dir.join("records.db"), Arc::clone(&lock))?,
            blobs: Blobs::open(&dir.join("blobs"), Arc::clone(&lock))?,
            logs: Logs::open(&dir.join("logs.db"), config, Arc::clone(&lock))?,
            queues: Queues::open(&dir.join("queues.db"), lock)?,
        })
    }

    pub fn records(&self) -> Records {
        self.records.clone()
    }

    pub fn blobs(&self) -> Blobs {
        self.blobs.clone()
    }

    pub fn queues(&self) -> Queues {
        self.queues.clone()
    }

    pub fn logs(&self) -> Logs {
        self.logs.clone()
    }
}
