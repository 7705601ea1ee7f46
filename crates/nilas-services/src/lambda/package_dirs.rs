//! Unpacked packages: one read-only directory a content hash, shared by every environment that runs it.
//!
//! The directory is a cache of the blobs. What a crash of the machine may have left half-written is thrown away whole:
//! the boot id tells. After a crash of the server alone the page cache still has every byte.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nilas_model::limits::PACKAGES_AT_ONCE_MAX;
use nilas_store::{BlobHash, Blobs};
use tokio::sync::{Mutex, Semaphore};

use super::error::LambdaError;
use super::package::{self, PackageError};
use super::record::Code;

#[derive(Debug)]
pub(crate) struct PackageDirs {
    dir: PathBuf,
    /// Bounds the cores and memory that strangers' archives take.
    at_once: Arc<Semaphore>,
    /// Two requests for one hash must not unpack it twice.
    unpacking: Mutex<()>,
}

const TEMPORARY: &str = ".unpacking";
const REMOVED: &str = ".removed-";
const BOOT_MARK: &str = ".boot-id";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl PackageDirs {
    /// Makes `dir` if need be, and empties it after a reboot.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, PackageError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PackageError::Write { path, source }
        };
        fs::create_dir_all(&dir).map_err(failed(&dir))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).map_err(failed(&dir))?;
        let boot_id = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let mark = dir.join(BOOT_MARK);
        let same_boot =
            !boot_id.is_empty() && fs::read_to_string(&mark).is_ok_and(|marked| marked == boot_id);
        if !same_boot {
            for path in children(&dir).map_err(failed(&dir))? {
                remove(&path).map_err(failed(&path))?;
            }
            fs::write(&mark, boot_id).map_err(failed(&mark))?;
        }
        let at_once = Arc::new(Semaphore::new(PACKAGES_AT_ONCE_MAX));
        Ok(Self { dir, at_once, unpacking: Mutex::new(()) })
    }

    /// Removes every package but those of `used`. Only safe at start, when no environment is alive.
    pub(crate) fn keep_only(&self, used: &BTreeSet<String>) {
        for path in children(&self.dir).unwrap_or_default() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == BOOT_MARK || used.contains(name) {
                continue;
            }
            if let Err(err) = remove(&path) {
                tracing::warn!(path = %path.display(), error = %err, "unused package not removed");
            }
        }
    }

    /// Checks an uploaded archive, writes nothing, and tells its hash and its size unzipped.
    pub(crate) async fn check(&self, zip: Bytes) -> Result<(BlobHash, u64), LambdaError> {
        let check = move || package::check(&zip).map(|unzipped| (BlobHash::of(&zip), unzipped));
        self.blocking("checking a package", check).await
    }

    /// Takes a package's directory out of sight; where it is now, for `remove`.
    pub(crate) async fn set_aside(&self, sha256: &str) -> Option<PathBuf> {
        let aside = self.dir.join(format!("{REMOVED}{sha256}"));
        match tokio::fs::rename(self.dir.join(sha256), &aside).await {
            Ok(()) => Some(aside),
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            Err(err) => {
                tracing::warn!(package = sha256, error = %err, "unused package not removed");
                None
            }
        }
    }

    /// What fails is tried again at the next start.
    pub(crate) async fn remove(aside: PathBuf) {
        let removed = tokio::task::spawn_blocking(move || remove(&aside)).await;
        if let Ok(Err(err)) = removed {
            tracing::warn!(error = %err, "unused package not removed");
        }
    }

    /// The directory of `code`, unpacked from its blob unless it is there already.
    pub(crate) async fn ensure(&self, code: &Code, blobs: &Blobs) -> Result<PathBuf, LambdaError> {
        let target = self.dir.join(&code.sha256);
        if is_dir(&target).await {
            return Ok(target);
        }
        let _one = self.unpacking.lock().await;
        if is_dir(&target).await {
            return Ok(target);
        }
        let hash = code.blob().ok_or_else(|| LambdaError::Internal {
            step: "reading a package's hash",
            source: format!("{:?} is no hash", code.sha256).into(),
        })?;
        let zip = blobs.read(&hash).await?;
        let temporary = self.dir.join(TEMPORARY);
        let unpacked = target.clone();
        self.blocking("unpacking a package", move || {
            let write = |source| PackageError::Write { path: temporary.clone(), source };
            remove(&temporary).map_err(write)?;
            package::unpack(&zip, &temporary)?;
            // Only whole packages ever have their final name.
            fs::rename(&temporary, &unpacked).map_err(write)
        })
        .await?;
        Ok(target)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce() -> Result<T, PackageError> + Send + 'static,
    ) -> Result<T, LambdaError> {
        let _permit = self.at_once.acquire().await;
        let joined = tokio::task::spawn_blocking(work).await;
        Ok(joined.map_err(|source| LambdaError::Internal { step, source: source.into() })??)
    }
}

async fn is_dir(path: &Path) -> bool {
    tokio::fs::metadata(path).await.is_ok_and(|metadata| metadata.is_dir())
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

/// Removes a file or a whole directory; fine when there is nothing.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(err) => Err(err),
    };
    match removed {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
