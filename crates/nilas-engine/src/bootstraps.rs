//! The runtimes' bootstraps, embedded, and written where environments can mount them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::api::EngineError;

macro_rules! bootstraps {
    ($($folder:literal: $($name:literal),+ $(,)?;)+) => {
        &[
            $($(($name, include_bytes!(concat!("../../../runtimes/", $folder, "/", $name)))),+),+,
            (FORK_LIBRARY, include_bytes!(env!("NILAS_FORK_LIBRARY"))),
        ]
    };
}

/// The native part of both, by the name Node wants for addons.
const FORK_LIBRARY: &str = "nilas-fork.node";

/// Every file of `/var/runtime`.
const BOOTSTRAPS: &[(&str, &[u8])] = bootstraps! {
    "node":
        "nilas-node.js",
        "nilas-node-channel.js",
        "nilas-node-console.js",
        "nilas-node-errors.js",
        "nilas-node-invocation.js",
        "nilas-node-loader.js",
        "nilas-node-rehearsal.js",
        "nilas-node-snapshot.js",
        "nilas-node-stream.js",
        "nilas-node-zygote.js",
        "snapshot_restore_js.js";
    "python":
        "nilas_python.py",
        "nilas_python_snapshot.py",
        "nilas_python_zygote.py",
        "snapshot_restore_py.py";
};

/// Writes the bootstraps, readable by the users that environments run as.
pub(crate) fn write(dir: &Path) -> Result<(), EngineError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EngineError::Bootstrap { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(failed(dir))?;
    for (name, bytes) in BOOTSTRAPS {
        let path = dir.join(name);
        // A new file, not new bytes in the old one: an environment of a server before us may still read that.
        let fresh = dir.join(format!(".{name}.new"));
        fs::write(&fresh, bytes).map_err(failed(&fresh))?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o644)).map_err(failed(&fresh))?;
        fs::rename(&fresh, &path).map_err(failed(&path))?;
    }
    Ok(())
}
