//! Whom the server becomes when root starts it.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Where there is no user `nilas`: an id that neither distributions nor systemd hand out (60578 to 61183 is free in
/// <https://systemd.io/UIDS-GIDS/>), always the same, so that the data directory stays readable.
const FALLBACK_ID: u32 = 60_900;

/// A user without privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("cannot read {path}", path = path.display())]
    Passwd { path: PathBuf, source: std::io::Error },
    #[error("there is no user `{name}`")]
    Unknown { name: String },
    #[error("the server does not run as root")]
    Root,
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        let hint = match &error {
            UserError::Passwd { .. } => None,
            UserError::Unknown { name } => {
                Some(format!("useradd --system {name}; or name another user with --user"))
            }
            UserError::Root => {
                Some("leave --user away, or name a user without privileges".to_owned())
            }
        };
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Finds the user `name`, which is a name of `/etc/passwd` or a number. An unknown one is an error only where
/// somebody chose it.
pub(crate) fn find(name: &str, chosen: bool) -> Result<User, UserError> {
    let path = Path::new("/etc/passwd");
    let passwd = match std::fs::read_to_string(path) {
        Ok(text) => text,
        // Minimal images have none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(UserError::Passwd { path: path.to_owned(), source }),
    };
    match find_in(&passwd, name) {
        Some(User { uid: 0, .. }) => Err(UserError::Root),
        Some(user) => Ok(user),
        None if chosen => Err(UserError::Unknown { name: name.to_owned() }),
        None => Ok(User { uid: FALLBACK_ID, gid: FALLBACK_ID }),
    }
}

fn find_in(passwd: &str, name: &str) -> Option<User> {
    let entries = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (login, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some((login, User { uid: uid.parse().ok()?, gid: gid.parse().ok()? }))
    });
    let number: Option<u32> = name.parse().ok();
    let mut found = entries
        .filter(|(login, user)| *login == name || Some(user.uid) == number)
        .map(|(_, user)| user);
    found.next().or(number.map(|id| User { uid: id, gid: id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnilas:x:998:997::/:/bin/false\nbroken\n";

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!(find_in(PASSWD, "nilas"), Some(User { uid: 998, gid: 997 }));
        assert_eq!(find_in(PASSWD, "998"), Some(User { uid: 998, gid: 997 }));
        assert_eq!(find_in(PASSWD, "4242"), Some(User { uid: 4242, gid: 4242 }));
        assert_eq!(find_in(PASSWD, "nobody-here"), None);
    }

    #[test]
    fn root_is_no_user_to_become() {
        assert!(matches!(find("0", true), Err(UserError::Root)));
        assert!(matches!(find("no such user", true), Err(UserError::Unknown { .. })));
        assert_eq!(find("no such user", false).unwrap().uid, FALLBACK_ID);
    }
}
