//! Deployment packages: an archive from a stranger, checked whole before one byte of it lands on disk.
//!
//! Invariant: `check` writes nothing. `unpack` writes only what a plan made by the same rules allows.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nilas_model::limits::{PACKAGE_DEPTH_MAX, PACKAGE_ENTRIES_MAX, UNZIPPED_BYTES_MAX};
use zip::ZipArchive;
use zip::result::ZipError;

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Reads every byte of the archive and tells whether it may be unpacked, and how many bytes its files have then.
pub(crate) fn check(zip: &[u8]) -> Result<u64, PackageError> {
    if zip.is_empty() {
        return Err(PackageError::Empty);
    }
    let mut archive = open(zip)?;
    let plan = plan(&mut archive)?;
    let mut budget = UNZIPPED_BYTES_MAX;
    for file in plan.files() {
        copy_file(&mut archive, file.index, &mut io::sink(), &mut budget)?;
    }
    Ok(UNZIPPED_BYTES_MAX - budget)
}

/// Writes the archive's content below `target`, a directory that does not exist yet.
///
/// Everything is readable by all, for the user ids of environments: the package holds no secrets from its own function.
pub(crate) fn unpack(zip: &[u8], target: &Path) -> Result<(), PackageError> {
    let mut archive = open(zip)?;
    let plan = plan(&mut archive)?;
    let mut budget = UNZIPPED_BYTES_MAX;
    make_dir(target)?;
    // A parent sorts before its children, so it exists when they are made. Links come last: until then no path
    // below `target` can lead anywhere else.
    for (path, node) in &plan.nodes {
        let path = target.join(path);
        match node {
            Node::Dir => make_dir(&path)?,
            Node::File(file) => {
                let mode = if file.executable { 0o755 } else { 0o644 };
                let mut out = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(&path)
                    .map_err(write_error(&path))?;
                copy_file(&mut archive, file.index, &mut out, &mut budget)?;
                // The process's umask may have taken bits away from `mode`.
                out.set_permissions(fs::Permissions::from_mode(mode))
                    .map_err(write_error(&path))?;
            }
            Node::Link { .. } => {}
        }
    }
    for (path, node) in &plan.nodes {
        if let Node::Link { target: link } = node {
            let path = target.join(path);
            symlink(link, &path).map_err(write_error(&path))?;
        }
    }
    Ok(())
}

