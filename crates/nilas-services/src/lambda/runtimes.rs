//! Which interpreter runs a runtime identifier: configuration first, then what is found on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nilas_model::{Interpreter, RuntimeKind};

mod detect;

pub use detect::SearchPaths;

/// How runtimes are chosen.
#[derive(Debug, Clone, Default)]
pub struct RuntimesConfig {
    /// Interpreter by identifier (`nodejs8.10`, `python3.12`) or by family (`nodejs`, `python3`).
    pub overrides: BTreeMap<String, PathBuf>,
    /// Refuses an interpreter whose version differs from the identifier's.
    pub strict: bool,
}

/// The interpreters of this machine. Detection runs once, on a thread of its own, and never delays the start.
#[derive(Debug, Clone)]
pub struct RuntimeCatalog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: RuntimesConfig,
    search: Box<dyn RuntimeSearch>,
    found: OnceLock<Found>,
    /// Substitutions already logged: each is worth one line, not one a function.
    logged: Mutex<BTreeSet<String>>,
}

/// What detection saw, best first.
#[derive(Debug, Default)]
struct Found {
    node: Vec<Interpreter>,
    python: Vec<Interpreter>,
    overrides: BTreeMap<String, Interpreter>,
}

/// An interpreter, and what it is for.
#[derive(Debug, Clone)]
pub struct InstalledRuntime {
    /// `nodejs` or `python`; of a configured one the identifier or family it was configured for.
    pub family: String,
    /// Named by the configuration, rather than found.
    pub configured: bool,
    pub interpreter: Interpreter,
}

/// Finds the interpreters of this machine.
pub trait RuntimeSearch: Send + Sync + std::fmt::Debug {
    /// Best first. May block for as long as the interpreters take to tell their versions.
    fn search(&self, config: &RuntimesConfig) -> Vec<InstalledRuntime>;
}

/// Why an identifier cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    #[error("{identifier} is no runtime identifier")]
    Unknown { identifier: String },
    /// AWS once knew it, and refuses it today; nilas has nothing to run it with either.
    #[error("{identifier} is no longer supported")]
    Deprecated { identifier: String },
    #[error("{identifier} cannot run on this server: {hint}")]
    NotInstalled { identifier: String, hint: String },
}

/// Identifiers of AWS that nilas knows and does not run.
const UNSUPPORTED: [&str; 15] = [
    "java8.al2",
    "java8.al2023",
    "java11",
    "java11.al2023",
    "java17",
    "java17.al2023",
    "java21",
    "java25",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
];

const DEPRECATED: [&str; 13] = [
    "nodejs",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "python2.7",
    "java8",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
];

/// Newest even Node and newest Python minor that AWS's model names.
const NODE_MAJOR_NEWEST: u32 = 26;
const PYTHON_MINOR_NEWEST: u32 = 15;

impl RuntimeSearch for SearchPaths {
    fn search(&self, config: &RuntimesConfig) -> Vec<InstalledRuntime> {
        detect::search(self, &config.overrides).rows()
    }
}

impl Found {
    fn rows(&self) -> Vec<InstalledRuntime> {
        let row = |family: &str, configured: bool, interpreter: &Interpreter| InstalledRuntime {
            family: family.to_owned(),
            configured,
            interpreter: interpreter.clone(),
        };
        let node = self.node.iter().map(|interpreter| row("nodejs", false, interpreter));
        let python = self.python.iter().map(|interpreter| row("python", false, interpreter));
        let configured = self
            .overrides
            .iter()
            .map(|(identifier, interpreter)| row(identifier, true, interpreter));
        configured.chain(node).chain(python).collect()
    }

    fn of(rows: Vec<InstalledRuntime>) -> Self {
        let mut found = Self::default();
        for InstalledRuntime { family, configured, interpreter } in rows {
            if configured {
                found.overrides.insert(family, interpreter);
            } else if family == "python" {
                found.python.push(interpreter);
            } else {
                found.node.push(interpreter);
            }
        }
        found
    }
}

