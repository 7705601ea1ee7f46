//! A version of a function as the invoke path sees it: immutable, replaced whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{AccountId, FunctionArn, FunctionId, FunctionKey, FunctionName, Region, Version};

/// Everything needed to run one version of a function. Shared as `Arc<VersionSnapshot>` and never changed:
/// an update makes a new one with a higher `generation`, and environments of older ones retire.
#[derive(Debug, Clone)]
pub struct VersionSnapshot {
    pub account: AccountId,
    pub region: Region,
    pub name: FunctionName,
    pub version: Version,
    /// Grows with each change of code or configuration of this (function, version), and when a function is
    /// deleted and made again; unique within the server's life.
    pub generation: u64,
    /// The identifier the user gave, such as `nodejs8.10`.
    pub runtime: String,
    pub kind: RuntimeKind,
    /// None for custom runtimes, whose `bootstrap` is in the package or a layer.
    pub interpreter: Option<Interpreter>,
    pub handler: String,
    pub role_arn: String,
    pub memory_mib: u32,
    pub timeout_ms: u64,
    pub ephemeral_mib: u32,
    /// The function's own variables; reserved ones were refused on create.
    pub environment: BTreeMap<String, String>,
    /// Unpacked package, read-only, mounted at `/var/task`.
    pub code_dir: PathBuf,
    /// Unpacked layers, lowest first, merged at `/opt`.
    pub layer_dirs: Vec<PathBuf>,
    pub logging: LoggingConfig,
    /// Its environments are restored from a snapshot: a published version with SnapStart `ApplyOn=PublishedVersions`,
    /// of Node or Python.
    pub snap_start: bool,
}

impl VersionSnapshot {
    /// The environments of two snapshots are interchangeable exactly when their keys and generations are equal.
    pub fn key(&self) -> FunctionKey {
        FunctionKey { function: self.function(), version: self.version }
    }

    pub fn function(&self) -> FunctionId {
        FunctionId {
            account: self.account.clone(),
            region: self.region.clone(),
            name: self.name.clone(),
        }
    }

    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, without a qualifier.
    pub fn arn(&self) -> FunctionArn {
        FunctionArn {
            region: self.region.clone(),
            account: self.account.clone(),
            name: self.name.clone(),
            qualifier: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeKind {
    /// Our bootstrap on an installed Node, framed protocol.
    Node,
    /// Our bootstrap on an installed Python, framed protocol.
    Python,
    /// An executable `bootstrap`, AWS's HTTP Runtime API.
    Custom,
}

/// An installed interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interpreter {
    /// Path on the host, symlinks resolved, such as `/usr/bin/node` or `/root/.pyenv/versions/3.12.1/bin/python3.12`.
    pub executable: PathBuf,
    /// Installation prefix to mount at `/var/lang`, for interpreters that live outside `/usr`.
    pub prefix: Option<PathBuf>,
    /// Full version, such as `20.20.2`.
    pub version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Levels of JSON logging, most talkative first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl LogLevel {
    /// AWS's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

/// Where and how a version logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingConfig {
    pub group: String,
    pub format: LogFormat,
    /// Both levels exist only with `LogFormat::Json`.
    pub application_level: Option<LogLevel>,
    pub system_level: Option<LogLevel>,
}
