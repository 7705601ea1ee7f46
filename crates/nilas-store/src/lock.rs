//! One process a data directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::{Result, StoreError};

/// Holds the directory until dropped. The kernel drops it with the process, however that ends,
/// so a lock file left behind means nothing.
#[derive(Debug)]
pub struct DirectoryLock {
    dir: PathBuf,
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if need be, and locks it or says who has it.
    pub fn acquire(dir: &Path) -> Result<Self> {
        // Function code and credentials of everybody are in there: for the owner's eyes only.
        let create = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        create.map_err(|source| StoreError::file("create", dir, source))?;
        let path = dir.join("lock");
        let failed = |step| {
            let path = path.clone();
            move |source| StoreError::file(step, &path, source)
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed("open the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid =
                    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StoreError::Locked { path: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(failed("write our process id to"))?;
        Ok(Self { dir: dir.to_owned(), _file: file })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}
