//! The effective configuration: flags over environment over `nilas.toml` over defaults.

pub(crate) mod keys;
mod layers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nilas_model::{AccountId, Region};

use crate::failure::Failure;

pub(crate) use keys::{
    ACCOUNT, AGE_MS, CONCURRENCY, DATA_DIR, FREEZE_AFTER_MS, Host, IDLE_MS, INIT_MS, Key, LISTEN,
    LOG, MEMORY_MIB, MEMORY_OVERCOMMIT, NETWORK_OUTBOUND, REGION, ROLES_ADMINISTER, SHUTDOWN_MS,
    USER, VIRTUAL_CLOCK, ZYGOTES,
};
pub(crate) use layers::{Flags, Setting, Source};

/// Everything that can be configured, parsed.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) user: String,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) outbound: bool,
    /// Fork interpreters instead of starting each anew.
    pub(crate) zygotes: bool,
    /// Whether the time of retries and schedules can be moved, for tests.
    pub(crate) virtual_clock: bool,
    pub(crate) roles_administer: bool,
    /// Runtime identifier to executable.
    pub(crate) runtimes: BTreeMap<String, PathBuf>,
    /// The same values as text, with their sources.
    pub(crate) settings: Vec<Setting>,
}

#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) concurrency: u32,
    pub(crate) idle_ms: u64,
    pub(crate) age_ms: u64,
    pub(crate) freeze_after_ms: u64,
    pub(crate) init_ms: u64,
    pub(crate) shutdown: Duration,
    pub(crate) memory: MemoryBudget,
    pub(crate) memory_overcommit_percent: u32,
}

/// Memory of all environments together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryBudget {
    /// What the machine has, less what everything else needs.
    Auto,
    Mib(u64),
}

