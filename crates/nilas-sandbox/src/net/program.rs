//! Programs of the host that set-up calls: where they are, and what they said.
//!
//! Invariant: only called at start, at the end and for doctor, never while a sandbox starts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where distributions put system programs. An ordinary user's PATH often lacks the `sbin` ones.
const DIRECTORIES: [&str; 6] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// A program did not start, or ended with a complaint.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("cannot run {}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("{} failed: {complaint}", program.display())]
    Failed { program: PathBuf, complaint: String },
}

pub(crate) fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

/// Runs to the end with `input` on stdin and nothing of our environment, and gives stdout.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &str) -> Result<String, ProgramError> {
    let fail = |source| ProgramError::Start { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Fits the pipe's buffer. A program that ends without reading says why on stderr.
        stdin.write_all(input.as_bytes()).or_else(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(fail(error)) }
        })?;
    }
    let output = child.wait_with_output().map_err(fail)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    let complaint = if complaint.is_empty() { output.status.to_string() } else { complaint };
    Err(ProgramError::Failed { program: program.to_owned(), complaint })
}
