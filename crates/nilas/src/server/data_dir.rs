//! The data directory, before anything opens it: made, owned by whom the server becomes, not in use.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nilas_store::{DirectoryLock, StoreError};

use crate::failure::Failure;
use crate::server::user::User;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("cannot make the data directory {path}", path = path.display())]
    Make { path: PathBuf, source: std::io::Error },
    #[error("cannot give {path} to user {uid}", path = path.display())]
    Own { path: PathBuf, uid: u32, source: std::io::Error },
    #[error("user {uid} cannot reach {data_dir}: {ancestor} is closed to it", data_dir = data_dir.display(), ancestor = ancestor.display())]
    Unreachable { uid: u32, data_dir: PathBuf, ancestor: PathBuf },
    #[error(transparent)]
    Lock(StoreError),
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        let hint = match &error {
            DataDirError::Make { .. } => Some("name another place with --data-dir"),
            DataDirError::Unreachable { .. } => Some(
                "name a place with --data-dir that the server's user can reach, such as /var/lib/nilas",
            ),
            DataDirError::Lock(StoreError::Locked { .. }) => {
                Some("stop that server, or give this one a directory of its own with --data-dir")
            }
            DataDirError::Own { .. } | DataDirError::Lock(_) => None,
        };
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Makes and locks the directory. `owner` is whom the server becomes; None leaves the ownership alone.
pub(crate) fn prepare(dir: &Path, owner: Option<User>) -> Result<DirectoryLock, DataDirError> {
    let made = |source| DataDirError::Make { path: dir.to_owned(), source };
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(made)?;
    }
    // Function code and credentials of everybody are in there: for the owner's eyes only.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(made)?;
    // The lock before the ownership: another server's directory is not ours to change.
    let lock = DirectoryLock::acquire(dir).map_err(DataDirError::Lock)?;
    if let Some(user) = owner {
        check_reachable(dir, user)?;
        if fs::metadata(dir).map_err(made)?.uid() == user.uid {
            own(&dir.join("lock"), user)?;
        } else {
            own_all(dir, user)?;
        }
    }
    Ok(lock)
}

fn check_reachable(dir: &Path, user: User) -> Result<(), DataDirError> {
    for ancestor in dir.ancestors().skip(1) {
        let meta = fs::metadata(ancestor)
            .map_err(|source| DataDirError::Make { path: ancestor.to_owned(), source })?;
        let bit = match (meta.uid() == user.uid, meta.gid() == user.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if meta.mode() & bit == 0 {
            let (data_dir, ancestor) = (dir.to_owned(), ancestor.to_owned());
            return Err(DataDirError::Unreachable { uid: user.uid, data_dir, ancestor });
        }
    }
    Ok(())
}

/// A directory that changes hands, as after `--user`: everything in it does. Links are not followed.
fn own_all(dir: &Path, user: User) -> Result<(), DataDirError> {
    own(dir, user)?;
    let failed = |source| DataDirError::Own { path: dir.to_owned(), uid: user.uid, source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            own_all(&entry.path(), user)?;
        } else {
            own(&entry.path(), user)?;
        }
    }
    Ok(())
}

fn own(path: &Path, user: User) -> Result<(), DataDirError> {
    std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))
        .map_err(|source| DataDirError::Own { path: path.to_owned(), uid: user.uid, source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use expect_test::expect;

    use super::*;

    #[test]
    fn the_directory_is_made_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let _lock = prepare(&data, None).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_server_is_refused_and_told_why() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = prepare(dir.path(), None).unwrap();
        let mut out = Vec::new();
        Failure::from(prepare(dir.path(), None).unwrap_err()).show(&mut out, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        let text = text
            .replace(&dir.path().display().to_string(), "DIR")
            .replace(&std::process::id().to_string(), "PID");
        expect![[r#"
            error: data directory DIR is in use by pid PID
            hint: stop that server, or give this one a directory of its own with --data-dir
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_place_the_user_cannot_reach_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = User { uid: 4_000_001, gid: 4_000_001 };
        let refused = check_reachable(&dir.path().join("data"), stranger);
        assert!(
            matches!(refused, Err(DataDirError::Unreachable { ancestor, .. }) if ancestor == dir.path())
        );
    }
}
