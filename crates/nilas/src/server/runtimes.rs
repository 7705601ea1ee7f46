//! Which interpreters functions run on: searched with the eyes of whoever started the server.
//!
//! A server that root started becomes a user who cannot look into `/root/.nvm` or `/root/.pyenv`; its spawner still
//! can. So a child that keeps root's rights looks around once the server is ready, and tells what it saw.

use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nilas_model::Interpreter;
use nilas_services::lambda::{InstalledRuntime, RuntimeSearch, RuntimesConfig, SearchPaths};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::env_vars::{self, EnvVars};
use crate::failure::Failure;
use crate::output::Output;

/// The hidden command of the child.
pub(crate) const SEARCH_COMMAND: &str = "__search-runtimes";

/// What the child tells, one JSON array on stdout.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    family: String,
    configured: bool,
    executable: PathBuf,
    prefix: Option<PathBuf>,
    version: String,
}

/// The child, which waits to be asked, once.
#[derive(Debug)]
pub(crate) struct ChildSearch(Mutex<Option<Child>>);

impl ChildSearch {
    /// Makes the child. Call it while the rights are still there; the configuration goes to the child as it came to us.
    pub(crate) fn start(config: &Config) -> std::io::Result<Self> {
        let overrides = serde_json::to_string(&config.runtimes)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .args([SEARCH_COMMAND, &overrides])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Ok(Self(Mutex::new(Some(command.spawn()?))))
    }
}

impl RuntimeSearch for ChildSearch {
    fn search(&self, _config: &RuntimesConfig) -> Vec<InstalledRuntime> {
        let child = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Closes the child's input, which is what it waits for.
        let output = child.map(Child::wait_with_output);
        let rows = match output {
            Some(Ok(output)) => serde_json::from_slice(&output.stdout).unwrap_or_default(),
            Some(Err(_)) | None => Vec::new(),
        };
        if rows.is_empty() {
            tracing::warn!("no runtime was found; `nilas doctor` shows where they are looked for");
        }
        rows.into_iter().map(Row::into_installed).collect()
    }
}

/// What the child does: waits for the end of its input, looks, tells, ends. It waits because a dozen interpreters
/// that tell their versions take the processors from a server that wants to be ready.
pub(crate) fn search_and_tell(overrides: &OsStr) -> Result<(), Failure> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    let overrides = serde_json::from_slice(overrides.as_encoded_bytes()).map_err(Failure::new)?;
    let config = RuntimesConfig { overrides, ..RuntimesConfig::default() };
    let found = search_paths(&EnvVars::of_process()).search(&config);
    let rows: Vec<Row> = found.into_iter().map(Row::of_installed).collect();
    Output::plain().line(&serde_json::to_string(&rows).map_err(Failure::new)?)
}

/// Interpreters that the configuration names.
pub(crate) fn runtimes_config(config: &Config) -> RuntimesConfig {
    RuntimesConfig { overrides: config.runtimes.clone(), ..RuntimesConfig::default() }
}

/// Where interpreters are looked for.
pub(crate) fn search_paths(env: &EnvVars) -> SearchPaths {
    let home = env.path(&env_vars::HOME);
    let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let path = env.get(&env_vars::PATH).unwrap_or_default();
    SearchPaths {
        path: std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect(),
        nvm_dir: env.path(&env_vars::NVM_DIR).or_else(|| below_home(".nvm")),
        pyenv_root: env.path(&env_vars::PYENV_ROOT).or_else(|| below_home(".pyenv")),
        home,
    }
}

impl Row {
    fn of_installed(runtime: InstalledRuntime) -> Self {
        let InstalledRuntime { family, configured, interpreter } = runtime;
        let Interpreter { executable, prefix, version } = interpreter;
        Self { family, configured, executable, prefix, version }
    }

    fn into_installed(self) -> InstalledRuntime {
        let Self { family, configured, executable, prefix, version } = self;
        InstalledRuntime {
            family,
            configured,
            interpreter: Interpreter { executable, prefix, version },
        }
    }
}