impl RuntimeCatalog {
    /// Returns at once; the search runs when first needed, or on `start_detection`'s thread.
    pub fn new(config: RuntimesConfig, search: impl RuntimeSearch + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                search: Box::new(search),
                found: OnceLock::new(),
                logged: Mutex::default(),
            }),
        }
    }

    /// Begins the search in the background.
    pub fn start_detection(&self) {
        let catalog = self.clone();
        let spawned =
            std::thread::Builder::new().name("nilas:runtimes".to_owned()).spawn(move || {
                catalog.found();
            });
        if let Err(err) = spawned {
            tracing::warn!(error = %err, "no thread for runtime detection; it runs when first needed");
        }
    }

    /// What runs `identifier`. Blocks until detection is over, which takes tens of milliseconds, once.
    pub fn resolve(
        &self,
        identifier: &str,
    ) -> Result<(RuntimeKind, Option<Interpreter>), RuntimeError> {
        let wanted = Wanted::parse(identifier)?;
        let (kind, family, installed) = match wanted {
            Wanted::Custom => return Ok((RuntimeKind::Custom, None)),
            Wanted::Node { .. } => (RuntimeKind::Node, "nodejs", &self.found().node),
            Wanted::Python { .. } => (RuntimeKind::Python, "python3", &self.found().python),
        };
        let overrides = &self.found().overrides;
        if let Some(interpreter) = overrides.get(identifier).or_else(|| overrides.get(family)) {
            return Ok((kind, Some(interpreter.clone())));
        }
        let best = wanted
            .closest(installed)
            .filter(|best| !self.inner.config.strict || wanted.matches(best));
        let Some(best) = best else {
            return Err(RuntimeError::NotInstalled {
                identifier: identifier.to_owned(),
                hint: wanted.hint(),
            });
        };
        if !wanted.matches(best) {
            self.log_once(identifier, best);
        }
        Ok((kind, Some(best.clone())))
    }

    /// Everything found, for `nilas doctor`.
    pub fn list(&self) -> Vec<InstalledRuntime> {
        self.found().rows()
    }

    fn found(&self) -> &Found {
        let Inner { config, search, found, .. } = self.inner.as_ref();
        found.get_or_init(|| Found::of(search.search(config)))
    }

    fn log_once(&self, identifier: &str, used: &Interpreter) {
        let mut logged = self.inner.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.insert(identifier.to_owned()) {
            tracing::info!(
                runtime = identifier,
                version = used.version,
                executable = %used.executable.display(),
                "runtime runs on another version: the identifier's own is not installed"
            );
        }
    }
}

/// A parsed identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Node { major: u32 },
    Python { minor: u32 },
    Custom,
}

impl Wanted {
    fn parse(identifier: &str) -> Result<Self, RuntimeError> {
        if matches!(identifier, "provided" | "provided.al2" | "provided.al2023") {
            return Ok(Self::Custom);
        }
        if UNSUPPORTED.contains(&identifier) {
            let hint = "nilas runs nodejs, python3 and custom runtimes; bring this one as a custom runtime \
                        (provided.al2023 with an executable `bootstrap` in the package)";
            return Err(RuntimeError::NotInstalled {
                identifier: identifier.to_owned(),
                hint: hint.to_owned(),
            });
        }
        if DEPRECATED.contains(&identifier) {
            return Err(RuntimeError::Deprecated { identifier: identifier.to_owned() });
        }
        let node = identifier.strip_prefix("nodejs").and_then(|version| match version {
            "8.10" => Some(8),
            _ => number(version.strip_suffix(".x")?)
                .filter(|major| (10..=NODE_MAJOR_NEWEST).contains(major) && major % 2 == 0),
        });
        let python = identifier
            .strip_prefix("python3.")
            .and_then(number)
            .filter(|minor| (6..=PYTHON_MINOR_NEWEST).contains(minor));
        match (node, python) {
            (Some(major), _) => Ok(Self::Node { major }),
            (_, Some(minor)) => Ok(Self::Python { minor }),
            (None, None) => Err(RuntimeError::Unknown { identifier: identifier.to_owned() }),
        }
    }

    /// The number that decides: Node's major, Python's minor.
    fn figure(self, interpreter: &Interpreter) -> Option<u32> {
        let mut numbers = interpreter.version.split('.').map(number);
        match self {
            Self::Node { .. } => numbers.next().flatten(),
            Self::Python { .. } => numbers.nth(1).flatten(),
            Self::Custom => None,
        }
    }

    fn matches(self, interpreter: &Interpreter) -> bool {
        let figure = self.figure(interpreter);
        match self {
            Self::Node { major } => figure == Some(major),
            Self::Python { minor } => figure == Some(minor),
            Self::Custom => false,
        }
    }

