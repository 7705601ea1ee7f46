//! Blobs: files named by the SHA-256 of their content.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use nilas_model::limits::BLOB_JOBS_MAX;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::lock::DirectoryLock;
use crate::{Result, StoreError};

/// The SHA-256 of a blob's bytes; displayed in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash([u8; 32]);

/// Content-addressed files. A blob that was put is on disk; nobody ever changes one.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
    temporary_names: Arc<AtomicU64>,
    permits: Arc<Semaphore>,
    _lock: Arc<DirectoryLock>,
}

// === impl BlobHash ===

impl BlobHash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobHash({self})")
    }
}

// === impl Blobs ===

impl Blobs {
    /// Removes what a killed process left half written.
    pub(crate) fn open(dir: &Path, lock: Arc<DirectoryLock>) -> Result<Self> {
        let temporary = dir.join("tmp");
        create_dir(&temporary)?;
        sync_dir(dir.parent().unwrap_or(dir))?;
        for entry in read_dir(&temporary)? {
            fs::remove_file(&entry).map_err(|source| StoreError::file("remove", &entry, source))?;
        }
        let permits = Arc::new(Semaphore::new(BLOB_JOBS_MAX));
        Ok(Self { dir: dir.to_owned(), temporary_names: Arc::default(), permits, _lock: lock })
    }

    /// Stores `bytes`, unless they are there already.
    pub async fn put(&self, bytes: Bytes) -> Result<BlobHash> {
        self.run(move |blobs| {
            let hash = BlobHash::of(&bytes);
            blobs.write(hash, &bytes)?;
            Ok(hash)
        })
        .await
    }

    /// Where the blob is, or would be: for mapping or copying it without a detour through memory.
    pub fn path(&self, hash: &BlobHash) -> PathBuf {
        let name = hash.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// The whole blob, checked against its name.
    pub async fn read(&self, hash: &BlobHash) -> Result<Bytes> {
        let hash = *hash;
        self.run(move |blobs| {
            let path = blobs.path(&hash);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(StoreError::NoSuchBlob(hash));
                }
                Err(source) => return Err(StoreError::file("read", &path, source)),
            };
            if BlobHash::of(&bytes) != hash {
                return Err(StoreError::DamagedBlob(hash));
            }
            Ok(bytes.into())
        })
        .await
    }

    /// Answers whether there was such a blob. Callers see to it that no record still names it.
    pub async fn delete(&self, hash: &BlobHash) -> Result<bool> {
        let hash = *hash;
        self.run(move |blobs| {
            let path = blobs.path(&hash);
            match fs::remove_file(&path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(source) => Err(StoreError::file("remove", &path, source)),
            }
        })
        .await
    }

    /// Every blob there is, in no order.
    pub async fn list(&self) -> Result<Vec<BlobHash>> {
        self.run(move |blobs| {
            let mut found = Vec::new();
            for shard in read_dir(&blobs.dir)? {
                for path in read_dir(&shard)? {
                    found.extend(
                        path.file_name().and_then(|name| name.to_str()).and_then(BlobHash::parse),
                    );
                }
            }
            Ok(found)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job(&this)
        });
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// File, then its name, then the directories that hold the name: each on disk before the next.
    fn write(&self, hash: BlobHash, bytes: &[u8]) -> Result<()> {
        let path = self.path(&hash);
        let shard = path.parent().unwrap_or(&self.dir);
        if !path.exists() {
            create_dir(shard)?;
            let number = self.temporary_names.fetch_add(1, Ordering::Relaxed);
            let temporary = self.dir.join("tmp").join(number.to_string());
            let written =
                write_file(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
            if let Err(source) = written {
                // The first error is the one to tell; the next start removes what stays.
                drop(fs::remove_file(&temporary));
                return Err(StoreError::file("write", &path, source));
            }
        }
        // Also for a blob found there: the one who put it may not have come this far yet.
        sync_dir(shard)?;
        sync_dir(&self.dir)
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn create_dir(path: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| StoreError::file("create", path, source))
}

fn sync_dir(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|source| StoreError::file("sync", path, source))
}

fn read_dir(path: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let entries: io::Result<Vec<PathBuf>> = read();
    entries.map_err(|source| StoreError::file("list", path, source))
}
