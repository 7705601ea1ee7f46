//! What the databases share: how one is opened, migrated and read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nilas_model::limits::STORE_READERS_MAX;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::{Result, StoreError};

/// How a commit reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Acknowledged means on disk.
    PowerLoss,
    /// Survives the process; the newest commits may go with the power, never the file.
    Process,
}

/// Opens the writing connection and brings the file up to the newest of `migrations`.
///
/// A torn write-ahead log of a killed process is cut at its last whole commit by SQLite itself.
pub(crate) fn open_writer(
    path: &Path,
    durability: Durability,
    migrations: &[&str],
) -> Result<Connection> {
    let mut connection = Connection::open(path).map_err(StoreError::database("open a database"))?;
    let synchronous = match durability {
        Durability::PowerLoss => "FULL",
        Durability::Process => "NORMAL",
    };
    let configure = |connection: &Connection| {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "journal_size_limit", 16 * 1_048_576)?;
        connection.busy_timeout(Duration::from_secs(5))
    };
    configure(&connection).map_err(StoreError::database("configure a database"))?;
    migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let failed = StoreError::database("migrate a database");
    let supported = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let transaction = connection.transaction().map_err(&failed)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        .map_err(&failed)?;
    let found: u32 = transaction
        .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
        .map_err(&failed)?;
    if found > supported {
        return Err(StoreError::SchemaTooNew { path: path.to_owned(), found, supported });
    }
    for (version, statements) in (1_u32..).zip(migrations).skip(found as usize) {
        transaction.execute_batch(statements).map_err(&failed)?;
        transaction
            .execute("INSERT INTO schema_version (version) VALUES (?1)", [version])
            .map_err(&failed)?;
    }
    transaction.commit().map_err(&failed)
}

/// Reading connections, lent to blocking threads; callers wait for one in order.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Connections are opened when first needed, since start-up is counted in milliseconds.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(STORE_READERS_MAX)),
        }
    }

    /// Runs `read` in a read transaction: all it sees is of one moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        step: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut connection = this.take()?;
            let answer = connection.transaction().and_then(|transaction| read(&transaction));
            this.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer.map_err(StoreError::database(step))
        });
        task.await.map_err(|_| StoreError::Closed)?
    }

    fn take(&self) -> Result<Connection> {
        if let Some(connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)
            .map_err(StoreError::database("open a database for reading"))?;
        connection
            .busy_timeout(Duration::from_secs(5))
            .map_err(StoreError::database("configure a database"))?;
        Ok(connection)
    }
}