/// Why an archive is refused, or could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("the archive is empty")]
    Empty,
    #[error("not a readable zip archive")]
    Unreadable(#[source] ZipError),
    #[error("entry {name} is damaged")]
    Damaged { name: String, source: io::Error },
    #[error("unzipped size is over {UNZIPPED_BYTES_MAX} bytes")]
    TooLarge,
    #[error("more than {PACKAGE_ENTRIES_MAX} entries")]
    TooManyEntries,
    #[error("entry {name} {reason}")]
    Entry { name: String, reason: &'static str },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// What will exist after unpacking, by normalised path.
#[derive(Debug, Default)]
struct Plan {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, PartialEq)]
enum Node {
    Dir,
    File(FileNode),
    Link { target: String },
}

#[derive(Debug, PartialEq)]
struct FileNode {
    index: usize,
    executable: bool,
}

/// Largest symbolic link target, bytes: PATH_MAX.
const LINK_BYTES_MAX: u64 = 4_096;
/// Links followed before a path counts as a loop, as in the kernel.
const LINK_HOPS_MAX: u32 = 40;
/// Longest file name, bytes: NAME_MAX.
const NAME_BYTES_MAX: usize = 255;
/// Longest path in a package, bytes: PATH_MAX less what the host puts before it.
const PATH_BYTES_MAX: usize = 3_072;

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;

impl Plan {
    fn files(&self) -> impl Iterator<Item = &FileNode> {
        self.nodes
            .values()
            .filter_map(|node| if let Node::File(file) = node { Some(file) } else { None })
    }

    /// Adds `node` and the directories above it; refuses a second owner of one path.
    fn insert(&mut self, name: &str, parts: &[&str], node: Node) -> Result<(), PackageError> {
        for length in 1..parts.len() {
            match self.nodes.entry(parts[..length].join("/")).or_insert(Node::Dir) {
                Node::Dir => {}
                Node::File(_) | Node::Link { .. } => {
                    return Err(refused(name, "lies below another entry that is no directory"));
                }
            }
        }
        let path = parts.join("/");
        match (self.nodes.get(&path), &node) {
            (None, _) => {}
            // `a/` may follow `a/b`, whose parent was made implicitly.
            (Some(Node::Dir), Node::Dir) => return Ok(()),
            (Some(_), _) => return Err(refused(name, "has the same path as another entry")),
        }
        self.nodes.insert(path, node);
        if self.nodes.len() > PACKAGE_ENTRIES_MAX {
            return Err(PackageError::TooManyEntries);
        }
        Ok(())
    }

    /// Whether `link`, found in the directory `parents`, stays inside the package, whatever links it passes through.
    fn stays_inside(
        &self,
        parents: &[&str],
        link: &str,
        hops: &mut u32,
        at: &mut Vec<String>,
    ) -> bool {
        *hops += 1;
        if link.starts_with('/') || *hops > LINK_HOPS_MAX {
            return false;
        }
        at.clear();
        at.extend(parents.iter().map(|part| (*part).to_owned()));
        for part in link.split('/') {
            match part {
                "" | "." => continue,
                // Physical, as the kernel does it: `at` holds no links at this point.
                ".." if at.pop().is_none() => return false,
                ".." => continue,
                name => at.push(name.to_owned()),
            }
            if let Some(Node::Link { target }) = self.nodes.get(&at.join("/")) {
                at.pop();
                let parents = at.clone();
                let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
                if !self.stays_inside(&parents, target, hops, at) {
                    return false;
                }
            }
        }
        true
    }
}

fn open(zip: &[u8]) -> Result<Archive<'_>, PackageError> {
    ZipArchive::new(Cursor::new(zip)).map_err(PackageError::Unreadable)
}

fn plan(archive: &mut Archive<'_>) -> Result<Plan, PackageError> {
    if archive.len() > PACKAGE_ENTRIES_MAX {
        return Err(PackageError::TooManyEntries);
    }
    if archive.has_duplicate_names() {
        return Err(refused("(several)", "has the same path as another entry"));
    }
    let mut plan = Plan::default();
    let mut declared: u64 = 0;
    for index in 0..archive.len() {
        let (name, node, size) = read_entry(archive, index)?;
        declared = declared.saturating_add(size);
        if declared > UNZIPPED_BYTES_MAX {
            return Err(PackageError::TooLarge);
        }
        let parts = normalised(&name)?;
        if parts.is_empty() && node == Node::Dir {
            continue; // `./`, which archivers of whole directories add.
        }
        if parts.is_empty() {
            return Err(refused(&name, "has no name"));
        }
        plan.insert(&name, &parts, node)?;
    }
    if plan.nodes.is_empty() {
        return Err(PackageError::Empty);
    }
    for (path, node) in &plan.nodes {
        if let Node::Link { target } = node {
            let mut parents: Vec<&str> = path.split('/').collect();
            parents.pop();
            if !plan.stays_inside(&parents, target, &mut 0, &mut Vec::new()) {
                return Err(refused(path, "is a symbolic link that leaves the package"));
            }
        }
    }
    Ok(plan)
}

/// One entry's name, kind and declared size.
fn read_entry(
    archive: &mut Archive<'_>,
    index: usize,
) -> Result<(String, Node, u64), PackageError> {
    let entry = archive.by_index_raw(index).map_err(PackageError::Unreadable)?;
    let lossy = String::from_utf8_lossy(entry.name_raw()).into_owned();
    let Ok(name) = std::str::from_utf8(entry.name_raw()) else {
        return Err(refused(&lossy, "has a name that is not UTF-8"));
    };
    let name = name.to_owned();
    if entry.encrypted() {
        return Err(refused(&name, "is encrypted"));
    }
    let mode = entry.unix_mode().unwrap_or(0);
    let size = entry.size();
    let kind = match mode & S_IFMT {
        0 if name.ends_with('/') => S_IFDIR,
        0 => S_IFREG,
        kind => kind,
    };
    drop(entry);
    match kind {
        S_IFDIR => Ok((name, Node::Dir, 0)),
        // A regular file whose name ends in a slash has no path of its own.
        S_IFREG if !name.ends_with('/') => {
            Ok((name, Node::File(FileNode { index, executable: mode & 0o111 != 0 }), size))
        }
        S_IFLNK => {
            let target = read_link(archive, index, &name)?;
            Ok((name, Node::Link { target }, size))
        }
        _ => Err(refused(&name, "is neither a file, a directory nor a symbolic link")),
    }
}

