//! From flags, environment and file to one value a key, each with the place it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::config::keys::{self, Host, Key, RUNTIMES_PREFIX};
use crate::env_vars::{self, EnvVars};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Environment(&'static str),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One effective value.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) source: Source,
}

/// Values the command line gave, by key.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) values: BTreeMap<&'static str, String>,
}

impl Flags {
    pub(crate) fn set(&mut self, key: &Key, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.values.insert(key.name, value.to_string());
        }
    }
}

/// Flags win over the environment, which wins over the file, which wins over the defaults.
pub(crate) fn effective(flags: &Flags, host: &Host) -> Result<Vec<Setting>, ConfigError> {
    let (file_path, file) = read_file(flags, host)?;
    let mut settings: Vec<Setting> = keys::ALL
        .iter()
        .map(|key| {
            let (value, source) = if let Some(value) = flags.values.get(key.name) {
                (value.clone(), Source::Flag)
            } else if let Some(value) = host.env.get(key.env) {
                (value.to_owned(), Source::Environment(key.env.name))
            } else if let Some(value) = file.get(key.name) {
                (value.clone(), Source::File(file_path.clone()))
            } else {
                ((key.default)(host), Source::Default)
            };
            Setting { name: key.name.to_owned(), value, source }
        })
        .collect();
    let runtimes = file.into_iter().filter(|(name, _)| name.starts_with(RUNTIMES_PREFIX));
    settings.extend(runtimes.map(|(name, value)| Setting {
        name,
        value,
        source: Source::File(file_path.clone()),
    }));
    Ok(settings)
}

/// Reads the file, if there is one; only a file that somebody named must exist.
fn read_file(
    flags: &Flags,
    host: &Host,
) -> Result<(PathBuf, BTreeMap<String, String>), ConfigError> {
    let named = flags.config_file.clone().or_else(|| named_by_environment(host.env));
    let Some(path) = named.clone().or_else(|| keys::default_config_file(host)) else {
        return Ok((PathBuf::new(), BTreeMap::new()));
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let values = parse_file(&path, &text)?;
            Ok((path, values))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            Ok((path, BTreeMap::new()))
        }
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

fn named_by_environment(env: &EnvVars) -> Option<PathBuf> {
    env.path(&env_vars::NILAS_CONFIG)
}

/// Flattens the file to dotted names, and refuses names that are no keys: a misspelt limit must not be silently off.
fn parse_file(path: &Path, text: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|source| ConfigError::Syntax {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let mut flat = BTreeMap::new();
    flatten(path, "", &table, &mut flat)?;
    for name in flat.keys() {
        if !name.starts_with(RUNTIMES_PREFIX) && !keys::ALL.iter().any(|key| key.name == name) {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                key: name.clone(),
                nearest: nearest_key(name),
            });
        }
    }
    Ok(flat)
}

fn flatten(
    path: &Path,
    prefix: &str,
    table: &toml::Table,
    flat: &mut BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        let text = match value {
            // Identifiers hold dots: `[runtimes] "nodejs20.x" = …` is one key, as is `nodejs20.x = …` by TOML's rules.
            toml::Value::Table(inner) => {
                flatten(path, &format!("{name}."), inner, flat)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(true) => "on".to_owned(),
            toml::Value::Boolean(false) => "off".to_owned(),
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) => {
                return Err(ConfigError::ValueKind {
                    path: path.to_owned(),
                    key: name,
                    kind: value.type_str(),
                });
            }
        };
        flat.insert(name, text);
    }
    Ok(())
}

/// The key somebody may have meant.
fn nearest_key(name: &str) -> Option<&'static str> {
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    keys::ALL
        .iter()
        .map(|key| (edits(key.name, name).min(edits(last(key.name), name)), key.name))
        .min()
        .filter(|(edits, _)| *edits <= 3)
        .map(|(_, key)| key)
}

/// Levenshtein's distance, one row at a time.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
