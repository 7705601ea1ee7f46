//! `root-key.json` in the data directory: readable by its owner alone, written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{IdentityError, RootKey, random_key_id};

const FILE_NAME: &str = "root-key.json";

/// All that the server must keep to itself.
pub(super) struct Secrets {
    pub(super) root: RootKey,
    /// What session credentials are derived from.
    pub(super) server_secret: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyFile {
    access_key_id: String,
    secret_access_key: String,
    /// 32 bytes, base64.
    #[serde(with = "base64_32")]
    server_secret: [u8; 32],
}

/// `None` if there is no file yet.
pub(super) fn read(data_dir: &Path) -> Result<Option<Secrets>, IdentityError> {
    let path = data_dir.join(FILE_NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Read { path, source }),
    };
    let open_to_others =
        fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    if open_to_others {
        warn!(path = %path.display(), "the root key can be read by others; chmod 600 mends that");
    }
    let file: KeyFile = serde_json::from_slice(&text)
        .map_err(|source| IdentityError::Malformed { path, source })?;
    let root =
        RootKey { access_key_id: file.access_key_id, secret_access_key: file.secret_access_key };
    Ok(Some(Secrets { root, server_secret: file.server_secret }))
}

/// Makes new keys and writes them. The caller holds the data directory's lock, so nobody else does the same.
pub(super) fn create(data_dir: &Path) -> Result<Secrets, IdentityError> {
    let mut secret = [0; 30];
    let mut server_secret = [0; 32];
    getrandom::fill(&mut secret).map_err(IdentityError::Random)?;
    getrandom::fill(&mut server_secret).map_err(IdentityError::Random)?;
    let access_key_id = random_key_id("AKIA").map_err(IdentityError::Random)?;
    let file = KeyFile { access_key_id, secret_access_key: BASE64.encode(secret), server_secret };
    let path = data_dir.join(FILE_NAME);
    write_whole(data_dir, &file).map_err(|source| IdentityError::Write { path, source })?;
    let root =
        RootKey { access_key_id: file.access_key_id, secret_access_key: file.secret_access_key };
    Ok(Secrets { root, server_secret })
}

/// Through a temporary file, so that a crash leaves either no key file or a good one.
fn write_whole(data_dir: &Path, file: &KeyFile) -> io::Result<()> {
    let temporary = data_dir.join(format!("{FILE_NAME}.new"));
    // Left by a crash, if it is there: nobody has seen its keys.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut text = serde_json::to_vec_pretty(file)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.sync_all()?;
    fs::rename(&temporary, data_dir.join(FILE_NAME))?;
    fs::File::open(data_dir)?.sync_all()
}

mod base64_32 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(input)?;
        let bytes = BASE64.decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
    }
}
