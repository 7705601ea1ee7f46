//! Looks for interpreters where people install them, and asks each for its version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nilas_model::Interpreter;

use super::Found;

/// Where to look, beside `/usr/bin`, `/usr/local/bin` and `/opt`. Only absolute paths make sense.
#[derive(Debug, Clone, Default)]
pub struct SearchPaths {
    /// The directories of `PATH`.
    pub path: Vec<PathBuf>,
    /// Never mounted into an environment, nor anything above it.
    pub home: Option<PathBuf>,
    /// `NVM_DIR`, usually `~/.nvm`.
    pub nvm_dir: Option<PathBuf>,
    /// `PYENV_ROOT`, usually `~/.pyenv`.
    pub pyenv_root: Option<PathBuf>,
}

impl SearchPaths {
    fn node_candidates(&self) -> BTreeSet<PathBuf> {
        let mut dirs = self.system_dirs();
        dirs.extend(
            self.nvm_dir
                .iter()
                .flat_map(|nvm| children(&nvm.join("versions/node")))
                .map(|dir| dir.join("bin")),
        );
        let opt = children(Path::new("/opt"))
            .into_iter()
            .filter(|dir| file_name(dir).starts_with("node"));
        dirs.extend(opt.map(|dir| dir.join("bin")));
        dirs.into_iter().map(|dir| dir.join("node")).collect()
    }

    fn python_candidates(&self) -> BTreeSet<PathBuf> {
        let mut dirs = self.system_dirs();
        dirs.extend(
            self.pyenv_root
                .iter()
                .flat_map(|pyenv| children(&pyenv.join("versions")))
                .map(|dir| dir.join("bin")),
        );
        let opt = children(Path::new("/opt"))
            .into_iter()
            .filter(|dir| file_name(dir).starts_with("python"));
        dirs.extend(opt.map(|dir| dir.join("bin")));
        // `python3.12`, not `python3.12-config`; plain `python3` where a directory has no numbered one.
        let is_python = |path: &PathBuf| {
            file_name(path)
                .strip_prefix("python3")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        };
        dirs.iter().flat_map(|dir| children(dir)).filter(is_python).collect()
    }

    fn system_dirs(&self) -> BTreeSet<PathBuf> {
        // pyenv's shims are slow, and what they lead to is looked at by itself.
        let shims = self.pyenv_root.as_ref().map(|pyenv| pyenv.join("shims"));
        let dirs = self.path.iter().filter(|dir| Some(*dir) != shims.as_ref());
        let mut dirs: BTreeSet<PathBuf> = dirs.cloned().collect();
        dirs.extend([PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")]);
        dirs
    }
}

/// Runs every candidate once, all at the same time.
pub(super) fn search(paths: &SearchPaths, overrides: &BTreeMap<String, PathBuf>) -> Found {
    let node = real_files(paths.node_candidates());
    let python = real_files(paths.python_candidates());
    std::thread::scope(|scope| {
        let ask =
            |path: PathBuf, family: Family| scope.spawn(move || inspect(&path, family, paths));
        let node: Vec<_> = node.into_iter().map(|path| ask(path, Family::Node)).collect();
        let python: Vec<_> = python.into_iter().map(|path| ask(path, Family::Python)).collect();
        let named: Vec<_> = overrides
            .iter()
            .map(|(identifier, path)| {
                let family =
                    if identifier.starts_with("python") { Family::Python } else { Family::Node };
                (identifier, path, ask(path.clone(), family))
            })
            .collect();
        let finished = |threads: Vec<std::thread::ScopedJoinHandle<'_, Option<Interpreter>>>| {
            sorted(threads.into_iter().filter_map(|thread| thread.join().ok().flatten()))
        };
        let mut found =
            Found { node: finished(node), python: finished(python), overrides: BTreeMap::new() };
        for (identifier, path, thread) in named {
            match thread.join().ok().flatten() {
                Some(interpreter) => {
                    found.overrides.insert(identifier.clone(), interpreter);
                }
                None => {
                    tracing::warn!(runtime = identifier, path = %path.display(), "configured interpreter does not run")
                }
            }
        }
        found
    })
}

#[derive(Debug, Clone, Copy)]
enum Family {
    Node,
    Python,
}

/// The interpreter behind `path`, or None when it does not run, has the wrong version or no place to mount it from.
fn inspect(path: &Path, family: Family, paths: &SearchPaths) -> Option<Interpreter> {
    let mut executable = fs::canonicalize(path).ok()?;
    if is_script(&executable) {
        // A shim of pyenv, asdf, volta and the like: only the interpreter it starts knows where it lives.
        let arguments: &[&str] = match family {
            Family::Node => &["-p", "process.execPath"],
            Family::Python => &["-c", "import os, sys; print(os.path.realpath(sys.executable))"],
        };
        executable = fs::canonicalize(output(&executable, arguments)?.trim()).ok()?;
    }
    let version = output(&executable, &["--version"])?;
    let version = match family {
        Family::Node => version.trim().strip_prefix('v')?,
        Family::Python => version.trim().strip_prefix("Python ")?,
    };
    let prefix = match mount_prefix(&executable, paths) {
        Ok(prefix) => prefix,
        Err(reason) => {
            tracing::debug!(executable = %executable.display(), reason, "interpreter left out");
            return None;
        }
    };
    Some(Interpreter { executable, prefix, version: version.to_owned() })
}

/// `/usr` is in every environment; an installation elsewhere is mounted whole, so it must be one.
fn mount_prefix(executable: &Path, paths: &SearchPaths) -> Result<Option<PathBuf>, &'static str> {
    if ["/usr", "/bin"].iter().any(|system| executable.starts_with(system)) {
        return Ok(None);
    }
    let bin =
        executable.parent().filter(|dir| dir.ends_with("bin")).ok_or("not in a bin directory")?;
    let prefix = bin
        .parent()
        .filter(|prefix| prefix.parent().is_some())
        .ok_or("its prefix is the root directory")?;
    // `~/bin/node` must not show a home directory to functions.
    if paths.home.as_ref().is_some_and(|home| home.starts_with(prefix)) {
        return Err("its prefix holds the home directory");
    }
    if !prefix.join("lib").is_dir() {
        return Err("its prefix has no lib directory");
    }
    Ok(Some(prefix.to_owned()))
}