fn read_link(archive: &mut Archive<'_>, index: usize, name: &str) -> Result<String, PackageError> {
    let mut target = Vec::new();
    let mut budget = LINK_BYTES_MAX;
    match copy_file(archive, index, &mut target, &mut budget) {
        Err(PackageError::TooLarge) => {
            return Err(refused(name, "is a symbolic link with too long a target"));
        }
        other => other?,
    }
    match String::from_utf8(target) {
        Ok(target) if !target.is_empty() && !target.contains('\0') => Ok(target),
        _ => Err(refused(name, "is a symbolic link with no valid target")),
    }
}

/// `a//b/./c` is `a/b/c`; absolute names and `..` have no place in a package.
fn normalised(name: &str) -> Result<Vec<&str>, PackageError> {
    if name.starts_with('/') {
        return Err(refused(name, "has an absolute name"));
    }
    if name.contains('\0') {
        return Err(refused(name, "has a name with a NUL character"));
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(refused(name, "leaves the package"));
    }
    let too_long = name.len() > PATH_BYTES_MAX || parts.len() > PACKAGE_DEPTH_MAX;
    if too_long || parts.iter().any(|part| part.len() > NAME_BYTES_MAX) {
        return Err(refused(name, "has too long a path"));
    }
    Ok(parts)
}

/// Inflates one entry, taking its real size from `budget`, whatever size it declares.
fn copy_file(
    archive: &mut Archive<'_>,
    index: usize,
    out: &mut dyn io::Write,
    budget: &mut u64,
) -> Result<(), PackageError> {
    let mut entry = archive.by_index(index).map_err(PackageError::Unreadable)?;
    let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
    let copied = io::copy(&mut (&mut entry).take(*budget + 1), out);
    let copied = copied.map_err(|source| PackageError::Damaged { name, source })?;
    *budget = budget.checked_sub(copied).ok_or(PackageError::TooLarge)?;
    Ok(())
}

