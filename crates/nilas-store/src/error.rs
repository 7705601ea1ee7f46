//! What can go wrong with the store, one variant a step.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::BlobHash;

pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("data directory {} is in use by {}", path.display(), holder(*pid))]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("{} was written by a newer nilas: its format is {found}, this one reads up to {supported}", path.display())]
    SchemaTooNew { path: PathBuf, found: u32, supported: u32 },
    #[error("cannot {step} {}", path.display())]
    File { step: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {step}")]
    Database { step: &'static str, source: Box<dyn Error + Send + Sync> },
    /// The record is not as the caller expected; nothing was changed.
    #[error("{space}/{key} has changed")]
    Conflict { space: String, key: String },
    #[error("{what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge { what: &'static str, bytes: usize, bytes_max: usize },
    #[error("no blob {0}")]
    NoSuchBlob(BlobHash),
    /// The bytes on disk are not those that were stored.
    #[error("blob {0} is damaged")]
    DamagedBlob(BlobHash),
    #[error("no log group {0}")]
    NoSuchGroup(String),
    #[error("no log stream {stream} in {group}")]
    NoSuchStream { group: String, stream: String },
    #[error("there are {limit} {what} already")]
    TooMany { what: &'static str, limit: u64 },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn file(step: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { step, path: path.to_owned(), source }
    }

    /// For `map_err`: names what the statement was for.
    pub(crate) fn database(step: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Database { step, source: Box::new(source) }
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("pid {pid}"),
        None => "another process".to_owned(),
    }
}
