//! Every environment variable nilas reads, each with a line that says what it is for.
//!
//! Invariant: nothing else in this crate asks the process for its environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A variable nilas knows.
#[derive(Debug)]
pub(crate) struct EnvVar {
    pub(crate) name: &'static str,
    /// One sentence for `nilas config --help` and the reference page.
    pub(crate) doc: &'static str,
}

const fn var(name: &'static str, doc: &'static str) -> EnvVar {
    EnvVar { name, doc }
}

pub(crate) static NILAS_CONFIG: EnvVar =
    var("NILAS_CONFIG", "The configuration file, instead of the usual place.");
pub(crate) static NILAS_ENDPOINT: EnvVar =
    var("NILAS_ENDPOINT", "Where the command line finds the server.");
pub(crate) static NILAS_LISTEN: EnvVar =
    var("NILAS_LISTEN", "Address and port the server listens on.");
pub(crate) static NILAS_DATA_DIR: EnvVar =
    var("NILAS_DATA_DIR", "Where functions, logs and the root key are kept.");
pub(crate) static NILAS_USER: EnvVar =
    var("NILAS_USER", "User the server becomes when root starts it.");
pub(crate) static NILAS_ACCOUNT: EnvVar =
    var("NILAS_ACCOUNT", "The 12-digit account number of the server.");
pub(crate) static NILAS_REGION: EnvVar = var("NILAS_REGION", "Default region of the command line.");
pub(crate) static NILAS_LOG: EnvVar = var("NILAS_LOG", "Form and level of the server's own log.");
pub(crate) static NILAS_CONCURRENCY: EnvVar =
    var("NILAS_CONCURRENCY", "Concurrent executions of the account.");
pub(crate) static NILAS_MEMORY_MIB: EnvVar =
    var("NILAS_MEMORY_MIB", "Memory for all environments together, in MiB.");
pub(crate) static NILAS_MEMORY_OVERCOMMIT: EnvVar = var(
    "NILAS_MEMORY_OVERCOMMIT",
    "How many times that memory the memory sizes of busy environments may be together.",
);
pub(crate) static NILAS_IDLE_MS: EnvVar =
    var("NILAS_IDLE_MS", "Idle time after which an environment is stopped.");
pub(crate) static NILAS_AGE_MS: EnvVar =
    var("NILAS_AGE_MS", "Age after which an idle environment is stopped.");
pub(crate) static NILAS_FREEZE_AFTER_MS: EnvVar =
    var("NILAS_FREEZE_AFTER_MS", "Idle time before an environment is frozen.");
pub(crate) static NILAS_INIT_MS: EnvVar =
    var("NILAS_INIT_MS", "Time a function has to initialise.");
pub(crate) static NILAS_SHUTDOWN_MS: EnvVar =
    var("NILAS_SHUTDOWN_MS", "Time running invocations get when the server stops.");
pub(crate) static NILAS_NETWORK_OUTBOUND: EnvVar =
    var("NILAS_NETWORK_OUTBOUND", "Whether functions reach the outside world: on or off.");
pub(crate) static NILAS_ZYGOTES: EnvVar = var(
    "NILAS_ZYGOTES",
    "Whether Node and Python functions are forked from booted interpreters: on or off.",
);
pub(crate) static NILAS_VIRTUAL_CLOCK: EnvVar = var(
    "NILAS_VIRTUAL_CLOCK",
    "Whether `nilas clock advance` may move the time of retries and schedules: on or off.",
);
pub(crate) static NILAS_ROLES_ADMINISTER: EnvVar = var(
    "NILAS_ROLES_ADMINISTER",
    "Whether a function's role may do all that the root key may: on or off.",
);
pub(crate) static XDG_CONFIG_HOME: EnvVar =
    var("XDG_CONFIG_HOME", "Holds nilas/nilas.toml of an ordinary user.");
pub(crate) static XDG_DATA_HOME: EnvVar =
    var("XDG_DATA_HOME", "Holds the data directory of an ordinary user.");
pub(crate) static HOME: EnvVar = var("HOME", "The user's home, for the default places.");
pub(crate) static PATH: EnvVar = var("PATH", "Where Node and Python are looked for.");
pub(crate) static NVM_DIR: EnvVar = var("NVM_DIR", "Where nvm keeps Node versions.");
pub(crate) static PYENV_ROOT: EnvVar = var("PYENV_ROOT", "Where pyenv keeps Python versions.");
pub(crate) static SHELL: EnvVar = var("SHELL", "Decides the syntax of `nilas env`.");
pub(crate) static NO_COLOR: EnvVar =
    var("NO_COLOR", "Turns colours off when set to anything but nothing.");
