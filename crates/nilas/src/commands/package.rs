//! `nilas package`: what `nilas deploy` would store and send, into a directory.

use std::path::Path;
use std::process::ExitCode;

use super::deploy::{human_size, say, storage, warn};
use crate::cli::PackageArgs;
use crate::commands::Context;
use crate::failure::Failure;
use crate::project::{self, Made, Stored};

#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
struct Write {
    path: String,
    source: std::io::Error,
}

pub(crate) async fn run(cx: &Context, args: &PackageArgs) -> Result<ExitCode, Failure> {
    let (project, client) = project::load(cx, &args.project).await?;
    warn(cx, &project.warnings)?;
    let storage = storage(cx, &client, &project).await?;
    let out = args.out.clone().unwrap_or_else(|| project.dir.join(".nilas"));
    let write = |name: &str, content: &[u8]| write(&out, name, content);
    std::fs::create_dir_all(&out)
        .map_err(|source| Failure::new(Write { path: out.display().to_string(), source }))?;
    let mut stored = Vec::new();
    for package in &project.packages {
        write(&format!("{}.zip", package.label), &package.zip)?;
        say(cx, &format!("  {}.zip ({})", package.label, human_size(package.zip.len())))?;
        stored.push(Stored {
            bucket: storage.bucket.clone(),
            key: storage.artifact_key(&package.sha256),
            sha256: package.sha256.clone(),
        });
    }
    let Made { template, warnings } = project.template(&stored, storage.is_of_stack())?;
    warn(cx, &warnings)?;
    write("template.json", format!("{template:#}\n").as_bytes())?;
    say(cx, &format!("Packaged {} into {}", project.stack, out.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write(dir: &Path, name: &str, content: &[u8]) -> Result<(), Failure> {
    let path = dir.join(name);
    std::fs::write(&path, content)
        .map_err(|source| Failure::new(Write { path: path.display().to_string(), source }))
}