    /// Node keeps old code running, so the nearest major does, the newer of two. Python's minors take features away as
    /// often as they add some, but code for 3.8 lives longer on 3.9 than code for 3.9 on 3.8: newer before older.
    fn closest(self, installed: &[Interpreter]) -> Option<&Interpreter> {
        // `min_by_key` takes the first of equals, and `installed` has the newest patch first.
        installed.iter().min_by_key(|interpreter| match (self, self.figure(interpreter)) {
            (Self::Node { major }, Some(found)) => (found.abs_diff(major), found < major),
            (Self::Python { minor }, Some(found)) if found >= minor => (found - minor, false),
            (Self::Python { minor }, Some(found)) => (1_000 + (minor - found), true),
            _ => (u32::MAX, true),
        })
    }

    fn hint(self) -> String {
        match self {
            Self::Node { major } => {
                format!("install Node.js {major}, or name one under [runtimes] in nilas.toml")
            }
            Self::Python { minor } => {
                format!("install Python 3.{minor}, or name one under [runtimes] in nilas.toml")
            }
            Self::Custom => String::new(),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(versions: &[&str]) -> Vec<Interpreter> {
        let make = |version: &&str| Interpreter {
            executable: PathBuf::from("/x"),
            prefix: None,
            version: (*version).to_owned(),
        };
        versions.iter().map(make).collect()
    }

    fn catalog(node: &[&str], python: &[&str], strict: bool) -> RuntimeCatalog {
        let config = RuntimesConfig { overrides: BTreeMap::new(), strict };
        let catalog = RuntimeCatalog::new(config, SearchPaths::default());
        let found =
            Found { node: installed(node), python: installed(python), overrides: BTreeMap::new() };
        catalog.inner.found.set(found).unwrap();
        catalog
    }

    fn check(catalog: &RuntimeCatalog, identifier: &str, expected: Result<&str, &str>) {
        let answer = catalog.resolve(identifier);
        let answer = answer
            .map(|(_, interpreter)| interpreter.map_or(String::new(), |i| i.version))
            .map_err(|err| err.to_string());
        assert_eq!(answer.as_deref().map_err(String::as_str), expected, "{identifier}");
    }

    #[test]
    fn picks_the_closest_version() {
        let catalog =
            catalog(&["24.1.0", "20.20.2", "18.0.0"], &["3.12.1", "3.12.0", "3.9.18"], false);
        check(&catalog, "nodejs8.10", Ok("18.0.0"));
        check(&catalog, "nodejs20.x", Ok("20.20.2"));
        check(&catalog, "nodejs22.x", Ok("24.1.0"));
        check(&catalog, "nodejs26.x", Ok("24.1.0"));
        check(&catalog, "python3.12", Ok("3.12.1"));
        check(&catalog, "python3.10", Ok("3.12.1"));
        check(&catalog, "python3.15", Ok("3.12.1"));
        check(&catalog, "python3.6", Ok("3.9.18"));
        check(&catalog, "provided.al2023", Ok(""));
    }

    #[test]
    fn strict_takes_only_the_version_named() {
        let catalog = catalog(&["20.20.2"], &[], true);
        check(&catalog, "nodejs20.x", Ok("20.20.2"));
        check(
            &catalog,
            "nodejs18.x",
            Err(
                "nodejs18.x cannot run on this server: install Node.js 18, or name one under [runtimes] in nilas.toml",
            ),
        );
        check(
            &catalog,
            "python3.12",
            Err(
                "python3.12 cannot run on this server: install Python 3.12, or name one under [runtimes] in nilas.toml",
            ),
        );
    }

    #[test]
    fn tells_unknown_from_deprecated_from_unsupported() {
        let catalog = catalog(&["20.20.2"], &["3.12.1"], false);
        for unknown in [
            "nodejs21.x",
            "nodejs8.x",
            "nodejs20",
            "NODEJS20.x",
            "python3.5",
            "python3.012",
            "python3.99",
            "cobol",
            "",
        ] {
            check(&catalog, unknown, Err(&format!("{unknown} is no runtime identifier")));
        }
        check(&catalog, "nodejs6.10", Err("nodejs6.10 is no longer supported"));
        assert!(matches!(catalog.resolve("java21"), Err(RuntimeError::NotInstalled { .. })));
    }
}
