//! The configuration keys: name, variable, meaning and default of each, once.

use std::path::PathBuf;

use nilas_model::limits;

use crate::env_vars::{self, EnvVar, EnvVars};

/// One key of `nilas.toml`; the same name is used by `nilas config` and in messages.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) env: &'static EnvVar,
    /// What the value may be, for messages: "a number of milliseconds".
    pub(crate) takes: &'static str,
    pub(crate) default: fn(&Host) -> String,
}

/// What defaults depend on.
#[derive(Debug)]
pub(crate) struct Host<'a> {
    pub(crate) root: bool,
    pub(crate) env: &'a EnvVars,
}

pub(crate) static LISTEN: Key = Key {
    name: "listen",
    env: &env_vars::NILAS_LISTEN,
    takes: "an address and a port, such as 127.0.0.1:4566",
    default: |_| "127.0.0.1:4566".to_owned(),
};
pub(crate) static DATA_DIR: Key = Key {
    name: "data_dir",
    env: &env_vars::NILAS_DATA_DIR,
    takes: "a directory",
    default: |host| default_data_dir(host).display().to_string(),
};
pub(crate) static USER: Key = Key {
    name: "user",
    env: &env_vars::NILAS_USER,
    takes: "a user name or a numeric id",
    default: |_| "nilas".to_owned(),
};
pub(crate) static ACCOUNT: Key = Key {
    name: "account",
    env: &env_vars::NILAS_ACCOUNT,
    takes: "a 12-digit account number",
    default: |_| "000000000000".to_owned(),
};
pub(crate) static REGION: Key = Key {
    name: "region",
    env: &env_vars::NILAS_REGION,
    takes: "a region, such as us-east-1",
    default: |_| "us-east-1".to_owned(),
};
pub(crate) static LOG: Key = Key {
    name: "log",
    env: &env_vars::NILAS_LOG,
    takes: "auto, human or json, a level, or both, such as json,debug or human,info,nilas_engine=trace",
    default: |_| "auto,info".to_owned(),
};
pub(crate) static CONCURRENCY: Key = Key {
    name: "limits.concurrency",
    env: &env_vars::NILAS_CONCURRENCY,
    takes: "a number of concurrent executions",
    default: |_| limits::CONCURRENT_EXECUTIONS_DEFAULT.to_string(),
};
pub(crate) static IDLE_MS: Key = Key {
    name: "limits.idle_ms",
    env: &env_vars::NILAS_IDLE_MS,
    takes: MILLISECONDS,
    default: |_| limits::IDLE_MS_MAX_DEFAULT.to_string(),
};
pub(crate) static AGE_MS: Key = Key {
    name: "limits.age_ms",
    env: &env_vars::NILAS_AGE_MS,
    takes: MILLISECONDS,
    default: |_| limits::AGE_MS_MAX_DEFAULT.to_string(),
};
pub(crate) static FREEZE_AFTER_MS: Key = Key {
    name: "limits.freeze_after_ms",
    env: &env_vars::NILAS_FREEZE_AFTER_MS,
    takes: MILLISECONDS,
    default: |_| limits::FREEZE_AFTER_MS_DEFAULT.to_string(),
};
pub(crate) static INIT_MS: Key = Key {
    name: "limits.init_ms",
    env: &env_vars::NILAS_INIT_MS,
    takes: MILLISECONDS,
    default: |_| limits::INIT_MS_MAX.to_string(),
};
pub(crate) static SHUTDOWN_MS: Key = Key {
    name: "limits.shutdown_ms",
    env: &env_vars::NILAS_SHUTDOWN_MS,
    takes: MILLISECONDS,
    default: |_| "10000".to_owned(),
};
pub(crate) static MEMORY_MIB: Key = Key {
    name: "limits.memory_mib",
    env: &env_vars::NILAS_MEMORY_MIB,
    takes: "a number of MiB for all environments together, or auto: what the machine has, less a tenth or 512",
    default: |_| "auto".to_owned(),
};
pub(crate) static MEMORY_OVERCOMMIT: Key = Key {
    name: "limits.memory_overcommit",
    env: &env_vars::NILAS_MEMORY_OVERCOMMIT,
    takes: "how many times that memory the memory sizes of busy environments may be together, from 1 to 100, such as 1.5",
    default: |_| (limits::MEMORY_OVERCOMMIT_PERCENT_DEFAULT / 100).to_string(),
};
pub(crate) static NETWORK_OUTBOUND: Key = Key {
    name: "network.outbound",
    env: &env_vars::NILAS_NETWORK_OUTBOUND,
    takes: "on or off",
    default: |_| "on".to_owned(),
};
pub(crate) static ZYGOTES: Key = Key {
    name: "zygotes",
    env: &env_vars::NILAS_ZYGOTES,
    takes: "on or off",
    default: |_| "on".to_owned(),
};
pub(crate) static VIRTUAL_CLOCK: Key = Key {
    name: "virtual_clock",
    env: &env_vars::NILAS_VIRTUAL_CLOCK,
    takes: "on or off",
    default: |_| "off".to_owned(),
};
pub(crate) static ROLES_ADMINISTER: Key = Key {
    name: "roles.administer",
    env: &env_vars::NILAS_ROLES_ADMINISTER,
    takes: "on or off",
    default: |_| "off".to_owned(),
};

/// Every key, in the order `nilas config` prints them. Beside them there is the table `runtimes`.
pub(crate) static ALL: &[&Key] = &[
    &LISTEN,
    &DATA_DIR,
    &USER,
    &ACCOUNT,
    &REGION,
    &LOG,
    &CONCURRENCY,
    &IDLE_MS,
    &AGE_MS,
    &FREEZE_AFTER_MS,
    &INIT_MS,
    &SHUTDOWN_MS,
    &MEMORY_MIB,
    &MEMORY_OVERCOMMIT,
    &NETWORK_OUTBOUND,
    &ZYGOTES,
    &VIRTUAL_CLOCK,
    &ROLES_ADMINISTER,
];

/// `[runtimes]` maps identifiers such as `nodejs20.x` to executables.
pub(crate) const RUNTIMES_PREFIX: &str = "runtimes.";

const MILLISECONDS: &str = "a number of milliseconds";

/// Where `nilas.toml` is looked for when nobody names it. Not in the working directory: a server that root starts
/// in somebody's directory must not obey that somebody.
pub(crate) fn default_config_file(host: &Host) -> Option<PathBuf> {
    if host.root {
        return Some(PathBuf::from("/etc/nilas/nilas.toml"));
    }
    let base = host
        .env
        .path(&env_vars::XDG_CONFIG_HOME)
        .or_else(|| Some(host.env.path(&env_vars::HOME)?.join(".config")))?;
    Some(base.join("nilas/nilas.toml"))
}

fn default_data_dir(host: &Host) -> PathBuf {
    if host.root {
        return PathBuf::from("/var/lib/nilas");
    }
    let home = || host.env.path(&env_vars::HOME).map(|home| home.join(".local/share"));
    host.env.path(&env_vars::XDG_DATA_HOME).or_else(home).unwrap_or_default().join("nilas")
}
