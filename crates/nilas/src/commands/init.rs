//! `nilas init`: a project that deploys as it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{InitArgs, InitTemplate};
use crate::commands::Context;
use crate::failure::Failure;

/// A file of a template: its path in the project, and its content.
type File = (&'static str, &'static str);

macro_rules! template {
    ($name:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../../../examples/init/", $name, "/", $file)))),+]
    };
}

const NODE: &[File] = template!("node": "serverless.yml", "handler.js");
const PYTHON: &[File] = template!("python": "serverless.yml", "handler.py");
const RUST: &[File] = template!("rust": "template.yaml", "Cargo.toml", "src/main.rs", "build.sh");
const HTTP_API: &[File] = template!("http-api": "serverless.yml", "handler.js");
const SCHEDULED: &[File] = template!("scheduled": "serverless.yml", "handler.js");
const POOLING: &[File] = template!("pooling": "serverless.yml", "handler.js", "package.json");

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{dir} is there already, and not empty", dir = dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

pub(crate) fn run(cx: &Context, args: &InitArgs) -> Result<ExitCode, Failure> {
    let (name, files) = match args.template {
        InitTemplate::Node => ("node", NODE),
        InitTemplate::Python => ("python", PYTHON),
        InitTemplate::Rust => ("rust", RUST),
        InitTemplate::HttpApi => ("http-api", HTTP_API),
        InitTemplate::Scheduled => ("scheduled", SCHEDULED),
        InitTemplate::Pooling => ("pooling", POOLING),
    };
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    write_all(&dir, files).map_err(Failure::new)?;
    cx.output.note(&format!("Made {}", dir.display()))?;
    let first = match args.template {
        InitTemplate::Rust => "sh build.sh && nilas deploy",
        InitTemplate::Pooling => "npm install && nilas deploy",
        _ => "nilas deploy",
    };
    cx.output.note(&format!("Next: cd {} && {first}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Nothing that is there is overwritten.
fn write_all(dir: &Path, files: &[File]) -> Result<(), InitError> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(InitError::NotEmpty { dir: dir.to_owned() });
    }
    for (name, content) in files {
        let path = dir.join(name);
        let failed = |source| InitError::Write { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path, content).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_files_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new");
        write_all(&target, NODE).unwrap();
        assert!(target.join("handler.js").is_file());
        assert!(matches!(write_all(&target, NODE), Err(InitError::NotEmpty { .. })));
    }
}