/// The server's own log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) form: LogForm,
    /// A level, or a filter in `tracing`'s language.
    pub(crate) filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogForm {
    /// Human on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {path} is not TOML", path = path.display())]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("unknown key `{key}` in {path}", path = path.display())]
    UnknownKey { path: PathBuf, key: String, nearest: Option<&'static str> },
    #[error("`{key}` in {path} takes no {kind}", path = path.display())]
    ValueKind { path: PathBuf, key: String, kind: &'static str },
    #[error("`{value}` is no value for `{key}` ({source_of_value})")]
    Value { key: &'static str, value: String, source_of_value: Source, takes: &'static str },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Read { .. } => {
                Some("if the file is not yours, set HOME, or name another with --config".to_owned())
            }
            ConfigError::Syntax { .. } => None,
            ConfigError::UnknownKey { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            ConfigError::UnknownKey { nearest: None, .. } | ConfigError::ValueKind { .. } => {
                Some("`nilas config` lists every key with its value".to_owned())
            }
            ConfigError::Value { key, takes, .. } => Some(format!("`{key}` takes {takes}")),
        };
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Reads and parses the configuration.
pub(crate) fn load(flags: &Flags, host: &Host) -> Result<Config, ConfigError> {
    let settings = layers::effective(flags, host)?;
    let values = Values(&settings);
    let limits = Limits {
        concurrency: values.parsed(&CONCURRENCY)?,
        idle_ms: values.parsed(&IDLE_MS)?,
        age_ms: values.parsed(&AGE_MS)?,
        freeze_after_ms: values.parsed(&FREEZE_AFTER_MS)?,
        init_ms: values.parsed(&INIT_MS)?,
        shutdown: Duration::from_millis(values.parsed(&SHUTDOWN_MS)?),
        memory: values.with(&MEMORY_MIB, MemoryBudget::parse)?,
        memory_overcommit_percent: values.with(&MEMORY_OVERCOMMIT, parse_percent)?,
    };
    Ok(Config {
        listen: values.parsed(&LISTEN)?,
        data_dir: values.with(&DATA_DIR, |text| std::path::absolute(text).ok())?,
        user: values.with(&USER, |text| (!text.is_empty()).then(|| text.to_owned()))?,
        account: values.with(&ACCOUNT, |text| AccountId::parse(text).ok())?,
        region: values.with(&REGION, |text| Region::parse(text).ok())?,
        log: values.with(&LOG, Log::parse)?,
        limits,
        outbound: values.with(&NETWORK_OUTBOUND, parse_switch)?,
        zygotes: values.with(&ZYGOTES, parse_switch)?,
        virtual_clock: values.with(&VIRTUAL_CLOCK, parse_switch)?,
        roles_administer: values.with(&ROLES_ADMINISTER, parse_switch)?,
        runtimes: settings.iter().filter_map(runtime_override).collect(),
        settings,
    })
}

impl Config {
    /// True when somebody chose this value, false when it is the default.
    pub(crate) fn is_chosen(&self, key: &Key) -> bool {
        self.settings
            .iter()
            .any(|setting| setting.name == key.name && setting.source != Source::Default)
    }

    /// Where a client on this machine reaches a server with this configuration.
    pub(crate) fn endpoint(&self) -> String {
        let ip = match self.listen.ip() {
            ip if !ip.is_unspecified() => ip,
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        format!("http://{}", SocketAddr::new(ip, self.listen.port()))
    }
}

impl MemoryBudget {
    fn parse(text: &str) -> Option<Self> {
        if text == "auto" {
            return Some(Self::Auto);
        }
        let mib = text.parse().ok().filter(|mib| (1..=u64::from(u32::MAX)).contains(mib))?;
        Some(Self::Mib(mib))
    }

    /// On a machine that has so much. Less than half is never left for others: a small machine is there for functions.
    pub(crate) fn bytes(self, total_bytes: u64) -> u64 {
        const MIB: u64 = 1_048_576;
        match self {
            Self::Auto => total_bytes - (total_bytes / 10).max(512 * MIB).min(total_bytes / 2),
            Self::Mib(mib) => mib * MIB,
        }
    }
}

impl Log {
    /// `FORM`, `FILTER` or `FORM,FILTER`.
    fn parse(text: &str) -> Option<Self> {
        let (first, rest) = text.split_once(',').unwrap_or((text, ""));
        let form = match first {
            "auto" => Some(LogForm::Auto),
            "human" => Some(LogForm::Human),
            "json" => Some(LogForm::Json),
            _ => None,
        };
        let filter = match (form, rest) {
            (None, _) => text,
            (Some(_), "") => "info",
            (Some(_), rest) => rest,
        };
        // A bare word would be taken for a target, and every log line would be gone.
        let is_level = |part: &str| {
            part.parse::<tracing::Level>().is_ok() || part.contains('=') || part == "off"
        };
        let valid = filter.split(',').all(is_level)
            && tracing_subscriber::EnvFilter::try_new(filter).is_ok();
        valid.then(|| Self { form: form.unwrap_or(LogForm::Auto), filter: filter.to_owned() })
    }
}

/// Looks values up by key; every key has one.
struct Values<'a>(&'a [Setting]);

impl Values<'_> {
    fn with<T>(
        &self,
        key: &'static Key,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let setting = self.0.iter().find(|setting| setting.name == key.name);
        let setting = setting.expect("`effective` makes a setting of every key");
        parse(&setting.value).ok_or_else(|| ConfigError::Value {
            key: key.name,
            value: setting.value.clone(),
            source_of_value: setting.source.clone(),
            takes: key.takes,
        })
    }

    fn parsed<T: std::str::FromStr>(&self, key: &'static Key) -> Result<T, ConfigError> {
        self.with(key, |text| text.parse().ok())
    }
}

fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

/// A factor from 1 to 100 with at most two decimals, in hundredths.
fn parse_percent(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100)?;
    let digits = decimals.chars().all(|digit| digit.is_ascii_digit()) && decimals.len() <= 2;
    let hundredths: u32 =
        format!("{decimals:0<2}").parse().ok().filter(|_| digits && !decimals.is_empty())?;
    Some(whole * 100 + hundredths).filter(|percent| (100..=10_000).contains(percent))
}

fn runtime_override(setting: &Setting) -> Option<(String, PathBuf)> {
    let identifier = setting.name.strip_prefix(keys::RUNTIMES_PREFIX)?;
    Some((identifier.to_owned(), Path::new(&setting.value).to_owned()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::env_vars::{self, EnvVars};

    fn load_text(
        toml: &str,
        env: &EnvVars,
        flags: &[(&'static Key, &str)],
    ) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nilas.toml");
        std::fs::write(&path, toml).unwrap();
        let mut given = Flags { config_file: Some(path), ..Flags::default() };
        for (key, value) in flags {
            given.set(key, Some(*value));
        }
        load(&given, &Host { root: false, env }).map_err(|error| {
            let mut out = Vec::new();
            Failure::from(error).show(&mut out, false).unwrap();
            String::from_utf8(out).unwrap().replace(&dir.path().display().to_string(), "DIR")
        })
    }

    fn refused(toml: &str, expected: Expect) {
        let env = EnvVars::of(&[(&env_vars::HOME, "/home/ada")]);
        expected.assert_eq(&load_text(toml, &env, &[]).unwrap_err());
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let env =
            EnvVars::of(&[(&env_vars::HOME, "/home/ada"), (&env_vars::NILAS_REGION, "eu-west-1")]);
        let toml = "listen = '127.0.0.1:1'\nregion = 'eu-west-2'\naccount = '123456789012'\n";
        let config = load_text(toml, &env, &[(&LISTEN, "127.0.0.1:2")]).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.region.as_str(), "eu-west-1");
        assert_eq!(config.account.as_str(), "123456789012");
        assert_eq!(config.data_dir, Path::new("/home/ada/.local/share/nilas"));
        let sources: Vec<String> = config
            .settings
            .iter()
            .take(5)
            .map(|s| format!("{}: {}", s.name, kind(&s.source)))
            .collect();
        assert_eq!(
            sources,
            [
                "listen: flag",
                "data_dir: default",
                "user: default",
                "account: file",
                "region: environment"
            ]
        );
    }

    fn kind(source: &Source) -> &'static str {
        match source {
            Source::Flag => "flag",
            Source::Environment(_) => "environment",
            Source::File(_) => "file",
            Source::Default => "default",
        }
    }

    #[test]
    fn root_keeps_its_data_in_var_lib() {
        let env = EnvVars::of(&[(&env_vars::HOME, "/root")]);
        let config = load(&Flags::default(), &Host { root: true, env: &env });
        // The machine that runs the tests may have an /etc/nilas/nilas.toml of its own.
        if let Ok(config) = config
            && !config.is_chosen(&DATA_DIR)
        {
            assert_eq!(config.data_dir, Path::new("/var/lib/nilas"));
        }
    }

    #[test]
    fn runtimes_take_any_identifier() {
        let env = EnvVars::of(&[(&env_vars::HOME, "/home/ada")]);
        let config =
            load_text("[runtimes]\n\"nodejs20.x\" = '/opt/node20/bin/node'\n", &env, &[]).unwrap();
        assert_eq!(config.runtimes["nodejs20.x"], Path::new("/opt/node20/bin/node"));
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_one_that_was_meant() {
        refused(
            "[limits]\nconcurency = 3\n",
            expect![[r"
                error: unknown key `limits.concurency` in DIR/nilas.toml
                hint: did you mean `limits.concurrency`?
            "]],
        );
        refused(
            "[plugins]\nx = 3\n",
            expect![[r"
                error: unknown key `plugins.x` in DIR/nilas.toml
                hint: `nilas config` lists every key with its value
            "]],
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_says_where_it_stands_and_what_is_taken() {
        refused(
            "listen = 'localhost'\n",
            expect![[r"
                error: `localhost` is no value for `listen` (file DIR/nilas.toml)
                hint: `listen` takes an address and a port, such as 127.0.0.1:4566
            "]],
        );
        refused(
            "[limits]\nidle_ms = -1\n",
            expect![[r"
                error: `-1` is no value for `limits.idle_ms` (file DIR/nilas.toml)
                hint: `limits.idle_ms` takes a number of milliseconds
            "]],
        );
        refused(
            "listen = [1]\n",
            expect![[r"
                error: `listen` in DIR/nilas.toml takes no array
                hint: `nilas config` lists every key with its value
            "]],
        );
    }

    #[test]
    fn the_log_takes_a_form_a_level_or_both() {
        let parsed = |text| Log::parse(text).map(|log| (log.form, log.filter));
        assert_eq!(parsed("json"), Some((LogForm::Json, "info".to_owned())));
        assert_eq!(parsed("debug"), Some((LogForm::Auto, "debug".to_owned())));
        assert_eq!(
            parsed("human,info,nilas_engine=trace"),
            Some((LogForm::Human, "info,nilas_engine=trace".to_owned()))
        );
        assert_eq!(parsed("xml"), None);
        assert_eq!(parsed("json,loud"), None);
    }

    #[test]
    fn the_memory_of_the_machine_is_shared_with_everything_else() {
        const GIB: u64 = 1 << 30;
        assert_eq!(MemoryBudget::parse("auto"), Some(MemoryBudget::Auto));
        assert_eq!(MemoryBudget::Auto.bytes(20 * GIB), 18 * GIB);
        assert_eq!(MemoryBudget::Auto.bytes(2 * GIB), 2 * GIB - (1 << 29));
        assert_eq!(MemoryBudget::Auto.bytes(1 << 29), 1 << 28);
        assert_eq!(MemoryBudget::parse("2048").map(|budget| budget.bytes(0)), Some(2 * GIB));
        assert_eq!(MemoryBudget::parse("0"), None);
        assert_eq!(MemoryBudget::parse("2 GiB"), None);
    }

    #[test]
    fn overcommitment_is_a_factor() {
        for (text, percent) in
            [("1", 100), ("4", 400), ("1.5", 150), ("2.25", 225), ("100", 10_000)]
        {
            assert_eq!(parse_percent(text), Some(percent), "{text}");
        }
        for text in ["0", "0.99", "100.01", "-1", "1.", "1.125", "1e2", "many"] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        let env = EnvVars::of(&[(&env_vars::HOME, "/home/ada")]);
        let endpoint = |listen| load_text("", &env, &[(&LISTEN, listen)]).unwrap().endpoint();
        assert_eq!(endpoint("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(endpoint("[::]:80"), "http://[::1]:80");
        assert_eq!(endpoint("10.0.0.1:80"), "http://10.0.0.1:80");
    }
}
