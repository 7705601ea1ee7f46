//! What must survive: records, queues, blobs and logs, on embedded SQLite and files.
//!
//! Invariant: no SQL and no database type above this crate, so that a clustered store can take its place:
//! records have revisions and watches, blobs are named by content, logs are ranges by (timestamp, id).
//! Invariant: a record, message or blob that was acknowledged survives the loss of power; a log line may not.
#![forbid(unsafe_code)]

mod blobs;
mod database;
mod error;
mod lock;
mod logs;
mod queues;
mod records;
mod store;

pub use blobs::{BlobHash, Blobs};
pub use error::{Result, StoreError};
pub use lock::DirectoryLock;
pub use logs::{
    Follow, GroupInfo, GroupQuery, LogQuery, LogRecord, LogRow, Logs, Position, StreamCursor,
    StreamInfo, StreamOrder, StreamQuery,
};
pub use queues::{Counts, LeaseId, Leased, MessageId, NewMessage, Queues, Settle, Waiting};
pub use records::{Change, Expect, Record, Records, Watch, WatchEvent};
pub use store::{Store, StoreConfig};
