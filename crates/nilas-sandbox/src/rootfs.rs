//! What every sandbox sees besides its own mounts: the base system of the host, a small `/etc`, a small `/dev`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::jail::{INSIDE_GID, INSIDE_UID, Plan, PlannedMount};
use crate::net;
use crate::spec::ReadOnlyMount;

/// Directories of the base system; on most hosts all but `/usr` are links into it.
const SYSTEM_DIRS: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/nix/store",
];
/// Configuration that programs need and that tells nothing about the host: certificates and the linker's cache.
///
/// `/etc/localtime` is left out: without it programs are in UTC, as on AWS.
const ETC: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/mime.types",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// What all sandboxes have in common on this host, as the host is now.
pub(crate) fn plan(id_range: bool) -> Plan {
    let mut mounts = Vec::new();
    let mut symlinks = Vec::new();
    for path in SYSTEM_DIRS.into_iter().chain(ETC).map(Path::new) {
        match fs::read_link(path) {
            Ok(target) => symlinks.push((path.to_owned(), target)),
            Err(_) if path.exists() => mounts.push(same_place(path, false)),
            Err(_) => {}
        }
    }
    mounts.extend(DEVICES.into_iter().map(|device| same_place(Path::new(device), true)));
    symlinks.extend(DEVICE_LINKS.map(|(path, target)| (path.into(), target.into())));
    Plan { mounts, symlinks, files: etc_files(), id_range }
}

/// The mounts of one sandbox, in the order to make them: a mount below another needs the outer one first.
pub(crate) fn in_order(mut mounts: Vec<ReadOnlyMount>) -> Vec<ReadOnlyMount> {
    mounts.sort_by_key(|mount| mount.target.components().count());
    mounts
}

fn same_place(path: &Path, device: bool) -> PlannedMount {
    PlannedMount { sources: vec![path.to_owned()], target: path.to_owned(), device }
}

fn etc_files() -> Vec<(PathBuf, String)> {
    let file = |name: &str, text: String| (Path::new("/etc").join(OsStr::new(name)), text);
    vec![
        // AWS's name for the user, which os.userInfo() and getpass.getuser() show.
        file(
            "passwd",
            format!(
                "root:x:0:0:root:/root:/sbin/nologin\n\
                 sbx_user1051:x:{INSIDE_UID}:{INSIDE_GID}::/home/sbx_user1051:/sbin/nologin\n\
                 nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
            ),
        ),
        file("group", format!("root:x:0:\nsbx_user1051:x:{INSIDE_GID}:\nnobody:x:65534:\n")),
        file("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        file("hostname", "localhost\n".to_owned()),
        file("resolv.conf", net::resolv_conf_text()),
        file("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
    ]
}
