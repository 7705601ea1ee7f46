//! How long an interpreter takes to start and end when it has nothing to do: what a cold start is compared with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::LoadError;

/// A Node or Python of this machine.
#[derive(Debug)]
pub struct Interpreter {
    path: PathBuf,
    /// A program that does nothing.
    nothing: [&'static str; 2],
}

impl Interpreter {
    /// The `node` of PATH.
    pub fn node() -> Result<Self, LoadError> {
        Ok(Self { path: itself("node", ["-p", "process.execPath"])?, nothing: ["-e", "0"] })
    }

    /// The `python3` of PATH.
    pub fn python() -> Result<Self, LoadError> {
        let ask = ["-c", "import sys; print(sys.executable)"];
        Ok(Self { path: itself("python3", ask)?, nothing: ["-c", "0"] })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `node -e 0` or `python3 -c 0` to its end.
    pub fn start(&self) -> Result<Duration, LoadError> {
        let program = || self.path.display().to_string();
        let mut command = Command::new(&self.path);
        command.args(self.nothing).stdin(Stdio::null()).stdout(Stdio::null());
        let began = Instant::now();
        let ended =
            command.status().map_err(|source| LoadError::Program { program: program(), source })?;
        let took = began.elapsed();
        if ended.success() {
            Ok(took)
        } else {
            Err(LoadError::ProgramFailed { program: program() })
        }
    }
}

/// The executable of a name. What PATH finds may be a script of a version manager, which is slower than what it starts
/// and would flatter whatever is compared with it.
fn itself(name: &str, ask: [&str; 2]) -> Result<PathBuf, LoadError> {
    let program = || name.to_owned();
    let mut command = Command::new(name);
    command.args(ask).stdin(Stdio::null()).stderr(Stdio::null());
    let answer =
        command.output().map_err(|source| LoadError::Program { program: program(), source })?;
    let path = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if answer.status.success() && !path.is_empty() {
        return Ok(PathBuf::from(path));
    }
    Err(LoadError::ProgramFailed { program: program() })
}