fn make_dir(path: &Path) -> Result<(), PackageError> {
    fs::create_dir(path).map_err(write_error(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(write_error(path))
}

fn refused(name: &str, reason: &'static str) -> PackageError {
    const SHOWN_CHARS_MAX: usize = 100;
    PackageError::Entry { name: name.chars().take(SHOWN_CHARS_MAX).collect(), reason }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> PackageError {
    let path = path.to_owned();
    move |source| PackageError::Write { path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use expect_test::{Expect, expect};
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    /// `name` ending in `/` is a directory, `name -> target` a link, anything else a file.
    fn archive(names: &[&str]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            let options = SimpleFileOptions::default();
            match name.split_once(" -> ") {
                Some((name, target)) => zip.add_symlink(name, target, options).unwrap(),
                None if name.ends_with('/') => zip.add_directory(*name, options).unwrap(),
                None => {
                    zip.start_file(*name, options.unix_permissions(0o755)).unwrap();
                    zip.write_all(name.as_bytes()).unwrap();
                }
            }
        }
        zip.finish().unwrap().into_inner()
    }

    fn check_names(names: &[&str], expected: Expect) {
        let answer = match check(&archive(names)) {
            Ok(_) => "accepted".to_owned(),
            Err(err) => err.to_string(),
        };
        expected.assert_eq(&answer);
    }

    #[test]
    fn takes_what_archivers_make() {
        check_names(&["index.js"], expect!["accepted"]);
        check_names(&["./", "./a/", "./a/b.js", "c d/ü.js"], expect!["accepted"]);
        check_names(&["a/b", "a/"], expect!["accepted"]);
        check_names(
            &["node_modules/.bin/x -> ../x/cli.js", "node_modules/x/cli.js"],
            expect!["accepted"],
        );
        check_names(
            &["lib.so -> lib.so.1", "lib.so.1 -> lib.so.1.2", "lib.so.1.2"],
            expect!["accepted"],
        );
        check_names(&["dangling -> missing/file"], expect!["accepted"]);
        check_names(&["back\\slash.js"], expect!["accepted"]);
    }

    #[test]
    fn refuses_what_leaves_the_package() {
        check_names(&["../x"], expect!["entry ../x leaves the package"]);
        check_names(&["a/../../x"], expect!["entry a/../../x leaves the package"]);
        check_names(&["a/../x"], expect!["entry a/../x leaves the package"]);
        check_names(&["/etc/passwd"], expect!["entry /etc/passwd has an absolute name"]);
        check_names(&["l -> /etc"], expect!["entry l is a symbolic link that leaves the package"]);
        check_names(&["l -> ../x"], expect!["entry l is a symbolic link that leaves the package"]);
        check_names(
            &["a/l -> ../../x"],
            expect!["entry a/l is a symbolic link that leaves the package"],
        );
        // Inside when read as text, outside when followed: `a/b/up` is the root of the package.
        check_names(
            &["a/b/up -> ../..", "a/b/l -> up/../x"],
            expect!["entry a/b/l is a symbolic link that leaves the package"],
        );
        check_names(&["l -> l"], expect!["entry l is a symbolic link that leaves the package"]);
    }

    #[test]
    fn refuses_two_owners_of_one_path() {
        check_names(&["a", "./a"], expect!["entry ./a has the same path as another entry"]);
        check_names(&["a//b", "a/b"], expect!["entry a/b has the same path as another entry"]);
        check_names(
            &["a", "a/b"],
            expect!["entry a/b lies below another entry that is no directory"],
        );
        check_names(&["a/b", "a"], expect!["entry a has the same path as another entry"]);
        check_names(
            &["l -> d", "l/x"],
            expect!["entry l/x lies below another entry that is no directory"],
        );
    }

    #[test]
    fn refuses_duplicate_names_in_the_directory() {
        let mut bytes = archive(&["aa", "bb"]);
        for at in 0..bytes.len() - 1 {
            if &bytes[at..at + 2] == b"bb" {
                bytes[at..at + 2].copy_from_slice(b"aa");
            }
        }
        expect!["entry (several) has the same path as another entry"]
            .assert_eq(&check(&bytes).unwrap_err().to_string());
    }

    #[test]
    fn refuses_what_is_no_archive() {
        expect!["the archive is empty"].assert_eq(&check(b"").unwrap_err().to_string());
        expect!["the archive is empty"].assert_eq(&check(&archive(&[])).unwrap_err().to_string());
        expect!["not a readable zip archive"].assert_eq(&check(b"hello").unwrap_err().to_string());
        let whole = archive(&["index.js"]);
        assert!(check(&whole[..whole.len() - 10]).is_err());
        let mut damaged = whole;
        damaged[40] ^= 0xff;
        assert!(check(&damaged).is_err());
    }

    #[test]
    fn refuses_a_bomb_by_declared_and_by_real_size() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("zeros", SimpleFileOptions::default()).unwrap();
        let block = vec![0; 1 << 20];
        for _ in 0..=(UNZIPPED_BYTES_MAX >> 20) {
            zip.write_all(&block).unwrap();
        }
        let mut bytes = zip.finish().unwrap().into_inner();
        assert!(matches!(check(&bytes), Err(PackageError::TooLarge)));
        // The same, with a directory that claims one byte.
        let directory = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
        bytes[directory + 24..directory + 28].copy_from_slice(&1_u32.to_le_bytes());
        assert!(check(&bytes).is_err());
    }

    #[test]
    fn unpacks_readable_by_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("p");
        unpack(&archive(&["a/run", "a/l -> run", "e/"]), &target).unwrap();
        let mode =
            |path: &str| fs::metadata(target.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(""), mode("a"), mode("a/run"), mode("e")), (0o755, 0o755, 0o755, 0o755));
        assert_eq!(fs::read_to_string(target.join("a/l")).unwrap(), "a/run");
    }
}