pub(crate) static AWS_ENDPOINT_URL: EnvVar =
    var("AWS_ENDPOINT_URL", "Server of the command line, as AWS's tools read it.");
pub(crate) static AWS_ACCESS_KEY_ID: EnvVar = var("AWS_ACCESS_KEY_ID", "Key of the command line.");
pub(crate) static AWS_SECRET_ACCESS_KEY: EnvVar =
    var("AWS_SECRET_ACCESS_KEY", "Secret of that key.");
pub(crate) static AWS_SESSION_TOKEN: EnvVar =
    var("AWS_SESSION_TOKEN", "Session token of that key.");
pub(crate) static AWS_REGION: EnvVar = var("AWS_REGION", "Region of the command line.");
pub(crate) static AWS_DEFAULT_REGION: EnvVar =
    var("AWS_DEFAULT_REGION", "Region, where AWS_REGION is not set.");
pub(crate) static AWS_CONFIG_FILE: EnvVar =
    var("AWS_CONFIG_FILE", "File `nilas env --profile` writes its profile to.");
pub(crate) static AWS_SHARED_CREDENTIALS_FILE: EnvVar =
    var("AWS_SHARED_CREDENTIALS_FILE", "File `nilas env --profile` writes its key to.");

/// All of the above, in the order of the reference.
pub(crate) static ALL: &[&EnvVar] = &[
    &NILAS_CONFIG,
    &NILAS_ENDPOINT,
    &NILAS_LISTEN,
    &NILAS_DATA_DIR,
    &NILAS_USER,
    &NILAS_ACCOUNT,
    &NILAS_REGION,
    &NILAS_LOG,
    &NILAS_CONCURRENCY,
    &NILAS_MEMORY_MIB,
    &NILAS_MEMORY_OVERCOMMIT,
    &NILAS_IDLE_MS,
    &NILAS_AGE_MS,
    &NILAS_FREEZE_AFTER_MS,
    &NILAS_INIT_MS,
    &NILAS_SHUTDOWN_MS,
    &NILAS_NETWORK_OUTBOUND,
    &NILAS_ZYGOTES,
    &NILAS_VIRTUAL_CLOCK,
    &NILAS_ROLES_ADMINISTER,
    &XDG_CONFIG_HOME,
    &XDG_DATA_HOME,
    &HOME,
    &PATH,
    &NVM_DIR,
    &PYENV_ROOT,
    &SHELL,
    &NO_COLOR,
    &AWS_ENDPOINT_URL,
    &AWS_ACCESS_KEY_ID,
    &AWS_SECRET_ACCESS_KEY,
    &AWS_SESSION_TOKEN,
    &AWS_REGION,
    &AWS_DEFAULT_REGION,
    &AWS_CONFIG_FILE,
    &AWS_SHARED_CREDENTIALS_FILE,
];

/// The variables of this process, or of a test.
#[derive(Debug, Default)]
pub(crate) struct EnvVars {
    declared: BTreeMap<&'static str, String>,
    /// The whole environment, which `${env:NAME}` in serverless.yml may name.
    everything: BTreeMap<String, String>,
}

impl EnvVars {
    /// Reads the declared variables; one that is not UTF-8 counts as unset.
    pub(crate) fn of_process() -> Self {
        let everything: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let declared =
            ALL.iter().filter_map(|var| Some((var.name, everything.get(var.name)?.clone())));
        Self { declared: declared.collect(), everything }
    }

    /// Every variable of the process that is UTF-8.
    pub(crate) fn everything(&self) -> &BTreeMap<String, String> {
        &self.everything
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&'static EnvVar, &str)]) -> Self {
        let declared = pairs.iter().map(|(var, value)| (var.name, (*value).to_owned())).collect();
        Self { declared, everything: BTreeMap::new() }
    }

    /// The value of `var`; an empty one counts as unset, as the XDG specification and AWS's tools have it.
    pub(crate) fn get(&self, var: &EnvVar) -> Option<&str> {
        self.declared.get(var.name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn path(&self, var: &EnvVar) -> Option<PathBuf> {
        self.get(var).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_declared_once_and_described() {
        let mut names: Vec<&str> = ALL.iter().map(|var| var.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(ALL.iter().all(|var| var.doc.ends_with('.')));
    }
}