/// Standard output of a short command, which is killed when it takes too long.
fn output(executable: &Path, arguments: &[&str]) -> Option<String> {
    // Less than a pipe holds, so the command can end before anybody reads.
    const OUTPUT_BYTES_MAX: u64 = 4_096;
    const POLL_MS: u64 = 2;
    const POLLS_MAX: u32 = 2_500;
    let mut child = Command::new(executable)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    for _ in 0..POLLS_MAX {
        if let Some(status) = child.try_wait().ok()? {
            let mut text = String::new();
            let read = child.stdout.take()?.take(OUTPUT_BYTES_MAX).read_to_string(&mut text);
            return (read.is_ok() && status.success()).then_some(text);
        }
        std::thread::sleep(Duration::from_millis(POLL_MS));
    }
    tracing::warn!(executable = %executable.display(), "interpreter did not tell its version in time");
    if child.kill().is_ok() && child.wait().is_err() {
        tracing::debug!("killed interpreter was not reaped");
    }
    None
}

fn real_files(candidates: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    candidates
        .into_iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| path.is_file())
        .collect()
}

/// Newest first; one entry a file.
fn sorted(interpreters: impl Iterator<Item = Interpreter>) -> Vec<Interpreter> {
    let mut list: Vec<Interpreter> = interpreters.collect();
    let numbers = |version: &str| {
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>()
    };
    // A file below `/usr` needs no mount of its own: first among equals.
    list.sort_by_cached_key(|i| {
        (std::cmp::Reverse(numbers(&i.version)), i.prefix.is_some(), i.executable.clone())
    });
    list.dedup_by(|a, b| a.executable == b.executable);
    list
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"#!"
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_directory_is_never_a_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home/u");
        let node = home.join(".nvm/versions/node/v20.1.0");
        for path in [home.join("bin"), home.join("lib"), node.join("bin"), node.join("lib")] {
            fs::create_dir_all(path).unwrap();
        }
        let paths = SearchPaths { home: Some(home.clone()), ..SearchPaths::default() };
        let check = |executable: &Path, expected: Result<Option<&Path>, &str>| {
            let answer = mount_prefix(executable, &paths);
            assert_eq!(
                answer.as_ref().map(Option::as_deref).map_err(|err| *err),
                expected,
                "{}",
                executable.display()
            );
        };
        check(Path::new("/usr/bin/node"), Ok(None));
        check(Path::new("/usr/local/bin/python3.12"), Ok(None));
        check(&node.join("bin/node"), Ok(Some(&node)));
        check(&home.join("bin/node"), Err("its prefix holds the home directory"));
        check(Path::new("/bin2/node"), Err("not in a bin directory"));
    }
}
