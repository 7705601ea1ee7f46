//! Peers from their registries, in pinned versions, into a cache in the target directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bench::processes;

const INSTALL_MAX: Duration = Duration::from_secs(600);

/// A package of npm or PyPI and the version that is measured.
type Pin = (&'static str, &'static str);

/// osls is the living fork of Serverless Framework 3; serverless-offline asks for it by that name.
const SERVERLESS_OFFLINE: &[Pin] =
    &[("serverless", "npm:osls@4.3.1"), ("serverless-offline", "14.8.2")];
const FUNCTIONS_FRAMEWORK: &[Pin] = &[("@google-cloud/functions-framework", "5.0.5")];
const WORKERD: &[Pin] = &[("workerd", "1.20261117.1")];
const MINISTACK: &[Pin] = &[("ministack", "1.5.33")];
const AWSLAMBDARIC: &[Pin] = &[("awslambdaric", "4.2.2")];
/// AWS's runtime interface emulator, as a file of its own, is in here.
const SAM: &[Pin] = &[("aws-sam-cli", "1.170.0")];

/// Where peers are.
#[derive(Debug)]
pub(super) struct Cache(pub(super) PathBuf);

impl Cache {
    /// The `node_modules` with osls and serverless-offline.
    pub(super) fn serverless_offline(&self) -> Result<PathBuf, String> {
        Ok(self.npm("serverless-offline", SERVERLESS_OFFLINE)?.join("node_modules"))
    }

    /// The framework's entry.
    pub(super) fn functions_framework(&self) -> Result<PathBuf, String> {
        let dir = self.npm("functions-framework", FUNCTIONS_FRAMEWORK)?;
        Ok(dir.join("node_modules/@google-cloud/functions-framework/build/src/main.js"))
    }

    /// The executable, not the Node script that starts it.
    pub(super) fn workerd(&self) -> Result<PathBuf, String> {
        let platform = match std::env::consts::ARCH {
            "x86_64" => "workerd-linux-64",
            "aarch64" => "workerd-linux-arm64",
            other => return Err(format!("no build for {other}")),
        };
        let dir = self.npm("workerd", WORKERD)?;
        Ok(dir.join("node_modules/@cloudflare").join(platform).join("bin/workerd"))
    }

    /// The executable.
    pub(super) fn ministack(&self) -> Result<PathBuf, String> {
        Ok(self.venv("ministack", MINISTACK, &[])?.join("bin/ministack"))
    }

    /// A Python that has it.
    pub(super) fn awslambdaric(&self) -> Result<PathBuf, String> {
        Ok(self.venv("awslambdaric", AWSLAMBDARIC, &[])?.join("bin/python"))
    }

    /// The emulator's executable.
    pub(super) fn rie(&self) -> Result<PathBuf, String> {
        let name = match std::env::consts::ARCH {
            "x86_64" => "aws-lambda-rie-x86_64",
            "aarch64" => "aws-lambda-rie-arm64",
            other => return Err(format!("no build for {other}")),
        };
        let lib = self.venv("rie", SAM, &["--no-deps"])?.join("lib");
        let pythons = fs::read_dir(&lib).map_err(|e| format!("{}: {e}", lib.display()))?;
        let inside = Path::new("site-packages/samcli/local/rapid").join(name);
        let found =
            pythons.flatten().map(|python| python.path().join(&inside)).find(|f| f.exists());
        let rie = found.ok_or_else(|| format!("aws-sam-cli holds no {name}"))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&rie, mode).map_err(|e| format!("{}: {e}", rie.display()))?;
        Ok(rie)
    }

    fn npm(&self, name: &str, pins: &[Pin]) -> Result<PathBuf, String> {
        self.once(name, pins, |dir, log| {
            let wanted: serde_json::Map<_, _> = pins
                .iter()
                .map(|(name, version)| ((*name).to_owned(), (*version).into()))
                .collect();
            let manifest = serde_json::json!({"private": true, "dependencies": wanted});
            let path = dir.join("package.json");
            fs::write(&path, manifest.to_string())
                .map_err(|e| format!("{}: {e}", path.display()))?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(dir);
            processes::run(&mut npm, INSTALL_MAX, log)
        })
    }

    fn venv(&self, name: &str, pins: &[Pin], flags: &[&str]) -> Result<PathBuf, String> {
        self.once(name, pins, |dir, log| {
            let mut venv = Command::new("python3");
            processes::run(venv.args(["-m", "venv"]).arg(dir), INSTALL_MAX, log)?;
            let mut pip = Command::new(dir.join("bin/pip"));
            pip.args(["install", "--disable-pip-version-check", "--no-input"]).args(flags);
            pip.args(pins.iter().map(|(name, version)| format!("{name}=={version}")));
            processes::run(&mut pip, INSTALL_MAX, log)
        })
    }

    /// Installs into a directory of its own, unless these versions are there.
    fn once(
        &self,
        name: &str,
        pins: &[Pin],
        install: impl FnOnce(&Path, &Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let dir = self.0.join(name);
        let (stamp, log) = (dir.join("installed"), self.0.join(format!("{name}.log")));
        let versions = shown(pins);
        if fs::read_to_string(&stamp).is_ok_and(|found| found == versions) {
            return Ok(dir);
        }
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        install(&dir, &log).map_err(|error| format!("not installed: {error}"))?;
        fs::write(&stamp, versions).map_err(|e| format!("{}: {e}", stamp.display()))?;
        Ok(dir)
    }
}

/// All versions, for below the table.
pub(super) fn versions() -> String {
    let all = [MINISTACK, SERVERLESS_OFFLINE, FUNCTIONS_FRAMEWORK, WORKERD, AWSLAMBDARIC, SAM];
    all.map(shown).join(", ")
}

fn shown(pins: &[Pin]) -> String {
    let words = pins.iter().map(|(name, version)| match version.strip_prefix("npm:") {
        Some(other) => other.replace('@', " "),
        None => format!("{name} {version}"),
    });
    words.collect::<Vec<_>>().join(", ")
}
