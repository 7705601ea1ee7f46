//! Makes a deployment package of a directory or a file, and guesses what runs it.
//!
//! The archive is a function of the files alone: the same files give the same bytes, so that CodeSha256 says
//! whether code changed.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nilas_model::limits::{PACKAGE_ENTRIES_MAX, UNZIPPED_BYTES_MAX, ZIPPED_BYTES_MAX};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::failure::Failure;

/// A package and what its files suggest.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) zip: Bytes,
    pub(crate) guess: Guess,
}

/// None where the files do not tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) runtime: Option<&'static str>,
    pub(crate) handler: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is no file, directory or link", path = path.display())]
    Kind { path: PathBuf },
    #[error("the name of {path} is not UTF-8", path = path.display())]
    Name { path: PathBuf },
    #[error("{path} has no files", path = path.display())]
    Empty { path: PathBuf },
    #[error("{path} has more than {PACKAGE_ENTRIES_MAX} files", path = path.display())]
    TooMany { path: PathBuf },
    #[error("{path} is larger than a package may be: {bytes} of {max} bytes", path = path.display())]
    TooLarge { path: PathBuf, bytes: u64, max: u64 },
    #[error("cannot zip {path}", path = path.display())]
    Zip { path: PathBuf, source: zip::result::ZipError },
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let hint = match &error {
            PackageError::Empty { .. } => {
                Some("`--code` takes a directory, a source file or a zip archive")
            }
            PackageError::TooLarge { .. } | PackageError::TooMany { .. } => {
                Some("name the directory that holds just the function with `--code`")
            }
            _ => None,
        };
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Reads a zip archive as it is, and zips anything else.
pub(crate) fn package(path: &Path) -> Result<Package, PackageError> {
    let meta = fs::metadata(path).map_err(read(path))?;
    if meta.is_dir() {
        let entries = walk(path)?;
        let guess = guess(entries.iter().map(|entry| entry.name.as_str()), |name| path.join(name));
        return Ok(Package { zip: zip_entries(path, &entries)?, guess });
    }
    let name = file_name(path)?;
    if meta.len() > ZIPPED_BYTES_MAX.max(UNZIPPED_BYTES_MAX) {
        return Err(PackageError::TooLarge {
            path: path.to_owned(),
            bytes: meta.len(),
            max: UNZIPPED_BYTES_MAX,
        });
    }
    let content = fs::read(path).map_err(read(path))?;
    if content.starts_with(b"PK\x03\x04") || content.starts_with(b"PK\x05\x06") {
        return Ok(Package { guess: guess_of_archive(&content), zip: content.into() });
    }
    let guess = guess([name.as_str()].into_iter(), |_| path.to_owned());
    let entry = Entry {
        name,
        path: path.to_owned(),
        kind: EntryKind::File { bytes: meta.len(), mode: mode(&meta) },
    };
    Ok(Package { zip: zip_entries(path, &[entry])?, guess })
}

/// The names of all files below `root`, relative, with slashes; sorted.
pub(crate) fn names_below(root: &Path) -> Result<Vec<String>, PackageError> {
    Ok(walk(root)?.into_iter().map(|entry| entry.name).collect())
}

/// A package of some of the files below `root`, or beside it: `../lib/x` is `lib/x` in the package.
pub(crate) fn of_files(root: &Path, names: &[String]) -> Result<Bytes, PackageError> {
    let mut entries = Vec::with_capacity(names.len());
    let mut total_bytes = 0;
    for name in names {
        let path = root.join(name);
        let meta = fs::symlink_metadata(&path).map_err(read(&path))?;
        let kind = if meta.is_symlink() {
            EntryKind::Link
        } else if meta.is_file() {
            total_bytes += meta.len();
            EntryKind::File { bytes: meta.len(), mode: mode(&meta) }
        } else {
            return Err(PackageError::Kind { path });
        };
        let name = nilas_deploy::serverless::archive_name(name).to_owned();
        entries.push(Entry { name, path, kind });
        check_size(root, entries.len(), total_bytes)?;
    }
    if entries.is_empty() {
        return Err(PackageError::Empty { path: root.to_owned() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    zip_entries(root, &entries)
}

/// A package of one source file.
pub(crate) fn of_source(name: &str, content: &str) -> Result<Bytes, PackageError> {
    let failed = |source| PackageError::Zip { path: PathBuf::from(name), source };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    writer.start_file(name, options.unix_permissions(0o644)).map_err(failed)?;
    writer.write_all(content.as_bytes()).map_err(read(Path::new(name)))?;
    Ok(writer.finish().map_err(failed)?.into_inner().into())
}

/// What is in a package.
#[derive(Debug)]
struct Entry {
    /// Path in the archive, with slashes.
    name: String,
    path: PathBuf,
    kind: EntryKind,
}

#[derive(Debug)]
enum EntryKind {
    File { bytes: u64, mode: u32 },
    Link,
}

/// Files and links below `root`, sorted by name. Directories come with their files; `.git` does not come.
fn walk(root: &Path) -> Result<Vec<Entry>, PackageError> {
    let mut entries = Vec::new();
    let mut total_bytes = 0;
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        for item in fs::read_dir(&dir).map_err(read(&dir))? {
            let path = item.map_err(read(&dir))?.path();
            let name = format!("{prefix}{}", file_name(&path)?);
            let meta = fs::symlink_metadata(&path).map_err(read(&path))?;
            let kind = if meta.is_dir() {
                if name != ".git" {
                    open.push((path, format!("{name}/")));
                }
                continue;
            } else if meta.is_symlink() {
                EntryKind::Link
            } else if meta.is_file() {
                total_bytes += meta.len();
                EntryKind::File { bytes: meta.len(), mode: mode(&meta) }
            } else {
                return Err(PackageError::Kind { path });
            };
            entries.push(Entry { name, path, kind });
            check_size(root, entries.len(), total_bytes)?;
        }
    }
    if entries.is_empty() {
        return Err(PackageError::Empty { path: root.to_owned() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Stops early, so that zipping the home directory by mistake does not take minutes.
fn check_size(root: &Path, entries: usize, bytes: u64) -> Result<(), PackageError> {
    if entries > PACKAGE_ENTRIES_MAX {
        return Err(PackageError::TooMany { path: root.to_owned() });
    }
    if bytes > UNZIPPED_BYTES_MAX {
        return Err(PackageError::TooLarge {
            path: root.to_owned(),
            bytes,
            max: UNZIPPED_BYTES_MAX,
        });
    }
    Ok(())
}

fn zip_entries(root: &Path, entries: &[Entry]) -> Result<Bytes, PackageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackageError::Zip { path, source }
    };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    // Without a time: zip's origin, 1980, is what `SimpleFileOptions` starts from.
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    for Entry { name, path, kind } in entries {
        match kind {
            EntryKind::File { bytes, mode } => {
                let options =
                    options.unix_permissions(*mode).large_file(*bytes >= u64::from(u32::MAX));
                writer.start_file(name, options).map_err(failed(path))?;
                let content = fs::read(path).map_err(read(path))?;
                writer.write_all(&content).map_err(read(path))?;
            }
            EntryKind::Link => {
                let target = fs::read_link(path).map_err(read(path))?;
                let target =
                    target.to_str().ok_or_else(|| PackageError::Name { path: path.clone() })?;
                writer.add_symlink(name, target, options).map_err(failed(path))?;
            }
        }
    }
    let zip = writer.finish().map_err(failed(root))?.into_inner();
    if zip.len() as u64 > ZIPPED_BYTES_MAX {
        return Err(PackageError::TooLarge {
            path: root.to_owned(),
            bytes: zip.len() as u64,
            max: ZIPPED_BYTES_MAX,
        });
    }
    Ok(zip.into())
}

/// Looks at the top of the package only: that is where handlers are in all but a few.
fn guess<'a>(names: impl Iterator<Item = &'a str>, path_of: impl Fn(&str) -> PathBuf) -> Guess {
    let top: Vec<&str> = names.filter(|name| !name.contains('/')).collect();
    if top.contains(&"bootstrap") {
        // Custom runtimes read the handler as they like; AWS wants some text there.
        return Guess { runtime: Some("provided.al2023"), handler: Some("bootstrap".to_owned()) };
    }
    let usual = [
        "index.js",
        "index.mjs",
        "index.cjs",
        "lambda_function.py",
        "app.py",
        "main.py",
        "handler.py",
    ];
    let is_source = |name: &&&str| matches!(extension(name), "js" | "mjs" | "cjs" | "py");
    let mut sources = top.iter().filter(is_source);
    let only = sources.next().filter(|_| sources.next().is_none());
    let Some(name) = usual.iter().find(|name| top.contains(name)).or(only) else {
        return Guess::default();
    };
    let stem = name.rsplit_once('.').map_or(*name, |(stem, _)| stem);
    if extension(name) == "py" {
        let source = fs::read_to_string(path_of(name)).unwrap_or_default();
        let aws_name = *name == "lambda_function.py" || source.contains("def lambda_handler");
        let function = if aws_name { "lambda_handler" } else { "handler" };
        return Guess { runtime: Some("python3.13"), handler: Some(format!("{stem}.{function}")) };
    }
    Guess { runtime: Some("nodejs22.x"), handler: Some(format!("{stem}.handler")) }
}

fn guess_of_archive(content: &[u8]) -> Guess {
    // A broken archive is the server's to refuse, in AWS's words.
    let Ok(archive) = zip::ZipArchive::new(Cursor::new(content)) else {
        return Guess::default();
    };
    let names: Vec<String> =
        archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    guess(names.iter().map(String::as_str), |name| PathBuf::from("/nonexistent").join(name))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Readable by everybody, as AWS demands of packages; executable where the file is.
fn mode(meta: &fs::Metadata) -> u32 {
    if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

fn file_name(path: &Path) -> Result<String, PackageError> {
    let absolute = std::path::absolute(path).map_err(read(path))?;
    let name = absolute.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| PackageError::Name { path: path.to_owned() })
}

fn read(path: &Path) -> impl FnOnce(std::io::Error) -> PackageError {
    let path = path.to_owned();
    move |source| PackageError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(files: &[(&str, &str)]) -> (Option<&'static str>, String) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let guess = package(dir.path()).unwrap().guess;
        (guess.runtime, guess.handler.unwrap_or_default())
    }

    #[test]
    fn files_tell_runtime_and_handler() {
        assert_eq!(guessed(&[("index.js", "")]), (Some("nodejs22.x"), "index.handler".to_owned()));
        assert_eq!(
            guessed(&[("hello.mjs", ""), ("lib/x.js", "")]),
            (Some("nodejs22.x"), "hello.handler".to_owned())
        );
        assert_eq!(
            guessed(&[("app.py", "def lambda_handler(event, context): pass"), ("b.py", "")]),
            (Some("python3.13"), "app.lambda_handler".to_owned())
        );
        assert_eq!(
            guessed(&[("bootstrap", ""), ("index.js", "")]),
            (Some("provided.al2023"), "bootstrap".to_owned())
        );
        assert_eq!(guessed(&[("a.js", ""), ("b.js", "")]), (None, String::new()));
    }

    #[test]
    fn the_same_files_give_the_same_bytes_whenever_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b.js"), "1").unwrap();
        fs::write(dir.path().join("a.js"), "2").unwrap();
        let first = package(dir.path()).unwrap().zip;
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::options()
            .append(true)
            .open(dir.path().join("a.js"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(package(dir.path()).unwrap().zip, first);
    }

    #[test]
    fn executables_and_links_keep_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let bootstrap = dir.path().join("bootstrap");
        fs::write(&bootstrap, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("bootstrap", dir.path().join("again")).unwrap();
        let zip = package(dir.path()).unwrap().zip;
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(archive.by_name("bootstrap").unwrap().unix_mode(), Some(0o100_755));
        assert!(archive.by_name("again").unwrap().is_symlink());
    }

    #[test]
    fn an_archive_is_taken_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("index.js"), "1").unwrap();
        let zip = package(dir.path()).unwrap().zip;
        let path = dir.path().join("function.zip");
        fs::write(&path, &zip).unwrap();
        let again = package(&path).unwrap();
        assert_eq!(again.zip, zip);
        assert_eq!(again.guess.handler.as_deref(), Some("index.handler"));
    }

    #[test]
    fn an_empty_directory_and_a_missing_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(package(dir.path()), Err(PackageError::Empty { .. })));
        assert!(matches!(package(&dir.path().join("nothing")), Err(PackageError::Read { .. })));
    }
}
